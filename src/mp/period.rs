//! The length at which a series is most like itself: the window of motifs where nobody
//! gives one, and what the search for that of discords starts from.

use std::ops::Range;

use rayon::prelude::*;

use crate::base::{Deadline, Error, ErrorCode, Result};
use crate::kernels::dot;

/// The least lag that is looked at.
const LAG_MIN: usize = 4;
/// The greatest.
const LAG_MAX: usize = 400;
/// The window of series that do not repeat. Measured on labelled anomalies; see
/// docs/decisions/matrix-profile.md.
const WINDOW_OF_NO_PERIOD: usize = 125;

/// A series, and where its time goes on without a gap.
#[derive(Debug, Clone)]
pub struct Stretches<'a> {
    /// Time-major, as those of a [`super::Selection`].
    pub values: &'a [f64],
    /// Values a point has.
    pub dimension: usize,
    /// Points between gaps, in order.
    pub stretches: Vec<Range<usize>>,
}

impl Stretches<'_> {
    fn points(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }

    /// Adds this series' autocorrelation at `lags`, weighted by its points.
    fn add(&self, lags: Range<usize>, sums: &mut [f64], deadline: &Deadline) -> Result<()> {
        for at in 0..self.dimension {
            let mut values: Vec<f64> = self.values.iter().skip(at).step_by(self.dimension).copied().collect();
            let greatest = values.iter().fold(0.0_f64, |greatest, value| greatest.max(value.abs()));
            if greatest == 0.0 {
                continue;
            }
            // Scaled before it is summed: squares of what is huge would overflow.
            let mean = values.iter().map(|value| value / greatest).sum::<f64>() / values.len() as f64;
            for value in &mut values {
                *value = *value / greatest - mean;
            }
            let energy = dot(&values, &values);
            if energy < f64::MIN_POSITIVE {
                continue;
            }
            let weight = values.len() as f64 / energy;
            let found: Vec<f64> = lags
                .clone()
                .into_par_iter()
                .map(|lag| {
                    deadline.check()?;
                    let of = |stretch: &Range<usize>| {
                        let values = &values[stretch.clone()];
                        values.get(lag..).map_or(0.0, |later| dot(values, later))
                    };
                    Ok(weight * self.stretches.iter().map(of).sum::<f64>())
                })
                .collect::<Result<_>>()?;
            sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
        }
        Ok(())
    }
}

/// The longest window that is chosen for a series of so many points.
pub fn likely_window_max(points: usize) -> usize {
    (points / 8).min(LAG_MAX)
}

/// The lag of the strongest local maximum of the autocorrelation, from 4 to 400 and at
/// most an eighth of the longest series; of equals the shorter. Where there is none, 125
/// or that eighth. Pairs of points across a gap do not count.
///
/// # Errors
/// `NOT_ENOUGH_DATA` where an eighth is less than 4 points; `TIMEOUT`.
pub fn likely_window(series: &[Stretches<'_>], deadline: &Deadline) -> Result<usize> {
    let points = series.iter().map(Stretches::points).max().unwrap_or(0);
    let greatest = likely_window_max(points);
    if greatest < LAG_MIN {
        return Err(Error::new(
            ErrorCode::NotEnoughData,
            format!(
                "window \"auto\" needs at least {} points, the selection has {points}; give a window, or a longer \
                 time range",
                8 * LAG_MIN
            ),
        ));
    }
    let lags = LAG_MIN - 1..greatest + 2;
    let mut sums = vec![0.0; lags.len()];
    for series in series {
        series.add(lags.clone(), &mut sums, deadline)?;
    }
    let mut best: Option<(usize, f64)> = None;
    for (lag, around) in (LAG_MIN..).zip(sums.windows(3)) {
        let is_peak = around[1] > around[0] && around[1] >= around[2] && around[1] > 0.0;
        if is_peak && best.is_none_or(|(_, strongest)| around[1] > strongest) {
            best = Some((lag, around[1]));
        }
    }
    Ok(best.map_or(WINDOW_OF_NO_PERIOD.min(points / 8), |(lag, _)| lag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::mp::stretches;

    fn chosen(values: &[f64], dimension: usize) -> Result<usize> {
        let times = vec![0; values.len() / dimension];
        let stretches = stretches(&times, 0);
        likely_window(&[Stretches { values, dimension, stretches }], &Deadline::none())
    }

    /// The definition, word by word.
    fn oracle(values: &[f64]) -> Option<usize> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let at =
            |lag: usize| -> f64 { (0..n - lag).map(|i| (values[i] - mean) * (values[i + lag] - mean)).sum() };
        (4..=(n / 8).min(400))
            .filter(|&lag| at(lag) > at(lag - 1) && at(lag) >= at(lag + 1) && at(lag) > 0.0)
            .max_by(|&a, &b| at(a).total_cmp(&at(b)).then(b.cmp(&a)))
    }

    #[test]
    fn it_is_the_lag_of_the_strongest_peak() {
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let period = 5.0 + 80.0 * rng.unit_f64();
            let n = 700 + rng.below(500) as usize;
            let values: Vec<f64> = (0..n)
                .map(|at| (at as f64 * std::f64::consts::TAU / period).sin() + rng.unit_f64() + 1e6)
                .collect();
            let found = chosen(&values, 1).unwrap();
            assert_eq!(Some(found), oracle(&values), "seed {seed}");
            // A multiple of a period that is no whole number may fit better.
            let off = found as f64 - period * (found as f64 / period).round();
            assert!(off.abs() < 3.0, "seed {seed}: {found} of {period}");
        }
    }

    #[test]
    fn what_does_not_repeat_gets_a_window_all_the_same() {
        let ramp: Vec<f64> = (0..2000).map(f64::from).collect();
        assert_eq!(chosen(&ramp, 1).unwrap(), 125);
        assert_eq!(chosen(&ramp[..400], 1).unwrap(), 50);
        assert_eq!(chosen(&[7.0; 320], 1).unwrap(), 40);
        assert_eq!(chosen(&ramp[..31], 1).unwrap_err().code(), ErrorCode::NotEnoughData);
        assert_eq!(chosen(&[], 1).unwrap_err().code(), ErrorCode::NotEnoughData);
    }

    #[test]
    fn gaps_hide_no_period_and_all_dimensions_count() {
        let wave = |at: usize, period: usize| (at as f64 * std::f64::consts::TAU / period as f64).sin();
        // Each stretch begins anew, out of step with the others.
        let values: Vec<f64> = (0..900).map(|at| wave(at % 300 + at / 300 * 13, 25)).collect();
        let series = Stretches { values: &values, dimension: 1, stretches: vec![0..300, 300..600, 600..900] };
        assert_eq!(likely_window(&[series], &Deadline::none()).unwrap(), 25);
        let both: Vec<f64> = (0..1000).flat_map(|at| [1e-200 * wave(at, 40), 1e200 * wave(at, 20)]).collect();
        assert_eq!(chosen(&both, 2).unwrap(), 40);
        let deadline = Deadline::none();
        deadline.cancel();
        let series = Stretches { values: &both, dimension: 2, stretches: stretches(&[0; 1000], 0) };
        assert_eq!(likely_window(&[series], &deadline).unwrap_err().code(), ErrorCode::Timeout);
    }
}
