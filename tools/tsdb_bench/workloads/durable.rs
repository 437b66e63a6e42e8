//! B: single points, each on disk before its answer.

use tsdb_vector::base::Rng;

use super::Bench;
use crate::Result;
use crate::data::name;
use crate::driver::{Load, Requests, Until};
use crate::measure::{Entry, add_rates, measure, rate_table};
use crate::process::{Process, Scratch};
use crate::subjects::{PointForm, Subject, start_empty};
use crate::table::Table;

const CONNECTIONS: [usize; 3] = [1, 8, 64];
const PIPELINES: [usize; 3] = [1, 16, 128];
/// Requests made for all connections together, to be sent over and over.
const REQUESTS: usize = 65_536;

struct Contender<'a> {
    subject: &'a dyn Subject,
    form: PointForm,
    process: usize,
    written: u64,
}

pub fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let mut processes: Vec<(Process, Scratch)> = Vec::new();
    let mut contenders: Vec<Contender> = Vec::new();
    for subject in bench.subjects() {
        for form in subject.point_forms() {
            let scratch = bench.scratch()?;
            let process = processes.len();
            processes.push((start_empty(subject, scratch.path(), &bench.series())?, scratch));
            contenders.push(Contender { subject, form: *form, process, written: 0 });
        }
    }
    let mut table = rate_table("B: single points, each durable before its answer", "request", "requests");
    for connections in CONNECTIONS {
        for pipeline in PIPELINES {
            let entry = |contender: &Contender| Entry {
                label: format!("{} {}", contender.subject.name(), contender.form.name),
                is_ours: bench.is_ours(contender.subject),
                measures: Vec::new(),
            };
            let mut entries: Vec<Entry> = contenders.iter().map(entry).collect();
            let requests: Vec<Vec<Requests>> = contenders
                .iter()
                .map(|contender| requests(&contender.form, connections, pipeline, options.series))
                .collect();
            for _ in 0..options.rounds {
                for ((contender, entry), requests) in contenders.iter_mut().zip(&mut entries).zip(&requests) {
                    let (process, _) = &processes[contender.process];
                    let load = Load {
                        address: process.address,
                        framing: contender.form.framing,
                        replies_each: 1,
                        requests,
                        pipeline,
                        bursts: options.bursts,
                        threads: options.threads,
                        until: Until::Elapsed(options.time()),
                    };
                    let measure = measure(process, &load, 1)?;
                    contender.written += measure.units;
                    entry.measures.push(measure);
                }
            }
            add_rates(&mut table, &format!("{connections} × {pipeline}"), &entries);
        }
    }
    for contender in contenders.iter().filter(|contender| contender.form.counted) {
        let (process, _) = &processes[contender.process];
        bench.check_count(contender.subject, process.address, contender.written)?;
    }
    table.note("Work is connections × requests in flight on each.");
    Ok(table)
}

fn requests(form: &PointForm, connections: usize, pipeline: usize, series: u64) -> Vec<Requests> {
    let mut random = Rng::new(1);
    let each = (REQUESTS / connections).max(4 * pipeline);
    (0..connections)
        .map(|_| {
            let mut requests = Requests::default();
            for _ in 0..each {
                let series = name(random.below(series) as usize);
                let value = random.below(10_000) as f64 / 100.0;
                requests.push(|out| (form.encode)(&series, value, out));
            }
            requests
        })
        .collect()
}
