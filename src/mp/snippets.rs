//! Snippets: the few stretches of a series that stand best for all of it.
//!
//! A candidate is each of the stretches that the series falls into when it is cut every so
//! many points. How far a window is from it is an `MPdist`: both are compared by shorter
//! windows, wherever these are in them. The first snippet is the candidate to which all
//! windows together are nearest; each other one the candidate that brings them nearest beside
//! those already taken. Source: Imani et al., "Matrix Profile XIII: Time Series Snippets" (ICBK
//! 2018); the conventions are those of STUMPY.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::base::{Deadline, Rng};

use super::Computation;
use super::mpdist::{MPDIST_PART, nth_or_last};
use super::search::Progress;

/// Windows whose distances from a candidate are computed in one go.
const BLOCK: usize = 2048;

/// A stretch that stands for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snippet {
    /// Its first point.
    pub index: usize,
    /// The part of all windows that are nearer to it than to the other snippets, 0 to 1.
    pub fraction: f64,
    /// The sum of the distances of all windows to the nearest of this snippet and those
    /// before it.
    pub area: f64,
}

/// Stretches of `length` points of a series, compared by its (shorter) windows.
pub struct Snippets<'a> {
    computation: &'a Computation,
    length: usize,
    /// Which windows of `length` points take part.
    whole: &'a [bool],
    candidates: Vec<usize>,
}

/// Snippets, or what was found of them in time.
#[derive(Debug, Clone, PartialEq)]
pub struct SnippetsFound {
    /// The first stands for most.
    pub snippets: Vec<Snippet>,
    /// Pairs of windows that were looked at.
    pub cells: u64,
}

impl<'a> Snippets<'a> {
    /// Candidates begin where `whole` begins to be true, and every `length` points from there.
    pub fn new(computation: &'a Computation, length: usize, whole: &'a [bool]) -> Self {
        let mut candidates: Vec<usize> = Vec::new();
        let mut next = 0;
        for (at, &is_whole) in whole.iter().enumerate() {
            if is_whole && at >= next {
                candidates.push(at);
                next = at + length;
            } else if !is_whole {
                // What begins anew is cut anew.
                next = at + 1;
            }
        }
        Self { computation, length, whole, candidates }
    }

    /// Windows of the series in one of `length` points.
    fn inner(&self) -> usize {
        self.length - self.computation.window() + 1
    }

    /// Pairs of windows to be looked at.
    pub fn cells(&self) -> u64 {
        (self.candidates.len() * self.inner()) as u64 * self.computation.windows() as u64
    }

    /// Bytes that the distances of so many points take.
    pub fn memory_bytes(points: u64, length: u64) -> u64 {
        points.saturating_mul(8).saturating_mul(points / length.max(1) + 2)
    }

    /// The `k` snippets among the candidates that were looked at before the deadline.
    pub fn find(&self, k: usize, deadline: &Deadline, progress: &Progress) -> SnippetsFound {
        let before = progress.cells();
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        let mut rng = Rng::new(0x736E_6970);
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at as u64 + 1) as usize);
        }
        let next = AtomicUsize::new(0);
        let work = |_: usize| {
            let mut found = Vec::new();
            while let Some(&candidate) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(distances) = self.distances(self.candidates[candidate], deadline, progress) else {
                    break;
                };
                found.push((candidate, distances));
            }
            found
        };
        let threads = rayon::current_num_threads().clamp(1, order.len().max(1));
        let mut profiles: Vec<(usize, Vec<f64>)> = (0..threads).into_par_iter().flat_map(work).collect();
        profiles.sort_unstable_by_key(|(candidate, _)| *candidate);
        SnippetsFound { snippets: self.choose(&profiles, k), cells: progress.cells() - before }
    }

    /// The `MPdist` of each window that takes part from a candidate; `None` where there was no
    /// time for all of them.
    fn distances(&self, candidate: usize, deadline: &Deadline, progress: &Progress) -> Option<Vec<f64>> {
        let inner = self.inner();
        let n = ((MPDIST_PART * 2.0 * self.length as f64).ceil() as usize).min(2 * inner - 1);
        let mut found = Vec::new();
        let mut least_of_rows = vec![0.0; inner * BLOCK];
        let mut both = vec![0.0; 2 * inner];
        for from in (0..self.whole.len()).step_by(BLOCK) {
            if deadline.is_over() {
                return None;
            }
            let to = (from + BLOCK).min(self.whole.len());
            let columns = from..to + inner - 1;
            let mut least_of_columns = vec![f64::INFINITY; columns.len()];
            let mut sweep = self.computation.sweep(columns.clone());
            for row in 0..inner {
                let distances = sweep.from(candidate + row);
                for (least, &distance) in least_of_columns.iter_mut().zip(distances) {
                    *least = least.min(distance);
                }
                rolling_min(distances, inner, &mut least_of_rows[row * BLOCK..][..to - from]);
            }
            for at in (from..to).filter(|&at| self.whole[at]) {
                for row in 0..inner {
                    both[row] = least_of_rows[row * BLOCK + at - from];
                }
                both[inner..].copy_from_slice(&least_of_columns[at - from..at - from + inner]);
                found.push(nth_or_last(&mut both, n).unwrap_or(f64::INFINITY));
            }
            // Columns that two blocks look at count once.
            let new = if to == self.whole.len() { columns.len() } else { to - from };
            progress.add((inner * new) as u64);
        }
        Some(found)
    }

    fn choose(&self, profiles: &[(usize, Vec<f64>)], k: usize) -> Vec<Snippet> {
        let windows = self.whole.iter().filter(|whole| **whole).count();
        let mut nearest = vec![f64::INFINITY; windows];
        let mut chosen: Vec<(usize, f64)> = Vec::new();
        while chosen.len() < k.min(profiles.len()) {
            let area = |profile: &[f64]| -> f64 {
                profile.iter().zip(&nearest).map(|(distance, nearest)| distance.min(*nearest)).sum()
            };
            let best = (0..profiles.len())
                .filter(|at| chosen.iter().all(|(other, _)| other != at))
                .map(|at| (at, area(&profiles[at].1)))
                .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            let Some((at, area)) = best else { break };
            for (nearest, distance) in nearest.iter_mut().zip(&profiles[at].1) {
                *nearest = nearest.min(*distance);
            }
            chosen.push((at, area));
        }
        let mut owned = vec![0_usize; chosen.len()];
        for (window, nearest) in nearest.iter().enumerate() {
            // Of equals the first.
            let owner = chosen.iter().position(|(at, _)| profiles[*at].1[window] <= *nearest);
            if let Some(owner) = owner {
                owned[owner] += 1;
            }
        }
        let snippet = |(&(at, area), owned): (&(usize, f64), usize)| Snippet {
            index: self.candidates[profiles[at].0],
            fraction: owned as f64 / windows as f64,
            area,
        };
        chosen.iter().zip(owned).map(snippet).collect()
    }
}

/// The least of each `width` values that stand together.
fn rolling_min(values: &[f64], width: usize, out: &mut [f64]) {
    // Blocks of `width`: the least from the begin of a block on, and up to its end (van Herk,
    // "A fast algorithm for local minimum and maximum filters", 1992).
    let mut from_begin = values.to_vec();
    let mut to_end = values.to_vec();
    for at in 1..values.len() {
        if at % width != 0 {
            from_begin[at] = from_begin[at].min(from_begin[at - 1]);
        }
    }
    for at in (0..values.len().saturating_sub(1)).rev() {
        if (at + 1) % width != 0 {
            to_end[at] = to_end[at].min(to_end[at + 1]);
        }
    }
    for (at, out) in out.iter_mut().enumerate() {
        *out = to_end[at].min(from_begin[at + width - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_each_stretch() {
        let mut rng = Rng::new(2);
        for width in [1, 2, 5, 16, 40] {
            let values: Vec<f64> = (0..40).map(|_| rng.unit_f64()).collect();
            let mut out = vec![0.0; 40 - width + 1];
            rolling_min(&values, width, &mut out);
            for (found, values) in out.iter().zip(values.windows(width)) {
                assert_eq!(*found, values.iter().copied().fold(f64::INFINITY, f64::min));
            }
        }
    }
}
