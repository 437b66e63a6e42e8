//! Attacks a running server in one way after the other, and prints what a well-behaved
//! client feels of each: the 99th percentile of its latencies, quiet and attacked, in
//! turns within the same minute.
//!
//! ```text
//! cargo run --release --bin tsdb_server -- --data-dir /tmp/hostile --port 6390
//! cargo run --release --example hostile -- --address 127.0.0.1:6390
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

/// Attacks a running server and prints what another client feels of it.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value = "127.0.0.1:6380")]
    address: String,
    /// Milliseconds of each quiet and each attacked stretch.
    #[arg(long, default_value_t = 1000)]
    stretch: u64,
    /// Pairs of stretches for each attack; the medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only attacks whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

/// Rows that the well-behaved client reads at a time.
const ROWS: i64 = 10;
/// Points of the series that attackers read.
const BIG: i64 = 100_000;

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), stream })
    }

    /// Sends a command and reads its whole reply.
    fn ask(&mut self, command: &str) -> std::io::Result<bool> {
        self.stream.write_all(command.as_bytes())?;
        self.stream.write_all(b"\n")?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let rows = line.strip_prefix("OK ").and_then(|rest| rest.split([' ', '\n']).next()?.parse().ok());
        for _ in 0..rows.unwrap_or(0) {
            line.clear();
            self.reader.read_line(&mut line)?;
        }
        Ok(rows.is_some())
    }
}

/// One thread's part of an attack, until `stop`.
struct Attack {
    name: &'static str,
    threads: usize,
    run: fn(&str, &AtomicBool) -> std::io::Result<()>,
}

fn going(stop: &AtomicBool) -> bool {
    !stop.load(Ordering::Relaxed)
}

/// Opens connections, sends each its start, then `drip` to all now and then.
fn hold(address: &str, stop: &AtomicBool, count: usize, start: &[u8], drip: &[u8]) -> std::io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        // Whoever is cut off is cut off.
        let _ = stream.write(start);
        streams.push(stream);
    }
    while going(stop) {
        for stream in streams.iter_mut().filter(|_| !drip.is_empty()) {
            let _ = stream.write(drip);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends the same over and over, and reads what comes without looking at it.
fn flood(address: &str, stop: &AtomicBool, request: &[u8]) -> std::io::Result<()> {
    let mut sink = vec![0; 1 << 20];
    while going(stop) {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        while going(stop) && stream.write_all(request).is_ok() {
            if matches!(stream.read(&mut sink), Ok(0)) {
                break;
            }
        }
    }
    Ok(())
}

static NEXT: AtomicU64 = AtomicU64::new(0);

const ATTACKS: &[Attack] = &[
    Attack { name: "nothing (the noise)", threads: 0, run: |_, _| Ok(()) },
    Attack { name: "1,000 silent connections", threads: 1, run: |at, stop| hold(at, stop, 1000, b"", b"") },
    Attack {
        name: "200 commands, a byte at a time",
        threads: 1,
        run: |at, stop| hold(at, stop, 200, b"INSERT", b"x"),
    },
    Attack {
        name: "200 HTTP heads, a byte at a time",
        threads: 1,
        run: |at, stop| hold(at, stop, 200, b"POST / HTTP/1.1\r\n", b"x"),
    },
    Attack {
        name: "50 exports that nobody reads",
        threads: 1,
        run: |at, stop| hold(at, stop, 50, b"EXPORT hostile_big\nEXPORT hostile_big\n", b""),
    },
    Attack {
        name: "connections opened and dropped",
        threads: 1,
        run: |at, stop| {
            while going(stop) {
                drop(TcpStream::connect(at));
                std::thread::sleep(Duration::from_micros(500));
            }
            Ok(())
        },
    },
    Attack {
        name: "lines that are no commands",
        threads: 1,
        run: |at, stop| flood(at, stop, &b"NONSENSE x\n".repeat(200)),
    },
    Attack {
        name: "deep JSON of 4 MiB",
        threads: 1,
        run: |at, stop| {
            let deep =
                [b"{\"type\":\"Ping\",\"data\":".to_vec(), vec![b'['; 4 << 20], b"\n".to_vec()].concat();
            flood(at, stop, &deep)
        },
    },
    Attack {
        name: "smuggled HTTP requests",
        threads: 1,
        run: |at, stop| {
            flood(at, stop, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        },
    },
    Attack { name: "wrong tokens", threads: 1, run: |at, stop| flood(at, stop, &b"AUTH wrong\n".repeat(20)) },
    Attack {
        name: "new label sets",
        threads: 1,
        run: |at, stop| {
            while going(stop) {
                let mut requests = String::new();
                for _ in 0..50 {
                    let n = NEXT.fetch_add(1, Ordering::Relaxed);
                    requests.push_str(&format!("INSERT_AT hostile_labels {n} 1 request={n}\n"));
                }
                flood_once(at, &requests)?;
            }
            Ok(())
        },
    },
    Attack {
        name: "whole series read over and over",
        threads: 1,
        run: |at, stop| {
            let mut client = Client::connect(at)?;
            while going(stop) {
                client.ask("QUERY_RANGE hostile_big 0 99999999")?;
            }
            Ok(())
        },
    },
    Attack {
        name: "matrix profiles over and over",
        threads: 1,
        run: |at, stop| {
            let mut client = Client::connect(at)?;
            while going(stop) {
                client.ask("ANOMALY hostile_small 50 1")?;
            }
            Ok(())
        },
    },
];

fn flood_once(address: &str, requests: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(requests.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// What one well-behaved client feels for a while: an insert, a small query, a pause.
fn measure(client: &mut Client, at: &mut i64, stretch: Duration) -> Result<f64, Failed> {
    let mut latencies = Vec::new();
    let began = Instant::now();
    while began.elapsed() < stretch {
        *at += 1;
        let sent = Instant::now();
        let inserted = client.ask(&format!("INSERT_AT hostile_good {at} 1.5"))?;
        latencies.push(sent.elapsed());
        let sent = Instant::now();
        let read = client.ask(&format!("QUERY_RANGE hostile_good {} {at}", *at - ROWS + 1))?;
        latencies.push(sent.elapsed());
        if !(inserted && read) {
            return Err("the well-behaved client was refused".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).ok_or("nothing was measured")?;
    Ok(p99.as_secs_f64() * 1e3)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn prepare(client: &mut Client) -> Result<(), Failed> {
    for series in ["hostile_good", "hostile_big", "hostile_small", "hostile_labels"] {
        client.ask(&format!("CREATE {series} 1 IF NOT EXISTS"))?;
    }
    for (series, points) in [("hostile_big", BIG), ("hostile_small", 5000)] {
        for start in (0..points).step_by(5000) {
            let list =
                |of: &dyn Fn(i64) -> String| (start..start + 5000).map(of).collect::<Vec<_>>().join(",");
            let (times, values) = (list(&|at| at.to_string()), list(&|at| (at * at % 997).to_string()));
            client.ask(&format!(
                "{{\"type\":\"BatchInsert\",\"data\":{{\"series\":\"{series}\",\"timestamps_ns\":[{times}],\"values\":[{values}]}}}}"
            ))?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let mut client = Client::connect(&options.address)?;
    prepare(&mut client)?;
    let stretch = Duration::from_millis(options.stretch);
    let mut at = 0;
    measure(&mut client, &mut at, stretch)?;
    println!("| attack | p99 quiet, ms | p99 attacked, ms | ratio |\n| --- | --- | --- | --- |");
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(&options.only)) {
        let (mut quiet, mut attacked) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            quiet.push(measure(&mut client, &mut at, stretch)?);
            let stop = AtomicBool::new(false);
            let p99 = std::thread::scope(|scope| {
                for _ in 0..attack.threads {
                    // An attacker who is thrown out has ended.
                    scope.spawn(|| (attack.run)(&options.address, &stop));
                }
                std::thread::sleep(Duration::from_millis(100));
                let p99 = measure(&mut client, &mut at, stretch);
                stop.store(true, Ordering::Relaxed);
                p99
            })?;
            attacked.push(p99);
            std::thread::sleep(Duration::from_millis(200));
        }
        let (quiet, attacked) = (median(&mut quiet), median(&mut attacked));
        println!("| {} | {quiet:.2} | {attacked:.2} | {:.2} |", attack.name, attacked / quiet);
    }
    Ok(())
}
