//! How likeness of vectors is measured.

use super::{Error, Result};

/// How likeness of vectors is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Metric {
    /// The cosine of the angle between them.
    #[default]
    Cosine,
    /// The sum of products of their numbers.
    Dot,
    /// The length of their difference.
    Euclidean,
}

impl Metric {
    /// Reads a name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for any other.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "cosine" => Ok(Self::Cosine),
            "dot" => Ok(Self::Dot),
            "euclidean" => Ok(Self::Euclidean),
            _ => {
                Err(Error::invalid(format!("metric is \"{text}\"; use \"cosine\", \"dot\" or \"euclidean\"")))
            }
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
        }
    }
}
