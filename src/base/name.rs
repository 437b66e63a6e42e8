//! Series names.

use std::fmt;
use std::sync::Arc;

use super::{Error, NAME_BYTES_MAX, Result};

/// A checked series name: 1–255 bytes of UTF-8 without blanks, control
/// characters, quotes, commas or `=`, and not the word `all`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName(Arc<str>);

impl SeriesName {
    /// Checks `name`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that says which rule is broken.
    pub fn new(name: &str) -> Result<Self> {
        check_word(name, "series name", NAME_BYTES_MAX)?;
        if name == "all" {
            return Err(Error::invalid(
                "series name 'all' is reserved (GetStats uses it for the whole database); choose another name",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SeriesName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SeriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule that series names and label keys share.
pub(super) fn check_word(word: &str, what: &str, bytes_max: usize) -> Result<()> {
    if word.is_empty() {
        return Err(Error::invalid(format!("{what} is empty; give 1 to {bytes_max} bytes")));
    }
    if word.len() > bytes_max {
        let start: String = word.chars().take(32).collect();
        return Err(Error::invalid(format!(
            "{what} '{start}…' has {} bytes; at most {bytes_max} are allowed",
            word.len()
        )));
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | ',' | '=');
    if let Some(c) = word.chars().find(|&c| bad(c)) {
        return Err(Error::invalid(format!(
            "{what} {word:?} holds {c:?}; blanks, control characters, quotes, commas and '=' are not allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["ecg", "a", "cpu.load-1m/host:7", "Größe", "ALL", &"x".repeat(255)] {
            assert!(SeriesName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_would_break_the_text_dialect_are_refused() {
        for name in [
            "",
            "all",
            "a b",
            "a\tb",
            "a\nb",
            "a,b",
            "a=b",
            "a\"b",
            "a'b",
            "a\u{7f}",
            "a\u{a0}b",
            &"x".repeat(256),
        ] {
            assert!(SeriesName::new(name).is_err(), "{name:?}");
        }
    }
}
