//! H: anomalies of short series, computed anew and answered again.

use super::Bench;
use crate::Result;
use crate::data::{Walk, name, names};
use crate::driver::{Load, Requests, Until, drive};
use crate::framing::Framing;
use crate::measure::{Entry, add_rates, measure, rate_table};
use crate::process::Process;
use crate::subjects::{Subject, start_empty};
use crate::table::Table;

const POINTS: usize = 1000;
const WINDOW: usize = 50;
const SERIES: usize = 100;
const CONNECTIONS: [usize; 2] = [1, 8];
/// Questions of one connection and round that nobody has asked before: more than can be
/// answered in a second.
const QUESTIONS_A_SECOND: f64 = 20_000.0;

pub fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let scratch = bench.scratch()?;
    let server = start_empty(&bench.ours, scratch.path(), &names(SERIES))?;
    fill(bench, &server)?;
    let title = format!("H: three anomalies of {POINTS} points, window {WINDOW}");
    let mut table = rate_table(&title, "request", "requests");
    let mut asked = 0;
    for is_cached in [false, true] {
        for connections in CONNECTIONS {
            let label = bench.ours.name().to_owned();
            let mut entry = Entry { label, is_ours: true, measures: Vec::new() };
            for _ in 0..options.rounds {
                let count = if is_cached { SERIES } else { new_questions(options.seconds) };
                let requests: Vec<Requests> = (0..connections)
                    .map(|_| {
                        // What is cached was asked by the first connection.
                        if is_cached { questions(&mut 0, count) } else { questions(&mut asked, count) }
                    })
                    .collect();
                let load = Load {
                    address: server.address,
                    framing: Framing::Json,
                    replies_each: 1,
                    requests: &requests,
                    pipeline: 1,
                    bursts: false,
                    threads: options.threads,
                    until: Until::Elapsed(options.time()),
                };
                if is_cached {
                    drive(&Load { requests: &requests[..1], until: Until::Sent, ..load })?;
                }
                entry.measures.push(measure(&server, &load, 1)?);
            }
            let what = if is_cached { "known answers" } else { "computed anew" };
            add_rates(&mut table, &format!("{what}, {connections} connections"), &[entry]);
        }
    }
    Ok(table)
}

fn new_questions(seconds: f64) -> usize {
    ((QUESTIONS_A_SECOND * seconds) as usize).max(SERIES)
}

/// Requests that differ from all with other numbers: by where they end, which is after
/// the last point.
fn questions(number: &mut u64, count: usize) -> Requests {
    let mut requests = Requests::default();
    for _ in 0..count {
        let (series, end_ns) = (name(*number as usize % SERIES), i64::MAX - *number as i64);
        *number += 1;
        let data = format!("{{\"series\":\"{series}\",\"window\":{WINDOW},\"end_ns\":{end_ns}}}");
        let request = format!("{{\"type\":\"Anomaly\",\"data\":{data}}}\n");
        requests.push(|out| out.extend_from_slice(request.as_bytes()));
    }
    requests
}

fn fill(bench: &Bench, server: &Process) -> Result<()> {
    let form = &bench.ours.batch_forms()[0];
    let mut requests = [Requests::default()];
    for series in 0..SERIES {
        let points: Vec<_> = Walk::new(series).take(POINTS).collect();
        requests[0].push(|out| (form.encode)(&name(series), &points, out));
    }
    drive(&bench.batch_load(server.address, form, &requests))?;
    Ok(())
}
