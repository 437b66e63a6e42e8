//! Keeps what can be read of a segment some of whose blocks can't.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Error, ErrorCode, Result, TimeRange};
use crate::format::FileHeader;
use crate::segments::{Segment, SegmentInfo, SegmentWriter};
use crate::vfs::Vfs;

/// The blocks of a segment that can't be read.
#[derive(Debug)]
pub struct Unreadable {
    offsets: HashSet<u64>,
    points: u64,
    /// The time that their points span.
    pub range: TimeRange,
    /// What is wrong with the first of them.
    first: Error,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocks, first) = (self.offsets.len(), self.first.message());
        write!(f, "blocks of it can't be read ({blocks}, of {} points); the first: {first}", self.points)
    }
}

/// Reads every block of a segment; `None` where all are whole.
///
/// # Errors
/// What keeps a block from being read that may be whole.
pub fn find_unreadable(segment: &Segment) -> Result<Option<Unreadable>> {
    let mut found: Option<Unreadable> = None;
    for series in &segment.index().series {
        for block in &series.blocks {
            match segment.decode(series, block) {
                Err(e) if e.code() == ErrorCode::CorruptData => {
                    let unreadable = found.get_or_insert(Unreadable {
                        offsets: HashSet::new(),
                        points: 0,
                        range: block.range,
                        first: e,
                    });
                    unreadable.offsets.insert(block.offset);
                    unreadable.points += u64::from(block.rows);
                    unreadable.range = unreadable.range.union(block.range);
                }
                decoded => drop(decoded?),
            }
        }
    }
    Ok(found)
}

/// Copies the other blocks of a segment, and its tombstones, to a new one with this header;
/// `None` where nothing is left.
///
/// # Errors
/// As the segment writer and reader; the segment stays as it was.
pub fn copy_readable(
    segment: &Segment,
    unreadable: &Unreadable,
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    header: FileHeader,
) -> Result<Option<SegmentInfo>> {
    let mut writer = SegmentWriter::create(vfs, dir, header)?;
    match copy_into(&mut writer, segment, unreadable) {
        Ok(()) if !writer.is_empty() => writer.finish().map(Some),
        copied => {
            writer.abandon();
            copied.map(|()| None)
        }
    }
}

fn copy_into(writer: &mut SegmentWriter, segment: &Segment, unreadable: &Unreadable) -> Result<()> {
    for series in &segment.index().series {
        writer.begin_series(series.series_id, series.dimension, series.value_type, series.labels.clone())?;
        for entry in series.blocks.iter().filter(|entry| !unreadable.offsets.contains(&entry.offset)) {
            let block = segment.decode(series, entry)?;
            for (label, rows) in block.runs() {
                writer.push(label, &block.columns, rows)?;
            }
        }
    }
    for stored in &segment.index().tombstones {
        writer.push_tombstone(stored.series_id, stored.tombstone.clone());
    }
    Ok(())
}
