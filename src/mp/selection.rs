//! What is to be analysed.

use std::ops::Range;

use crate::base::{Error, ErrorCode, Result};

/// Points to be searched. A window that touches a value that is not finite has no
/// neighbour and is nobody's.
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

    /// A window's neighbours in its own series are those more than this many points away.
    pub fn exclusion(&self) -> usize {
        self.window.div_ceil(4)
    }

    /// # Errors
    /// `INVALID_ARGUMENT` for a window below 3; `NOT_ENOUGH_DATA` where no two windows
    /// are neighbours.
    pub(super) fn check(&self) -> Result<()> {
        self.check_points(self.window.saturating_add(self.exclusion()).saturating_add(1))
    }

    /// As [`Selection::check`], where the neighbours are in another series.
    pub(super) fn check_beside(&self, other: &Self) -> Result<()> {
        let [ours, theirs] = [self, other].map(|of| (of.dimension, of.window, of.normalize));
        if ours != theirs {
            return Err(Error::invalid(format!(
                "(dimension, window, normalize) are {ours:?} and {theirs:?}; two selections that are joined need the same"
            )));
        }
        self.check_points(self.window)?;
        other.check_points(other.window)
    }

    fn check_points(&self, needed: usize) -> Result<()> {
        if self.window < 3 {
            return Err(Error::invalid(format!("window is {}; use 3 points or more", self.window)));
        }
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

/// For each window of so many points whether it lies within one stretch of time: no two
/// of its neighbouring points are more than `gap_ns_max` apart.
pub fn windows_without_gaps(timestamps_ns: &[i64], window: usize, gap_ns_max: u64) -> Vec<bool> {
    let windows = (timestamps_ns.len() + 1).saturating_sub(window);
    let mut whole = vec![false; windows];
    let mut stretch = 0;
    for at in (0..timestamps_ns.len()).rev() {
        let joined =
            timestamps_ns.get(at + 1).is_some_and(|next| next.abs_diff(timestamps_ns[at]) <= gap_ns_max);
        stretch = if joined { stretch + 1 } else { 1 };
        if let Some(whole) = whole.get_mut(at) {
            *whole = stretch >= window;
        }
    }
    whole
}

/// The stretches of time between gaps longer than `gap_ns_max`, as ranges of points.
pub fn stretches(timestamps_ns: &[i64], gap_ns_max: u64) -> Vec<Range<usize>> {
    let mut first = 0;
    timestamps_ns
        .chunk_by(|a, b| b.abs_diff(*a) <= gap_ns_max)
        .map(|stretch| {
            let from = first;
            first += stretch.len();
            from..first
        })
        .collect()
}

/// Ten times the median step between points of different times, in nanoseconds: what is
/// longer is a gap. `None` where there is no step.
pub fn default_gap(timestamps_ns: &[i64]) -> Option<u64> {
    let mut steps: Vec<u64> =
        timestamps_ns.windows(2).map(|pair| pair[1].abs_diff(pair[0])).filter(|step| *step > 0).collect();
    if steps.is_empty() {
        return None;
    }
    let middle = (steps.len() - 1) / 2;
    let (_, median, _) = steps.select_nth_unstable(middle);
    Some(median.saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_a_stretch() {
        let times = [0, 10, 20, 45, 55, 65, 75];
        assert_eq!(windows_without_gaps(&times, 3, 10), [true, false, false, true, true]);
        assert_eq!(windows_without_gaps(&times, 3, 25), [true; 5]);
        assert_eq!(windows_without_gaps(&times, 8, 25), Vec::<bool>::new());
        assert_eq!(windows_without_gaps(&[i64::MIN, i64::MAX], 2, u64::MAX), [true]);
        assert_eq!(stretches(&times, 10), [0..3, 3..7]);
        assert_eq!(stretches(&times, u64::MAX), vec![0..7]);
        assert!(stretches(&[], 1).is_empty());
    }

    #[test]
    fn the_usual_step_tells_what_a_gap_is() {
        assert_eq!(default_gap(&[0, 10, 20, 45, 1000, 1010]), Some(100));
        assert_eq!(default_gap(&[0, 0, 0, 7, 7, 7, 14]), Some(70), "points of one time are no step");
        assert_eq!(default_gap(&[5, 5]), None);
        assert_eq!(default_gap(&[]), None);
        assert_eq!(default_gap(&[i64::MIN, i64::MAX]), Some(u64::MAX));
    }
}
