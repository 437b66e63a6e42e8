//! Motifs: the closest pairs of windows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::base::{Deadline, Error, Result};

use super::{Computation, Profile, Selection};

/// Fewer windows than this are looked through by one thread.
const SCANNED_ALONE: usize = 4096;

/// A pair of windows, `a` the earlier, or that of the first series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motif {
    /// First point of the earlier window.
    pub a: usize,
    /// First point of the later window.
    pub b: usize,
    /// Their distance.
    pub distance: f64,
}

/// A window and the nearest neighbour that it had when it was last looked at.
/// Windows only become taken, so the distance can only have grown since.
#[derive(PartialEq)]
struct Candidate {
    distance: f64,
    window: usize,
    neighbor: usize,
    /// Both are of one series, so that the earlier is named first.
    ordered: bool,
}

impl Candidate {
    fn pair(&self) -> (usize, usize) {
        if self.ordered {
            (self.window.min(self.neighbor), self.window.max(self.neighbor))
        } else {
            (self.window, self.neighbor)
        }
    }
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // `BinaryHeap` yields the greatest.
        other.distance.total_cmp(&self.distance).then_with(|| other.pair().cmp(&self.pair()))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `k` motifs of a selection, or as many as there are: the closest pair of
/// neighbouring windows, then the closest pair of which neither window shares a point
/// with one already taken. Windows with one value in every dimension take no part. Of
/// equals the earlier pair.
///
/// # Errors
/// `INVALID_ARGUMENT` for `k` = 0 or a window below 3; `NOT_ENOUGH_DATA`; `TIMEOUT`.
pub fn motifs(selection: &Selection<'_>, k: usize, deadline: &Deadline) -> Result<Vec<Motif>> {
    if k == 0 {
        return Err(Error::invalid("k is 0; ask for at least one motif"));
    }
    let computation = Computation::self_join(selection)?.without_flat();
    let profile = computation.complete(deadline)?;
    let (found, exact) = motifs_of(&computation, &profile, k, deadline);
    if !exact {
        deadline.check()?;
    }
    Ok(found)
}

/// The `k` motifs of a computation's profile, see [`motifs`]; in a join of two series
/// `a` is a window of the first and `b` of the second. What was found when the deadline
/// was over, and whether that is all.
pub fn motifs_of(
    computation: &Computation,
    profile: &Profile,
    k: usize,
    deadline: &Deadline,
) -> (Vec<Motif>, bool) {
    let mut free = Free::new(computation);
    let mut heap: BinaryHeap<Candidate> = profile
        .neighbors
        .iter()
        .zip(&profile.distances)
        .enumerate()
        .filter(|(_, (neighbor, _))| **neighbor != usize::MAX)
        .map(|(window, (&neighbor, &distance))| Candidate {
            distance,
            window,
            neighbor,
            ordered: free.of_other.is_none(),
        })
        .collect();
    let mut found = Vec::new();
    while found.len() < k {
        let Some(candidate) = heap.pop() else { break };
        if !free.window(candidate.window) {
            continue;
        }
        if !free.neighbor(candidate.neighbor) {
            if deadline.is_over() {
                return (found, false);
            }
            heap.extend(free.nearest(candidate.window));
            continue;
        }
        let (a, b) = candidate.pair();
        found.push(Motif { a, b, distance: candidate.distance });
        free.take(&candidate);
    }
    (found, true)
}

/// Windows that share no point with one that was taken.
struct Free<'a> {
    computation: &'a Computation,
    /// Of the first series.
    own: Vec<bool>,
    /// Of the second, where there is one.
    of_other: Option<Vec<bool>>,
}

impl<'a> Free<'a> {
    fn new(computation: &'a Computation) -> Self {
        let own = (0..computation.windows()).map(|window| computation.is_usable(window)).collect();
        let of_other = computation
            .windows_of_other()
            .map(|windows| (0..windows).map(|window| computation.is_usable_of_other(window)).collect());
        Self { computation, own, of_other }
    }

    fn window(&self, window: usize) -> bool {
        self.own[window]
    }

    fn neighbor(&self, neighbor: usize) -> bool {
        self.neighbors()[neighbor]
    }

    fn neighbors(&self) -> &[bool] {
        self.of_other.as_ref().unwrap_or(&self.own)
    }

    fn take(&mut self, pair: &Candidate) {
        let points = self.computation.window();
        let take = |free: &mut [bool], index: usize| {
            let from = (index + 1).saturating_sub(points);
            let to = (index + points).min(free.len());
            free[from..to].fill(false);
        };
        take(&mut self.own, pair.window);
        take(self.of_other.as_mut().unwrap_or(&mut self.own), pair.neighbor);
    }

    /// The nearest neighbour among the windows that are still free.
    fn nearest(&self, window: usize) -> Option<Candidate> {
        let free = self.neighbors();
        (0..free.len())
            .into_par_iter()
            .with_min_len(SCANNED_ALONE)
            .filter(|&other| free[other] && self.computation.may_match(window, other))
            .map(|other| Candidate {
                distance: self.computation.distance(window, other),
                window,
                neighbor: other,
                ordered: self.of_other.is_none(),
            })
            .max()
    }
}
