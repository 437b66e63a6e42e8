//! A series at one instant: all its sources, pinned.

use std::sync::Arc;

use crate::base::{Labels, Result, TimeRange, ValueType};
use crate::format::{BLOCK_ROWS_MAX, Block, Columns};
use crate::memtable::{SeriesSnapshot, Tombstone};
use crate::segments::{Segment, SeriesEntry};

use super::{Hidden, MergeOrder, Merger, Part, Run};

/// With more label sets than this in a memtable all of its points are sorted at once: each
/// set looks through all of them.
const BUFFERED_SETS_MAX: usize = 4;

/// What a run takes, and its place in the heap, beside its points.
const RUN_BYTES: u64 = 256;
/// Most bytes of blocks that a merge of many runs holds; beyond, it copies what comes next
/// of each. Tests do so soon.
const HELD_BYTES_MAX: u64 = if cfg!(test) { 8 << 10 } else { 4 << 20 };
/// The least number of rows that is copied.
const HELD_ROWS_MIN: u64 = 4;
/// What such a copy takes beside its rows.
const COPY_BYTES: u64 = 256;

/// Most values of blocks that are decoded while rows are estimated, which is less work than
/// handing a query to another thread.
const FETCHED_VALUES_MAX: u64 = 2 * BLOCK_ROWS_MAX as u64;
/// Label sets of a cached block whose rows in a range are counted.
const COUNTED_RUNS_MAX: usize = 16;

/// How many of these ascending times are in a range.
fn rows_between(times: &[i64], range: TimeRange) -> u64 {
    let below = |bound: i64| times.partition_point(|&time| time < bound);
    let end = range.end_ns.checked_add(1).map_or(times.len(), below);
    end.saturating_sub(below(range.start_ns)) as u64
}

/// A series at one instant. It never changes and blocks nobody; the files it needs
/// stay until it is dropped.
#[derive(Clone)]
pub struct SeriesView {
    /// Its id in the shard.
    pub series_id: u64,
    /// Values a point has.
    pub dimension: usize,
    /// How they are stored.
    pub value_type: ValueType,
    /// What memtables hold of it.
    pub memory: Vec<SeriesSnapshot>,
    /// The segments that may hold points or tombstones of it.
    pub segments: Vec<Arc<Segment>>,
}

impl SeriesView {
    /// What the segments hold of the series.
    pub fn stored(&self) -> impl Iterator<Item = (&Arc<Segment>, usize, &SeriesEntry)> {
        self.segments.iter().filter_map(|segment| {
            let series = &segment.index().series;
            let at = series.binary_search_by_key(&self.series_id, |entry| entry.series_id).ok()?;
            Some((segment, at, series.get(at)?))
        })
    }

    fn tombstones(&self) -> Vec<&Tombstone> {
        let stored = self.segments.iter().flat_map(|segment| segment.index().tombstones_of(self.series_id));
        self.memory.iter().flat_map(|memory| &memory.tombstones).chain(stored).collect()
    }

    /// The label sets that points may have and that `wanted` chooses, sorted: a rank
    /// is an index here.
    pub fn label_sets(&self, wanted: impl Fn(&Labels) -> bool) -> Vec<Labels> {
        let memory = self.memory.iter().flat_map(SeriesSnapshot::labels);
        let stored = self.stored().flat_map(|(_, _, series)| &series.labels);
        let mut sets: Vec<Labels> = memory.chain(stored).filter(|labels| wanted(labels)).cloned().collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// A span that all points are in, without the disk; `None` where there is none.
    pub fn extent(&self) -> Option<TimeRange> {
        let memory = self.memory.iter().filter_map(SeriesSnapshot::range);
        memory.chain(self.stored().filter_map(|(_, _, series)| series.range())).reduce(TimeRange::union)
    }

    /// Upper bound of the points in a range, without the disk; and whether they can be read
    /// without it. A few small blocks that the system has in memory are fetched for it where
    /// `fetches` says so.
    pub fn estimate_rows(&self, range: TimeRange, fetches: bool) -> (u64, bool) {
        let memory = self.memory.iter().filter(|memory| memory.range().is_some_and(|r| r.overlaps(range)));
        let mut rows: u64 = memory.map(|memory| memory.points() as u64).sum();
        let rows_of = |found: &Block| {
            let times = &found.columns.timestamps;
            // One of many label sets would be long to count.
            match found.label_runs.len() {
                ..=COUNTED_RUNS_MAX => found.runs().map(|(_, run)| rows_between(&times[run], range)).sum(),
                _ => times.len() as u64,
            }
        };
        let (mut missing, mut missing_rows) = (Vec::new(), 0);
        for (segment, _, series) in self.stored() {
            for block in series.blocks_in(range) {
                if let Some(cached) = segment.cached(block, range) {
                    rows += rows_of(&cached);
                    continue;
                }
                missing_rows += u64::from(block.rows);
                if missing_rows * self.dimension as u64 <= FETCHED_VALUES_MAX {
                    missing.push((segment, series, block));
                }
            }
        }
        if missing_rows == 0 {
            return (rows, true);
        }
        if !fetches || missing_rows * self.dimension as u64 > FETCHED_VALUES_MAX {
            return (rows + missing_rows, false);
        }
        let mut is_at_hand = true;
        for (segment, series, block) in missing {
            let fetched = segment.fetch(series, block, range);
            is_at_hand &= fetched.is_some();
            rows += fetched.map_or(u64::from(block.rows), |found| rows_of(&found));
        }
        (rows, is_at_hand)
    }

    fn row_bytes(&self) -> u64 {
        // Time, number and values.
        16 + 8 * self.dimension as u64
    }

    /// How many runs a merge has, and the bytes of the blocks that they are in at a time.
    fn count_runs(&self, range: TimeRange, is_wanted: impl Fn(&Labels) -> bool) -> (u64, u64) {
        let in_range = |of: Option<TimeRange>| of.is_some_and(|of| of.overlaps(range));
        let memory = self.memory.iter().filter(|memory| in_range(memory.range()));
        let mut runs: u64 =
            memory.map(|m| m.labels().iter().filter(|set| is_wanted(set)).count() as u64).sum();
        let mut open: Vec<(TimeRange, u64)> = Vec::new();
        for (_, _, series) in self.stored() {
            let Some(span) = series.range().filter(|span| span.overlaps(range)) else { continue };
            let wanted = series.labels.iter().filter(|set| is_wanted(set)).count() as u64;
            let blocks = series.blocks_in(range);
            let (blocks, rows) =
                blocks.fold((0, 0), |(blocks, rows), block| (blocks + 1, rows + u64::from(block.rows)));
            runs += wanted.min(rows);
            // One block of each label set, of which several may be in one block.
            open.push((span, if wanted < blocks { rows / blocks * wanted } else { rows }));
        }
        // Segments that follow each other in time are open one after the other.
        let at = |time: i64| {
            open.iter().filter(|(span, _)| span.contains(time)).map(|(_, rows)| rows).sum::<u64>()
        };
        let most = open.iter().map(|(span, _)| at(span.start_ns)).max().unwrap_or(0);
        (runs, most.saturating_mul(self.row_bytes()))
    }

    /// How many rows each of so many runs holds of such blocks.
    fn held_rows(&self, runs: u64, open_bytes: u64) -> Option<u64> {
        let rows = HELD_BYTES_MAX / runs.max(1) / self.row_bytes();
        (open_bytes > HELD_BYTES_MAX && runs > 1).then_some(rows.max(HELD_ROWS_MIN))
    }

    /// What a merge in the order of time holds, about.
    pub fn merge_bytes(&self, range: TimeRange, is_wanted: impl Fn(&Labels) -> bool) -> u64 {
        let (runs, open_bytes) = self.count_runs(range, is_wanted);
        let held = self
            .held_rows(runs, open_bytes)
            .map_or(open_bytes, |rows| runs * (COPY_BYTES + rows * self.row_bytes()).min(open_bytes));
        runs * RUN_BYTES + held
    }

    /// Merges the points in a range whose label set is one of `sets`.
    pub fn merge(&self, range: TimeRange, sets: &[Labels], order: MergeOrder) -> Merger {
        let rank = |labels: &Labels| sets.binary_search(labels).ok().map(|rank| rank as u32);
        let mut runs = Vec::new();
        for memory in &self.memory {
            if memory.labels().len() <= BUFFERED_SETS_MAX {
                let stretches: Vec<_> = memory.stretches(range).into_iter().map(Arc::new).collect();
                for labels in memory.labels() {
                    let Some(rank) = rank(labels) else { continue };
                    let parts = stretches
                        .iter()
                        .map(|points| Part::Buffered { points: points.clone(), labels: labels.clone() });
                    runs.push(Run::new(rank, parts, range));
                }
                continue;
            }
            for run in memory.runs(range, |labels| rank(labels).is_some()) {
                if let Some(rank) = rank(&run.labels) {
                    runs.push(Run::new(rank, [Part::Memory(run.columns, run.rows)], range));
                }
            }
        }
        for (segment, at, series) in self.stored() {
            for (rank, labels) in sets.iter().enumerate() {
                let Ok(label) = series.labels.binary_search(labels) else { continue };
                let (rank, label) = (rank as u32, label as u32);
                let parts: Vec<Part> = series
                    .blocks_of(label, range)
                    .map(|(block, _)| Part::Stored { segment: segment.clone(), series: at, block, label })
                    .collect();
                if !parts.is_empty() {
                    runs.push(Run::new(rank, parts, range));
                }
            }
        }
        if order == MergeOrder::Time && runs.len() > 1 {
            let (_, open_bytes) = self.count_runs(range, |set| rank(set).is_some());
            if let Some(rows) = self.held_rows(runs.len() as u64, open_bytes) {
                for run in &mut runs {
                    run.hold(rows as usize);
                }
            }
        }
        Merger::new(order, runs, self.hidden(range, sets))
    }

    fn hidden(&self, range: TimeRange, sets: &[Labels]) -> Vec<Vec<Hidden>> {
        let tombstones = self.tombstones();
        if tombstones.iter().all(|tombstone| !tombstone.range.overlaps(range)) {
            return Vec::new();
        }
        let bears_on = |labels: &Labels| {
            tombstones
                .iter()
                .filter(|tombstone| tombstone.range.overlaps(range) && tombstone.labels.matches(labels))
                .map(|tombstone| Hidden { range: tombstone.range, seq: tombstone.seq })
                .collect()
        };
        sets.iter().map(bears_on).collect()
    }

    /// The point that a reader sees of one identity, and the row that it is.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where a block fails its checks.
    pub fn point(&self, timestamp_ns: i64, labels: &Labels) -> Result<Option<(Arc<Columns>, usize)>> {
        let range = TimeRange { start_ns: timestamp_ns, end_ns: timestamp_ns };
        let mut merger = self.merge(range, std::slice::from_ref(labels), MergeOrder::LabelSet);
        Ok(merger.next_slice()?.map(|slice| (slice.columns, slice.rows.start)))
    }

    /// The times of other points and of tombstones: a point of `segment` at any other
    /// time is seen by readers.
    pub fn contested(&self, segment: &Arc<Segment>) -> Vec<TimeRange> {
        let memory = self.memory.iter().filter_map(SeriesSnapshot::range);
        let others = self.stored().filter(|(other, ..)| !Arc::ptr_eq(other, segment));
        let tombstones = self.tombstones().into_iter().map(|tombstone| tombstone.range);
        memory.chain(others.filter_map(|(_, _, series)| series.range())).chain(tombstones).collect()
    }

    /// Whether a tombstone bears on a range.
    pub fn has_tombstones(&self, range: TimeRange) -> bool {
        self.tombstones().iter().any(|tombstone| tombstone.range.overlaps(range))
    }
}
