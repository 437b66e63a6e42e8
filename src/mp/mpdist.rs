//! A distance between two series: how much of each comes again in the other, wherever.
//!
//! Source: Gharghabi et al., "Matrix Profile XII: `MPdist`" (ICDM 2018); the conventions are those
//! of STUMPY.

use super::Profile;

/// The part of the points of both series that must be alike, as the paper has it.
pub const MPDIST_PART: f64 = 0.05;

/// Of the distances of all windows of each series to their nearest in the other, in
/// ascending order, the one that ⌈part · points⌉ come before, or the greatest; windows without
/// a neighbour do not count. `None` where none has one.
pub fn mpdist_of(profiles: [&Profile; 2], points: usize, part: f64) -> Option<f64> {
    let distances = profiles.into_iter().flat_map(|profile| &profile.distances).copied();
    let mut distances: Vec<f64> = distances.filter(|distance| distance.is_finite()).collect();
    nth_or_last(&mut distances, (part * points as f64).ceil() as usize)
}

/// The one of ascending distances that `n` come before, or the greatest.
pub(super) fn nth_or_last(distances: &mut [f64], n: usize) -> Option<f64> {
    let n = n.min(distances.len().checked_sub(1)?);
    Some(*distances.select_nth_unstable_by(n, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_low_distance_but_not_the_least() {
        let of = |distances: &[f64]| Profile { distances: distances.to_vec(), neighbors: Vec::new() };
        let (a, b) = (of(&[5.0, 1.0, f64::INFINITY]), of(&[4.0, 2.0, 3.0]));
        assert_eq!(mpdist_of([&a, &b], 20, 0.05), Some(2.0), "one comes before it");
        assert_eq!(mpdist_of([&a, &b], 21, 0.05), Some(3.0), "⌈1.05⌉ = 2 come before it");
        assert_eq!(mpdist_of([&a, &b], 20, 1.0), Some(5.0));
        assert_eq!(mpdist_of([&a, &b], 20, 0.0), Some(1.0));
        let none = of(&[f64::INFINITY]);
        assert_eq!(mpdist_of([&none, &none], 20, 0.05), None);
    }
}
