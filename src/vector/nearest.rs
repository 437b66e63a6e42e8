//! Candidates of one query: the best of many rounded scores, and all that are so close to
//! the last of them that rounding may have put them there.

/// Candidates; see the module's tour.
#[derive(Debug, Clone)]
pub struct Nearest<T> {
    keep: usize,
    /// How much below the last that is kept a candidate may be.
    slack: f64,
    /// Scores below are of no use.
    floor: f64,
    /// The same, rounded down, for whoever compares rounded scores.
    floor_rounded: f32,
    /// Candidates to hold before the worst go.
    room: usize,
    /// More candidates than this are no help.
    most: usize,
    is_overrun: bool,
    found: Vec<(f64, T)>,
}

impl<T: Copy> Nearest<T> {
    /// Keeps `keep` candidates of at least `floor`, and those that are at most `slack`
    /// worse than the last of them. Where these are more than `most`, none are kept.
    pub fn new(keep: usize, slack: f64, floor: f64, most: usize) -> Self {
        Self {
            keep,
            slack,
            floor,
            floor_rounded: (floor as f32).next_down(),
            room: room_for(keep),
            most,
            is_overrun: false,
            found: Vec::new(),
        }
    }

    /// Scores below this are refused.
    pub fn floor_rounded(&self) -> f32 {
        self.floor_rounded
    }

    /// Takes a candidate, if it is good enough.
    pub fn offer(&mut self, score: f64, item: T) {
        if score >= self.floor {
            self.found.push((score, item));
            if self.found.len() >= self.room {
                self.settle();
                if self.found.len() > self.most {
                    return self.give_up();
                }
                // Where many are equal, fewer are left out.
                self.room = room_for(self.keep).max(2 * self.found.len());
            }
        }
    }

    /// The same without candidates.
    pub fn emptied(&self) -> Self {
        Self { found: Vec::new(), ..self.clone() }
    }

    /// Lets go of candidates that will be found again.
    pub fn forget(&mut self, is_found_again: impl Fn(&T) -> bool) {
        self.found.retain(|(_, item)| !is_found_again(item));
    }

    /// Takes the candidates of another collection of the same query.
    pub fn take(&mut self, other: Self) {
        if other.is_overrun {
            return self.give_up();
        }
        self.raise(other.floor);
        for (score, item) in other.found {
            self.offer(score, item);
        }
    }

    /// Takes nothing any more.
    fn give_up(&mut self) {
        self.found = Vec::new();
        self.is_overrun = true;
        self.raise(f64::INFINITY);
    }

    fn raise(&mut self, floor: f64) {
        if floor > self.floor {
            self.floor = floor;
            self.floor_rounded = (floor as f32).next_down();
        }
    }

    /// Lets go of what is not among the best; the floor is what these tell.
    pub fn settle(&mut self) {
        if self.found.len() <= self.keep || self.keep == 0 {
            return;
        }
        let (_, last, _) = self.found.select_nth_unstable_by(self.keep - 1, |a, b| b.0.total_cmp(&a.0));
        let floor = last.0 - self.slack;
        self.raise(floor);
        let floor = self.floor;
        self.found.retain(|(score, _)| *score >= floor);
    }

    /// The candidates, best first; whatever is not among them has a score below the number
    /// beside them. `None` where there were too many.
    pub fn into_sorted(mut self) -> Option<(Vec<(f64, T)>, f64)> {
        self.settle();
        if self.is_overrun || self.found.len() > self.most {
            return None;
        }
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        Some((self.found, self.floor))
    }
}

fn room_for(keep: usize) -> usize {
    2 * keep + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn it_keeps_the_best_and_what_is_as_good_but_for_the_slack() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let scores: Vec<f64> = (0..3000).map(|_| (rng.unit_f64() * 500.0).round() / 500.0).collect();
            let (keep, slack, floor) = (1 + rng.below(40) as usize, 0.004, rng.unit_f64() - 0.5);
            let empty = Nearest::new(keep, slack, floor, 3000);
            let mut parts = [empty.clone(), empty];
            for (at, &score) in scores.iter().enumerate() {
                parts[at % 2].offer(score, at);
            }
            let [mut one, other] = parts;
            one.take(other);
            let (found, limit) = one.into_sorted().unwrap();
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let least = (sorted[keep - 1] - slack).max(floor);
            let mut expected: Vec<usize> = (0..scores.len()).filter(|&at| scores[at] >= least).collect();
            let mut items: Vec<usize> = found.iter().map(|found| found.1).collect();
            assert!(found.is_sorted_by(|a, b| a.0 >= b.0), "seed {seed}");
            items.sort_unstable();
            expected.sort_unstable();
            assert_eq!(items, expected, "seed {seed}");
            assert!(limit <= least, "seed {seed}");
        }
    }

    #[test]
    fn equals_without_end_take_no_room() {
        let empty = Nearest::new(10, 0.001, -1.0, 500);
        let offered = |scores: &mut dyn Iterator<Item = f64>| {
            let mut some = empty.clone();
            for (at, score) in scores.enumerate() {
                some.offer(score, at);
                assert!(some.found.capacity() <= 2048);
            }
            some
        };
        let few = offered(&mut (0..500).map(|_| 1.0));
        assert_eq!(few.clone().into_sorted().unwrap().0.len(), 500);
        let many = offered(&mut (0..100_000).map(|_| 1.0));
        assert!(many.found.is_empty() && many.clone().into_sorted().is_none());
        let (mut one, mut other) = (few.clone(), many.clone());
        one.take(many);
        other.take(few);
        assert!(one.into_sorted().is_none() && other.into_sorted().is_none());
        let different = offered(&mut (0..100_000).map(|at| f64::from(at) * 1e-5));
        assert_eq!(different.into_sorted().unwrap().0.len(), 10 + 100);
    }
}
