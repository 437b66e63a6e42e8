//! What analyses find, as JSON and as text.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::base::Labels;

use super::super::render::{float, labels_value};
use super::{
    AnalysisSummary, AnomalyRow, ChainRow, ChangeRow, Curve, DimensionDistance, DistanceRow, Findings,
    MotifRow, NeighborRow, SnippetRow, WindowFlags, WindowRef,
};

/// The data of a JSON reply.
pub(in super::super) fn data(summary: &AnalysisSummary, findings: &Findings, strings: bool) -> Value {
    let json = Json { strings };
    let mut data = json.summary(summary);
    match findings {
        Findings::Anomalies(rows) => data["anomalies"] = rows.iter().map(|row| json.anomaly(row)).collect(),
        Findings::Motifs(rows) => data["motifs"] = rows.iter().map(|row| json.motif(row)).collect(),
        Findings::Changes { changes, curves } => {
            data["changes"] = changes.iter().map(|row| json.change(row)).collect();
            if !curves.is_empty() {
                data["curves"] = curves.iter().map(curve).collect();
            }
        }
        Findings::Chains(rows) => data["chains"] = rows.iter().map(|row| json.chain(row)).collect(),
        Findings::Distances(rows) => data["distances"] = rows.iter().map(distance).collect(),
        Findings::Snippets(rows) => data["snippets"] = rows.iter().map(|row| json.snippet(row)).collect(),
    }
    data
}

/// The summary and the lines of a text reply.
pub(in super::super) fn lines(summary: &AnalysisSummary, findings: &Findings) -> (String, Vec<String>) {
    let (what, lines) = match findings {
        Findings::Anomalies(rows) => ("anomalies", rows.iter().map(anomaly_line).collect()),
        Findings::Motifs(rows) => ("motifs", rows.iter().map(motif_line).collect()),
        Findings::Changes { changes, .. } => ("changes", changes.iter().map(change_line).collect()),
        Findings::Chains(rows) => ("chains", rows.iter().map(chain_line).collect()),
        Findings::Distances(rows) => ("distances", rows.iter().map(|row| float(row.distance)).collect()),
        Findings::Snippets(rows) => ("snippets", rows.iter().map(snippet_line).collect()),
    };
    (format!("{what} {}", summary_text(summary)), lines)
}

/// How timestamps are written.
struct Json {
    strings: bool,
}

impl Json {
    fn ns(&self, ns: impl Into<i128>) -> Value {
        let ns: i128 = ns.into();
        if self.strings {
            return json!(ns.to_string());
        }
        i64::try_from(ns).map_or_else(|_| json!(u64::try_from(ns).unwrap_or(u64::MAX)), |ns| json!(ns))
    }

    fn summary(&self, summary: &AnalysisSummary) -> Value {
        let mut data = json!({
            "window": summary.window,
            "n": summary.n,
            "sequences": summary.sequences,
            "exclusion_zone": summary.exclusion_zone,
            "max_gap_ns": summary.max_gap_ns.map(|ns| self.ns(ns)),
            "windows": summary.windows,
            "skipped": summary.skipped,
            "cells": summary.cells,
            "coverage": summary.coverage(),
            "exact": summary.exact,
            "elapsed_ms": summary.elapsed.as_micros() as f64 / 1e3,
            "cached": summary.cached,
        });
        if let Some((least, greatest)) = summary.lengths {
            data["lengths"] = json!([least, greatest]);
        }
        if let Some(ns) = summary.step_ns {
            data["step_ns"] = self.ns(ns);
        }
        if let Some(points) = summary.sub_window {
            data["sub_window"] = json!(points);
        }
        data
    }

    fn window(&self, window: &WindowRef) -> Value {
        json!({
            "timestamp_ns": self.ns(window.timestamp_ns),
            "end_timestamp_ns": self.ns(window.end_timestamp_ns),
            "index": window.index,
        })
    }

    fn neighbors(&self, rows: &[NeighborRow]) -> Value {
        rows.iter()
            .map(|row| {
                let mut value = self.window(&row.at);
                value["distance"] = json!(row.distance);
                add_labels(&mut value, "labels", row.labels.as_ref());
                value
            })
            .collect()
    }

    fn anomaly(&self, row: &AnomalyRow) -> Value {
        let mut value = self.window(&row.at);
        // What has no neighbour has no score: infinity is no JSON.
        value["score"] = json!(row.score);
        let neighbor = row.neighbor.as_ref();
        value["neighbor_timestamp_ns"] = json!(neighbor.map(|of| self.ns(of.at.timestamp_ns)));
        value["neighbor_index"] = json!(neighbor.map(|of| of.at.index));
        if let Some(window) = row.window {
            value["window"] = json!(window);
        }
        if !row.neighbors.is_empty() {
            value["neighbors"] = self.neighbors(&row.neighbors);
        }
        add_dimensions(&mut value, &row.dimensions);
        add_score(&mut value, row.normalized_score);
        add_flags(&mut value, row.flags);
        add_labels(&mut value, "labels", row.labels.as_ref());
        add_labels(&mut value, "neighbor_labels", neighbor.and_then(|of| of.labels.as_ref()));
        value
    }

    fn motif(&self, row: &MotifRow) -> Value {
        let mut value =
            json!({ "distance": row.distance, "a": self.window(&row.a), "b": self.window(&row.b) });
        if let Some(radius) = row.radius {
            value["radius"] = json!(radius);
            value["occurrences"] = self.neighbors(&row.occurrences);
        }
        add_dimensions(&mut value, &row.dimensions);
        add_score(&mut value, row.normalized_score);
        add_flags(&mut value, row.flags);
        add_labels(&mut value, "labels", row.labels.as_ref());
        add_labels(&mut value, "neighbor_labels", row.neighbor_labels.as_ref());
        value
    }

    fn change(&self, row: &ChangeRow) -> Value {
        let mut value = self.window(&row.at);
        value["score"] = json!(row.score);
        add_flags(&mut value, row.flags);
        add_labels(&mut value, "labels", row.labels.as_ref());
        value
    }

    fn chain(&self, row: &ChainRow) -> Value {
        let windows: Vec<Value> = row.windows.iter().map(|window| self.window(window)).collect();
        let mut value = json!({ "length": windows.len(), "windows": windows, "distances": row.distances });
        add_labels(&mut value, "labels", row.labels.as_ref());
        value
    }

    fn snippet(&self, row: &SnippetRow) -> Value {
        let mut value = self.window(&row.at);
        value["fraction"] = json!(row.fraction);
        value["area"] = json!(row.area);
        add_labels(&mut value, "labels", row.labels.as_ref());
        value
    }
}

fn curve(curve: &Curve) -> Value {
    let mut value = json!({ "values": curve.values });
    add_labels(&mut value, "labels", curve.labels.as_ref());
    value
}

fn distance(row: &DistanceRow) -> Value {
    let mut value = json!({ "distance": row.distance });
    add_score(&mut value, row.normalized_score);
    add_labels(&mut value, "labels", row.labels.as_ref());
    add_labels(&mut value, "neighbor_labels", row.neighbor_labels.as_ref());
    value
}

fn add_dimensions(value: &mut Value, dimensions: &[DimensionDistance]) {
    if !dimensions.is_empty() {
        let row = |of: &DimensionDistance| json!({ "dimension": of.dimension, "distance": of.distance });
        value["dimensions"] = dimensions.iter().map(row).collect();
    }
}

fn add_score(value: &mut Value, score: Option<f64>) {
    if let Some(score) = score {
        value["normalized_score"] = json!(score);
    }
}

fn add_flags(value: &mut Value, flags: WindowFlags) {
    let names = flags.names();
    if !names.is_empty() {
        value["flags"] = json!(names);
    }
}

fn add_labels(value: &mut Value, name: &str, labels: Option<&Labels>) {
    if let Some(labels) = labels {
        value[name] = labels_value(labels);
    }
}

/// What a reader of text must know; the rest is in the JSON reply.
fn summary_text(summary: &AnalysisSummary) -> String {
    let mut text = format!("window={} n={}", summary.window, summary.n);
    if summary.skipped > 0 {
        let _ = write!(text, " skipped={}", summary.skipped);
    }
    text
}

fn anomaly_line(row: &AnomalyRow) -> String {
    let WindowRef { timestamp_ns, end_timestamp_ns, .. } = row.at;
    match &row.neighbor {
        Some(neighbor) => {
            format!("{} {timestamp_ns} {end_timestamp_ns} {}", float(row.score), neighbor.at.timestamp_ns)
        }
        None => format!("- {timestamp_ns} {end_timestamp_ns} -"),
    }
}

fn motif_line(row: &MotifRow) -> String {
    let [a, b] = [&row.a, &row.b].map(|at| format!("{} {}", at.timestamp_ns, at.end_timestamp_ns));
    format!("{} {a} {b}", float(row.distance))
}

fn change_line(row: &ChangeRow) -> String {
    format!("{} {}", float(row.score), row.at.timestamp_ns)
}

fn chain_line(row: &ChainRow) -> String {
    let times: Vec<String> = row.windows.iter().map(|window| window.timestamp_ns.to_string()).collect();
    format!("{} {}", row.windows.len(), times.join(","))
}

fn snippet_line(row: &SnippetRow) -> String {
    format!("{} {} {}", float(row.fraction), row.at.timestamp_ns, row.at.end_timestamp_ns)
}
