//! The nearest, or the farthest, of some windows, of which no two are of one event.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A window, and how far it is from another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Its first point.
    pub index: usize,
    /// From the other one.
    pub distance: f64,
}

/// The nearest window, then the nearest that begins at least `apart` points from those
/// already taken, and so on, up to `count` of them and to the distance `radius`. Of equals the
/// earlier. What is infinitely far takes no part.
pub fn nearest_apart(distances: &[f64], apart: usize, count: usize, radius: f64) -> Vec<Near> {
    let wanted = |&at: &usize| distances[at].is_finite() && distances[at] <= radius;
    let nearness = (0..distances.len()).filter(wanted).map(|at| (-distances[at], at));
    let taken = take_greatest(nearness, &mut vec![true; distances.len()], apart, count);
    taken.into_iter().map(|index| Near { index, distance: distances[index] }).collect()
}

/// Of windows with a measure the one with the greatest that is free, then the greatest of those
/// that are still free, and so on. Of equals the earlier.
pub(super) fn take_greatest(
    measured: impl Iterator<Item = (f64, usize)>,
    free: &mut [bool],
    apart: usize,
    count: usize,
) -> Vec<usize> {
    // Few of very many are taken: to sort all would cost more.
    let mut heap: BinaryHeap<Measured> =
        measured.map(|(measure, index)| Measured { measure, index }).collect();
    let mut taken = Vec::new();
    while taken.len() < count
        && let Some(Measured { index, .. }) = heap.pop()
    {
        if free[index] {
            take(free, index, apart);
            taken.push(index);
        }
    }
    taken
}

/// The greater measure is greater; of equals the earlier window.
struct Measured {
    measure: f64,
    index: usize,
}

impl Ord for Measured {
    fn cmp(&self, other: &Self) -> Ordering {
        self.measure.total_cmp(&other.measure).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Measured {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Measured {}

/// Windows that begin fewer than `apart` points from this one are free no more.
pub(super) fn take(free: &mut [bool], index: usize, apart: usize) {
    let to = (index + apart).min(free.len());
    free[(index + 1).saturating_sub(apart)..to].fill(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_apart_from_those_before_it() {
        let distances = [3.0, 1.0, 2.0, f64::INFINITY, 5.0, 1.0, 4.0, 9.0];
        let taken = |apart, count, radius| -> Vec<usize> {
            nearest_apart(&distances, apart, count, radius).iter().map(|near| near.index).collect()
        };
        assert_eq!(taken(1, 9, f64::INFINITY), [1, 5, 2, 0, 6, 4, 7]);
        assert_eq!(taken(2, 9, f64::INFINITY), [1, 5, 7]);
        assert_eq!(taken(2, 2, f64::INFINITY), [1, 5]);
        assert_eq!(taken(1, 9, 3.0), [1, 5, 2, 0]);
        assert!(nearest_apart(&[], 3, 1, 1.0).is_empty());
    }
}
