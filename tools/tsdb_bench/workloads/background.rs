//! I: how long small requests wait, and how fast batches are written, beside background work
//! and a long analysis. Ours alone.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Batches, Bench};
use crate::Result;
use crate::data::{Walk, names};
use crate::driver::{Requests, drive, exchange};
use crate::framing::Framing;
use crate::latency::Latency;
use crate::measure::measure;
use crate::process::Process;
use crate::subjects::{Subject, start_empty};
use crate::table::{Table, milliseconds, short, times};
use crate::watch::{INSERT, PING, WATCHED, watched};

/// The series whose profile is computed, its points and those of a window: minutes of work
/// for two processors.
const ANALYSED: &str = "analysed";
const ANALYSED_POINTS: usize = 1_000_000;
const WINDOW: usize = 100;

/// What the server does meanwhile.
#[derive(Clone, Copy)]
enum Work {
    Nothing,
    Batches,
    Compaction,
}

const WORKS: [(Work, &str); 3] =
    [(Work::Nothing, "nothing"), (Work::Batches, "batches"), (Work::Compaction, "flush and compaction")];

/// What all rounds of a row saw.
struct Seen {
    inserts: Latency,
    pings: Latency,
    /// Points a second of each round; empty where none were written.
    rates: Vec<f64>,
}

pub fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let mut names = names(options.series as usize);
    names.extend([WATCHED.to_owned(), ANALYSED.to_owned()]);
    let mut rows: Vec<(String, Seen)> = Vec::new();
    for is_analysed in [false, true] {
        for (_, name) in WORKS {
            let beside =
                if is_analysed { format!("{name}, a profile of {}", short(1e6)) } else { name.to_owned() };
            rows.push((beside, Seen { inserts: Latency::new(), pings: Latency::new(), rates: Vec::new() }));
        }
    }
    for _ in 0..options.rounds {
        let scratch = bench.scratch()?;
        let server = start_empty(&bench.ours, scratch.path(), &names)?;
        fill(bench, &server)?;
        let mut batches = Batches::new(options.series as usize);
        for (at, (_, seen)) in rows.iter_mut().enumerate() {
            let (work, _) = WORKS[at % WORKS.len()];
            let analysis = if at < WORKS.len() { None } else { Some(analyse(server.address)?) };
            look(bench, &server, work, &mut batches, seen)?;
            // Who leaves is not computed for.
            drop(analysis);
        }
    }
    Ok(table(&rows))
}

/// Watches one kind of work.
fn look(bench: &Bench, server: &Process, work: Work, batches: &mut Batches, seen: &mut Seen) -> Result<()> {
    let options = &bench.options;
    let form = &bench.ours.batch_forms()[0];
    let requests = match work {
        Work::Batches => batches.requests(form, options.points_each(), options.batch),
        Work::Nothing | Work::Compaction => Vec::new(),
    };
    let (rate, [inserts, pings]) = watched(server.address, [INSERT, PING], || match work {
        Work::Nothing => {
            std::thread::sleep(options.time());
            Ok(None)
        }
        Work::Batches => {
            let load = bench.batch_load(server.address, form, &requests);
            Ok(Some(measure(server, &load, options.batch)?.rate()))
        }
        Work::Compaction => {
            exchange(server.address, Framing::Text, b"FLUSH\n", 1)?;
            std::thread::sleep(options.time());
            Ok(None)
        }
    })?;
    seen.inserts.add(&inserts);
    seen.pings.add(&pings);
    seen.rates.extend(rate);
    Ok(())
}

/// Asks for a long analysis; it ends when the connection does.
fn analyse(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("MOTIF {ANALYSED} {WINDOW} 1\n").as_bytes())?;
    // Until it has read its points.
    std::thread::sleep(Duration::from_secs(1));
    Ok(stream)
}

fn fill(bench: &Bench, server: &Process) -> Result<()> {
    let form = &bench.ours.batch_forms()[0];
    let points: Vec<_> = Walk::new(0).take(ANALYSED_POINTS).collect();
    let mut requests = [Requests::default()];
    for some in points.chunks(bench.options.batch as usize) {
        requests[0].push(|out| (form.encode)(ANALYSED, some, out));
    }
    drive(&bench.batch_load(server.address, form, &requests))?;
    bench.ours.settle(server, bench.options.idle())
}

fn table(rows: &[(String, Seen)]) -> Table {
    let head = [
        "beside",
        "INSERT p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "PING p50 ms",
        "p99 ms",
        "max ms",
        "p99 of that without profile",
        "points/s",
        "of that without profile",
    ];
    let mut table = Table::new("I: an insert and a PING every millisecond, beside other work", &head);
    for (at, (beside, seen)) in rows.iter().enumerate() {
        let (_, without) = &rows[at % WORKS.len()];
        let (rate, rate_without) = (median(&seen.rates), median(&without.rates));
        let p99 = seen.pings.quantile_ms(0.99);
        let mut cells = vec![beside.clone()];
        cells.extend([0.5, 0.95, 0.99].map(|quantile| milliseconds(seen.inserts.quantile_ms(quantile))));
        cells.push(milliseconds(seen.inserts.max_ms()));
        cells.extend([seen.pings.quantile_ms(0.5), p99, seen.pings.max_ms()].map(milliseconds));
        cells.push(times(p99 / without.pings.quantile_ms(0.99)));
        cells.push(rate.map_or("–".to_owned(), short));
        cells.push(rate.zip(rate_without).map_or("–".to_owned(), |(rate, without)| times(rate / without)));
        table.row(cells);
    }
    table
}

fn median(rates: &[f64]) -> Option<f64> {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
