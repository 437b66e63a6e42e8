//! Measures the server beside its peers: one command that starts them all, drives the
//! same load at each in turn, and prints what came out.
//!
//! `options` says what can be asked for; `subjects` how each server is started and spoken
//! with; `data` what is written; `driver`, `framing` and `latency` make the load;
//! `process` and `measure` look at what it costs; `workloads` has one file for each row of
//! docs/performance.md, for some of which `watch` looks how long others wait.

mod data;
mod driver;
mod framing;
mod http;
mod latency;
mod measure;
mod options;
mod process;
mod subjects;
mod table;
mod watch;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;
use crate::workloads::Bench;

/// A sentence for whoever runs the benchmark is all that an error is for.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Options::parse().scaled()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tsdb_bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let (workload, markdown) = (options.workload, options.markdown);
    let bench = Bench::new(options)?;
    println!("{}\n", machine());
    for subject in bench.subjects() {
        println!("{} {}", subject.name(), subject.version()?);
    }
    println!();
    bench.run(workload, &|table| println!("{}", table.render(markdown)))
}

/// The processor, how many threads it runs at a time, and what else runs.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let model = model.map_or("unknown processor", |(_, model)| model);
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{model}, {cores} cores, load average {load} before the run")
}
