//! Segmentation: where a series begins to be like something else.
//!
//! An arc leads from each window to its nearest neighbour. Within a regime windows have
//! their neighbours in it; few arcs cross from one regime to another. Source: Gharghabi
//! et al., "Matrix Profile VIII: Domain Agnostic Online Semantic Segmentation at Superhuman
//! Performance Levels" (FLUSS, ICDM 2017); the conventions are those of STUMPY's `fluss`
//! with the parabola of the paper as the idealised curve.

use super::Profile;

/// Windows so many times their length from either end, or from a change that was taken, are
/// no change.
const APART: usize = 5;

/// The first window of another regime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Its first point.
    pub index: usize,
    /// Arcs over it, as a part of those there would be without regimes: 0 to 1.
    pub score: f64,
}

/// The corrected arc curve of a profile of windows of so many points: for each window the
/// arcs that lead over it, as a part of what there would be if neighbours were anywhere among
/// the windows that take part, and at most 1. It is 1 near the ends.
pub fn corrected_arc_curve(profile: &Profile, window: usize, takes_part: impl Fn(usize) -> bool) -> Vec<f64> {
    let windows = profile.neighbors.len();
    let mut steps = vec![0_i64; windows];
    for (at, &neighbor) in profile.neighbors.iter().enumerate() {
        if neighbor != usize::MAX {
            steps[at.min(neighbor)] += 1;
            steps[at.max(neighbor)] -= 1;
        }
    }
    let all = (0..windows).filter(|&at| takes_part(at)).count() as f64;
    let (mut arcs, mut before) = (0_i64, 0_usize);
    let near_end = |at: usize| at < APART * window || at + APART * window >= windows;
    (0..windows)
        .map(|at| {
            arcs += steps[at];
            let earlier = before as f64;
            before += usize::from(takes_part(at));
            // Of those before it as many lead over it as of those behind it.
            let expected = 2.0 * earlier * (all - earlier) / all;
            if near_end(at) || expected <= 0.0 { 1.0 } else { (arcs as f64 / expected).min(1.0) }
        })
        .collect()
}

/// The `k` lowest places of a curve, each at least five windows from those before it, or as
/// many as there are below 1. Of equals the earlier.
pub fn changes_of(curve: &[f64], window: usize, k: usize) -> Vec<Change> {
    let mut curve = curve.to_vec();
    let mut found = Vec::new();
    while found.len() < k {
        let lowest = curve.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let Some((index, score)) = lowest.filter(|(_, score)| *score < 1.0) else { break };
        let end = (index + APART * window).min(curve.len());
        curve[index.saturating_sub(APART * window)..end].fill(1.0);
        found.push(Change { index, score });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_are_counted_over_every_window_between_their_ends() {
        let neighbors = vec![2, 3, 0, 1, 6, usize::MAX, 4, 5];
        let profile = Profile { distances: vec![0.0; 8], neighbors: neighbors.clone() };
        // No end is near where windows have no points.
        let curve = corrected_arc_curve(&profile, 0, |at| at != 5);
        for (at, found) in curve.iter().enumerate() {
            let arcs = neighbors
                .iter()
                .enumerate()
                .filter(|(from, to)| **to != usize::MAX && *from.min(to) <= at && at < *from.max(to))
                .count() as f64;
            let earlier = (0..at).filter(|at| *at != 5).count() as f64;
            let expected = 2.0 * earlier * (7.0 - earlier) / 7.0;
            assert_eq!(*found, if at == 0 { 1.0 } else { (arcs / expected).min(1.0) }, "{at}");
        }
        assert_eq!(curve[3], 0.0, "between the regimes");
    }

    #[test]
    fn changes_are_apart_and_below_the_usual() {
        let mut curve = vec![1.0; 100];
        (curve[50], curve[52], curve[70], curve[39]) = (0.2, 0.1, 0.3, 0.1);
        let indexes = |k| changes_of(&curve, 2, k).iter().map(|change| change.index).collect::<Vec<_>>();
        assert_eq!(indexes(9), [39, 52, 70]);
        assert_eq!(indexes(1), [39]);
        assert!(changes_of(&[1.0; 5], 2, 3).is_empty() && changes_of(&[], 2, 3).is_empty());
    }
}
