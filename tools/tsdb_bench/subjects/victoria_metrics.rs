//! VictoriaMetrics; not durable: what it acknowledged in the last seconds is in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{BatchForm, RangeForm, Subject, first_number, push_float, push_int, push_list, version_of};
use crate::Result;
use crate::data::Point;
use crate::framing::Framing;
use crate::http;
use crate::process::{Process, free_address};

const PROGRAM: &str = "victoria-metrics";
/// After all data, in seconds since the Unix epoch, and how far before it they begin; a
/// range that begins before 1970 finds nothing.
const END_SECONDS: u64 = 1_900_000_000;
const RANGE_SECONDS: u64 = 1_000_000_000;

/// VictoriaMetrics.
#[derive(Debug)]
pub struct VictoriaMetrics;

/// A time in seconds with milliseconds.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

impl Subject for VictoriaMetrics {
    fn name(&self) -> &'static str {
        "VictoriaMetrics"
    }

    fn version(&self) -> Result<String> {
        // Debian's build does not tell; its package does.
        version_of(PROGRAM, &["--version"], "victoria-metrics")?;
        let query = ["-W", "-f", "${Version}", "victoria-metrics"];
        Ok(first_number(&version_of("dpkg-query", &query, "dpkg")?))
    }

    fn start(&self, dir: &Path) -> Result<Process> {
        let address = free_address()?;
        let mut command = Command::new(PROGRAM);
        command.arg(format!("-storageDataPath={}", dir.display()));
        command.arg(format!("-httpListenAddr={address}"));
        // It keeps a month by default, and looks back no further than that is.
        command.args(["-retentionPeriod=100y", "-loggerLevel=ERROR", "-search.maxUniqueTimeseries=10000000"]);
        Process::start(&mut command, address)
    }

    fn prepare(&self, address: SocketAddr, _series: &[String]) -> Result<()> {
        http::get(address, "/health").map(drop)
    }

    fn batch_forms(&self) -> &[BatchForm] {
        &[
            BatchForm {
                name: "JSON import",
                framing: Framing::Http,
                answers_points: false,
                pipeline: 1,
                sparing: 1,
                encode: |series, points, out| {
                    let mut body = Vec::with_capacity(points.len() * 24);
                    body.extend_from_slice(b"{\"metric\":{\"__name__\":\"");
                    body.extend_from_slice(series.as_bytes());
                    body.extend_from_slice(b"\"},\"values\":[");
                    push_list(&mut body, points, |out, point| push_float(out, point.value));
                    body.extend_from_slice(b"],\"timestamps\":[");
                    push_list(&mut body, points, |out, point| push_int(out, point.time_ms));
                    body.extend_from_slice(b"]}\n");
                    http::push_post(out, "/api/v1/import", &body);
                },
            },
            BatchForm {
                name: "line protocol",
                framing: Framing::Http,
                answers_points: false,
                pipeline: 1,
                sparing: 1,
                encode: |series, points, out| {
                    http::push_post(out, "/write", &super::influxdb::lines(series, points));
                },
            },
        ]
    }

    fn range_forms(&self) -> &[RangeForm] {
        &[RangeForm {
            name: "export",
            framing: Framing::Http,
            tells_rows: false,
            encode: |series, start_ms, end_ms, out| {
                let (start, end) = (seconds(start_ms), seconds(end_ms));
                http::push_get(out, &format!("/api/v1/export?match[]={series}&start={start}&end={end}"));
            },
            decode: |answer| {
                let mut points = Vec::new();
                for line in http::body(answer)?.lines() {
                    let line: Value = serde_json::from_str(line)?;
                    let list = |key: &str| line[key].as_array().ok_or_else(|| format!("a line has no {key}"));
                    for (time, value) in list("timestamps")?.iter().zip(list("values")?) {
                        let time_ms = time.as_i64().ok_or("a time is no number")?;
                        points.push(Point { time_ms, value: value.as_f64().ok_or("a value is no number")? });
                    }
                }
                points.sort_by_key(|point| point.time_ms);
                Ok(points)
            },
        }]
    }

    fn count(&self, address: SocketAddr, _series: &[String]) -> Result<u64> {
        // What was written last can't be read for a second otherwise.
        http::get(address, "/internal/force_flush")?;
        let query = format!("sum(count_over_time({{__name__=~\"bench_.*\"}}[{RANGE_SECONDS}s]))");
        let path = format!("/api/v1/query?query={}&time={END_SECONDS}&nocache=1", http::escaped(&query));
        let answer: Value = serde_json::from_str(&http::get(address, &path)?)?;
        let Some(count) = answer["data"]["result"][0]["value"][1].as_str() else { return Ok(0) };
        Ok(count.parse()?)
    }

    fn settle(&self, process: &Process, idle: Duration) -> Result<()> {
        http::get(process.address, "/internal/force_flush")?;
        process.wait_until_idle(idle)?;
        http::get(process.address, "/internal/force_merge")?;
        process.wait_until_idle(idle)
    }

    fn holds_data(&self, path: &Path) -> bool {
        path.iter().any(|part| part == "data" || part == "indexdb")
    }
}
