//! Discords: the windows farthest from everything like them.

use crate::base::{Deadline, Error, Result};

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
    let (mut order, alone): (Vec<usize>, Vec<usize>) = (0..profile.distances.len())
        .filter(|&at| has_neighbor(at) || is_alone(at))
        .partition(|&at| has_neighbor(at));
    order.sort_by(|&a, &b| profile.distances[b].total_cmp(&profile.distances[a]).then(a.cmp(&b)));
    order.extend(alone);
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
