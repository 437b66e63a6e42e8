//! Dot products in single precision: one query, or a group of sixteen, with many rows.
//!
//! Rows stand one after another, `dimension` numbers each, so that a pass reads memory
//! straight ahead. [`dots`] is as fast as memory where the rows are not in a cache.
//! [`group_dots`] takes sixteen queries through one pass: their numbers are interleaved
//! ([`interleave`]), so that a register holds the same number of all of them, and a row's
//! number is broadcast to it:
//!
//! ```text
//!   group      q0[0] q1[0] … q15[0]   q0[1] q1[1] … q15[1]   …
//!   row        × r[0]                 × r[1]                 …   = 16 sums, without a step across lanes
//! ```
//!
//! [`byte_dots`] reads a quarter of the memory: its rows are bytes, for a first look.
//!
//! Sums are rounded; [`dots_error_max`] bounds by how much, whatever the instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;

use super::Instructions;
use super::instructions::Set;

/// Rows of bytes have a multiple of so many.
pub const BYTE_LANES: usize = 16;
/// Queries of a group.
pub const GROUP: usize = 16;
/// Products that [`group_dots`] adds up before it adds their sum to the rest: the fewer
/// additions follow each other, the less is lost in rounding.
const CHUNK: usize = 32;
/// Numbers of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 16;

/// The products of a query with each row.
///
/// # Panics
/// If `rows` are not `out.len()` rows of the query's length.
pub fn dots(instructions: Instructions, query: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), query.len() * out.len(), "rows of another dimension, or another number of them");
    match instructions.set() {
        Set::Portable => portable::dots(query, rows, out),
        // SAFETY (of both): the processor has the instructions, as `Instructions`
        // promises; there are as many rows as places, as was checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::dots(query, rows, out) },
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { avx512::dots(query, rows, out) },
    }
}

/// The products of a query with rows of bytes of its length, which is a multiple of
/// [`BYTE_LANES`].
///
/// # Panics
/// If `rows` are not `out.len()` rows of the query's length.
pub fn byte_dots(instructions: Instructions, query: &[f32], rows: &[i8], out: &mut [f32]) {
    assert!(!query.is_empty() && query.len().is_multiple_of(BYTE_LANES), "a query that is not filled up");
    assert_eq!(rows.len(), query.len() * out.len(), "rows of another length, or another number of them");
    match instructions.set() {
        Set::Portable => portable::byte_dots(query, rows, out),
        // SAFETY (of both): the processor has the instructions, as `Instructions`
        // promises; there are as many rows as places, as was checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::byte_dots(query, rows, out) },
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { avx512::byte_dots(query, rows, out) },
    }
}

/// Up to [`GROUP`] queries of one dimension, interleaved; zeros for those that lack.
pub fn interleave<'a>(queries: impl IntoIterator<Item = &'a [f32]>, dimension: usize) -> Vec<f32> {
    let mut group = vec![0.0; dimension * GROUP];
    for (lane, query) in queries.into_iter().take(GROUP).enumerate() {
        for (numbers, &number) in group.as_chunks_mut::<GROUP>().0.iter_mut().zip(query) {
            numbers[lane] = number;
        }
    }
    group
}

/// The products of the queries of a group, as [`interleave`] makes it, with each row.
///
/// # Panics
/// If `rows` are not `out.len()` rows of the group's dimension.
pub fn group_dots(instructions: Instructions, group: &[f32], rows: &[f32], out: &mut [[f32; GROUP]]) {
    let (numbers, rest) = group.as_chunks::<GROUP>();
    assert!(rest.is_empty(), "a group that is not interleaved");
    assert_eq!(rows.len(), numbers.len() * out.len(), "rows of another dimension, or another number of them");
    match instructions.set() {
        Set::Portable => portable::group_dots(numbers, rows, out),
        // SAFETY (of both): the processor has the instructions, as `Instructions`
        // promises; there are as many rows as places, as was checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::group_dots(numbers, rows, out) },
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { avx512::group_dots(numbers, rows, out) },
    }
}

/// The most by which a product of two vectors of length 1, rounded to single precision and
/// multiplied by [`dots`] or [`group_dots`], is away from the product of the vectors
/// themselves.
///
/// With u = 2⁻²⁴ each number is off by a factor 1 ± u, and so is each rounded product; a
/// sum of terms that pass through at most d additions is off by at most d·u·Σ|aᵢ·bᵢ| to
/// first order (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, §3.1), and
/// Σ|aᵢ·bᵢ| ≤ 1. The last term is for what is too small for single precision.
pub fn dots_error_max(dimension: usize) -> f64 {
    let lanes_of_one = dimension.div_ceil(8) + 8;
    let chunks_of_group = CHUNK + dimension.div_ceil(CHUNK) + 2;
    let roundings = lanes_of_one.max(chunks_of_group) + 4;
    1.01 * roundings as f64 * 2.0_f64.powi(-24) + 1e-30
}
