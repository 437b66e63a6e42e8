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

/// Σ (aᵢ − μ)(bᵢ − ν) of two slices of one length with their means.
#[inline(always)]
pub fn centred_dot((a, mean_a): (&[f64], f64), (b, mean_b): (&[f64], f64)) -> f64 {
    sum_of(a, b, |a, b| (a - mean_a) * (b - mean_b))
}

/// Σ (aᵢ − bᵢ)² of two slices of one length.
#[inline(always)]
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    sum_of(a, b, |a, b| (a - b) * (a - b))
}

/// Σ ((aᵢ − μ)·s − (bᵢ − ν)·t)² of two slices of one length, each with its mean and scale.
#[inline(always)]
pub fn scaled_squared_distance(
    (a, mean_a, scale_a): (&[f64], f64, f64),
    (b, mean_b, scale_b): (&[f64], f64, f64),
) -> f64 {
    sum_of(a, b, |a, b| {
        let d = (a - mean_a) * scale_a - (b - mean_b) * scale_b;
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
            let centred: f64 = a.iter().zip(&b).map(|(a, b)| (a - 0.25) * (b - 0.5)).sum();
            assert!((centred_dot((&a, 0.25), (&b, 0.5)) - centred).abs() < 1e-13);
            let scaled: f64 =
                a.iter().zip(&b).map(|(a, b)| ((a - 0.25) * 2.0 - (b - 0.5) * 3.0).powi(2)).sum();
            assert!((scaled_squared_distance((&a, 0.25, 2.0), (&b, 0.5, 3.0)) - scaled).abs() < 1e-12);
            assert!((norm(&a) - a.iter().map(|a| a * a).sum::<f64>().sqrt()).abs() < 1e-13);
        }
    }
}
