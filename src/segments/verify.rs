//! Checks a whole segment: every byte by the hash, every block by decoding it.

use std::io::Read as _;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::base::{Error, Result};
use crate::vfs::{FileReader, Vfs};

use super::index::SeriesEntry;
use super::reader::{Segment, open_unlisted};
use super::writer::SegmentInfo;

/// Reads a segment back from disk and compares it with what it should be. The file
/// may still have its temp name.
///
/// # Errors
/// `CORRUPT_DATA` naming file and place.
pub fn verify_segment(vfs: &dyn Vfs, path: &Path, shard: u32, expected: &SegmentInfo) -> Result<()> {
    let segment = open_unlisted(vfs, path)?;
    // First, for it says where.
    verify_blocks(&segment)?;
    let found = SegmentInfo { hash: content_hash(vfs, path)?, ..segment.info().clone() };
    if found != *expected || segment.header().shard != shard {
        return Err(Error::corrupt(format!(
            "{}: is not the segment that was written (its content hash is {:032x}, expected {:032x})",
            path.display(),
            found.hash,
            expected.hash
        )));
    }
    Ok(())
}

fn content_hash(vfs: &dyn Vfs, path: &Path) -> Result<u128> {
    let io_error = |e| Error::unreadable(&e).context(path.display());
    let mut reader = FileReader::new(vfs.open(path).map_err(io_error)?, 0);
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).map_err(io_error)? {
            0 => return Ok(hash.digest128()),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Decodes every block, and checks the order from block to block and the totals.
fn verify_blocks(segment: &Segment) -> Result<()> {
    let mut rows = 0;
    for series in &segment.index().series {
        verify_series(segment, series)?;
        rows += series.rows();
    }
    if rows != segment.footer().rows {
        return Err(Error::corrupt(format!(
            "{}: {rows} points where the footer says {}",
            segment.path().display(),
            segment.footer().rows
        )));
    }
    Ok(())
}

fn verify_series(segment: &Segment, series: &SeriesEntry) -> Result<()> {
    let mut last = None;
    for entry in &series.blocks {
        let block = segment.decode(series, entry)?;
        for (label, rows) in block.runs() {
            let times = block.columns.timestamps.get(rows).unwrap_or_default();
            let (Some(&first_ns), Some(&last_ns)) = (times.first(), times.last()) else { continue };
            if last.is_some_and(|last| last >= (label, first_ns)) {
                return Err(Error::corrupt(format!(
                    "{}: block at byte {} begins before the block ahead of it ends",
                    segment.path().display(),
                    entry.offset
                )));
            }
            last = Some((label, last_ns));
        }
    }
    Ok(())
}
