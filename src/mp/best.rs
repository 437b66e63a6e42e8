//! The best neighbour so far of each window.
//!
//! What a tile's recurrence says of a pair carries the rounding of thousands of steps. So
//! candidates that are closer to the best than that are all kept, and told apart at the
//! end by exact distances, of equal ones by the smaller index. The outcome is a function
//! of the set of pairs that were offered, not of their order: it does not depend on
//! threads.
//!
//! In a series that repeats itself a window has very many neighbours at a distance of nothing
//! but rounding. These count as equal: once one is known, only smaller
//! indices can win.

use std::cell::{Cell, RefCell};

use super::prepare::Prepared;
use super::search::Join;

/// No neighbour.
pub(super) const NONE: u32 = u32::MAX;

/// Correlations closer than this may be equal.
const CORRELATION_ERROR: f64 = 1e-11;
/// Distances closer than this part may be equal, beside what a window's norm adds.
const RELATIVE_ERROR: f64 = 1e-11;
/// Distances of normalised windows that are smaller are as good as 0.
const NOTHING: f64 = 1e-12;
/// Ties to have before they are thinned out: so many a window, as long as all are not more
/// than the second number, and at least as many as there are windows.
const TIES_OF_WINDOW: usize = 8;
const TIES_MAX: usize = 1 << 17;

/// A candidate that was not told from the best; window and neighbour are padded.
#[derive(Clone, Copy)]
struct Candidate {
    window: u32,
    neighbor: u32,
    score: f64,
    /// The exact distance; less than 0 where it was not computed yet.
    distance: f64,
}

/// Not computed yet.
const UNKNOWN: f64 = -1.0;

/// Ties of so many windows that are held before they are thinned out.
fn ties_max(windows: usize) -> usize {
    (TIES_OF_WINDOW * windows).min(TIES_MAX).max(windows) + 1024
}

/// Bytes that the best of so many windows take.
pub(super) fn memory_bytes(windows: u64) -> u64 {
    let columns = 3 * size_of::<f64>() + 2 * size_of::<u32>();
    let ties = ties_max(usize::try_from(windows).unwrap_or(usize::MAX / 16)) * size_of::<Candidate>();
    windows.saturating_mul(columns as u64).saturating_add(ties as u64)
}

/// Scores are correlations, or distances below zero: more is better.
pub(super) struct Best<'a> {
    scores: Vec<Cell<f64>>,
    neighbors: Vec<Cell<u32>>,
    /// The exact distances of these, as far as they were computed.
    distances: Vec<Cell<f64>>,
    /// The first neighbour that is known to be at no distance.
    equals: Vec<Cell<u32>>,
    /// Distances of no more than this are none.
    nothing: f64,
    /// What the kernel compares with.
    pub thresholds: Vec<Cell<f64>>,
    /// Candidates as good as the best when they came.
    ties: RefCell<Vec<Candidate>>,
    /// When to thin them out.
    ties_max: Cell<usize>,
    correlation: bool,
    units: &'a [f64],
    /// Neighbours that were found before, and how far from them others are.
    found: &'a [Vec<u32>],
    zone: u32,
}

impl<'a> Best<'a> {
    /// Neighbours for all usable windows of the first series are wanted.
    pub fn new(join: &Join<'a>) -> Self {
        let prepared = join.a;
        let correlation = prepared.by_correlation();
        let open = if correlation { f64::NEG_INFINITY } else { f64::INFINITY };
        let thresholds = prepared.weights.iter().enumerate().map(|(window, &weight)| {
            if weight > 0.0 && join.has_found(window) { open } else { closed(correlation) }
        });
        let n = prepared.weights.len();
        Self {
            scores: vec![Cell::new(f64::NEG_INFINITY); n],
            neighbors: vec![Cell::new(NONE); n],
            distances: vec![Cell::new(UNKNOWN); n],
            equals: vec![Cell::new(NONE); n],
            nothing: if prepared.normalize { NOTHING } else { 0.0 },
            thresholds: thresholds.map(Cell::new).collect(),
            ties: RefCell::default(),
            ties_max: Cell::new(ties_max(n)),
            correlation,
            units: &prepared.units,
            found: join.found,
            zone: prepared.zone() as u32,
        }
    }

    /// No neighbours are wanted.
    pub fn closed(prepared: &'a Prepared) -> Self {
        let correlation = prepared.by_correlation();
        Self {
            scores: Vec::new(),
            neighbors: Vec::new(),
            distances: Vec::new(),
            equals: Vec::new(),
            nothing: 0.0,
            thresholds: vec![Cell::new(closed(correlation)); prepared.weights.len()],
            ties: RefCell::default(),
            ties_max: Cell::new(0),
            correlation,
            units: &prepared.units,
            found: &[],
            zone: 0,
        }
    }

    /// The least score that may be as good as `score`.
    #[inline]
    fn floor(&self, window: usize, score: f64) -> f64 {
        if self.correlation {
            score - CORRELATION_ERROR
        } else {
            score * (1.0 + RELATIVE_ERROR) - self.units[window]
        }
    }

    /// The least score that counts for a window as it stands.
    #[inline]
    pub fn least(&self, window: usize) -> f64 {
        self.floor(window, self.scores[window].get())
    }

    fn set(&self, window: usize, Candidate { neighbor, score, distance, .. }: Candidate) {
        self.scores[window].set(score);
        self.neighbors[window].set(neighbor);
        self.distances[window].set(distance);
        let floor = self.floor(window, score);
        self.thresholds[window].set(if self.correlation { floor * self.units[window] } else { -floor });
    }

    /// Offers a pair that the kernel has found to be near. `exact` gives distances.
    #[inline]
    pub fn offer(&self, window: usize, neighbor: usize, score: f64, exact: &impl Fn(usize, usize) -> f64) {
        // Of a window without neighbours nothing is kept, whatever overflow makes of a distance.
        let Some(best) = self.scores.get(window).map(Cell::get) else { return };
        let is_near_one_before = |found: &Vec<u32>| found[window].abs_diff(neighbor as u32) <= self.zone;
        if score < self.least(window) || self.found.iter().any(is_near_one_before) {
            return;
        }
        let candidate =
            Candidate { window: window as u32, neighbor: neighbor as u32, score, distance: UNKNOWN };
        self.take(best, candidate, exact);
    }

    #[inline]
    fn take(&self, best: f64, candidate: Candidate, exact: &impl Fn(usize, usize) -> f64) {
        let window = candidate.window as usize;
        if self.floor(window, candidate.score) > best {
            self.set(window, candidate);
            self.equals[window].set(NONE);
        } else if candidate.neighbor < self.equals[window].get() {
            self.tie(candidate, exact);
        }
    }

    fn best_of(&self, window: usize) -> Candidate {
        Candidate {
            window: window as u32,
            neighbor: self.neighbors[window].get(),
            score: self.scores[window].get(),
            distance: self.distances[window].get(),
        }
    }

    #[cold]
    #[inline(never)]
    fn tie(&self, candidate: Candidate, exact: &impl Fn(usize, usize) -> f64) {
        let window = candidate.window as usize;
        let best = self.best_of(window);
        let mut loser = candidate;
        if candidate.score > best.score
            || (candidate.score == best.score && candidate.neighbor < best.neighbor)
        {
            self.set(window, candidate);
            loser = best;
        }
        self.ties.borrow_mut().push(loser);
        if self.ties.borrow().len() > self.ties_max.get() {
            self.thin_out(exact);
        }
    }

    /// The exact distance, as far as it tells candidates apart.
    fn distance(&self, candidate: &mut Candidate, exact: &impl Fn(usize, usize) -> f64) -> f64 {
        let window = candidate.window as usize;
        if candidate.distance < 0.0 {
            candidate.distance = exact(window, candidate.neighbor as usize);
        }
        if candidate.distance > self.nothing {
            return candidate.distance;
        }
        let first = &self.equals[window];
        first.set(first.get().min(candidate.neighbor));
        0.0
    }

    /// Drops each candidate that can't win: one with no lower score is nearer.
    fn thin_out(&self, exact: &impl Fn(usize, usize) -> f64) {
        let mut kept: Vec<Candidate> = Vec::new();
        let mut front: Vec<(f64, Candidate)> = Vec::new();
        self.by_window(exact, |window, candidates| {
            candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.neighbor.cmp(&b.neighbor)));
            front.clear();
            for candidate in candidates {
                let distance = self.distance(candidate, exact);
                // Those before it have no lower score; the last of them is the nearest.
                let wins = front.last().is_none_or(|(nearest, other)| {
                    (distance, candidate.neighbor) < (*nearest, other.neighbor)
                });
                if wins {
                    front.push((distance, *candidate));
                }
            }
            // The first has the greatest score: it is the best, and kept as such.
            self.set(window, front[0].1);
            kept.extend(front[1..].iter().map(|(_, candidate)| *candidate));
        });
        self.ties_max.set(self.ties_max.get().max(2 * kept.len()));
        *self.ties.borrow_mut() = kept;
    }

    /// Calls `look` with the candidates, the best among them, of each window that has ties:
    /// with all that may be the outcome.
    fn by_window(
        &self,
        exact: &impl Fn(usize, usize) -> f64,
        mut look: impl FnMut(usize, &mut Vec<Candidate>),
    ) {
        let mut ties = self.ties.take();
        ties.retain(|tie| {
            let window = tie.window as usize;
            tie.score >= self.least(window) || tie.neighbor == self.equals[window].get()
        });
        ties.sort_unstable_by_key(|tie| (tie.window, tie.neighbor));
        let mut candidates = Vec::new();
        for of_window in ties.chunk_by(|a, b| a.window == b.window) {
            let window = of_window[0].window as usize;
            candidates.clear();
            candidates.extend_from_slice(of_window);
            // Where the first is at no distance, those behind it are no help; but the best by
            // its score stays, for others are measured by it.
            if self.nothing > 0.0 && self.distance(&mut candidates[0], exact) == 0.0 {
                candidates.truncate(1);
            }
            candidates.push(self.best_of(window));
            look(window, &mut candidates);
        }
    }

    /// Adds what another thread has found.
    pub fn merge(&self, other: &Self, exact: &impl Fn(usize, usize) -> f64) {
        for (window, (score, neighbor)) in other.scores.iter().zip(&other.neighbors).enumerate() {
            if neighbor.get() != NONE {
                self.offer(window, neighbor.get() as usize, score.get(), exact);
            }
        }
        for tie in other.ties.take() {
            self.offer(tie.window as usize, tie.neighbor as usize, tie.score, exact);
        }
    }

    /// The nearest neighbour of each window (padded), told from its like by the exact
    /// distance and then by the index.
    pub fn resolve(self, exact: &impl Fn(usize, usize) -> f64) -> Vec<u32> {
        self.by_window(exact, |window, candidates| {
            let nearest = candidates
                .iter_mut()
                .map(|candidate| (self.distance(candidate, exact), candidate.neighbor))
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if let Some((_, neighbor)) = nearest {
                self.neighbors[window].set(neighbor);
            }
        });
        self.neighbors.into_iter().map(Cell::into_inner).collect()
    }
}

/// The threshold that nothing passes.
fn closed(correlation: bool) -> f64 {
    // Squared distances may come out a little below zero.
    if correlation { f64::INFINITY } else { f64::NEG_INFINITY }
}
