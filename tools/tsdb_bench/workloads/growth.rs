//! G: whether it stays as fast with many more points and series, and how long a write
//! waits for background work. Ours alone.

use super::ranges::{queries, query};
use super::{Batches, Bench};
use crate::Result;
use crate::data::names;
use crate::driver::exchange;
use crate::framing::Framing;
use crate::latency::Latency;
use crate::measure::{Measure, measure};
use crate::process::Process;
use crate::subjects::{Subject, start_empty};
use crate::table::{Table, mebibytes, milliseconds, short, times};
use crate::watch::{INSERT, WATCHED, watched};

/// Rows of a point query.
const ROWS: u64 = 10;
/// Points of a batch, and of a series, where there are many series.
const FEW: u64 = 10;

/// What a server did when it held so many points.
struct Stage {
    points: u64,
    series: u64,
    ingest: Measure,
    query: Measure,
    stall_in_ingest: Latency,
    stall_after: Latency,
}

pub fn run(bench: &Bench) -> Result<Vec<Table>> {
    Ok(vec![points(bench)?, series(bench)?])
}

fn points(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let batch = options.batch;
    let points_each = (options.points_each() / batch).max(1) * batch;
    let step = points_each * options.series;
    let scratch = bench.scratch()?;
    let process = start(bench, scratch.path(), options.series as usize)?;
    let mut batches = Batches::new(options.series as usize);
    let mut written = 0;
    let mut stages = Vec::new();
    let mut worst = Latency::new();
    while written < options.growth_points.max(step) {
        let form = &bench.ours.batch_forms()[0];
        let requests = batches.requests(form, points_each, batch);
        let load = bench.batch_load(process.address, form, &requests);
        let (ingest, [stall_in_ingest]) =
            watched(process.address, [INSERT], || measure(&process, &load, batch))?;
        written += step;
        worst.add(&stall_in_ingest);
        if stages.is_empty() || written >= options.growth_points {
            drop(requests);
            stages.push(stage(bench, &process, written, options.series, ingest, worst.clone())?);
        }
    }
    Ok(table("G: ten and more times the points", &stages))
}

fn series(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let mut stages = Vec::new();
    let many = options.growth_series.max(options.series);
    for count in [options.series, many] {
        let points_each = many * FEW / count;
        let scratch = bench.scratch()?;
        let process = start(bench, scratch.path(), count as usize)?;
        let form = &bench.ours.batch_forms()[0];
        let requests = Batches::new(count as usize).requests(form, points_each / FEW * FEW, FEW);
        let load = bench.batch_load(process.address, form, &requests);
        let (ingest, [stall]) = watched(process.address, [INSERT], || measure(&process, &load, FEW))?;
        drop(requests);
        stages.push(stage(bench, &process, points_each / FEW * FEW * count, count, ingest, stall)?);
    }
    Ok(table("G: many series, in batches of ten points", &stages))
}

fn start(bench: &Bench, dir: &std::path::Path, series: usize) -> Result<Process> {
    let mut names = names(series);
    names.push(WATCHED.to_owned());
    start_empty(&bench.ours, dir, &names)
}

/// Flushes, waits for background work while writing, and asks for points.
fn stage(
    bench: &Bench,
    process: &Process,
    points: u64,
    series: u64,
    ingest: Measure,
    stall_in_ingest: Latency,
) -> Result<Stage> {
    let options = &bench.options;
    let ((), [stall_after]) = watched(process.address, [INSERT], || {
        exchange(process.address, Framing::Text, b"FLUSH\n", 1)?;
        std::thread::sleep(options.idle());
        Ok(())
    })?;
    bench.ours.settle(process, options.idle())?;
    let form = &bench.ours.range_forms()[0];
    let requests = queries(form, 1, ROWS, series, points / series);
    let query = query(process, form, &requests, ROWS, (1, 1), options.time())?;
    Ok(Stage { points, series, ingest, query, stall_in_ingest, stall_after })
}

fn table(title: &str, stages: &[Stage]) -> Table {
    let head = [
        "points",
        "series",
        "points/s",
        "of the first",
        "CPU µs/point",
        "10-row query p50 ms",
        "p99 ms",
        "of the first",
        "longest write in ingest, ms",
        "in compaction, ms",
        "peak MiB",
    ];
    let mut table = Table::new(title, &head);
    let first = &stages[0];
    for stage in stages {
        let p50 = stage.query.outcome.latency.quantile_ms(0.5);
        table.row(vec![
            short(stage.points as f64),
            short(stage.series as f64),
            short(stage.ingest.rate()),
            times(stage.ingest.rate() / first.ingest.rate()),
            format!("{:.3}", stage.ingest.server_cpu_seconds * 1e6 / stage.ingest.units as f64),
            milliseconds(p50),
            milliseconds(stage.query.outcome.latency.quantile_ms(0.99)),
            times(p50 / first.query.outcome.latency.quantile_ms(0.5)),
            milliseconds(stage.stall_in_ingest.max_ms()),
            milliseconds(stage.stall_after.max_ms()),
            mebibytes(stage.query.peak_bytes),
        ]);
    }
    table.note(
        "The longest write is that of a connection which writes a point every millisecond: while batches come, and \
         in the flush and the seconds after it.",
    );
    table
}
