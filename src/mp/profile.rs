//! The profile of a selection, or of one beside another.

use std::ops::Range;

use rayon::prelude::*;

use crate::base::{Deadline, Dimensions, Error, Result};
use crate::kernels::Instructions;

use super::apart::{Near, nearest_apart};
use super::prepare::{PAD, Prepared};
use super::score::{distances_by_dimension, window_distance};
use super::search::{CELLS_ALONE, Join, Progress};
use super::sweep::Sweep;
use super::{Selection, best};

/// Fewer windows than this are looked through by one thread.
const SCANNED_ALONE: usize = 4096;

/// The nearest neighbour of every window.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Distance to the nearest neighbour; infinite where there is none.
    pub distances: Vec<f64>,
    /// Its index; `usize::MAX` where there is none. Of equally near ones the first.
    pub neighbors: Vec<usize>,
}

/// Which neighbours of a window count, where a series is joined with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sides {
    /// All.
    #[default]
    Both,
    /// Earlier ones: what could be known when the window ended.
    Left,
    /// Later ones.
    Right,
}

/// A profile, or what was found of it in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The nearest of the neighbours that were looked at.
    pub profile: Profile,
    /// Pairs of windows that were looked at, spread evenly over the windows.
    pub cells: u64,
    /// Pairs of windows there are.
    pub cells_total: u64,
}

impl Outcome {
    /// Whether the profile is exact.
    pub fn is_complete(&self) -> bool {
        self.cells == self.cells_total
    }

    /// The part of all pairs that was looked at, 0 to 1.
    pub fn coverage(&self) -> f64 {
        if self.is_complete() { 1.0 } else { self.cells as f64 / self.cells_total as f64 }
    }
}

/// A profile to be computed.
pub struct Computation {
    a: Prepared,
    /// `None`: `a` itself.
    b: Option<Prepared>,
    exclusion: usize,
    sides: Sides,
    instructions: Instructions,
    cells_alone: u64,
    share: f64,
    /// Which of the nearest neighbours is sought, counted from 1.
    neighbor: usize,
}

impl Computation {
    /// Every window's neighbour in its own series.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a window below 3; `NOT_ENOUGH_DATA` where no two windows
    /// are neighbours.
    pub fn self_join(selection: &Selection<'_>) -> Result<Self> {
        selection.check()?;
        Ok(Self {
            a: Prepared::new(selection),
            b: None,
            exclusion: selection.exclusion(),
            sides: Sides::Both,
            instructions: Instructions::best(),
            cells_alone: CELLS_ALONE,
            share: 1.0,
            neighbor: 1,
        })
    }

    /// The neighbour in `b` of every window of `a`, wherever it is (an AB-join).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a window below 3, or selections that have not the same
    /// dimension, window and normalisation; `NOT_ENOUGH_DATA` where one has no window.
    pub fn join(a: &Selection<'_>, b: &Selection<'_>) -> Result<Self> {
        a.check_beside(b)?;
        let [a, b] = Prepared::pair(a, b);
        Ok(Self {
            a,
            b: Some(b),
            exclusion: 0,
            sides: Sides::Both,
            instructions: Instructions::best(),
            cells_alone: CELLS_ALONE,
            share: 1.0,
            neighbor: 1,
        })
    }

    /// Which neighbours count; of no effect on a join of two series.
    #[must_use]
    pub fn sides(self, sides: Sides) -> Self {
        Self { sides, ..self }
    }

    /// Which dimensions count; all where this is not called. The k best are those of the
    /// multidimensional profile of Yeh, Kavantzas, Keogh, "Matrix Profile VI" (ICDM 2017): the
    /// distances in each dimension in ascending order, and the mean of the first k.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for more dimensions than there are, or none.
    pub fn dimensions(mut self, counted: Dimensions) -> Result<Self> {
        let all = self.a.dimensions.len();
        if let Dimensions::Best(best) = counted
            && !(1..=all).contains(&best)
        {
            return Err(Error::invalid(format!(
                "dimensions is {best}, and points have {all}; use 1 to {all}, \"all\" or \"any\""
            )));
        }
        self.a.counted = counted;
        if let Some(b) = &mut self.b {
            b.counted = counted;
        }
        Ok(self)
    }

    /// Only windows (of the first series) that `mask` marks take part, such as those of
    /// [`super::windows_without_gaps`].
    #[must_use]
    pub fn only(mut self, mask: &[bool]) -> Self {
        self.a.keep_only(mask);
        self
    }

    /// Only windows of the second series that `mask` marks take part.
    #[must_use]
    pub fn only_of_other(mut self, mask: &[bool]) -> Self {
        if let Some(b) = &mut self.b {
            b.keep_only(mask);
        }
        self
    }

    /// Windows with one value in every dimension take no part.
    #[must_use]
    pub fn without_flat(self) -> Self {
        let varied =
            |of: &Prepared| (0..of.windows).map(|window| !of.is_flat(window + PAD)).collect::<Vec<_>>();
        let (mask, mask_of_other) = (varied(&self.a), self.b.as_ref().map(varied).unwrap_or_default());
        self.only(&mask).only_of_other(&mask_of_other)
    }

    /// Looks only at this share of the pairs, spread evenly over the windows: the same ones
    /// each time.
    #[must_use]
    pub fn sample(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Seeks the k-th nearest neighbour of every window in the place of the nearest: the
    /// nearest of those that are further than ⌈m/4⌉ points from the k − 1 before it. Twin
    /// anomalies have each other as their nearest neighbour, and are far from the next.
    /// (Yankov, Keogh, Rebbapragada, "Disk aware discord discovery", ICDM 2007, name the
    /// problem; what two neighbours of one window are is as `match` of STUMPY has it.)
    #[must_use]
    pub fn neighbor(self, k: usize) -> Self {
        Self { neighbor: k.max(1), ..self }
    }

    /// Forces the instructions, for tests and measurements.
    #[must_use]
    pub fn with(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// Uses all threads, however little there is to do.
    #[cfg(test)]
    pub(super) fn spread(self) -> Self {
        Self { cells_alone: 0, ..self }
    }

    /// What it will cost: pairs of windows to be looked at.
    pub fn cells(&self) -> u64 {
        self.neighbor as u64 * self.as_join().cells()
    }

    /// Computes it on the current rayon pool. When the deadline is over it ends with the
    /// best neighbours so far.
    pub fn run(&self, deadline: &Deadline, progress: &Progress) -> Outcome {
        let before = progress.cells();
        let mut found: Vec<Vec<u32>> = Vec::new();
        let profile = loop {
            // Each neighbour gets its part of the time.
            let part = 1.0 / (self.neighbor - found.len()) as f64;
            let join = Join { found: &found, ..self.as_join() };
            let profile = join.search(&deadline.part(part), progress);
            if found.len() + 1 == self.neighbor {
                break profile;
            }
            found.push(self.a.padded(&profile.neighbors));
        };
        Outcome { profile, cells: progress.cells() - before, cells_total: self.cells() }
    }

    /// The exact profile.
    ///
    /// # Errors
    /// `TIMEOUT`.
    pub(super) fn complete(&self, deadline: &Deadline) -> Result<Profile> {
        let outcome = self.run(deadline, &Progress::default());
        if !outcome.is_complete() {
            deadline.check()?;
        }
        Ok(outcome.profile)
    }

    /// The exact distance of a window of the first series and one that may be its neighbour.
    pub fn distance(&self, window: usize, other: usize) -> f64 {
        window_distance(&self.a, window + PAD, self.as_join().b, other + PAD)
    }

    /// The exact distance of two windows in each dimension.
    pub fn distances_by_dimension(&self, window: usize, other: usize) -> Vec<f64> {
        distances_by_dimension(&self.a, window + PAD, self.as_join().b, other + PAD).collect()
    }

    /// Points a window has.
    pub fn window(&self) -> usize {
        self.a.window
    }

    /// Whether shapes are compared rather than values.
    pub fn is_normalized(&self) -> bool {
        self.a.normalize
    }

    /// Windows of the first series.
    pub fn windows(&self) -> usize {
        self.a.windows
    }

    /// Windows of the second series, where there is one.
    pub fn windows_of_other(&self) -> Option<usize> {
        self.b.as_ref().map(|b| b.windows)
    }

    /// Whether a window of the first series takes part.
    pub fn is_usable(&self, window: usize) -> bool {
        self.a.usable[window + PAD]
    }

    /// Whether a window of the series where neighbours are sought takes part.
    pub fn is_usable_of_other(&self, window: usize) -> bool {
        self.as_join().b.usable[window + PAD]
    }

    /// Whether a window of the first series has one value in every dimension.
    pub fn is_flat(&self, window: usize) -> bool {
        self.a.is_flat(window + PAD)
    }

    /// Whether a window of the series where neighbours are sought has one value in every
    /// dimension.
    pub fn is_flat_of_other(&self, window: usize) -> bool {
        self.as_join().b.is_flat(window + PAD)
    }

    /// Whether two windows may be neighbours, as far as their places tell.
    pub fn may_match(&self, window: usize, other: usize) -> bool {
        self.as_join().may_match(window + PAD, other + PAD)
    }

    fn as_join(&self) -> Join<'_> {
        Join {
            a: &self.a,
            b: self.b.as_ref().unwrap_or(&self.a),
            exclusion: self.b.is_none().then_some(self.exclusion),
            sides: self.sides,
            instructions: self.instructions,
            cells_alone: self.cells_alone,
            share: self.share,
            found: &[],
        }
    }

    /// The distance of each window where neighbours are sought from a window of the first
    /// series; infinite from those that may not be its neighbours.
    pub fn distances_from(&self, window: usize) -> Vec<f64> {
        let others = self.windows_of_other().unwrap_or_else(|| self.windows());
        let of = |other: usize| {
            if self.is_usable_of_other(other) && self.may_match(window, other) {
                self.distance(window, other)
            } else {
                f64::INFINITY
            }
        };
        (0..others).into_par_iter().with_min_len(SCANNED_ALONE).map(of).collect()
    }

    /// Distances of windows of the first series from some of those where neighbours are sought.
    pub(super) fn sweep(&self, others: Range<usize>) -> Sweep<'_> {
        Sweep::new(self.as_join(), others)
    }

    /// The `count` nearest neighbours of a window of the first series, the nearest first,
    /// each further than ⌈m/4⌉ points from those before it.
    pub fn nearest_of(&self, window: usize, count: usize) -> Vec<Near> {
        if count == 0 {
            return Vec::new();
        }
        nearest_apart(&self.distances_from(window), self.a.zone() + 1, count, f64::INFINITY)
    }
}

/// Bytes that the profile of so many points takes at its worst: the points and their
/// columns; candidates for each thread, and the profile.
pub fn memory_bytes(points: u64, dimension: u64, threads: u64) -> u64 {
    let of_threads = best::memory_bytes(points).saturating_mul(threads);
    points.saturating_mul(dimension * (8 + 9 * 8 + 1) + 17 + 24).saturating_add(of_threads)
}

/// Computes the profile of a series with itself.
///
/// # Errors
/// As [`Computation::self_join`] tells; `TIMEOUT`.
pub fn profile(selection: &Selection<'_>, deadline: &Deadline) -> Result<Profile> {
    Computation::self_join(selection)?.complete(deadline)
}
