//! Where the rows of lists can be: each list lies in a cone around its middle.
//!
//! With θ the angle between a query and a middle, and r that between the middle and the row of
//! its list farthest from it, no row of the list is nearer to the query than θ − r, for
//! angles are distances on a sphere. So the product of a query with any of them is at most
//!
//! ```text
//! cos(θ − r) = cos θ · cos r + sin θ · sin r        where θ > r; else 1
//! ```
//!
//! A list whose bound is below what is sought has nothing to offer, and need not be looked at:
//! the answer is exact all the same. (Ball trees and inverted lists are cut off like this;
//! Fukunaga and Narendra, "A branch and bound algorithm for computing k-nearest neighbors",
//! 1975.)

use crate::kernels::{Instructions, dots, dots_error_max};

use super::Lists;

/// Rounding of a few operations in single precision on numbers of at most 2.
const ROUNDING: f64 = 1e-6;

/// How far from its middle each list reaches.
#[derive(Debug)]
pub(super) struct Cones {
    /// Cosines of the angles, rounded so that the cones are rather too wide.
    cosines: Vec<f32>,
    /// By how much a product may be wrong.
    margin: f32,
}

impl Cones {
    /// Those of lists whose rows, of length 1 or zeros, stand one after another.
    pub fn new(lists: &Lists, dimension: usize, numbers: &[f32]) -> Self {
        let margin = (2.0 * dots_error_max(dimension) + ROUNDING) as f32;
        let mut products = Vec::new();
        let cosine = |(list, middle): (usize, &[f32])| {
            let slots = lists.slots(list);
            products.resize(slots.len(), 0.0);
            let rows = &numbers[slots.start * dimension..slots.end * dimension];
            dots(Instructions::best(), middle, rows, &mut products);
            (products.iter().copied().fold(1.0, f32::min) - margin).max(-1.0)
        };
        let cosines = lists.centroids().chunks_exact(dimension).enumerate().map(cosine).collect();
        Self { cosines, margin }
    }

    /// The most that the product of a query with a row of a list can be, for the product of the
    /// query with its middle.
    pub fn bound(&self, list: usize, promise: f32) -> f32 {
        let cosine = self.cosines[list];
        let nearest = (promise + self.margin).min(1.0);
        if nearest >= cosine {
            f32::INFINITY
        } else {
            nearest * cosine + sine(nearest) * sine(cosine) + self.margin
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        self.cosines.capacity() * 4
    }
}

fn sine(cosine: f32) -> f32 {
    (1.0 - cosine * cosine).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::vector::VectorBlock;

    #[test]
    fn no_row_is_nearer_than_its_list_may_have_one() {
        let mut tested = 0;
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let dimension = 2 + rng.below(40) as usize;
            let spread = [0.0, 1e-4, 0.1, 1.0][rng.below(4) as usize];
            let (block, queries) = VectorBlock::clustered(&mut rng, dimension, spread);
            let Some(lists) = block.lists() else { continue };
            let cones = Cones::new(lists, dimension, block.numbers(0..block.rows()));
            tested += 1;
            for query in 0..queries.rows() {
                let query = queries.numbers(query..query + 1);
                let promises = block.exact_promises(query);
                for (list, promise) in promises.into_iter().enumerate() {
                    let bound = cones.bound(list, promise);
                    for slot in lists.slots(list) {
                        let found = VectorBlock::exact_product(query, block.numbers(slot..slot + 1));
                        assert!(found <= bound, "seed {seed}: {found} in a list of at most {bound}");
                    }
                }
            }
        }
        assert!(tested > 10, "lists were of use for {tested} seeds only");
    }
}
