//! Label sets: what tells two points of one series and timestamp apart.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::name::check_word;
use super::{Error, LABEL_BYTES_MAX, LABEL_PAIRS_MAX, Result};

/// A checked set of labels, sorted by key, each key once. Cheap to clone; the
/// order of two sets is the order of their sorted pairs, and the empty set comes
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The set of no labels.
    pub fn empty() -> Self {
        static EMPTY: OnceLock<Labels> = OnceLock::new();
        EMPTY.get_or_init(|| Self(Arc::from([]))).clone()
    }

    /// Checks and sorts `pairs`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a key that breaks the rule of names, a value with
    /// control characters, a key or value above 1,024 bytes, a key that comes
    /// twice, or more than 64 pairs.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self> {
        let mut sorted: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (key, value) in pairs {
            let (key, value) = (key.as_ref(), value.as_ref());
            check_word(key, "label key", LABEL_BYTES_MAX)?;
            if value.len() > LABEL_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "the value of label '{key}' has {} bytes; at most {LABEL_BYTES_MAX} are allowed",
                    value.len()
                )));
            }
            if let Some(c) = value.chars().find(|c| c.is_control()) {
                return Err(Error::invalid(format!(
                    "the value of label '{key}' holds the control character {c:?}; remove it"
                )));
            }
            if sorted.len() == LABEL_PAIRS_MAX {
                return Err(Error::invalid(format!(
                    "a point has at most {LABEL_PAIRS_MAX} labels; this one has more"
                )));
            }
            sorted.push((key.into(), value.into()));
        }
        if sorted.is_empty() {
            return Ok(Self::empty());
        }
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid(format!("label '{}' is given twice; give each key once", twice[0].0)));
        }
        Ok(Self(sorted.into()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// Roughly the heap bytes that the set takes.
    pub fn memory_bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>() + 16
    }
}

/// `k=v,k2=v2`, values quoted as the text dialect wants them.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let plain = !value.is_empty()
                && !value.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '=' | '\\'));
            if plain {
                write!(f, "{key}={value}")?;
            } else {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "{key}=\"{escaped}\"")?;
            }
        }
        Ok(())
    }
}

/// Chooses the points that carry all the given pairs; the empty filter chooses
/// every point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelFilter(Labels);

impl LabelFilter {
    /// The filter that every point passes.
    pub fn any() -> Self {
        Self(Labels::empty())
    }

    /// The filter for points that carry all of `pairs`.
    pub fn new(pairs: Labels) -> Self {
        Self(pairs)
    }

    /// Whether every point passes.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a point with `labels` passes.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// The pairs that a point must carry.
    pub fn pairs(&self) -> &Labels {
        &self.0
    }
}

impl Default for LabelFilter {
    fn default() -> Self {
        Self::any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_found() {
        let labels = Labels::new([("z", "1"), ("a", "2")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("z", "1")]);
        assert_eq!(labels.get("z"), Some("1"));
        assert_eq!(labels.get("y"), None);
        assert_eq!(labels, Labels::new([("a", "2"), ("z", "1")]).unwrap());
        assert!(Labels::empty() < labels);
    }

    #[test]
    fn bad_labels_are_refused() {
        assert!(Labels::new([("a", "1"), ("a", "2")]).is_err());
        assert!(Labels::new([("", "1")]).is_err());
        assert!(Labels::new([("a b", "1")]).is_err());
        assert!(Labels::new([("a", "line\nbreak")]).is_err());
        assert!(Labels::new([("a", "x".repeat(1025))]).is_err());
        assert!(Labels::new((0..65).map(|i| (format!("k{i}"), "v"))).is_err());
        assert!(Labels::new((0..64).map(|i| (format!("k{i}"), ""))).is_ok());
    }

    #[test]
    fn display_quotes_what_the_text_dialect_would_split() {
        let labels = Labels::new([("a", "plain"), ("b", "two words"), ("c", "q\"\\"), ("d", "")]).unwrap();
        assert_eq!(labels.to_string(), r#"a=plain,b="two words",c="q\"\\",d="""#);
    }

    #[test]
    fn a_filter_wants_all_its_pairs() {
        let point = Labels::new([("host", "a"), ("cpu", "0")]).unwrap();
        let filter = |pairs: &[(&str, &str)]| LabelFilter::new(Labels::new(pairs.iter().copied()).unwrap());
        assert!(LabelFilter::any().matches(&point));
        assert!(filter(&[("host", "a")]).matches(&point));
        assert!(!filter(&[("host", "b")]).matches(&point));
        assert!(!filter(&[("host", "a"), ("disk", "x")]).matches(&point));
    }
}
