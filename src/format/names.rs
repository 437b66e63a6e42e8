//! File names, built and parsed in this one place; numbers have a fixed width, so
//! that names sort as numbers do.
//!
//! ```text
//! <data dir>/LOCK  DATABASE  CURRENT  WATCHES  quarantine/  snapshots/
//! <data dir>/gen-0000000001/journal-0000                                    (two for each group of shards)
//! <data dir>/gen-0000000001/shard-0000/MANIFEST
//!                                      wal-00000000000000000001.log          (first sequence number)
//!                                      seg-0000000001-00112233445566778899aabbccddeeff.seg  (id, content hash)
//!                                      seg-0000000001-00112233445566778899aabbccddeeff.vec  (those of its segment)
//! ```

/// The lock file of a data directory.
pub const LOCK: &str = "LOCK";
/// What the data directory is.
pub const DATABASE: &str = "DATABASE";
/// Names the generation directory that is live.
pub const CURRENT: &str = "CURRENT";
/// A shard's manifest.
pub const MANIFEST: &str = "MANIFEST";
/// What is watched.
pub const WATCHES: &str = "WATCHES";
/// What SAVE writes before it has the name that was asked for.
pub const UNFINISHED_SAVE: &str = ".unfinished-save";
/// Where unreadable files go.
pub const QUARANTINE: &str = "quarantine";

/// The directory of a generation.
pub fn generation_name(generation: u64) -> String {
    format!("gen-{generation:010}")
}

/// The generation of a directory name.
pub fn parse_generation_name(name: &str) -> Option<u64> {
    digits(name.strip_prefix("gen-")?, 10)
}

/// The directory of a shard.
pub fn shard_name(shard: u32) -> String {
    format!("shard-{shard:04}")
}

/// The shard of a directory name.
pub fn parse_shard_name(name: &str) -> Option<u32> {
    u32::try_from(digits(name.strip_prefix("shard-")?, 4)?).ok()
}

/// A journal; those of group g are 2g and 2g + 1.
pub fn journal_name(file: u32) -> String {
    format!("journal-{file:04}")
}

/// The number of a journal's name.
pub fn parse_journal_name(name: &str) -> Option<u32> {
    u32::try_from(digits(name.strip_prefix("journal-")?, 4)?).ok()
}

/// The log whose first record has this sequence number.
pub fn log_name(first_seq: u64) -> String {
    format!("wal-{first_seq:020}.log")
}

/// The first sequence number of a log name.
pub fn parse_log_name(name: &str) -> Option<u64> {
    digits(name.strip_prefix("wal-")?.strip_suffix(".log")?, 20)
}

/// The segment of this id and content hash.
pub fn segment_name(id: u64, hash: u128) -> String {
    format!("seg-{id:010}-{hash:032x}.seg")
}

/// What a segment is called until it is whole.
pub fn temp_segment_name(id: u64) -> String {
    format!("seg-{id:010}.tmp")
}

/// Id and content hash of a segment name.
pub fn parse_segment_name(name: &str) -> Option<(u64, u128)> {
    let (id, hash) = name.strip_prefix("seg-")?.strip_suffix(".seg")?.split_once('-')?;
    if hash.len() != 32 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some((digits(id, 10)?, u128::from_str_radix(hash, 16).ok()?))
}

/// The index of vectors beside the segment of this id and content hash.
pub fn vectors_name(id: u64, hash: u128) -> String {
    format!("seg-{id:010}-{hash:032x}.vec")
}

/// Id and content hash of the segment of an index of vectors.
pub fn parse_vectors_name(name: &str) -> Option<(u64, u128)> {
    parse_segment_name(&format!("{}.seg", name.strip_suffix(".vec")?))
}

/// A number as it is written above: filled up to `width` with zeros, and no further. A
/// file of another spelling is none of ours.
fn digits(text: &str, width: usize) -> Option<u64> {
    let is_filled = text.len() == width || text.len() > width && !text.starts_with('0');
    if !is_filled || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        assert_eq!(parse_generation_name(&generation_name(3)), Some(3));
        assert_eq!(parse_shard_name(&shard_name(63)), Some(63));
        assert_eq!(parse_shard_name(&shard_name(12345)), Some(12345));
        assert_eq!(parse_log_name(&log_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_journal_name(&journal_name(7)), Some(7));
        assert_eq!(parse_segment_name(&segment_name(9, 0xff << 100)), Some((9, 0xff << 100)));
        let upper = segment_name(9, 0xff).replace('f', "F");
        for bad in [
            upper.as_str(),
            "wal-000000000000000000001.log",
            "gen-00000000001",
            "seg-1-00.seg",
            "wal-1.log",
            "gen-",
            "seg-0000000001.tmp",
            "wal-+0000000000000000001.log",
        ] {
            assert_eq!(parse_segment_name(bad), None);
            assert_eq!(parse_log_name(bad), None);
            assert_eq!(parse_generation_name(bad), None);
        }
    }
}
