//! Motifs: the closest pairs of windows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::base::{Deadline, Error, Result};

use super::Selection;
use super::prepare::Prepared;
use super::profile::profile_of;
use super::score::window_distance;

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
    selection.check()?;
    let prepared = Prepared::new(selection);
    let mut taken: Vec<bool> = (0..prepared.windows).map(|window| prepared.is_flat(window)).collect();
    let profile = profile_of(&prepared, &taken, deadline)?;
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
            heap.extend(nearest_free(&prepared, candidate.window, &taken));
            continue;
        }
        let (a, b) = candidate.pair();
        found.push(Motif { a, b, distance: candidate.distance });
        for index in [a, b] {
            let from = (index + 1).saturating_sub(prepared.window);
            let to = (index + prepared.window).min(prepared.windows);
            taken[from..to].fill(true);
        }
    }
    Ok(found)
}

/// The nearest neighbour among the windows that are still free.
fn nearest_free(prepared: &Prepared, window: usize, taken: &[bool]) -> Option<Candidate> {
    (0..prepared.windows)
        .into_par_iter()
        .filter(|&other| !taken[other] && other.abs_diff(window) > prepared.exclusion)
        .map(|other| Candidate {
            distance: window_distance(prepared, window, other),
            window,
            neighbor: other,
        })
        .max()
}
