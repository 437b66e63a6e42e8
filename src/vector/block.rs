//! The vectors of one series in one segment, in memory, ready to be multiplied.

use std::ops::Range;

use crate::base::TimeRange;
use crate::format::Block;

use super::Lists;
use super::cones::Cones;
use super::residuals::{Residuals, bytes_of_row};
use super::score::write_unit;

/// What a segment holds of a series: each point's numbers scaled to length 1 in single
/// precision, one row after another, and what is needed to choose rows by label set and
/// time. Rows are numbered in the order of the segment: by label set, then time. Where
/// there are [`Lists`], they stand in the order of these; a slot is where a row stands.
#[derive(Debug)]
pub struct VectorBlock {
    dimension: usize,
    numbers: Vec<f32>,
    timestamps: Vec<i64>,
    /// First row of each label set, and the number of rows.
    label_starts: Vec<u32>,
    /// First row of each of the segment's blocks, and the number of rows.
    block_starts: Vec<u32>,
    lists: Option<Ordered>,
}

/// Lists, and where each row stands.
#[derive(Debug)]
struct Ordered {
    lists: Lists,
    slot_of: Vec<u32>,
    /// Once all rows are there.
    reach: Option<(Cones, Option<Residuals>)>,
}

impl Ordered {
    fn new(lists: Lists) -> Self {
        let mut slot_of = vec![0; lists.rows().len()];
        for (slot, &row) in lists.rows().iter().enumerate() {
            slot_of[row as usize] = slot as u32;
        }
        Self { lists, slot_of, reach: None }
    }
}

impl VectorBlock {
    /// What so many rows take in memory, with lists; label sets and blocks are small beside.
    pub fn estimate_bytes(rows: u64, dimension: usize) -> u64 {
        let row_bytes = 4 * dimension as u64;
        // About four times the root of the rows are middles, each with a cone; a row has a residual, a
        // time, and two places.
        let residual_bytes = bytes_of_row(dimension) as u64;
        rows.saturating_mul(row_bytes + residual_bytes + 16)
            .saturating_add(4 * rows.isqrt() * (row_bytes + 8))
    }

    /// Room for so many rows, in the order of their lists where there are some.
    pub fn with_room(dimension: usize, rows: usize, lists: Option<Lists>) -> Self {
        Self {
            dimension,
            numbers: vec![0.0; rows * dimension],
            timestamps: Vec::with_capacity(rows),
            label_starts: Vec::new(),
            block_starts: Vec::new(),
            lists: lists.filter(|lists| lists.rows().len() == rows && rows > 0).map(Ordered::new),
        }
    }

    /// Takes the next block of the segment, while there is room for its rows.
    pub fn push(&mut self, block: &Block) {
        let (first, dimension) = (self.timestamps.len(), self.dimension);
        self.block_starts.push(first as u32);
        for (label, run) in block.runs() {
            let row = (first + run.start) as u32;
            while self.label_starts.len() <= label as usize {
                self.label_starts.push(row);
            }
        }
        let columns = &block.columns;
        let room = self.numbers.len() / dimension - first;
        let mut values = Vec::with_capacity(columns.values.len());
        columns.values.copy_to_f64(0..columns.values.len(), &mut values);
        for (row, point) in (first..).zip(values.chunks_exact(dimension)).take(room) {
            let slot = self.lists.as_ref().map_or(row, |lists| lists.slot_of[row] as usize);
            write_unit(point, &mut self.numbers[slot * dimension..(slot + 1) * dimension]);
        }
        self.timestamps.extend(columns.timestamps.iter().take(room));
    }

    /// All blocks were pushed; the series has so many label sets there.
    #[must_use]
    pub fn finish(mut self, label_sets: usize) -> Self {
        let rows = self.timestamps.len() as u32;
        self.label_starts.resize(label_sets + 1, rows);
        self.block_starts.push(rows);
        self.measured()
    }

    /// Measures what the lists spare, once all rows are there.
    fn measured(mut self) -> Self {
        if let Some(ordered) = &mut self.lists {
            let Ordered { lists, reach, .. } = ordered;
            let residuals = Residuals::new(lists, self.dimension, &self.numbers);
            *reach = Some((Cones::new(lists, self.dimension, &self.numbers), residuals));
        }
        self
    }

    /// The same in the order of lists that were made of it.
    #[must_use]
    pub fn with_lists(self, lists: Lists) -> Self {
        if lists.is_empty() {
            return self;
        }
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for &row in lists.rows() {
            numbers.extend_from_slice(self.numbers(row as usize..row as usize + 1));
        }
        Self { numbers, lists: Some(Ordered::new(lists)), ..self }.measured()
    }

    /// Its points.
    pub fn rows(&self) -> usize {
        self.timestamps.len()
    }

    /// Values a point has.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Its lists.
    pub fn lists(&self) -> Option<&Lists> {
        self.lists.as_ref().map(|ordered| &ordered.lists)
    }

    /// How far these reach.
    pub(super) fn cones(&self) -> Option<&Cones> {
        self.lists.as_ref()?.reach.as_ref().map(|(cones, _)| cones)
    }

    /// What stands for their rows.
    pub(super) fn residuals(&self) -> Option<&Residuals> {
        self.lists.as_ref()?.reach.as_ref()?.1.as_ref()
    }

    /// The numbers in some slots.
    pub fn numbers(&self, slots: Range<usize>) -> &[f32] {
        &self.numbers[slots.start * self.dimension..slots.end * self.dimension]
    }

    /// Which row is in a slot.
    pub fn row(&self, slot: usize) -> usize {
        self.lists().map_or(slot, |lists| lists.rows()[slot] as usize)
    }

    /// Where selected rows stand; the selection ascends.
    pub fn slots(&self, selected: &[Range<usize>]) -> Vec<Range<usize>> {
        let Some(Ordered { lists, slot_of, .. }) = &self.lists else { return selected.to_vec() };
        let rows: usize = selected.iter().map(Range::len).sum();
        if rows == self.rows() {
            return std::iter::once(0..rows).collect();
        }
        if rows < selected.len() * lists.len() {
            let each = selected.iter().flat_map(|rows| &slot_of[rows.clone()]);
            return each.map(|&slot| slot as usize..slot as usize + 1).collect();
        }
        (0..lists.len()).flat_map(|list| self.slots_in(list, selected)).collect()
    }

    /// Where selected rows stand in one of the lists.
    pub fn slots_in(&self, list: usize, selected: &[Range<usize>]) -> Vec<Range<usize>> {
        let Some(lists) = self.lists() else { return Vec::new() };
        let slots = lists.slots(list);
        let rows = &lists.rows()[slots.clone()];
        let place = |row: usize| slots.start + rows.partition_point(|&found| (found as usize) < row);
        let found = selected.iter().map(|selected| place(selected.start)..place(selected.end));
        found.filter(|slots| !slots.is_empty()).collect()
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
        let lists = self.lists.as_ref();
        self.numbers.capacity() * 4
            + lists.map_or(0, |ordered| {
                let reach = ordered.reach.as_ref().map_or(0, |(cones, residuals)| {
                    cones.memory_bytes() + residuals.as_ref().map_or(0, Residuals::memory_bytes)
                });
                ordered.lists.memory_bytes() + ordered.slot_of.capacity() * 4 + reach
            })
            + self.timestamps.capacity() * 8
            + (self.label_starts.capacity() + self.block_starts.capacity()) * 4
    }

    /// 2000 rows around a few directions, some of them zeros, in lists where these are of use; and
    /// ten queries of their kind.
    #[cfg(test)]
    pub(super) fn clustered(rng: &mut crate::base::Rng, dimension: usize, spread: f64) -> (Self, Self) {
        let clusters = 30;
        let middles: Vec<f64> = (0..clusters * dimension).map(|_| rng.unit_f64() - 0.5).collect();
        let mut near_some = || -> Vec<f64> {
            let at = rng.below(clusters as u64) as usize * dimension;
            let scale = if rng.one_in(50) { 0.0 } else { 1.0 };
            let near = |middle: &f64| scale * (middle + spread * (rng.unit_f64() - 0.5));
            middles[at..at + dimension].iter().map(near).collect()
        };
        let rows: Vec<f64> = (0..2000).flat_map(|_| near_some()).collect();
        let queries: Vec<f64> = (0..10).flat_map(|_| near_some()).collect();
        let block = Self::of_rows(&rows, dimension);
        let lists = Lists::build(&block, 1, &crate::base::Deadline::none()).unwrap();
        (block.with_lists(lists), Self::of_rows(&queries, dimension))
    }

    /// A product as exact as single precision can hold it.
    #[cfg(test)]
    pub(super) fn exact_product(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
    }

    /// The products of a query with the middles of the lists.
    #[cfg(test)]
    pub(super) fn exact_promises(&self, query: &[f32]) -> Vec<f32> {
        let middles = self.lists().map_or(&[][..], Lists::centroids);
        middles.chunks_exact(self.dimension).map(|middle| Self::exact_product(query, middle)).collect()
    }

    /// Rows of a dimension at the times 0, 1, 2 … without labels.
    #[cfg(test)]
    pub(super) fn of_rows(values: &[f64], dimension: usize) -> Self {
        let rows = values.len() / dimension;
        let mut numbers = vec![0.0; values.len()];
        for (point, unit) in values.chunks_exact(dimension).zip(numbers.chunks_exact_mut(dimension)) {
            write_unit(point, unit);
        }
        Self {
            dimension,
            numbers,
            timestamps: (0..rows as i64).collect(),
            label_starts: vec![0, rows as u32],
            block_starts: vec![0, rows as u32],
            lists: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Deadline, Rng};

    #[test]
    fn slots_of_selected_rows_hold_these_rows() {
        let mut rng = Rng::new(9);
        let values: Vec<f64> = (0..500 * 4).map(|at| f64::from(at / 400) + rng.unit_f64()).collect();
        let plain = VectorBlock::of_rows(&values, 4);
        let lists = Lists::build(&VectorBlock::of_rows(&values, 4), 1, &Deadline::none()).unwrap();
        assert!(!lists.is_empty());
        let ordered = VectorBlock::of_rows(&values, 4).with_lists(lists);
        let one = |range: Range<usize>| std::iter::once(range).collect();
        for ranges in [vec![], one(0..500), one(3..5), vec![0..100, 200..450], vec![7..8, 10..11, 400..500]] {
            let expected: Vec<usize> = ranges.iter().cloned().flatten().collect();
            for block in [&plain, &ordered] {
                let mut rows: Vec<usize> =
                    block.slots(&ranges).into_iter().flatten().map(|slot| block.row(slot)).collect();
                rows.sort_unstable();
                assert_eq!(rows, expected, "{ranges:?}");
            }
            let lists = ordered.lists().unwrap();
            let in_lists = (0..lists.len()).flat_map(|list| ordered.slots_in(list, &ranges)).flatten();
            assert_eq!(in_lists.count(), expected.len());
        }
        for slot in 0..500 {
            let row = ordered.row(slot);
            assert_eq!(ordered.numbers(slot..slot + 1), plain.numbers(row..row + 1));
        }
    }
}
