//! The profile of a selection.

use crate::base::{Deadline, Error, ErrorCode, Result};

use super::kernel;
use super::prepare::Prepared;
use super::score::window_distance;

/// Points to be searched.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Time-major: the values of point `i` are `values[i * dimension..][..dimension]`.
    pub values: &'a [f64],
    /// Values a point has.
    pub dimension: usize,
    /// Points a window has, at least 3.
    pub window: usize,
    /// Compare shapes (z-normalised windows) rather than values.
    pub normalize: bool,
}

impl Selection<'_> {
    /// Points.
    pub fn points(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }

    /// Windows; 0 where the window is longer than the series.
    pub fn windows(&self) -> usize {
        (self.points() + 1).saturating_sub(self.window)
    }

    /// A window's neighbours are those more than this many points away.
    pub fn exclusion(&self) -> usize {
        self.window.div_ceil(4)
    }

    /// # Errors
    /// `INVALID_ARGUMENT` for a window below 3; `NOT_ENOUGH_DATA` where no two windows
    /// are neighbours.
    pub(super) fn check(&self) -> Result<()> {
        if self.window < 3 {
            return Err(Error::invalid(format!("window is {}; use 3 points or more", self.window)));
        }
        let needed = self.window.saturating_add(self.exclusion()).saturating_add(1);
        if self.points() < needed {
            return Err(Error::new(
                ErrorCode::NotEnoughData,
                format!(
                    "a window of {} points needs at least {needed} points, the selection has {}; use a smaller window \
                     or a longer time range",
                    self.window,
                    self.points()
                ),
            ));
        }
        Ok(())
    }
}

/// Bytes that the profile of so many points takes at its worst: the points and, for each
/// dimension, their seven columns; a best neighbour for each thread, and the profile.
pub fn memory_bytes(points: u64, dimension: u64, threads: u64) -> u64 {
    points.saturating_mul(dimension * (8 + 8 * 8 + 1) + (threads + 2) * 16)
}

/// The nearest neighbour of every window.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Distance to the nearest neighbour; infinite where there is none.
    pub distances: Vec<f64>,
    /// Its index; `usize::MAX` where there is none. Of equally near ones the first.
    pub neighbors: Vec<usize>,
}

/// Computes the profile.
///
/// # Errors
/// As [`Selection`] tells; `TIMEOUT`.
pub fn profile(selection: &Selection<'_>, deadline: &Deadline) -> Result<Profile> {
    selection.check()?;
    let prepared = Prepared::new(selection);
    profile_of(&prepared, &[], deadline)
}

/// The profile over the windows that `left_out` does not mark.
pub(super) fn profile_of(prepared: &Prepared, left_out: &[bool], deadline: &Deadline) -> Result<Profile> {
    let neighbors = kernel::nearest(prepared, left_out, deadline)?;
    let distances = neighbors
        .iter()
        .enumerate()
        .map(|(i, &j)| if j == usize::MAX { f64::INFINITY } else { window_distance(prepared, i, j) })
        .collect();
    deadline.check()?;
    Ok(Profile { distances, neighbors })
}
