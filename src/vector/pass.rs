//! Passes over the vectors of a block: all of the selected ones, or the most promising
//! lists.

use std::ops::Range;

use rayon::prelude::*;

use crate::base::{Deadline, Result};
use crate::kernels::{GROUP, Instructions, dots, group_dots, interleave};

use super::residuals::Residuals;
use super::{Nearest, Top, VectorBlock};

/// Numbers that one thread multiplies in one go.
const PIECE_NUMBERS: usize = 256 << 10;
/// Most rows of these.
const PIECE_ROWS: usize = 1 << 10;
/// Rows that a group is multiplied with in one go where all products are kept.
const PIECE_GROUPED: usize = 64;
/// Rows of a list whose residuals are multiplied in one go.
const PIECE_CLOSE: usize = 256;
/// Work below this is not divided between threads.
const PARALLEL_NUMBERS: usize = 1 << 20;

/// Threads that share a pass where this is called: those of the pool that it is called in.
fn scanning_threads() -> usize {
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

    /// The product of each query with the middle of each list. Without lists, there is nothing.
    pub fn promises(&self, queries: &Queries<'_>) -> Vec<Vec<f32>> {
        self.lists().map_or_else(Vec::new, |lists| queries.products(lists.centroids()))
    }

    /// A query's way through the lists, of whose rows some are selected. Without lists, there
    /// is none.
    pub fn course<'a>(
        &self,
        unit: &'a [f32],
        promises: &'a [f32],
        selected: &'a [Range<usize>],
    ) -> Course<'a> {
        let bounds = self.cones().map_or_else(Vec::new, |cones| cones.bounds(promises));
        let filled = self.residuals().map_or_else(Vec::new, |residuals| residuals.filled_up(unit));
        Course { unit, filled, promises, bounds, selected, last: None, passed: 0, seen: 0 }
    }

    /// Goes on to the lists that promise the most, until those passed have about so many selected
    /// rows. Lists that can have nothing are passed, and not looked at; says how many rows were.
    pub fn probe<P: Copy>(
        &self,
        course: &mut Course<'_>,
        wanted: usize,
        found: &mut Nearest<P>,
        place: impl Fn(usize) -> P,
    ) -> u64 {
        // So many lists, however many rows they have, for that is what was measured; and more
        // where these have too few selected rows.
        let lists = (wanted * course.promises.len()).div_ceil(self.rows().max(1));
        let mut step = lists.saturating_sub(course.passed);
        let mut looked = 0;
        while course.passed < lists || course.seen < wanted {
            let best = course.go_on(step.max(1));
            if best.is_empty() {
                break;
            }
            course.passed += best.len();
            for list in best {
                let slots = self.selected_slots(list, course.selected);
                course.seen += slots.iter().map(Range::len).sum::<usize>();
                looked += self.look(course, list, slots, found, &place);
            }
            step /= 2;
        }
        looked
    }

    /// How many rows are in the lists ahead that may have something.
    pub fn rows_ahead<P: Copy>(&self, course: &Course<'_>, found: &Nearest<P>) -> usize {
        let Some(lists) = self.lists() else { return 0 };
        course.ahead(found.floor_rounded()).map(|list| lists.slots(list).len()).sum()
    }

    /// Looks at all lists ahead, but for those that can have nothing; says how many rows that
    /// were.
    pub fn look_ahead<P: Copy>(
        &self,
        course: &Course<'_>,
        found: &mut Nearest<P>,
        place: impl Fn(usize) -> P,
    ) -> u64 {
        let mut ahead: Vec<usize> = course.ahead(found.floor_rounded()).collect();
        ahead.sort_unstable_by(|&a, &b| course.promises[b].total_cmp(&course.promises[a]));
        let look = |list| self.look(course, list, self.selected_slots(list, course.selected), found, &place);
        ahead.into_iter().map(look).sum()
    }

    fn selected_slots(&self, list: usize, selected: &[Range<usize>]) -> Vec<Range<usize>> {
        match (self.lists(), selected) {
            (Some(lists), [all]) if all.len() == self.rows() => vec![lists.slots(list)],
            _ => self.slots_in(list, selected),
        }
    }

    /// Looks at rows of a list, if it can have something.
    fn look<P: Copy>(
        &self,
        course: &Course<'_>,
        list: usize,
        slots: Vec<Range<usize>>,
        found: &mut Nearest<P>,
        place: &impl Fn(usize) -> P,
    ) -> u64 {
        if course.bounds[list] < found.floor_rounded() {
            return 0;
        }
        let mut looked = 0;
        for slots in slots {
            looked += slots.len() as u64;
            match self.residuals() {
                // Where anything is good enough, nothing is spared.
                Some(residuals) if found.floor_rounded() > -1.0 => {
                    self.look_closely(residuals, course, list, slots, found, place);
                }
                _ => {
                    let one = Queries(Shape::One(course.unit));
                    self.multiply(&one, slots, std::slice::from_mut(found), place);
                }
            }
        }
        looked
    }

    /// Multiplies those rows of a list whose residuals do not rule them out.
    fn look_closely<P: Copy>(
        &self,
        residuals: &Residuals,
        course: &Course<'_>,
        list: usize,
        slots: Range<usize>,
        found: &mut Nearest<P>,
        place: &impl Fn(usize) -> P,
    ) {
        let mut products = [0.0; PIECE_CLOSE];
        for start in slots.clone().step_by(PIECE_CLOSE) {
            let end = (start + PIECE_CLOSE).min(slots.end);
            let products = &mut products[..end - start];
            residuals.products(&course.filled, start..end, products);
            let mut floor = found.floor_rounded();
            let mut least = residuals.least(list, course.promises[list], floor);
            for (slot, &product) in (start..end).zip(&*products) {
                if product >= least {
                    let mut score = [0.0];
                    dots(Instructions::best(), course.unit, self.numbers(slot..slot + 1), &mut score);
                    if score[0] >= floor {
                        found.offer(f64::from(score[0]), place(slot));
                        floor = found.floor_rounded();
                        least = residuals.least(list, course.promises[list], floor);
                    }
                }
            }
        }
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

/// A query's way through the lists of a block: those that promise the most come first.
pub struct Course<'a> {
    unit: &'a [f32],
    /// The same for residuals.
    filled: Vec<f32>,
    /// The product of each list's middle and the query.
    promises: &'a [f32],
    /// The most that the product of a row of each list and the query can be.
    bounds: Vec<f32>,
    selected: &'a [Range<usize>],
    /// The promise of the list that was passed last, and which one that was.
    last: Option<(f32, usize)>,
    /// Lists that were passed, and the selected rows of these.
    passed: usize,
    seen: usize,
}

impl Course<'_> {
    /// Passes so many lists.
    fn go_on(&mut self, count: usize) -> Vec<usize> {
        let mut best = Top::new(count);
        let mut floor = f32::NEG_INFINITY;
        for (part, promises) in self.promises.chunks(GROUP).enumerate() {
            // Of most lists this is all that is asked, and of many at once.
            if promises.iter().filter(|promise| **promise >= floor).count() == 0 {
                continue;
            }
            for (list, &promise) in (part * GROUP..).zip(promises) {
                if promise >= floor && self.is_ahead(list) {
                    best.offer(f64::from(promise), || list);
                    floor = best.worst_of_all().map_or(floor, |worst| worst as f32);
                }
            }
        }
        let best: Vec<usize> = best.into_sorted().into_iter().map(|(_, list)| list).collect();
        self.last = best.last().map(|&list| (self.promises[list], list)).or(self.last);
        best
    }

    /// Of equals the first is passed first.
    fn is_ahead(&self, list: usize) -> bool {
        self.last.is_none_or(|(promise, last)| {
            self.promises[list].total_cmp(&promise).then(last.cmp(&list)).is_lt()
        })
    }

    /// Lists ahead that may have something above a floor.
    fn ahead(&self, floor: f32) -> impl Iterator<Item = usize> {
        let may_have = move |&list: &usize| self.bounds[list] >= floor && self.is_ahead(list);
        (0..self.bounds.len()).filter(may_have)
    }
}

/// Queries, ready to be multiplied with many rows.
pub struct Queries<'a>(Shape<'a>);

enum Shape<'a> {
    One(&'a [f32]),
    /// Interleaved.
    Groups {
        groups: Vec<Vec<f32>>,
        queries: usize,
    },
}

impl<'a> Queries<'a> {
    /// Queries of one dimension, each of length 1.
    pub fn new(units: impl Iterator<Item = &'a [f32]>) -> Self {
        let units: Vec<&[f32]> = units.collect();
        if let [unit] = units[..] {
            return Self(Shape::One(unit));
        }
        let group = |units: &[&[f32]]| interleave(units.iter().copied(), units[0].len());
        Self(Shape::Groups { groups: units.chunks(GROUP).map(group).collect(), queries: units.len() })
    }

    /// The products of each query with each row.
    fn products(&self, rows: &[f32]) -> Vec<Vec<f32>> {
        let instructions = Instructions::best();
        match &self.0 {
            Shape::One(unit) => {
                let mut products = vec![0.0; rows.len() / unit.len()];
                dots(instructions, unit, rows, &mut products);
                vec![products]
            }
            Shape::Groups { groups, queries } => {
                let Some(dimension) = groups.first().map(|group| group.len() / GROUP) else {
                    return Vec::new();
                };
                let mut products = vec![Vec::with_capacity(rows.len() / dimension); *queries];
                let mut piece = [[0.0; GROUP]; PIECE_GROUPED];
                for rows in rows.chunks(dimension * PIECE_GROUPED) {
                    let piece = &mut piece[..rows.len() / dimension];
                    for (group, products) in groups.iter().zip(products.chunks_mut(GROUP)) {
                        group_dots(instructions, group, rows, piece);
                        for (lane, products) in products.iter_mut().enumerate() {
                            products.extend(piece.iter().map(|lanes| lanes[lane]));
                        }
                    }
                }
                products
            }
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
            Shape::Groups { groups, .. } => {
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
