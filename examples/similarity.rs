//! Loads a running server with searches for similar windows of an electrocardiogram, and
//! prints how many it answers in a second, how soon, and how many of the true matches it
//! finds.
//!
//! ```text
//! cargo run --release --bin tsdb_server -- --data-dir /tmp/similarity --port 6390
//! cargo run --release --example similarity -- --address 127.0.0.1:6390
//! ```
//!
//! With `--dump <dir>` it writes the vectors and queries for `benches/peers/similarity.py`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tsdb_vector::base::Rng;

/// Searches a running server for windows of an electrocardiogram.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value = "127.0.0.1:6380")]
    address: String,
    /// A CSV file with a value in the second column.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/ecg_mitbih_208.csv"))]
    csv: PathBuf,
    #[arg(long, default_value_t = 100_000)]
    windows: usize,
    #[arg(long, default_value_t = 128)]
    dimension: usize,
    /// Windows of the electrocardiogram, or random vectors, whose neighbours are hardly nearer than
    /// all others.
    #[arg(long, value_enum, default_value_t = Kind::Ecg)]
    vectors: Kind,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections of each measurement.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    connections: Vec<usize>,
    #[arg(long, default_value_t = 0.99)]
    recall_target: f64,
    /// Searches what an earlier run with the same options has left in the server.
    #[arg(long)]
    keep: bool,
    /// Where to write `vectors.f32` and `queries.f32`.
    #[arg(long)]
    dump: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Ecg,
    Gaussian,
}

/// Queries; each measurement goes through all of them, again and again.
const QUERIES: usize = 1000;
const MATCHES: usize = 10;

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), stream, line: String::new() })
    }

    /// Sends a line and reads the reply.
    fn exchange(&mut self, request: &str) -> std::io::Result<&str> {
        self.stream.write_all(request.as_bytes())?;
        self.line.clear();
        self.reader.read_line(&mut self.line)?;
        Ok(&self.line)
    }

    fn ask(&mut self, kind: &str, data: Value) -> Result<Value, Failed> {
        let request = format!("{}\n", json!({"type": kind, "data": data}));
        let mut reply: Value = serde_json::from_str(self.exchange(&request)?)?;
        if reply["ok"] != true {
            return Err(format!("{kind}: {}", reply["error"]).into());
        }
        Ok(reply["data"].take())
    }
}

/// Numbers from which vectors are taken: one after each value of the recording, or one after each
/// `dimension` random numbers.
fn numbers(options: &Options, seed: u64) -> Result<(Vec<f64>, usize), Failed> {
    let Options { windows, dimension, .. } = *options;
    match options.vectors {
        Kind::Ecg => Ok((recording(options, windows + dimension - 1, seed)?, 1)),
        Kind::Gaussian => {
            let mut rng = Rng::new(seed);
            // Box and Muller.
            let mut normal = || {
                let (radius, angle) =
                    (-2.0 * (1.0 - rng.unit_f64()).ln(), std::f64::consts::TAU * rng.unit_f64());
                radius.sqrt() * angle.cos()
            };
            Ok(((0..windows * dimension).map(|_| normal()).collect(), dimension))
        }
    }
}

/// The recording, again and again with a little noise, so that no two beats are the same.
fn recording(options: &Options, points: usize, seed: u64) -> Result<Vec<f64>, Failed> {
    let text = std::fs::read_to_string(&options.csv)?;
    let values: Vec<f64> =
        text.lines().skip(1).filter_map(|line| line.split(',').nth(1)?.parse().ok()).collect();
    if values.is_empty() {
        return Err(format!("{} has no numbers in its second column", options.csv.display()).into());
    }
    let mut rng = Rng::new(seed);
    Ok(values.iter().cycle().take(points).map(|value| value + 0.01 * (rng.unit_f64() - 0.5)).collect())
}

fn write_floats(path: PathBuf, rows: &[&[f64]]) -> std::io::Result<()> {
    let bytes: Vec<u8> =
        rows.iter().flat_map(|row| row.iter()).flat_map(|v| (*v as f32).to_le_bytes()).collect();
    std::fs::write(path, bytes)
}

fn request(vector: &[f64], exact: bool, recall_target: f64) -> String {
    let data = json!({
        "series": "ecg_windows", "query_vector": vector, "limit": MATCHES, "exact": exact,
        "recall_target": recall_target, "include_values": false,
    });
    format!("{}\n", json!({"type": "FindSimilar", "data": data}))
}

fn fill(client: &mut Client, options: &Options, vectors: &[&[f64]]) -> Result<(), Failed> {
    // What an earlier run left.
    let _ = client.ask("DropSeries", json!({"name": "ecg_windows"}));
    client.ask("CreateSeries", json!({"name": "ecg_windows", "dimension": options.dimension}))?;
    for (at, part) in vectors.chunks(2000).enumerate() {
        let times: Vec<usize> = (at * 2000..at * 2000 + part.len()).collect();
        client
            .ask("BatchInsert", json!({"series": "ecg_windows", "timestamps_ns": times, "values": part}))?;
    }
    client.ask("Flush", json!({}))?;
    Ok(())
}

/// Waits until all that is worth an index has one, and says how long that took.
fn wait_for_index(client: &mut Client) -> Result<Option<Duration>, Failed> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(10) {
        let stats = client.ask("GetStats", json!({"series": "all"}))?;
        if stats["vector_rows"] == stats["vector_rows_indexed"] && stats["vector_index_bytes"] != 0 {
            return Ok(Some(started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(None)
}

/// The part of the true matches that were found, where one as similar counts as well; and
/// the vectors that were looked at.
fn recall(client: &mut Client, options: &Options, queries: &[&[f64]]) -> Result<(f64, f64), Failed> {
    let (mut found, mut wanted, mut scanned) = (0, 0, 0);
    for query in queries.iter().take(300) {
        let mut similarities = |exact| -> Result<(Vec<f64>, HashSet<i64>, u64), Failed> {
            let reply: Value =
                serde_json::from_str(client.exchange(&request(query, exact, options.recall_target))?)?;
            let matches = reply["data"]["matches"].as_array().ok_or_else(|| reply.to_string())?;
            let scores = matches.iter().filter_map(|row| row["similarity"].as_f64()).collect();
            let times = matches.iter().filter_map(|row| row["timestamp_ns"].as_i64()).collect();
            Ok((scores, times, reply["data"]["scanned"].as_u64().unwrap_or_default()))
        };
        let (exact, _, _) = similarities(true)?;
        let (quick, _, looked) = similarities(false)?;
        let least = exact.last().copied().unwrap_or_default();
        found += quick.iter().filter(|&&score| score >= least).count();
        wanted += exact.len();
        scanned += looked;
    }
    Ok((found as f64 / wanted as f64, scanned as f64 / queries.len().min(300) as f64))
}

/// Answers a second, and the latency that half and that nineteen of twenty stay below, in
/// milliseconds.
fn load(options: &Options, connections: usize, requests: &[String]) -> Result<(f64, f64, f64), Failed> {
    let started = Instant::now();
    let end = started + Duration::from_secs(options.seconds);
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|at| {
                scope.spawn(move || -> Result<Vec<Duration>, Failed> {
                    let mut client = Client::connect(&options.address)?;
                    let mut latencies = Vec::new();
                    for request in requests.iter().cycle().skip(at * 37) {
                        let before = Instant::now();
                        if before >= end {
                            break;
                        }
                        let reply = client.exchange(request)?;
                        if !reply.starts_with("{\"ok\":true") && !reply.contains("\"ok\":true") {
                            return Err(reply.to_owned().into());
                        }
                        latencies.push(before.elapsed());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        joined.collect::<Result<Vec<_>, Failed>>()
    })?
    .concat();
    latencies.sort_unstable();
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1e3;
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, at(0.5), at(0.95)))
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let (values, step) = numbers(&options, 1)?;
    let vectors: Vec<&[f64]> = values.windows(options.dimension).step_by(step).collect();
    let (others, step) = numbers(&options, 2)?;
    let mut rng = Rng::new(3);
    let queries: Vec<&[f64]> = (0..QUERIES)
        .map(|_| {
            let start = step * rng.below(options.windows as u64) as usize;
            &others[start..start + options.dimension]
        })
        .collect();
    if let Some(dir) = &options.dump {
        std::fs::create_dir_all(dir)?;
        write_floats(dir.join("vectors.f32"), &vectors)?;
        write_floats(dir.join("queries.f32"), &queries)?;
    }
    let mut client = Client::connect(&options.address)?;
    if !options.keep {
        fill(&mut client, &options, &vectors)?;
    }
    let indexed = wait_for_index(&mut client)?;
    match indexed {
        Some(after) => println!("indexed {:.1} s after the flush", after.as_secs_f64()),
        None => println!("no index: all vectors are looked at"),
    }
    let (recall, scanned) = recall(&mut client, &options, &queries)?;
    println!("recall@{MATCHES} {recall:.4}, {scanned:.0} of {} vectors looked at", vectors.len());
    println!("{:>8} {:>12} {:>12} {:>9} {:>9}", "", "connections", "answers/s", "p50 ms", "p95 ms");
    for exact in [false, true] {
        let requests: Vec<String> =
            queries.iter().map(|query| request(query, exact, options.recall_target)).collect();
        for &connections in &options.connections {
            let (rate, half, most) = load(&options, connections, &requests)?;
            let name = if exact { "exact" } else { "index" };
            println!("{name:>8} {connections:>12} {rate:>12.0} {half:>9.2} {most:>9.2}");
        }
    }
    Ok(())
}
