//! The search for nearest neighbours, along bands of diagonals.
//!
//! For windows i and j = i + k on diagonal k the covariance follows from its
//! predecessor: cov(i,j) = cov(i−1,j−1) + df[i]·dg[j] + df[j]·dg[i], and
//! ρ = cov·inv[i]·inv[j]. A band of diagonals is walked row by row, so that the inner
//! loop runs over neighbouring columns. Errors that pile up in the recurrence are
//! bounded by starting anew from a direct sum at every row tile, and wherever the
//! energy of a window collapses, in the row or in the column.

use rayon::prelude::*;

use crate::base::{Deadline, Result};

use super::prepare::{Dimension, Prepared};

/// Diagonals walked together.
const BAND: usize = 64;
/// Rows after which the recurrence starts anew.
const TILE_ROWS: usize = 1024;

/// Best neighbour so far of each window: what is to be least, and where.
struct Best {
    scores: Vec<f64>,
    neighbors: Vec<usize>,
}

impl Best {
    fn new(windows: usize) -> Self {
        Self { scores: vec![f64::INFINITY; windows], neighbors: vec![usize::MAX; windows] }
    }

    /// Less is better; of equals the smaller index.
    fn offer(&mut self, window: usize, score: f64, neighbor: usize) {
        let best = &mut self.scores[window];
        if score < *best || (score == *best && neighbor < self.neighbors[window]) {
            *best = score;
            self.neighbors[window] = neighbor;
        }
    }

    fn merge(mut self, other: &Self) -> Self {
        for (window, (&score, &neighbor)) in other.scores.iter().zip(&other.neighbors).enumerate() {
            if neighbor != usize::MAX {
                self.offer(window, score, neighbor);
            }
        }
        self
    }
}

/// The nearest neighbour of every window that `left_out` does not mark (an empty slice
/// marks none), among those that it does not mark; `usize::MAX` where there is none.
pub(super) fn nearest(prepared: &Prepared, left_out: &[bool], deadline: &Deadline) -> Result<Vec<usize>> {
    let first = prepared.exclusion + 1;
    let bands: Vec<usize> = (first..prepared.windows).step_by(BAND).collect();
    // Each group takes every so-manieth band, so that long and short diagonals mix.
    let groups = rayon::current_num_threads().clamp(1, bands.len().max(1));
    let best = (0..groups)
        .into_par_iter()
        .map(|group| {
            let mut best = Best::new(prepared.windows);
            let mut walker = Walker::new(prepared);
            for &band in bands.iter().skip(group).step_by(groups) {
                walker.walk_band(band, left_out, &mut best, deadline)?;
            }
            Ok(best)
        })
        .try_reduce(|| Best::new(prepared.windows), |a, b| Ok(a.merge(&b)))?;
    Ok(best.neighbors)
}

/// The covariances (or squared distances) of one band, for each dimension.
struct Walker<'a> {
    prepared: &'a Prepared,
    state: Vec<[f64; BAND]>,
    scores: [f64; BAND],
}

impl<'a> Walker<'a> {
    fn new(prepared: &'a Prepared) -> Self {
        Self { prepared, state: vec![[0.0; BAND]; prepared.dimensions.len()], scores: [0.0; BAND] }
    }

    fn walk_band(
        &mut self,
        band: usize,
        left_out: &[bool],
        best: &mut Best,
        deadline: &Deadline,
    ) -> Result<()> {
        let rows = self.prepared.windows - band;
        for row in 0..rows {
            if row % TILE_ROWS == 0 {
                deadline.check()?;
            }
            // Diagonals of the band that still have a cell in this row.
            let lanes = BAND.min(self.prepared.windows - row - band);
            let column = row + band;
            self.scores = [0.0; BAND];
            for at in 0..self.prepared.dimensions.len() {
                self.step(at, row, column, lanes);
            }
            self.collect(row, column, lanes, left_out, best);
        }
        Ok(())
    }

    /// Brings one dimension's state to this row and adds its share to the scores.
    fn step(&mut self, at: usize, row: usize, column: usize, lanes: usize) {
        let prepared = self.prepared;
        let dimension = &prepared.dimensions[at];
        let state = &mut self.state[at];
        let start_row = row.is_multiple_of(TILE_ROWS) || dimension.collapsed.binary_search(&row).is_ok();
        if start_row {
            for (lane, state) in state.iter_mut().enumerate().take(lanes) {
                *state = direct(prepared, dimension, row, column + lane);
            }
        } else {
            if prepared.normalize {
                advance_covariance(state, dimension, row, column, lanes);
            } else {
                advance_squares(state, &dimension.values, prepared.window, row, column, lanes);
            }
            let from = dimension.collapsed.partition_point(|&window| window < column);
            for &window in dimension.collapsed[from..].iter().take_while(|&&window| window < column + lanes) {
                state[window - column] = direct(prepared, dimension, row, window);
            }
        }
        if prepared.normalize {
            self.add_correlation(at, row, column, lanes);
        } else {
            let share = 1.0 / prepared.dimensions.len() as f64;
            for lane in 0..lanes {
                self.scores[lane] += share * self.state[at][lane].max(0.0).sqrt();
            }
        }
    }

    fn add_correlation(&mut self, at: usize, row: usize, column: usize, lanes: usize) {
        let dimensions = self.prepared.dimensions.len();
        let dimension = &self.prepared.dimensions[at];
        let (inverse, share) = (dimension.inverse_norms[row], dimension.constant_share[row]);
        let inverses = &dimension.inverse_norms[column..column + lanes];
        let shares = &dimension.constant_share[column..column + lanes];
        let state = &self.state[at][..lanes];
        let scores = &mut self.scores[..lanes];
        if dimensions == 1 {
            // One dimension: the greatest correlation is the least distance.
            for lane in 0..lanes {
                scores[lane] = -(state[lane] * (inverse * inverses[lane]) + (share + shares[lane]));
            }
        } else {
            for lane in 0..lanes {
                let correlation = state[lane] * (inverse * inverses[lane]) + (share + shares[lane]);
                scores[lane] += (1.0 - correlation).max(0.0).sqrt();
            }
        }
    }

    /// Notes what became better, for the row and for each column.
    fn collect(&self, row: usize, column: usize, lanes: usize, left_out: &[bool], best: &mut Best) {
        let scores = &self.scores[..lanes];
        let row_best = best.scores[row];
        let column_bests = &best.scores[column..column + lanes];
        let mut better = false;
        for lane in 0..lanes {
            better |= (scores[lane] <= row_best) || (scores[lane] <= column_bests[lane]);
        }
        if better {
            self.collect_better(row, column, lanes, left_out, best);
        }
    }

    #[cold]
    #[inline(never)]
    fn collect_better(&self, row: usize, column: usize, lanes: usize, left_out: &[bool], best: &mut Best) {
        let is_left_out = |window: usize| left_out.get(window).copied().unwrap_or(false);
        if is_left_out(row) {
            return;
        }
        for lane in 0..lanes {
            let (score, other) = (self.scores[lane], column + lane);
            if !is_left_out(other) {
                best.offer(row, score, other);
                best.offer(other, score, row);
            }
        }
    }
}

fn advance_covariance(
    state: &mut [f64; BAND],
    dimension: &Dimension,
    row: usize,
    column: usize,
    lanes: usize,
) {
    let (df_row, dg_row) = (dimension.df[row], dimension.dg[row]);
    let df = &dimension.df[column..column + lanes];
    let dg = &dimension.dg[column..column + lanes];
    for ((state, df), dg) in state[..lanes].iter_mut().zip(df).zip(dg) {
        *state += df_row * dg + df * dg_row;
    }
}

fn advance_squares(
    state: &mut [f64; BAND],
    values: &[f64],
    m: usize,
    row: usize,
    column: usize,
    lanes: usize,
) {
    let (left, entered) = (values[row - 1], values[row + m - 1]);
    let leaving = &values[column - 1..column - 1 + lanes];
    let entering = &values[column + m - 1..column + m - 1 + lanes];
    for ((state, out), into) in state[..lanes].iter_mut().zip(leaving).zip(entering) {
        let (out, into) = (left - out, entered - into);
        *state += into * into - out * out;
    }
}

/// The state of one cell without the recurrence.
fn direct(prepared: &Prepared, dimension: &Dimension, row: usize, column: usize) -> f64 {
    let m = prepared.window;
    let (a, b) = (&dimension.values[row..row + m], &dimension.values[column..column + m]);
    if prepared.normalize {
        let (mean_a, mean_b) = (dimension.means[row], dimension.means[column]);
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    } else {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}
