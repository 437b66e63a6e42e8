//! What is computed once for each series, before any pair of windows is looked at.
//!
//! Tiles of the kernel begin before the first window and end behind the last. So every
//! column here has [`PAD`] entries more at both ends: the series is thought to go on with
//! its first and its last value, and the windows out there never match. All indices in
//! this module's columns are *padded*: window i is at `i + PAD`.

use crate::base::Dimensions;
use crate::kernels::skew::{DIAGONALS, Measure, Side, Windows};
use crate::kernels::{Mean, constant_windows, power_of_two_scale, rolling_stats};

use super::Selection;
use super::best::{Best, NONE};

/// Entries before the first window and behind the last; more than a tile is skewed.
pub(super) const PAD: usize = DIAGONALS;

/// A window whose energy is below this part of the greatest one since the last such
/// window has lost digits that the recurrence carries: there it starts anew. (The note of
/// the field is 1e-6 of the predecessor's; a signal that dies away over several points
/// needs the greatest.)
pub(super) const COLLAPSE: f64 = 1e-4;

/// One dimension, scaled.
pub(super) struct Dimension {
    pub values: Vec<f64>,
    /// Means of the windows, rounded, and what the rounding left.
    pub means: Vec<f64>,
    pub rests: Vec<f64>,
    /// √Σ(x−μ)².
    pub norms: Vec<f64>,
    /// 1/√Σ(x−μ)², 0 for a constant window.
    pub inverse_norms: Vec<f64>,
    pub constant: Vec<bool>,
    /// What the recurrence needs, see [`crate::kernels::skew`].
    pub first: Vec<f64>,
    pub second: Vec<f64>,
    /// Windows at which the recurrence must start anew, ascending.
    pub collapsed: Vec<usize>,
}

/// A selection, ready for the kernel.
pub(super) struct Prepared {
    pub window: usize,
    pub windows: usize,
    pub normalize: bool,
    pub dimensions: Vec<Dimension>,
    /// Which of them count.
    pub counted: Dimensions,
    /// Divides distances of windows that are not normalised.
    pub scale: f64,
    /// Windows that may have neighbours and be one.
    pub usable: Vec<bool>,
    /// What the kernel multiplies thresholds or states by.
    pub weights: Vec<f64>,
    /// Norms where correlations are compared; else what distances may err by.
    pub units: Vec<f64>,
}

impl Prepared {
    pub fn new(selection: &Selection<'_>) -> Self {
        Self::with_scale(selection, power_of_two_scale(selection.values))
    }

    /// Both sides of a join: distances of windows that are not normalised have one scale.
    pub fn pair(a: &Selection<'_>, b: &Selection<'_>) -> [Self; 2] {
        let scale = power_of_two_scale(a.values).min(power_of_two_scale(b.values));
        [Self::with_scale(a, scale), Self::with_scale(b, scale)]
    }

    fn with_scale(selection: &Selection<'_>, scale: f64) -> Self {
        let (m, windows) = (selection.window, selection.windows());
        let mut usable = vec![false; windows + 2 * PAD];
        usable[PAD..PAD + windows].fill(true);
        let dimensions = (0..selection.dimension)
            .map(|at| {
                let mut raw: Vec<f64> =
                    selection.values.iter().skip(at).step_by(selection.dimension).copied().collect();
                for point in fill_gaps(&mut raw) {
                    usable[PAD + (point + 1).saturating_sub(m)..=PAD + point].fill(false);
                }
                // A last point that is missing is in no window beyond the last.
                usable[PAD + windows..].fill(false);
                let mut constant = vec![false; windows + 2 * PAD];
                constant[PAD..PAD + windows].copy_from_slice(&constant_windows(&raw, m));
                let scale = if selection.normalize { power_of_two_scale(&raw) } else { scale };
                let values: Vec<f64> = raw.iter().map(|value| value * scale).collect();
                Dimension::new(&values, constant, m, selection.normalize)
            })
            .collect();
        let mut prepared = Self {
            window: m,
            windows,
            normalize: selection.normalize,
            dimensions,
            counted: Dimensions::All,
            scale,
            usable,
            weights: Vec::new(),
            units: Vec::new(),
        };
        prepared.units =
            if prepared.by_correlation() { prepared.dimensions[0].norms.clone() } else { prepared.errors() };
        prepared.weigh();
        prepared
    }

    /// Takes the windows that `mask` (not padded) does not mark out of the search.
    pub fn keep_only(&mut self, mask: &[bool]) {
        for (usable, keep) in self.usable[PAD..PAD + self.windows].iter_mut().zip(mask) {
            *usable &= keep;
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        let correlation = self.by_correlation();
        self.weights = self
            .usable
            .iter()
            .enumerate()
            .map(|(window, usable)| match (correlation, usable) {
                // Constant windows have no correlation; they are matched apart.
                (true, true) => self.dimensions[0].inverse_norms[window],
                (true, false) => 0.0,
                (false, true) => 1.0,
                (false, false) => -1.0,
            })
            .collect();
    }

    /// What the recurrence may add to or take from the distances of each window.
    fn errors(&self) -> Vec<f64> {
        // Keeps equal windows, at distance 0, below their threshold.
        const LEAST: f64 = 1e-290;
        let norms = |window: usize| self.dimensions.iter().map(move |dimension| dimension.norms[window]);
        (0..self.usable.len())
            .map(|window| match (self.normalize, self.dimensions.len()) {
                // √(1 − ρ) turns an error of 1e-12 into one of 1e-6.
                (true, dimensions) => 1e-6 * dimensions as f64,
                (false, 1) => 1e-13 * norms(window).map(|norm| norm * norm).sum::<f64>() + LEAST,
                (false, _) => 3e-7 * norms(window).sum::<f64>() + LEAST,
            })
            .collect()
    }

    /// One normalised dimension: the greatest correlation is the least distance. Else
    /// distances are compared.
    pub fn by_correlation(&self) -> bool {
        self.normalize && self.dimensions.len() == 1
    }

    /// What the recurrence carries.
    pub fn measure(&self) -> Measure {
        if self.normalize { Measure::Covariance } else { Measure::SquaredDistance }
    }

    /// Windows that are not further apart than this are of one event.
    pub fn zone(&self) -> usize {
        self.window.div_ceil(4)
    }

    /// Whether a window (padded) has one value in every dimension, or in as many as count:
    /// two such windows are at distance 0.
    pub fn is_flat(&self, window: usize) -> bool {
        let constant = self.dimensions.iter().filter(|dimension| dimension.constant[window]).count();
        match self.counted {
            Dimensions::All | Dimensions::Any => constant == self.dimensions.len(),
            Dimensions::Best(counted) => constant >= counted,
        }
    }

    /// Neighbours as the columns here have them.
    pub fn padded(&self, neighbors: &[usize]) -> Vec<u32> {
        let mut padded = vec![NONE; self.usable.len()];
        for (padded, &neighbor) in padded[PAD..].iter_mut().zip(neighbors) {
            if neighbor != usize::MAX {
                *padded = (neighbor + PAD) as u32;
            }
        }
        padded
    }

    pub fn side<'a>(&'a self, best: &'a Best<'_>) -> Side<'a> {
        let dimension = &self.dimensions[0];
        Side {
            first: &dimension.first,
            second: &dimension.second,
            weights: &self.weights,
            thresholds: &best.thresholds,
        }
    }

    pub fn windows_of(&self, dimension: usize) -> Windows<'_> {
        let dimension = &self.dimensions[dimension];
        Windows {
            values: &dimension.values,
            means: &dimension.means,
            rests: &dimension.rests,
            length: self.window,
        }
    }
}

/// Puts the value before it, or behind, in the place of each that is not finite; returns
/// which they were.
fn fill_gaps(values: &mut [f64]) -> Vec<usize> {
    let missing: Vec<usize> = (0..values.len()).filter(|&at| !values[at].is_finite()).collect();
    let mut last = values.iter().copied().find(|value| value.is_finite()).unwrap_or(0.0);
    if !missing.is_empty() {
        for value in values {
            if value.is_finite() {
                last = *value;
            }
            *value = last;
        }
    }
    missing
}

impl Dimension {
    pub fn new(inner: &[f64], mut constant: Vec<bool>, m: usize, normalize: bool) -> Self {
        let (head, tail) = (inner.first().copied().unwrap_or(0.0), inner.last().copied().unwrap_or(0.0));
        let mut values = Vec::with_capacity(inner.len() + 2 * PAD);
        values.resize(PAD, head);
        values.extend_from_slice(inner);
        values.resize(inner.len() + 2 * PAD, tail);
        let stats = rolling_stats(&values, m);
        let windows = stats.means.len();
        let norms: Vec<f64> = stats.energies.iter().map(|energy| energy.sqrt()).collect();
        let mut inverse_norms = vec![0.0; windows];
        for at in 0..windows {
            // What is too small to be told from nothing counts as constant.
            constant[at] |= stats.energies[at] < f64::MIN_POSITIVE;
            if !constant[at] {
                inverse_norms[at] = 1.0 / norms[at];
            }
        }
        // No tile steps from before the first entry.
        let (mut first, mut second) = (vec![0.0; windows], vec![0.0; windows]);
        for i in 1..windows {
            let (into, out) = (values[i + m - 1], values[i - 1]);
            (first[i], second[i]) = if normalize {
                let centred = |value: f64, window: usize| (value - stats.means[window]) - stats.rests[window];
                ((into - out) / 2.0, centred(into, i) + centred(out, i - 1))
            } else {
                (into, out)
            };
        }
        let collapsed = collapsed(&stats.energies);
        let (means, rests) = (stats.means, stats.rests);
        Self { values, means, rests, norms, inverse_norms, constant, first, second, collapsed }
    }

    /// The mean of a window.
    #[inline(always)]
    pub fn mean(&self, window: usize) -> Mean {
        Mean { rounded: self.means[window], rest: self.rests[window] }
    }
}

fn collapsed(energies: &[f64]) -> Vec<usize> {
    let mut greatest = 0.0_f64;
    let mut found = Vec::new();
    for (window, &energy) in energies.iter().enumerate() {
        if energy < COLLAPSE * greatest {
            found.push(window);
            greatest = energy;
        }
        greatest = greatest.max(energy);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_is_found_though_it_takes_many_steps() {
        let mut energies = vec![1.0; 3];
        energies.extend((1..20).map(|at| 0.25_f64.powi(at)));
        assert_eq!(collapsed(&energies), [9, 16], "each 4^7 below the greatest before it");
        assert_eq!(collapsed(&[1.0, 0.0, 0.0, 1.0, 0.0]), [1, 4]);
    }

    #[test]
    fn what_is_not_finite_leaves_its_windows_out() {
        let mut values = vec![1.0, 2.0, 4.0, 7.0, 3.0, 2.0, 2.5, 9.0, 1.0, 0.0];
        values[4] = f64::NAN;
        let selection = Selection { values: &values, dimension: 1, window: 3, normalize: true };
        let prepared = Prepared::new(&selection);
        let usable = &prepared.usable[PAD..PAD + prepared.windows];
        assert_eq!(usable, [true, true, false, false, false, true, true, true]);
        values[9] = f64::INFINITY;
        let prepared =
            Prepared::new(&Selection { values: &values, dimension: 1, window: 3, normalize: true });
        assert_eq!(prepared.usable.iter().filter(|usable| **usable).count(), 4);
        assert!(prepared.dimensions[0].values.iter().all(|value| value.is_finite()));
    }
}
