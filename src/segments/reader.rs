//! Reads a segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::sync::RwLock;
use crate::base::{Error, ErrorCode, Result, TimeRange};
use crate::format::{Block, FileHeader, FileKind, HEADER_BYTES, decode_block_start};
use crate::vfs::{File, Vfs, read_exact_at};

use super::Sidecar;
use super::cache::BlockCache;
use super::index::{BlockEntry, FOOTER_BYTES, Footer, Index, SeriesEntry};
use super::writer::SegmentInfo;

/// An open segment: its index in memory, its blocks on disk.
pub struct Segment {
    file: Arc<dyn File>,
    path: PathBuf,
    info: SegmentInfo,
    header: FileHeader,
    footer: Footer,
    index: Index,
    cache: Arc<BlockCache>,
    cache_key: u64,
    index_bytes: usize,
    /// What stands beside it, if anything does.
    sidecar: RwLock<Option<Arc<Sidecar>>>,
}

impl Segment {
    /// Opens the segment that a manifest lists, checking header, footer and index.
    /// Blocks are checked when they are read.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming file and place; `INVALID_ARGUMENT` for a newer format.
    pub fn open(
        vfs: &dyn Vfs,
        dir: &Path,
        of: (u32, u64),
        info: &SegmentInfo,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        open_at(vfs, dir.join(info.file_name()), of, Some(info), cache)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands beside it.
    pub fn sidecar(&self) -> Option<Arc<Sidecar>> {
        self.sidecar.read().clone()
    }

    /// Whether anything stands beside it.
    pub fn has_sidecar(&self) -> bool {
        self.sidecar.read().is_some()
    }

    /// Notes what stands beside it now, or that nothing does that can be used.
    pub fn set_sidecar(&self, sidecar: Option<Sidecar>) {
        *self.sidecar.write() = sidecar.map(Arc::new);
    }

    /// A number that no other segment has got that was opened with the same cache.
    pub fn instance(&self) -> u64 {
        self.cache_key
    }

    /// What the manifest keeps of it.
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Its header.
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// Its footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Its index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Whether a block was found since it was opened that can't be read.
    pub fn is_damaged(&self) -> bool {
        self.cache.has_damaged(self.cache_key)
    }

    /// The bytes of a block. An error does not say which.
    pub fn read_block_bytes(&self, block: &BlockEntry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; block.len as usize];
        read_exact_at(self.file.as_ref(), &mut bytes, block.offset).map_err(|e| Error::unreadable(&e))?;
        Ok(bytes)
    }

    /// A decoded block, past the cache.
    pub fn decode(&self, series: &SeriesEntry, block: &BlockEntry) -> Result<Block> {
        let decoded = self.read_block_bytes(block).and_then(|bytes| decode_rows(&bytes, series, block, None));
        self.note(block, decoded)
    }

    /// Notes where a block can't be decoded.
    fn note(&self, block: &BlockEntry, decoded: Result<Block>) -> Result<Block> {
        decoded.map_err(|e| {
            let e = e.context(format!("{}: block at byte {}", self.path.display(), block.offset));
            if e.code() == ErrorCode::CorruptData && self.cache.note_damaged((self.cache_key, block.offset)) {
                tracing::error!(reason = e.message(), "a block can't be read");
            }
            e
        })
    }

    /// The same for who wants its points: an error says what to do.
    pub fn read(&self, series: &SeriesEntry, block: &BlockEntry) -> Result<Block> {
        self.decode(series, block).map_err(|e| what_to_do(block, e))
    }

    /// Those of a block's points that are in a range, and maybe others, if the cache has them.
    pub fn cached(&self, block: &BlockEntry, range: TimeRange) -> Option<Arc<Block>> {
        self.cache.peek((self.cache_key, block.offset)).filter(|found| holds(found, block, range))
    }

    /// Decodes points of a block that the cache does not have, and puts them there, if that needs
    /// not wait for the disk. What is wrong with it, who reads it will hear.
    pub fn fetch(&self, series: &SeriesEntry, block: &BlockEntry, range: TimeRange) -> Option<Arc<Block>> {
        let mut bytes = vec![0; block.len as usize];
        if !self.file.read_at_hand(&mut bytes, block.offset) {
            return None;
        }
        self.take(Ok(bytes), series, block, range).ok()
    }

    /// Those of a block's points that are in a range, and maybe others, from the cache where they
    /// are there.
    pub fn block(&self, series: &SeriesEntry, block: &BlockEntry, range: TimeRange) -> Result<Arc<Block>> {
        let key = (self.cache_key, block.offset);
        if let Some(found) = self.cache.get(key, |found| holds(found, block, range)) {
            return Ok(found);
        }
        let bytes = self.read_block_bytes(block);
        self.take(bytes, series, block, range).map_err(|e| what_to_do(block, e))
    }

    /// Decodes a block's points of a range for the cache: no more than the range asks for, but all
    /// of the block where that was asked for before and there is room.
    fn take(
        &self,
        bytes: Result<Vec<u8>>,
        series: &SeriesEntry,
        block: &BlockEntry,
        range: TimeRange,
    ) -> Result<Arc<Block>> {
        let key = (self.cache_key, block.offset);
        let is_wanted_again = self.cache.peek(key).is_some();
        let until = (!is_wanted_again || !self.cache.has_room()).then_some(range.end_ns);
        let decoded = bytes.and_then(|bytes| decode_rows(&bytes, series, block, until));
        let decoded = Arc::new(self.note(block, decoded)?);
        self.cache.put(key, &decoded);
        Ok(decoded)
    }
}

fn what_to_do(block: &BlockEntry, e: Error) -> Error {
    match e.code() {
        ErrorCode::CorruptData => Error::corrupt(format!(
            "{}; leave out the time from {} to {}; or stop the server, and restore the file from a backup or \
             start once with --recover=accept-loss to give the block up",
            e.message(),
            block.range.start_ns,
            block.range.end_ns
        )),
        _ => e,
    }
}

/// Whether what was decoded of a block has all of its points in a range.
fn holds(found: &Block, block: &BlockEntry, range: TimeRange) -> bool {
    let times = &found.columns.timestamps;
    times.len() == block.rows as usize || times.last().is_some_and(|&last| last > range.end_ns)
}

/// Decodes a block, or those of its points that are not after `until`, and maybe others; and
/// checks that it is the one that the index describes.
fn decode_rows(bytes: &[u8], series: &SeriesEntry, block: &BlockEntry, until: Option<i64>) -> Result<Block> {
    let all = block.rows as usize;
    let decode = |rows_min| {
        decode_block_start(bytes, series.dimension, series.value_type, all, rows_min)
            .and_then(|decoded| check_against_index(decoded, series, block))
    };
    if let Some(until) = until {
        let rows_min = rows_until(block, until);
        if rows_min < all / 4 * 3 {
            let start = decode(rows_min)?;
            if holds(&start, block, TimeRange { start_ns: i64::MIN, end_ns: until }) {
                return Ok(start);
            }
        }
    }
    decode(all)
}

/// How many of a block's rows are not after a time, and a few more, if they are as far from each
/// other everywhere.
fn rows_until(block: &BlockEntry, until: i64) -> usize {
    let TimeRange { start_ns, end_ns } = block.range;
    let span = end_ns.abs_diff(start_ns).max(1);
    let part = (i128::from(until) - i128::from(start_ns)).clamp(0, i128::from(span)) as f64 / span as f64;
    let rows = f64::from(block.rows);
    (part * rows + rows / 64.0) as usize
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.forget(self.cache_key, self.index_bytes);
    }
}

/// A block that passes its own checks may still be the wrong one.
fn check_against_index(decoded: Block, series: &SeriesEntry, block: &BlockEntry) -> Result<Block> {
    let times = &decoded.columns.timestamps;
    // Each run was found to ascend.
    let first = decoded.runs().filter_map(|(_, run)| times[run].first().copied()).min();
    let last = decoded.runs().filter_map(|(_, run)| times[run].last().copied()).max();
    let is_whole = times.len() == block.rows as usize;
    let ends = last
        .is_some_and(|last| if is_whole { last == block.range.end_ns } else { last < block.range.end_ns });
    let fits = ends
        && first == Some(block.range.start_ns)
        && decoded.label_runs.first().map(|run| run.1) == Some(block.first_label)
        && decoded.label_runs.last().map(|run| run.1) == Some(block.last_label)
        && (block.last_label as usize) < series.labels.len();
    if fits { Ok(decoded) } else { Err(Error::corrupt("the block is not the one that the index describes")) }
}

/// Opens a segment file of which only its path is known; for tools.
pub fn open_unlisted(vfs: &dyn Vfs, path: &Path) -> Result<Segment> {
    open_at(vfs, path.to_owned(), (0, 0), None, Arc::new(BlockCache::new(0)))
}

fn open_at(
    vfs: &dyn Vfs,
    path: PathBuf,
    of: (u32, u64),
    expected: Option<&SegmentInfo>,
    cache: Arc<BlockCache>,
) -> Result<Segment> {
    let open = || -> Result<Segment> {
        let io_error = |e| Error::unreadable(&e);
        let file = vfs.open(&path).map_err(io_error)?;
        let len = file.len().map_err(io_error)?;
        if let Some(info) = expected
            && info.bytes != len
        {
            return Err(Error::corrupt(format!("has {len} bytes where the manifest says {}", info.bytes)));
        }
        if len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(Error::corrupt(format!("{len} bytes are too few for a segment")));
        }
        let mut bytes = [0; HEADER_BYTES];
        read_exact_at(file.as_ref(), &mut bytes, 0).map_err(io_error)?;
        let header = FileHeader::decode(&bytes, FileKind::Segment)?;
        let footer_at = len - FOOTER_BYTES as u64;
        let mut bytes = [0; FOOTER_BYTES];
        read_exact_at(file.as_ref(), &mut bytes, footer_at).map_err(io_error)?;
        let footer =
            Footer::decode(&bytes, len).map_err(|e| e.context(format!("footer at byte {footer_at}")))?;
        let mut compressed = vec![0; footer.index_len as usize];
        read_exact_at(file.as_ref(), &mut compressed, footer.index_offset).map_err(io_error)?;
        let at_index = |e: Error| e.context(format!("index at byte {}", footer.index_offset));
        if crc32fast::hash(&compressed) != footer.index_crc {
            return Err(at_index(Error::corrupt("index fails its CRC")));
        }
        let raw = zstd::bulk::decompress(&compressed, footer.index_raw_len as usize)
            .map_err(|e| at_index(Error::corrupt(format!("can't be decompressed: {e}"))))?;
        let index = Index::decode(&raw, footer.index_offset).map_err(at_index)?;
        let found = SegmentInfo {
            id: header.id,
            hash: expected.map_or(0, |info| info.hash),
            bytes: len,
            rows: footer.rows,
            tombstones: footer.tombstones,
            min_seq: footer.min_seq,
            max_seq: footer.max_seq,
            start_ns: footer.range.start_ns,
            end_ns: footer.range.end_ns,
        };
        if let Some(info) = expected
            && (*info != found || (header.shard, header.origin) != of)
        {
            return Err(Error::corrupt("is not the segment that the manifest describes"));
        }
        let index_bytes = index.memory_bytes();
        let cache_key = cache.register(index_bytes);
        let path = path.clone();
        let sidecar = RwLock::default();
        Ok(Segment { file, path, info: found, header, footer, index, cache, cache_key, index_bytes, sidecar })
    };
    open().map_err(|e| e.context(path.display()))
}
