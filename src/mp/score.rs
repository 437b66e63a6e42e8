//! The distance of two windows, computed anew in two passes: what is reported never
//! comes from a recurrence.

use crate::kernels::{scaled_squared_distance, squared_distance};

use super::prepare::{Dimension, Prepared};

/// The mean over the dimensions of the distances of window `i` of `a` and window `j` of
/// `b`, both padded.
#[inline]
pub(super) fn window_distance(a: &Prepared, i: usize, b: &Prepared, j: usize) -> f64 {
    let m = a.window;
    let sum: f64 = a
        .dimensions
        .iter()
        .zip(&b.dimensions)
        .map(|(x, y)| {
            if a.normalize {
                normalized(x, i, y, j, m)
            } else {
                squared_distance(&x.values[i..i + m], &y.values[j..j + m]).sqrt() / a.scale
            }
        })
        .sum();
    sum / a.dimensions.len() as f64
}

#[inline]
fn normalized(a: &Dimension, i: usize, b: &Dimension, j: usize, m: usize) -> f64 {
    // Scaled so that each window has length √m.
    let root = (m as f64).sqrt();
    match (a.constant[i], b.constant[j]) {
        (true, true) => 0.0,
        (true, false) | (false, true) => root,
        (false, false) => scaled_squared_distance(
            (&a.values[i..i + m], a.means[i], root * a.inverse_norms[i]),
            (&b.values[j..j + m], b.means[j], root * b.inverse_norms[j]),
        )
        .sqrt(),
    }
}
