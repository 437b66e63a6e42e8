//! Passes over the vectors of a block: all of the selected ones, or the most promising
//! lists.

use std::ops::Range;

use rayon::prelude::*;

use crate::base::{Deadline, Result};
use crate::kernels::{GROUP, Instructions, dots, group_dots, interleave};

use super::{Nearest, VectorBlock};

/// Numbers that one thread multiplies in one go.
const PIECE_NUMBERS: usize = 256 << 10;
/// Most rows of these.
const PIECE_ROWS: usize = 1 << 10;
/// Work below this is not divided between threads.
const PARALLEL_NUMBERS: usize = 1 << 20;

/// Threads that share a pass where this is called: those of the pool that it is called in.
pub fn scanning_threads() -> usize {
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads())
}

impl VectorBlock {
    /// Looks at all selected rows for some queries, and adds to what was found for each;
    /// `place` tells what a slot is called there. Within a pool of threads, these help.
    ///
    /// # Errors
    /// `TIMEOUT`.
    pub fn scan<P: Copy + Send + Sync>(
        &self,
        queries: &Queries<'_>,
        selected: &[Range<usize>],
        empty: Vec<Nearest<P>>,
        place: impl Fn(usize) -> P + Sync,
        deadline: &Deadline,
    ) -> Result<Vec<Nearest<P>>> {
        if empty.is_empty() {
            return Ok(empty);
        }
        let rows_max = self.piece_rows();
        let pieces: Vec<Range<usize>> = self
            .slots(selected)
            .into_iter()
            .flat_map(|slots| {
                let end = slots.end;
                slots.step_by(rows_max).map(move |start| start..(start + rows_max).min(end))
            })
            .collect();
        let look = |mut found: Vec<Nearest<P>>, slots: &Range<usize>| {
            deadline.check()?;
            self.multiply(queries, slots.clone(), &mut found, &place);
            Ok(found)
        };
        let rows: usize = pieces.iter().map(Range::len).sum();
        let numbers = rows * self.dimension() * empty.len();
        if numbers < PARALLEL_NUMBERS || scanning_threads() == 1 {
            return pieces.iter().try_fold(empty, look);
        }
        let join = |mut one: Vec<Nearest<P>>, other: Vec<Nearest<P>>| {
            one.iter_mut().zip(other).for_each(|(one, other)| one.take(other));
            Ok(one)
        };
        pieces.par_iter().try_fold(|| empty.clone(), look).try_reduce(|| empty.clone(), join)
    }

    /// Looks at the most promising lists for a query, until so many selected rows were seen;
    /// says how many that were. Without lists, nothing is seen.
    pub fn probe<P: Copy>(
        &self,
        unit: &[f32],
        selected: &[Range<usize>],
        wanted: usize,
        found: &mut Nearest<P>,
        place: impl Fn(usize) -> P,
    ) -> u64 {
        let Some(lists) = self.lists() else { return 0 };
        let mut scores = vec![0.0; lists.len()];
        dots(Instructions::best(), unit, lists.centroids(), &mut scores);
        let mut order: Vec<(f32, u32)> = scores.iter().copied().zip(0..).collect();
        let is_all = selected.iter().map(Range::len).sum::<usize>() == self.rows();
        // So many at first, and more where these have too few selected rows.
        let mut step = (wanted * lists.len()).div_ceil(self.rows()).max(1);
        let one = Queries(Shape::One(unit));
        let (mut seen, mut rest) = (0, order.as_mut_slice());
        while seen < wanted && !rest.is_empty() {
            let chosen = step.min(rest.len());
            if chosen < rest.len() {
                rest.select_nth_unstable_by(chosen - 1, |a, b| b.0.total_cmp(&a.0));
            }
            let (now, later) = rest.split_at_mut(chosen);
            for &(_, list) in &*now {
                let slots = if is_all {
                    std::iter::once(lists.slots(list as usize)).collect()
                } else {
                    self.slots_in(list as usize, selected)
                };
                for slots in slots {
                    seen += slots.len();
                    self.multiply(&one, slots, std::slice::from_mut(found), &place);
                }
            }
            (rest, step) = (later, (step / 2).max(1));
        }
        seen as u64
    }

    fn piece_rows(&self) -> usize {
        (PIECE_NUMBERS / self.dimension()).clamp(1, PIECE_ROWS)
    }

    fn multiply<P: Copy>(
        &self,
        queries: &Queries<'_>,
        slots: Range<usize>,
        found: &mut [Nearest<P>],
        place: &impl Fn(usize) -> P,
    ) {
        let rows_max = self.piece_rows();
        for start in slots.clone().step_by(rows_max) {
            let end = (start + rows_max).min(slots.end);
            queries.multiply(self.numbers(start..end), found, |row| place(start + row));
        }
    }
}

/// Queries, ready to be multiplied with many rows.
pub struct Queries<'a>(Shape<'a>);

enum Shape<'a> {
    One(&'a [f32]),
    /// Interleaved.
    Groups(Vec<Vec<f32>>),
}

impl<'a> Queries<'a> {
    /// Queries of one dimension, at least one, each of length 1.
    pub fn new(units: impl Iterator<Item = &'a [f32]>) -> Self {
        let units: Vec<&[f32]> = units.collect();
        match units[..] {
            [unit] => Self(Shape::One(unit)),
            _ => Self(Shape::Groups(
                units.chunks(GROUP).map(|units| interleave(units.iter().copied(), units[0].len())).collect(),
            )),
        }
    }

    /// Offers the score of each row to each query.
    fn multiply<T: Copy>(&self, numbers: &[f32], found: &mut [Nearest<T>], place: impl Fn(usize) -> T) {
        let instructions = Instructions::best();
        match &self.0 {
            Shape::One(unit) => {
                let rows = numbers.len() / unit.len();
                let mut scores = [0.0; PIECE_ROWS];
                let scores = &mut scores[..rows];
                dots(instructions, unit, numbers, scores);
                let Some(found) = found.first_mut() else { return };
                for (row, &score) in scores.iter().enumerate() {
                    if score >= found.floor_rounded() {
                        found.offer(f64::from(score), place(row));
                    }
                }
            }
            Shape::Groups(groups) => {
                let mut scores = vec![[0.0; GROUP]; numbers.len() / (groups[0].len() / GROUP)];
                for (group, found) in groups.iter().zip(found.chunks_mut(GROUP)) {
                    group_dots(instructions, group, numbers, &mut scores);
                    let read_floors = |found: &[Nearest<T>]| {
                        let mut floors = [f32::INFINITY; GROUP];
                        for (floor, found) in floors.iter_mut().zip(found) {
                            *floor = found.floor_rounded();
                        }
                        floors
                    };
                    let mut now = read_floors(found);
                    for (row, scores) in scores.iter().enumerate() {
                        if !is_any_above(scores, &now) {
                            continue;
                        }
                        for (found, &score) in found.iter_mut().zip(scores) {
                            if score >= found.floor_rounded() {
                                found.offer(f64::from(score), place(row));
                            }
                        }
                        now = read_floors(found);
                    }
                }
            }
        }
    }
}

/// Without a branch a lane, so that it becomes one comparison of vectors.
fn is_any_above(scores: &[f32; GROUP], floors: &[f32; GROUP]) -> bool {
    let mut any = false;
    for lane in 0..GROUP {
        any |= scores[lane] >= floors[lane];
    }
    any
}
