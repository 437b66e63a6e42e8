//! Similarity: the kernels beside a plain sweep over memory, and whole searches.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tsdb_vector::base::{Metric, Rng, Rows};
use tsdb_vector::kernels::{GROUP, Instructions, dots, group_dots, interleave};
use tsdb_vector::vector::{Search, Target};

use common::{compare, walk};

/// Runs that took turns; the shortest time of each, in seconds.
fn least<const N: usize>(mut runs: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [f64::MAX; N];
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        for (best, run) in best.iter_mut().zip(&mut runs) {
            let before = Instant::now();
            run();
            *best = best.min(before.elapsed().as_secs_f64());
        }
    }
    best
}

/// Reads all of memory once and does next to nothing with it.
fn sweep(instructions: Instructions, numbers: &[f32]) -> u32 {
    instructions.run(
        #[inline(always)]
        || {
            let mut sums = [0_u32; 64];
            for chunk in numbers.as_chunks::<64>().0 {
                for (sum, number) in sums.iter_mut().zip(chunk) {
                    *sum ^= number.to_bits();
                }
            }
            sums.iter().fold(0, |all, sum| all ^ sum)
        },
    )
}

fn kernels(c: &mut Criterion) {
    println!(
        "{:>9} {:>5} {:>9} {:>11} {:>11} {:>9} {:>16}",
        "rows", "dim", "path", "sweep GB/s", "one GB/s", "fraction", "sixteen GFLOP/s"
    );
    for (rows, dimension) in [(400_000, 128), (2_000_000, 16), (130_000, 384), (500_000, 100)] {
        let mut rng = Rng::new(1);
        let numbers: Vec<f32> = (0..rows * dimension).map(|_| rng.unit_f64() as f32 - 0.5).collect();
        let query: Vec<f32> = numbers[..dimension].to_vec();
        let group = interleave(numbers.chunks(dimension).take(GROUP), dimension);
        // As a search does: the products of a piece stay in the cache.
        let mut out = vec![0.0; 1024];
        let mut group_out = vec![[0.0; GROUP]; 1024];
        for instructions in Instructions::available() {
            let [sweep, one, sixteen] = least([
                &mut || {
                    black_box(sweep(Instructions::best(), &numbers));
                },
                &mut || {
                    for part in numbers.chunks_exact(1024 * dimension) {
                        dots(instructions, &query, part, black_box(&mut out));
                    }
                },
                &mut || {
                    for part in numbers.chunks_exact(1024 * dimension) {
                        group_dots(instructions, &group, part, black_box(&mut group_out));
                    }
                },
            ]);
            let gigabytes = (rows * dimension * 4) as f64 / 1e9;
            let operations = (rows / 1024 * 1024 * dimension * GROUP * 2) as f64 / 1e9;
            println!(
                "{rows:>9} {dimension:>5} {:>9} {:>11.1} {:>11.1} {:>9.2} {:>16.1}",
                instructions.name(),
                gigabytes / sweep,
                gigabytes / one,
                sweep / one,
                operations / sixteen
            );
        }
    }
    let mut rng = Rng::new(2);
    let numbers: Vec<f32> = (0..100_000 * 128).map(|_| rng.unit_f64() as f32 - 0.5).collect();
    let query: Vec<f32> = numbers[..128].to_vec();
    let mut out = vec![0.0; 100_000];
    let sweep = || {
        black_box(sweep(Instructions::best(), &numbers));
    };
    compare(c, "products with 100,000 × 128", 100_000, ("a sweep over the same memory", sweep), || {
        dots(Instructions::best(), &query, &numbers, black_box(&mut out));
    });
}

/// The windows of a long series that correlate with a pattern.
fn windows(c: &mut Criterion) {
    for (points, window) in [(1_000_000, 100), (1_000_000, 1000)] {
        let values = walk(points, 3);
        let pattern = walk(window, 4);
        let rows = Rows {
            dimension: 1,
            timestamps_ns: (0..points as i64).collect(),
            values: values.clone(),
            ..Rows::default()
        };
        let plain = || {
            let mut best = (f64::MIN, 0);
            for (start, values) in values.windows(window).enumerate() {
                let mean = values.iter().sum::<f64>() / window as f64;
                let product: f64 = values.iter().zip(&pattern).map(|(a, b)| (a - mean) * b).sum();
                let squares: f64 = values.iter().map(|a| (a - mean) * (a - mean)).sum();
                if product / squares.sqrt() > best.0 {
                    best = (product / squares.sqrt(), start);
                }
            }
            black_box(best);
        };
        let name = format!("correlation with windows of {window} of 1,000,000");
        compare(c, &name, points as u64, ("a plain loop for the best one", plain), || {
            let target = Target::new(&pattern, 1, Metric::Cosine, true).unwrap();
            let mut search = Search::of(target, 1, 10, f64::NEG_INFINITY);
            search.push(&rows);
            black_box(search.finish());
        });
    }
}

criterion_group!(benches, kernels, windows);
criterion_main!(benches);
