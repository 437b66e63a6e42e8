//! Passes over the vectors of a block: all of the selected ones, or the most promising
//! lists.

use std::ops::Range;

use rayon::prelude::*;

use crate::base::{Deadline, Result};
use crate::kernels::{GROUP, Instructions, dots, group_dots, interleave};

use super::cells::Cells;
use super::cones::Cones;
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

    /// A query's way through the lists, of whose rows some are selected. It leaves out lists that
    /// are farther than `part` of the distance of what is sought ([`Lists::part_for`]); with 1 none
    /// that has a match. Without lists, there is no such way.
    ///
    /// [`Lists::part_for`]: super::Lists::part_for
    pub fn course<'a>(
        &'a self,
        unit: &'a [f32],
        promises: &'a [f32],
        selected: &'a [Range<usize>],
        part: f32,
    ) -> Option<Course<'a>> {
        let (lists, cones) = (self.lists()?, self.cones()?);
        Some(Course {
            unit,
            filled: self.residuals().map_or_else(Vec::new, |residuals| residuals.filled_up(unit)),
            promises,
            is_passed: vec![false; promises.len()],
            cones,
            cells: Cells::new(lists.centroids(), self.dimension(), promises),
            part,
            selected,
        })
    }

    /// Looks at the lists that promise the most, until these had so many selected rows; says how
    /// many rows that were.
    pub fn probe<P: Copy>(
        &self,
        course: &mut Course<'_>,
        wanted: usize,
        found: &mut Nearest<P>,
        place: impl Fn(usize) -> P,
    ) -> u64 {
        let (mut looked, mut step) = (0, 1);
        while looked < wanted as u64 {
            let best = course.best(step);
            if best.is_empty() {
                break;
            }
            for list in best {
                looked += self.look(course, list, found, &place);
            }
            step *= 2;
        }
        looked
    }

    /// Looks at the selected rows of a list, which is passed then; says how many they are.
    pub fn look<P: Copy>(
        &self,
        course: &mut Course<'_>,
        list: usize,
        found: &mut Nearest<P>,
        place: impl Fn(usize) -> P,
    ) -> u64 {
        course.is_passed[list] = true;
        let mut looked = 0;
        for slots in self.selected_slots(list, course.selected) {
            looked += slots.len() as u64;
            let Some(residuals) = self.residuals() else {
                self.multiply_one(course, slots, found, &place);
                continue;
            };
            let mut start = slots.start;
            // Where anything is good enough, nothing is spared.
            while start < slots.end && found.floor_rounded() <= -1.0 {
                let end = slots.end.min(start + PIECE_GROUPED);
                self.multiply_one(course, start..end, found, &place);
                found.settle();
                start = end;
            }
            self.look_closely(residuals, course, list, start..slots.end, found, &place);
        }
        looked
    }

    /// How many rows a list has.
    pub fn rows_of(&self, list: usize) -> usize {
        self.lists().map_or(0, |lists| lists.slots(list).len())
    }

    fn selected_slots(&self, list: usize, selected: &[Range<usize>]) -> Vec<Range<usize>> {
        match (self.lists(), selected) {
            (Some(lists), [all]) if all.len() == self.rows() => vec![lists.slots(list)],
            _ => self.slots_in(list, selected),
        }
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

    fn multiply_one<P: Copy>(
        &self,
        course: &Course<'_>,
        slots: Range<usize>,
        found: &mut Nearest<P>,
        place: &impl Fn(usize) -> P,
    ) {
        let one = Queries(Shape::One(course.unit));
        self.multiply(&one, slots, std::slice::from_mut(found), place);
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

/// A list that may have something.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// Which one.
    pub list: usize,
    /// The product of its middle and the query.
    pub promise: f32,
    /// What the product of one of its rows and the query hardly ever exceeds, and never where
    /// nothing is left out.
    bound: f32,
}

impl Ahead {
    /// Whether it is thought to have something above a floor.
    pub fn may_have(&self, floor: f32) -> bool {
        self.bound >= floor
    }
}

/// A query's way through the lists of a block.
pub struct Course<'a> {
    unit: &'a [f32],
    /// The same for residuals.
    filled: Vec<f32>,
    /// The product of each list's middle and the query.
    promises: &'a [f32],
    /// Which lists were looked at.
    is_passed: Vec<bool>,
    cones: &'a Cones,
    cells: Cells<'a>,
    /// In which part of the distance of what is sought lists are looked at.
    part: f32,
    selected: &'a [Range<usize>],
}

impl Course<'_> {
    /// The lists that promise the most, of those that were not passed.
    fn best(&self, count: usize) -> Vec<usize> {
        let mut best = Top::new(count);
        let mut floor = f32::NEG_INFINITY;
        for (group, promises) in self.promises.chunks(GROUP).enumerate() {
            // Of most lists this is all that is asked, and of many at once.
            if promises.iter().filter(|promise| **promise > floor).count() == 0 {
                continue;
            }
            for (list, &promise) in (group * GROUP..).zip(promises) {
                if promise > floor && !self.is_passed[list] {
                    best.offer(f64::from(promise), || list);
                    floor = best.worst_of_all().map_or(floor, |worst| worst as f32);
                }
            }
        }
        best.into_sorted().into_iter().map(|(_, list)| list).collect()
    }

    /// Lists that were not passed and may have something above a floor.
    pub fn ahead(&self, floor: f32) -> impl Iterator<Item = Ahead> {
        let least = self.cells.promise_min(floor, self.part);
        // Most lists are none, and many are told at once.
        let groups =
            self.promises.chunks(GROUP).enumerate().filter(move |(_, promises)| {
                promises.iter().filter(|promise| **promise >= least).count() > 0
            });
        let near = groups.flat_map(move |(group, promises)| {
            let lists = (group * GROUP..).zip(promises);
            lists
                .filter(move |(list, promise)| **promise >= least && !self.is_passed[*list])
                .map(|(list, _)| list)
        });
        near.filter_map(move |list| self.look_ahead(list, floor)).filter(move |ahead| ahead.may_have(floor))
    }

    /// What a list may have; `None` where it is known without further ado that it has nothing.
    fn look_ahead(&self, list: usize, floor: f32) -> Option<Ahead> {
        let promise = self.promises[list];
        let in_cone = self.cones.bound(list, promise);
        if in_cone < floor {
            return None;
        }
        let distance = self.cells.distance(list);
        Some(Ahead { list, promise, bound: in_cone.min(self.cells.product_at(distance / self.part)) })
    }

    /// From now on only those are left out that can have nothing.
    pub fn leave_out_nothing(&mut self) {
        self.part = 1.0;
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
