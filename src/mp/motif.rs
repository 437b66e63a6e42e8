//! Motifs: the closest pairs of windows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::base::{Deadline, Error, Result};

use super::{Computation, Selection};

/// A pair of windows, `a` the earlier.
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
}

impl Candidate {
    fn pair(&self) -> (usize, usize) {
        (self.window.min(self.neighbor), self.window.max(self.neighbor))
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
    let windows = selection.windows();
    let mut taken: Vec<bool> = (0..windows).map(|window| !computation.is_usable(window)).collect();
    let profile = computation.complete(deadline)?;
    let mut heap: BinaryHeap<Candidate> = profile
        .neighbors
        .iter()
        .zip(&profile.distances)
        .enumerate()
        .filter(|(_, (neighbor, _))| **neighbor != usize::MAX)
        .map(|(window, (&neighbor, &distance))| Candidate { distance, window, neighbor })
        .collect();
    let mut found = Vec::new();
    while found.len() < k {
        let Some(candidate) = heap.pop() else { break };
        if taken[candidate.window] {
            continue;
        }
        if taken[candidate.neighbor] {
            deadline.check()?;
            heap.extend(nearest_free(&computation, selection, candidate.window, &taken));
            continue;
        }
        let (a, b) = candidate.pair();
        found.push(Motif { a, b, distance: candidate.distance });
        for index in [a, b] {
            let from = (index + 1).saturating_sub(selection.window);
            let to = (index + selection.window).min(windows);
            taken[from..to].fill(true);
        }
    }
    Ok(found)
}

/// The nearest neighbour among the windows that are still free.
fn nearest_free(
    computation: &Computation,
    selection: &Selection<'_>,
    window: usize,
    taken: &[bool],
) -> Option<Candidate> {
    (0..taken.len())
        .into_par_iter()
        .filter(|&other| !taken[other] && other.abs_diff(window) > selection.exclusion())
        .map(|other| Candidate { distance: computation.distance(window, other), window, neighbor: other })
        .max()
}
