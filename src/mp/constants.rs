//! Neighbours by convention: constant windows have no shape, so that the recurrence says
//! nothing of them. Two of them are at distance 0, one and another window at √m.

use super::best::NONE;
use super::search::Join;

/// Gives windows of the first series a constant neighbour, and constant windows any,
/// where that is nearer than what they have, or as near and earlier.
pub(super) fn match_constants(join: &Join<'_>, neighbors: &mut [u32]) {
    if !join.a.by_correlation() {
        return; // there they are windows like others
    }
    let (constant, varied): (Vec<usize>, Vec<usize>) = (0..join.b.usable.len())
        .filter(|&window| join.b.usable[window])
        .partition(|&window| join.b.is_flat(window));
    if constant.is_empty()
        && !(0..neighbors.len()).any(|window| join.a.usable[window] && join.a.is_flat(window))
    {
        return;
    }
    for (window, neighbor) in neighbors.iter_mut().enumerate().filter(|(window, _)| join.a.usable[*window]) {
        let mut offers = vec![first(&constant, window, join)];
        if join.a.is_flat(window) {
            offers.push(first(&varied, window, join));
        }
        for offer in offers.into_iter().flatten() {
            let distance = |other: u32| join.distance(window, other as usize);
            let nearer = *neighbor == NONE || {
                let (new, old) = (distance(offer), distance(*neighbor));
                new < old || new == old && offer < *neighbor
            };
            if nearer {
                *neighbor = offer;
            }
        }
    }
}

/// The first of `sorted` that may be the window's neighbour.
fn first(sorted: &[usize], window: usize, join: &Join<'_>) -> Option<u32> {
    let may = |other: &&usize| join.may_match(window, **other);
    let Some(exclusion) = join.exclusion else { return sorted.first().map(|&other| other as u32) };
    let behind = sorted.partition_point(|&other| other <= window + exclusion);
    sorted.first().filter(may).or_else(|| sorted.get(behind).filter(may)).map(|&other| other as u32)
}
