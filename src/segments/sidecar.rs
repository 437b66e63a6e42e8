//! What can be made again from a segment, in a file beside it.
//!
//! ```text
//! header (40)
//! hash of the segment (16)  sections (4); each: series id (8)  offset (8)  bytes (8)  CRC (4)
//! CRC of all since the header (4)
//! sections …
//! ```
//!
//! A section is about one series; what it says is the affair of who wrote it. Nothing
//! depends on the file: one that is missing or damaged is made anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Error, ErrorCode, Result};
use crate::format::{FileHeader, FileKind, HEADER_BYTES, Reader, vectors_name};
use crate::vfs::{File, Vfs, read_exact_at, write_atomic};

use super::{Segment, SegmentInfo};

const ENTRY_BYTES: usize = 28;
/// Hash, number of sections, and the CRC after them.
const TABLE_OVERHEAD_BYTES: usize = 24;

/// An open sidecar: its table in memory, its sections on disk.
pub struct Sidecar {
    file: Arc<dyn File>,
    path: PathBuf,
    bytes: u64,
    entries: Vec<Entry>,
}

struct Entry {
    series_id: u64,
    offset: u64,
    len: u64,
    crc: u32,
}

impl Sidecar {
    /// Where it is, for a segment in `dir`.
    pub fn path_of(dir: &Path, info: &SegmentInfo) -> PathBuf {
        dir.join(vectors_name(info.id, info.hash))
    }

    /// Writes the sidecar of a segment, one section a series, and opens it. A crash leaves
    /// the old one, none, or this.
    ///
    /// # Errors
    /// `READ_ONLY` where the disk refuses; `CORRUPT_DATA` where it does not read back.
    pub fn write(vfs: &dyn Vfs, dir: &Path, segment: &Segment, sections: &[(u64, Vec<u8>)]) -> Result<Self> {
        let (info, header) = (segment.info(), segment.header());
        let header = FileHeader::new(FileKind::Vectors, header.shard, info.id, header.epoch);
        let mut out = header.encode().to_vec();
        out.extend_from_slice(&info.hash.to_le_bytes());
        out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
        let mut offset = (HEADER_BYTES + TABLE_OVERHEAD_BYTES + ENTRY_BYTES * sections.len()) as u64;
        for (series_id, section) in sections {
            out.extend_from_slice(&series_id.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&(section.len() as u64).to_le_bytes());
            out.extend_from_slice(&crc32fast::hash(section).to_le_bytes());
            offset += section.len() as u64;
        }
        out.extend_from_slice(&crc32fast::hash(&out[HEADER_BYTES..]).to_le_bytes());
        for (_, section) in sections {
            out.extend_from_slice(section);
        }
        let name = vectors_name(info.id, info.hash);
        write_atomic(vfs, dir, &name, &out).map_err(|e| {
            Error::new(ErrorCode::ReadOnly, format!("{}: can't be written: {e}", dir.join(&name).display()))
        })?;
        Self::open(vfs, dir, info)?
            .ok_or_else(|| Error::corrupt(format!("{}: has gone", dir.join(&name).display())))
    }

    /// Opens the sidecar of a segment; `None` where there is none.
    ///
    /// # Errors
    /// `CORRUPT_DATA`; `INVALID_ARGUMENT` for a newer format.
    pub fn open(vfs: &dyn Vfs, dir: &Path, info: &SegmentInfo) -> Result<Option<Self>> {
        let path = Self::path_of(dir, info);
        let open = || -> Result<Option<Self>> {
            let io_error = |e| Error::corrupt(format!("can't be read: {e}"));
            if vfs.metadata(&path).map_err(io_error)?.is_none() {
                return Ok(None);
            }
            let file = vfs.open(&path).map_err(io_error)?;
            let bytes = file.len().map_err(io_error)?;
            let mut start = [0; HEADER_BYTES + 20];
            read_exact_at(file.as_ref(), &mut start, 0).map_err(io_error)?;
            let header = FileHeader::decode(&start, FileKind::Vectors)?;
            let mut reader = Reader::new(&start[HEADER_BYTES..]);
            let (hash, count) = (reader.u128()?, u64::from(reader.u32()?));
            if (hash, header.id) != (info.hash, info.id) {
                return Err(Error::corrupt("belongs to another segment"));
            }
            let table_bytes = count * ENTRY_BYTES as u64 + TABLE_OVERHEAD_BYTES as u64;
            if HEADER_BYTES as u64 + table_bytes > bytes {
                return Err(Error::corrupt(format!("{count} sections in {bytes} bytes")));
            }
            let mut table = vec![0; table_bytes as usize];
            read_exact_at(file.as_ref(), &mut table, HEADER_BYTES as u64).map_err(io_error)?;
            let (covered, crc) = table.split_at(table.len() - 4);
            if crc32fast::hash(covered).to_le_bytes() != crc {
                return Err(Error::corrupt("its table fails its CRC"));
            }
            let mut reader = Reader::new(&covered[20..]);
            let mut offset = HEADER_BYTES as u64 + table_bytes;
            let mut entries: Vec<Entry> = Vec::new();
            for _ in 0..count {
                let (series_id, at, len) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let crc = reader.u32()?;
                let is_next = at == offset && entries.last().is_none_or(|last| last.series_id < series_id);
                offset = offset.saturating_add(len);
                if !is_next || offset > bytes {
                    return Err(Error::corrupt(format!(
                        "a section of series {series_id} in the wrong place"
                    )));
                }
                entries.push(Entry { series_id, offset: at, len, crc });
            }
            if offset != bytes {
                return Err(Error::corrupt(format!("its sections end at {offset} of {bytes} bytes")));
            }
            Ok(Some(Self { file, path: path.clone(), bytes, entries }))
        };
        open().map_err(|e| e.context(path.display()))
    }

    /// The section of a series; `None` where there is none.
    ///
    /// # Errors
    /// `CORRUPT_DATA`.
    pub fn section(&self, series_id: u64) -> Result<Option<Vec<u8>>> {
        let Ok(at) = self.entries.binary_search_by_key(&series_id, |entry| entry.series_id) else {
            return Ok(None);
        };
        let entry = &self.entries[at];
        let mut bytes = vec![0; entry.len as usize];
        let read = read_exact_at(self.file.as_ref(), &mut bytes, entry.offset);
        let problem = match read {
            Err(e) => format!("can't be read: {e}"),
            Ok(()) if crc32fast::hash(&bytes) != entry.crc => "fails its CRC".into(),
            Ok(()) => return Ok(Some(bytes)),
        };
        Err(Error::corrupt(format!("{}: the section of series {series_id} {problem}", self.path.display())))
    }

    /// Series that it is about.
    pub fn series_ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().map(|entry| entry.series_id)
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
