//! The tile in AVX-512: one register a group.

use std::arch::x86_64::{
    __m512d, _mm512_castpd_si512, _mm512_fmadd_pd, _mm512_fnmadd_pd, _mm512_loadu_pd, _mm512_movepi64_mask,
    _mm512_set1_pd, _mm512_setzero_pd, _mm512_setzero_si512, _mm512_storeu_pd, _mm512_sub_pd,
    _mm512_ternarylogic_epi64,
};

use super::{DIAGONALS, GROUPS, Hit, LANES, Place, Side, State, Windows};

/// The truth table of a ∨ b ∨ c.
const ANY_OF_THREE: i32 = 0xFE;

/// # Safety
/// All windows of the tile must be there.
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
pub(super) unsafe fn start<const SQUARES: bool>(
    rows: Windows<'_>,
    columns: Windows<'_>,
    place: Place,
) -> State {
    // SAFETY: the caller promises that rows up to `place.row + 56` and columns up to
    // `place.column + 7` have a mean, a rest and m values from them on.
    unsafe {
        let row_values = rows.values.as_ptr().add(place.row);
        let row_means = rows.means.as_ptr().add(place.row);
        let column_values = columns.values.as_ptr().add(place.column);
        let means = _mm512_loadu_pd(columns.means.as_ptr().add(place.column));
        let mut sums = [_mm512_setzero_pd(); GROUPS];
        for at in 0..rows.length {
            let mut others = _mm512_loadu_pd(column_values.add(at));
            if !SQUARES {
                others = _mm512_sub_pd(others, means);
            }
            for (group, sum) in sums.iter_mut().enumerate() {
                let value = *row_values.add(LANES * group + at);
                *sum = if SQUARES {
                    let difference = _mm512_sub_pd(_mm512_set1_pd(value), others);
                    _mm512_fmadd_pd(difference, difference, *sum)
                } else {
                    let centred = _mm512_set1_pd(value - *row_means.add(LANES * group));
                    _mm512_fmadd_pd(centred, others, *sum)
                };
            }
        }
        if !SQUARES {
            let rests = _mm512_loadu_pd(columns.rests.as_ptr().add(place.column));
            for (group, sum) in sums.iter_mut().enumerate() {
                let rest = rows.length as f64 * *rows.rests.as_ptr().add(place.row + LANES * group);
                *sum = _mm512_fnmadd_pd(_mm512_set1_pd(rest), rests, *sum);
            }
        }
        store(&sums)
    }
}

/// # Safety
/// Both sides must reach one window beyond the last step.
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
pub(super) unsafe fn walk<const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    steps: usize,
    state: &mut State,
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
        let column = columns.first.as_ptr().add(place.column);
        let column_second = columns.second.as_ptr().add(place.column);
        let column_weights = columns.weights.as_ptr().add(place.column);
        let column_thresholds = columns.thresholds.as_ptr().cast::<f64>().add(place.column);
        let mut cells = load(state);
        for step in 0..steps {
            let weights = _mm512_loadu_pd(column_weights.add(step));
            let thresholds = _mm512_loadu_pd(column_thresholds.add(step));
            let mut signs = _mm512_setzero_si512();
            for (group, cells) in cells.iter().enumerate() {
                let at = step + LANES * group;
                let (of_row, of_column) = tests::<SQUARES>(
                    *cells,
                    (_mm512_set1_pd(*row_weights.add(at)), _mm512_set1_pd(*row_thresholds.add(at))),
                    (weights, thresholds),
                );
                signs = _mm512_ternarylogic_epi64::<ANY_OF_THREE>(
                    signs,
                    _mm512_castpd_si512(of_row),
                    _mm512_castpd_si512(of_column),
                );
            }
            if _mm512_movepi64_mask(signs) != 0 {
                // Through memory there and back: no register is live across the call.
                *state = store(&cells);
                let place = Place { row: place.row + step, column: place.column + step };
                report::<SQUARES>(rows, columns, place, state, on_hit);
                cells = load(state);
            }
            let first = _mm512_loadu_pd(column.add(step + 1));
            let second = _mm512_loadu_pd(column_second.add(step + 1));
            for (group, cells) in cells.iter_mut().enumerate() {
                let at = step + 1 + LANES * group;
                let first_i = _mm512_set1_pd(*row.add(at));
                let second_i = _mm512_set1_pd(*row_second.add(at));
                *cells = if SQUARES {
                    // This way round, the row's value is an operand in memory.
                    let (into, out) = (_mm512_sub_pd(first, first_i), _mm512_sub_pd(second, second_i));
                    _mm512_fnmadd_pd(out, out, _mm512_fmadd_pd(into, into, *cells))
                } else {
                    _mm512_fmadd_pd(second_i, first, _mm512_fmadd_pd(first_i, second, *cells))
                };
            }
        }
        *state = store(&cells);
    }
}

/// Sign set: the cell passed the threshold of its row; of its column.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn tests<const SQUARES: bool>(
    cells: __m512d,
    (weight_i, threshold_i): (__m512d, __m512d),
    (weight_j, threshold_j): (__m512d, __m512d),
) -> (__m512d, __m512d) {
    if SQUARES {
        (_mm512_fnmadd_pd(weight_j, threshold_i, cells), _mm512_fnmadd_pd(weight_i, threshold_j, cells))
    } else {
        (_mm512_fnmadd_pd(cells, weight_j, threshold_i), _mm512_fnmadd_pd(cells, weight_i, threshold_j))
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn store(cells: &[__m512d; GROUPS]) -> State {
    let mut state = [0.0; DIAGONALS];
    for (chunk, cells) in state.as_chunks_mut::<LANES>().0.iter_mut().zip(cells) {
        // SAFETY: a chunk has eight numbers.
        unsafe { _mm512_storeu_pd(chunk.as_mut_ptr(), *cells) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn load(state: &State) -> [__m512d; GROUPS] {
    let mut cells = [_mm512_setzero_pd(); GROUPS];
    for (chunk, cells) in state.as_chunks::<LANES>().0.iter().zip(&mut cells) {
        // SAFETY: a chunk has eight numbers.
        *cells = unsafe { _mm512_loadu_pd(chunk.as_ptr()) };
    }
    cells
}

/// # Safety
/// The tile must be within both sides.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
unsafe fn report<const SQUARES: bool>(
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    state: &State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    let mut hit = Hit { place, state, rows: 0, columns: 0 };
    // SAFETY: the caller promises that the windows are there; see `walk` on thresholds.
    unsafe {
        let weights = _mm512_loadu_pd(columns.weights.as_ptr().add(place.column));
        let thresholds = _mm512_loadu_pd(columns.thresholds.as_ptr().cast::<f64>().add(place.column));
        for group in 0..GROUPS {
            let row = place.row + LANES * group;
            let (of_row, of_column) = tests::<SQUARES>(
                _mm512_loadu_pd(state.as_ptr().add(LANES * group)),
                (
                    _mm512_set1_pd(*rows.weights.as_ptr().add(row)),
                    _mm512_set1_pd(*rows.thresholds.as_ptr().cast::<f64>().add(row)),
                ),
                (weights, thresholds),
            );
            hit.rows |= u64::from(_mm512_movepi64_mask(_mm512_castpd_si512(of_row))) << (LANES * group);
            hit.columns |= u64::from(_mm512_movepi64_mask(_mm512_castpd_si512(of_column))) << (LANES * group);
        }
    }
    on_hit(&hit);
}
