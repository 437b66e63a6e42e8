//! Dot products.

/// Independent sums, so that additions need not wait for each other.
const LANES: usize = 8;

/// Σ aᵢ·bᵢ over the shorter of the two.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

/// √Σ aᵢ²; the caller scales where squares could overflow.
pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
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
            assert!((norm(&a) - a.iter().map(|a| a * a).sum::<f64>().sqrt()).abs() < 1e-13);
        }
    }
}
