//! The distance of two windows, computed anew in two passes: what is reported never
//! comes from a recurrence.

use super::prepare::{Dimension, Prepared};

/// The mean over the dimensions of the windows' distances.
pub(super) fn window_distance(prepared: &Prepared, i: usize, j: usize) -> f64 {
    let sum: f64 = prepared
        .dimensions
        .iter()
        .map(|dimension| {
            if prepared.normalize {
                normalized(dimension, prepared.window, i, j)
            } else {
                plain(dimension, prepared.window, i, j) / prepared.scale
            }
        })
        .sum();
    sum / prepared.dimensions.len() as f64
}

fn normalized(dimension: &Dimension, m: usize, i: usize, j: usize) -> f64 {
    match (dimension.constant[i], dimension.constant[j]) {
        (true, true) => return 0.0,
        (true, false) | (false, true) => return (m as f64).sqrt(),
        (false, false) => {}
    }
    // Scaled so that each window has length √m.
    let root = (m as f64).sqrt();
    let (mean_i, mean_j) = (dimension.means[i], dimension.means[j]);
    let (scale_i, scale_j) = (root * dimension.inverse_norms[i], root * dimension.inverse_norms[j]);
    let (a, b) = (&dimension.values[i..i + m], &dimension.values[j..j + m]);
    let squares: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| {
            let d = (a - mean_i) * scale_i - (b - mean_j) * scale_j;
            d * d
        })
        .sum();
    squares.sqrt()
}

fn plain(dimension: &Dimension, m: usize, i: usize, j: usize) -> f64 {
    let (a, b) = (&dimension.values[i..i + m], &dimension.values[j..j + m]);
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
