//! Skewed tiles: the inner loop of the matrix profile.
//!
//! A tile is 64 neighbouring diagonals of the matrix of all pairs of windows, as eight
//! groups of eight lanes. At one step group g stands in row `row + 8g`, and all groups
//! stand in the same columns `column..column + 8`: group g has the diagonals
//! `column − row − 8g + lane`. So what belongs to the columns is loaded once for 64
//! cells, what belongs to a row is one broadcast, and the state of the 64 cells stays
//! in registers while the tile walks down its diagonals:
//!
//! ```text
//!            columns c … c+7
//!   row r     ■■■■■■■■           group 0, the uppermost diagonals
//!   row r+8   ■■■■■■■■           group 1
//!   …
//!   row r+56  ■■■■■■■■           group 7
//! ```
//!
//! Nothing is written on the way. A cell is only compared with the thresholds of its row
//! and of its column; where one is passed, a callback gets the 64 states. The callback
//! may raise thresholds; they are [`Cell`]s, and rows and columns may share them.
//!
//! [`Measure`] tells what the state of a cell is. The recurrences, for windows of m points:
//!
//! ```text
//! covariance        c(i,j) = c(i−1,j−1) + first[i]·second[j] + second[i]·first[j]
//!                   first[i] = (x[i+m−1] − x[i−1]) / 2
//!                   second[i] = (x[i+m−1] − μ[i]) + (x[i−1] − μ[i−1])
//!                   passes where c·weight[j] > threshold[i] or c·weight[i] > threshold[j]
//!
//! squared distance  d(i,j) = d(i−1,j−1) + (first[i] − first[j])² − (second[i] − second[j])²
//!                   first[i] = x[i+m−1],  second[i] = x[i−1]
//!                   passes where d < weight[j]·threshold[i] or d < weight[i]·threshold[j]
//! ```
//!
//! All paths with fused multiply-add give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::Instructions;
use super::instructions::Set;

/// Groups of a tile; each is this many rows below the one before.
pub const GROUPS: usize = 8;
/// Diagonals of a group.
pub const LANES: usize = 8;
/// Diagonals of a tile.
pub const DIAGONALS: usize = GROUPS * LANES;
/// Rows from the first group to the last.
pub const SKEW: usize = (GROUPS - 1) * LANES;

/// The states of a tile's cells, group by group.
pub type State = [f64; DIAGONALS];

/// What the state of a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Σ(a − μ)(b − μ) of two windows; the greater, the nearer.
    Covariance,
    /// Σ(a − b)² of two windows; the less, the nearer.
    SquaredDistance,
}

/// What the recurrence needs to know of each window of a series, all of one length.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// See the recurrences.
    pub first: &'a [f64],
    /// See the recurrences.
    pub second: &'a [f64],
    /// By what the other window's threshold is compared.
    pub weights: &'a [f64],
    /// What has to be passed.
    pub thresholds: &'a [Cell<f64>],
}

/// A series and the means of its windows.
#[derive(Clone, Copy)]
pub struct Windows<'a> {
    /// Points.
    pub values: &'a [f64],
    /// Means of the windows, rounded; the measure may have no use for them.
    pub means: &'a [f64],
    /// What the rounding left.
    pub rests: &'a [f64],
    /// Points a window has.
    pub length: usize,
}

/// Where the first group's first lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Row of the first group.
    pub row: usize,
    /// Column of the first lane.
    pub column: usize,
}

/// A step at which a cell passed a threshold.
pub struct Hit<'a> {
    /// Where the tile stands.
    pub place: Place,
    /// The states; those of lanes without a bit below are not to be used.
    pub state: &'a State,
    /// Bit `8g + lane`: the cell passed the threshold of its row.
    pub rows: u64,
    /// Bit `8g + lane`: the cell passed the threshold of its column.
    pub columns: u64,
}

/// The states of a tile from the definition, in O(64 m).
///
/// # Panics
/// If a window of the tile is not in the series.
pub fn start(
    instructions: Instructions,
    measure: Measure,
    rows: Windows<'_>,
    columns: Windows<'_>,
    place: Place,
) -> State {
    let m = rows.length;
    assert!(m == columns.length && m > 0, "windows of different lengths have no distance");
    for (side, last) in [(rows, place.row + SKEW), (columns, place.column + LANES - 1)] {
        assert!(
            last < side.means.len() && side.means.len() == side.rests.len(),
            "window {last} is not there"
        );
        assert!(last + m <= side.values.len(), "window {last} is not there");
    }
    match (instructions.set(), measure) {
        (Set::Portable, Measure::Covariance) => portable::start::<false, false>(rows, columns, place),
        (Set::Portable, Measure::SquaredDistance) => portable::start::<false, true>(rows, columns, place),
        // SAFETY (of the four): the processor has the instructions, as `Instructions`
        // promises; all windows of the tile are there, as was checked above.
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Measure::Covariance) => unsafe { avx2::start::<false>(rows, columns, place) },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Measure::SquaredDistance) => unsafe { avx2::start::<true>(rows, columns, place) },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx512, Measure::Covariance) => unsafe { avx512::start::<false>(rows, columns, place) },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx512, Measure::SquaredDistance) => unsafe { avx512::start::<true>(rows, columns, place) },
    }
}

/// Looks at the cells of `steps` steps from `place` on, whose states are `state`; leaves
/// the states of the step after them.
///
/// # Panics
/// If the tile leaves a side: each must reach one window beyond the last step.
#[expect(clippy::too_many_arguments, reason = "the loop is called once for a million cells")]
pub fn walk(
    instructions: Instructions,
    measure: Measure,
    rows: Side<'_>,
    columns: Side<'_>,
    place: Place,
    steps: usize,
    state: &mut State,
    on_hit: &mut impl FnMut(&Hit<'_>),
) {
    for (side, last) in [(rows, place.row + steps + SKEW), (columns, place.column + steps + LANES - 1)] {
        let n = side.first.len();
        assert!(
            side.second.len() == n && side.weights.len() == n && side.thresholds.len() == n,
            "columns of one side differ in length"
        );
        assert!(last < n, "window {last} is not there");
    }
    match (instructions.set(), measure) {
        (Set::Portable, Measure::Covariance) => {
            portable::walk::<false, false>(rows, columns, place, steps, state, on_hit);
        }
        (Set::Portable, Measure::SquaredDistance) => {
            portable::walk::<false, true>(rows, columns, place, steps, state, on_hit);
        }
        // SAFETY (of the four): the processor has the instructions, as `Instructions`
        // promises; both sides reach far enough, as was checked above.
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Measure::Covariance) => unsafe {
            avx2::walk::<false>(rows, columns, place, steps, state, on_hit);
        },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx2, Measure::SquaredDistance) => unsafe {
            avx2::walk::<true>(rows, columns, place, steps, state, on_hit);
        },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx512, Measure::Covariance) => unsafe {
            avx512::walk::<false>(rows, columns, place, steps, state, on_hit);
        },
        #[cfg(target_arch = "x86_64")]
        (Set::Avx512, Measure::SquaredDistance) => unsafe {
            avx512::walk::<true>(rows, columns, place, steps, state, on_hit);
        },
    }
}
