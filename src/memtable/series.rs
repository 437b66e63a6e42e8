//! The points of one series in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Labels, TimeRange, ValueType};
use crate::format::{Columns, Seqs, Values};
use crate::wal::InsertRecord;

use super::Tombstone;

/// Rows after which a chunk is shared; a reader copies at most this many.
const CHUNK_ROWS: usize = 512;
/// Values after which a chunk is shared, whatever its rows.
const CHUNK_VALUES: usize = 8192;

/// Points in the order of their arrival.
#[derive(Debug, Clone)]
struct Chunk {
    timestamps: Vec<i64>,
    values: Values,
    /// Where each run of one label set starts, and which it is.
    label_runs: Vec<(u32, u32)>,
    /// Where each run of one sequence number starts, and which it is.
    seq_runs: Vec<(u32, u64)>,
    range: TimeRange,
    /// Timestamps strictly ascending and one label set: sorted as it is.
    sorted: bool,
}

impl Chunk {
    fn new(value_type: ValueType) -> Self {
        Self {
            timestamps: Vec::new(),
            values: Values::new(value_type),
            label_runs: Vec::new(),
            seq_runs: Vec::new(),
            range: TimeRange { start_ns: i64::MAX, end_ns: i64::MIN },
            sorted: true,
        }
    }

    /// Notes rows of one label set and one sequence number; at least one.
    fn note_rows(&mut self, timestamps: &[i64], label: u32, seq: u64) {
        let row = self.timestamps.len() as u32;
        let (&[start, ..], &[.., end]) = (timestamps, timestamps) else { return };
        let ascending = timestamps.is_sorted_by(|a, b| a < b);
        let (start, end) = if ascending {
            (start, end)
        } else {
            timestamps.iter().fold((start, end), |(start, end), &at| (start.min(at), end.max(at)))
        };
        self.sorted &= ascending && (row == 0 || start > self.range.end_ns);
        self.range.start_ns = self.range.start_ns.min(start);
        self.range.end_ns = self.range.end_ns.max(end);
        if self.label_runs.last().is_none_or(|run| run.1 != label) {
            self.sorted &= self.label_runs.is_empty();
            self.label_runs.push((row, label));
        }
        if self.seq_runs.last().is_none_or(|run| run.1 != seq) {
            self.seq_runs.push((row, seq));
        }
        self.timestamps.extend_from_slice(timestamps);
    }

    fn memory_bytes(&self) -> usize {
        self.timestamps.len() * 8
            + self.values.memory_bytes()
            + self.label_runs.len() * 8
            + self.seq_runs.len() * 16
    }
}

fn runs<T: Copy>(runs: &[(u32, T)], rows: usize) -> impl Iterator<Item = (Range<usize>, T)> + '_ {
    runs.iter().enumerate().map(move |(at, &(start, what))| {
        let end = runs.get(at + 1).map_or(rows, |next| next.0 as usize);
        (start as usize..end, what)
    })
}

/// The active points of one series.
#[derive(Debug)]
pub(super) struct SeriesBuffer {
    dimension: usize,
    value_type: ValueType,
    full: Vec<Arc<Chunk>>,
    tail: Chunk,
    labels: Vec<Labels>,
    label_ids: HashMap<Labels, u32>,
    pub(super) points: usize,
}

impl SeriesBuffer {
    pub(super) fn new(dimension: usize, value_type: ValueType) -> Self {
        Self {
            dimension,
            value_type,
            full: Vec::new(),
            tail: Chunk::new(value_type),
            labels: Vec::new(),
            label_ids: HashMap::new(),
            points: 0,
        }
    }

    /// Adds a record's points; returns the bytes that they take.
    pub(super) fn insert(&mut self, record: &InsertRecord, seq: u64) -> usize {
        let before = self.tail.memory_bytes();
        let mut added = 0;
        let mut sets = Vec::with_capacity(record.label_sets.len().max(1));
        if record.label_sets.is_empty() {
            sets.push(self.intern(&Labels::empty(), &mut added));
        }
        for labels in &record.label_sets {
            sets.push(self.intern(labels, &mut added));
        }
        let rows_max = (CHUNK_VALUES / self.dimension.max(1)).clamp(1, CHUNK_ROWS);
        let mut row = 0;
        let mut counted = before;
        while row < record.len() {
            let n = (rows_max - self.tail.timestamps.len()).min(record.len() - row);
            let timestamps = &record.timestamps[row..row + n];
            if record.label_ids.is_empty() {
                self.tail.note_rows(timestamps, sets[0], seq);
            } else {
                for (timestamp, &id) in timestamps.iter().zip(&record.label_ids[row..]) {
                    self.tail.note_rows(std::slice::from_ref(timestamp), sets[id as usize], seq);
                }
            }
            self.tail.values.extend_from(&record.values, row * self.dimension..(row + n) * self.dimension);
            row += n;
            if self.tail.timestamps.len() >= rows_max {
                let full = std::mem::replace(&mut self.tail, Chunk::new(self.value_type));
                added += full.memory_bytes() - counted;
                counted = 0;
                self.full.push(Arc::new(full));
            }
        }
        added += self.tail.memory_bytes() - counted;
        self.points += record.len();
        added
    }

    pub(super) fn has_labels(&self, labels: &Labels) -> bool {
        self.label_ids.contains_key(labels)
    }

    pub(super) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn intern(&mut self, labels: &Labels, added: &mut usize) -> u32 {
        if let Some(&id) = self.label_ids.get(labels) {
            return id;
        }
        let id = self.labels.len() as u32;
        self.labels.push(labels.clone());
        self.label_ids.insert(labels.clone(), id);
        *added += labels.memory_bytes() + 64;
        id
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.full.iter().map(|chunk| chunk.memory_bytes()).sum::<usize>() + self.tail.memory_bytes()
    }

    pub(super) fn snapshot(&self, tombstones: Vec<Tombstone>) -> SeriesSnapshot {
        let mut chunks = self.full.clone();
        if !self.tail.timestamps.is_empty() {
            chunks.push(Arc::new(self.tail.clone()));
        }
        SeriesSnapshot {
            dimension: self.dimension,
            value_type: self.value_type,
            chunks,
            labels: self.labels.clone(),
            tombstones,
        }
    }
}

/// The points of one series in one memtable, at one instant; they never change.
#[derive(Debug, Clone)]
pub struct SeriesSnapshot {
    dimension: usize,
    value_type: ValueType,
    chunks: Vec<Arc<Chunk>>,
    labels: Vec<Labels>,
    /// The memtable's tombstones for this series.
    pub tombstones: Vec<Tombstone>,
}

/// Points of one label set, ascending and unique in time.
#[derive(Debug, Clone)]
pub struct SortedRun {
    /// Which label set.
    pub labels: Labels,
    /// Its points.
    pub columns: Arc<Columns>,
    /// Which rows of `columns` are meant.
    pub rows: Range<usize>,
}

impl SeriesSnapshot {
    /// Points, overwritten ones included.
    pub fn points(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.timestamps.len()).sum()
    }

    /// The time that the points span; `None` where there are none.
    pub fn range(&self) -> Option<TimeRange> {
        self.chunks.iter().map(|chunk| chunk.range).reduce(TimeRange::union)
    }

    /// The label sets that were used.
    pub fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Heap bytes of the points.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.memory_bytes()).sum()
    }

    /// The points of the chunks that overlap a range, apart from each other in time and
    /// ascending: who reads one after the other need not sort all of them at once.
    pub fn stretches(&self, range: TimeRange) -> Vec<Self> {
        let overlapping = self.chunks.iter().enumerate().filter(|(_, chunk)| chunk.range.overlaps(range));
        let mut by_start: Vec<_> = overlapping.collect();
        by_start.sort_by_key(|(_, chunk)| chunk.range.start_ns);
        // Where each ends, and its chunks.
        let mut groups: Vec<(i64, Vec<_>)> = Vec::new();
        for (at, chunk) in by_start {
            match groups.last_mut() {
                Some((end_ns, group)) if chunk.range.start_ns <= *end_ns => {
                    *end_ns = chunk.range.end_ns.max(*end_ns);
                    group.push((at, chunk));
                }
                _ => groups.push((chunk.range.end_ns, vec![(at, chunk)])),
            }
        }
        let stretch = |mut group: Vec<(usize, &Arc<Chunk>)>| {
            // Of equals the one that arrived last is the newest.
            group.sort_unstable_by_key(|(at, _)| *at);
            let chunks = group.into_iter().map(|(_, chunk)| chunk.clone()).collect();
            Self { chunks, labels: self.labels.clone(), tombstones: Vec::new(), ..*self }
        };
        groups.into_iter().map(|(_, group)| stretch(group)).collect()
    }

    /// The points in a range as one run for each label set that `wanted` chooses, in
    /// the order of the label sets. Of points with one identity the newest is left.
    /// Tombstones are not applied.
    pub fn runs(&self, range: TimeRange, wanted: impl Fn(&Labels) -> bool) -> Vec<SortedRun> {
        let chunks: Vec<&Chunk> =
            self.chunks.iter().map(|chunk| &**chunk).filter(|chunk| chunk.range.overlaps(range)).collect();
        let mut rows_of: Vec<Vec<(i64, u32, u32)>> = vec![Vec::new(); self.labels.len()];
        for (at, chunk) in chunks.iter().enumerate() {
            for (rows, label) in runs(&chunk.label_runs, chunk.timestamps.len()) {
                let Some(picked) = rows_of.get_mut(label as usize) else { continue };
                if !self.labels.get(label as usize).is_some_and(&wanted) {
                    continue;
                }
                let rows = if chunk.sorted {
                    let start = chunk.timestamps.partition_point(|&t| t < range.start_ns);
                    let end = chunk.timestamps.partition_point(|&t| t <= range.end_ns);
                    start.max(rows.start)..end.min(rows.end)
                } else {
                    rows
                };
                picked.extend(
                    rows.map(|row| (chunk.timestamps[row], at as u32, row as u32))
                        .filter(|(timestamp, ..)| range.contains(*timestamp)),
                );
            }
        }
        let mut found: Vec<SortedRun> = self
            .labels
            .iter()
            .zip(rows_of)
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(labels, rows)| self.sorted_run(labels, rows, &chunks))
            .collect();
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    fn sorted_run(&self, labels: &Labels, mut rows: Vec<(i64, u32, u32)>, chunks: &[&Chunk]) -> SortedRun {
        // Rows stand in the order of arrival: after a stable sort by time the last
        // of equals is the newest.
        if !rows.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            rows.sort_by_key(|row| row.0);
            let mut kept: Vec<(i64, u32, u32)> = Vec::with_capacity(rows.len());
            for row in rows {
                match kept.last_mut() {
                    Some(last) if last.0 == row.0 => *last = row,
                    _ => kept.push(row),
                }
            }
            rows = kept;
        }
        let mut values = Values::with_capacity(self.value_type, rows.len() * self.dimension);
        let mut seqs = Vec::with_capacity(rows.len());
        for &(_, chunk, row) in &rows {
            let (chunk, row) = (chunks[chunk as usize], row as usize);
            values.extend_from(&chunk.values, row * self.dimension..(row + 1) * self.dimension);
            let run = chunk.seq_runs.partition_point(|&(start, _)| start as usize <= row);
            seqs.push(chunk.seq_runs[run - 1].1);
        }
        let columns = Columns {
            dimension: self.dimension,
            timestamps: rows.iter().map(|row| row.0).collect(),
            seqs: Seqs::new(seqs),
            values,
        };
        SortedRun { labels: labels.clone(), rows: 0..columns.len(), columns: Arc::new(columns) }
    }
}
