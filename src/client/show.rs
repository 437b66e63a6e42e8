//! Replies for people: aligned tables with readable times.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Table};
use serde_json::Value;

use super::times::readable;

/// The table, or the sentence, that says what `data` says; `kind` is the request's
/// `type`.
pub(super) fn show(kind: &str, data: &Value) -> String {
    match kind {
        "Query" | "QueryRange" | "ExportSeries" => match data["csv"].as_str() {
            Some(csv) => csv.trim_end().to_owned(),
            None => points(data),
        },
        "FindSimilar" => matches(data),
        "Anomaly" => anomalies(data),
        "Motif" => motifs(data),
        "Segment" => changes(data),
        "Chains" => chains(data),
        "MpDist" => distances(data),
        "Snippets" => snippets(data),
        "GetStats" => stats(data),
        "ListSeries" => list(data),
        "ListWatches" => watches(data),
        "Help" => help(data),
        "Quit" => "closed".to_owned(),
        "Ping" => format!("PONG from version {}", text(&data["version"])),
        "CreateSeries" => {
            let what = if data["created"] == true { "created" } else { "there already" };
            format!(
                "{what}: series {}, dimension {}, {}",
                text(&data["series"]),
                text(&data["dimension"]),
                text(&data["value_type"])
            )
        }
        "Insert" | "InsertWithLabels" | "InsertAt" | "InsertAtWithLabels" => {
            format!("stored at {} ({})", time(&data["timestamp_ns"]), data["timestamp_ns"])
        }
        "BatchInsert" => format!(
            "stored {} points from {} to {}",
            text(&data["inserted"]),
            time(&data["first_timestamp_ns"]),
            time(&data["last_timestamp_ns"])
        ),
        "DeleteRange" => format!("deleted {} points", text(&data["deleted"])),
        "DropSeries" => "dropped".to_owned(),
        "Auth" => format!("authenticated as {}", text(&data["role"])),
        _ => fields(data),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn time(value: &Value) -> String {
    value.as_i64().map_or_else(|| text(value), readable)
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => {
            let short = format!("{number:.6}");
            let short = short.trim_end_matches('0').trim_end_matches('.');
            // What six digits would hide, or make endless, is shown as the wire has it.
            let fits = number == 0.0 || (1e-3..1e15).contains(&number.abs());
            if fits { short.to_owned() } else { text(value) }
        }
        None => text(value),
    }
}

fn values(value: &Value) -> String {
    let numbers: Vec<String> = rows(value).iter().map(text).collect();
    let plain = numbers.iter().map(|number| number.strip_suffix(".0").unwrap_or(number));
    plain.collect::<Vec<_>>().join(",")
}

fn labels(value: &Value) -> String {
    let Some(pairs) = value.as_object() else { return String::new() };
    pairs.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// An aligned table; the columns named in `right` are numbers.
fn table(header: &[&str], right: &[usize], body: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    // Most series have points without labels only.
    let labels = header.iter().position(|name| *name == "labels");
    let unused = labels.filter(|&at| body.iter().all(|row| row.get(at).is_none_or(String::is_empty)));
    for row in body {
        table.add_row(row);
    }
    if let Some(column) = unused.and_then(|at| table.column_mut(at)) {
        column.set_constraint(ColumnConstraint::Hidden);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn points(data: &Value) -> String {
    let points = rows(&data["points"]);
    let body = points
        .iter()
        .map(|point| vec![time(&point["timestamp_ns"]), values(&point["values"]), labels(&point["labels"])]);
    let mut shown = table(&["time (UTC)", "values", "labels"], &[1], body.collect());
    if data["truncated"] == true {
        shown.push_str(&format!(
            "\n({} points; more from {} on: {})",
            points.len(),
            time(&data["next_start_ns"]),
            data["next_start_ns"]
        ));
    } else {
        shown.push_str(&format!("\n({} points)", points.len()));
    }
    shown
}

fn matches(data: &Value) -> String {
    let found = rows(&data["matches"]);
    let windows = found.iter().any(|row| row.get("end_timestamp_ns").is_some());
    let body = found.iter().map(|row| {
        let mut cells = vec![number(&row["similarity"]), time(&row["timestamp_ns"])];
        if windows {
            cells.push(time(&row["end_timestamp_ns"]));
        }
        cells.extend([values(&row["values"]), labels(&row["labels"])]);
        cells
    });
    let header: &[&str] = if windows {
        &["similarity", "from (UTC)", "to (UTC)", "values", "labels"]
    } else {
        &["similarity", "time (UTC)", "values", "labels"]
    };
    table(header, &[0], body.collect())
}

fn anomalies(data: &Value) -> String {
    let body = rows(&data["anomalies"]).iter().enumerate().map(|(at, row)| {
        vec![
            (at + 1).to_string(),
            time(&row["timestamp_ns"]),
            time(&row["end_timestamp_ns"]),
            number(&row["score"]),
            time(&row["neighbor_timestamp_ns"]),
            labels(&row["labels"]),
        ]
    });
    let header = ["", "from (UTC)", "to (UTC)", "score", "least unlike the window from", "labels"];
    let shown = table(&header, &[0, 3], body.collect());
    format!("{shown}\n({})", searched(data))
}

/// What an analysis looked at, and what it did not.
fn searched(data: &Value) -> String {
    let mut shown = format!("windows of {} points among {}", text(&data["window"]), text(&data["n"]));
    if let Some(skipped) = data["skipped"].as_u64().filter(|skipped| *skipped > 0) {
        let _ = write!(shown, "; {skipped} left out");
    }
    if data["exact"] == false {
        let coverage = 100.0 * data["coverage"].as_f64().unwrap_or_default();
        let _ = write!(shown, "; not exact: {coverage:.1} % of the pairs were looked at in time");
    }
    shown
}

fn motifs(data: &Value) -> String {
    let found = rows(&data["motifs"]);
    let sets = found.iter().any(|row| row.get("occurrences").is_some());
    let body = found.iter().enumerate().map(|(at, row)| {
        let mut cells = vec![
            (at + 1).to_string(),
            number(&row["distance"]),
            time(&row["a"]["timestamp_ns"]),
            time(&row["a"]["end_timestamp_ns"]),
            time(&row["b"]["timestamp_ns"]),
            time(&row["b"]["end_timestamp_ns"]),
            labels(&row["labels"]),
        ];
        if sets {
            cells.push(rows(&row["occurrences"]).len().to_string());
        }
        cells
    });
    let mut header =
        vec!["", "distance", "from (UTC)", "to (UTC)", "and from (UTC)", "to (UTC)", "labels", "occurrences"];
    header.truncate(if sets { 8 } else { 7 });
    let shown = table(&header, &[0, 1, 7], body.collect());
    format!("{shown}\n({})", searched(data))
}

fn changes(data: &Value) -> String {
    let body = rows(&data["changes"]).iter().enumerate().map(|(at, row)| {
        vec![(at + 1).to_string(), time(&row["timestamp_ns"]), number(&row["score"]), labels(&row["labels"])]
    });
    let shown = table(&["", "from (UTC)", "score", "labels"], &[0, 2], body.collect());
    format!("{shown}\n({})", searched(data))
}

fn chains(data: &Value) -> String {
    let body = rows(&data["chains"]).iter().enumerate().flat_map(|(at, row)| {
        let from = std::iter::once(&Value::Null).chain(rows(&row["distances"]));
        rows(&row["windows"]).iter().zip(from).map(move |(window, distance)| {
            vec![
                (at + 1).to_string(),
                time(&window["timestamp_ns"]),
                time(&window["end_timestamp_ns"]),
                number(distance),
                labels(&row["labels"]),
            ]
        })
    });
    let header = ["chain", "from (UTC)", "to (UTC)", "from the one before", "labels"];
    let shown = table(&header, &[0, 3], body.collect());
    format!("{shown}\n({})", searched(data))
}

fn distances(data: &Value) -> String {
    let body = rows(&data["distances"])
        .iter()
        .map(|row| vec![number(&row["distance"]), labels(&row["labels"]), labels(&row["neighbor_labels"])]);
    let shown = table(&["distance", "labels", "and labels"], &[0], body.collect());
    format!("{shown}\n({})", searched(data))
}

fn snippets(data: &Value) -> String {
    let body = rows(&data["snippets"]).iter().enumerate().map(|(at, row)| {
        let percent = 100.0 * row["fraction"].as_f64().unwrap_or_default();
        vec![
            (at + 1).to_string(),
            time(&row["timestamp_ns"]),
            time(&row["end_timestamp_ns"]),
            format!("{percent:.1}"),
            labels(&row["labels"]),
        ]
    });
    let header = ["", "from (UTC)", "to (UTC)", "stands for %", "labels"];
    let shown = table(&header, &[0, 3], body.collect());
    format!("{shown}\n({})", searched(data))
}

fn stats(data: &Value) -> String {
    let mut body = Vec::new();
    for (key, value) in data.as_object().into_iter().flatten() {
        if key.ends_with("_timestamp_ns") {
            body.push(vec![key.trim_end_matches("_timestamp_ns").to_owned(), time(value)]);
        } else if !value.is_array() {
            body.push(vec![key.clone(), text(value)]);
        }
    }
    let mut shown = table(&["figure", "value"], &[1], body);
    let running = rows(&data["analyses"]);
    if !running.is_empty() {
        let figures = ["type", "series", "cells", "cells_total", "elapsed_ms"];
        let body = running.iter().map(|of| figures.map(|figure| text(&of[figure])).to_vec());
        shown.push_str("\n\n");
        shown.push_str(&table(
            &["analysis", "series", "pairs looked at", "of", "ms since it began"],
            &[2, 3, 4],
            body.collect(),
        ));
    }
    let dimensions = rows(&data["per_dimension"]);
    if !dimensions.is_empty() {
        let body = dimensions.iter().enumerate().map(|(at, of)| {
            vec![
                at.to_string(),
                number(&of["min"]),
                number(&of["max"]),
                number(&of["mean"]),
                number(&of["stddev"]),
            ]
        });
        shown.push_str("\n\n");
        shown.push_str(&table(
            &["dimension", "min", "max", "mean", "stddev"],
            &[0, 1, 2, 3, 4],
            body.collect(),
        ));
    }
    shown
}

fn list(data: &Value) -> String {
    let body = rows(&data["series"]).iter().map(|series| {
        vec![
            text(&series["name"]),
            text(&series["dimension"]),
            text(&series["value_type"]),
            text(&series["count"]),
        ]
    });
    table(&["series", "dimension", "type", "points"], &[1, 3], body.collect())
}

fn watches(data: &Value) -> String {
    let found = rows(&data["watches"]);
    if found.is_empty() {
        return "nothing is watched".into();
    }
    let body = found.iter().map(|row| {
        let whole = |name: &str| text(&row[name]);
        vec![
            whole("series"),
            whole("window"),
            number(&row["threshold"]),
            whole("points"),
            number(&row["normalized_score"]),
            time(&row["last_timestamp_ns"]),
            whole("alerts"),
            whole("behind_ms"),
            labels(&row["labels"]),
            row["problem"].as_str().unwrap_or_default().to_owned(),
        ]
    });
    let header = [
        "series",
        "window",
        "threshold",
        "points",
        "score",
        "last (UTC)",
        "alerts",
        "behind ms",
        "labels",
        "problem",
    ];
    table(&header, &[1, 2, 3, 4, 6, 7], body.collect())
}

fn help(data: &Value) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for command in rows(&data["commands"]) {
        let line = (text(&command["syntax"]), text(&command["description"]));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
        .into_iter()
        .map(|(syntax, description)| format!("{syntax}\n    {description}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn fields(data: &Value) -> String {
    let fields = data.as_object().into_iter().flatten();
    let body = fields.map(|(key, value)| vec![key.clone(), text(value)]).collect();
    table(&["figure", "value"], &[], body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::COMMANDS;

    #[test]
    fn anomalies_have_dates() {
        let data = json!({"window": 3, "n": 10, "anomalies": [{
            "timestamp_ns": 0, "end_timestamp_ns": 1_391_169_600_000_000_000_i64, "index": 0, "score": 1.25,
            "neighbor_timestamp_ns": 5, "neighbor_index": 4, "labels": {"host": "a"}}]});
        let shown = show("Anomaly", &data);
        let row = shown.lines().nth(1).unwrap();
        assert!(
            row.contains("1970-01-01 00:00:00")
                && row.contains("2014-01-31 12:00:00")
                && row.contains("1.25")
                && row.ends_with("host=a"),
            "{shown}"
        );
        assert!(shown.ends_with("(windows of 3 points among 10)"), "{shown}");
        assert!(shown.lines().next().unwrap().ends_with("labels"), "{shown}");
        let data = json!({"window": 3, "n": 10, "anomalies": [{"timestamp_ns": 0, "score": 1.25}]});
        assert!(!show("Anomaly", &data).contains("labels"), "a column of nothing");
        let data =
            json!({"window": 3, "n": 10, "motifs": [], "skipped": 4, "exact": false, "coverage": 0.25});
        let shown = show("Motif", &data);
        assert!(
            shown.ends_with("among 10; 4 left out; not exact: 25.0 % of the pairs were looked at in time)")
        );
    }

    /// The type that a command of the text dialect has as a request.
    fn kind_of(command: &str) -> &'static str {
        COMMANDS.iter().find(|help| help.name == command).unwrap().json_type
    }

    #[test]
    fn every_kind_of_reply_is_shown() {
        let data = json!({"points": [{"timestamp_ns": 1, "values": [1.0, 0.5], "labels": {"k": "v"}}],
            "truncated": true, "next_start_ns": 2});
        assert!(show("Query", &data).contains("1,0.5"));
        assert!(show("Query", &data).contains("more from"));
        assert!(show("Save", &json!({"path": "/x", "bytes": 5})).contains("/x"));
        assert!(show("GetStats", &json!({"count": 7, "last_timestamp_ns": 0})).contains("1970-01-01"));
        let data = json!({"window": 3, "n": 10, "motifs": [{"distance": 1.0, "a": {"timestamp_ns": 0}, "b": {},
            "occurrences": [{}, {}, {}]}]});
        assert!(show("Motif", &data).lines().nth(1).unwrap().ends_with(" 3"));
        for (kind, data, shown) in [
            ("Segment", json!({"changes": [{"timestamp_ns": 0, "score": 0.25}]}), "0.25"),
            ("Chains", json!({"chains": [{"windows": [{}, {}], "distances": [0.5]}]}), "0.5"),
            ("MpDist", json!({"distances": [{"distance": 1.5, "neighbor_labels": {"k": "v"}}]}), "k=v"),
            ("Snippets", json!({"snippets": [{"fraction": 0.625}]}), "62.5"),
        ] {
            assert!(show(kind, &data).contains(shown), "{kind}");
        }
        let data = json!({"points": 3, "analyses": [{"type": "Snippets", "series": "demand", "cells": 5,
            "cells_total": 70, "elapsed_ms": 9}]});
        let shown = show("GetStats", &data);
        assert!(shown.lines().last().unwrap().starts_with("Snippets  demand"), "{shown}");
        let data = json!({"count": 1, "per_dimension": [{"min": 1e-320, "max": 1e300, "mean": -2.5, "stddev": 0.0}]});
        let shown = show("GetStats", &data);
        let row = shown.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(row, ["0", &json!(1e-320).to_string(), &json!(1e300).to_string(), "-2.5", "0"]);
        let data = json!({"watches": [{"series": "a", "window": 9, "threshold": 0.5, "labels": {"k": "v"},
            "last_timestamp_ns": 0, "problem": "gone"}]});
        let shown = show(kind_of("WATCHES"), &data);
        assert!(shown.contains("k=v") && shown.ends_with("gone") && shown.contains("1970-01-01"), "{shown}");
        assert_eq!(show("DropSeries", &json!({"dropped": true})), "dropped");
    }
}
