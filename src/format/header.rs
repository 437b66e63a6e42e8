//! The 40 bytes that every file begins with.

use crate::base::{Error, ErrorCode, Result};

use super::Reader;

/// Bytes of a file header.
pub const HEADER_BYTES: usize = 40;
/// Bytes of it before its CRC.
const COVERED_BYTES: usize = HEADER_BYTES - 4;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A shard's write-ahead log.
    Log,
    /// Frames of several shards' logs, before they are in these.
    Journal,
    /// A segment.
    Segment,
    /// A shard's manifest.
    Manifest,
    /// What a data directory is, and which generation is current.
    Directory,
    /// A snapshot in the binary form.
    Snapshot,
    /// What searches for similar vectors know of a segment.
    Vectors,
    /// What is watched.
    Watches,
}

impl FileKind {
    /// The kind's first eight bytes.
    pub const fn magic(self) -> [u8; 8] {
        match self {
            Self::Log => *b"TSDBWAL\n",
            Self::Journal => *b"TSDBJNL\n",
            Self::Segment => *b"TSDBSEG\n",
            Self::Manifest => *b"TSDBMAN\n",
            Self::Directory => *b"TSDBDIR\n",
            Self::Snapshot => *b"TSDBSNP\n",
            Self::Vectors => *b"TSDBVEC\n",
            Self::Watches => *b"TSDBWCH\n",
        }
    }

    /// The format version that this program writes.
    pub const fn version(self) -> u16 {
        1
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Log => "write-ahead log",
            Self::Journal => "journal",
            Self::Segment => "segment",
            Self::Manifest => "manifest",
            Self::Directory => "directory file",
            Self::Snapshot => "snapshot",
            Self::Vectors => "index of vectors",
            Self::Watches => "list of watches",
        }
    }
}

/// The header: magic (8), version (2), journal (2), shard (4), id (8), epoch (4), origin
/// (8), CRC-32 of the 36 bytes before it (4); all little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file holds.
    pub kind: FileKind,
    /// Format version.
    pub version: u16,
    /// For a log the group whose journals may hold frames of it, plus one; else 0.
    pub journal: u16,
    /// The shard that it belongs to, for a journal the number in its name, or 0.
    pub shard: u32,
    /// For a log its first sequence number, for a segment its id.
    pub id: u64,
    /// The owner epoch under which it was written.
    pub epoch: u32,
    /// For a log, a journal and a segment the number that the generation of their database
    /// drew by lot, so that none is taken for one of another; else 0.
    pub origin: u64,
}

impl FileHeader {
    /// A header of the newest version.
    pub fn new(kind: FileKind, shard: u32, id: u64, epoch: u32) -> Self {
        Self { kind, version: kind.version(), journal: 0, shard, id, epoch, origin: 0 }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&self.kind.magic());
        out[8..10].copy_from_slice(&self.version.to_le_bytes());
        out[10..12].copy_from_slice(&self.journal.to_le_bytes());
        out[12..16].copy_from_slice(&self.shard.to_le_bytes());
        out[16..24].copy_from_slice(&self.id.to_le_bytes());
        out[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        out[28..36].copy_from_slice(&self.origin.to_le_bytes());
        let crc = crc32fast::hash(&out[..COVERED_BYTES]);
        out[COVERED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header of the given kind.
    ///
    /// # Errors
    /// `CORRUPT_DATA` for anything else; `INVALID_ARGUMENT` for a version that is
    /// newer than this program: the file is whole, the program is old.
    pub fn decode(bytes: &[u8], kind: FileKind) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.take(8)? != kind.magic() {
            return Err(Error::corrupt(format!("not a {}: wrong magic at byte 0", kind.name())));
        }
        let version = reader.u16()?;
        let journal = reader.u16()?;
        let (shard, id, epoch) = (reader.u32()?, reader.u64()?, reader.u32()?);
        let (origin, crc) = (reader.u64()?, reader.u32()?);
        if bytes.get(..COVERED_BYTES).map(crc32fast::hash) != Some(crc) {
            return Err(Error::corrupt(format!(
                "{} header fails its CRC at byte {COVERED_BYTES}",
                kind.name()
            )));
        }
        if version > kind.version() {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "{} of format version {version}; this program reads up to version {}: use a newer tsdb_vector",
                    kind.name(),
                    kind.version()
                ),
            ));
        }
        if version == 0 || journal != 0 && kind != FileKind::Log {
            return Err(Error::corrupt(format!("{} header with version {version} at byte 8", kind.name())));
        }
        Ok(Self { kind, version, journal, shard, id, epoch, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let header = FileHeader::new(FileKind::Segment, 63, 1 << 40, 7);
        assert_eq!(FileHeader::decode(&header.encode(), FileKind::Segment).unwrap(), header);
        let log =
            FileHeader { journal: 3, origin: 1 << 60, ..FileHeader::new(FileKind::Log, 63, 1 << 40, 7) };
        assert_eq!(FileHeader::decode(&log.encode(), FileKind::Log).unwrap(), log);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = FileHeader::new(FileKind::Log, 3, 99, 1).encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&bad, FileKind::Log).is_err(), "bit {bit}");
        }
        assert!(FileHeader::decode(&bytes[..HEADER_BYTES - 1], FileKind::Log).is_err());
        assert!(FileHeader::decode(&bytes, FileKind::Manifest).is_err());
    }

    #[test]
    fn a_newer_version_is_refused_as_such() {
        let newer = FileHeader { version: 2, ..FileHeader::new(FileKind::Log, 0, 1, 1) };
        let error = FileHeader::decode(&newer.encode(), FileKind::Log).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}
