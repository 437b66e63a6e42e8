//! The points of one label set in one source, block by block.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Labels, Result, TimeRange};
use crate::format::Columns;
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
    /// Most rows that are held of a block; `None`: the whole block is.
    rows_max: Option<usize>,
    current: Option<(Arc<Columns>, Range<usize>)>,
}

impl Run {
    /// The points of `parts` in `range`. Parts ascend in time and do not overlap.
    pub fn new(rank: u32, parts: impl IntoIterator<Item = Part>, range: TimeRange) -> Self {
        let mut parts: VecDeque<Part> = parts.into_iter().collect();
        // There may be a run for each of very many label sets.
        parts.shrink_to_fit();
        Self { rank, parts, range, rows_max: None, current: None }
    }

    /// Holds a copy of so many rows at a time, instead of the block that they are in.
    pub(super) fn hold(&mut self, rows_max: usize) {
        self.rows_max = Some(rows_max);
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
            let mut of_block = None;
            let (columns, rows) = match part {
                Part::Memory(columns, rows) => (columns, rows),
                Part::Buffered { points, labels } => {
                    let Some(run) = points.runs(self.range, |found| *found == labels).pop() else { continue };
                    (run.columns, run.rows)
                }
                Part::Stored { segment, series, block, label } => {
                    let Some((of_series, entry)) = stored(&segment, series, block) else { continue };
                    let found = segment.block(of_series, entry, self.range)?;
                    let Some(rows) = found.rows_of(label) else { continue };
                    of_block = Some((segment, series, block, label));
                    (found.columns.clone(), rows)
                }
            };
            let times = &columns.timestamps[rows.clone()];
            let start = rows.start + times.partition_point(|&t| t < self.range.start_ns);
            let end = rows.start + times.partition_point(|&t| t <= self.range.end_ns);
            if start >= end {
                continue;
            }
            self.current = Some(match (of_block, self.rows_max) {
                (Some((segment, series, block, label)), Some(rows_max)) if columns.len() > rows_max => {
                    let held = (end - start).min(rows_max);
                    if start + held < end {
                        // The rest follows when these are stepped over.
                        self.parts.push_front(Part::Stored { segment, series, block, label });
                    }
                    (Arc::new(columns.part(start..start + held)), 0..held)
                }
                _ => (columns, start..end),
            });
            return Ok(true);
        }
        Ok(false)
    }

    /// Steps over `n` rows of the current part; false where the part is used up.
    pub(super) fn advance(&mut self, n: usize) -> bool {
        if let Some((columns, rows)) = &mut self.current {
            rows.start += n;
            if rows.start < rows.end {
                return true;
            }
            // What follows is later, whatever else is in its block: who waits for the run must
            // not think that something may come before what others have next.
            if let Some(last) = rows.end.checked_sub(1).and_then(|last| columns.timestamps.get(last)) {
                self.range.start_ns = self.range.start_ns.max(last.saturating_add(1));
            }
        }
        self.current = None;
        false
    }

    /// The sequence number of the next row.
    pub(super) fn seq(&self) -> u64 {
        match &self.current {
            Some((columns, rows)) => columns.seqs.get(rows.start),
            None => u64::MAX,
        }
    }
}

fn stored(segment: &Segment, series: usize, block: usize) -> Option<(&SeriesEntry, &BlockEntry)> {
    let series = segment.index().series.get(series)?;
    Some((series, series.blocks.get(block)?))
}
