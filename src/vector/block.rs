//! The vectors of one series in one segment, in memory, ready to be multiplied.

use std::ops::Range;

use crate::base::{Deadline, Result, TimeRange};
use crate::segments::{Segment, SeriesEntry};

use super::score::push_unit;

/// What a segment holds of a series: each point's numbers scaled to length 1 in single
/// precision, one row after another, and what is needed to choose rows by label set and
/// time. Rows stand in the order of the segment: by label set, then time.
#[derive(Debug)]
pub struct VectorBlock {
    dimension: usize,
    numbers: Vec<f32>,
    timestamps: Vec<i64>,
    /// First row of each label set, and the number of rows.
    label_starts: Vec<u32>,
    /// First row of each of the segment's blocks, and the number of rows.
    block_starts: Vec<u32>,
}

impl VectorBlock {
    /// What it would take in memory, without making it.
    pub fn estimate_bytes(series: &SeriesEntry) -> u64 {
        let tables = (series.labels.len() + series.blocks.len() + 2) as u64 * 4;
        series.rows().saturating_mul(4 * series.dimension as u64 + 8).saturating_add(tables)
    }

    /// Reads a series of a segment.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where a block fails its checks; `TIMEOUT`.
    pub fn build(segment: &Segment, series: &SeriesEntry, deadline: &Deadline) -> Result<Self> {
        let rows = series.rows() as usize;
        let mut built = Self {
            dimension: series.dimension,
            numbers: Vec::with_capacity(rows * series.dimension),
            timestamps: Vec::with_capacity(rows),
            label_starts: Vec::with_capacity(series.labels.len() + 1),
            block_starts: Vec::with_capacity(series.blocks.len() + 1),
        };
        let mut values = Vec::new();
        for entry in &series.blocks {
            deadline.check()?;
            // Past the cache: all of it is read once.
            let block = segment.decode(series, entry)?;
            built.block_starts.push(built.timestamps.len() as u32);
            for (label, run) in block.runs() {
                let row = (built.timestamps.len() + run.start) as u32;
                while built.label_starts.len() <= label as usize {
                    built.label_starts.push(row);
                }
            }
            values.clear();
            block.columns.values.copy_to_f64(0..block.columns.values.len(), &mut values);
            for point in values.chunks_exact(series.dimension) {
                push_unit(point, &mut built.numbers);
            }
            built.timestamps.extend_from_slice(&block.columns.timestamps);
        }
        let rows = built.timestamps.len() as u32;
        built.label_starts.resize(series.labels.len() + 1, rows);
        built.block_starts.push(rows);
        Ok(built)
    }

    /// Its points.
    pub fn rows(&self) -> usize {
        self.timestamps.len()
    }

    /// Values a point has.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The numbers of some rows.
    pub fn numbers(&self, rows: Range<usize>) -> &[f32] {
        &self.numbers[rows.start * self.dimension..rows.end * self.dimension]
    }

    /// When a row was.
    pub fn timestamp(&self, row: usize) -> i64 {
        self.timestamps[row]
    }

    /// Which of the segment's label sets a row has.
    pub fn label(&self, row: usize) -> usize {
        self.label_starts.partition_point(|&start| start as usize <= row).saturating_sub(1)
    }

    /// Which of the segment's blocks a row is in, and where in it.
    pub fn place(&self, row: usize) -> (usize, usize) {
        let block = self.block_starts.partition_point(|&start| start as usize <= row).saturating_sub(1);
        (block, row - self.block_starts[block] as usize)
    }

    /// The rows of some label sets, ascending, in a range of time.
    pub fn select(&self, labels: impl IntoIterator<Item = usize>, range: TimeRange) -> Vec<Range<usize>> {
        let mut selected: Vec<Range<usize>> = Vec::new();
        for label in labels {
            let rows = self.label_starts[label] as usize..self.label_starts[label + 1] as usize;
            let times = &self.timestamps[rows.clone()];
            let start = rows.start + times.partition_point(|&t| t < range.start_ns);
            let end = rows.start + times.partition_point(|&t| t <= range.end_ns);
            match selected.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ if start < end => selected.push(start..end),
                _ => {}
            }
        }
        selected
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        self.numbers.capacity() * 4
            + self.timestamps.capacity() * 8
            + (self.label_starts.capacity() + self.block_starts.capacity()) * 4
    }
}
