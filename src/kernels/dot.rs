//! Dot products and distances.

/// Independent sums, so that additions need not wait for each other.
const LANES: usize = 8;

/// Σ aᵢ·bᵢ over the shorter of the two.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    sum_of(&a[..n], &b[..n], |a, b| a * b)
}

/// √Σ aᵢ²; the caller scales where squares could overflow.
pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The sum of `term` over pairs, in lanes.
#[inline(always)]
fn sum_of(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| term(*a, *b)).sum();
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

/// A mean in two parts: values far from 0 leave too few digits to one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// It, rounded.
    pub rounded: f64,
    /// What the rounding left.
    pub rest: f64,
}

/// Σ (aᵢ − μ)(bᵢ − ν) of two slices of one length with their means.
#[inline(always)]
pub fn centred_dot((a, mean_a): (&[f64], Mean), (b, mean_b): (&[f64], Mean)) -> f64 {
    let sum = sum_of(a, b, |a, b| (a - mean_a.rounded) * (b - mean_b.rounded));
    sum - a.len() as f64 * mean_a.rest * mean_b.rest
}

/// Σ (aᵢ − around) and Σ (aᵢ − around)².
#[inline(always)]
pub fn moments(a: &[f64], around: f64) -> (f64, f64) {
    let (chunks, rest) = a.as_chunks::<LANES>();
    let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
    for chunk in chunks {
        for lane in 0..LANES {
            let centred = chunk[lane] - around;
            sums[lane] += centred;
            squares[lane] += centred * centred;
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        let centred = value - around;
        sums[lane] += centred;
        squares[lane] += centred * centred;
    }
    (sums.iter().sum(), squares.iter().sum())
}

/// Σ (aᵢ − bᵢ)² of two slices of one length.
#[inline(always)]
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    sum_of(a, b, |a, b| (a - b) * (a - b))
}

/// Σ ((aᵢ − μ)·s − (bᵢ − ν)·t)² of two slices of one length, each with its mean and scale.
#[inline(always)]
pub fn scaled_squared_distance(
    (a, mean_a, scale_a): (&[f64], Mean, f64),
    (b, mean_b, scale_b): (&[f64], Mean, f64),
) -> f64 {
    let centred = |value: f64, mean: Mean| (value - mean.rounded) - mean.rest;
    sum_of(a, b, |a, b| {
        let d = centred(a, mean_a) * scale_a - centred(b, mean_b) * scale_b;
        d * d
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn it_agrees_with_the_plain_sum() {
        let mut rng = Rng::new(3);
        for n in 0..70 {
            let a: Vec<f64> = (0..n).map(|_| rng.unit_f64() - 0.5).collect();
            let b: Vec<f64> = (0..n).map(|_| rng.unit_f64() - 0.5).collect();
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-13);
            let squares: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
            assert!((squared_distance(&a, &b) - squares).abs() < 1e-13);
            let mean = |values: &[f64]| {
                let mean = values.iter().sum::<f64>() / f64::from(n).max(1.0);
                // As if it had been rounded to few digits.
                let rounded = (mean * 64.0).round() / 64.0;
                (mean, Mean { rounded, rest: mean - rounded })
            };
            let ((mu, mean_a), (nu, mean_b)) = (mean(&a), mean(&b));
            let centred: f64 = a.iter().zip(&b).map(|(a, b)| (a - mu) * (b - nu)).sum();
            assert!((centred_dot((&a, mean_a), (&b, mean_b)) - centred).abs() < 1e-13);
            let (sum, energy) = moments(&a, mean_a.rounded);
            assert!((sum - mean_a.rest * f64::from(n)).abs() < 1e-13);
            assert!((energy - a.iter().map(|a| (a - mean_a.rounded).powi(2)).sum::<f64>()).abs() < 1e-13);
            let scaled: f64 = a.iter().zip(&b).map(|(a, b)| ((a - mu) * 2.0 - (b - nu) * 3.0).powi(2)).sum();
            let found = scaled_squared_distance((&a, mean_a, 2.0), (&b, mean_b, 3.0));
            assert!((found - scaled).abs() < 1e-12);
            assert!((norm(&a) - a.iter().map(|a| a * a).sum::<f64>().sqrt()).abs() < 1e-13);
        }
    }
}
