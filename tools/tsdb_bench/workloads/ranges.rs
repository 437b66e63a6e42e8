//! C: ranges at random places.

use std::time::Duration;

use tsdb_vector::base::Rng;

use super::Bench;
use crate::Result;
use crate::data::{Point, Walk, name, range_ms};
use crate::driver::{Load, Requests, Until, exchange};
use crate::measure::{Entry, Measure, add_rates, measure, rate_table};
use crate::process::{Process, Scratch};
use crate::subjects::{RangeForm, Subject, start_empty};
use crate::table::Table;

/// Rows of an answer, connections, and queries in flight on each.
const CASES: [(u64, usize, usize); 8] = [
    (1000, 1, 1),
    (1000, 8, 1),
    (1000, 64, 1),
    (10, 1, 1),
    (10, 8, 1),
    (10, 64, 1),
    (10, 64, 4),
    (10, 64, 8),
];
/// Queries made for all connections together, to be sent over and over.
const QUERIES: usize = 65_536;
/// Answers that are compared with what was written, of each form.
const CHECKED: u64 = 20;

pub fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let subjects = bench.subjects();
    let mut processes: Vec<(Process, Scratch)> = Vec::new();
    for subject in &subjects {
        let scratch = bench.scratch()?;
        let process = start_empty(*subject, scratch.path(), &bench.series())?;
        let points = bench.fill(*subject, process.address)?;
        bench.check_count(*subject, process.address, points)?;
        subject.settle(&process, bench.options.idle())?;
        processes.push((process, scratch));
    }
    let contenders: Vec<(&dyn Subject, &RangeForm, &Process)> = subjects
        .iter()
        .zip(&processes)
        .flat_map(|(subject, (process, _))| {
            subject.range_forms().iter().map(move |form| (*subject, form, process))
        })
        .collect();
    let cases =
        CASES.map(|(rows, connections, pipeline)| (rows.min(options.points_each()), connections, pipeline));
    for (subject, form, process) in &contenders {
        for (rows, ..) in cases.iter().filter(|(_, connections, _)| *connections == 1) {
            check(bench, *subject, form, process, *rows)?;
        }
    }
    let mut table = rate_table(
        &format!("C: ranges at random places over {} points", options.points_each() * options.series),
        "query",
        "queries",
    );
    for (rows, connections, pipeline) in cases {
        let mut entries: Vec<Entry> = contenders
            .iter()
            .map(|(subject, form, _)| Entry {
                label: format!("{} {}", subject.name(), form.name),
                is_ours: bench.is_ours(*subject),
                measures: Vec::new(),
            })
            .collect();
        for _ in 0..options.rounds {
            for ((_, form, process), entry) in contenders.iter().zip(&mut entries) {
                let requests = queries(form, connections, rows, options.series, options.points_each());
                let in_flight = (pipeline, options.threads);
                entry.measures.push(query(process, form, &requests, rows, in_flight, options.time())?);
            }
        }
        let each = if pipeline == 1 { String::new() } else { format!(" × {pipeline} in flight") };
        add_rates(&mut table, &format!("{rows} rows, {connections} connections{each}"), &entries);
    }
    Ok(table)
}

/// Ranges at random places, for each of some connections.
pub fn queries(
    form: &RangeForm,
    connections: usize,
    rows: u64,
    series: u64,
    points_each: u64,
) -> Vec<Requests> {
    let mut random = Rng::new(2);
    (0..connections)
        .map(|_| {
            let mut requests = Requests::default();
            for _ in 0..QUERIES / connections {
                let series = name(random.below(series) as usize);
                let (start_ms, end_ms) = range_ms(random.below(points_each - rows + 1), rows);
                requests.push(|out| (form.encode)(&series, start_ms, end_ms, out));
            }
            requests
        })
        .collect()
}

/// Asks for ranges of so many rows, so many at a time on each connection, by so many threads.
pub fn query(
    process: &Process,
    form: &RangeForm,
    requests: &[Requests],
    rows: u64,
    (pipeline, threads): (usize, usize),
    time: Duration,
) -> Result<Measure> {
    let load = Load {
        address: process.address,
        framing: form.framing,
        replies_each: 1,
        requests,
        pipeline,
        bursts: false,
        threads,
        until: Until::Elapsed(time),
    };
    let measure = measure(process, &load, 1)?;
    let (found, expected) = (measure.outcome.rows, measure.units * rows);
    if form.tells_rows && found != expected {
        return Err(format!("{} queries gave {found} rows instead of {expected}", measure.units).into());
    }
    Ok(measure)
}

/// Compares some answers with what was written.
fn check(bench: &Bench, subject: &dyn Subject, form: &RangeForm, process: &Process, rows: u64) -> Result<()> {
    let mut random = Rng::new(3);
    for _ in 0..CHECKED {
        let series = random.below(bench.options.series) as usize;
        let first = random.below(bench.options.points_each() - rows + 1);
        let (start_ms, end_ms) = range_ms(first, rows);
        let mut request = Vec::new();
        (form.encode)(&name(series), start_ms, end_ms, &mut request);
        let found = (form.decode)(&exchange(process.address, form.framing, &request, 1)?)?;
        let expected: Vec<Point> = Walk::new(series).skip(first as usize).take(rows as usize).collect();
        if found != expected {
            return Err(format!(
                "{} {} answered {} points of {} from point {first} on with {} others",
                subject.name(),
                form.name,
                expected.len(),
                name(series),
                found.len()
            )
            .into());
        }
    }
    Ok(())
}
