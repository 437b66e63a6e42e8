//! The tile in plain loops: for processors without vector instructions that we know,
//! and, with fused multiply-add, the twin that the vector paths are tested against.

use super::{DIAGONALS, GROUPS, Hit, LANES, Place, Side, State, Windows};

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

pub(super) fn start<const FUSED: bool, const SQUARES: bool>(
    rows: Windows<'_>,
    columns: Windows<'_>,
    place: Place,
) -> State {
    let m = rows.length;
    let means = &columns.means[place.column..place.column + LANES];
    let rests = &columns.rests[place.column..place.column + LANES];
    let values = &columns.values[place.column..place.column + LANES + m - 1];
    let mut state = [0.0; DIAGONALS];
    for (group, state) in state.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let row = place.row + LANES * group;
        let mean = rows.means[row];
        for (value, others) in rows.values[row..row + m].iter().zip(values.windows(LANES)) {
            for lane in 0..LANES {
                let (a, b) = if SQUARES {
                    let difference = value - others[lane];
                    (difference, difference)
                } else {
                    (value - mean, others[lane] - means[lane])
                };
                state[lane] = multiply_add::<FUSED>(a, b, state[lane]);
            }
        }
        if !SQUARES {
            let rest = m as f64 * rows.rests[row];
            for (state, of_column) in state.iter_mut().zip(rests) {
                *state = multiply_add::<FUSED>(-rest, *of_column, *state);
            }
        }
    }
    state
}

/// Whether the sign is set: a threshold is passed.
#[inline(always)]
fn tests<const FUSED: bool, const SQUARES: bool>(
    state: f64,
    (weight_i, threshold_i): (f64, f64),
    (weight_j, threshold_j): (f64, f64),
) -> (f64, f64) {
    if SQUARES {
        (
            multiply_add::<FUSED>(-weight_j, threshold_i, state),
            multiply_add::<FUSED>(-weight_i, threshold_j, state),
        )
    } else {
        (
            multiply_add::<FUSED>(-state, weight_j, threshold_i),
            multiply_add::<FUSED>(-state, weight_i, threshold_j),
        )
    }
}

pub(super) fn walk<const FUSED: bool, const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    steps: usize,
    state: &mut State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    for step in 0..steps {
        let (row, column) = (place.row + step, place.column + step);
        let weights = &columns.weights[column..column + LANES];
        let thresholds = &columns.thresholds[column..column + LANES];
        let mut signs = [0_u64; LANES];
        for (group, state) in state.as_chunks::<LANES>().0.iter().enumerate() {
            let i = row + LANES * group;
            let of_row = (rows.weights[i], rows.thresholds[i].get());
            for lane in 0..LANES {
                let of_column = (weights[lane], thresholds[lane].get());
                let (a, b) = tests::<FUSED, SQUARES>(state[lane], of_row, of_column);
                signs[lane] |= a.to_bits() | b.to_bits();
            }
        }
        if signs.iter().fold(0, |all, sign| all | sign) >> 63 != 0 {
            report::<FUSED, SQUARES>(rows, columns, Place { row, column }, state, on_hit);
        }
        let first = &columns.first[column + 1..=column + LANES];
        let second = &columns.second[column + 1..=column + LANES];
        for (group, state) in state.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let i = row + 1 + LANES * group;
            let (first_i, second_i) = (rows.first[i], rows.second[i]);
            for lane in 0..LANES {
                state[lane] = if SQUARES {
                    let (into, out) = (first_i - first[lane], second_i - second[lane]);
                    multiply_add::<FUSED>(-out, out, multiply_add::<FUSED>(into, into, state[lane]))
                } else {
                    let half = multiply_add::<FUSED>(first_i, second[lane], state[lane]);
                    multiply_add::<FUSED>(second_i, first[lane], half)
                };
            }
        }
    }
}

#[cold]
#[inline(never)]
fn report<const FUSED: bool, const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    state: &State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    let mut hit = Hit { place, state, rows: 0, columns: 0 };
    for (group, state) in state.as_chunks::<LANES>().0.iter().enumerate().take(GROUPS) {
        let i = place.row + LANES * group;
        let of_row = (rows.weights[i], rows.thresholds[i].get());
        for (lane, &state) in state.iter().enumerate() {
            let j = place.column + lane;
            let of_column = (columns.weights[j], columns.thresholds[j].get());
            let (a, b) = tests::<FUSED, SQUARES>(state, of_row, of_column);
            hit.rows |= (a.to_bits() >> 63) << (LANES * group + lane);
            hit.columns |= (b.to_bits() >> 63) << (LANES * group + lane);
        }
    }
    on_hit(&hit);
}
