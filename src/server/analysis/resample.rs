//! Points at regular times, made of those there are.

use std::ops::{Range, RangeInclusive};

use crate::base::{Error, ErrorCode, Result, Rows};
use crate::mp;
use crate::protocol::{Resample, Sampling};

/// Points that one may become at the most.
pub(in super::super) const NEW_POINTS_MAX: u64 = 16;

/// Points at the multiples of a step, for one sequence; and the longest stretch between two
/// points that some were made for, `gap_ns` where it is given. Where there was a longer one
/// there are none.
///
/// # Errors
/// `LIMIT_EXCEEDED` where they would take more bytes than there may be, or are very many more
/// than there were.
pub(super) fn resampled(
    rows: &Rows,
    resample: Resample,
    gap_ns: Option<u64>,
    bytes_max: u64,
) -> Result<(Rows, u64)> {
    let step = resample.step_ns;
    let usual = mp::default_gap(&rows.timestamps_ns).unwrap_or(step);
    let gap_ns = gap_ns.unwrap_or_else(|| usual.max(step.saturating_mul(10)));
    let stretches = mp::stretches(&rows.timestamps_ns, gap_ns);
    let span = |stretch: &Range<usize>| {
        let (first, last) = (rows.timestamps_ns[stretch.start], rows.timestamps_ns[stretch.end - 1]);
        u128::from(last.abs_diff(first)) / u128::from(step) + 2
    };
    let points = stretches.iter().map(span).sum::<u128>();
    let bytes = points.saturating_mul(8 * (rows.dimension as u128 + 1));
    if bytes > u128::from(bytes_max) || points > (rows.len() as u128 + 1) * u128::from(NEW_POINTS_MAX) {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "a step of {step} ns would make about {points} points of {}; use a longer step, a shorter max_gap, or a \
                 narrower time range",
                rows.len()
            ),
        ));
    }
    let mut regular = Rows::new(rows.dimension);
    if rows.label_ids.is_empty() {
        // Points of several label sets have none together.
        regular.label_sets.clone_from(&rows.label_sets);
    }
    for stretch in stretches {
        let mut made = Stretch { rows, points: stretch, step: i128::from(step), into: &mut regular };
        match resample.by {
            Sampling::Mean => made.by_mean(),
            Sampling::Last => made.by_last(),
            Sampling::Linear => made.by_linear(),
        }
    }
    Ok((regular, gap_ns))
}

/// Points without a gap, of which others are made.
struct Stretch<'a> {
    rows: &'a Rows,
    points: Range<usize>,
    step: i128,
    into: &'a mut Rows,
}

impl Stretch<'_> {
    fn time(&self, row: usize) -> i128 {
        i128::from(self.rows.timestamps_ns[row])
    }

    /// Adds a point at a multiple of the step; what is outside of time is none.
    fn push(&mut self, multiple: i128, values: impl Iterator<Item = f64>) {
        if let Ok(time) = i64::try_from(multiple * self.step) {
            self.into.timestamps_ns.push(time);
            self.into.values.extend(values);
        }
    }

    /// The first multiple that is not before the stretch, and the last that is not behind it.
    fn inside(&self) -> RangeInclusive<i128> {
        let (first, last) = (self.time(self.points.start), self.time(self.points.end - 1));
        -(-first).div_euclid(self.step)..=last.div_euclid(self.step)
    }

    fn by_last(&mut self) {
        let mut row = self.points.start;
        for multiple in self.inside() {
            while row + 1 < self.points.end && self.time(row + 1) <= multiple * self.step {
                row += 1;
            }
            let rows = self.rows;
            self.push(multiple, rows.values_of(row).iter().copied());
        }
    }

    fn by_linear(&mut self) {
        let mut row = self.points.start;
        for multiple in self.inside() {
            let time = multiple * self.step;
            while row + 1 < self.points.end && self.time(row + 1) <= time {
                row += 1;
            }
            let next = (row + 1).min(self.points.end - 1);
            let (before, behind) = (self.time(row), self.time(next));
            let part = if behind > before { (time - before) as f64 / (behind - before) as f64 } else { 0.0 };
            let rows = self.rows;
            self.push(multiple, between(rows.values_of(row), rows.values_of(next), part));
        }
    }

    fn by_mean(&mut self) {
        let rows = self.rows;
        let mut last: Option<(i128, Vec<f64>)> = None;
        let mut row = self.points.start;
        while row < self.points.end {
            let multiple = self.time(row).div_euclid(self.step);
            let end = (row..self.points.end)
                .find(|&at| self.time(at).div_euclid(self.step) != multiple)
                .unwrap_or(self.points.end);
            let n = (end - row) as f64;
            let sum = |dimension: usize, unit: f64| -> f64 {
                (row..end).map(|at| rows.values_of(at)[dimension] / unit).sum()
            };
            let mean = |dimension: usize| {
                // A sum of what is huge may overflow; then each is divided first.
                let mean = sum(dimension, 1.0) / n;
                if mean.is_finite() { mean } else { sum(dimension, n) }
            };
            let means: Vec<f64> = (0..rows.dimension).map(mean).collect();
            // Steps without a point are on the way from one mean to the next.
            if let Some((before, from)) = last.take() {
                for empty in before + 1..multiple {
                    let part = (empty - before) as f64 / (multiple - before) as f64;
                    self.push(empty, between(&from, &means, part));
                }
            }
            self.push(multiple, means.iter().copied());
            last = Some((multiple, means));
            row = end;
        }
    }
}

fn between(from: &[f64], to: &[f64], part: f64) -> impl Iterator<Item = f64> {
    // Exact at both ends, and no difference that could overflow.
    from.iter().zip(to).map(move |(a, b)| a * (1.0 - part) + b * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Labels, Rng};

    fn rows(times: &[i64], values: &[f64]) -> Rows {
        Rows { timestamps_ns: times.to_vec(), values: values.to_vec(), ..Rows::new(1) }
    }

    fn made(rows: &Rows, step_ns: u64, by: Sampling, gap_ns: Option<u64>) -> Vec<(i64, f64)> {
        let (found, _) = resampled(rows, Resample { step_ns, by }, gap_ns, 1 << 20).unwrap();
        found.timestamps_ns.into_iter().zip(found.values).collect()
    }

    #[test]
    fn points_are_at_the_multiples_of_the_step() {
        let rows = rows(&[-7, 3, 3, 12, 20, 47], &[1.0, 3.0, 5.0, 9.0, 1.0, 2.0]);
        let gap = Some(100);
        assert_eq!(
            made(&rows, 10, Sampling::Last, gap),
            [(0, 1.0), (10, 5.0), (20, 1.0), (30, 1.0), (40, 1.0)]
        );
        let linear = made(&rows, 10, Sampling::Linear, gap);
        assert_eq!(linear.iter().map(|point| point.0).collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
        for (found, expected) in linear.iter().zip([2.4, 5.0 + 4.0 * 7.0 / 9.0, 1.0, 1.0 + 10.0 / 27.0]) {
            assert!((found.1 - expected).abs() < 1e-12, "{found:?}");
        }
        let mean = made(&rows, 10, Sampling::Mean, gap);
        assert_eq!(mean, [(-10, 1.0), (0, 4.0), (10, 9.0), (20, 1.0), (30, 1.5), (40, 2.0)]);
        // Nothing is made where points are too far apart.
        assert_eq!(
            made(&rows, 10, Sampling::Mean, Some(20)),
            [(-10, 1.0), (0, 4.0), (10, 9.0), (20, 1.0), (40, 2.0)]
        );
        assert_eq!(made(&rows, 10, Sampling::Last, Some(20)), [(0, 1.0), (10, 5.0), (20, 1.0)]);
        assert_eq!(made(&rows, 1000, Sampling::Mean, Some(1000)), [(-1000, 1.0), (0, 4.0)]);
        assert!(made(&Rows::new(1), 10, Sampling::Linear, None).is_empty());
    }

    #[test]
    fn regular_points_stay_as_they_are() {
        let mut rng = Rng::new(1);
        let values: Vec<f64> = (0..100).map(|_| 1e9 + rng.unit_f64()).collect();
        let times: Vec<i64> = (-50..50).map(|at| at * 7).collect();
        let expected: Vec<(i64, f64)> = times.iter().copied().zip(values.iter().copied()).collect();
        for by in [Sampling::Mean, Sampling::Last, Sampling::Linear] {
            assert_eq!(made(&rows(&times, &values), 7, by, None), expected, "{by:?}");
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble_and_too_many_points_are_refused() {
        let ends = rows(&[i64::MIN, i64::MAX], &[1e308, -1e308]);
        let of = |step_ns, by| resampled(&ends, Resample { step_ns, by }, Some(u64::MAX), 1 << 20);
        for by in [Sampling::Mean, Sampling::Last, Sampling::Linear] {
            let (found, gap) = of(i64::MAX as u64, by).unwrap();
            assert!(gap == u64::MAX && (2..=3).contains(&found.len()), "{found:?}");
            assert!(found.values.iter().all(|value| value.is_finite()));
            assert_eq!(of(1, by).unwrap_err().code(), ErrorCode::LimitExceeded);
        }
        let many: Vec<i64> = (0..1000).collect();
        let many = rows(&many, &vec![0.5; 1000]);
        let found = resampled(&many, Resample { step_ns: 1, by: Sampling::Last }, None, 100);
        assert_eq!(found.unwrap_err().code(), ErrorCode::LimitExceeded);
    }

    #[test]
    fn labels_stay_where_all_points_have_them() {
        let labels = Labels::new([("k", "v")]).unwrap();
        let one = Rows { label_sets: vec![labels.clone()], ..rows(&[0, 5, 9], &[1.0; 3]) };
        let step = Resample { step_ns: 5, by: Sampling::Last };
        assert_eq!(resampled(&one, step, None, 1 << 20).unwrap().0.labels_of(1), Some(&labels));
        let joined = Rows { label_ids: vec![0, 1, 0], label_sets: vec![labels, Labels::empty()], ..one };
        assert_eq!(resampled(&joined, step, None, 1 << 20).unwrap().0.labels_of(0), None);
    }
}
