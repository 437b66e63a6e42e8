//! Statistics of every window of a series.

use super::Instructions;
use super::dot::centred_dot;

/// Mean and spread of every window.
#[derive(Debug, Clone, PartialEq)]
pub struct RollingStats {
    /// Mean of the window that starts at each index.
    pub means: Vec<f64>,
    /// Σ(x − mean)² of each window.
    pub energies: Vec<f64>,
}

/// Means by compensated running sums (Neumaier, "Rundungsfehleranalyse einiger
/// Verfahren zur Summation endlicher Summen", 1974), restarted now and then; energies
/// by a second pass over each window. O(n·m) for the energies.
pub fn rolling_stats(values: &[f64], window: usize) -> RollingStats {
    const RESTART: usize = 512;
    let windows = (values.len() + 1).saturating_sub(window);
    let mut means = Vec::with_capacity(windows);
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for start in 0..windows {
        if start % RESTART == 0 {
            (sum, lost) = (0.0, 0.0);
            for &value in &values[start..start + window] {
                add(&mut sum, &mut lost, value);
            }
        } else {
            add(&mut sum, &mut lost, values[start + window - 1]);
            add(&mut sum, &mut lost, -values[start - 1]);
        }
        means.push((sum + lost) / window as f64);
    }
    let energies = Instructions::best().run(|| energies(values, window, &means));
    RollingStats { means, energies }
}

#[inline(always)]
fn energies(values: &[f64], window: usize, means: &[f64]) -> Vec<f64> {
    let energy = |(start, &mean): (usize, &f64)| {
        let part = &values[start..start + window];
        centred_dot((part, mean), (part, mean))
    };
    means.iter().enumerate().map(energy).collect()
}

fn add(sum: &mut f64, lost: &mut f64, value: f64) {
    let next = *sum + value;
    *lost += if sum.abs() >= value.abs() { (*sum - next) + value } else { (value - next) + *sum };
    *sum = next;
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
            assert!((stats.means[start] - mean).abs() < 1e-9);
            assert!((stats.energies[start] - energy).abs() < 1e-8);
        }
        assert_eq!(stats.means.len(), 2000 - 36);
    }

    #[test]
    fn flat_stretches_are_found() {
        let values = [1.0, 2.0, 2.0, 2.0, 2.0, 3.0];
        assert_eq!(constant_windows(&values, 3), [false, true, true, false]);
        assert_eq!(constant_windows(&values, 7), Vec::<bool>::new());
        assert_eq!(constant_windows(&[0.0, -0.0, 0.0], 3), [true], "the two zeros are equal");
    }
}
