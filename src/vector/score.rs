//! The exact score of one candidate.

use crate::base::{Error, ErrorCode, Metric, Result};
use crate::kernels::{dot, norm, power_of_two_scale, squared_distance};

/// What is looked for, and how likeness to it is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    metric: Metric,
    normalize: bool,
    dimension: usize,
    /// The query's numbers times `scale`; of length 1 for a cosine, and for each dimension
    /// of normalised windows.
    numbers: Vec<f64>,
    /// A power of two.
    scale: f64,
}

impl Target {
    /// A query for a series of this dimension: `dimension` numbers to compare with points,
    /// or a multiple of that to compare with windows. With `normalize` the mean of a window
    /// is taken from it in each dimension, and it is divided by its standard deviation
    /// there (of a point: over all of its numbers), so that the cosine is Pearson's
    /// correlation; of several dimensions, the mean of the correlations in each.
    ///
    /// # Errors
    /// `DIMENSION_MISMATCH` for any other length; `INVALID_ARGUMENT` for numbers that are
    /// not finite, for a zero query of a cosine, for a constant one that is normalised,
    /// and for a normalised dot product.
    pub fn new(query: &[f64], dimension: usize, metric: Metric, normalize: bool) -> Result<Self> {
        if let Some(bad) = query.iter().find(|value| !value.is_finite()) {
            return Err(Error::invalid(format!("the query holds {bad}; use finite numbers")));
        }
        if query.is_empty() || dimension == 0 || !query.len().is_multiple_of(dimension) {
            return Err(Error::new(
                ErrorCode::DimensionMismatch,
                format!(
                    "the query has {} numbers; the series has dimension {dimension}: give {dimension} numbers to find \
                     points, or a multiple of that to find windows",
                    query.len()
                ),
            ));
        }
        if normalize && metric == Metric::Dot {
            return Err(Error::invalid(
                "a normalised dot product is a correlation: use metric \"cosine\" with normalize, or leave that out",
            ));
        }
        let scale = power_of_two_scale(query);
        let mut numbers: Vec<f64> = query.iter().map(|value| value * scale).collect();
        // A point by itself is one sequence of numbers.
        let dimension = if normalize && numbers.len() == dimension { 1 } else { dimension };
        if normalize {
            let mut is_constant = true;
            for at in 0..dimension {
                let column = column_of(&numbers, at, dimension);
                let (centred, length) = centred(&column);
                is_constant &= length == 0.0;
                for (number, centred) in numbers.iter_mut().skip(at).step_by(dimension).zip(centred) {
                    *number = if length == 0.0 { 0.0 } else { centred / length };
                }
            }
            if is_constant {
                return Err(Error::invalid(
                    "the query is constant, which nothing correlates with; give another, or leave normalize out",
                ));
            }
        } else if metric == Metric::Cosine {
            let length = norm(&numbers);
            if length == 0.0 {
                return Err(Error::invalid(
                    "the query is the zero vector, which has no direction; give another",
                ));
            }
            for value in &mut numbers {
                *value /= length;
            }
        }
        Ok(Self { metric, normalize, dimension, numbers, scale })
    }

    /// The direction of a query: cosine similarity.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn direction(query: &[f64], dimension: usize) -> Result<Self> {
        Self::new(query, dimension, Metric::Cosine, false)
    }

    /// Whether it is a direction, and likeness its cosine.
    pub fn is_direction(&self) -> bool {
        self.metric == Metric::Cosine && !self.normalize
    }

    /// Whether a score is a cosine or a correlation, at most 1.
    pub(super) fn is_angle(&self) -> bool {
        self.metric == Metric::Cosine || self.normalize
    }

    /// Whether windows are taken about their means.
    pub(super) fn is_centred(&self) -> bool {
        self.normalize
    }

    /// How many numbers a candidate has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Never: a query has numbers.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The query's numbers, of a direction scaled to length 1.
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// How like the query as many stored numbers are: the greater, the more.
    pub fn score(&self, values: &[f64]) -> f64 {
        if self.normalize {
            return self.correlation(values);
        }
        match self.metric {
            Metric::Cosine => self.cosine(values),
            Metric::Dot => {
                let scale = power_of_two_scale(values);
                let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
                finite(dot(&scaled, &self.numbers) / scale / self.scale)
            }
            Metric::Euclidean => {
                let scale = power_of_two_scale(values).min(self.scale);
                let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
                let own: Vec<f64> = self.numbers.iter().map(|value| value / self.scale * scale).collect();
                -finite(squared_distance(&scaled, &own).sqrt() / scale)
            }
        }
    }

    /// What a score is called: −1 to 1 for a cosine and a correlation, the product itself
    /// for a dot product, and 1 / (1 + distance) for a distance.
    pub fn similarity(&self, score: f64) -> f64 {
        self.distance(score).map_or(score, |distance| 1.0 / (1.0 + distance))
    }

    /// The distance that a score means, where it is one.
    pub fn distance(&self, score: f64) -> Option<f64> {
        match (self.metric, self.normalize) {
            (Metric::Euclidean, false) => Some(-score),
            (Metric::Euclidean, true) => {
                Some((2.0 * self.numbers.len() as f64 * (1.0 - score)).max(0.0).sqrt())
            }
            _ => None,
        }
    }

    /// Cosine similarity; 0 to a zero vector.
    fn cosine(&self, values: &[f64]) -> f64 {
        let length = norm(values);
        let (values_dot, length) = if is_plain(length) {
            (dot(values, &self.numbers), length)
        } else {
            let scaled = scaled(values);
            (dot(&scaled, &self.numbers), norm(&scaled))
        };
        if length == 0.0 { 0.0 } else { (values_dot / length).clamp(-1.0, 1.0) }
    }

    /// Pearson's correlation in each dimension, in two passes; 0 with what is constant.
    fn correlation(&self, values: &[f64]) -> f64 {
        let mut sum = 0.0;
        for at in 0..self.dimension {
            let (centred, length) = centred(&column_of(values, at, self.dimension));
            if length > 0.0 {
                let own = column_of(&self.numbers, at, self.dimension);
                sum += (dot(&centred, &own) / length).clamp(-1.0, 1.0);
            }
        }
        sum / self.dimension as f64
    }
}

fn finite(value: f64) -> f64 {
    value.clamp(-f64::MAX, f64::MAX)
}

fn column_of(values: &[f64], at: usize, dimension: usize) -> Vec<f64> {
    values.iter().skip(at).step_by(dimension).copied().collect()
}

/// Numbers less their mean, scaled, and their length then; 0 where all are equal.
fn centred(values: &[f64]) -> (Vec<f64>, f64) {
    let scale = power_of_two_scale(values);
    let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
    if scaled.iter().all(|value| *value == scaled[0]) {
        return (vec![0.0; values.len()], 0.0);
    }
    // The first goes first: numbers far from 0 have few digits left for what their mean is.
    let relative = |value: &f64| value - scaled[0];
    let mean = scaled.iter().map(relative).sum::<f64>() / scaled.len() as f64;
    let centred: Vec<f64> = scaled.iter().map(|value| relative(value) - mean).collect();
    let again = power_of_two_scale(&centred);
    let centred: Vec<f64> = centred.iter().map(|value| value * again).collect();
    let length = norm(&centred);
    (centred, length)
}

/// Whether no squares overflowed or vanished on the way to a length.
fn is_plain(length: f64) -> bool {
    length.is_finite() && length > 1e-140
}

fn scaled(values: &[f64]) -> Vec<f64> {
    let scale = power_of_two_scale(values);
    values.iter().map(|value| value * scale).collect()
}

/// The numbers scaled to length 1, rounded to single precision; zeros stay zeros.
pub(super) fn write_unit(values: &[f64], unit: &mut [f32]) {
    let length = norm(values);
    if is_plain(length) {
        for (unit, value) in unit.iter_mut().zip(values) {
            *unit = (value / length) as f32;
        }
        return;
    }
    let scaled = scaled(values);
    let length = norm(&scaled);
    for (unit, value) in unit.iter_mut().zip(scaled) {
        *unit = if length == 0.0 { 0.0 } else { (value / length) as f32 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn pearson(a: &[f64], b: &[f64]) -> f64 {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    }

    #[test]
    fn metrics_are_what_they_are_called() {
        let mut rng = Rng::new(1);
        for m in [2, 5, 40] {
            let mut random = || (0..m * 2).map(|_| rng.unit_f64() * 3.0 - 1.0).collect::<Vec<f64>>();
            let (query, values) = (random(), random());
            let of = |metric, normalize| Target::new(&query, 2, metric, normalize).unwrap();
            let products: f64 = query.iter().zip(&values).map(|(a, b)| a * b).sum();
            assert!((of(Metric::Dot, false).score(&values) - products).abs() < 1e-12);
            let distance: f64 = query.iter().zip(&values).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let target = of(Metric::Euclidean, false);
            let score = target.score(&values);
            assert!((target.distance(score).unwrap() - distance).abs() < 1e-12);
            assert!((target.similarity(score) - 1.0 / (1.0 + distance)).abs() < 1e-12);
            let in_each = |at| pearson(&column_of(&query, at, 2), &column_of(&values, at, 2));
            let correlation = f64::midpoint(in_each(0), in_each(1));
            assert!((of(Metric::Cosine, true).score(&values) - correlation).abs() < 1e-12);
            let target = of(Metric::Euclidean, true);
            let expected = (4.0 * f64::from(m) * (1.0 - correlation)).sqrt();
            assert!((target.distance(target.score(&values)).unwrap() - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn numbers_far_from_0_correlate_as_near_it() {
        let mut rng = Rng::new(2);
        let shape = |rng: &mut Rng| (0..20).map(|_| 1e3 * rng.unit_f64()).collect::<Vec<f64>>();
        for offset in [0.0, 1e6, 1e9, 1e12, 1.7e18] {
            // As much of the shapes as is left there.
            let [a, b] = [shape(&mut rng), shape(&mut rng)]
                .map(|shape| shape.iter().map(|v| v + offset).collect::<Vec<f64>>());
            let near = |values: &[f64]| values.iter().map(|value| value - offset).collect::<Vec<f64>>();
            let [here, there] = [(near(&a), near(&b)), (a, b)]
                .map(|(query, values)| Target::new(&query, 1, Metric::Cosine, true).unwrap().score(&values));
            assert!((here - there).abs() < 1e-12, "{offset}: {there} instead of {here}");
        }
    }

    #[test]
    fn extremes_give_numbers() {
        let extremes = [f64::MAX, -f64::MAX, 1e300, 5e-324, 0.0, 1e-300];
        for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
            for normalize in [false, true] {
                let queries = extremes.map(|value| [value, 1.0, -value, 3.0]);
                for query in queries {
                    let Ok(target) = Target::new(&query, 1, metric, normalize) else { continue };
                    for values in queries {
                        let score = target.score(&values);
                        assert!(
                            score.is_finite(),
                            "{metric:?} {normalize}: {query:?} and {values:?}: {score}"
                        );
                        assert!(target.similarity(score).is_finite());
                    }
                }
            }
        }
        assert!(Target::new(&[1.0, 2.0], 1, Metric::Dot, true).is_err());
        assert!(Target::new(&[1.0, 1.0], 1, Metric::Cosine, true).is_err());
        assert!(Target::new(&[0.0, 0.0], 1, Metric::Dot, false).is_ok());
    }
}
