//! The tile in AVX2 with FMA: four lanes a register, and so two walks down the tile, one
//! for each half of its lanes.

use std::arch::x86_64::{
    __m256d, _mm256_fmadd_pd, _mm256_fnmadd_pd, _mm256_loadu_pd, _mm256_movemask_pd, _mm256_or_pd,
    _mm256_set1_pd, _mm256_setzero_pd, _mm256_storeu_pd, _mm256_sub_pd,
};

use super::{DIAGONALS, GROUPS, Hit, LANES, Place, Side, State, Windows};

/// Lanes of a register.
const HALF: usize = LANES / 2;

/// # Safety
/// All windows of the tile must be there.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn start<const SQUARES: bool>(
    rows: Windows<'_>,
    columns: Windows<'_>,
    place: Place,
) -> State {
    let mut state = [0.0; DIAGONALS];
    for half in [0, HALF] {
        // SAFETY: the caller promises that rows up to `place.row + 56` and columns up to
        // `place.column + 7` have a mean, a rest and m values from them on.
        unsafe {
            let row_values = rows.values.as_ptr().add(place.row);
            let row_means = rows.means.as_ptr().add(place.row);
            let column_values = columns.values.as_ptr().add(place.column + half);
            let means = _mm256_loadu_pd(columns.means.as_ptr().add(place.column + half));
            let mut sums = [_mm256_setzero_pd(); GROUPS];
            for at in 0..rows.length {
                let mut others = _mm256_loadu_pd(column_values.add(at));
                if !SQUARES {
                    others = _mm256_sub_pd(others, means);
                }
                for (group, sum) in sums.iter_mut().enumerate() {
                    let value = *row_values.add(LANES * group + at);
                    *sum = if SQUARES {
                        let difference = _mm256_sub_pd(_mm256_set1_pd(value), others);
                        _mm256_fmadd_pd(difference, difference, *sum)
                    } else {
                        let centred = _mm256_set1_pd(value - *row_means.add(LANES * group));
                        _mm256_fmadd_pd(centred, others, *sum)
                    };
                }
            }
            if !SQUARES {
                let rests = _mm256_loadu_pd(columns.rests.as_ptr().add(place.column + half));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let rest = rows.length as f64 * *rows.rests.as_ptr().add(place.row + LANES * group);
                    *sum = _mm256_fnmadd_pd(_mm256_set1_pd(rest), rests, *sum);
                }
            }
            store(&sums, &mut state, half);
        }
    }
    state
}

/// # Safety
/// Both sides must reach one window beyond the last step.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn walk<const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    steps: usize,
    state: &mut State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    for half in [0, HALF] {
        // SAFETY: the caller's promise is handed on; `half` is 0 or 4.
        unsafe { walk_half::<SQUARES>(rows, columns, place, steps, state, half, on_hit) };
    }
}

/// # Safety
/// As [`walk`]; `half` must be the first lane of a half.
#[target_feature(enable = "avx2,fma")]
unsafe fn walk_half<const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    steps: usize,
    state: &mut State,
    half: usize,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    // SAFETY: the caller promises that all columns of both sides
    // have entries up to `place.row + steps + 56` and `place.column + steps + 7`; no
    // other is read. Thresholds are cells, `Cell<f64>` has the layout of `f64`, and
    // nobody writes one while it is read here: the callback is this thread's.
    unsafe {
        let row = rows.first.as_ptr().add(place.row);
        let row_second = rows.second.as_ptr().add(place.row);
        let row_weights = rows.weights.as_ptr().add(place.row);
        let row_thresholds = rows.thresholds.as_ptr().cast::<f64>().add(place.row);
        let column = columns.first.as_ptr().add(place.column + half);
        let column_second = columns.second.as_ptr().add(place.column + half);
        let column_weights = columns.weights.as_ptr().add(place.column + half);
        let column_thresholds = columns.thresholds.as_ptr().cast::<f64>().add(place.column + half);
        let mut cells = load(state, half);
        for step in 0..steps {
            let weights = _mm256_loadu_pd(column_weights.add(step));
            let thresholds = _mm256_loadu_pd(column_thresholds.add(step));
            let mut signs = _mm256_setzero_pd();
            for (group, cells) in cells.iter().enumerate() {
                let at = step + LANES * group;
                let (of_row, of_column) = tests::<SQUARES>(
                    *cells,
                    (_mm256_set1_pd(*row_weights.add(at)), _mm256_set1_pd(*row_thresholds.add(at))),
                    (weights, thresholds),
                );
                signs = _mm256_or_pd(signs, _mm256_or_pd(of_row, of_column));
            }
            if _mm256_movemask_pd(signs) != 0 {
                let place = Place { row: place.row + step, column: place.column + step };
                // Through memory there and back: no register is live across the call.
                store(&cells, state, half);
                report::<SQUARES>(rows, columns, place, state, half, on_hit);
                cells = load(state, half);
            }
            let first = _mm256_loadu_pd(column.add(step + 1));
            let second = _mm256_loadu_pd(column_second.add(step + 1));
            for (group, cells) in cells.iter_mut().enumerate() {
                let at = step + 1 + LANES * group;
                let first_i = _mm256_set1_pd(*row.add(at));
                let second_i = _mm256_set1_pd(*row_second.add(at));
                *cells = if SQUARES {
                    // This way round, the row's value is an operand in memory.
                    let (into, out) = (_mm256_sub_pd(first, first_i), _mm256_sub_pd(second, second_i));
                    _mm256_fnmadd_pd(out, out, _mm256_fmadd_pd(into, into, *cells))
                } else {
                    _mm256_fmadd_pd(second_i, first, _mm256_fmadd_pd(first_i, second, *cells))
                };
            }
        }
        store(&cells, state, half);
    }
}

/// Sign set: the cell passed the threshold of its row; of its column.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn tests<const SQUARES: bool>(
    cells: __m256d,
    (weight_i, threshold_i): (__m256d, __m256d),
    (weight_j, threshold_j): (__m256d, __m256d),
) -> (__m256d, __m256d) {
    if SQUARES {
        (_mm256_fnmadd_pd(weight_j, threshold_i, cells), _mm256_fnmadd_pd(weight_i, threshold_j, cells))
    } else {
        (_mm256_fnmadd_pd(cells, weight_j, threshold_i), _mm256_fnmadd_pd(cells, weight_i, threshold_j))
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(cells: &[__m256d; GROUPS], state: &mut State, half: usize) {
    for (chunk, cells) in state.as_chunks_mut::<LANES>().0.iter_mut().zip(cells) {
        // SAFETY: the slice has the four numbers of a half, or this panics.
        unsafe { _mm256_storeu_pd(chunk[half..half + HALF].as_mut_ptr(), *cells) };
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(state: &State, half: usize) -> [__m256d; GROUPS] {
    let mut cells = [_mm256_setzero_pd(); GROUPS];
    for (chunk, cells) in state.as_chunks::<LANES>().0.iter().zip(&mut cells) {
        // SAFETY: the slice has the four numbers of a half, or this panics.
        *cells = unsafe { _mm256_loadu_pd(chunk[half..half + HALF].as_ptr()) };
    }
    cells
}

/// # Safety
/// The tile must be within both sides.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn report<const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    state: &State,
    half: usize,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    let mut hit = Hit { place, state, rows: 0, columns: 0 };
    // SAFETY: the caller promises that the windows are there; see `walk_half` on thresholds.
    unsafe {
        let column = place.column + half;
        let weights = _mm256_loadu_pd(columns.weights.as_ptr().add(column));
        let thresholds = _mm256_loadu_pd(columns.thresholds.as_ptr().cast::<f64>().add(column));
        for group in 0..GROUPS {
            let row = place.row + LANES * group;
            let (of_row, of_column) = tests::<SQUARES>(
                _mm256_loadu_pd(state.as_ptr().add(LANES * group + half)),
                (
                    _mm256_set1_pd(*rows.weights.as_ptr().add(row)),
                    _mm256_set1_pd(*rows.thresholds.as_ptr().cast::<f64>().add(row)),
                ),
                (weights, thresholds),
            );
            let bits = |signs| (_mm256_movemask_pd(signs) as u64) << (LANES * group + half);
            hit.rows |= bits(of_row);
            hit.columns |= bits(of_column);
        }
    }
    on_hit(&hit);
}
