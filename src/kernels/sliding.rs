//! Sliding dot products: a query against each stretch of a series.

use super::Instructions;

/// Stretches that are summed side by side.
const LANES: usize = 32;

/// The sum of products of the query with the stretch of the series from each point on, for as
/// many as there are places in `out`.
///
/// # Panics
/// If the series has not exactly so many stretches of the query's length.
pub fn sliding_dots(instructions: Instructions, query: &[f64], series: &[f64], out: &mut [f64]) {
    assert_eq!(series.len() + 1, query.len() + out.len(), "another number of stretches");
    if instructions == Instructions::PORTABLE {
        sums::<false>(query, series, out);
    } else {
        instructions.run(
            #[inline(always)]
            || sums::<true>(query, series, out),
        );
    }
}

/// Without fused instructions a fused multiplication is a function call.
#[inline(always)]
fn sums<const FUSED: bool>(query: &[f64], series: &[f64], out: &mut [f64]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let done = blocks.len() * LANES;
    for (block, out) in blocks.iter_mut().enumerate() {
        let series = &series[block * LANES..block * LANES + query.len() + LANES - 1];
        let mut sums = [0.0; LANES];
        for (&number, values) in query.iter().zip(series.windows(LANES)) {
            for lane in 0..LANES {
                sums[lane] = if FUSED {
                    number.mul_add(values[lane], sums[lane])
                } else {
                    number * values[lane] + sums[lane]
                };
            }
        }
        *out = sums;
    }
    for (out, values) in rest.iter_mut().zip(series[done..].windows(query.len())) {
        *out = query.iter().zip(values).map(|(a, b)| a * b).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn every_path_is_the_plain_sum() {
        let mut rng = Rng::new(5);
        for (n, m) in [(1, 1), (31, 1), (40, 7), (64, 33), (200, 100), (1000, 13), (50, 50)] {
            let series: Vec<f64> = (0..n).map(|_| rng.unit_f64() - 0.5).collect();
            let query: Vec<f64> = (0..m).map(|_| rng.unit_f64() - 0.5).collect();
            for instructions in Instructions::available() {
                let mut out = vec![f64::NAN; n - m + 1];
                sliding_dots(instructions, &query, &series, &mut out);
                for (out, values) in out.iter().zip(series.windows(m)) {
                    let plain: f64 = query.iter().zip(values).map(|(a, b)| a * b).sum();
                    assert!((out - plain).abs() < 1e-13, "n {n}, m {m}, {}", instructions.name());
                }
            }
        }
    }
}
