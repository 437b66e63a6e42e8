//! One measurement, the median of several, and the table of those that took turns.

use crate::Result;
use crate::driver::{Load, Outcome, drive};
use crate::process::{Process, own_cpu_seconds};
use crate::table::{Table, mebibytes, milliseconds, short, times};

/// What a load did, and what it cost.
#[derive(Debug, Clone)]
pub struct Measure {
    pub outcome: Outcome,
    /// Points, requests or queries.
    pub units: u64,
    pub server_cpu_seconds: f64,
    pub generator_cpu_seconds: f64,
    pub peak_bytes: u64,
}

impl Measure {
    /// Units a second.
    pub fn rate(&self) -> f64 {
        self.units as f64 / self.outcome.elapsed.as_secs_f64()
    }
}

/// Drives a load against a server; each request counts as `units_each`.
pub fn measure(process: &Process, load: &Load, units_each: u64) -> Result<Measure> {
    let (server_before, own_before) = (process.cpu_seconds()?, own_cpu_seconds()?);
    let outcome = drive(load)?;
    Ok(Measure {
        units: outcome.requests * units_each,
        outcome,
        server_cpu_seconds: process.cpu_seconds()? - server_before,
        generator_cpu_seconds: own_cpu_seconds()? - own_before,
        peak_bytes: process.peak_bytes()?,
    })
}

/// Somebody who takes part in a comparison, with its measures so far.
#[derive(Debug)]
pub struct Entry {
    pub label: String,
    pub is_ours: bool,
    pub measures: Vec<Measure>,
}

impl Entry {
    /// The measure of median rate.
    pub fn median(&self) -> Option<&Measure> {
        let mut sorted: Vec<&Measure> = self.measures.iter().collect();
        sorted.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        sorted.get(sorted.len() / 2).copied()
    }
}

/// A table that compares rates.
pub fn rate_table(title: &str, unit: &str, units: &str) -> Table {
    let (rate, server, generator) =
        (format!("{units}/s"), format!("CPU µs/{unit}"), format!("load µs/{unit}"));
    let head = [
        "work",
        "server",
        &rate,
        "of the best peer",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        &server,
        &generator,
        "CPU s",
        "peak MiB",
    ];
    Table::new(title, &head)
}

/// Adds those that did the same work to a table of rates.
pub fn add_rates(table: &mut Table, work: &str, entries: &[Entry]) {
    let rate = |entry: &Entry| entry.median().map_or(0.0, Measure::rate);
    let best_peer = entries.iter().filter(|entry| !entry.is_ours).map(rate).fold(0.0, f64::max);
    for entry in entries {
        let Some(measure) = entry.median() else { continue };
        let per_unit = |seconds: f64| format!("{:.3}", seconds * 1e6 / measure.units as f64);
        let latency = &measure.outcome.latency;
        table.row(vec![
            work.to_owned(),
            entry.label.clone(),
            short(measure.rate()),
            times(measure.rate() / best_peer),
            milliseconds(latency.quantile_ms(0.5)),
            milliseconds(latency.quantile_ms(0.95)),
            milliseconds(latency.quantile_ms(0.99)),
            milliseconds(latency.max_ms()),
            per_unit(measure.server_cpu_seconds),
            per_unit(measure.generator_cpu_seconds),
            format!("{:.2}", measure.server_cpu_seconds),
            mebibytes(measure.peak_bytes),
        ]);
    }
}
