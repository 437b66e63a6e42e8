//! A memtable: all series of a shard, and their tombstones.

use std::collections::BTreeMap;

use crate::base::{LabelFilter, Labels, TimeRange, ValueType};
use crate::wal::{DeleteRecord, InsertRecord};

use super::SeriesSnapshot;
use super::series::SeriesBuffer;

/// A deletion that hides every older point in its range that its filter matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    /// Points with a smaller number are hidden.
    pub seq: u64,
    /// Which time.
    pub range: TimeRange,
    /// Which label sets.
    pub labels: LabelFilter,
}

/// Points and tombstones of a shard since some sequence number.
#[derive(Debug, Default)]
pub struct Memtable {
    series: BTreeMap<u64, SeriesBuffer>,
    tombstones: BTreeMap<u64, Vec<Tombstone>>,
    points: usize,
    memory_bytes: usize,
    last_seq: u64,
}

impl Memtable {
    /// Adds points; returns the bytes that they take.
    pub fn insert(&mut self, record: &InsertRecord, seq: u64) -> usize {
        let value_type = record.values.value_type();
        let mut added = 0;
        let buffer = self.series.entry(record.series_id).or_insert_with(|| {
            added += 256;
            SeriesBuffer::new(record.dimension, value_type)
        });
        added += buffer.insert(record, seq);
        self.points += record.len();
        self.memory_bytes += added;
        self.last_seq = seq;
        added
    }

    /// Adds a tombstone; returns the bytes that it takes.
    pub fn delete(&mut self, record: &DeleteRecord, seq: u64) -> usize {
        let tombstone = Tombstone { seq, range: record.range, labels: record.labels.clone() };
        self.tombstones.entry(record.series_id).or_default().push(tombstone);
        let added = 64 + record.labels.pairs().memory_bytes();
        self.memory_bytes += added;
        self.last_seq = seq;
        added
    }

    /// Notes a record that leaves no trace here.
    pub fn note_seq(&mut self, seq: u64) {
        self.last_seq = seq;
    }

    /// Points, overwritten ones included.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Heap bytes, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// The newest record's number; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether there is neither point nor tombstone.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.tombstones.is_empty()
    }

    /// The series that have points or tombstones here, ascending.
    pub fn series_ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.series.keys().chain(self.tombstones.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Heap bytes of one series' points.
    pub fn series_memory_bytes(&self, series_id: u64) -> usize {
        self.series.get(&series_id).map_or(0, SeriesBuffer::memory_bytes)
    }

    /// Points of one series, overwritten ones included.
    pub fn series_points(&self, series_id: u64) -> usize {
        self.series.get(&series_id).map_or(0, |buffer| buffer.points)
    }

    /// Whether points of a series came with a label set.
    pub fn has_labels(&self, series_id: u64, labels: &Labels) -> bool {
        self.series.get(&series_id).is_some_and(|buffer| buffer.has_labels(labels))
    }

    /// The label sets of the series of which something was deleted.
    pub fn label_sets_with_tombstones(&self) -> impl Iterator<Item = (u64, &Labels)> {
        let deleted_from = self.tombstones.keys();
        let buffers = deleted_from.filter_map(|series_id| Some((*series_id, self.series.get(series_id)?)));
        buffers.flat_map(|(series_id, buffer)| buffer.labels().iter().map(move |labels| (series_id, labels)))
    }

    /// One series at this instant; `None` where nothing of it is here.
    pub fn snapshot(
        &self,
        series_id: u64,
        dimension: usize,
        value_type: ValueType,
    ) -> Option<SeriesSnapshot> {
        let tombstones = self.tombstones.get(&series_id).cloned();
        match (self.series.get(&series_id), tombstones) {
            (None, None) => None,
            (Some(buffer), tombstones) => Some(buffer.snapshot(tombstones.unwrap_or_default())),
            (None, Some(tombstones)) => Some(SeriesBuffer::new(dimension, value_type).snapshot(tombstones)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Values;

    fn insert(table: &mut Memtable, seq: u64, timestamps: &[i64], values: &[f64], labels: &[(&str, &str)]) {
        let labels = Labels::new(labels.iter().copied()).unwrap();
        let record = InsertRecord {
            series_id: 1,
            dimension: 1,
            assigned_max_ns: None,
            timestamps: timestamps.to_vec(),
            values: Values::F64(values.to_vec()),
            label_ids: vec![],
            label_sets: if labels.is_empty() { vec![] } else { vec![labels] },
        };
        table.insert(&record, seq);
    }

    /// Labels, timestamps, values and sequence numbers of a run.
    type Run = (String, Vec<i64>, Vec<f64>, Vec<u64>);

    fn points(table: &Memtable, range: TimeRange) -> Vec<Run> {
        let snapshot = table.snapshot(1, 1, ValueType::F64).unwrap();
        let runs = snapshot.runs(range, |_| true);
        runs.iter()
            .map(|run| {
                let mut values = Vec::new();
                run.columns.values.copy_to_f64(0..run.columns.len(), &mut values);
                let seqs = (0..run.columns.len()).map(|row| run.columns.seqs.get(row)).collect();
                (run.labels.to_string(), run.columns.timestamps.clone(), values, seqs)
            })
            .collect()
    }

    #[test]
    fn rows_come_sorted_and_the_newest_wins() {
        let mut table = Memtable::default();
        insert(&mut table, 1, &[30, 10, 20], &[3.0, 1.0, 2.0], &[]);
        insert(&mut table, 2, &[20, 20], &[8.0, 9.0], &[]);
        insert(&mut table, 3, &[5], &[0.5], &[("a", "b")]);
        let found = points(&table, TimeRange::ALL);
        assert_eq!(found[0], (String::new(), vec![10, 20, 30], vec![1.0, 9.0, 3.0], vec![1, 2, 1]));
        assert_eq!(found[1], ("a=b".into(), vec![5], vec![0.5], vec![3]));
        let part = points(&table, TimeRange::new(15, 25).unwrap());
        assert_eq!(part.len(), 1);
        assert_eq!(part[0].1, [20]);
        assert_eq!((table.points(), table.last_seq()), (6, 3));
    }

    #[test]
    fn chunks_of_every_length_keep_all_points() {
        for batch in [1, 7, 511, 512, 513, 2000] {
            let mut table = Memtable::default();
            let mut next = 0_i64;
            for seq in 0..5 {
                let timestamps: Vec<i64> = (next..next + batch).collect();
                let values: Vec<f64> = timestamps.iter().map(|&t| t as f64).collect();
                insert(&mut table, seq + 1, &timestamps, &values, &[]);
                next += batch;
            }
            let found = points(&table, TimeRange::ALL);
            assert_eq!(found[0].1, (0..next).collect::<Vec<_>>(), "batch {batch}");
            assert!(found[0].3.iter().enumerate().all(|(at, &seq)| seq == at as u64 / batch as u64 + 1));
            let half = TimeRange::new(next / 2, i64::MAX).unwrap();
            assert_eq!(points(&table, half)[0].1, (next / 2..next).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_snapshot_does_not_see_later_points() {
        let mut table = Memtable::default();
        insert(&mut table, 1, &[1], &[1.0], &[]);
        let snapshot = table.snapshot(1, 1, ValueType::F64).unwrap();
        insert(&mut table, 2, &[2], &[2.0], &[]);
        assert_eq!(snapshot.points(), 1);
    }

    #[test]
    fn memory_is_about_sixteen_bytes_a_point() {
        let mut table = Memtable::default();
        for seq in 0..100 {
            let timestamps: Vec<i64> = (seq * 1000..(seq + 1) * 1000).collect();
            insert(&mut table, seq as u64 + 1, &timestamps, &vec![0.0; 1000], &[]);
        }
        assert!(table.memory_bytes() < 17 * 100_000, "{} bytes", table.memory_bytes());
    }
}
