//! A left profile that is kept while points come: for every window its nearest earlier
//! neighbour, for the newest one in O(n).
//!
//! The covariances of the newest window with all earlier ones are kept and go one step down
//! their diagonals with every point ([`crate::kernels::slide`]). A few of them start anew
//! from the definition each time, so that none has taken more than some thousand steps;
//! so do all of a row, or the one of a column, where the energy of a window collapses, as in the
//! tiles. What is reported is computed anew, from the values as they came.
//!
//! The history is bounded: the oldest point leaves when there would be too many. Windows
//! whose neighbour has left get another one when the profile is asked for.

use std::collections::VecDeque;

use crate::base::{Deadline, Result};
use crate::kernels::slide::{BLOCK, Earlier, advance};
use crate::kernels::{
    Instructions, centred_dot, constant_windows, median, norm, power_of_two_scale, squared_distance,
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
/// Points that are taken together: each block of covariances takes so many steps while it is
/// in the processor's nearest memory.
pub const TOGETHER: usize = 16;

/// A window's nearest earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its distance.
    pub distance: f64,
    /// Its first point, counted from the oldest kept one.
    pub index: usize,
}

/// What a point that was added found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pushed {
    /// The nearest earlier window of the one that the point ends, if there is any.
    pub nearest: Option<Nearest>,
    /// Points that are kept since, itself included.
    pub points: usize,
}

/// The covariances of a window, as far as it is looked for its nearest.
struct States<'a> {
    /// Those of the first windows, one by one.
    front: &'a [f64],
    /// The greatest of each block behind them, weighted.
    bounds: &'a [f64],
    /// Appends those of a block.
    block: &'a mut dyn FnMut(usize, &mut Vec<f64>),
}

/// How values become those that are computed with: (x·a − b)·c, with powers of two.
#[derive(Clone, Copy)]
struct Transform {
    first: f64,
    middle: f64,
    second: f64,
}

impl Transform {
    fn of(values: &[f64]) -> Self {
        let first = power_of_two_scale(values);
        let scaled: Vec<f64> = values.iter().map(|value| value * first).collect();
        let middle = median(&scaled);
        let centred: Vec<f64> = scaled.iter().map(|value| value - middle).collect();
        Self { first, middle, second: power_of_two_scale(&centred) }
    }

    fn apply(self, value: f64) -> f64 {
        (value * self.first - self.middle) * self.second
    }
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
    transform: Transform,
    base: usize,
    /// Points that have left; at least `base`.
    gone: usize,
    raw: Vec<f64>,
    values: Vec<f64>,
    means: Vec<f64>,
    weights: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    constant: Vec<bool>,
    profile: Vec<Option<Nearest>>,
    /// Covariances of the newest window with those from `gone` on, in their order; at the end
    /// of a vector that grows at its front.
    covariances: Vec<f64>,
    head: usize,
    /// Those of before the last steps that were taken together.
    before: Vec<f64>,
    /// Where the next covariances start anew.
    renewed: usize,
    /// Covariances at the front that are new, and the maxima of the blocks behind them.
    unstepped: usize,
    maxima: Vec<f64>,
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
            transform: Transform::of(&[]),
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
            before: Vec::new(),
            renewed: 0,
            unstepped: 0,
            maxima: Vec::new(),
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
        self.transform = Transform::of(&self.raw);
        self.values = self.raw.iter().map(|value| self.transform.apply(*value)).collect();
        self.run = self.raw.iter().rev().take_while(|value| Some(*value) == self.raw.last()).count();
        let windows = self.windows();
        let mut constant = vec![false; windows + 2 * PAD];
        constant[PAD..PAD + windows].copy_from_slice(&constant_windows(&self.raw, m));
        let dimension = Dimension::new(&self.values, constant, m, true);
        let inner = |column: &[f64]| column.get(PAD..PAD + windows).unwrap_or_default().to_vec();
        (self.means, self.weights) = (inner(&dimension.means), inner(&dimension.inverse_norms));
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
        self.covariances = match self.last_neighbor() {
            Some(last) => self.covariances_of(self.base + windows - 1, last),
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

    /// Adds finite values; says of each what [`push`](Self::push) would.
    pub fn push_all(&mut self, values: &[f64]) -> Vec<Pushed> {
        let mut found = Vec::with_capacity(values.len());
        let mut rest = values;
        while !rest.is_empty() {
            let taken = self.push_together(rest, &mut found);
            if let [value, ..] = rest[taken..] {
                let nearest = self.push(value);
                found.push(Pushed { nearest, points: self.points() });
            }
            rest = rest.get(taken + 1..).unwrap_or_default();
        }
        found
    }

    /// Adds a finite value; the newest window's nearest earlier one, if there is any.
    pub fn push(&mut self, value: f64) -> Option<Nearest> {
        self.run = if self.raw.last() == Some(&value) { self.run + 1 } else { 1 };
        self.raw.push(value);
        let transformed = self.transform.apply(value);
        self.values.push(transformed);
        let has_left = self.points() > self.points_max;
        self.gone += usize::from(has_left);
        self.pushed += 1;
        // Too few points tell nothing of the scale, those of long ago not enough.
        let is_unlike = transformed.abs() > GREATEST_MAX || !transformed.is_finite();
        let nearest = if is_unlike || self.pushed > self.points() / 2 || self.points() < 2 * self.window {
            self.set_up();
            let newest = (self.gone + self.windows()).checked_sub(1).filter(|_| self.windows() > 0)?;
            self.find(newest)
        } else {
            self.head += usize::from(has_left);
            self.describe_newest();
            self.step();
            self.find_newest()
        };
        self.profile.push(nearest);
        self.forget_much_that_left();
        nearest.map(|nearest| self.among_kept(nearest))
    }

    /// Adds the first of these values, as many as can be taken together, which may be none; says
    /// how many.
    fn push_together(&mut self, values: &[f64], found: &mut Vec<Pushed>) -> usize {
        let collapsed = |upkeep: &Self, since| upkeep.collapsed.back().is_some_and(|&window| window >= since);
        if self.covariances.len() == self.head
            || collapsed(self, self.gone)
            || self.points() < 2 * self.window
        {
            return 0;
        }
        // The window of each step, and the first one that is kept then.
        let mut steps: Vec<(usize, usize)> = Vec::with_capacity(TOGETHER);
        let mut all_anew = None;
        for &value in values.iter().take(TOGETHER) {
            let transformed = self.transform.apply(value);
            let is_unlike = transformed.abs() > GREATEST_MAX || !transformed.is_finite();
            if is_unlike || self.pushed + 1 > self.points() / 2 {
                break;
            }
            self.run = if self.raw.last() == Some(&value) { self.run + 1 } else { 1 };
            self.raw.push(value);
            self.values.push(transformed);
            let has_left = usize::from(self.points() > self.points_max);
            self.gone += has_left;
            self.pushed += 1;
            self.describe_newest();
            let newest = self.gone + self.windows() - 1;
            if collapsed(self, newest) {
                all_anew = Some(has_left);
                break;
            }
            steps.push((newest, self.gone));
        }
        self.step_together(&steps, found);
        if let Some(has_left) = all_anew {
            self.head += has_left;
            self.step();
            let nearest = self.find_newest();
            self.profile.push(nearest);
            let nearest = nearest.map(|nearest| self.among_kept(nearest));
            found.push(Pushed { nearest, points: self.points() });
        }
        self.forget_much_that_left();
        steps.len() + usize::from(all_anew.is_some())
    }

    /// Takes the covariances down their diagonals for these windows, of which energy collapses
    /// in none, and finds the nearest of each: block by block, and for what is looked at more
    /// closely once more from where the block began.
    fn step_together(&mut self, steps: &[(usize, usize)], found: &mut Vec<Pushed>) {
        let (Some(&(first_newest, _)), Some(&(newest, gone))) = (steps.first(), steps.last()) else { return };
        let mut before = std::mem::take(&mut self.before);
        before.clear();
        before.extend_from_slice(&self.covariances[self.head..]);
        let last_of = |newest: usize| newest - self.exclusion - 1;
        // The window of the first of them at the first step.
        let first = last_of(first_newest) + 1 - before.len();
        let (base, instructions) = (self.base, self.instructions);
        // One step of a block, and its greatest.
        let advance_block = |upkeep: &Self,
                             (step, newest): (usize, usize),
                             block: usize,
                             states: &mut [f64],
                             greatest: &mut Vec<f64>| {
            let from = first + step + block * BLOCK - base;
            let part = from..from + states.len();
            let earlier = Earlier {
                first: &upkeep.first[part.clone()],
                second: &upkeep.second[part.clone()],
                weights: &upkeep.weights[part],
            };
            let new = (upkeep.first[newest - base], upkeep.second[newest - base]);
            advance(instructions, states, earlier, new, greatest);
        };
        let mut covariances = std::mem::take(&mut self.covariances);
        let mut maxima = vec![Vec::with_capacity(before.len().div_ceil(BLOCK)); steps.len()];
        let mut of_block = Vec::with_capacity(1);
        for (block, states) in covariances[self.head..].chunks_mut(BLOCK).enumerate() {
            for (step, (maxima, &(newest, _))) in maxima.iter_mut().zip(steps).enumerate() {
                advance_block(self, (step, newest), block, states, &mut of_block);
                maxima.extend_from_slice(&of_block);
            }
        }
        self.covariances = covariances;
        // Windows before these, while nothing leaves.
        let mut front: Vec<f64> = Vec::new();
        for (step, (&(newest, gone), maxima)) in steps.iter().zip(&maxima).enumerate() {
            let mut from = first + step - front.len();
            let (firsts, seconds) = (&self.first, &self.second);
            let (new_first, new_second) = (firsts[newest - base], seconds[newest - base]);
            for (window, state) in (from..).zip(&mut front) {
                *state += firsts[window - base] * new_second + seconds[window - base] * new_first;
            }
            while from > gone {
                from -= 1;
                front.insert(0, self.covariance(from, newest));
            }
            let mut block = |block: usize, out: &mut Vec<f64>| {
                let begin = out.len();
                out.extend_from_slice(before.chunks(BLOCK).nth(block).unwrap_or_default());
                let states = &mut out[begin..];
                for (step, &(newest, _)) in steps.iter().enumerate().take(step + 1) {
                    advance_block(self, (step, newest), block, states, &mut of_block);
                }
            };
            let states = States { front: &front, bounds: maxima, block: &mut block };
            let nearest = self.nearest(newest, (gone, newest - self.exclusion - 1), states);
            self.profile.push(nearest);
            let nearest = nearest.map(|nearest| Nearest { index: nearest.index - gone, ..nearest });
            found.push(Pushed { nearest, points: newest - gone + self.window });
        }
        for &state in front.iter().rev() {
            self.grow();
            self.head -= 1;
            self.covariances[self.head] = state;
        }
        self.renew(steps.len(), newest, gone);
        self.before = before;
    }

    fn among_kept(&self, nearest: Nearest) -> Nearest {
        Nearest { index: nearest.index - self.gone, ..nearest }
    }

    /// The newest window's nearest earlier one, if there is any.
    pub fn newest(&mut self) -> Option<Nearest> {
        let at = self.profile.len().checked_sub(1).filter(|at| *at >= self.gone - self.base)?;
        if self.profile[at].is_some_and(|nearest| nearest.index < self.gone) {
            self.profile[at] = self.find(at + self.base);
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
                self.profile[at] = self.find(at + self.base);
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

    /// The last window that may be a neighbour of the newest one.
    fn last_neighbor(&self) -> Option<usize> {
        self.last_neighbor_of(self.gone + self.windows().checked_sub(1)?)
    }

    fn last_neighbor_of(&self, window: usize) -> Option<usize> {
        window.checked_sub(self.exclusion + 1).filter(|&last| last >= self.gone)
    }

    fn part(&self, window: usize) -> &[f64] {
        &self.values[window - self.base..window - self.base + self.window]
    }

    #[inline(always)]
    fn covariance(&self, a: usize, b: usize) -> f64 {
        let mean = |window: usize| self.means[window - self.base];
        centred_dot((self.part(a), mean(a)), (self.part(b), mean(b)))
    }

    fn covariances_of(&self, window: usize, last: usize) -> Vec<f64> {
        self.instructions.run(|| (self.gone..=last).map(|other| self.covariance(other, window)).collect())
    }

    /// A window of length √m around 0, from the values as they came: what is subtracted and
    /// multiplied here is its own.
    fn normalized(&self, window: usize) -> Vec<f64> {
        let raw = &self.raw[window - self.base..window - self.base + self.window];
        let mut part: Vec<f64> = raw.iter().map(|value| value * self.transform.first).collect();
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
        let mean = part.iter().sum::<f64>() / m as f64;
        let energy = self.instructions.run(|| centred_dot((part, mean), (part, mean)));
        let constant = self.run >= m || energy < f64::MIN_POSITIVE;
        let (into, out) = (self.values[at + m - 1], self.values[at - 1]);
        self.first.push((into - out) / 2.0);
        self.second.push((into - mean) + (out - self.means[at - 1]));
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

    /// Takes the covariances one step down their diagonals.
    fn step(&mut self) {
        let Some(last) = self.last_neighbor() else { return };
        let newest = self.gone + self.windows() - 1;
        let (gone, count) = (self.gone, last + 1 - self.gone);
        let stepped = self.covariances.len() - self.head;
        let from = last + 1 - stepped - self.base;
        let to = last + 1 - self.base;
        let earlier = Earlier {
            first: &self.first[from..to],
            second: &self.second[from..to],
            weights: &self.weights[from..to],
        };
        let new = (self.first[newest - self.base], self.second[newest - self.base]);
        let states = &mut self.covariances[self.head..];
        advance(self.instructions, states, earlier, new, &mut self.maxima);
        if stepped < count {
            self.grow();
            self.head -= 1;
            self.covariances[self.head] = self.covariance(gone, newest);
        }
        self.renew(1, newest, gone);
        let all_anew = self.collapsed.back() == Some(&newest);
        let anew: Vec<usize> = if all_anew {
            (gone..=last).collect()
        } else {
            self.collapsed.iter().copied().filter(|window| (gone..=last).contains(window)).collect()
        };
        for &window in &anew {
            self.covariances[self.head + window - gone] = self.covariance(window, newest);
        }
        self.unstepped = count - stepped;
        if !anew.is_empty() {
            self.unstepped = 0;
            let states = &self.covariances[self.head..];
            let weights = &self.weights[gone - self.base..];
            self.maxima.clear();
            self.maxima.extend(states.chunks(BLOCK).zip(weights.chunks(BLOCK)).map(|(states, weights)| {
                let weighted = states.iter().zip(weights).map(|(state, weight)| state * weight);
                weighted.fold(f64::NEG_INFINITY, f64::max)
            }));
        }
    }

    /// Has the next covariances start anew, as many as are due after so many steps.
    fn renew(&mut self, steps: usize, newest: usize, gone: usize) {
        let count = self.covariances.len() - self.head;
        for _ in 0..steps * count.div_ceil(STEPS_MAX) {
            self.renewed = (self.renewed + 1) % count;
            self.covariances[self.head + self.renewed] = self.covariance(gone + self.renewed, newest);
        }
    }

    /// Makes room before the first covariance.
    fn grow(&mut self) {
        if self.head == 0 {
            let more = self.covariances.len() + BLOCK;
            self.covariances.splice(0..0, std::iter::repeat_n(0.0, more));
            self.head = more;
        }
    }

    /// The nearest of the newest window.
    fn find_newest(&self) -> Option<Nearest> {
        let last = self.last_neighbor()?;
        let newest = self.gone + self.windows() - 1;
        let (front, behind) = self.covariances[self.head..].split_at(self.unstepped);
        let mut block = |block: usize, out: &mut Vec<f64>| {
            out.extend_from_slice(behind.chunks(BLOCK).nth(block).unwrap_or_default());
        };
        let states = States { front, bounds: &self.maxima, block: &mut block };
        self.nearest(newest, (self.gone, last), states)
    }

    /// The nearest of any window, from the definition.
    fn find(&self, window: usize) -> Option<Nearest> {
        let last = self.last_neighbor_of(window)?;
        let front = self.covariances_of(window, last);
        self.nearest(window, (self.gone, last), States { front: &front, bounds: &[], block: &mut |_, _| () })
    }

    /// The nearest of a window, given its covariances with those from the first kept one to
    /// `last`.
    fn nearest(&self, window: usize, (gone, last): (usize, usize), states: States<'_>) -> Option<Nearest> {
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
        let kept_constant = self.constants.iter().copied().find(|&other| other >= gone);
        kept_constant.filter(|&other| other <= last).into_iter().for_each(&mut offer);
        if is_constant(window) {
            let varied = (gone..=last).find(|&other| !is_constant(other));
            varied.into_iter().for_each(&mut offer);
            return best;
        }
        let weights = &self.weights[gone - self.base..=last - self.base];
        let error = CORRELATION_ERROR / self.weights[window - self.base];
        // Of the front, or of a block; constant windows have weight 0 and were offered above.
        let mut block_states = Vec::new();
        let mut part = |block: Option<usize>, take: &mut dyn FnMut(usize, f64)| {
            block_states.clear();
            let (from, part) = match block {
                None => (0, states.front),
                Some(block) => {
                    (states.block)(block, &mut block_states);
                    (states.front.len() + block * BLOCK, block_states.as_slice())
                }
            };
            for (at, (state, weight)) in (from..).zip(part.iter().zip(&weights[from..])) {
                if *weight > 0.0 {
                    take(at, state * weight);
                }
            }
        };
        let bound = states.bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut greatest = f64::NEG_INFINITY;
        part(None, &mut |_, weighted| greatest = greatest.max(weighted));
        if bound > 0.0 {
            greatest = greatest.max(bound);
        } else {
            // That may be a constant window's.
            for block in 0..states.bounds.len() {
                part(Some(block), &mut |_, weighted| greatest = greatest.max(weighted));
            }
        }
        if greatest > f64::NEG_INFINITY {
            let near = states.bounds.iter().enumerate().filter(|(_, bound)| **bound >= greatest - error);
            for block in std::iter::once(None).chain(near.map(|(block, _)| Some(block))) {
                part(block, &mut |at, weighted| {
                    if weighted >= greatest - error {
                        offer(gone + at);
                    }
                });
            }
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

    /// The same once it is much, for all behind it move.
    fn forget_much_that_left(&mut self) {
        if self.gone - self.base > BLOCK.max(self.points() / 4) {
            self.forget_what_left();
        }
    }

    /// Gives the memory back of what has left.
    fn forget_what_left(&mut self) {
        let left = self.gone - self.base;
        for column in [
            &mut self.raw,
            &mut self.values,
            &mut self.means,
            &mut self.weights,
            &mut self.first,
            &mut self.second,
        ] {
            column.drain(..left.min(column.len()));
        }
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
                    _ => level,
                }
            })
            .collect()
    }

    #[test]
    fn what_is_kept_is_the_oracles() {
        for kind in 0..7 {
            let (window, n) = (9 + kind, 420);
            let values = hostile(kind, n, 100 + kind as u64);
            for instructions in Instructions::available() {
                let mut upkeep = Upkeep { instructions, ..Upkeep::new(window, 1 << 20) };
                upkeep.rebuild(&values[..40 * kind], &Deadline::none()).unwrap();
                // One by one, or some together.
                let mut last = None;
                for part in values[40 * kind..].chunks(1 + kind * kind) {
                    last = upkeep.push_all(part).last().and_then(|pushed| pushed.nearest);
                }
                let expected = left_oracle(&values, window);
                let what = format!("kind {kind}, {}", instructions.name());
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
        for (kind, points_max) in [(0, 64), (4, 150), (5, 100), (2, 700), (3, 90)] {
            let window = 12;
            let values = hostile(kind, 3000, 7 + kind as u64);
            let mut upkeep = Upkeep::new(window, points_max);
            let mut rng = Rng::new(kind as u64);
            let mut pushed = VecDeque::new();
            for at in 0..values.len() {
                if pushed.is_empty() {
                    let together = (1 + rng.below(40) as usize).min(values.len() - at);
                    pushed.extend(upkeep.push_all(&values[at..at + together]));
                    assert_eq!(pushed.len(), together);
                }
                let Pushed { nearest, points } = pushed.pop_front().unwrap();
                let kept = &values[(at + 1).saturating_sub(points_max)..=at];
                assert_eq!(points, kept.len());
                if at % 97 != 0 && at + 1 != values.len() && !(pushed.is_empty() && at % 7 == 0) {
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
                if pushed.is_empty() && (at % 5 == 0 || at > 2000) {
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
        for value in &values {
            upkeep.push(*value);
        }
        for kept in [290, 150, 40, 7, 0] {
            upkeep.keep_first(kept);
            assert_eq!(upkeep.points(), kept);
            let from = values.len() - points_max + kept;
            values[from..].iter_mut().for_each(|value| *value *= -2.0);
            upkeep.push_all(&values[from..]);
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
        upkeep.push_all(&values[500..]);
        let found = upkeep.profile(&Deadline::none()).unwrap();
        let selection = Selection { values: &values, dimension: 1, window, normalize: true };
        let batch = Computation::self_join(&selection).unwrap().sides(Sides::Left);
        let batch = batch.run(&Deadline::none(), &Progress::default()).profile;
        for (found, expected) in found.distances.iter().zip(&batch.distances) {
            close("long", *found, *expected);
        }
    }
}
