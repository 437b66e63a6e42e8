//! The merge.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Result, TimeRange};
use crate::format::Columns;

use super::Run;

/// In which order merged points come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeOrder {
    /// By time, then label set: what a query shows.
    Time,
    /// By label set, then time: what a segment stores.
    LabelSet,
}

/// Points of one label set in `range` with a sequence number below `seq` are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// Which time.
    pub range: TimeRange,
    /// The tombstone's number.
    pub seq: u64,
}

/// Rows of one label set that come next in the merged order.
#[derive(Debug, Clone)]
pub struct MergedSlice {
    /// The label set's place among those of the query.
    pub rank: u32,
    /// Where the rows are.
    pub columns: Arc<Columns>,
    /// Which rows.
    pub rows: Range<usize>,
}

/// Merges runs; see the module's tour.
pub struct Merger {
    order: MergeOrder,
    runs: Vec<Run>,
    heap: BinaryHeap<Entry>,
    /// For each rank, what is hidden.
    hidden: Vec<Vec<Hidden>>,
}

/// A run waiting for its turn. The run with the least key comes first; of equal keys
/// one that must still be opened, then the newest.
#[derive(PartialEq, Eq)]
struct Entry {
    key: (i64, i64),
    opened: bool,
    seq: u64,
    run: usize,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // `BinaryHeap` yields the greatest.
        other
            .key
            .cmp(&self.key)
            .then(other.opened.cmp(&self.opened))
            .then(self.seq.cmp(&other.seq))
            .then(other.run.cmp(&self.run))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Merger {
    /// Merges `runs`. `hidden` has the tombstones that bear on each rank; ranks
    /// beyond its end have none.
    pub fn new(order: MergeOrder, runs: Vec<Run>, hidden: Vec<Vec<Hidden>>) -> Self {
        let mut merger = Self { order, heap: BinaryHeap::with_capacity(runs.len()), runs, hidden };
        for run in 0..merger.runs.len() {
            merger.queue(run);
        }
        merger
    }

    fn key(&self, rank: u32, timestamp: i64) -> (i64, i64) {
        match self.order {
            MergeOrder::Time => (timestamp, i64::from(rank)),
            MergeOrder::LabelSet => (i64::from(rank), timestamp),
        }
    }

    /// Puts a run back in line, if it has anything left.
    fn queue(&mut self, at: usize) {
        let run = &self.runs[at];
        let entry = match run.current() {
            Some((columns, rows)) => Some((columns.timestamps[rows.start], true)),
            None => run.earliest().map(|earliest| (earliest, false)),
        };
        if let Some((timestamp, opened)) = entry {
            let key = self.key(run.rank, timestamp);
            self.heap.push(Entry { key, opened, seq: run.seq(), run: at });
        }
    }

    fn advance(&mut self, at: usize, n: usize) {
        self.runs[at].advance(n);
        self.queue(at);
    }

    /// The next visible rows; `None` at the end.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where a block fails its checks.
    pub fn next_slice(&mut self) -> Result<Option<MergedSlice>> {
        while let Some(entry) = self.heap.pop() {
            let at = entry.run;
            if !entry.opened {
                if self.runs[at].open()? {
                    self.queue(at);
                }
                continue;
            }
            let mut duplicate = false;
            while let Some(other) = self.heap.peek() {
                if other.key != entry.key {
                    break;
                }
                // The same identity, written earlier.
                duplicate = true;
                let older = other.run;
                self.heap.pop();
                self.advance(older, 1);
            }
            let rank = self.runs[at].rank;
            let Some((columns, rows)) = self.runs[at].current() else { continue };
            let (columns, rows) = (columns.clone(), rows.clone());
            let mut end = if duplicate { rows.start + 1 } else { self.end_of_slice(rank, &columns, &rows) };
            let mut start = rows.start;
            if let Some(hidden) = self.hidden.get(rank as usize).filter(|hidden| !hidden.is_empty()) {
                (start, end) = visible(&columns, start..end, hidden);
            }
            self.advance(at, end - rows.start);
            if start < end {
                return Ok(Some(MergedSlice { rank, columns, rows: start..end }));
            }
        }
        Ok(None)
    }

    /// How far the run can go before another one has its turn.
    fn end_of_slice(&self, rank: u32, columns: &Columns, rows: &Range<usize>) -> usize {
        let Some(next) = self.heap.peek() else { return rows.end };
        let times = &columns.timestamps[rows.clone()];
        rows.start + times.partition_point(|&t| self.key(rank, t) < next.key)
    }
}

/// The first visible rows, and where they end; an empty range that ends where looking
/// can go on, if there are none.
fn visible(columns: &Columns, rows: Range<usize>, hidden: &[Hidden]) -> (usize, usize) {
    let is_hidden = |row: usize| {
        let (timestamp, seq) = (columns.timestamps[row], columns.seqs.get(row));
        hidden.iter().any(|hidden| seq < hidden.seq && hidden.range.contains(timestamp))
    };
    let start = rows.clone().find(|&row| !is_hidden(row)).unwrap_or(rows.end);
    let end = (start..rows.end).find(|&row| is_hidden(row)).unwrap_or(rows.end);
    (start, end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::Rng;
    use crate::format::{Seqs, Values};
    use crate::merge::Part;

    fn part(points: &[(i64, u64)]) -> Part {
        let columns = Columns {
            dimension: 1,
            timestamps: points.iter().map(|p| p.0).collect(),
            seqs: Seqs::Each(points.iter().map(|p| p.1).collect()),
            values: Values::F64(points.iter().map(|p| p.1 as f64).collect()),
        };
        let rows = 0..columns.len();
        Part::Memory(Arc::new(columns), rows)
    }

    fn drain(mut merger: Merger) -> Vec<(i64, u32, u64)> {
        let mut out = Vec::new();
        while let Some(slice) = merger.next_slice().unwrap() {
            assert!(!slice.rows.is_empty());
            for row in slice.rows {
                out.push((slice.columns.timestamps[row], slice.rank, slice.columns.seqs.get(row)));
            }
        }
        out
    }

    #[test]
    fn the_newest_of_an_identity_wins() {
        let runs = vec![
            Run::new(0, [part(&[(1, 1), (2, 2), (3, 3)])], TimeRange::ALL),
            Run::new(0, [part(&[(2, 9), (4, 10)])], TimeRange::ALL),
            Run::new(1, [part(&[(2, 5)])], TimeRange::ALL),
        ];
        let merged = drain(Merger::new(MergeOrder::Time, runs, vec![]));
        assert_eq!(merged, [(1, 0, 1), (2, 0, 9), (2, 1, 5), (3, 0, 3), (4, 0, 10)]);
    }

    /// Random sources and tombstones against an ordered map.
    #[test]
    fn it_agrees_with_an_ordered_map() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut newest: BTreeMap<(u32, i64), u64> = BTreeMap::new();
            let mut runs = Vec::new();
            let mut hidden: Vec<Vec<Hidden>> = vec![Vec::new(); 3];
            let range = TimeRange::new(10, 10 + rng.below(60) as i64).unwrap();
            let mut seq = 0;
            for _source in 0..=rng.below(5) {
                for rank in 0..3 {
                    let mut points = BTreeMap::new();
                    for _ in 0..rng.below(30) {
                        seq += 1;
                        points.insert(rng.below(80) as i64, seq);
                    }
                    for (&timestamp, &seq) in &points {
                        if range.contains(timestamp) {
                            newest.insert((rank, timestamp), seq);
                        }
                    }
                    let points: Vec<_> = points.into_iter().collect();
                    let parts = points.chunks(1 + rng.below(10) as usize).map(part).collect::<Vec<_>>();
                    runs.push(Run::new(rank, parts, range));
                    if rng.one_in(4) {
                        seq += 1;
                        let start = rng.below(80) as i64;
                        let range = TimeRange::new(start, start + rng.below(20) as i64).unwrap();
                        hidden[rank as usize].push(Hidden { range, seq });
                        newest.retain(|&(r, t), s| r != rank || !range.contains(t) || *s >= seq);
                    }
                }
            }
            // Later sources may overwrite what a tombstone hid; the map above already
            // did things in order of sequence.
            let by_set: Vec<_> = newest.iter().map(|(&(rank, t), &seq)| (t, rank, seq)).collect();
            let mut by_time = by_set.clone();
            by_time.sort_unstable();
            let order = if seed % 2 == 0 { MergeOrder::Time } else { MergeOrder::LabelSet };
            let expected = if order == MergeOrder::Time { by_time } else { by_set };
            assert_eq!(drain(Merger::new(order, runs, hidden)), expected, "seed {seed}");
        }
    }
}
