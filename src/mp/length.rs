//! The length of windows at which the first discord stands out most, for searches in
//! which nobody gives one.

/// Shorter windows have hardly a shape.
const LENGTH_MIN: usize = 10;
/// From one length to the next.
const RATIO: f64 = 1.1;
/// Of the dominant period, the part at which the lengths begin.
const PERIOD_PART: usize = 3;

/// Discords that [`standout`] looks at.
pub const DISCORDS: usize = 5;

/// The lengths to try for a series that repeats after `period` points: from a third of
/// the period to `length_max`, each a tenth more than the one before; none where even the
/// shortest is too long.
pub fn lengths(period: usize, length_max: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = Vec::new();
    let mut exact = (period as f64 / PERIOD_PART as f64).max(LENGTH_MIN as f64);
    while exact.round() as usize <= length_max {
        let length = exact.round() as usize;
        if lengths.last() != Some(&length) {
            lengths.push(length);
        }
        exact *= RATIO;
    }
    lengths
}

/// How far the first of some discords, given by their descending scores, is from the
/// second, in units of how far the second to fourth are from the fifth.
///
/// Where there is no anomaly the scores are the greatest of many of one kind. The tail of
/// nearly every distribution falls off exponentially at last, and then this quotient has
/// the same distribution for all lengths of windows: lengths can be compared by it, as
/// they can't by the distances.
pub fn standout(scores: &[f64]) -> f64 {
    let [first, second, others @ ..] = &scores[..scores.len().min(DISCORDS)] else { return 0.0 };
    let Some((last, between)) = others.split_last() else { return 0.0 };
    let mean = (second + between.iter().sum::<f64>()) / (1 + between.len()) as f64;
    // Scores that are all the same do not stand out.
    let spread = (mean - last).max(1e-9 * first).max(f64::MIN_POSITIVE);
    (first - second) / spread
}

/// What was found with one length.
#[derive(Debug, Clone)]
pub struct Tried<P> {
    /// Points a window has.
    pub length: usize,
    /// Of which sequence the first discord is.
    pub sequence: P,
    /// Its first point.
    pub index: usize,
    /// Its [`standout`].
    pub standout: f64,
}

impl<P: PartialEq> Tried<P> {
    /// Whether the middle of either's discord is in the other's, or nearly.
    fn is_at_the_place_of(&self, other: &Self) -> bool {
        let twice_the_middle = |tried: &Self| 2 * tried.index + tried.length;
        let apart = twice_the_middle(self).abs_diff(twice_the_middle(other));
        self.sequence == other.sequence && apart <= self.length.max(other.length)
    }
}

/// Of some lengths in ascending order, the one at which the first discord stands out most,
/// together with the lengths beside it as far as these have theirs at the same place; of
/// equals the shorter.
pub fn most_outstanding<P: PartialEq>(tried: &[Tried<P>]) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (at, one) in tried.iter().enumerate() {
        let beside = &tried[at.saturating_sub(1)..(at + 2).min(tried.len())];
        let sum: f64 =
            beside.iter().filter(|other| one.is_at_the_place_of(other)).map(|other| other.standout).sum();
        if best.is_none_or(|(most, _)| sum > most) {
            best = Some((sum, one.length));
        }
    }
    best.map(|(_, length)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_grow_by_a_tenth() {
        assert_eq!(lengths(60, 40), [20, 22, 24, 27, 29, 32, 35, 39]);
        assert_eq!(lengths(4, 14), [10, 11, 12, 13]);
        assert!(lengths(300, 99).is_empty());
    }

    #[test]
    fn what_stands_out_is_far_from_the_rest_in_their_own_measure() {
        assert_eq!(standout(&[9.0, 5.0, 4.0, 3.0, 2.0, 0.0]), 2.0);
        assert_eq!(standout(&[90.0, 50.0, 40.0, 30.0, 20.0]), 2.0, "the unit does not matter");
        assert_eq!(standout(&[5.0, 5.0, 4.0, 3.0, 2.0]), 0.0);
        assert_eq!(standout(&[7.0, 4.0, 2.0]), 1.5);
        assert_eq!(standout(&[7.0, 4.0]), 0.0, "nothing tells what is usual");
        assert_eq!(standout(&[]), 0.0);
        assert_eq!(standout(&[0.0; 5]), 0.0);
        assert!(standout(&[2.0, 1.0, 1.0, 1.0, 1.0]) > 1e6);
    }

    #[test]
    fn a_length_is_helped_by_those_beside_it_that_agree() {
        let tried = |length, index, standout| Tried { length, sequence: 0, index, standout };
        let alone = [tried(10, 500, 1.0), tried(11, 90, 5.0), tried(12, 500, 1.0)];
        assert_eq!(most_outstanding(&alone), Some(11));
        let together = [tried(10, 500, 3.0), tried(11, 499, 3.0), tried(12, 90, 5.0)];
        assert_eq!(most_outstanding(&together), Some(10));
        let elsewhere =
            [Tried { sequence: 1, ..together[0].clone() }, together[1].clone(), together[2].clone()];
        assert_eq!(most_outstanding(&elsewhere), Some(12));
        assert_eq!(most_outstanding::<u8>(&[]), None);
    }
}
