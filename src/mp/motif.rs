//! Motifs: the closest pairs of windows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::base::{Deadline, Error, Result};

use super::apart::{Near, nearest_apart, take};
use super::{Computation, Profile, Selection};

/// Fewer windows than this are looked through by one thread.
const SCANNED_ALONE: usize = 4096;
/// So many are looked through first for one that is as near as any can be.
const SCANNED_FIRST: usize = 64;

/// A pair of windows, `a` the earlier, or that of the first series.
#[derive(Debug, Clone, PartialEq)]
pub struct Motif {
    /// First point of the earlier window.
    pub a: usize,
    /// First point of the later window.
    pub b: usize,
    /// Their distance.
    pub distance: f64,
    /// How far occurrences may be from `a`; `None` where they were not sought.
    pub radius: Option<f64>,
    /// All windows like `a`: itself, where it is one of those in which neighbours are sought,
    /// `b`, and the others, the nearest first.
    pub occurrences: Vec<Near>,
}

/// How far a motif's occurrences may be from its window `a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Radius {
    /// Twice as far as `b`.
    TwiceThePair,
    /// So far.
    Distance(f64),
}

/// What rounding may make of the distance of equal z-normalised windows; STUMPY's `atol`.
const EQUAL: f64 = 1e-8;
/// What it may make of two distances that are equal, as a part of the greatest that there can be.
const ROUNDING: f64 = 1e-12;

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
    let (found, exact) = motifs_of(&computation, &profile, k, None, deadline);
    if !exact {
        deadline.check()?;
    }
    Ok(found)
}

/// The `k` motifs of a computation's profile, see [`motifs`]; in a join of two series
/// `a` is a window of the first and `b` of the second. What was found when the deadline
/// was over, and whether that is all.
///
/// With a radius, each is a motif set: all windows that are no further than that from `a`
/// and share no point with `a`, `b`, one nearer to `a`, or what was taken before; and a later
/// motif shares no point with any of them. (Of the definitions in use this is the range
/// motif around the pair's earlier window, as `motifs` of STUMPY has it; but there windows may
/// overlap by three quarters.)
pub fn motifs_of(
    computation: &Computation,
    profile: &Profile,
    k: usize,
    radius: Option<Radius>,
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
            heap.extend(free.nearest(&candidate));
            continue;
        }
        let (a, b) = candidate.pair();
        let distance = candidate.distance;
        free.take(&candidate);
        let mut motif = Motif { a, b, distance, radius: None, occurrences: Vec::new() };
        if let Some(radius) = radius {
            free.add_occurrences(&mut motif, radius);
        }
        found.push(motif);
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
        take(&mut self.own, pair.window, self.computation.window());
        self.take_neighbor(pair.neighbor);
    }

    fn take_neighbor(&mut self, neighbor: usize) {
        let free = self.of_other.as_mut().unwrap_or(&mut self.own);
        take(free, neighbor, self.computation.window());
    }

    /// Names all windows like the motif's first, and takes them.
    fn add_occurrences(&mut self, motif: &mut Motif, radius: Radius) {
        let radius = match radius {
            Radius::TwiceThePair => 2.0 * motif.distance,
            Radius::Distance(distance) => distance,
        };
        let mut distances = self.computation.distances_from(motif.a);
        for (distance, free) in distances.iter_mut().zip(self.neighbors()) {
            if !free {
                *distance = f64::INFINITY;
            }
        }
        let rounding = if self.computation.is_normalized() { EQUAL } else { 0.0 };
        let others = nearest_apart(&distances, self.computation.window(), usize::MAX, radius + rounding);
        for near in &others {
            self.take_neighbor(near.index);
        }
        if self.of_other.is_none() {
            motif.occurrences.push(Near { index: motif.a, distance: 0.0 });
        }
        motif.occurrences.push(Near { index: motif.b, distance: motif.distance });
        motif.occurrences.extend(others);
        motif.radius = Some(radius);
    }

    /// The nearest neighbour among the windows that are still free, of a window which has had this
    /// one until now.
    fn nearest(&self, before: &Candidate) -> Option<Candidate> {
        let (free, window) = (self.neighbors(), before.window);
        let candidate = |other: usize| Candidate {
            distance: self.computation.distance(window, other),
            neighbor: other,
            ..*before
        };
        // None is nearer than that. Where things repeat, one that is as near is not far away.
        let greatest = 2.0 * (self.computation.window() as f64).sqrt();
        let rounding = if self.computation.is_normalized() { ROUNDING * greatest } else { 0.0 };
        let (mut nearest, mut from, mut some) = (None, 0, SCANNED_FIRST);
        while from < free.len() {
            let to = (from + some).min(free.len());
            let others = (from..to)
                .into_par_iter()
                .with_min_len(SCANNED_ALONE)
                .filter(|&other| free[other] && self.computation.may_match(window, other));
            // The greater is nearer.
            nearest = nearest.max(others.map(candidate).max());
            if nearest.as_ref().is_some_and(|near| near.distance <= before.distance + rounding) {
                break;
            }
            (from, some) = (to, 2 * some);
        }
        nearest
    }
}
