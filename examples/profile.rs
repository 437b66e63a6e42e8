//! The matrix profile of a file of numbers, and how long it takes; for
//! `benches/peers/compare.py`, which puts it beside other programs.
//!
//! ```text
//! cargo run --release --example profile -- series.f64 100 --threads 2
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use tsdb_vector::base::Deadline;
use tsdb_vector::mp::{Computation, Progress, Selection};

/// Computes a matrix profile.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of 64 bits, little-endian.
    file: PathBuf,
    /// Points of a window.
    window: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Of so many runs the quickest counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let bytes = std::fs::read(&options.file)?;
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let selection = Selection { values: &values, dimension: 1, window: options.window, normalize: true };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let mut best = Duration::MAX;
    let mut greatest = None;
    for _ in 0..options.runs.max(1) {
        let started = Instant::now();
        let found = pool.install(|| -> Result<_, Failed> {
            Ok(Computation::self_join(&selection)?.run(&Deadline::none(), &Progress::default()))
        })?;
        best = best.min(started.elapsed());
        greatest = found.profile.distances.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    }
    let (at, distance) = greatest.ok_or("no window")?;
    // Seconds, and the window that is least like all others.
    println!("{:.6} {at} {distance:.9}", best.as_secs_f64());
    Ok(())
}
