//! What is measured: our server and its peers, one file each, which tells how to start it,
//! and how it says write, query and count.

mod influxdb;
pub mod ours;
mod redis;
mod victoria_metrics;

pub use influxdb::InfluxDb;
pub use ours::Ours;
pub use redis::Redis;
pub use victoria_metrics::VictoriaMetrics;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::data::Point;
use crate::framing::Framing;
use crate::options::{Options, Peer};
use crate::process::Process;

/// Longer than any server takes to answer after its start.
const START_PATIENCE: Duration = Duration::from_mins(5);

/// A way of writing batches.
#[derive(Debug, Clone, Copy)]
pub struct BatchForm {
    pub name: &'static str,
    pub framing: Framing,
    /// Whether each point has an answer of its own; else the batch has one.
    pub answers_points: bool,
    /// Batches in flight on a connection.
    pub pipeline: usize,
    /// Of the data set, one in so many points is written where speed is measured.
    pub sparing: u64,
    pub encode: fn(series: &str, points: &[Point], out: &mut Vec<u8>),
}

/// A way of writing a point now.
#[derive(Debug, Clone, Copy)]
pub struct PointForm {
    pub name: &'static str,
    pub framing: Framing,
    /// Whether what it wrote is in the count.
    pub counted: bool,
    pub encode: fn(series: &str, value: f64, out: &mut Vec<u8>),
}

/// A way of reading a range.
#[derive(Debug, Clone, Copy)]
pub struct RangeForm {
    pub name: &'static str,
    pub framing: Framing,
    /// Whether the framing tells how many rows came.
    pub tells_rows: bool,
    pub encode: fn(series: &str, start_ms: i64, end_ms: i64, out: &mut Vec<u8>),
    /// The points of an answer, to check some.
    pub decode: fn(answer: &[u8]) -> Result<Vec<Point>>,
}

/// A server to measure.
pub trait Subject {
    fn name(&self) -> &'static str;

    fn version(&self) -> Result<String>;

    /// Starts it on a directory; it may not answer yet.
    fn start(&self, dir: &Path) -> Result<Process>;

    /// Makes what must be there before the first write.
    fn prepare(&self, address: SocketAddr, series: &[String]) -> Result<()>;

    /// The first is that which fills it for other workloads.
    fn batch_forms(&self) -> &[BatchForm];

    /// None where it has no durable writes of a point.
    fn point_forms(&self) -> &[PointForm] {
        &[]
    }

    fn range_forms(&self) -> &[RangeForm];

    /// All points of the series that can be read.
    fn count(&self, address: SocketAddr, series: &[String]) -> Result<u64>;

    /// Brings everything to its final form on disk, and waits until that is done, so that
    /// the process has been idle for so long.
    fn settle(&self, process: &Process, idle: Duration) -> Result<()>;

    /// Whether a file below the data directory holds points or their index, as opposed to
    /// logs that are made ahead of use, locks and caches.
    fn holds_data(&self, path: &Path) -> bool;
}

/// Those that the options name.
pub fn peers(options: &Options) -> Result<Vec<Box<dyn Subject>>> {
    let mut peers: Vec<Box<dyn Subject>> = Vec::new();
    if options.has(Peer::VictoriaMetrics) {
        peers.push(Box::new(VictoriaMetrics));
    }
    if options.has(Peer::Influxdb) {
        peers.push(Box::new(InfluxDb));
    }
    if options.has(Peer::Redis) {
        peers.push(Box::new(Redis));
    }
    for peer in &peers {
        peer.version()?;
    }
    Ok(peers)
}

/// Starts a subject on an empty directory and gets it ready for writes.
pub fn start_empty(subject: &dyn Subject, dir: &Path, series: &[String]) -> Result<Process> {
    let mut process = subject.start(dir)?;
    wait_until(&mut process, |address| subject.prepare(address, series))?;
    Ok(process)
}

/// Tries until it works, and gives up where the server ends or takes for ever.
pub fn wait_until<T>(process: &mut Process, attempt: impl Fn(SocketAddr) -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        process.must_run()?;
        match attempt(process.address) {
            Ok(answer) => return Ok(answer),
            Err(e) if started.elapsed() > START_PATIENCE => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// What a program of a Debian package prints about its version.
fn version_of(program: &str, args: &[&str], package: &str) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}; to get it: apt-get install {package}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The word of a version's text that starts with a digit, or all of it.
fn first_number(text: &str) -> String {
    text.split([' ', '=', '\n'])
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(text)
        .to_owned()
}

/// Appends numbers with commas between them.
fn push_list<T>(out: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
}

fn push_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(number);
    // Nobody needs the ".0", and not every peer would write it.
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}
