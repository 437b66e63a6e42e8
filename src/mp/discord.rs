//! Discords: the windows farthest from everything like them.

use crate::base::{Deadline, Error, Result};

use super::{Profile, Selection, profile};

/// A window far from its nearest neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discord {
    /// The window's first point.
    pub index: usize,
    /// Distance to the nearest neighbour.
    pub score: f64,
    /// The neighbour's first point.
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
    Ok(discords_of(&profile(selection, deadline)?, selection.window, k))
}

/// The `k` discords of a profile of windows of so many points, see [`discords`].
pub fn discords_of(profile: &Profile, window: usize, k: usize) -> Vec<Discord> {
    let mut order: Vec<usize> =
        (0..profile.distances.len()).filter(|&at| profile.neighbors[at] != usize::MAX).collect();
    order.sort_by(|&a, &b| profile.distances[b].total_cmp(&profile.distances[a]).then(a.cmp(&b)));
    let mut taken: Vec<Discord> = Vec::new();
    for index in order {
        if taken.len() == k {
            break;
        }
        if taken.iter().all(|discord| discord.index.abs_diff(index) >= window) {
            let (score, neighbor) = (profile.distances[index], profile.neighbors[index]);
            taken.push(Discord { index, score, neighbor });
        }
    }
    taken
}
