//! Replies as JSON.

use std::io::Write as _;

use serde_json::json;

use crate::base::{Labels, Result, Rows, SeriesName};

use super::csv::csv_header;
use super::{Decimals, Renderer, RowForm, State, push_integer, push_values};
use crate::protocol::{
    Export, ExportFormat, LongPoints, MatchRow, PointsForm, Reply, RunningAnalysis, SeriesInfo, analysis,
};

/// The columns of a reply, in their order.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Column {
    Timestamps,
    Values,
    LabelIds,
}

impl Renderer {
    pub(super) fn json_start(&self, ok: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if ok { b"{\"ok\":true" } else { b"{\"ok\":false" });
        if let Some(id) = &self.envelope.id {
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.as_bytes());
        }
    }

    pub(super) fn start_json(&mut self, reply: Result<Reply>, out: &mut Vec<u8>) {
        let as_strings = self.envelope.timestamps_as_strings;
        self.json_start(reply.is_ok(), out);
        match reply {
            Ok(Reply::Points { series, rows, next_start_ns, form }) => {
                self.points_head(&series, rows.dimension, rows.len() as u64, next_start_ns, out);
                self.state = match form {
                    PointsForm::Rows => {
                        out.extend_from_slice(b",\"points\":[");
                        State::rows(rows, RowForm::Json, "]}}\n")
                    }
                    PointsForm::Columns => {
                        out.extend_from_slice(b",\"timestamps_ns\":[");
                        State::columns(rows, None, 0)
                    }
                };
            }
            Ok(Reply::LongPoints(LongPoints { series, dimension, count, next_start_ns, form, pages })) => {
                self.points_head(&series, dimension, count, next_start_ns, out);
                self.state = match form {
                    PointsForm::Rows => {
                        out.extend_from_slice(b",\"points\":[");
                        State::pages(pages, dimension, count, RowForm::Json, "]}}\n")
                    }
                    PointsForm::Columns => {
                        out.extend_from_slice(b",\"timestamps_ns\":[");
                        State::columns(Rows::new(dimension), Some(pages), count)
                    }
                };
            }
            Ok(Reply::Export(Export { series, format: ExportFormat::Json, dimension, count, pages })) => {
                self.points_head(&series, dimension, count, None, out);
                out.extend_from_slice(b",\"points\":[");
                self.state = State::pages(pages, dimension, count, RowForm::Json, "]}}\n");
            }
            Ok(Reply::Export(Export { format: ExportFormat::Csv, dimension, count, pages, .. })) => {
                out.extend_from_slice(b",\"data\":{\"csv\":\"");
                json_escape(csv_header(dimension).as_bytes(), out);
                out.extend_from_slice(b"\\n");
                self.state = State::pages(pages, dimension, count, RowForm::JsonCsv, "\"}}\n");
            }
            Ok(Reply::Matches { matches, exact, scanned, index }) => {
                let data = json!({ "exact": exact, "scanned": scanned, "index": index });
                self.start_json_list(
                    data,
                    "matches",
                    matches,
                    move |found| match_value(found, as_strings),
                    out,
                );
            }
            Ok(Reply::SeriesList(list)) => {
                let element = |info: SeriesInfo| {
                    json!({
                        "name": info.name.as_str(),
                        "dimension": info.dimension,
                        "value_type": info.value_type.as_str(),
                        "count": info.count,
                    })
                };
                self.start_json_list(json!({}), "series", list, element, out);
            }
            Ok(reply) => {
                out.extend_from_slice(b",\"data\":");
                let data = self.json_data(reply);
                // A value without maps of other keys than strings can be written.
                let _ = serde_json::to_writer(&mut *out, &data);
                out.extend_from_slice(b"}\n");
            }
            Err(e) => {
                out.extend_from_slice(b",\"error\":{\"code\":\"");
                out.extend_from_slice(e.code().as_str().as_bytes());
                out.extend_from_slice(b"\",\"message\":");
                json_string(e.message(), out);
                out.extend_from_slice(b"}}\n");
            }
        }
    }

    fn points_head(
        &self,
        series: &SeriesName,
        dimension: usize,
        count: u64,
        next_start_ns: Option<i64>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b",\"data\":{\"series\":");
        json_string(series.as_str(), out);
        let truncated = next_start_ns.is_some();
        let _ = write!(out, ",\"dimension\":{dimension},\"count\":{count},\"truncated\":{truncated}");
        if let Some(next) = next_start_ns {
            let next = self.timestamp(next);
            let _ = write!(out, ",\"next_start_ns\":{next}");
        }
    }

    fn timestamp(&self, ns: i64) -> serde_json::Value {
        timestamp_value(ns, self.envelope.timestamps_as_strings)
    }

    /// Begins a reply whose data has a list under `name`, written element by element.
    fn start_json_list<T: Send + 'static>(
        &mut self,
        mut data: serde_json::Value,
        name: &str,
        list: Vec<T>,
        element: impl Fn(T) -> serde_json::Value + Send + 'static,
        out: &mut Vec<u8>,
    ) {
        data[name] = json!([]);
        let data = data.to_string();
        let empty = format!("\"{name}\":[]");
        let (head, tail) = data.split_at(data.find(&empty).map_or(data.len(), |at| at + empty.len() - 1));
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(head.as_bytes());
        let elements = list.into_iter().map(move |of| element(of).to_string().into_bytes());
        let tail = [tail.as_bytes(), b"}\n"].concat();
        self.state = State::List { elements: Box::new(elements), separator: ",", tail, begun: false };
    }

    fn json_data(&self, reply: Reply) -> serde_json::Value {
        let time = |ns: i64| self.timestamp(ns);
        match reply {
            Reply::Created { info, created } => json!({
                "series": info.name.as_str(),
                "dimension": info.dimension,
                "value_type": info.value_type.as_str(),
                "created": created,
            }),
            Reply::BatchInserted { inserted, first_timestamp_ns, last_timestamp_ns } => json!({
                "inserted": inserted,
                "first_timestamp_ns": time(first_timestamp_ns),
                "last_timestamp_ns": time(last_timestamp_ns),
            }),
            Reply::Analysis { summary, findings } => {
                analysis::data(&summary, &findings, self.envelope.timestamps_as_strings)
            }
            Reply::Watching(watch) => watch.json(),
            Reply::Unwatched { removed } => json!({ "removed": removed }),
            Reply::Watches(watches) => {
                json!({ "watches": watches.iter().map(|row| row.json(time)).collect::<Vec<_>>() })
            }
            Reply::Subscribed { series } => {
                json!({ "series": series.as_ref().map_or("all", |series| series.as_str()) })
            }
            Reply::Unsubscribed => json!({ "unsubscribed": true }),
            Reply::SeriesStats(stats) => {
                let per_dimension: Vec<serde_json::Value> = stats
                    .per_dimension
                    .iter()
                    .map(|d| json!({ "min": d.min, "max": d.max, "mean": d.mean, "stddev": d.stddev }))
                    .collect();
                json!({
                    "series": stats.info.name.as_str(),
                    "dimension": stats.info.dimension,
                    "value_type": stats.info.value_type.as_str(),
                    "count": stats.info.count,
                    "first_timestamp_ns": stats.first_timestamp_ns.map(time),
                    "last_timestamp_ns": stats.last_timestamp_ns.map(time),
                    "label_sets": stats.label_sets,
                    "segments": stats.segments,
                    "memory_bytes": stats.memory_bytes,
                    "disk_bytes": stats.disk_bytes,
                    "per_dimension": per_dimension,
                })
            }
            Reply::DatabaseStats(stats) => json!({
                "version": stats.version,
                "uptime_seconds": stats.uptime_seconds,
                "series": stats.series,
                "points": stats.points,
                "memory_bytes": stats.memory_bytes,
                "disk_bytes": stats.disk_bytes,
                "shards": stats.shards,
                "wal_bytes": stats.wal_bytes,
                "segments": stats.segments,
                "label_sets": stats.label_sets,
                "vector_memory_bytes": stats.vectors.memory_bytes,
                "vector_index_bytes": stats.vectors.index_bytes,
                "vector_rows": stats.vectors.rows,
                "vector_rows_indexed": stats.vectors.rows_indexed,
                "vector_index_ms": stats.vectors.index_ms,
                "vectors_scanned": stats.vectors.scanned,
                "watches": stats.watches,
                "watches_behind_ms": stats.watches_behind_ms,
                "analyses": stats.analyses.iter().map(running_value).collect::<Vec<_>>(),
            }),
            Reply::Deleted { deleted } => json!({ "deleted": deleted }),
            Reply::Dropped => json!({ "dropped": true }),
            Reply::Saved { path, bytes, series, points } => {
                json!({ "path": path, "bytes": bytes, "series": series, "points": points })
            }
            Reply::Loaded { path, series, points } => {
                json!({ "path": path, "series": series, "points": points })
            }
            Reply::Flushed { flushed_points, segments_written } => {
                json!({ "flushed_points": flushed_points, "segments_written": segments_written })
            }
            Reply::Authenticated { role } => json!({ "role": role }),
            Reply::Pong { version } => json!({ "message": "PONG", "version": version }),
            Reply::Help(commands) => {
                let commands: Vec<serde_json::Value> = commands
                    .iter()
                    .map(|help| {
                        json!({
                            "name": help.name,
                            "json_type": help.json_type,
                            "syntax": help.syntax,
                            "description": help.description,
                        })
                    })
                    .collect();
                json!({ "commands": commands })
            }
            Reply::Bye => json!({ "message": "BYE" }),
            // Written without a tree; see `start_json` and `point_written`.
            Reply::Inserted { .. }
            | Reply::Points { .. }
            | Reply::LongPoints(_)
            | Reply::Export(_)
            | Reply::Matches { .. }
            | Reply::SeriesList(_) => serde_json::Value::Null,
        }
    }
}

fn running_value(of: &RunningAnalysis) -> serde_json::Value {
    json!({
        "type": of.json_type,
        "series": of.series.as_str(),
        "cells": of.cells,
        "cells_total": of.cells_total,
        "elapsed_ms": of.elapsed_ms,
    })
}

pub(in super::super) fn labels_value(labels: &Labels) -> serde_json::Value {
    labels.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

fn timestamp_value(ns: i64, as_strings: bool) -> serde_json::Value {
    if as_strings { json!(ns.to_string()) } else { json!(ns) }
}

fn match_value(found: MatchRow, as_strings: bool) -> serde_json::Value {
    let mut row = json!({
        "timestamp_ns": timestamp_value(found.timestamp_ns, as_strings),
        "similarity": found.similarity,
    });
    if let Some(values) = found.values {
        row["values"] = json!(values);
    }
    if let Some(distance) = found.distance {
        row["distance"] = json!(distance);
    }
    if let Some(series) = found.series {
        row["series"] = json!(series.as_str());
    }
    if let Some(end) = found.end_timestamp_ns {
        row["end_timestamp_ns"] = timestamp_value(end, as_strings);
    }
    if !found.labels.is_empty() {
        row["labels"] = labels_value(&found.labels);
    }
    row
}

impl Column {
    /// What these rows have in it.
    pub(super) fn push(
        self,
        rows: &Rows,
        range: std::ops::Range<usize>,
        as_strings: bool,
        begun: &mut bool,
        decimals: &mut Decimals,
        out: &mut Vec<u8>,
    ) {
        let quote: &[u8] = if as_strings { b"\"" } else { b"" };
        for row in range {
            if std::mem::replace(begun, true) {
                out.push(b',');
            }
            match self {
                Self::Timestamps => {
                    out.extend_from_slice(quote);
                    push_integer(rows.timestamps_ns[row], out);
                    out.extend_from_slice(quote);
                }
                Self::Values if rows.dimension == 1 => push_values(rows.values_of(row), true, decimals, out),
                Self::Values => {
                    out.push(b'[');
                    push_values(rows.values_of(row), true, decimals, out);
                    out.push(b']');
                }
                Self::LabelIds => {
                    push_integer(rows.label_ids.get(row).copied().unwrap_or_default().into(), out);
                }
            }
        }
    }

    /// Ends it and begins the next, or ends the reply.
    pub(super) fn begin_next(self, rows: &Rows, out: &mut Vec<u8>) -> Option<Self> {
        match self {
            Self::Timestamps => {
                out.extend_from_slice(b"],\"values\":[");
                Some(Self::Values)
            }
            Self::Values if rows.label_sets.iter().any(|labels| !labels.is_empty()) => {
                let sets: Vec<_> = rows.label_sets.iter().map(labels_value).collect();
                out.extend_from_slice(b"],\"label_sets\":");
                // Strings can always be written to memory.
                let _ = serde_json::to_writer(&mut *out, &sets);
                out.extend_from_slice(b",\"label_ids\":[");
                Some(Self::LabelIds)
            }
            Self::Values | Self::LabelIds => {
                out.extend_from_slice(b"]}}\n");
                None
            }
        }
    }
}

pub(super) fn json_row(
    rows: &Rows,
    row: usize,
    as_strings: bool,
    decimals: &mut Decimals,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"timestamp_ns\":");
    if as_strings {
        out.push(b'"');
    }
    push_integer(rows.timestamps_ns[row], out);
    if as_strings {
        out.push(b'"');
    }
    out.extend_from_slice(b",\"values\":[");
    push_values(rows.values_of(row), true, decimals, out);
    out.push(b']');
    if let Some(labels) = rows.labels_of(row) {
        out.extend_from_slice(b",\"labels\":");
        // Strings can always be written to memory.
        let _ = serde_json::to_writer(&mut *out, &labels_value(labels));
    }
    out.push(b'}');
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    // Strings can always be written to memory.
    let _ = serde_json::to_writer(out, text);
}

/// The inside of a JSON string.
pub(super) fn json_escape(utf8: &[u8], out: &mut Vec<u8>) {
    let mut quoted = Vec::with_capacity(utf8.len() + 8);
    json_string(&String::from_utf8_lossy(utf8), &mut quoted);
    out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}
