//! What becomes of the cells that passed a threshold.

use crate::kernels::skew::{Hit, LANES};

use super::best::Best;
use super::prepare::Prepared;

/// Offers the cells of a tile to the best of rows and columns.
pub(super) struct Judge<'a, E> {
    pub rows: &'a Prepared,
    pub columns: &'a Prepared,
    pub of_rows: &'a Best<'a>,
    pub of_columns: &'a Best<'a>,
    /// The exact distance of a row and a column.
    pub exact: &'a E,
}

impl<E: Fn(usize, usize) -> f64> Judge<'_, E> {
    #[inline]
    fn score(&self, state: f64, weight_of_row: f64, weight_of_column: f64) -> f64 {
        if weight_of_row <= 0.0 || weight_of_column <= 0.0 {
            // A window that takes no part looks near to one that has found nothing yet.
            f64::NEG_INFINITY
        } else if self.rows.by_correlation() {
            state * weight_of_row * weight_of_column
        } else {
            -state.max(0.0)
        }
    }

    pub fn judge(&self, hit: &Hit<'_>) {
        let mut bits = hit.rows | hit.columns;
        while bits != 0 {
            let cell = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let row = hit.place.row + cell / LANES * LANES;
            let column = hit.place.column + cell % LANES;
            let score = self.score(hit.state[cell], self.rows.weights[row], self.columns.weights[column]);
            if score == f64::NEG_INFINITY {
                continue;
            }
            if hit.rows >> cell & 1 == 1 {
                self.of_rows.offer(row, column, score, &|row, column| (self.exact)(row, column));
            }
            if hit.columns >> cell & 1 == 1 {
                self.of_columns.offer(column, row, score, &|column, row| (self.exact)(row, column));
            }
        }
    }
}
