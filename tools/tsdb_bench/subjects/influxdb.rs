//! InfluxDB 1, which syncs its log before each answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{BatchForm, RangeForm, Subject, first_number, push_float, push_int, version_of};
use crate::Result;
use crate::data::Point;
use crate::framing::Framing;
use crate::http;
use crate::process::{Process, free_address};

const PROGRAM: &str = "influxd";

/// InfluxDB.
#[derive(Debug)]
pub struct InfluxDb;

/// Points in its line protocol.
pub fn lines(series: &str, points: &[Point]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(points.len() * (series.len() + 32));
    for point in points {
        lines.extend_from_slice(series.as_bytes());
        lines.extend_from_slice(b" v=");
        push_float(&mut lines, point.value);
        lines.push(b' ');
        push_int(&mut lines, point.time_ms * 1_000_000);
        lines.push(b'\n');
    }
    lines
}

/// The path that asks for a query's answer.
fn query(text: &str) -> String {
    format!("/query?db=bench&epoch=ms&q={}", http::escaped(text))
}

/// The rows of an answer, of all series.
fn rows(answer: &str) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(answer)?;
    if let Some(e) = answer["results"][0]["error"].as_str() {
        return Err(format!("InfluxDB says: {e}").into());
    }
    let series = answer["results"][0]["series"].as_array().cloned().unwrap_or_default();
    Ok(series.iter().filter_map(|series| series["values"].as_array()).flatten().cloned().collect())
}

impl Subject for InfluxDb {
    fn name(&self) -> &'static str {
        "InfluxDB"
    }

    fn version(&self) -> Result<String> {
        Ok(first_number(&version_of(PROGRAM, &["version"], "influxdb")?))
    }

    fn start(&self, dir: &Path) -> Result<Process> {
        let (http, rpc) = (free_address()?, free_address()?);
        let dir_text = dir.display();
        // No limits on series, no logs, and full compactions soon instead of after hours.
        let config = format!(
            "reporting-disabled = true\nbind-address = \"{rpc}\"\n\
             [meta]\ndir = \"{dir_text}/meta\"\n\
             [data]\ndir = \"{dir_text}/data\"\nwal-dir = \"{dir_text}/wal\"\nquery-log-enabled = false\n\
             max-series-per-database = 0\nmax-values-per-tag = 0\n\
             cache-snapshot-write-cold-duration = \"5s\"\ncompact-full-write-cold-duration = \"5s\"\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"{http}\"\nlog-enabled = false\n\
             [logging]\nlevel = \"error\"\nsuppress-logo = true\n"
        );
        let path = dir.join("influxdb.conf");
        std::fs::write(&path, config)?;
        Process::start(Command::new(PROGRAM).args(["run", "-config"]).arg(path), http)
    }

    fn prepare(&self, address: SocketAddr, _series: &[String]) -> Result<()> {
        http::post(address, &query("CREATE DATABASE bench"), b"").map(drop)
    }

    fn batch_forms(&self) -> &[BatchForm] {
        &[BatchForm {
            name: "line protocol",
            framing: Framing::Http,
            answers_points: false,
            pipeline: 1,
            sparing: 1,
            encode: |series, points, out| http::push_post(out, "/write?db=bench", &lines(series, points)),
        }]
    }

    fn range_forms(&self) -> &[RangeForm] {
        &[RangeForm {
            name: "SELECT",
            framing: Framing::Http,
            tells_rows: false,
            encode: |series, start_ms, end_ms, out| {
                let text =
                    format!("SELECT v FROM {series} WHERE time >= {start_ms}ms AND time <= {end_ms}ms");
                http::push_get(out, &query(&text));
            },
            decode: |answer| {
                rows(&http::body(answer)?)?
                    .iter()
                    .map(|row| {
                        let time_ms = row[0].as_i64().ok_or("a row has no time")?;
                        Ok(Point { time_ms, value: row[1].as_f64().ok_or("a row has no value")? })
                    })
                    .collect()
            },
        }]
    }

    fn count(&self, address: SocketAddr, _series: &[String]) -> Result<u64> {
        let rows = rows(&http::get(address, &query("SELECT count(v) FROM /bench_.*/"))?)?;
        Ok(rows.iter().filter_map(|row| row[1].as_u64()).sum())
    }

    fn settle(&self, process: &Process, idle: Duration) -> Result<()> {
        // Its background work looks around every ten seconds.
        process.wait_until_idle(idle.max(Duration::from_secs(20)))
    }

    fn holds_data(&self, path: &Path) -> bool {
        path.iter().any(|part| part == "data")
    }
}
