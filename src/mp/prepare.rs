//! What is computed once for each dimension.

use crate::kernels::{center_and_scale, constant_windows, rolling_stats};

use super::Selection;

/// A window whose energy falls below this part of its predecessor's loses the digits
/// that the recurrence carries.
const COLLAPSE: f64 = 1e-6;

/// One dimension, centred and scaled.
pub(super) struct Dimension {
    pub values: Vec<f64>,
    pub means: Vec<f64>,
    /// 1/√Σ(x−μ)², 0 for a constant window.
    pub inverse_norms: Vec<f64>,
    pub constant: Vec<bool>,
    /// 0.5 for a constant window, else 0: added for both windows it gives the
    /// correlation that stands for STUMPY's distances of constants.
    pub constant_share: Vec<f64>,
    /// (x[i+m−1] − x[i−1]) / 2
    pub df: Vec<f64>,
    /// (x[i+m−1] − μ[i]) + (x[i−1] − μ[i−1])
    pub dg: Vec<f64>,
    /// Windows at which the recurrence must start anew, ascending.
    pub collapsed: Vec<usize>,
}

/// A selection, ready for the kernel.
pub(super) struct Prepared {
    pub window: usize,
    pub windows: usize,
    pub exclusion: usize,
    pub normalize: bool,
    pub dimensions: Vec<Dimension>,
    /// Divides distances of windows that are not normalised.
    pub scale: f64,
}

impl Prepared {
    pub fn new(selection: &Selection<'_>) -> Self {
        let (m, windows) = (selection.window, selection.windows());
        // Without normalisation all dimensions share one scale.
        let common = crate::kernels::power_of_two_scale(selection.values);
        let dimensions = (0..selection.dimension)
            .map(|at| {
                let raw: Vec<f64> =
                    selection.values.iter().skip(at).step_by(selection.dimension).copied().collect();
                let constant = constant_windows(&raw, m);
                let values = if selection.normalize {
                    center_and_scale(&raw).0
                } else {
                    raw.iter().map(|value| value * common).collect()
                };
                Dimension::new(values, constant, m)
            })
            .collect();
        Self {
            window: m,
            windows,
            exclusion: selection.exclusion(),
            normalize: selection.normalize,
            dimensions,
            scale: common,
        }
    }

    /// Whether a window has one value in every dimension.
    pub fn is_flat(&self, window: usize) -> bool {
        self.dimensions.iter().all(|dimension| dimension.constant[window])
    }
}

impl Dimension {
    fn new(values: Vec<f64>, mut constant: Vec<bool>, m: usize) -> Self {
        let stats = rolling_stats(&values, m);
        let windows = stats.means.len();
        let mut inverse_norms = vec![0.0; windows];
        for at in 0..windows {
            let energy = stats.energies[at];
            // What is too small to be told from nothing counts as constant.
            constant[at] |= energy < f64::MIN_POSITIVE;
            if !constant[at] {
                inverse_norms[at] = 1.0 / energy.sqrt();
            }
        }
        let mut df = vec![0.0; windows];
        let mut dg = vec![0.0; windows];
        for i in 1..windows {
            df[i] = (values[i + m - 1] - values[i - 1]) / 2.0;
            dg[i] = (values[i + m - 1] - stats.means[i]) + (values[i - 1] - stats.means[i - 1]);
        }
        let collapsed =
            (1..windows).filter(|&i| stats.energies[i] < COLLAPSE * stats.energies[i - 1]).collect();
        let constant_share = constant.iter().map(|&c| if c { 0.5 } else { 0.0 }).collect();
        Self { values, means: stats.means, inverse_norms, constant, constant_share, df, dg, collapsed }
    }
}
