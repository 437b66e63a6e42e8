//! Dot products in AVX-512: four rows at a time for one query, eight for a group.

use std::arch::x86_64::{
    __m128, __m256, __m512, _MM_HINT_T0, _mm_add_ps, _mm_loadu_si128, _mm_prefetch, _mm_storeu_ps,
    _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_hadd_ps, _mm512_add_ps,
    _mm512_castps512_ps256, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_extractf32x8_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::{CHUNK, GROUP, LINE};

const LANES: usize = 16;
/// Bytes of rows that are asked for before they are needed: lists are short, and their pages far from
/// each other.
const AHEAD: usize = 2048;
/// Rows for which one query is loaded once.
const ROWS: usize = 4;
/// Rows of a tile; with one sum each the multiplications need not wait for each other.
const TILE: usize = 8;

/// # Safety
/// There must be `out.len()` rows of the query's length.
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
pub(super) unsafe fn dots(query: &[f32], rows: &[f32], out: &mut [f32]) {
    let dimension = query.len();
    let (tiles, rest) = out.as_chunks_mut::<ROWS>();
    // SAFETY: the caller promises the rows; a tile has four of them, and all that come
    // before one have `dimension` numbers each.
    unsafe {
        let mut row = rows.as_ptr();
        for tile in tiles {
            _mm_storeu_ps(tile.as_mut_ptr(), totals(products::<ROWS>(query, row)));
            row = row.add(ROWS * dimension);
        }
        for out in rest {
            let [sum] = products::<1>(query, row);
            *out = _mm512_reduce_add_ps(sum);
            row = row.add(dimension);
        }
    }
}

/// # Safety
/// There must be `out.len()` rows of the query's length, which is a multiple of 16.
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
pub(super) unsafe fn byte_dots(query: &[f32], rows: &[i8], out: &mut [f32]) {
    let length = query.len();
    let (tiles, rest) = out.as_chunks_mut::<ROWS>();
    // SAFETY: the caller promises the rows; a tile has four of them.
    unsafe {
        let mut row = rows.as_ptr();
        for tile in tiles {
            for line in (0..ROWS * length).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(AHEAD + line));
            }
            _mm_storeu_ps(tile.as_mut_ptr(), totals(byte_products::<ROWS>(query, row)));
            row = row.add(ROWS * length);
        }
        for out in rest {
            let [sum] = byte_products::<1>(query, row);
            *out = _mm512_reduce_add_ps(sum);
            row = row.add(length);
        }
    }
}

/// # Safety
/// There must be R rows of the query's length, a multiple of 16, from `row` on.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
unsafe fn byte_products<const R: usize>(query: &[f32], row: *const i8) -> [__m512; R] {
    let mut sums = [_mm512_setzero_ps(); R];
    for at in (0..query.len()).step_by(LANES) {
        // SAFETY: `at + 16` is at most the length.
        unsafe {
            let numbers = _mm512_loadu_ps(query.as_ptr().add(at));
            for (r, sum) in sums.iter_mut().enumerate() {
                let bytes = _mm_loadu_si128(row.add(r * query.len() + at).cast());
                *sum = _mm512_fmadd_ps(numbers, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), *sum);
            }
        }
    }
    sums
}

/// The sums of the lanes of four registers.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn totals(sums: [__m512; ROWS]) -> __m128 {
    let [a, b, c, d] = sums.map(|sum| fold(sum));
    // Twice two neighbours: the four sums of each half.
    let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
}

/// # Safety
/// There must be R rows of the query's length from `row` on.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
unsafe fn products<const R: usize>(query: &[f32], row: *const f32) -> [__m512; R] {
    let dimension = query.len();
    let whole = dimension / LANES * LANES;
    let mut sums = [_mm512_setzero_ps(); R];
    // Row by row, so that memory is read straight ahead; two sums, so that the one need
    // not wait for the other.
    for (r, sum) in sums.iter_mut().enumerate() {
        let mut other = _mm512_setzero_ps();
        // SAFETY: `at + 32` and `whole` are at most `dimension`, and the mask leaves out
        // what is beyond it.
        unsafe {
            let row = row.add(r * dimension);
            let mut at = 0;
            while at + 2 * LANES <= whole {
                *sum = _mm512_fmadd_ps(
                    _mm512_loadu_ps(query.as_ptr().add(at)),
                    _mm512_loadu_ps(row.add(at)),
                    *sum,
                );
                let next = at + LANES;
                other = _mm512_fmadd_ps(
                    _mm512_loadu_ps(query.as_ptr().add(next)),
                    _mm512_loadu_ps(row.add(next)),
                    other,
                );
                at += 2 * LANES;
            }
            if at < whole {
                *sum = _mm512_fmadd_ps(
                    _mm512_loadu_ps(query.as_ptr().add(at)),
                    _mm512_loadu_ps(row.add(at)),
                    *sum,
                );
            }
            if whole < dimension {
                let mask = (1_u16 << (dimension - whole)) - 1;
                let numbers = _mm512_maskz_loadu_ps(mask, query.as_ptr().add(whole));
                other = _mm512_fmadd_ps(numbers, _mm512_maskz_loadu_ps(mask, row.add(whole)), other);
            }
        }
        *sum = _mm512_add_ps(*sum, other);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn fold(sum: __m512) -> __m256 {
    _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps::<1>(sum))
}

/// # Safety
/// There must be `out.len()` rows of the group's dimension.
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
pub(super) unsafe fn group_dots(group: &[[f32; GROUP]], rows: &[f32], out: &mut [[f32; GROUP]]) {
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    // SAFETY: the caller promises the rows; a tile has eight of them.
    unsafe {
        let mut row = rows.as_ptr();
        for tile in tiles {
            group_tile::<TILE>(group, row, tile);
            row = row.add(TILE * group.len());
        }
        for out in rest {
            group_tile::<1>(group, row, std::array::from_mut(out));
            row = row.add(group.len());
        }
    }
}

/// # Safety
/// There must be R rows of the group's dimension from `row` on.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
unsafe fn group_tile<const R: usize>(group: &[[f32; GROUP]], row: *const f32, out: &mut [[f32; GROUP]; R]) {
    let dimension = group.len();
    let mut totals = [_mm512_setzero_ps(); R];
    // SAFETY: `at` stays below `dimension`, and r below R; a query chunk and a place of
    // `out` have sixteen numbers.
    unsafe {
        let mut at = 0;
        while at < dimension {
            let end = (at + CHUNK).min(dimension);
            let mut sums = [_mm512_setzero_ps(); R];
            while at < end {
                let queries = _mm512_loadu_ps(group.as_ptr().add(at).cast());
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_fmadd_ps(queries, _mm512_set1_ps(*row.add(r * dimension + at)), *sum);
                }
                if at % LINE == 0 {
                    for r in R..2 * R {
                        // Where there is no further row, nothing happens.
                        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(r * dimension + at).cast());
                    }
                }
                at += 1;
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = _mm512_add_ps(*total, sum);
            }
        }
        for (out, total) in out.iter_mut().zip(totals) {
            _mm512_storeu_ps(out.as_mut_ptr(), total);
        }
    }
}
