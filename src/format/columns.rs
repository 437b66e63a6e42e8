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

/// One sequence number a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seqs {
    /// All points have the same.
    Constant(u64),
    /// One a point.
    Each(Vec<u64>),
}

impl Seqs {
    /// The number of point `row`.
    pub fn get(&self, row: usize) -> u64 {
        match self {
            Self::Constant(seq) => *seq,
            Self::Each(seqs) => seqs[row],
        }
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Each(seqs) => seqs.len() * 8,
        }
    }
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
            Seqs::Each(seqs) => Seqs::Each(seqs[rows.clone()].to_vec()),
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
