//! How near a query can be to the rows of lists: each row stands in the list whose middle is most
//! like it, so that lists are the cells of a Voronoi diagram.
//!
//! With c the middle that is most like the query q, and m that of another list, every row x of the
//! latter has (c − m)·x ≤ 0: it is beyond the plane halfway between the two. Of the way from q to
//! x, the part across this plane alone is
//!
//! ```text
//! |q − x| ≥ (q·c − q·m) / |c − m|
//! ```
//!
//! and |q − x|² = 2 − 2 q·x, for all of these have length 1. Without |c − m|, which takes a product
//! of its own, it is at least half of what q is nearer to c than to m. A list whose rows are all farther than
//! what is sought can be left out of an exact answer. (Cells are cut off like this in generalized
//! hyperplane trees; Uhlmann, "Satisfying general proximity/similarity queries with metric trees",
//! 1991.) In many dimensions hardly any way leads straight across: who leaves out also lists that are
//! farther than a part of the distance of what is sought misses little, and how much is
//! measured ([`super::Reach`]).

use crate::kernels::{GROUP, Instructions, dots, dots_error_max};

/// Rounding of a few operations in single precision on numbers of at most 2.
const ROUNDING: f32 = 1e-6;

/// How far rows of lists are from one query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<'a> {
    middles: &'a [f32],
    dimension: usize,
    /// The product of the query and each middle.
    promises: &'a [f32],
    /// The list that promises the most.
    own: usize,
    /// By how much a product may be wrong.
    error: f32,
}

impl<'a> Cells<'a> {
    /// Those of a query whose products with the middles are known.
    pub fn new(middles: &'a [f32], dimension: usize, promises: &'a [f32]) -> Self {
        let most = greatest(promises);
        let own = promises.iter().position(|&promise| promise == most).unwrap_or(0);
        Self { middles, dimension, promises, own, error: dots_error_max(dimension) as f32 }
    }

    /// The least distance from the query to a row of a list.
    pub fn distance(&self, list: usize) -> f32 {
        // Two errors of the promises, and two by which a row may be in the wrong list.
        let across = self.promises[self.own] - self.promises[list] - 4.0 * self.error;
        if across <= 0.0 {
            return 0.0;
        }
        let middle = |list: usize| &self.middles[list * self.dimension..(list + 1) * self.dimension];
        let mut product = [0.0];
        dots(Instructions::best(), middle(self.own), middle(list), &mut product);
        across / (2.0 - 2.0 * product[0] + 2.0 * self.error + ROUNDING).max(0.0).sqrt()
    }

    /// The least that the middle of a list promises which may have a row with a product of `floor`
    /// in `part` of the distance of that.
    pub fn promise_min(&self, floor: f32, part: f32) -> f32 {
        let up = 4.0 * self.error + ROUNDING;
        let to_own = distance_of(self.promises[self.own] - up);
        let to_list = to_own + 2.0 * part * distance_of(floor - up);
        1.0 - to_list * to_list / 2.0 - up
    }

    /// The most that the product with a row at a distance can be.
    pub fn product_at(&self, distance: f32) -> f32 {
        1.0 - distance * distance / 2.0 + 2.0 * self.error + ROUNDING
    }
}

fn greatest(numbers: &[f32]) -> f32 {
    let (groups, rest) = numbers.as_chunks::<GROUP>();
    let mut lanes = [f32::NEG_INFINITY; GROUP];
    Instructions::best().run(
        #[inline(always)]
        || {
            for group in groups {
                for (most, &number) in lanes.iter_mut().zip(group) {
                    *most = if number > *most { number } else { *most };
                }
            }
        },
    );
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The distance of two vectors of length 1 with this product.
pub(super) fn distance_of(product: f32) -> f32 {
    (2.0 - 2.0 * product).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::vector::VectorBlock;

    #[test]
    fn no_row_is_nearer_than_its_cell_and_none_of_what_is_sought_is_in_a_list_that_promises_less() {
        let (mut tested, mut spared, mut seen) = (0, 0, 0);
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let dimension = 2 + rng.below(40) as usize;
            let spread = [0.0, 1e-4, 0.1, 1.0][rng.below(4) as usize];
            let (block, queries) = VectorBlock::clustered(&mut rng, dimension, spread);
            let Some(lists) = block.lists() else { continue };
            tested += 1;
            for query in 0..queries.rows() {
                let query = queries.numbers(query..query + 1);
                let promises = block.exact_promises(query);
                let cells = Cells::new(lists.centroids(), dimension, &promises);
                for (list, &promise) in promises.iter().enumerate() {
                    let bound = cells.product_at(cells.distance(list));
                    for slot in lists.slots(list) {
                        let found = VectorBlock::exact_product(query, block.numbers(slot..slot + 1));
                        assert!(found <= bound, "seed {seed}: {found} in a list of at most {bound}");
                        let least = cells.promise_min(found, 1.0);
                        assert!(promise >= least, "seed {seed}: {promise} below {least}");
                        seen += 1;
                        spared += u32::from(bound < 0.9 && found < 0.9);
                    }
                }
            }
        }
        assert!(tested > 10, "lists were of use for {tested} seeds only");
        assert!(spared > seen / 10, "{spared} of {seen} are known to be far away");
    }
}
