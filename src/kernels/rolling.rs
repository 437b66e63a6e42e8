//! Statistics of every window of a series.

use super::Instructions;
use super::dot::{Mean, moments};

/// Mean and spread of every window.
#[derive(Debug, Clone, PartialEq)]
pub struct RollingStats {
    /// Means of the windows that start at each index, rounded.
    pub means: Vec<f64>,
    /// What the rounding left of each.
    pub rests: Vec<f64>,
    /// Σ(x − mean)² of each window.
    pub energies: Vec<f64>,
}

/// Means from running sums, which each window then mends by a pass over itself: what other windows
/// hold, however large, takes no digits from it. O(n·m).
pub fn rolling_stats(values: &[f64], window: usize) -> RollingStats {
    const RESTART: usize = 512;
    let windows = (values.len() + 1).saturating_sub(window);
    let mut stats = RollingStats { means: Vec::new(), rests: Vec::new(), energies: Vec::new() };
    for column in [&mut stats.means, &mut stats.rests, &mut stats.energies] {
        column.reserve(windows);
    }
    Instructions::best().run(|| {
        let mut sum = 0.0;
        for start in 0..windows {
            if start % RESTART == 0 {
                sum = values[start..start + window].iter().sum();
            } else {
                sum += values[start + window - 1] - values[start - 1];
            }
            let (mean, energy) = mean_and_energy(&values[start..start + window], sum / window as f64);
            stats.means.push(mean.rounded);
            stats.rests.push(mean.rest);
            stats.energies.push(energy);
            // What was lost is not carried on.
            sum = (mean.rounded + mean.rest) * window as f64;
        }
    });
    stats
}

/// The mean of some values, given about what it is, and Σ(x − mean)².
#[inline(always)]
pub fn mean_and_energy(values: &[f64], about: f64) -> (Mean, f64) {
    // So much of the spread may the first guess be off.
    const NEAR: f64 = 1e-6;
    let count = values.len() as f64;
    let mut rounded = about;
    // Each time the error shrinks to what rounding leaves of it.
    for _ in 0..4 {
        let (sum, squares) = moments(values, rounded);
        let off = sum / count;
        if off * off * count <= NEAR * squares || rounded + off == rounded {
            return (Mean { rounded, rest: off }, (squares - off * sum).max(0.0));
        }
        rounded += off;
    }
    let (sum, squares) = moments(values, rounded);
    (Mean { rounded, rest: sum / count }, squares)
}

/// Which windows have only one value.
pub fn constant_windows(values: &[f64], window: usize) -> Vec<bool> {
    let windows = (values.len() + 1).saturating_sub(window);
    let mut constant = vec![false; windows];
    let mut equal = 0;
    for at in (0..values.len()).rev() {
        equal = if at + 1 < values.len() && values[at] == values[at + 1] { equal + 1 } else { 1 };
        if let Some(constant) = constant.get_mut(at) {
            *constant = equal >= window;
        }
    }
    constant
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn they_agree_with_plain_sums() {
        let mut rng = Rng::new(5);
        let values: Vec<f64> = (0..2000).map(|_| rng.unit_f64() + 1e6).collect();
        let stats = rolling_stats(&values, 37);
        for (start, window) in values.windows(37).enumerate() {
            let mean = window.iter().map(|v| v - 1e6).sum::<f64>() / 37.0 + 1e6;
            let energy: f64 = window.iter().map(|v| (v - mean) * (v - mean)).sum();
            assert!((stats.means[start] - 1e6 + stats.rests[start] - (mean - 1e6)).abs() < 1e-9);
            assert!((stats.energies[start] - energy).abs() < 1e-8);
        }
        assert_eq!(stats.means.len(), 2000 - 36);
    }

    #[test]
    fn what_has_passed_takes_no_digits() {
        let mut rng = Rng::new(6);
        let mut values: Vec<f64> = (0..3000).map(|_| 20.0 + rng.unit_f64()).collect();
        // Huge values, a level far from 0, and both of them.
        values[700..704].fill(1e36);
        values[1500..1503].copy_from_slice(&[1e140, -1e140, 1e139]);
        values[2000..2400].iter_mut().for_each(|value| *value = 1e15 + (*value * 8.0).round());
        let stats = rolling_stats(&values, 25);
        for (start, window) in values.windows(25).enumerate() {
            let relative: Vec<f64> = window.iter().map(|value| value - window[0]).collect();
            let spread = relative.iter().fold(0.0_f64, |spread, value| spread.max(value.abs()));
            let mean = relative.iter().sum::<f64>() / 25.0;
            let found = (stats.means[start] - window[0]) + stats.rests[start];
            assert!((found - mean).abs() <= 1e-14 * spread, "window {start}: {found} instead of {mean}");
            let energy: f64 = relative.iter().map(|value| ((value - mean) / spread).powi(2)).sum();
            let found = stats.energies[start] / spread / spread;
            assert!((found - energy).abs() <= 1e-13 * energy, "window {start}: {found} instead of {energy}");
        }
    }

    #[test]
    fn flat_stretches_are_found() {
        let values = [1.0, 2.0, 2.0, 2.0, 2.0, 3.0];
        assert_eq!(constant_windows(&values, 3), [false, true, true, false]);
        assert_eq!(constant_windows(&values, 7), Vec::<bool>::new());
        assert_eq!(constant_windows(&[0.0, -0.0, 0.0], 3), [true], "the two zeros are equal");
    }
}
