//! Merges segments into a new one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Result, TimeRange, ValueType};
use crate::format::FileHeader;
use crate::memtable::Tombstone;
use crate::merge::{MergeOrder, SeriesView};
use crate::segments::{Segment, SegmentInfo, SegmentWriter, SeriesEntry};
use crate::vfs::Vfs;

/// What to merge, and what is needed to judge what can be dropped.
pub struct CompactionTask {
    /// Where files go.
    pub vfs: Arc<dyn Vfs>,
    /// The shard's directory.
    pub dir: PathBuf,
    /// The header of the new segment.
    pub header: FileHeader,
    /// What is merged.
    pub inputs: Vec<Arc<Segment>>,
    /// The shard's other segments.
    pub others: Vec<Arc<Segment>>,
}

/// What a compaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionReport {
    /// The new segment; `None` where nothing was left.
    pub output: Option<SegmentInfo>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// Merges the task's inputs. Points of series that `is_live` denies, overwritten
/// points and hidden ones are dropped; a tombstone is dropped where no other segment
/// can hold what it hides. `throttle` is told the bytes written since the last call,
/// and may wait, or end the work with an error.
///
/// # Errors
/// As the segment writer and reader; the inputs stay as they were.
pub fn run_compaction(
    task: &CompactionTask,
    is_live: impl Fn(u64) -> bool,
    mut throttle: impl FnMut(u64) -> Result<()>,
) -> Result<CompactionReport> {
    let mut writer = SegmentWriter::create(task.vfs.clone(), &task.dir, task.header)?;
    match merge_into(&mut writer, task, &is_live, &mut throttle) {
        Ok(()) => {}
        Err(e) => {
            writer.abandon();
            return Err(e);
        }
    }
    let bytes_in = task.inputs.iter().map(|segment| segment.info().bytes).sum();
    if writer.is_empty() {
        writer.abandon();
        return Ok(CompactionReport { output: None, bytes_in, bytes_out: 0 });
    }
    let output = writer.finish()?;
    Ok(CompactionReport { bytes_in, bytes_out: output.bytes, output: Some(output) })
}

fn merge_into(
    writer: &mut SegmentWriter,
    task: &CompactionTask,
    is_live: &impl Fn(u64) -> bool,
    throttle: &mut impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let with_points = task.inputs.iter().flat_map(|segment| &segment.index().series);
    let mut series: Vec<(u64, usize, ValueType)> =
        with_points.map(|entry| (entry.series_id, entry.dimension, entry.value_type)).collect();
    series.sort_unstable_by_key(|entry| entry.0);
    series.dedup_by_key(|entry| entry.0);
    let mut written = writer.bytes();
    for (series_id, dimension, value_type) in series {
        if !is_live(series_id) {
            continue;
        }
        let segments = task.inputs.clone();
        let view = SeriesView { series_id, dimension, value_type, memory: Vec::new(), segments };
        let sets = view.label_sets(|_| true);
        let mut merger = view.merge(TimeRange::ALL, &sets, MergeOrder::LabelSet);
        writer.begin_series(series_id, dimension, value_type, sets)?;
        while let Some(slice) = merger.next_slice()? {
            writer.push(slice.rank, &slice.columns, slice.rows)?;
            let now = writer.bytes();
            if now > written {
                throttle(now - written)?;
                written = now;
            }
        }
    }
    for stored in task.inputs.iter().flat_map(|segment| &segment.index().tombstones) {
        if is_live(stored.series_id) && still_hides(&stored.tombstone, stored.series_id, &task.others) {
            writer.push_tombstone(stored.series_id, stored.tombstone.clone());
        }
    }
    Ok(())
}

/// Whether one of `segments` may hold a point that the tombstone hides.
pub fn still_hides(tombstone: &Tombstone, series_id: u64, segments: &[Arc<Segment>]) -> bool {
    segments.iter().any(|segment| {
        let series = segment.index().series(series_id);
        segment.info().min_seq < tombstone.seq
            && series.and_then(SeriesEntry::range).is_some_and(|range| range.overlaps(tombstone.range))
    })
}
