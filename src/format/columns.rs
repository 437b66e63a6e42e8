//! Points in columns as they are stored and merged: timestamps, sequence numbers
//! and values of the series' own type.

use std::ops::Range;

use crate::base::ValueType;

/// Values of many points, time-major, in the series' type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit floats.
    F32(Vec<f32>),
}

impl Values {
    /// No values of the given type.
    pub fn new(value_type: ValueType) -> Self {
        Self::with_capacity(value_type, 0)
    }

    /// No values yet, with room for `values`.
    pub fn with_capacity(value_type: ValueType, values: usize) -> Self {
        match value_type {
            ValueType::F64 => Self::F64(Vec::with_capacity(values)),
            ValueType::F32 => Self::F32(Vec::with_capacity(values)),
        }
    }

    /// The type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::F64(_) => ValueType::F64,
            Self::F32(_) => ValueType::F32,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.len() * self.value_type().size_bytes()
    }

    /// Appends numbers that the type can hold exactly.
    pub fn extend_from_f64(&mut self, from: &[f64]) {
        match self {
            Self::F64(values) => values.extend_from_slice(from),
            Self::F32(values) => values.extend(from.iter().map(|&v| v as f32)),
        }
    }

    /// Appends a part of another column of the same type.
    ///
    /// # Panics
    /// If the types differ; a series has one type.
    pub fn extend_from(&mut self, from: &Self, range: Range<usize>) {
        match (self, from) {
            (Self::F64(to), Self::F64(from)) => to.extend_from_slice(&from[range]),
            (Self::F32(to), Self::F32(from)) => to.extend_from_slice(&from[range]),
            _ => unreachable!("a series has one value type"),
        }
    }

    /// Appends a part of this column to `out`.
    pub fn copy_to_f64(&self, range: Range<usize>, out: &mut Vec<f64>) {
        match self {
            Self::F64(values) => out.extend_from_slice(&values[range]),
            Self::F32(values) => out.extend(values[range].iter().map(|&v| f64::from(v))),
        }
    }

    /// Removes all values, keeping the room.
    pub fn clear(&mut self) {
        match self {
            Self::F64(values) => values.clear(),
            Self::F32(values) => values.clear(),
        }
    }
}

/// Points that a run of equal sequence numbers has on average, where runs take less.
const SEQS_A_RUN_MIN: usize = 64;

/// One sequence number a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seqs {
    /// All points have the same.
    Constant(u64),
    /// The first point of each run of equal numbers, from point 0 on, and the number.
    Runs(Vec<(u32, u64)>),
    /// One a point.
    Each(Vec<u64>),
}

impl Seqs {
    /// These numbers, in the form that takes least; batches have one for all of their points.
    pub fn new(seqs: Vec<u64>) -> Self {
        let runs = || seqs.chunk_by(|a, b| a == b);
        let most = seqs.len() / SEQS_A_RUN_MIN;
        match runs().take(most.max(1) + 1).count() {
            0 => Self::Each(seqs),
            1 => Self::Constant(seqs[0]),
            found if found > most => Self::Each(seqs),
            _ => {
                let mut start = 0;
                let mut found = Vec::new();
                for run in runs() {
                    found.push((start, run[0]));
                    start += run.len() as u32;
                }
                Self::Runs(found)
            }
        }
    }

    /// The number of point `row`.
    pub fn get(&self, row: usize) -> u64 {
        match self {
            Self::Constant(seq) => *seq,
            Self::Runs(runs) => runs[run_of(runs, row)].1,
            Self::Each(seqs) => seqs[row],
        }
    }

    /// Appends the numbers of some points.
    pub fn copy_to(&self, rows: Range<usize>, out: &mut Vec<u64>) {
        match self {
            Self::Constant(seq) => out.resize(out.len() + rows.len(), *seq),
            Self::Each(seqs) => out.extend_from_slice(&seqs[rows]),
            Self::Runs(runs) => {
                let (mut row, mut run) = (rows.start, run_of(runs, rows.start));
                while row < rows.end {
                    let end = runs.get(run + 1).map_or(rows.end, |next| rows.end.min(next.0 as usize));
                    out.resize(out.len() + end - row, runs[run].1);
                    (row, run) = (end, run + 1);
                }
            }
        }
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Runs(runs) => size_of_val(runs.as_slice()),
            Self::Each(seqs) => seqs.len() * 8,
        }
    }
}

/// The run that a point is in.
fn run_of(runs: &[(u32, u64)], row: usize) -> usize {
    runs.partition_point(|&(start, _)| start as usize <= row).saturating_sub(1)
}

/// Points of one series in columns; what order they have, and which label sets,
/// is the owner's affair.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Values a point has.
    pub dimension: usize,
    /// One timestamp a point.
    pub timestamps: Vec<i64>,
    /// One sequence number a point.
    pub seqs: Seqs,
    /// `dimension` values a point.
    pub values: Values,
}

impl Columns {
    /// How many points there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// A copy of some of the points.
    pub fn part(&self, rows: Range<usize>) -> Self {
        let seqs = match &self.seqs {
            Seqs::Constant(seq) => Seqs::Constant(*seq),
            some => {
                let mut seqs = Vec::with_capacity(rows.len());
                some.copy_to(rows.clone(), &mut seqs);
                Seqs::new(seqs)
            }
        };
        let mut values = Values::with_capacity(self.values.value_type(), rows.len() * self.dimension);
        values.extend_from(&self.values, rows.start * self.dimension..rows.end * self.dimension);
        Self { dimension: self.dimension, timestamps: self.timestamps[rows].to_vec(), seqs, values }
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.timestamps.len() * 8 + self.seqs.memory_bytes() + self.values.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn sequence_numbers_are_the_same_in_every_form() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let longest = 1 + rng.below(300);
            let mut each = Vec::new();
            while each.len() < 1 + rng.below(3000) as usize {
                let (seq, run) = (rng.below(50), 1 + rng.below(longest));
                each.resize(each.len() + run as usize, seq);
            }
            let seqs = Seqs::new(each.clone());
            assert!(seqs.memory_bytes() <= each.len() * 8);
            let found: Vec<u64> = (0..each.len()).map(|row| seqs.get(row)).collect();
            assert_eq!(found, each, "seed {seed}");
            for _ in 0..20 {
                let start = rng.below(each.len() as u64) as usize;
                let end = start + rng.below((each.len() - start) as u64 + 1) as usize;
                let mut part = vec![7];
                seqs.copy_to(start..end, &mut part);
                assert_eq!(part[1..], each[start..end], "seed {seed}, {start}..{end}");
            }
        }
        assert_eq!(Seqs::new(vec![5; 3]), Seqs::Constant(5));
        assert_eq!(Seqs::new(vec![1, 2]), Seqs::Each(vec![1, 2]));
        let batches: Vec<u64> = (0..4000).map(|row| row / 1000).collect();
        assert_eq!(Seqs::new(batches), Seqs::Runs(vec![(0, 0), (1000, 1), (2000, 2), (3000, 3)]));
    }
}
