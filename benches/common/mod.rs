//! Every benchmark stands beside a baseline that runs in the same process; the ratio
//! of the two is what counts on shared machines.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};

/// Measures `ours` and `baseline` with criterion, and prints the ratio of the medians
/// of runs that took turns.
pub fn compare(
    c: &mut Criterion,
    name: &str,
    elements: u64,
    (baseline_name, mut baseline): (&str, impl FnMut()),
    mut ours: impl FnMut(),
) {
    let mut times = [Vec::new(), Vec::new()];
    let started = Instant::now();
    while times[0].len() < 5 || started.elapsed() < Duration::from_millis(600) && times[0].len() < 200 {
        for (of, run) in times.iter_mut().zip([&mut baseline as &mut dyn FnMut(), &mut ours]) {
            let before = Instant::now();
            run();
            of.push(before.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64().max(1e-12)
    };
    let (base, own) = (median(&mut times[0]), median(&mut times[1]));
    println!(
        "{name}: {:.2} times the speed of {baseline_name} ({:.3e} against {:.3e} elements/s)",
        base / own,
        elements as f64 / own,
        elements as f64 / base
    );
    let mut group = c.benchmark_group(name);
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    group.throughput(Throughput::Elements(elements));
    group.bench_function(BenchmarkId::from_parameter(baseline_name), |b| b.iter(&mut baseline));
    group.bench_function(BenchmarkId::from_parameter("ours"), |b| b.iter(&mut ours));
    group.finish();
}

/// A random walk with two decimals.
pub fn walk(points: usize, seed: u64) -> Vec<f64> {
    let mut rng = tsdb_vector::base::Rng::new(seed);
    let mut level = 0_i64;
    (0..points)
        .map(|_| {
            level += rng.below(201) as i64 - 100;
            level as f64 / 100.0
        })
        .collect()
}
