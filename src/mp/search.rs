//! The search over all pairs: strips are handed out to threads, which look at them tile
//! by tile until all are done or the time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::base::Deadline;
use crate::kernels::Instructions;

use super::best::{Best, NONE};
use super::constants::match_constants;
use super::grid::{self, Strip};
use super::prepare::{PAD, Prepared};
use super::score::window_distance;
use super::tile::{Tile, steps_max};
use super::{Profile, Sides};

/// Fewer cells than this (about a millisecond) are not worth a second thread.
pub(super) const CELLS_ALONE: u64 = 4_000_000;
/// Windows whose distances are computed in one go.
const SCORED: usize = 4096;

/// How far a search has come; may be read by other threads.
#[derive(Debug, Default)]
pub struct Progress {
    cells: AtomicU64,
    expected: AtomicU64,
    whole: Option<Arc<Self>>,
}

impl Progress {
    /// That of a part: what it does is done of the whole, too.
    pub fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(whole.clone()), ..Self::default() }
    }

    /// More pairs of windows will be looked at.
    pub fn expect(&self, cells: u64) {
        self.expected.fetch_add(cells, Ordering::Relaxed);
    }

    /// Pairs of windows that will be looked at, as far as that is known.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Pairs of windows that were looked at.
    pub fn cells(&self) -> u64 {
        self.cells.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, cells: u64) {
        self.cells.fetch_add(cells, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(cells);
        }
    }
}

/// Two series, or twice the same, and which pairs of their windows count.
#[derive(Clone, Copy)]
pub(super) struct Join<'a> {
    pub a: &'a Prepared,
    pub b: &'a Prepared,
    /// Of a series with itself: neighbours are further away than this.
    pub exclusion: Option<usize>,
    pub sides: Sides,
    pub instructions: Instructions,
    /// Fewer cells than this are left to one thread.
    pub cells_alone: u64,
    /// The part of all strips to look at.
    pub share: f64,
    /// The nearest neighbours (padded) that have been found before, the nearest first: the
    /// next one is sought.
    pub found: &'a [Vec<u32>],
}

impl Join<'_> {
    /// Whether window `other` of `b` may be the neighbour of `window` of `a`, as far as
    /// their places tell; both padded.
    pub fn may_match(&self, window: usize, other: usize) -> bool {
        let Some(exclusion) = self.exclusion else { return true };
        match self.sides {
            Sides::Both => window.abs_diff(other) > exclusion,
            Sides::Left => other + exclusion < window,
            Sides::Right => window + exclusion < other,
        }
    }

    /// Whether it may be the next one, beside those that have been found: neighbours are as
    /// far from each other as from the window.
    pub fn may_be_next(&self, window: usize, other: usize) -> bool {
        let zone = self.a.zone();
        self.may_match(window, other)
            && self.found.iter().all(|found| (found[window] as usize).abs_diff(other) > zone)
    }

    /// Whether a window (padded) has all the neighbours before the one that is sought.
    pub fn has_found(&self, window: usize) -> bool {
        self.found.iter().all(|found| found[window] != NONE)
    }

    /// The exact distance of a window of `a` and one of `b`, both padded.
    pub fn distance(&self, window: usize, other: usize) -> f64 {
        window_distance(self.a, window, self.b, other)
    }

    fn strips(&self) -> Vec<Strip> {
        let mut strips = match self.exclusion {
            Some(exclusion) => grid::self_join(self.a.windows, exclusion),
            None => grid::join(self.a.windows, self.b.windows),
        };
        if self.share < 1.0 {
            strips.truncate((self.share * strips.len() as f64).ceil() as usize);
        }
        strips
    }

    pub fn cells(&self) -> u64 {
        match self.exclusion {
            Some(exclusion) => {
                let pairs = self.a.windows.saturating_sub(exclusion) as u64;
                pairs * pairs.saturating_sub(1) / 2
            }
            None => self.a.windows as u64 * self.b.windows as u64,
        }
    }

    /// The nearest neighbour in `b` of each window of `a`, among the pairs that were looked
    /// at before the time was over.
    pub fn search(&self, deadline: &Deadline, progress: &Progress) -> Profile {
        let strips = self.strips();
        let next = AtomicUsize::new(0);
        let alone = self.cells() < self.cells_alone;
        let threads = if alone { 1 } else { rayon::current_num_threads().clamp(1, strips.len().max(1)) };
        let work = || {
            let best = Best::new(self);
            let closed = Best::closed(self.b);
            while let Some(&strip) = strips.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !self.look_along(strip, &best, &closed, deadline, progress) {
                    break;
                }
            }
            best
        };
        let best = if threads == 1 {
            work()
        } else {
            let exact = |i: usize, j: usize| self.distance(i, j);
            let found: Vec<Best<'_>> = (0..threads).into_par_iter().map(|_| work()).collect();
            let mut found = found.into_iter();
            let first = found.next().unwrap_or_else(|| Best::new(self));
            found.for_each(|other| first.merge(&other, &exact));
            first
        };
        let mut neighbors = best.resolve(&|i, j| self.distance(i, j));
        match_constants(self, &mut neighbors);
        self.score(&neighbors[PAD..PAD + self.a.windows], threads)
    }

    /// Looks at a strip's tiles; whether there was time for all of them.
    fn look_along(
        &self,
        strip: Strip,
        best: &Best<'_>,
        closed: &Best<'_>,
        deadline: &Deadline,
        progress: &Progress,
    ) -> bool {
        let (rows, columns) = if strip.flipped { (self.b, self.a) } else { (self.a, self.b) };
        let of_both = match (self.exclusion, self.sides, strip.flipped) {
            (Some(_), Sides::Both, _) => (best, best),
            // A row is earlier than its columns.
            (Some(_), Sides::Left, _) | (None, _, true) => (closed, best),
            (Some(_), Sides::Right, _) | (None, _, false) => (best, closed),
        };
        let exact = |row: usize, column: usize| window_distance(rows, row, columns, column);
        let mut tile = Tile::new(self.instructions, rows, columns);
        let (steps, tile_steps) = (strip.steps(), steps_max(self.a.window));
        for from in (0..steps).step_by(tile_steps) {
            if deadline.is_over() {
                return false;
            }
            let to = steps.min(from + tile_steps);
            tile.look(strip.place(from), to - from, of_both, &exact);
            progress.add(strip.cells(from, to));
        }
        true
    }

    /// Exact distances to the neighbours found (padded), for all windows.
    fn score(&self, neighbors: &[u32], threads: usize) -> Profile {
        let of = |(part, neighbors): (usize, &[u32])| -> Vec<f64> {
            self.instructions.run(|| {
                let first = PAD + part * SCORED;
                let distance = |(at, &neighbor): (usize, &u32)| match neighbor {
                    NONE => f64::INFINITY,
                    neighbor => self.distance(first + at, neighbor as usize),
                };
                neighbors.iter().enumerate().map(distance).collect()
            })
        };
        let distances = if threads == 1 {
            neighbors.chunks(SCORED).enumerate().flat_map(of).collect()
        } else {
            neighbors.par_chunks(SCORED).enumerate().flat_map_iter(of).collect()
        };
        let unpadded = |&neighbor: &u32| if neighbor == NONE { usize::MAX } else { neighbor as usize - PAD };
        Profile { distances, neighbors: neighbors.iter().map(unpadded).collect() }
    }
}
