//! Discords: the windows farthest from everything like them.

use crate::base::{Deadline, Error, Result};

use super::apart::{take, take_greatest};
use super::{Profile, Selection, profile};

/// A window far from its nearest neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discord {
    /// The window's first point.
    pub index: usize,
    /// Distance to the neighbour; infinite where there is none.
    pub score: f64,
    /// The neighbour's first point; `usize::MAX` where there is none.
    pub neighbor: usize,
}

/// The `k` discords of a selection, or as many as there are: the window farthest from
/// its nearest neighbour, then the farthest that shares no point with one already
/// taken, and so on. Of equals the earlier.
///
/// # Errors
/// `INVALID_ARGUMENT` for `k` = 0 or a window below 3; `NOT_ENOUGH_DATA`; `TIMEOUT`.
pub fn discords(selection: &Selection<'_>, k: usize, deadline: &Deadline) -> Result<Vec<Discord>> {
    if k == 0 {
        return Err(Error::invalid("k is 0; ask for at least one anomaly"));
    }
    Ok(discords_of(&profile(selection, deadline)?, selection.window, k, |_| false))
}

/// The `k` discords of a profile of windows of so many points, see [`discords`]. Where there
/// are fewer, those windows without a neighbour follow that `is_alone` marks: nothing tells
/// how unusual they are.
pub fn discords_of(
    profile: &Profile,
    window: usize,
    k: usize,
    is_alone: impl Fn(usize) -> bool,
) -> Vec<Discord> {
    let has_neighbor = |at: usize| profile.neighbors[at] != usize::MAX;
    let windows = profile.distances.len();
    let measured = (0..windows).filter(|&at| has_neighbor(at)).map(|at| (profile.distances[at], at));
    let mut free = vec![true; windows];
    let mut taken = take_greatest(measured, &mut free, window, k);
    for index in 0..windows {
        if taken.len() < k && free[index] && !has_neighbor(index) && is_alone(index) {
            take(&mut free, index, window);
            taken.push(index);
        }
    }
    let discord =
        |index: usize| Discord { index, score: profile.distances[index], neighbor: profile.neighbors[index] };
    taken.into_iter().map(discord).collect()
}
