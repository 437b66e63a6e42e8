//! Neighbours by convention: constant windows have no shape, so that the recurrence says
//! nothing of them. Two of them are at distance 0, one and another window at √m.

use super::Sides;
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
    for (window, neighbor) in neighbors
        .iter_mut()
        .enumerate()
        .filter(|(window, _)| join.a.usable[*window] && join.has_found(*window))
    {
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

/// The first of `sorted` that may be the window's next neighbour.
fn first(sorted: &[usize], window: usize, join: &Join<'_>) -> Option<u32> {
    // Where one is near what has been found, or near the window itself, so are those behind
    // it until the end of that zone.
    let zone = join.a.zone();
    let is_near_window = |other: usize, exclusion: usize| match join.sides {
        Sides::Both => window.abs_diff(other) <= exclusion,
        Sides::Left => false,
        Sides::Right => other <= window + exclusion,
    };
    let mut from = 0;
    while let Some(&other) = sorted.get(from) {
        if join.may_be_next(window, other) {
            return Some(other as u32);
        }
        let found = join.found.iter().map(|found| found[window] as usize);
        let near = found.filter(|found| found.abs_diff(other) <= zone).map(|found| found + zone);
        let own = join.exclusion.filter(|exclusion| is_near_window(other, *exclusion));
        let end = near.chain(own.map(|exclusion| window + exclusion)).max()?;
        from += sorted[from..].partition_point(|&other| other <= end);
    }
    None
}
