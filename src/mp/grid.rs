//! The matrix of all pairs of windows, cut into strips of diagonals and these into tiles.
//!
//! The cuts depend on the lengths alone: a pair is always reached by the same steps of
//! the recurrence, whatever the number of threads. The order of the strips is a seeded
//! shuffle, so that a search that is ended early has looked evenly at all windows.

use crate::base::Rng;
use crate::kernels::skew::{DIAGONALS, GROUPS, LANES, Place, SKEW};

use super::prepare::PAD;

/// The diagonals `diagonal..diagonal + 64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strip {
    /// Rows are windows of the second series and columns those of the first.
    pub flipped: bool,
    /// Column − row of the least diagonal.
    pub diagonal: usize,
    rows: usize,
    columns: usize,
}

impl Strip {
    /// Cells of one diagonal.
    fn cells_of(&self, diagonal: usize) -> usize {
        self.rows.min(self.columns.saturating_sub(diagonal))
    }

    /// Steps from where the last group reaches the first row.
    pub fn steps(&self) -> usize {
        self.columns.min(self.rows + self.diagonal + SKEW) - self.diagonal
    }

    /// Where the tile stands at a step, padded.
    pub fn place(&self, step: usize) -> Place {
        Place { row: PAD - SKEW + step, column: PAD + self.diagonal + step }
    }

    /// Pairs of windows that the steps `from..to` meet.
    pub fn cells(&self, from: usize, to: usize) -> u64 {
        let of_group = |group: usize| {
            // At step s the group is in row s + 8·group − 56.
            let shift = LANES * group;
            let (first, last) = ((from + shift).saturating_sub(SKEW), (to + shift).saturating_sub(SKEW));
            let diagonal = self.diagonal + SKEW - shift;
            (diagonal..diagonal + LANES)
                .map(|diagonal| (last.min(self.cells_of(diagonal))).saturating_sub(first) as u64)
                .sum::<u64>()
        };
        (0..GROUPS).map(of_group).sum()
    }
}

/// All strips of a join of a series with itself, in the order of the search.
pub(super) fn self_join(windows: usize, exclusion: usize) -> Vec<Strip> {
    shuffled(strips(false, exclusion + 1, windows, windows))
}

/// All strips of a join of two series, in the order of the search.
pub(super) fn join(a: usize, b: usize) -> Vec<Strip> {
    let mut all = strips(false, 0, a, b);
    all.extend(strips(true, 1, b, a));
    shuffled(all)
}

fn strips(flipped: bool, first: usize, rows: usize, columns: usize) -> Vec<Strip> {
    (first..columns).step_by(DIAGONALS).map(|diagonal| Strip { flipped, diagonal, rows, columns }).collect()
}

fn shuffled(mut strips: Vec<Strip>) -> Vec<Strip> {
    let mut rng = Rng::new(0x6D61_7472_6978);
    for at in (1..strips.len()).rev() {
        strips.swap(at, rng.below(at as u64 + 1) as usize);
    }
    strips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_have_each_pair_once() {
        for (a, b) in [(1, 1), (5, 200), (200, 5), (64, 64), (130, 77), (1, 300)] {
            let cells: u64 = join(a, b).iter().map(|strip| strip.cells(0, strip.steps())).sum();
            assert_eq!(cells, (a * b) as u64, "{a} × {b}");
        }
        for (windows, exclusion) in [(10, 9), (10, 2), (300, 7), (129, 0)] {
            let strips = self_join(windows, exclusion);
            let cells: u64 = strips.iter().map(|strip| strip.cells(0, strip.steps())).sum();
            let (n, e) = (windows as u64, exclusion as u64);
            assert_eq!(cells, (n - e) * (n - e - 1) / 2, "{windows} but {exclusion}");
            for strip in strips {
                let parts = strip.cells(0, 3) + strip.cells(3, 70) + strip.cells(70, strip.steps().max(70));
                assert_eq!(parts, strip.cells(0, strip.steps()), "{strip:?}");
            }
        }
    }
}
