//! Cosine scan and matrix profile. The figures of the profile in docs/performance.md are
//! those of `cargo bench --bench compute -- profile`.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{compare, walk};
use criterion::{Criterion, criterion_group, criterion_main};
use tsdb_vector::base::{Deadline, Rng, Rows};
use tsdb_vector::kernels::{Instructions, Mean, centred_dot, mean_and_energy};
use tsdb_vector::mp::{Computation, Progress, Selection, Upkeep, oracle, profile};
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
    // A table of its own, which takes minutes: not where something else is asked for.
    let mut filters = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if filters.all(|filter| "matrix profile".contains(&filter)) {
        profile_speed();
    }
}

/// Billions of pairs of windows a second, everything included: by the wall clock, the best
/// of at least three runs, and by the processor time of all of them, which a busy machine
/// does not spoil.
fn profile_speed() {
    println!(
        "{:>7} {:>11} {:>4} {:>9} {:>7} {:>10} {:>10}",
        "n", "data", "m", "path", "threads", "wall", "CPU"
    );
    for n in [1_000, 4_096, 65_536, 262_144] {
        for (name, values) in [("random walk", walk(n, 5)), ("ECG", ecg(n))] {
            for window in [50, 200] {
                let selection = Selection { values: &values, dimension: 1, window, normalize: true };
                for instructions in Instructions::available() {
                    if n > 4_096 && instructions != Instructions::best() && (window, name) != (50, "ECG")
                        || n > 65_536 && instructions != Instructions::best()
                    {
                        continue;
                    }
                    for threads in [1, 2] {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        let (wall, cpu) = pool.install(|| gigacells(&selection, instructions));
                        println!(
                            "{n:>7} {name:>11} {window:>4} {:>9} {threads:>7} {wall:>10.2} {cpu:>10.2}",
                            instructions.name()
                        );
                    }
                }
            }
        }
    }
}

fn gigacells(selection: &Selection<'_>, instructions: Instructions) -> (f64, f64) {
    let (mut best, mut cells) = (Duration::MAX, 0);
    let (started, before) = (Instant::now(), cpu_seconds());
    let mut runs = 0;
    while runs < 3 || started.elapsed() < Duration::from_millis(1500) {
        let run = Instant::now();
        let computation = Computation::self_join(selection).unwrap().with(instructions);
        let outcome = black_box(computation.run(&Deadline::none(), &Progress::default()));
        best = best.min(run.elapsed());
        cells += outcome.cells;
        runs += 1;
    }
    let wall = cells as f64 / f64::from(runs) / best.as_secs_f64() / 1e9;
    (wall, cells as f64 / (cpu_seconds() - before) / 1e9)
}

/// Processor time of this process, in steps of 10 ms; Linux only, else not a number.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks() + ticks()) / 100.0
}

/// The ECG of the examples, again and again with a little noise.
fn ecg(points: usize) -> Vec<f64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/ecg_mitbih_208.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let once: Vec<f64> =
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    let mut rng = Rng::new(6);
    (0..points)
        .map(|at| once[at % once.len()] + if at < once.len() { 0.0 } else { 0.002 * rng.unit_f64() })
        .collect()
}

/// The left profile of 65,536 points, kept while more come.
fn upkeep(c: &mut Criterion) {
    let (n, window, more) = (65_536, 100, 256);
    let values = walk(n + more, 8);
    let mut upkeep = Upkeep::new(window, n);
    upkeep.rebuild(&values[..n], &Deadline::none()).unwrap();
    let mean = |at: usize| mean_and_energy(&values[at..at + window], values[at]).0;
    let means: Vec<Mean> = (0..values.len() - window).map(mean).collect();
    let definition = || {
        let part = |at: usize| (&values[at..at + window], means[at]);
        for newest in n - window..n - window + more {
            let of_newest = part(newest);
            let nearest = (0..newest - window).map(|at| centred_dot(part(at), of_newest));
            black_box(nearest.fold(f64::NEG_INFINITY, f64::max));
        }
    };
    let (mut seed, mut level) = (100, values[values.len() - 1]);
    for together in [1, 64] {
        let name = format!("a point of a kept left profile, n = 65,536, m = 100, {together} at once");
        compare(c, &name, more as u64, ("all covariances from the definition", definition), || {
            // Not what was there before, of which many windows would be equal.
            let new: Vec<f64> = walk(more, seed).iter().map(|value| value + level).collect();
            (seed, level) = (seed + 1, new[more - 1]);
            for some in new.chunks(together) {
                black_box(upkeep.extend(some));
            }
        });
    }
}

criterion_group!(benches, cosine, matrix_profile, upkeep);
criterion_main!(benches);
