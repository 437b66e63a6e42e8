//! The points of one label set in one source, block by block.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Labels, Result, TimeRange};
use crate::format::{Columns, Seqs};
use crate::memtable::SeriesSnapshot;
use crate::segments::{BlockEntry, Segment, SeriesEntry};

/// A stretch of a run.
pub enum Part {
    /// Points in memory.
    Memory(Arc<Columns>, Range<usize>),
    /// Points of a memtable that are sorted when their turn comes.
    Buffered {
        /// They, and others.
        points: Arc<SeriesSnapshot>,
        /// Their label set.
        labels: Labels,
    },
    /// A block that is decoded when its turn comes.
    Stored {
        /// The segment.
        segment: Arc<Segment>,
        /// Position of the series in the segment's index.
        series: usize,
        /// Position of the block in the series.
        block: usize,
        /// The label set's number in the series.
        label: u32,
    },
}

/// Points ascending and unique in time.
pub struct Run {
    /// The label set's place among those of the query.
    pub(super) rank: u32,
    parts: VecDeque<Part>,
    range: TimeRange,
    current: Option<(Arc<Columns>, Range<usize>)>,
}

impl Run {
    /// The points of `parts` in `range`. Parts ascend in time and do not overlap.
    pub fn new(rank: u32, parts: impl IntoIterator<Item = Part>, range: TimeRange) -> Self {
        Self { rank, parts: parts.into_iter().collect(), range, current: None }
    }

    /// The columns and rows that come next; `None` until [`open`](Self::open).
    pub(super) fn current(&self) -> Option<(&Arc<Columns>, &Range<usize>)> {
        self.current.as_ref().map(|(columns, rows)| (columns, rows))
    }

    /// A time before which no point of the run comes, without opening the next part.
    pub(super) fn earliest(&self) -> Option<i64> {
        let found = match self.parts.front()? {
            Part::Memory(columns, rows) => columns.timestamps.get(rows.start).copied().unwrap_or(i64::MIN),
            Part::Buffered { points, .. } => points.range().map_or(i64::MIN, |range| range.start_ns),
            Part::Stored { segment, series, block, .. } => {
                stored(segment, *series, *block).map_or(i64::MIN, |(_, entry)| entry.range.start_ns)
            }
        };
        Some(found.max(self.range.start_ns))
    }

    /// Makes the next part that has points in range the current one; false at the
    /// end.
    pub(super) fn open(&mut self) -> Result<bool> {
        self.current = None;
        while let Some(part) = self.parts.pop_front() {
            let (columns, rows) = match part {
                Part::Memory(columns, rows) => (columns, rows),
                Part::Buffered { points, labels } => {
                    let Some(run) = points.runs(self.range, |found| *found == labels).pop() else { continue };
                    (run.columns, run.rows)
                }
                Part::Stored { segment, series, block, label } => {
                    let Some((series, entry)) = stored(&segment, series, block) else { continue };
                    let block = segment.block(series, entry)?;
                    let Some((_, rows)) = block.runs().find(|(found, _)| *found == label) else { continue };
                    (block.columns.clone(), rows)
                }
            };
            let times = &columns.timestamps[rows.clone()];
            let start = rows.start + times.partition_point(|&t| t < self.range.start_ns);
            let end = rows.start + times.partition_point(|&t| t <= self.range.end_ns);
            if start < end {
                self.current = Some((columns, start..end));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Steps over `n` rows of the current part; false where the part is used up.
    pub(super) fn advance(&mut self, n: usize) -> bool {
        if let Some((_, rows)) = &mut self.current {
            rows.start += n;
            if rows.start < rows.end {
                return true;
            }
        }
        self.current = None;
        false
    }

    /// The sequence number of the next row.
    pub(super) fn seq(&self) -> u64 {
        match &self.current {
            Some((columns, rows)) => match &columns.seqs {
                Seqs::Constant(seq) => *seq,
                Seqs::Each(seqs) => seqs.get(rows.start).copied().unwrap_or_default(),
            },
            None => u64::MAX,
        }
    }
}

fn stored(segment: &Segment, series: usize, block: usize) -> Option<(&SeriesEntry, &BlockEntry)> {
    let series = segment.index().series.get(series)?;
    Some((series, series.blocks.get(block)?))
}
