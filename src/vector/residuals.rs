//! What is left of the rows of a list without its middle, in a byte a number.
//!
//! With c the middle of a row x, and r a multiple of whole numbers from −127 to 127 that is near
//! x − c, the product of a query q of length 1 with x is
//!
//! ```text
//! q·x = q·c + q·r + q·(x − c − r)         the last part at most |x − c − r|
//! ```
//!
//! A pass over a quarter of the memory tells by that which rows can be among the best; the
//! others are spared. Near a middle the bound is narrow, for x − c is short. (Residuals are those
//! of the inverted file of Jégou, Douze and Schmid, 2011; the bound makes them exact.)

use std::ops::Range;

use crate::kernels::{BYTE_LANES, Instructions, byte_dots, dots_error_max};

use super::Lists;

/// Rows of fewer numbers are as quickly multiplied as their residuals are.
const DIMENSION_MIN: usize = 64;
/// A little more than single precision loses in one operation.
const ROUNDING: f32 = 1e-6;

/// The residuals of all rows, in the order of the lists.
#[derive(Debug)]
pub(super) struct Residuals {
    /// Bytes of a row: its numbers, filled up with zeros.
    stride: usize,
    bytes: Vec<i8>,
    of_lists: Vec<OfList>,
}

#[derive(Debug, Clone, Copy)]
struct OfList {
    /// What a whole number stands for.
    unit: f32,
    /// The most that the product of a query and a row can be away from that of its residual.
    error: f32,
}

impl Residuals {
    /// Those of lists whose rows stand one after another; `None` where they would not pay.
    pub fn new(lists: &Lists, dimension: usize, numbers: &[f32]) -> Option<Self> {
        if dimension < DIMENSION_MIN {
            return None;
        }
        let stride = stride(dimension);
        let mut bytes = vec![0; lists.rows().len() * stride];
        let margin = 4.0 * dots_error_max(dimension) as f32;
        let of_lists = (0..lists.len()).map(|list| {
            let slots = lists.slots(list);
            let middle = &lists.centroids()[list * dimension..(list + 1) * dimension];
            let rows = &numbers[slots.start * dimension..slots.end * dimension];
            let bytes = &mut bytes[slots.start * stride..slots.end * stride];
            Instructions::best().run(
                #[inline(always)]
                || {
                    let greatest = greatest_residual(rows, middle);
                    let unit = greatest / 127.0;
                    let mut error = 0.0_f64;
                    for (row, bytes) in rows.chunks_exact(dimension).zip(bytes.chunks_exact_mut(stride)) {
                        error = error.max(write_residual(row, middle, unit, bytes));
                    }
                    OfList { unit, error: error.sqrt() as f32 * (1.0 + ROUNDING) + margin + ROUNDING * unit }
                },
            )
        });
        let of_lists = of_lists.collect();
        Some(Self { stride, bytes, of_lists })
    }

    /// A query as [`products`](Self::products) wants it.
    pub fn filled_up(&self, query: &[f32]) -> Vec<f32> {
        let mut filled = query.to_vec();
        filled.resize(self.stride, 0.0);
        filled
    }

    /// The products of a query with what stands for the rows in some slots, in whole numbers.
    pub fn products(&self, filled: &[f32], slots: Range<usize>, out: &mut [f32]) {
        let bytes = &self.bytes[slots.start * self.stride..slots.end * self.stride];
        byte_dots(Instructions::best(), filled, bytes, out);
    }

    /// The least of these products with which a row of a list may have a product of `floor` with
    /// the query, where the middle has that of `promise`.
    pub fn least(&self, list: usize, promise: f32, floor: f32) -> f32 {
        let OfList { unit, error } = self.of_lists[list];
        let wanted = floor - (promise + error);
        if unit > 0.0 {
            wanted / unit
        } else if wanted <= 0.0 {
            f32::NEG_INFINITY
        } else {
            f32::INFINITY
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.of_lists.capacity() * size_of::<OfList>()
    }
}

/// Bytes that the residual of a row of so many numbers takes.
pub(super) fn bytes_of_row(dimension: usize) -> usize {
    if dimension < DIMENSION_MIN { 0 } else { stride(dimension) }
}

/// Bytes of a row of so many numbers, with what it is filled up by.
fn stride(dimension: usize) -> usize {
    dimension.next_multiple_of(BYTE_LANES)
}

#[inline(always)]
fn greatest_residual(rows: &[f32], middle: &[f32]) -> f32 {
    let mut greatest = 0.0_f32;
    for row in rows.chunks_exact(middle.len()) {
        for (number, middle) in row.iter().zip(middle) {
            greatest = greatest.max((number - middle).abs());
        }
    }
    greatest
}

/// Writes a row's residual, and returns the square of what that leaves.
#[inline(always)]
fn write_residual(row: &[f32], middle: &[f32], unit: f32, bytes: &mut [i8]) -> f64 {
    let inverse = if unit > 0.0 { 1.0 / unit } else { 0.0 };
    let mut left = 0.0;
    for ((byte, &number), &middle) in bytes.iter_mut().zip(row).zip(middle) {
        *byte = ((number - middle) * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        let difference = f64::from(number) - (f64::from(middle) + f64::from(unit) * f64::from(*byte));
        left += difference * difference;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::vector::VectorBlock;

    #[test]
    fn no_row_is_spared_that_reaches_the_floor() {
        let mut tested = 0;
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let dimension = DIMENSION_MIN + rng.below(60) as usize;
            let spread = [0.0, 1e-5, 0.1, 1.0][rng.below(4) as usize];
            let (block, queries) = VectorBlock::clustered(&mut rng, dimension, spread);
            let Some(lists) = block.lists() else { continue };
            let residuals = Residuals::new(lists, dimension, block.numbers(0..block.rows())).unwrap();
            tested += 1;
            let (mut near, mut spared) = (0, 0);
            for query in 0..queries.rows() {
                let query = queries.numbers(query..query + 1);
                let filled = residuals.filled_up(query);
                for list in 0..lists.len() {
                    let promise = VectorBlock::exact_product(
                        query,
                        &lists.centroids()[list * dimension..(list + 1) * dimension],
                    );
                    let slots = lists.slots(list);
                    let mut found = vec![0.0; slots.len()];
                    residuals.products(&filled, slots.clone(), &mut found);
                    for (slot, found) in slots.zip(found) {
                        let exact = VectorBlock::exact_product(query, block.numbers(slot..slot + 1));
                        assert!(
                            found >= residuals.least(list, promise, exact),
                            "seed {seed}: {exact} is spared"
                        );
                        near += 1;
                        spared +=
                            u32::from(found < residuals.least(list, promise, exact + 0.02 * spread as f32));
                    }
                }
            }
            assert!(spread < 0.1 || spared > near / 2, "seed {seed}: {spared} of {near}");
        }
        assert!(tested > 15, "lists were of use for {tested} seeds only");
    }
}
