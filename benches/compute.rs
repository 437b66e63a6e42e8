//! Cosine scan and matrix profile.

mod common;

use std::hint::black_box;

use common::{compare, walk};
use criterion::{Criterion, criterion_group, criterion_main};
use tsdb_vector::base::{Deadline, Rows};
use tsdb_vector::mp::{Selection, oracle, profile};
use tsdb_vector::vector::Search;

fn cosine(c: &mut Criterion) {
    let (points, dimension) = (20_000, 128);
    let rows = Rows {
        dimension,
        timestamps_ns: (0..points as i64).collect(),
        values: walk(points * dimension, 1),
        ..Rows::default()
    };
    let query = walk(dimension, 2);
    let baseline = || {
        let mut best = (f64::MIN, 0);
        for row in 0..points {
            let values = rows.values_of(row);
            let dot: f64 = values.iter().zip(&query).map(|(a, b)| a * b).sum();
            let norm: f64 = values.iter().map(|a| a * a).sum::<f64>().sqrt();
            if dot / norm > best.0 {
                best = (dot / norm, row);
            }
        }
        black_box(best);
    };
    compare(
        c,
        "cosine scan of 20,000 × 128",
        points as u64,
        ("a plain loop for the best one", baseline),
        || {
            let mut search = Search::new(&query, dimension, 10, -1.0).unwrap();
            search.push(&rows);
            black_box(search.finish());
        },
    );
}

fn matrix_profile(c: &mut Criterion) {
    let values = walk(1500, 3);
    let selection = Selection { values: &values, dimension: 1, window: 64, normalize: true };
    let cells = (selection.windows() * selection.windows() / 2) as u64;
    let naive = || drop(black_box(oracle::profile(&selection)));
    compare(c, "matrix profile, n = 1,500, m = 64 (cells)", cells, ("the naive oracle", naive), || {
        black_box(profile(&selection, &Deadline::none()).unwrap());
    });
    let long = walk(17_520, 4);
    let year = Selection { values: &long, dimension: 1, window: 336, normalize: true };
    let cells = (year.windows() * year.windows() / 2) as u64;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let one = || drop(black_box(pool.install(|| profile(&year, &Deadline::none()).unwrap())));
    compare(
        c,
        "matrix profile, n = 17,520, m = 336, all threads (cells)",
        cells,
        ("one thread", one),
        || {
            black_box(profile(&year, &Deadline::none()).unwrap());
        },
    );
}

criterion_group!(benches, cosine, matrix_profile);
criterion_main!(benches);
