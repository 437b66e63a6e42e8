//! F: memory: of a point that is not flushed yet, and of a server that holds much.

use super::{Batches, Bench};
use crate::Result;
use crate::driver::drive;
use crate::subjects::ours::ask;
use crate::subjects::{Subject, start_empty, wait_until};
use crate::table::{Table, mebibytes};

/// As many points as fit the memory limit below, and no flush on their number.
const UNFLUSHED: [&str; 4] = ["--buffer-size", "1000000000", "--memory-limit", "4GiB"];

pub fn run(bench: &Bench) -> Result<Table> {
    let points = bench.options.points_each() * bench.options.series;
    let mut table = Table::new(
        "F: memory",
        &["server", "points", "memtables, bytes a point", "resident after compaction, MiB", "peak, MiB"],
    );
    let memtable = memtable_bytes(bench)?;
    for subject in bench.subjects() {
        let scratch = bench.scratch()?;
        let process = start_empty(subject, scratch.path(), &bench.series())?;
        bench.fill(subject, process.address)?;
        bench.check_count(subject, process.address, points)?;
        subject.settle(&process, bench.options.idle())?;
        table.row(vec![
            subject.name().to_owned(),
            points.to_string(),
            if bench.is_ours(subject) { format!("{memtable:.1}") } else { "–".to_owned() },
            mebibytes(process.resident_bytes()?),
            mebibytes(process.peak_bytes()?),
        ]);
    }
    table.note(
        "Memtables: `memory_bytes` of GetStats, more than before the first point, with nothing flushed.",
    );
    Ok(table)
}

/// Bytes a point in memtables, for series of dimension 1.
fn memtable_bytes(bench: &Bench) -> Result<f64> {
    let options = &bench.options;
    let scratch = bench.scratch()?;
    let mut process = bench.ours.start_with(scratch.path(), &UNFLUSHED)?;
    wait_until(&mut process, |address| bench.ours.prepare(address, &bench.series()))?;
    let figure = |key: &str| -> Result<u64> {
        let stats = ask(process.address, "{\"type\":\"GetStats\",\"data\":{\"series\":\"all\"}}")?;
        stats[key].as_u64().ok_or_else(|| format!("GetStats has no {key}").into())
    };
    let before = figure("memory_bytes")?;
    let form = &bench.ours.batch_forms()[0];
    let points_each = options.points_each().min(100_000_000 / options.series);
    let requests = Batches::new(options.series as usize).requests(form, points_each, options.batch);
    drive(&bench.batch_load(process.address, form, &requests))?;
    if figure("segments")? > 0 {
        return Err("the server flushed though it should not have; use fewer --points".into());
    }
    Ok((figure("memory_bytes")? - before) as f64 / (points_each * options.series) as f64)
}
