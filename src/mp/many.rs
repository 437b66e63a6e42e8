//! The tile where points have several values: distances are averaged over the dimensions,
//! so that each cell needs a root for each.

use crate::kernels::Instructions;
use crate::kernels::skew::{DIAGONALS, Hit, LANES, Place, State};

use super::best::Best;
use super::prepare::{Dimension, Prepared};

/// As [`crate::kernels::skew::walk`], over the states of all dimensions; the state of a
/// hit is the sum of the distances, in units of √(2m) for normalised windows.
pub(super) fn walk(
    instructions: Instructions,
    sides: (&Prepared, &Prepared),
    best: (&Best<'_>, &Best<'_>),
    place: Place,
    steps: usize,
    states: &mut [State],
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    instructions.run(|| {
        for step in 0..steps {
            let at = Place { row: place.row + step, column: place.column + step };
            let mut sums = [0.0; DIAGONALS];
            let dimensions = || sides.0.dimensions.iter().zip(&sides.1.dimensions);
            for ((rows, columns), state) in dimensions().zip(&*states) {
                if sides.0.normalize {
                    add_correlations(rows, columns, at, state, &mut sums);
                } else {
                    add_squares(state, &mut sums);
                }
            }
            if compare(sides, best, at, &sums) {
                report(sides, best, at, &sums, on_hit);
            }
            for ((rows, columns), state) in dimensions().zip(&mut *states) {
                advance(rows, columns, at, sides.0.normalize, state);
            }
        }
    });
}

#[inline(always)]
fn add_correlations(rows: &Dimension, columns: &Dimension, at: Place, state: &State, sums: &mut State) {
    let inverses = &columns.inverse_norms[at.column..at.column + LANES];
    let constants = &columns.constant[at.column..at.column + LANES];
    let mut shares = [0.0; LANES];
    for lane in 0..LANES {
        shares[lane] = share(constants[lane]);
    }
    for group in 0..LANES {
        let row = at.row + LANES * group;
        let (inverse, row_share) = (rows.inverse_norms[row], share(rows.constant[row]));
        for lane in 0..LANES {
            let cell = LANES * group + lane;
            let correlation = state[cell] * (inverse * inverses[lane]) + (row_share + shares[lane]);
            sums[cell] += (1.0 - correlation).max(0.0).sqrt();
        }
    }
}

/// Added for both windows it gives the correlation that stands for the distances of
/// constant ones: 0 of two, √m of one.
#[inline(always)]
fn share(constant: bool) -> f64 {
    if constant { 0.5 } else { 0.0 }
}

#[inline(always)]
fn add_squares(state: &State, sums: &mut State) {
    for cell in 0..DIAGONALS {
        sums[cell] += state[cell].max(0.0).sqrt();
    }
}

#[inline(always)]
fn compare(
    (rows, columns): (&Prepared, &Prepared),
    best: (&Best<'_>, &Best<'_>),
    at: Place,
    sums: &State,
) -> bool {
    let weights = &columns.weights[at.column..at.column + LANES];
    let thresholds = &best.1.thresholds[at.column..at.column + LANES];
    let mut signs = [0_u64; LANES];
    for group in 0..LANES {
        let row = at.row + LANES * group;
        let (weight, threshold) = (rows.weights[row], best.0.thresholds[row].get());
        for lane in 0..LANES {
            let sum = sums[LANES * group + lane];
            signs[lane] |= (sum - weights[lane] * threshold).to_bits();
            signs[lane] |= (sum - weight * thresholds[lane].get()).to_bits();
        }
    }
    signs.iter().fold(0, |all, sign| all | sign) >> 63 != 0
}

#[cold]
#[inline(never)]
fn report(
    (rows, columns): (&Prepared, &Prepared),
    best: (&Best<'_>, &Best<'_>),
    place: Place,
    sums: &State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    let mut hit = Hit { place, state: sums, rows: 0, columns: 0 };
    for (cell, sum) in sums.iter().enumerate() {
        let (row, column) = (place.row + cell / LANES * LANES, place.column + cell % LANES);
        let of_row = sum - columns.weights[column] * best.0.thresholds[row].get();
        let of_column = sum - rows.weights[row] * best.1.thresholds[column].get();
        hit.rows |= (of_row.to_bits() >> 63) << cell;
        hit.columns |= (of_column.to_bits() >> 63) << cell;
    }
    on_hit(&hit);
}

#[inline(always)]
fn advance(rows: &Dimension, columns: &Dimension, at: Place, covariance: bool, state: &mut State) {
    let first = &columns.first[at.column + 1..=at.column + LANES];
    let second = &columns.second[at.column + 1..=at.column + LANES];
    for group in 0..LANES {
        let row = at.row + 1 + LANES * group;
        let (first_i, second_i) = (rows.first[row], rows.second[row]);
        for lane in 0..LANES {
            let cell = LANES * group + lane;
            if covariance {
                state[cell] += first_i * second[lane] + second_i * first[lane];
            } else {
                let (into, out) = (first_i - first[lane], second_i - second[lane]);
                state[cell] += into * into - out * out;
            }
        }
    }
}
