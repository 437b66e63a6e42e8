//! Distances of one window after another from a stretch of others: where all of them are
//! needed, and not only the nearest.

use std::ops::Range;

use crate::kernels::centred_dot;

use super::prepare::{Dimension, PAD};
use super::score::{of_dimensions, window_distance};
use super::search::Join;

/// Below this the distance of two windows, as a part of the greatest there can be and squared, has
/// lost digits to the recurrence: it is computed anew.
const NEAR: f64 = 1e-4;

/// The covariances of a window with those of a stretch, by dimension.
pub(super) struct Sweep<'a> {
    join: Join<'a>,
    others: Range<usize>,
    last: Option<usize>,
    covariances: Vec<Vec<f64>>,
    spare: Vec<f64>,
    out: Vec<f64>,
}

impl<'a> Sweep<'a> {
    /// Of windows of the first series of a join from those of the second.
    pub fn new(join: Join<'a>, others: Range<usize>) -> Self {
        let columns = vec![0.0; others.len()];
        Self {
            covariances: vec![columns.clone(); join.a.dimensions.len()],
            spare: columns.clone(),
            out: columns,
            last: None,
            join,
            others,
        }
    }

    /// The distances of a window from all of them, whether they may be neighbours or not.
    /// Cheap where it follows the one before.
    pub fn from(&mut self, window: usize) -> &[f64] {
        let join = self.join;
        let (row, first) = (window + PAD, self.others.start + PAD);
        if join.a.normalize {
            join.instructions.run(|| self.step(row, first, self.last == window.checked_sub(1)));
        } else {
            let exact = |column: usize| window_distance(join.a, row, join.b, column);
            join.instructions
                .run(|| self.out.iter_mut().zip(first..).for_each(|(out, column)| *out = exact(column)));
        }
        self.last = Some(window);
        &self.out
    }

    #[inline(always)]
    fn step(&mut self, row: usize, first: usize, follows: bool) {
        let (a, b) = (self.join.a, self.join.b);
        for ((rows, columns), covariances) in
            a.dimensions.iter().zip(&b.dimensions).zip(&mut self.covariances)
        {
            let fresh = |column: usize| covariance(rows, row, columns, column, a.window);
            if !follows || self.last.is_none() || rows.collapsed.binary_search(&row).is_ok() {
                covariances.iter_mut().zip(first..).for_each(|(state, column)| *state = fresh(column));
                continue;
            }
            let (first_of_row, second_of_row) = (rows.first[row], rows.second[row]);
            let end = first + covariances.len();
            let before = covariances.iter();
            let of_columns = columns.first[first + 1..end].iter().zip(&columns.second[first + 1..end]);
            for ((next, state), (first, second)) in self.spare[1..].iter_mut().zip(before).zip(of_columns) {
                *next = state + (first_of_row * second + first * second_of_row);
            }
            self.spare[0] = fresh(first);
            let from = columns.collapsed.partition_point(|&column| column < first);
            for &column in columns.collapsed[from..].iter().take_while(|column| **column < end) {
                self.spare[column - first] = fresh(column);
            }
            std::mem::swap(covariances, &mut self.spare);
        }
        self.distances(row, first);
    }

    #[inline(always)]
    fn distances(&mut self, row: usize, first: usize) {
        let (a, b) = (self.join.a, self.join.b);
        let greatest = 2.0 * a.window as f64;
        if let [covariances] = &self.covariances[..] {
            let (rows, columns) = (&a.dimensions[0], &b.dimensions[0]);
            let of_columns = columns.inverse_norms[first..].iter().zip(&columns.constant[first..]);
            for ((out, state), (inverse, constant)) in self.out.iter_mut().zip(covariances).zip(of_columns) {
                *out = (greatest * apart(rows, row, *state, *inverse, *constant)).sqrt();
            }
        } else {
            for (at, out) in self.out.iter_mut().enumerate() {
                let dimensions = a.dimensions.iter().zip(&b.dimensions).zip(&self.covariances);
                let distances = dimensions.map(|((rows, columns), covariances)| {
                    let (inverse, constant) =
                        (columns.inverse_norms[first + at], columns.constant[first + at]);
                    (greatest * apart(rows, row, covariances[at], inverse, constant)).sqrt()
                });
                *out = of_dimensions(a.counted, distances, a.dimensions.len());
            }
        }
        let near = (greatest * NEAR).sqrt();
        for (at, out) in self.out.iter_mut().enumerate() {
            if *out < near {
                *out = window_distance(a, row, b, first + at);
            }
        }
    }
}

/// 1 − ρ, where constant windows have a correlation that stands for their distances.
#[inline(always)]
fn apart(rows: &Dimension, row: usize, covariance: f64, inverse: f64, constant: bool) -> f64 {
    let shares = f64::from(u8::from(rows.constant[row])) + f64::from(u8::from(constant));
    (1.0 - (covariance * (rows.inverse_norms[row] * inverse) + 0.5 * shares)).max(0.0)
}

fn covariance(rows: &Dimension, row: usize, columns: &Dimension, column: usize, m: usize) -> f64 {
    let (x, y) = (&rows.values[row..row + m], &columns.values[column..column + m]);
    centred_dot((x, rows.mean(row)), (y, columns.mean(column)))
}

#[cfg(test)]
mod tests {
    use crate::base::{Dimensions, Rng};
    use crate::mp::{Computation, Selection};

    #[test]
    fn every_distance_is_the_exact_one() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let (window, dimension) = (3 + rng.below(30) as usize, 1 + rng.below(3) as usize);
            let points = window + 60 + rng.below(100) as usize;
            let mut values: Vec<f64> = (0..points * dimension).map(|_| 1e6 + rng.unit_f64()).collect();
            match rng.below(4) {
                // Flat, dying away, a spike, or the same again.
                0 => values[20 * dimension..60 * dimension].fill(0.5),
                1 => values
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, v)| *v = (*v - 1e6) * 0.7_f64.powi(at as i32 % 60)),
                2 => values[30 * dimension] = 1e12,
                _ => values.copy_within(..window * dimension, 40 * dimension),
            }
            let normalize = !rng.one_in(4);
            let selection = Selection { values: &values, dimension, window, normalize };
            let counted = [Dimensions::All, Dimensions::Any, Dimensions::Best(1)][rng.below(3) as usize];
            let computation = Computation::self_join(&selection).unwrap().dimensions(counted).unwrap();
            let others = 5..selection.windows() - 3;
            let mut sweep = computation.sweep(others.clone());
            for row in (0..30).chain([50, 51, 52, 20, 21]) {
                let found = sweep.from(row);
                assert_eq!(found.len(), others.len());
                for (found, other) in found.iter().zip(others.clone()) {
                    let expected = computation.distance(row, other);
                    let unit = if normalize { (window as f64).sqrt() } else { expected.max(1e-9) };
                    assert!(
                        (found - expected).abs() <= 1e-9 * unit,
                        "seed {seed}, {row} and {other}: {found} instead of {expected}"
                    );
                }
            }
        }
    }
}
