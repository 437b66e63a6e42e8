//! The tile where points have several values: the distance is made of those in each dimension,
//! so that each cell needs a root for each.

use crate::base::Dimensions;
use crate::kernels::Instructions;
use crate::kernels::skew::{DIAGONALS, Hit, LANES, Place, State};

use super::best::Best;
use super::prepare::{Dimension, Prepared};

/// As [`crate::kernels::skew::walk`], over the states of all dimensions; the state of a
/// hit is the sum of the distances that count, or the greatest, in units of √(2m) for normalised windows.
pub(super) fn walk(
    instructions: Instructions,
    sides: (&Prepared, &Prepared),
    best: (&Best<'_>, &Best<'_>),
    place: Place,
    steps: usize,
    states: &mut [State],
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    let mut of_cells = OfCells::new(sides.0);
    instructions.run(|| {
        for step in 0..steps {
            let at = Place { row: place.row + step, column: place.column + step };
            of_cells.clear();
            let dimensions = || sides.0.dimensions.iter().zip(&sides.1.dimensions);
            for ((rows, columns), state) in dimensions().zip(&*states) {
                let distances = if sides.0.normalize {
                    from_correlations(rows, columns, at, state)
                } else {
                    from_squares(state)
                };
                of_cells.add(&distances);
            }
            let sums = of_cells.total();
            if compare(sides, best, at, &sums) {
                report(sides, best, at, &sums, on_hit);
            }
            for ((rows, columns), state) in dimensions().zip(&mut *states) {
                advance(rows, columns, at, sides.0.normalize, state);
            }
        }
    });
}

/// What the dimensions that were looked at so far make of the cells' distances.
enum OfCells {
    Sum(State),
    Greatest(State),
    /// The least of each cell, ascending.
    Least(Vec<State>),
}

impl OfCells {
    fn new(prepared: &Prepared) -> Self {
        match prepared.counted {
            Dimensions::Best(counted) if counted < prepared.dimensions.len() => {
                Self::Least(vec![[f64::INFINITY; DIAGONALS]; counted])
            }
            Dimensions::All | Dimensions::Best(_) => Self::Sum([0.0; DIAGONALS]),
            Dimensions::Any => Self::Greatest([0.0; DIAGONALS]),
        }
    }

    #[inline(always)]
    fn clear(&mut self) {
        match self {
            Self::Sum(state) | Self::Greatest(state) => *state = [0.0; DIAGONALS],
            Self::Least(states) => states.fill([f64::INFINITY; DIAGONALS]),
        }
    }

    #[inline(always)]
    fn add(&mut self, distances: &State) {
        match self {
            Self::Sum(sums) => (0..DIAGONALS).for_each(|cell| sums[cell] += distances[cell]),
            Self::Greatest(greatest) => {
                (0..DIAGONALS).for_each(|cell| greatest[cell] = greatest[cell].max(distances[cell]));
            }
            Self::Least(states) => {
                let mut new = *distances;
                // It takes its place, and what is greater moves on.
                for least in states {
                    for cell in 0..DIAGONALS {
                        let (old, found) = (least[cell], new[cell]);
                        least[cell] = old.min(found);
                        new[cell] = old.max(found);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn total(&self) -> State {
        match self {
            Self::Sum(state) | Self::Greatest(state) => *state,
            Self::Least(states) => {
                let mut sums = [0.0; DIAGONALS];
                for least in states {
                    (0..DIAGONALS).for_each(|cell| sums[cell] += least[cell]);
                }
                sums
            }
        }
    }
}

#[inline(always)]
fn from_correlations(rows: &Dimension, columns: &Dimension, at: Place, state: &State) -> State {
    let inverses = &columns.inverse_norms[at.column..at.column + LANES];
    let constants = &columns.constant[at.column..at.column + LANES];
    let mut shares = [0.0; LANES];
    for lane in 0..LANES {
        shares[lane] = share(constants[lane]);
    }
    let mut distances = [0.0; DIAGONALS];
    for group in 0..LANES {
        let row = at.row + LANES * group;
        let (inverse, row_share) = (rows.inverse_norms[row], share(rows.constant[row]));
        for lane in 0..LANES {
            let cell = LANES * group + lane;
            let correlation = state[cell] * (inverse * inverses[lane]) + (row_share + shares[lane]);
            distances[cell] = (1.0 - correlation).max(0.0).sqrt();
        }
    }
    distances
}

/// Added for both windows it gives the correlation that stands for the distances of
/// constant ones: 0 of two, √m of one.
#[inline(always)]
fn share(constant: bool) -> f64 {
    if constant { 0.5 } else { 0.0 }
}

#[inline(always)]
fn from_squares(state: &State) -> State {
    let mut distances = [0.0; DIAGONALS];
    for cell in 0..DIAGONALS {
        distances[cell] = state[cell].max(0.0).sqrt();
    }
    distances
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
