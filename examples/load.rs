//! Drives a running server: N connections, P requests in flight on each, and prints
//! throughput and latencies.
//!
//! ```text
//! cargo run --release --example load -- --connections 8 --pipeline 16 --seconds 5 insert
//! cargo run --release --example load -- batch --batch 1000 --series 100 --points 10000000
//! cargo run --release --example load -- query --rows 1000
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    /// `PING`.
    Ping,
    /// Single points.
    Insert,
    /// Batches, in columns.
    Batch,
    /// Ranges at random places, of series that `batch` filled.
    Query,
}

/// Drives a running server and prints throughput and latencies.
#[derive(Debug, Parser)]
struct Options {
    work: Work,
    #[arg(long, default_value = "127.0.0.1:6380")]
    address: String,
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 16)]
    pipeline: usize,
    /// How long to go on, where --points is not reached before.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Points to write in all.
    #[arg(long, default_value_t = u64::MAX)]
    points: u64,
    /// Series to spread over.
    #[arg(long, default_value_t = 100)]
    series: u64,
    /// Points of a batch.
    #[arg(long, default_value_t = 1000)]
    batch: u64,
    /// Rows of a query's answer.
    #[arg(long, default_value_t = 1000)]
    rows: u64,
    /// Points that each series has; for queries.
    #[arg(long, default_value_t = 100_000)]
    series_points: u64,
}

const START_NS: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 10_000_000_000;

/// SplitMix64: good enough to jitter with, and repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What one connection sends: a random walk with two decimals, every 10 s with jitter.
struct Source {
    options: std::sync::Arc<Options>,
    random: Random,
    /// Series of this connection, each with its next point and its level in hundredths.
    series: Vec<(u64, u64, i64)>,
    at: usize,
}

impl Source {
    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let count = self.series.len();
        let (options, random) = (&self.options, &mut self.random);
        self.at = (self.at + 1) % count;
        let (series, next, level) = &mut self.series[self.at];
        let mut point = |random: &mut Random| {
            let jitter = (random.next() % 2_000_000_000) as i64 - 1_000_000_000;
            let timestamp = START_NS + *next as i64 * STEP_NS + jitter;
            *next += 1;
            *level += (random.next() % 201) as i64 - 100;
            (timestamp, *level as f64 / 100.0)
        };
        match options.work {
            Work::Ping => {
                out.extend_from_slice(b"PING\n");
                0
            }
            Work::Insert => {
                let (timestamp, value) = point(random);
                // Writing to memory can't fail.
                let _ = writeln!(out, "INSERT_AT load_{series} {timestamp} {value}");
                1
            }
            Work::Batch => {
                let points: Vec<(i64, f64)> = (0..options.batch).map(|_| point(random)).collect();
                let _ = write!(
                    out,
                    "{{\"type\":\"BatchInsert\",\"data\":{{\"series\":\"load_{series}\",\"timestamps_ns\":["
                );
                for (at, (timestamp, _)) in points.iter().enumerate() {
                    let _ = write!(out, "{}{timestamp}", if at > 0 { "," } else { "" });
                }
                out.extend_from_slice(b"],\"values\":[");
                for (at, (_, value)) in points.iter().enumerate() {
                    let _ = write!(out, "{}{value}", if at > 0 { "," } else { "" });
                }
                out.extend_from_slice(b"]}}\n");
                options.batch
            }
            Work::Query => {
                let series = random.next() % options.series;
                let first = random.next() % options.series_points.saturating_sub(options.rows).max(1);
                let start = START_NS + first as i64 * STEP_NS;
                let end = start + options.rows as i64 * STEP_NS;
                let _ = writeln!(out, "QUERY_RANGE load_{series} {start} {end}");
                0
            }
        }
    }
}

fn read_reply(reader: &mut impl BufRead, line: &mut String) -> std::io::Result<u64> {
    line.clear();
    reader.read_line(line)?;
    if line.starts_with('{') {
        assert!(line.starts_with("{\"ok\":true"), "{line}");
        return Ok(0);
    }
    let rows: u64 = line
        .strip_prefix("OK ")
        .and_then(|rest| rest.split([' ', '\n']).next()?.parse().ok())
        .unwrap_or_else(|| panic!("the server says: {line}"));
    for _ in 0..rows {
        line.clear();
        reader.read_line(line)?;
    }
    Ok(rows)
}

fn run(mut source: Source, until: Instant, written: &AtomicU64) -> std::io::Result<(Vec<Duration>, u64)> {
    let options = source.options.clone();
    let mut stream = TcpStream::connect(&options.address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 20, stream.try_clone()?);
    let (mut line, mut requests, mut latencies, mut rows) = (String::new(), Vec::new(), Vec::new(), 0);
    while Instant::now() < until && written.load(Ordering::Relaxed) < options.points {
        requests.clear();
        let mut points = 0;
        for _ in 0..options.pipeline {
            points += source.next(&mut requests);
        }
        let sent = Instant::now();
        stream.write_all(&requests)?;
        for _ in 0..options.pipeline {
            rows += read_reply(&mut reader, &mut line)?;
            latencies.push(sent.elapsed());
        }
        written.fetch_add(points, Ordering::Relaxed);
    }
    Ok((latencies, rows))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = std::sync::Arc::new(Options::parse());
    if matches!(options.work, Work::Insert | Work::Batch) {
        let mut stream = TcpStream::connect(&options.address)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        for series in 0..options.series {
            stream.write_all(format!("CREATE load_{series} 1 IF NOT EXISTS\n").as_bytes())?;
            read_reply(&mut reader, &mut line)?;
        }
    }
    let written = AtomicU64::new(0);
    let started = Instant::now();
    let until = started + Duration::from_secs(options.seconds);
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.connections)
            .map(|connection| {
                let mut series: Vec<(u64, u64, i64)> = (0..options.series)
                    .filter(|series| series % options.connections == connection)
                    .map(|series| (series, 0, 0))
                    .collect();
                if series.is_empty() {
                    series.push((connection % options.series, connection << 32, 0));
                }
                let source =
                    Source { options: options.clone(), random: Random(connection + 1), series, at: 0 };
                let written = &written;
                scope.spawn(move || run(source, until, written))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| std::io::Error::other("a connection failed"))?)
            .collect::<std::io::Result<Vec<_>>>()
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let rows: u64 = results.iter().map(|(_, rows)| rows).sum();
    let mut latencies: Vec<Duration> = results.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    let percentile = |p: f64| {
        let at = ((latencies.len() as f64 * p) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    println!(
        "{:?}: {} connections x {} in flight: {:.0} requests/s, {:.0} points written/s, {:.0} rows read/s; latency ms p50 \
         {:.3} p95 {:.3} p99 {:.3} max {:.3}; {seconds:.1} s",
        options.work,
        options.connections,
        options.pipeline,
        latencies.len() as f64 / seconds,
        written.load(Ordering::Relaxed) as f64 / seconds,
        rows as f64 / seconds,
        percentile(0.5),
        percentile(0.95),
        percentile(0.99),
        percentile(1.0),
    );
    Ok(())
}
