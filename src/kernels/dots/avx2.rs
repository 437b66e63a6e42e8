//! Dot products in AVX2 with FMA: four rows at a time, for one query and for a group.

use std::arch::x86_64::{
    __m128, __m256, _MM_HINT_T0, _mm_add_ps, _mm_cvtss_f32, _mm_loadl_epi64, _mm_prefetch, _mm_storeu_ps,
    _mm256_add_ps, _mm256_castps256_ps128, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::{CHUNK, GROUP, LINE};

const LANES: usize = 8;
/// Rows for which a query is loaded once.
const ROWS: usize = 4;

/// Eight numbers from `LANES − n` on are a mask of n lanes.
const MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// # Safety
/// There must be `out.len()` rows of the query's length.
#[target_feature(enable = "avx2,fma")]
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
            *out = _mm_cvtss_f32(totals([sum; ROWS]));
            row = row.add(dimension);
        }
    }
}

/// # Safety
/// There must be `out.len()` rows of the query's length, which is a multiple of 16.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn byte_dots(query: &[f32], rows: &[i8], out: &mut [f32]) {
    let length = query.len();
    let (tiles, rest) = out.as_chunks_mut::<ROWS>();
    // SAFETY: the caller promises the rows; a tile has four of them.
    unsafe {
        let mut row = rows.as_ptr();
        for tile in tiles {
            _mm_storeu_ps(tile.as_mut_ptr(), totals(byte_products::<ROWS>(query, row)));
            row = row.add(ROWS * length);
        }
        for out in rest {
            let [sum] = byte_products::<1>(query, row);
            *out = _mm_cvtss_f32(totals([sum; ROWS]));
            row = row.add(length);
        }
    }
}

/// # Safety
/// There must be R rows of the query's length, a multiple of 16, from `row` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn byte_products<const R: usize>(query: &[f32], row: *const i8) -> [__m256; R] {
    let mut sums = [_mm256_setzero_ps(); R];
    for at in (0..query.len()).step_by(LANES) {
        // SAFETY: `at + 8` is at most the length.
        unsafe {
            let numbers = _mm256_loadu_ps(query.as_ptr().add(at));
            for (r, sum) in sums.iter_mut().enumerate() {
                let bytes = _mm_loadl_epi64(row.add(r * query.len() + at).cast());
                *sum = _mm256_fmadd_ps(numbers, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), *sum);
            }
        }
    }
    sums
}

/// The sums of the lanes of four registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn totals([a, b, c, d]: [__m256; ROWS]) -> __m128 {
    // Twice two neighbours: the four sums of each half.
    let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
}

/// # Safety
/// There must be R rows of the query's length from `row` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn products<const R: usize>(query: &[f32], row: *const f32) -> [__m256; R] {
    let dimension = query.len();
    let whole = dimension / LANES * LANES;
    let mut sums = [_mm256_setzero_ps(); R];
    // Row by row, so that memory is read straight ahead; two sums, so that the one need
    // not wait for the other.
    for (r, sum) in sums.iter_mut().enumerate() {
        let mut other = _mm256_setzero_ps();
        // SAFETY: `at + 16` and `whole` are at most `dimension`, and the mask leaves out
        // what is beyond it; the mask itself starts within the first half of `MASKS`.
        unsafe {
            let row = row.add(r * dimension);
            let mut at = 0;
            while at + 2 * LANES <= whole {
                *sum = _mm256_fmadd_ps(
                    _mm256_loadu_ps(query.as_ptr().add(at)),
                    _mm256_loadu_ps(row.add(at)),
                    *sum,
                );
                let next = at + LANES;
                other = _mm256_fmadd_ps(
                    _mm256_loadu_ps(query.as_ptr().add(next)),
                    _mm256_loadu_ps(row.add(next)),
                    other,
                );
                at += 2 * LANES;
            }
            if at < whole {
                *sum = _mm256_fmadd_ps(
                    _mm256_loadu_ps(query.as_ptr().add(at)),
                    _mm256_loadu_ps(row.add(at)),
                    *sum,
                );
            }
            if whole < dimension {
                let mask = _mm256_loadu_si256(MASKS.as_ptr().add(LANES - (dimension - whole)).cast());
                let numbers = _mm256_maskload_ps(query.as_ptr().add(whole), mask);
                other = _mm256_fmadd_ps(numbers, _mm256_maskload_ps(row.add(whole), mask), other);
            }
        }
        *sum = _mm256_add_ps(*sum, other);
    }
    sums
}

/// # Safety
/// There must be `out.len()` rows of the group's dimension.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn group_dots(group: &[[f32; GROUP]], rows: &[f32], out: &mut [[f32; GROUP]]) {
    let (tiles, rest) = out.as_chunks_mut::<ROWS>();
    // SAFETY: the caller promises the rows; a tile has four of them.
    unsafe {
        let mut row = rows.as_ptr();
        for tile in tiles {
            group_tile::<ROWS>(group, row, tile);
            row = row.add(ROWS * group.len());
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
#[target_feature(enable = "avx2,fma")]
unsafe fn group_tile<const R: usize>(group: &[[f32; GROUP]], row: *const f32, out: &mut [[f32; GROUP]; R]) {
    let dimension = group.len();
    let mut totals = [[_mm256_setzero_ps(); 2]; R];
    // SAFETY: `at` stays below `dimension`, and r below R; a query chunk and a place of
    // `out` have sixteen numbers.
    unsafe {
        let mut at = 0;
        while at < dimension {
            let end = (at + CHUNK).min(dimension);
            let mut sums = [[_mm256_setzero_ps(); 2]; R];
            while at < end {
                let queries: *const f32 = group.as_ptr().add(at).cast();
                let (low, high) = (_mm256_loadu_ps(queries), _mm256_loadu_ps(queries.add(LANES)));
                for (r, sum) in sums.iter_mut().enumerate() {
                    let number = _mm256_set1_ps(*row.add(r * dimension + at));
                    sum[0] = _mm256_fmadd_ps(low, number, sum[0]);
                    sum[1] = _mm256_fmadd_ps(high, number, sum[1]);
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
                total[0] = _mm256_add_ps(total[0], sum[0]);
                total[1] = _mm256_add_ps(total[1], sum[1]);
            }
        }
        for (out, total) in out.iter_mut().zip(totals) {
            _mm256_storeu_ps(out.as_mut_ptr(), total[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(LANES), total[1]);
        }
    }
}
