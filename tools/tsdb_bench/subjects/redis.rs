//! Redis streams, with a log that is synced before each answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{BatchForm, PointForm, RangeForm, Subject, first_number, push_float, push_int, version_of};
use crate::Result;
use crate::data::Point;
use crate::driver::exchange;
use crate::framing::Framing;
use crate::process::{Process, free_address};

const PROGRAM: &str = "redis-server";

/// Redis.
#[derive(Debug)]
pub struct Redis;

/// Appends a command.
fn push_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.push(b'*');
    push_int(out, words.len() as i64);
    out.extend_from_slice(b"\r\n");
    for word in words {
        out.push(b'$');
        push_int(out, word.len() as i64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(value: f64) -> Vec<u8> {
    let mut text = Vec::new();
    push_float(&mut text, value);
    text
}

impl Subject for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn version(&self) -> Result<String> {
        Ok(first_number(&version_of(PROGRAM, &["--version"], "redis-server")?))
    }

    fn start(&self, dir: &Path) -> Result<Process> {
        let address = free_address()?;
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--dir"]).arg(dir);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        Process::start(&mut command, address)
    }

    fn prepare(&self, address: SocketAddr, _series: &[String]) -> Result<()> {
        exchange(address, Framing::Resp, b"PING\r\n", 1).map(drop)
    }

    fn batch_forms(&self) -> &[BatchForm] {
        &[BatchForm {
            name: "XADD",
            framing: Framing::Resp,
            answers_points: true,
            pipeline: 1,
            sparing: 10,
            encode: |series, points, out| {
                for point in points {
                    let id = format!("{}-0", point.time_ms);
                    let value = number(point.value);
                    push_command(out, &[b"XADD", series.as_bytes(), id.as_bytes(), b"v", &value]);
                }
            },
        }]
    }

    fn point_forms(&self) -> &[PointForm] {
        &[
            PointForm {
                name: "XADD",
                framing: Framing::Resp,
                counted: true,
                encode: |series, value, out| {
                    push_command(out, &[b"XADD", series.as_bytes(), b"*", b"v", &number(value)]);
                },
            },
            PointForm {
                name: "SET",
                framing: Framing::Resp,
                counted: false,
                encode: |series, value, out| {
                    push_command(out, &[b"SET", format!("set_{series}").as_bytes(), &number(value)]);
                },
            },
        ]
    }

    fn range_forms(&self) -> &[RangeForm] {
        &[RangeForm {
            name: "XRANGE",
            framing: Framing::Resp,
            tells_rows: true,
            encode: |series, start_ms, end_ms, out| {
                let (start, end) = (start_ms.to_string(), end_ms.to_string());
                push_command(out, &[b"XRANGE", series.as_bytes(), start.as_bytes(), end.as_bytes()]);
            },
            decode: |answer| {
                let lines: Vec<&str> = std::str::from_utf8(answer)?.lines().skip(1).collect();
                lines
                    .chunks_exact(8)
                    .map(|entry| {
                        let time = entry[2].split('-').next().unwrap_or_default();
                        Ok(Point { time_ms: time.parse()?, value: entry[7].parse()? })
                    })
                    .collect()
            },
        }]
    }

    fn count(&self, address: SocketAddr, series: &[String]) -> Result<u64> {
        let mut request = Vec::new();
        for series in series {
            push_command(&mut request, &[b"XLEN", series.as_bytes()]);
        }
        let answer = exchange(address, Framing::Resp, &request, series.len() as u64)?;
        let count = |line: &str| Ok(line.trim_start_matches(':').parse::<u64>()?);
        std::str::from_utf8(&answer)?.lines().map(count).sum()
    }

    fn settle(&self, process: &Process, idle: Duration) -> Result<()> {
        // It may be rewriting its log of its own accord.
        let e = exchange(process.address, Framing::Resp, b"BGREWRITEAOF\r\n", 1).err();
        if let Some(e) = e.filter(|e| !e.to_string().contains("in progress")) {
            return Err(e);
        }
        loop {
            // The child that rewrites is another process, so being idle tells nothing.
            let info = exchange(process.address, Framing::Resp, b"INFO persistence\r\n", 1)?;
            let info = String::from_utf8_lossy(&info);
            if info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0") {
                return process.wait_until_idle(idle);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn holds_data(&self, path: &Path) -> bool {
        path.is_file()
    }
}
