//! The distance of two windows, computed anew in two passes: what is reported never
//! comes from a recurrence.

use crate::base::Dimensions;
use crate::kernels::{scaled_squared_distance, squared_distance};

use super::prepare::{Dimension, Prepared};

/// The distance of window `i` of `a` and window `j` of `b`, both padded: the mean over the
/// dimensions that count, or the greatest.
#[inline]
pub(super) fn window_distance(a: &Prepared, i: usize, b: &Prepared, j: usize) -> f64 {
    of_dimensions(a.counted, distances_by_dimension(a, i, b, j), a.dimensions.len())
}

/// The distance that those in `all` dimensions make.
#[inline]
pub(super) fn of_dimensions(counted: Dimensions, distances: impl Iterator<Item = f64>, all: usize) -> f64 {
    match counted {
        Dimensions::Best(counted) if counted < all => {
            let mut distances: Vec<f64> = distances.collect();
            distances.select_nth_unstable_by(counted - 1, f64::total_cmp);
            // Equal sets have equal sums, whatever the order of their dimensions.
            let least = &mut distances[..counted];
            least.sort_unstable_by(f64::total_cmp);
            least.iter().sum::<f64>() / counted as f64
        }
        Dimensions::All | Dimensions::Best(_) => distances.sum::<f64>() / all as f64,
        Dimensions::Any => distances.fold(0.0, f64::max),
    }
}

/// The distances of two windows (padded) in each dimension.
#[inline]
pub(super) fn distances_by_dimension(
    a: &Prepared,
    i: usize,
    b: &Prepared,
    j: usize,
) -> impl Iterator<Item = f64> {
    let m = a.window;
    a.dimensions.iter().zip(&b.dimensions).map(move |(x, y)| {
        if a.normalize {
            normalized(x, i, y, j, m)
        } else {
            squared_distance(&x.values[i..i + m], &y.values[j..j + m]).sqrt() / a.scale
        }
    })
}

#[inline]
fn normalized(a: &Dimension, i: usize, b: &Dimension, j: usize, m: usize) -> f64 {
    // Scaled so that each window has length √m.
    let root = (m as f64).sqrt();
    match (a.constant[i], b.constant[j]) {
        (true, true) => 0.0,
        (true, false) | (false, true) => root,
        (false, false) => scaled_squared_distance(
            (&a.values[i..i + m], a.mean(i), root * a.inverse_norms[i]),
            (&b.values[j..j + m], b.mean(j), root * b.inverse_norms[j]),
        )
        .sqrt(),
    }
}
