//! New windows beside all earlier ones: their covariances from those of the windows a step
//! before, as in [`super::skew`], for every diagonal at once.

use super::Instructions;
use super::instructions::Set;

/// Diagonals that take all their steps while they are in the fastest cache.
const BLOCK: usize = 512;

/// What belongs to the earlier windows, in order: see [`super::skew`] for the terms.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// df.
    pub first: &'a [f64],
    /// dg.
    pub second: &'a [f64],
    /// 1/√Σ(x−μ)², or 0.
    pub weights: &'a [f64],
}

impl<'a> Earlier<'a> {
    fn part(&self, from: usize, length: usize) -> Earlier<'a> {
        let part = from..from + length;
        Earlier {
            first: &self.first[part.clone()],
            second: &self.second[part.clone()],
            weights: &self.weights[part],
        }
    }
}

/// What is near of each new window.
#[derive(Debug, Default)]
pub struct Near {
    steps: Vec<Step>,
    hits: Vec<Hit>,
    hits_max: usize,
}

/// The greatest weighted covariance of a new window so far, and how far below it is near.
#[derive(Debug, Clone, Copy)]
struct Step {
    greatest: f64,
    error: f64,
    /// Whether something was near that is not noted.
    is_short: bool,
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    step: usize,
    window: usize,
    weighted: f64,
}

impl Near {
    /// Begins with as many new windows as there are errors; nothing is near where there is none.
    /// Of all of them together, so many are noted.
    pub fn begin(&mut self, errors: impl Iterator<Item = Option<f64>>, hits_max: usize) {
        self.hits.clear();
        self.hits_max = hits_max;
        self.steps.clear();
        self.steps.extend(errors.map(|error| {
            let (greatest, error) = error.map_or((f64::INFINITY, 0.0), |error| (f64::NEG_INFINITY, error));
            Step { greatest, error, is_short: false }
        }));
    }

    /// Offers a new window, by its number, the windows from `first` on with their covariances
    /// and weights. Those without weight are not near.
    pub fn offer(&mut self, step: usize, first: usize, covariances: &[f64], weights: &[f64]) {
        let with_weight = covariances.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
        let weighted = with_weight.map(|(covariance, weight)| covariance * weight);
        self.offer_with(step, first, (covariances, weights), weighted.fold(f64::NEG_INFINITY, f64::max));
    }

    /// The same, given the greatest weighted covariance of those with weight.
    fn offer_with(
        &mut self,
        step: usize,
        first: usize,
        (covariances, weights): (&[f64], &[f64]),
        greatest: f64,
    ) {
        if !self.reaches(step, greatest) {
            return;
        }
        let of = &mut self.steps[step];
        of.greatest = of.greatest.max(greatest);
        let least = of.greatest - of.error;
        for (at, (covariance, weight)) in covariances.iter().zip(weights).enumerate() {
            let weighted = covariance * weight;
            if weighted >= least && *weight > 0.0 {
                if self.hits.len() == self.hits_max {
                    self.steps[step].is_short = true;
                    return;
                }
                self.hits.push(Hit { step, window: first + at, weighted });
            }
        }
    }

    /// Forgets what was offered to the last of the new windows.
    pub fn begin_last_again(&mut self) {
        let last = self.steps.len() - 1;
        let of = &mut self.steps[last];
        if of.greatest < f64::INFINITY {
            *of = Step { greatest: f64::NEG_INFINITY, is_short: false, ..*of };
        }
        self.hits.retain(|hit| hit.step < last);
    }

    /// Whether all is noted that is near a new window.
    pub fn is_whole(&self, step: usize) -> bool {
        !self.steps[step].is_short
    }

    /// The windows that are near each of the new ones, by numbers of both.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let is_near = |hit: &&Hit| {
            let step = &self.steps[hit.step];
            hit.weighted >= step.greatest - step.error
        };
        self.hits.iter().filter(is_near).map(|hit| (hit.step, hit.window))
    }

    /// Whether so great a weighted covariance may be near.
    fn reaches(&self, step: usize, greatest: f64) -> bool {
        let step = &self.steps[step];
        greatest >= step.greatest - step.error
    }
}

/// Takes each covariance as many steps down its diagonal as there are new windows, each of
/// which is offered those that it meets.
///
/// A step adds df·dg' + df'·dg, where `(df', dg')` belongs to the new window. The first
/// covariance is with the window before `earlier`, which is number `first` in what is near. It is
/// quicker where something near is on the diagonal `likely`, since little else is looked at.
pub fn advance(
    instructions: Instructions,
    covariances: &mut [f64],
    (earlier, first): (Earlier<'_>, usize),
    new: &[(f64, f64)],
    likely: usize,
    near: &mut Near,
) {
    let (earlier, likely) = ((earlier, first), likely / BLOCK);
    match instructions.set() {
        Set::Portable => by_blocks(covariances, earlier, new, likely, near, plain_block::<false>),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => by_blocks(covariances, earlier, new, likely, near, |states, of, new| {
            // SAFETY: the processor has the instructions, see `Instructions`.
            unsafe { avx2(states, of, new) }
        }),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => by_blocks(covariances, earlier, new, likely, near, |states, of, new| {
            // SAFETY: as above.
            unsafe { avx512(states, of, new) }
        }),
    }
}

/// All steps of one block after the other, of the block `likely` first, given how a block takes
/// a step.
fn by_blocks(
    covariances: &mut [f64],
    (earlier, first): (Earlier<'_>, usize),
    new: &[(f64, f64)],
    likely: usize,
    near: &mut Near,
    step_of: impl Fn(&mut [f64], Earlier<'_>, (f64, f64)) -> f64,
) {
    let mut take = |block: usize, states: &mut [f64]| {
        for (step, new) in new.iter().enumerate() {
            let from = block * BLOCK + step;
            let of = earlier.part(from, states.len());
            let greatest = step_of(states, of, *new);
            // Not more may be a window's without weight.
            if greatest > 0.0 {
                near.offer_with(step, first + from, (states, of.weights), greatest);
            } else {
                near.offer(step, first + from, states, of.weights);
            }
        }
    };
    if let Some(states) = covariances.chunks_mut(BLOCK).nth(likely) {
        take(likely, states);
    }
    for (block, states) in covariances.chunks_mut(BLOCK).enumerate().filter(|(block, _)| *block != likely) {
        take(block, states);
    }
}

/// One step of a block in plain loops; its greatest weighted covariance.
#[inline(always)]
fn plain_block<const FUSED: bool>(states: &mut [f64], earlier: Earlier<'_>, new: (f64, f64)) -> f64 {
    let columns = earlier.first.iter().zip(earlier.second).zip(earlier.weights);
    let mut greatest = f64::NEG_INFINITY;
    for (state, ((first, second), weight)) in states.iter_mut().zip(columns) {
        *state = if FUSED {
            first.mul_add(new.1, second.mul_add(new.0, *state))
        } else {
            first * new.1 + (second * new.0 + *state)
        };
        greatest = greatest.max(*state * weight);
    }
    greatest
}

/// One step of a block: its vectors, four at a time so that no comparison waits for the one
/// before, and the rest of it in plain loops.
#[cfg(target_arch = "x86_64")]
macro_rules! by_vectors {
    ($name:ident, $features:literal, $lanes:literal, $set:ident, $load:ident, $store:ident, $fused:ident, $product:ident, $greater:ident) => {
        #[target_feature(enable = $features)]
        fn $name(states: &mut [f64], of: Earlier<'_>, new: (f64, f64)) -> f64 {
            use std::arch::x86_64::{$fused, $greater, $load, $product, $set, $store};
            const STEP: usize = 4 * $lanes;
            let (new_first, new_second) = ($set(new.0), $set(new.1));
            let (chunks, rest) = states.as_chunks_mut::<STEP>();
            let (first, first_rest) = of.first.as_chunks::<STEP>();
            let (second, second_rest) = of.second.as_chunks::<STEP>();
            let (weights, weights_rest) = of.weights.as_chunks::<STEP>();
            let mut greatest = [$set(f64::NEG_INFINITY); 4];
            for (((states, first), second), weights) in chunks.iter_mut().zip(first).zip(second).zip(weights)
            {
                for part in 0..4 {
                    let at = part * $lanes;
                    // SAFETY: the arrays have four vectors each.
                    unsafe {
                        let state = $load(states.as_ptr().add(at));
                        let state = $fused($load(second.as_ptr().add(at)), new_first, state);
                        let state = $fused($load(first.as_ptr().add(at)), new_second, state);
                        $store(states.as_mut_ptr().add(at), state);
                        let weighted = $product(state, $load(weights.as_ptr().add(at)));
                        greatest[part] = $greater(greatest[part], weighted);
                    }
                }
            }
            let pairs = [$greater(greatest[0], greatest[1]), $greater(greatest[2], greatest[3])];
            let mut lanes = [0.0; $lanes];
            // SAFETY: it has room for a vector.
            unsafe { $store(lanes.as_mut_ptr(), $greater(pairs[0], pairs[1])) };
            let of_rest = Earlier { first: first_rest, second: second_rest, weights: weights_rest };
            let of_rest = plain_block::<true>(rest, of_rest, new);
            lanes.into_iter().fold(of_rest, f64::max)
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_vectors!(
    avx512,
    "avx2,fma,avx512f",
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_mul_pd,
    _mm512_max_pd
);
#[cfg(target_arch = "x86_64")]
by_vectors!(
    avx2,
    "avx2,fma",
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_fmadd_pd,
    _mm256_mul_pd,
    _mm256_max_pd
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn it_is_the_recurrence_and_what_is_near_of_each_step() {
        let mut rng = Rng::new(17);
        for (n, steps) in
            [(0, 2), (1, 1), (31, 3), (32, 1), (33, 40), (BLOCK, 5), (BLOCK + 1, 2), (3 * BLOCK - 5, 7)]
        {
            let mut column = |length: usize| (0..length).map(|_| rng.unit_f64() - 0.5).collect::<Vec<f64>>();
            let states = column(n);
            let longer = n + steps - 1;
            let (first, second, mut weights) = (column(longer), column(longer), column(longer));
            // Half of them have none.
            for weight in &mut weights {
                *weight = weight.max(0.0);
            }
            let new: Vec<(f64, f64)> = column(steps).into_iter().zip(column(steps)).collect();
            // One of the windows has nothing near it.
            let errors: Vec<Option<f64>> = (0..steps).map(|step| (step != 3).then_some(0.01)).collect();
            let (mut expected, mut expected_near) = (states.clone(), Vec::new());
            for (step, new) in new.iter().enumerate() {
                for (at, state) in expected.iter_mut().enumerate() {
                    *state += first[step + at] * new.1 + second[step + at] * new.0;
                }
                let with_weight = (0..n).filter(|at| weights[step + at] > 0.0);
                let weighted: Vec<_> =
                    with_weight.map(|at| (step + at, expected[at] * weights[step + at])).collect();
                let greatest =
                    weighted.iter().map(|(_, weighted)| *weighted).fold(f64::NEG_INFINITY, f64::max);
                let near = weighted.iter().filter(|(_, weighted)| step != 3 && *weighted >= greatest - 0.01);
                expected_near.extend(near.map(|(at, _)| (step, 1000 + at)));
            }
            for instructions in Instructions::available() {
                let (mut found, mut near) = (states.clone(), Near::default());
                // What was there before is forgotten.
                near.begin([Some(1.0)].into_iter(), 0);
                near.offer(0, 0, &[1.0], &[1.0]);
                assert!(!near.is_whole(0));
                near.begin(errors.iter().copied(), usize::MAX);
                let earlier = Earlier { first: &first, second: &second, weights: &weights };
                advance(instructions, &mut found, (earlier, 1000), &new, steps * 97, &mut near);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-13, "{} {n}", instructions.name());
                }
                let mut found_near: Vec<_> = near.pairs().collect();
                found_near.sort_unstable();
                assert_eq!(found_near, expected_near, "{} {n} {steps}", instructions.name());
                assert!((0..steps).all(|step| near.is_whole(step)));
            }
        }
    }

    #[test]
    fn the_last_window_can_begin_again() {
        let mut near = Near::default();
        near.begin([Some(0.5), Some(0.5)].into_iter(), 4);
        near.offer(0, 7, &[1.0, 2.0], &[1.0, 1.0]);
        near.offer(1, 7, &[9.0, 9.0, 9.0, 9.0], &[1.0; 4]);
        assert_eq!([near.is_whole(0), near.is_whole(1)], [true, false]);
        near.begin_last_again();
        assert!(near.is_whole(1));
        near.offer(1, 7, &[1.0, 2.0, 1.75], &[1.0, 1.0, 1.0]);
        assert_eq!(near.pairs().collect::<Vec<_>>(), [(0, 8), (1, 8), (1, 9)]);
    }
}
