//! A left profile that is kept while points come: for every window its nearest earlier
//! neighbour, for the newest one in O(n).
//!
//! The covariances of the newest window with all earlier ones are kept and go one step down
//! their diagonals with every point ([`crate::kernels::slide`]); where several points come at
//! once, as many steps in one pass over the memory. A few of them start anew from the definition
//! each time, so that none has taken more than some thousand steps; so do all of a row, or the
//! one of a column, where the energy of a window collapses, as in the tiles. What is reported is
//! computed anew, from the values as they came.
//!
//! The history is bounded: the oldest point leaves when there would be too many. Windows
//! whose neighbour has left get another one when the profile is asked for.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::base::{Deadline, Result};
use crate::kernels::slide::{Earlier, Near, advance};
use crate::kernels::{
    Instructions, Mean, centred_dot, constant_windows, mean_and_energy, norm, power_of_two_scale,
    squared_distance,
};

use super::prepare::{COLLAPSE, Dimension, PAD};
use super::{Computation, Profile, Progress, Selection, Sides};

/// Steps after which a covariance starts anew.
const STEPS_MAX: usize = 2048;
/// Correlations closer than this may be equal.
const CORRELATION_ERROR: f64 = 1e-11;
/// Values this far beyond those that the scale was made for ask for another one.
const GREATEST_MAX: f64 = 2048.0;
/// More windows without their neighbour than this are not looked at one by one.
const STALE_MAX: usize = 64;
/// Most points that are taken in one pass.
const TOGETHER_MAX: usize = 32;
/// Where more windows than this are near each new one, points are taken one by one, for these
/// windows are remembered meanwhile.
const NEAR_MAX: usize = 64;
/// Most that is noted of several points; for whom that is too little, covariances start anew.
const HITS_MAX: usize = if cfg!(test) { 64 } else { 32 << 10 };
/// Room that is made at once for covariances with windows before the others, and what has left
/// and is kept for a while.
const ROOM: usize = 512;

/// A window's nearest earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its distance.
    pub distance: f64,
    /// Its first point, counted from the oldest kept one.
    pub index: usize,
}

/// The left profile of the last points of a series.
///
/// Windows and points are counted from the beginning of the last rebuilding; `base` of
/// them are not stored any more.
pub struct Upkeep {
    window: usize,
    exclusion: usize,
    points_max: usize,
    instructions: Instructions,
    /// A power of two by which values are multiplied before anything is computed.
    scale: f64,
    base: usize,
    /// Points that have left; at least `base`.
    gone: usize,
    raw: Vec<f64>,
    values: Vec<f64>,
    means: Vec<Mean>,
    weights: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    constant: Vec<bool>,
    profile: Vec<Option<Nearest>>,
    /// Covariances of the newest window with those from `gone` on, in their order; at the end
    /// of a vector that grows at its front.
    covariances: Vec<f64>,
    head: usize,
    /// Where the next covariances start anew.
    renewed: usize,
    /// Points that the next pass may take.
    together: usize,
    /// The covariance with the nearest of the newest window; the next one's nearest is likely
    /// to follow that.
    likely: usize,
    /// Constant windows, and those where energy collapsed.
    constants: VecDeque<usize>,
    collapsed: VecDeque<usize>,
    /// The greatest energy since the last collapse.
    greatest: f64,
    /// Equal values at the end.
    run: usize,
    /// Values that came since everything was made anew.
    pushed: usize,
}

impl Upkeep {
    /// Of no points yet; of windows of `window` points (at least 3), over at most `points_max`
    /// points (at least twice as many).
    pub fn new(window: usize, points_max: usize) -> Self {
        let mut upkeep = Self {
            window,
            exclusion: window.div_ceil(4),
            points_max: points_max.max(2 * window),
            instructions: Instructions::best(),
            scale: 1.0,
            base: 0,
            gone: 0,
            raw: Vec::new(),
            values: Vec::new(),
            means: Vec::new(),
            weights: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            constant: Vec::new(),
            profile: Vec::new(),
            covariances: Vec::new(),
            head: 0,
            renewed: 0,
            together: 1,
            likely: 0,
            constants: VecDeque::new(),
            collapsed: VecDeque::new(),
            greatest: 0.0,
            run: 0,
            pushed: 0,
        };
        // Of nothing there is no profile.
        upkeep.set_up();
        upkeep
    }

    /// Bytes that so many points take.
    pub fn memory_bytes(points_max: usize) -> u64 {
        // Nine columns, of which some have room to grow.
        points_max as u64 * 200
    }

    /// Most points that are kept.
    pub fn points_max(&self) -> usize {
        self.points_max
    }

    /// Points that are kept.
    pub fn points(&self) -> usize {
        self.base + self.raw.len() - self.gone
    }

    /// Windows that are kept.
    pub fn windows(&self) -> usize {
        (self.points() + 1).saturating_sub(self.window)
    }

    /// Starts anew with these finite values, the oldest first, or the last of them.
    ///
    /// # Errors
    /// `TIMEOUT`; then it must be done again.
    pub fn rebuild(&mut self, values: &[f64], deadline: &Deadline) -> Result<()> {
        self.raw = values[values.len().saturating_sub(self.points_max)..].to_vec();
        (self.base, self.gone) = (0, 0);
        self.set_up();
        self.profile = self.whole_profile(deadline)?;
        Ok(())
    }

    /// Makes everything but the profile from the values that are kept.
    fn set_up(&mut self) {
        self.forget_what_left();
        let m = self.window;
        (self.renewed, self.pushed) = (0, 0);
        self.scale = power_of_two_scale(&self.raw);
        self.values = self.raw.iter().map(|value| value * self.scale).collect();
        self.run = self.raw.iter().rev().take_while(|value| Some(*value) == self.raw.last()).count();
        let windows = self.windows();
        let mut constant = vec![false; windows + 2 * PAD];
        constant[PAD..PAD + windows].copy_from_slice(&constant_windows(&self.raw, m));
        let dimension = Dimension::new(&self.values, constant, m, true);
        let inner = |column: &[f64]| column.get(PAD..PAD + windows).unwrap_or_default().to_vec();
        self.means = (PAD..PAD + windows).map(|window| dimension.mean(window)).collect();
        self.weights = inner(&dimension.inverse_norms);
        (self.first, self.second) = (inner(&dimension.first), inner(&dimension.second));
        self.constant = dimension.constant[PAD..PAD + windows].to_vec();
        self.constants = (0..windows).filter(|&at| self.constant[at]).map(|at| self.base + at).collect();
        let within = |at: &&usize| (PAD..PAD + windows).contains(*at);
        self.collapsed = dimension.collapsed.iter().filter(within).map(|at| self.base + at - PAD).collect();
        let since = self.collapsed.back().map_or(0, |window| window - self.base);
        let norms = inner(&dimension.norms);
        let energies = norms.iter().skip(since).map(|norm| norm * norm);
        self.greatest = energies.fold(0.0, f64::max);
        self.head = 0;
        let neighbors =
            self.newest_window().and_then(|newest| Some((newest, self.last_neighbor(newest, self.gone)?)));
        self.covariances = match neighbors {
            Some((newest, last)) => self.covariances_of(newest, self.gone..=last),
            None => Vec::new(),
        };
    }

    /// The values that are kept, the oldest first.
    pub fn values(&self) -> &[f64] {
        &self.raw[self.gone - self.base..]
    }

    /// Forgets all but the first `points` of them; what is known of those windows stays.
    pub fn keep_first(&mut self, points: usize) {
        self.raw.truncate(self.gone - self.base + points);
        self.set_up();
        self.profile.truncate(self.windows());
    }

    /// Adds finite values; for each, the nearest earlier window of the newest one then, if there
    /// is any, counted from the oldest point that was kept then.
    pub fn extend(&mut self, values: &[f64]) -> Vec<Option<Nearest>> {
        let mut found = Vec::with_capacity(values.len());
        while found.len() < values.len() {
            let rest = &values[found.len()..];
            if self.asks_for_another_scale(rest[0]) {
                self.append(rest[0]);
                self.set_up();
                let nearest = self.newest_window().map(|newest| self.find(newest, self.gone));
                self.profile.extend(nearest);
                found.push(nearest.flatten().map(|nearest| self.among_kept(nearest)));
            } else {
                self.extend_some(rest, &mut found);
            }
            if self.gone - self.base > ROOM.max(self.points() / 4) {
                self.forget_what_left();
            }
        }
        found
    }

    /// Whether everything must be made anew for a value, since too few points tell nothing of
    /// the scale, and those of long ago not enough.
    fn asks_for_another_scale(&self, value: f64) -> bool {
        let is_unlike = (value * self.scale).abs() > GREATEST_MAX;
        is_unlike || self.pushed >= self.points() / 2 || self.points() < 2 * self.window
    }

    /// Adds a value to those that are kept; the oldest may leave.
    fn append(&mut self, value: f64) {
        self.run = if self.raw.last() == Some(&value) { self.run + 1 } else { 1 };
        self.raw.push(value);
        self.values.push(value * self.scale);
        self.gone += usize::from(self.points() > self.points_max);
        self.pushed += 1;
    }

    /// Adds the first of some values, of which the first is like those before.
    fn extend_some(&mut self, values: &[f64], found: &mut Vec<Option<Nearest>>) {
        let before = self.gone;
        // Their covariances start anew with every point.
        let has_collapsed = self.collapsed.back().is_some_and(|&window| window >= self.gone);
        let most = if has_collapsed { 1 } else { self.together };
        // The oldest point that is kept with each of the new windows.
        let mut gone = Vec::with_capacity(most);
        for &value in values.iter().take(most) {
            if !gone.is_empty() && self.asks_for_another_scale(value) {
                break;
            }
            self.append(value);
            self.describe_newest();
            gone.push(self.gone);
            if self.collapsed.back() == self.newest_window().as_ref() {
                break;
            }
        }
        let near = self.step(before, &gone);
        let mut pairs: Vec<(usize, usize)> = near.pairs().collect();
        pairs.sort_unstable();
        let first = self.gone + self.windows() - gone.len();
        for (step, &gone) in gone.iter().enumerate() {
            let below = |step: usize| pairs.partition_point(|pair| pair.0 < step);
            let candidates = pairs[below(step)..below(step + 1)].iter().map(|pair| pair.1);
            let nearest = if near.is_whole(step) {
                self.nearest(first + step, gone, candidates)
            } else {
                self.find(first + step, gone)
            };
            self.profile.push(nearest);
            found.push(nearest.map(|nearest| Nearest { index: nearest.index - gone, ..nearest }));
        }
        self.likely = found.last().copied().flatten().map_or(0, |nearest| nearest.index);
        let is_whole = (0..gone.len()).all(|step| near.is_whole(step));
        let are_few = is_whole && pairs.len() <= NEAR_MAX * gone.len();
        self.together = if are_few { (2 * self.together).min(TOGETHER_MAX) } else { 1 };
    }

    fn among_kept(&self, nearest: Nearest) -> Nearest {
        Nearest { index: nearest.index - self.gone, ..nearest }
    }

    /// The newest window's nearest earlier one, if there is any.
    pub fn newest(&mut self) -> Option<Nearest> {
        let at = self.profile.len().checked_sub(1).filter(|at| *at >= self.gone - self.base)?;
        if self.profile[at].is_some_and(|nearest| nearest.index < self.gone) {
            self.profile[at] = self.find(at + self.base, self.gone);
        }
        self.profile[at].map(|nearest| self.among_kept(nearest))
    }

    /// The left profile of all windows that are kept, and counted from the oldest point that is.
    ///
    /// # Errors
    /// `TIMEOUT`.
    pub fn profile(&mut self, deadline: &Deadline) -> Result<Profile> {
        let gone = self.gone;
        let has_left = |nearest: &Option<Nearest>| nearest.is_some_and(|nearest| nearest.index < gone);
        let kept = gone - self.base..self.profile.len();
        let stale: Vec<usize> = kept.filter(|&at| has_left(&self.profile[at])).collect();
        if stale.len() > STALE_MAX {
            let fresh = self.whole_profile(deadline)?;
            for at in stale {
                self.profile[at] = fresh[at + self.base - gone]
                    .map(|nearest| Nearest { index: nearest.index + gone, ..nearest });
            }
        } else {
            for at in stale {
                self.profile[at] = self.find(at + self.base, self.gone);
            }
        }
        let kept = &self.profile[gone - self.base..];
        Ok(Profile {
            distances: kept
                .iter()
                .map(|nearest| nearest.map_or(f64::INFINITY, |near| near.distance))
                .collect(),
            neighbors: kept
                .iter()
                .map(|nearest| nearest.map_or(usize::MAX, |near| near.index - gone))
                .collect(),
        })
    }

    fn newest_window(&self) -> Option<usize> {
        Some(self.gone + self.windows().checked_sub(1)?)
    }

    /// The last window that may be a neighbour of one where `gone` points have left.
    fn last_neighbor(&self, window: usize, gone: usize) -> Option<usize> {
        window.checked_sub(self.exclusion + 1).filter(|&last| last >= gone)
    }

    fn part(&self, window: usize) -> &[f64] {
        &self.values[window - self.base..window - self.base + self.window]
    }

    #[inline(always)]
    fn covariance(&self, a: usize, b: usize) -> f64 {
        let mean = |window: usize| self.means[window - self.base];
        centred_dot((self.part(a), mean(a)), (self.part(b), mean(b)))
    }

    fn covariances_of(&self, window: usize, others: RangeInclusive<usize>) -> Vec<f64> {
        self.instructions.run(|| others.map(|other| self.covariance(other, window)).collect())
    }

    /// A window of length √m around 0, from the values as they came: what is subtracted and
    /// multiplied here is its own.
    fn normalized(&self, window: usize) -> Vec<f64> {
        let raw = &self.raw[window - self.base..window - self.base + self.window];
        let mut part: Vec<f64> = raw.iter().map(|value| value * self.scale).collect();
        let m = self.window as f64;
        // The second mean is that of what the first left by its rounding.
        for _ in 0..2 {
            let mean = part.iter().sum::<f64>() / m;
            for value in &mut part {
                *value -= mean;
            }
        }
        let scale = m.sqrt() / norm(&part);
        for value in &mut part {
            *value *= scale;
        }
        part
    }

    /// The columns of the window that the last point has ended.
    fn describe_newest(&mut self) {
        let (m, at) = (self.window, self.values.len() - self.window);
        let part = &self.values[at..];
        let before = self.means[at - 1];
        let (mean, energy) = self.instructions.run(|| mean_and_energy(part, before.rounded));
        let constant = self.run >= m || energy < f64::MIN_POSITIVE;
        let (into, out) = (self.values[at + m - 1], self.values[at - 1]);
        self.first.push((into - out) / 2.0);
        let centred = |value: f64, mean: Mean| (value - mean.rounded) - mean.rest;
        self.second.push(centred(into, mean) + centred(out, before));
        self.means.push(mean);
        self.weights.push(if constant { 0.0 } else { 1.0 / energy.sqrt() });
        self.constant.push(constant);
        let window = self.base + at;
        if constant {
            self.constants.push_back(window);
        }
        if energy < COLLAPSE * self.greatest {
            self.collapsed.push_back(window);
            self.greatest = energy;
        }
        self.greatest = self.greatest.max(energy);
    }

    /// Takes the covariances down their diagonals to the windows that were described since, and
    /// finds what is near each of these, for which the oldest point of `gone` was kept; `before`
    /// was for the window before them.
    fn step(&mut self, before: usize, gone: &[usize]) -> Near {
        let steps = gone.len();
        let newest = self.gone + self.windows() - 1;
        let window_of = |step: usize| newest + 1 - steps + step;
        let mut near = Near::default();
        // One by one they are no more than the windows are.
        let hits_max = if steps == 1 { usize::MAX } else { HITS_MAX };
        near.begin((0..steps).map(|step| self.error_of(window_of(step))), hits_max);
        let first = before + 1;
        let columns = first - self.base..first - self.base + self.covariances.len() - self.head + steps - 1;
        let earlier = Earlier {
            first: &self.first[columns.clone()],
            second: &self.second[columns.clone()],
            weights: &self.weights[columns],
        };
        let new_of =
            |step: usize| (self.first[window_of(step) - self.base], self.second[window_of(step) - self.base]);
        let new: Vec<(f64, f64)> = (0..steps).map(new_of).collect();
        let states = &mut self.covariances[self.head..];
        advance(self.instructions, states, (earlier, first), &new, self.likely, &mut near);
        // Where no point left, there is one more window before those that took the steps.
        let mut front = Vec::new();
        for (step, &gone) in gone.iter().enumerate() {
            let count = step + 1 - (gone - before);
            front = self.instructions.run(|| {
                (gone..gone + count).map(|window| self.covariance(window, window_of(step))).collect()
            });
            near.offer(step, gone, &front, &self.weights[gone - self.base..][..count]);
        }
        self.put_before(&front);
        self.renew(newest, steps, &mut near);
        near
    }

    /// Covariances of the newest window start anew from the definition: some each time, and where
    /// energy has collapsed.
    fn renew(&mut self, newest: usize, steps: usize, near: &mut Near) {
        let (gone, count) = (self.gone, self.covariances.len() - self.head);
        for _ in 0..steps * count.div_ceil(STEPS_MAX) {
            self.renewed = (self.renewed + 1) % count;
            self.covariances[self.head + self.renewed] = self.covariance(gone + self.renewed, newest);
        }
        let kept = gone..gone + count;
        let anew: Vec<usize> = if self.collapsed.back() == Some(&newest) {
            kept.collect()
        } else {
            self.collapsed.iter().copied().filter(|window| kept.contains(window)).collect()
        };
        if anew.is_empty() {
            return;
        }
        for window in anew {
            self.covariances[self.head + window - gone] = self.covariance(window, newest);
        }
        near.begin_last_again();
        near.offer(steps - 1, gone, &self.covariances[self.head..], &self.weights[gone - self.base..]);
    }

    /// Puts covariances before the others.
    fn put_before(&mut self, front: &[f64]) {
        if self.head < front.len() {
            let more = self.covariances.len() + front.len() + ROOM;
            self.covariances.splice(0..0, std::iter::repeat_n(0.0, more));
            self.head += more;
        }
        self.head -= front.len();
        self.covariances[self.head..self.head + front.len()].copy_from_slice(front);
    }

    /// How much lower than the greatest a weighted covariance of a window may be and still be of
    /// its nearest; none for constant windows.
    fn error_of(&self, window: usize) -> Option<f64> {
        let weight = self.weights[window - self.base];
        (weight > 0.0).then(|| CORRELATION_ERROR / weight)
    }

    /// The nearest of any window, from the definition; `gone` points have left.
    fn find(&self, window: usize, gone: usize) -> Option<Nearest> {
        let last = self.last_neighbor(window, gone)?;
        let mut near = Near::default();
        near.begin(std::iter::once(self.error_of(window)), usize::MAX);
        near.offer(0, gone, &self.covariances_of(window, gone..=last), &self.weights[gone - self.base..]);
        self.nearest(window, gone, near.pairs().map(|(_, other)| other))
    }

    /// The nearest of a window, the earliest of several, given those that may be nearest if they
    /// and it are not constant; `gone` points have left.
    fn nearest(
        &self,
        window: usize,
        gone: usize,
        candidates: impl Iterator<Item = usize>,
    ) -> Option<Nearest> {
        let last = self.last_neighbor(window, gone)?;
        let mut best: Option<Nearest> = None;
        let is_constant = |window: usize| self.constant[window - self.base];
        let own = if is_constant(window) { Vec::new() } else { self.normalized(window) };
        let mut offer = |index: usize| {
            // By the conventions for constant windows.
            let distance = match (is_constant(window), is_constant(index)) {
                (true, true) => 0.0,
                (true, false) | (false, true) => (self.window as f64).sqrt(),
                (false, false) => squared_distance(&own, &self.normalized(index)).sqrt(),
            };
            let is_nearer =
                |best: &Nearest| distance < best.distance || distance == best.distance && index < best.index;
            if best.as_ref().is_none_or(is_nearer) {
                best = Some(Nearest { distance, index });
            }
        };
        let constant = self.constants.iter().copied().find(|&other| other >= gone);
        constant.filter(|&other| other <= last).into_iter().for_each(&mut offer);
        if is_constant(window) {
            (gone..=last).find(|&other| !is_constant(other)).into_iter().for_each(&mut offer);
        } else {
            candidates.for_each(&mut offer);
        }
        best
    }

    /// The left profile of all kept windows by the tiles; indices from the oldest kept point.
    fn whole_profile(&self, deadline: &Deadline) -> Result<Vec<Option<Nearest>>> {
        let selection =
            Selection { values: self.values(), dimension: 1, window: self.window, normalize: true };
        let Ok(computation) = Computation::self_join(&selection) else {
            return Ok(vec![None; self.windows()]);
        };
        let computation = computation.sides(Sides::Left).with(self.instructions);
        let found = computation.run(deadline, &Progress::default()).profile;
        deadline.check()?;
        let pairs = found.distances.into_iter().zip(found.neighbors);
        Ok(pairs
            .map(|(distance, index)| (index != usize::MAX).then_some(Nearest { distance, index }))
            .collect())
    }

    /// Gives the memory back of what has left.
    fn forget_what_left(&mut self) {
        let left = self.gone - self.base;
        for column in [&mut self.raw, &mut self.values, &mut self.weights, &mut self.first, &mut self.second]
        {
            column.drain(..left.min(column.len()));
        }
        self.means.drain(..left.min(self.means.len()));
        self.constant.drain(..left.min(self.constant.len()));
        self.profile.drain(..left.min(self.profile.len()));
        self.covariances.drain(..self.head);
        self.head = 0;
        self.base = self.gone;
        for windows in [&mut self.constants, &mut self.collapsed] {
            windows.drain(..windows.partition_point(|&window| window < self.base));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::mp::oracle;

    fn left_oracle(values: &[f64], window: usize) -> Profile {
        let of = Selection { values, dimension: 1, window, normalize: true };
        oracle::nearest(&of, &of, |i, j| j + window.div_ceil(4) < i)
    }

    fn close(what: &str, found: f64, expected: f64) {
        let same = found == expected || (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
        assert!(same, "{what}: {found} instead of {expected}");
    }

    /// Data on which naive recurrences lose their digits, or ties are many.
    fn hostile(kind: usize, n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let mut level = 0.0;
        (0..n)
            .map(|at| {
                level += rng.unit_f64() - 0.5;
                match kind {
                    1 => 1e9 + level,
                    2 if at == n / 2 => 1e12,
                    3 if (n / 3..n / 2).contains(&at) => 1e-8 * level,
                    4 if at / 40 % 3 == 1 => 7.5,
                    5 => f64::from([0_i8, 3, 1, 4, 1, 5, 9, 2][at % 8]),
                    6 => 1e-3 * level + 1.7e9 * at as f64,
                    7 => 1e-2 * level + if at / 60 % 2 == 0 { 1e12 } else { 0.0 },
                    8 if at % 150 < 4 => 1e36,
                    9 => (at as f64 / 5.0).exp() * (10.0 + level),
                    _ => level,
                }
            })
            .collect()
    }

    #[test]
    fn what_is_kept_is_the_oracles() {
        for (kind, together) in (0..10).flat_map(|kind| [(kind, 1), (kind, 7), (kind, 200)]) {
            let (window, n) = (9 + kind, 420);
            let values = hostile(kind, n, 100 + kind as u64);
            for instructions in Instructions::available() {
                let mut upkeep = Upkeep { instructions, ..Upkeep::new(window, 1 << 20) };
                upkeep.rebuild(&values[..40 * (kind % 7)], &Deadline::none()).unwrap();
                let mut last = None;
                for some in values[40 * (kind % 7)..].chunks(together) {
                    last = upkeep.extend(some)[some.len() - 1];
                }
                let expected = left_oracle(&values, window);
                let what = format!("kind {kind}, {together} together, {}", instructions.name());
                let found = upkeep.profile(&Deadline::none()).unwrap();
                assert_eq!(found.distances.len(), expected.distances.len());
                for (found, expected) in found.distances.iter().zip(&expected.distances) {
                    close(&what, *found, *expected);
                }
                close(&what, last.unwrap().distance, *expected.distances.last().unwrap());
            }
        }
    }

    #[test]
    fn a_bounded_history_is_that_of_its_points_alone() {
        for (kind, points_max) in [(0, 64), (4, 150), (5, 100), (2, 700), (3, 90), (0, 24), (4, 24)] {
            let window = 12;
            let values = hostile(kind, 3000, 7 + kind as u64);
            let mut upkeep = Upkeep::new(window, points_max);
            let mut rng = Rng::new(kind as u64);
            let mut found = Vec::new();
            for at in 0..values.len() {
                if at == found.len() {
                    let some = 1 + rng.below(120) as usize;
                    found.extend(upkeep.extend(&values[at..values.len().min(at + some)]));
                }
                let nearest = found[at];
                let kept = &values[(at + 1).saturating_sub(points_max)..=at];
                if at % 97 != 0 && at + 1 != found.len() {
                    continue;
                }
                let expected = left_oracle(kept, window);
                let what = format!("kind {kind} at {at}");
                match nearest {
                    Some(nearest) => {
                        close(&what, nearest.distance, *expected.distances.last().unwrap());
                        let of = Selection { values: kept, dimension: 1, window, normalize: true };
                        let distance = oracle::distance(&of, kept.len() - window, nearest.index);
                        close(&what, distance, nearest.distance);
                    }
                    None => assert!(expected.distances.last().is_none_or(|distance| distance.is_infinite())),
                }
                // Asked for rarely, so that many neighbours have left; then often.
                if at + 1 == found.len() && (at % 5 == 0 || at > 2000) {
                    assert_eq!(upkeep.points(), kept.len());
                    let found = upkeep.profile(&Deadline::none()).unwrap();
                    assert_eq!(found.distances.len(), expected.distances.len(), "{what}");
                    for (found, expected) in found.distances.iter().zip(&expected.distances) {
                        close(&what, *found, *expected);
                    }
                }
            }
        }
    }

    #[test]
    fn what_changes_late_is_told_again() {
        let (window, points_max) = (10, 300);
        let mut values = hostile(0, 700, 5);
        let mut upkeep = Upkeep::new(window, points_max);
        upkeep.extend(&values);
        for kept in [290, 150, 40, 7, 0] {
            upkeep.keep_first(kept);
            assert_eq!(upkeep.points(), kept);
            let from = values.len() - points_max + kept;
            values[from..].iter_mut().for_each(|value| *value *= -2.0);
            upkeep.extend(&values[from..]);
            assert_eq!(upkeep.values(), &values[400..]);
            let (found, expected) =
                (upkeep.profile(&Deadline::none()).unwrap(), left_oracle(&values[400..], window));
            for (found, expected) in found.distances.iter().zip(&expected.distances) {
                close("changed", *found, *expected);
            }
        }
    }

    #[test]
    fn many_steps_lose_no_digits() {
        let window = 20;
        let values = hostile(1, 9000, 3);
        let mut upkeep = Upkeep::new(window, 1 << 20);
        let cancelled = Deadline::none();
        cancelled.cancel();
        assert!(upkeep.rebuild(&values, &cancelled).is_err(), "nobody waits for the end of it");
        upkeep.rebuild(&values[..500], &Deadline::none()).unwrap();
        upkeep.extend(&values[500..]);
        let found = upkeep.profile(&Deadline::none()).unwrap();
        let selection = Selection { values: &values, dimension: 1, window, normalize: true };
        let batch = Computation::self_join(&selection).unwrap().sides(Sides::Left);
        let batch = batch.run(&Deadline::none(), &Progress::default()).profile;
        for (found, expected) in found.distances.iter().zip(&batch.distances) {
            close("long", *found, *expected);
        }
    }
}
