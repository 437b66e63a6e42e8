//! TSDB Vector.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{BatchForm, PointForm, RangeForm, Subject, first_number, push_float, push_int, push_list};
use crate::Result;
use crate::data::Point;
use crate::driver::exchange;
use crate::framing::Framing;
use crate::process::{Process, spawn};

/// Our server program.
#[derive(Debug)]
pub struct Ours {
    program: PathBuf,
}

impl Ours {
    /// The program at a path, or that beside this one.
    pub fn find(program: Option<&Path>) -> Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe()?.with_file_name("tsdb_server"),
        };
        if !program.exists() {
            let hint = "build it with `cargo build --release --bins`, or name it with --server";
            return Err(format!("{} does not exist; {hint}", program.display()).into());
        }
        Ok(Self { program })
    }

    /// Starts it with settings of one's own.
    pub fn start_with(&self, dir: &Path, args: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TSDB_") {
                command.env_remove(name);
            }
        }
        command.env("TSDB_METRICS_PORT", "0").env("RUST_LOG", "warn");
        command.arg("--data-dir").arg(dir).args(["--port", "0"]).args(args);
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(output) = &mut child.stdout {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim().strip_prefix("listening on ").and_then(|at| at.parse().ok()) {
            Some(address) => Ok(Process::adopt(child, address)),
            None => {
                Err(format!("{} said '{}' instead of its address", self.program.display(), line.trim())
                    .into())
            }
        }
    }
}

/// What the server says about a JSON request.
pub fn ask(address: SocketAddr, request: &str) -> Result<Value> {
    let answer = exchange(address, Framing::Json, format!("{request}\n").as_bytes(), 1)?;
    let mut answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["data"].take())
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "TSDB Vector"
    }

    fn version(&self) -> Result<String> {
        let output = Command::new(&self.program).arg("--version").output()?;
        Ok(first_number(String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn start(&self, dir: &Path) -> Result<Process> {
        self.start_with(dir, &[])
    }

    fn prepare(&self, address: SocketAddr, series: &[String]) -> Result<()> {
        let requests: String =
            series.iter().map(|series| format!("CREATE {series} 1 IF NOT EXISTS\n")).collect();
        // Pieces, so that neither side's buffers are full of what the other does not read.
        let mut rest = requests.as_str();
        while !rest.is_empty() {
            let end = rest.match_indices('\n').nth(999).map_or(rest.len(), |(at, _)| at + 1);
            let (piece, after) = rest.split_at(end);
            exchange(address, Framing::Text, piece.as_bytes(), piece.lines().count() as u64)?;
            rest = after;
        }
        Ok(())
    }

    fn batch_forms(&self) -> &[BatchForm] {
        &[BatchForm {
            name: "JSON",
            framing: Framing::Json,
            answers_points: false,
            pipeline: 8,
            sparing: 1,
            encode: |series, points, out| {
                out.extend_from_slice(b"{\"type\":\"BatchInsert\",\"data\":{\"series\":\"");
                out.extend_from_slice(series.as_bytes());
                out.extend_from_slice(b"\",\"timestamps_ns\":[");
                push_list(out, points, |out, point| push_int(out, point.time_ms * 1_000_000));
                out.extend_from_slice(b"],\"values\":[");
                push_list(out, points, |out, point| push_float(out, point.value));
                out.extend_from_slice(b"]}}\n");
            },
        }]
    }

    fn point_forms(&self) -> &[PointForm] {
        &[PointForm {
            name: "INSERT",
            framing: Framing::Text,
            counted: true,
            encode: |series, value, out| {
                out.extend_from_slice(b"INSERT ");
                out.extend_from_slice(series.as_bytes());
                out.push(b' ');
                push_float(out, value);
                out.push(b'\n');
            },
        }]
    }

    fn range_forms(&self) -> &[RangeForm] {
        &[
            RangeForm {
                name: "text",
                framing: Framing::Text,
                tells_rows: true,
                encode: |series, start_ms, end_ms, out| {
                    let (start_ns, end_ns) = (start_ms * 1_000_000, end_ms * 1_000_000);
                    out.extend_from_slice(format!("QUERY_RANGE {series} {start_ns} {end_ns}\n").as_bytes());
                },
                decode: |answer| std::str::from_utf8(answer)?.lines().skip(1).map(text_point).collect(),
            },
            RangeForm {
                name: "JSON",
                framing: Framing::Json,
                tells_rows: false,
                encode: |series, start_ms, end_ms, out| {
                    let (start_ns, end_ns) = (start_ms * 1_000_000, end_ms * 1_000_000);
                    let request = format!(
                        "{{\"type\":\"QueryRange\",\"data\":{{\"series\":\"{series}\",\"start_ns\":{start_ns},\
                         \"end_ns\":{end_ns}}}}}\n"
                    );
                    out.extend_from_slice(request.as_bytes());
                },
                decode: |answer| {
                    let answer: Value = serde_json::from_slice(answer)?;
                    let points = answer["data"]["points"].as_array().ok_or("the reply has no points")?;
                    points
                        .iter()
                        .map(|point| {
                            let time = point["timestamp_ns"].as_i64().ok_or("a point has no time")?;
                            let value = point["values"][0].as_f64().ok_or("a point has no value")?;
                            Ok(Point { time_ms: time / 1_000_000, value })
                        })
                        .collect()
                },
            },
        ]
    }

    fn count(&self, address: SocketAddr, _series: &[String]) -> Result<u64> {
        let answer = exchange(address, Framing::Text, b"LIST\n", 1)?;
        let count = |line: &str| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?);
        std::str::from_utf8(&answer)?.lines().skip(1).map(count).sum()
    }

    fn settle(&self, process: &Process, idle: Duration) -> Result<()> {
        exchange(process.address, Framing::Text, b"FLUSH\n", 1)?;
        process.wait_until_idle(idle)
    }

    fn holds_data(&self, path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "seg") || path.ends_with("MANIFEST")
    }
}

fn text_point(line: &str) -> Result<Point> {
    let (time, value) = line.split_once(' ').ok_or("a row has no value")?;
    Ok(Point { time_ms: time.parse::<i64>()? / 1_000_000, value: value.parse()? })
}
