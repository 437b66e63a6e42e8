//! How well anomalies are found: labelled series, over the wire, with `window: "auto"`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::Bench;
use crate::Result;
use crate::data::{Point, csv_points, time_ms};
use crate::process::Process;
use crate::subjects::{Subject, ours};
use crate::table::Table;

/// Points of one request.
const BATCH: usize = 10_000;
/// An anomaly counts as found where its centre is at most so many points from the label, or
/// as many as the label has.
const TOLERANCE: u64 = 100;

/// The UCR archive of anomalies: one a series.
pub fn ucr(bench: &Bench) -> Result<Table> {
    let folder = bench.folder()?;
    let mut table = Table::new(
        "UCR: the first anomaly with window \"auto\"",
        &["series", "points", "label", "found", "window", "ms", "hit"],
    );
    let scratch = bench.scratch()?;
    let server = bench.ours.start(scratch.path())?;
    let (mut hits, mut all) = (0, 0);
    for label in ucr_labels(folder)? {
        let bytes = read(&folder.join(format!("{}.f64", label.name)))?;
        let values =
            bytes.chunks_exact(8).filter_map(|bytes| Some(f64::from_le_bytes(bytes.try_into().ok()?)));
        let points: Vec<Point> =
            (0..).zip(values).map(|(at, value)| Point { time_ms: at * 1000, value }).collect();
        store(&server, &label.name, &points)?;
        let asked = json!({"series": label.name, "window": "auto", "k": 1});
        let found = ask(server.address, "Anomaly", &asked)?;
        let number = |value: &Value| value.as_u64().ok_or("the reply lacks a number");
        let (window, first) = (number(&found["window"])?, number(&found["anomalies"][0]["index"])?);
        let hit = label.is_hit(first, window);
        all += 1;
        hits += u64::from(hit);
        table.row(vec![
            label.name.clone(),
            points.len().to_string(),
            format!("{}–{}", label.first, label.last),
            format!("{first}–{}", first + window - 1),
            window.to_string(),
            milliseconds_of(&found),
            mark(hit),
        ]);
    }
    table.note(format!(
        "{hits} of {all} found, {:.1} %: the centre of the first anomaly is at most max({TOLERANCE}, points of the label) \
         from the label.",
        100.0 * hits as f64 / f64::from(all.max(1))
    ));
    Ok(table)
}

/// The Numenta Anomaly Benchmark: as many anomalies are asked for as there are labels, of
/// windows as they are and of normalised ones.
pub fn nab(bench: &Bench) -> Result<Table> {
    let folder = bench.folder()?;
    let mut table = Table::new(
        "NAB: as many anomalies as labelled windows, with window \"auto\"",
        &["series", "points", "normalize", "window", "ms", "labelled windows", "found"],
    );
    let scratch = bench.scratch()?;
    let server = bench.ours.start(scratch.path())?;
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_slice(&read(&folder.join("anomaly_windows.json"))?)?;
    let (mut hits, mut all) = ([0, 0], 0);
    for (file, windows) in labels.iter().filter(|(_, windows)| !windows.is_empty()) {
        let path = folder.join(file);
        let points = csv_points(&path)?.ok_or_else(|| format!("{}: not a series", path.display()))?;
        let windows: Vec<[i64; 2]> =
            windows.iter().map(|[start, end]| Ok([time_ms(start)?, time_ms(end)?])).collect::<Result<_>>()?;
        let name = file.trim_end_matches(".csv");
        all += windows.len();
        store(&server, name, &points)?;
        for (normalize, hits) in [true, false].into_iter().zip(&mut hits) {
            let asked = json!({"series": name, "window": "auto", "k": windows.len(), "normalize": normalize});
            let found = ask(server.address, "Anomaly", &asked)?;
            let anomalies = found["anomalies"].as_array().ok_or("the reply has no anomalies")?;
            let time = |row: &Value, field: &str| row[field].as_i64().map(|ns| ns / 1_000_000);
            let times: Vec<(i64, i64)> = anomalies
                .iter()
                .filter_map(|row| Some((time(row, "timestamp_ns")?, time(row, "end_timestamp_ns")?)))
                .collect();
            let is_found = |window: &&[i64; 2]| {
                times.iter().any(|(start, end)| *start <= window[1] && window[0] <= *end)
            };
            let hit = windows.iter().filter(is_found).count();
            *hits += hit;
            table.row(vec![
                name.to_owned(),
                points.len().to_string(),
                mark(normalize),
                found["window"].to_string(),
                milliseconds_of(&found),
                windows.len().to_string(),
                hit.to_string(),
            ]);
        }
    }
    let percent = hits.map(|hits| 100.0 * hits as f64 / all.max(1) as f64);
    table.note(format!(
        "{} of {all} labelled windows found, {:.1} %, with normalised windows; {}, {:.1} %, with windows as they are. One \
         is found where an anomaly shares time with it.",
        hits[0], percent[0], hits[1], percent[1]
    ));
    Ok(table)
}

fn milliseconds_of(found: &Value) -> String {
    format!("{:.0}", found["elapsed_ms"].as_f64().unwrap_or(0.0))
}

fn mark(hit: bool) -> String {
    if hit { "yes" } else { "no" }.to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn store(server: &Process, series: &str, points: &[Point]) -> Result<()> {
    ask(server.address, "CreateSeries", &json!({"name": series, "dimension": 1}))?;
    for points in points.chunks(BATCH) {
        let times: Vec<i64> = points.iter().map(|point| point.time_ms * 1_000_000).collect();
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let batch = json!({"series": series, "timestamps_ns": times, "values": values});
        ask(server.address, "BatchInsert", &batch)?;
    }
    Ok(())
}

fn ask(address: SocketAddr, kind: &str, data: &Value) -> Result<Value> {
    ours::ask(address, &json!({"type": kind, "data": data}).to_string())
}

/// Where a series is anomalous.
struct Label {
    name: String,
    first: u64,
    last: u64,
}

impl Label {
    /// Whether a window's centre is near enough.
    fn is_hit(&self, start: u64, window: u64) -> bool {
        let tolerance = TOLERANCE.max(self.last - self.first + 1);
        let twice_the_centre = 2 * start + window;
        let (first, last) = (2 * self.first.saturating_sub(tolerance), 2 * (self.last + tolerance));
        (first..=last).contains(&twice_the_centre)
    }
}

/// The lines of the index: name, points, points of the part without anomalies, first and
/// last point of the anomaly.
fn ucr_labels(folder: &Path) -> Result<Vec<Label>> {
    let path = folder.join("index.csv");
    let text = String::from_utf8(read(&path)?)?;
    let label = |line: &str| {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let [name, _, _, first, last] = fields[..] else { return None };
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then(|| Label { name: name.to_owned(), first, last })
    };
    text.lines()
        .skip(1)
        .map(|line| {
            label(line)
                .ok_or_else(|| format!("{}: '{line}' names no series and label", path.display()).into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_near_the_label() {
        let label = Label { name: String::new(), first: 1000, last: 1009 };
        assert!(label.is_hit(850, 100) && !label.is_hit(849, 100));
        assert!(label.is_hit(1059, 100) && !label.is_hit(1060, 100));
        let long = Label { last: 1499, ..label };
        assert!(long.is_hit(450, 100) && !long.is_hit(449, 100));
    }
}
