//! Every path against sums in double precision.

use super::*;
use crate::base::Rng;

fn unit(rng: &mut Rng, dimension: usize, spread: i32) -> Vec<f64> {
    // Magnitudes that differ by powers of two, so that small numbers meet great ones.
    let mut numbers: Vec<f64> = (0..dimension)
        .map(|_| (rng.unit_f64() - 0.5) * 2.0_f64.powi(-(rng.below(1 + spread as u64) as i32)))
        .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    for number in &mut numbers {
        *number /= length;
    }
    numbers
}

fn single(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

#[test]
fn every_path_stays_within_the_bound() {
    let mut worst = 0.0_f64;
    for (seed, dimension) in (1..40).chain([64, 100, 128, 1000, 4099, 65_536]).enumerate() {
        let mut rng = Rng::new(seed as u64);
        let count = if dimension > 1000 { 9 } else { 21 };
        let rows: Vec<Vec<f64>> = (0..count).map(|_| unit(&mut rng, dimension, 60)).collect();
        // The first rows themselves, for products near 1.
        let queries: Vec<Vec<f64>> = (0..GROUP - 3)
            .map(|at| if at < 4 { rows[at].clone() } else { unit(&mut rng, dimension, 3) })
            .collect();
        let expected = |q: usize, r: usize| queries[q].iter().zip(&rows[r]).map(|(a, b)| a * b).sum::<f64>();
        let flat: Vec<f32> = rows.iter().flat_map(|row| single(row)).collect();
        let short: Vec<Vec<f32>> = queries.iter().map(|query| single(query)).collect();
        let group = interleave(short.iter().map(Vec::as_slice), dimension);
        let bound = dots_error_max(dimension);
        for instructions in Instructions::available() {
            let mut of_group = vec![[f32::NAN; GROUP]; count];
            group_dots(instructions, &group, &flat, &mut of_group);
            for (q, query) in short.iter().enumerate() {
                let mut of_one = vec![f32::NAN; count];
                dots(instructions, query, &flat, &mut of_one);
                for r in 0..count {
                    for found in [of_one[r], of_group[r][q]] {
                        let error = (f64::from(found) - expected(q, r)).abs();
                        worst = worst.max(error / bound);
                        assert!(
                            error <= bound,
                            "{} seed {seed} dimension {dimension}: {error}",
                            instructions.name()
                        );
                    }
                }
            }
            for lanes in &of_group {
                assert!(lanes[queries.len()..].iter().all(|&found| found == 0.0), "lanes of no query");
            }
        }
    }
    assert!(worst > 0.01, "the bound is far too wide to mean anything: {worst}");
}

#[test]
fn nothing_has_no_products() {
    for instructions in Instructions::available() {
        dots(instructions, &[1.0; 5], &[], &mut []);
        group_dots(instructions, &[1.0; 5 * GROUP], &[], &mut []);
        let mut out = [1.0; 3];
        dots(instructions, &[], &[], &mut out);
        assert_eq!(out, [0.0; 3]);
    }
}

#[test]
fn products_with_bytes_are_those_of_the_sum() {
    let mut rng = Rng::new(3);
    for _ in 0..100 {
        let length = BYTE_LANES * (1 + rng.below(12) as usize);
        let rows = rng.below(20) as usize;
        let query: Vec<f32> = (0..length).map(|_| (rng.unit_f64() - 0.5) as f32).collect();
        let bytes: Vec<i8> = (0..rows * length).map(|_| rng.below(256) as u8 as i8).collect();
        for instructions in Instructions::available() {
            let mut out = vec![0.0; rows];
            byte_dots(instructions, &query, &bytes, &mut out);
            for (row, found) in bytes.chunks_exact(length).zip(&out) {
                let products =
                    row.iter().zip(&query).map(|(byte, number)| f64::from(*byte) * f64::from(*number));
                let expected: f64 = products.clone().sum();
                let bound = products.map(f64::abs).sum::<f64>() * 1e-6;
                assert!((f64::from(*found) - expected).abs() <= bound, "{}: {found}", instructions.name());
            }
        }
    }
}
