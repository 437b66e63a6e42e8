//! Label sets as bytes: the number of pairs, then each key and value with its length.

use crate::base::{Error, LABEL_BYTES_MAX, LABEL_PAIRS_MAX, Labels, Result};

use super::{Reader, put_str, put_varint};

/// Appends a label set.
pub fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (key, value) in labels.iter() {
        put_str(out, key);
        put_str(out, value);
    }
}

/// Reads a label set, checking it as if a client had sent it.
pub fn get_labels(reader: &mut Reader<'_>) -> Result<Labels> {
    let pairs = reader.varint_max(LABEL_PAIRS_MAX as u64, "the number of labels")?;
    let mut found = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let key = reader.str(LABEL_BYTES_MAX)?;
        found.push((key, reader.str(LABEL_BYTES_MAX)?));
    }
    Labels::new(found).map_err(|e| Error::corrupt(e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_read_back() {
        for pairs in [vec![], vec![("a", "")], vec![("host", "x y"), ("z", "\"ü\"")]] {
            let labels = Labels::new(pairs).unwrap();
            let mut out = Vec::new();
            put_labels(&mut out, &labels);
            let mut reader = Reader::new(&out);
            assert_eq!(get_labels(&mut reader).unwrap(), labels);
            assert!(reader.finish().is_ok());
        }
        assert!(get_labels(&mut Reader::new(&[65])).is_err());
        assert!(get_labels(&mut Reader::new(&[1, 1, b' ', 0])).is_err());
    }
}
