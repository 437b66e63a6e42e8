//! Replies as bytes, in pieces: a reply of a million rows or matches is never held as text.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;

use crate::base::{Error, Labels, Result, Rows, SeriesName};

use super::decimal::Decimals;
use super::{
    Envelope, Export, ExportFormat, LongPoints, MatchRow, Pages, PointsForm, Reply, RunningAnalysis,
    SeriesInfo, WatchRow, analysis,
};

/// Rows rendered between two looks at the size of the output.
const ROWS_PER_STEP: usize = 256;

/// Renders one reply.
pub struct Renderer {
    envelope: Envelope,
    state: State,
    decimals: Decimals,
}

enum State {
    Start(Result<Reply>),
    /// Head written; rows from here on.
    Rows {
        rows: Rows,
        next: usize,
        form: RowForm,
        tail: &'static str,
        more: Option<Pages>,
        /// Rows that are left to come, which the head has promised.
        left: u64,
        /// Whether a row was written.
        begun: bool,
    },
    /// Head and begin of a column written.
    Columns {
        rows: Rows,
        column: Column,
        next: usize,
        more: Option<Pages>,
        /// Rows of all pages, and those that are left to come of this column.
        count: u64,
        left: u64,
        begun: bool,
    },
    /// Head written; elements of a list from here on.
    List {
        elements: Elements,
        separator: &'static str,
        tail: Vec<u8>,
        begun: bool,
    },
    Done,
}

/// Elements of a list, as they are written.
type Elements = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// The columns of a reply, in their order.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Timestamps,
    Values,
    LabelIds,
}

#[derive(Clone, Copy, PartialEq)]
enum RowForm {
    Text,
    TextCsv,
    Json,
    /// CSV inside of a JSON string.
    JsonCsv,
}

impl State {
    fn rows(rows: Rows, form: RowForm, tail: &'static str) -> Self {
        Self::Rows { rows, next: 0, form, tail, more: None, left: 0, begun: false }
    }

    fn columns(rows: Rows, more: Option<Pages>, count: u64) -> Self {
        Self::Columns { rows, column: Column::Timestamps, next: 0, more, count, left: count, begun: false }
    }

    fn pages(pages: Pages, dimension: usize, count: u64, form: RowForm, tail: &'static str) -> Self {
        Self::Rows {
            rows: Rows::new(dimension),
            next: 0,
            form,
            tail,
            more: Some(pages),
            left: count,
            begun: false,
        }
    }
}

/// Puts the next page in the place of the rows that are written; false at the end, when
/// all that were promised have come.
fn turn_page(more: &mut Option<Pages>, rows: &mut Rows, left: &mut u64) -> Result<bool> {
    let miscounted = || Error::internal("a reply has another number of points than were counted");
    let Some(pages) = more else { return Ok(false) };
    match pages.next_page()? {
        Some(page) => {
            *left = left.checked_sub(page.len() as u64).ok_or_else(miscounted)?;
            *rows = page;
            Ok(true)
        }
        None if *left > 0 => Err(miscounted()),
        None => Ok(false),
    }
}

impl Renderer {
    /// Prepares the reply to a request.
    pub fn new(envelope: Envelope, reply: Result<Reply>) -> Self {
        Self { envelope, state: State::Start(reply), decimals: Decimals::default() }
    }

    /// Appends to `out` until it has about `bytes_max` bytes or the reply is complete;
    /// says whether it is.
    ///
    /// # Errors
    /// Where rows that were promised can't be read: the reply can't be completed, so
    /// that its connection must end.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<bool> {
        loop {
            match &mut self.state {
                State::Start(_) => self.start(out),
                State::Done => return Ok(true),
                State::Columns { rows, column, next, more, count, left, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    if *next == rows.len() {
                        if turn_page(more, rows, left)? {
                            *next = 0;
                            continue;
                        }
                        let Some(following) = column.begin_next(rows, out) else {
                            self.state = State::Done;
                            continue;
                        };
                        (*column, *next, *begun) = (following, 0, false);
                        if let Some(pages) = more {
                            // Each column reads the pages for itself.
                            pages.rewind();
                            (*next, *left) = (rows.len(), *count);
                            continue;
                        }
                    }
                    let end = (*next + ROWS_PER_STEP).min(rows.len());
                    let as_strings = self.envelope.timestamps_as_strings;
                    column.push(rows, *next..end, as_strings, begun, &mut self.decimals, out);
                    *next = end;
                }
                State::List { elements, separator, tail, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    let Some(element) = elements.next() else {
                        out.append(tail);
                        self.state = State::Done;
                        continue;
                    };
                    if std::mem::replace(begun, true) {
                        out.extend_from_slice(separator.as_bytes());
                    }
                    out.extend_from_slice(&element);
                }
                State::Rows { rows, next, form, tail, more, left, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    if *next == rows.len() && more.is_some() {
                        if turn_page(more, rows, left)? {
                            *next = 0;
                            continue;
                        }
                        *more = None;
                    }
                    let end = (*next + ROWS_PER_STEP).min(rows.len());
                    for row in *next..end {
                        match form {
                            RowForm::Text => text_row(rows, row, &mut self.decimals, out),
                            RowForm::TextCsv => {
                                csv_row(rows, row, &mut self.decimals, out);
                                out.push(b'\n');
                            }
                            RowForm::Json => {
                                if *begun {
                                    out.push(b',');
                                }
                                *begun = true;
                                let as_strings = self.envelope.timestamps_as_strings;
                                json_row(rows, row, as_strings, &mut self.decimals, out);
                            }
                            RowForm::JsonCsv => {
                                let mut line = Vec::new();
                                csv_row(rows, row, &mut self.decimals, &mut line);
                                line.push(b'\n');
                                json_escape(&line, out);
                            }
                        }
                    }
                    *next = end;
                    if end == rows.len() && more.is_none() {
                        out.extend_from_slice(tail.as_bytes());
                        self.state = State::Done;
                    }
                }
            }
        }
    }

    /// Gives back the memory of what can be read again: the reader takes its time.
    pub fn let_go(&mut self) {
        if let State::Rows { more: Some(pages), .. } | State::Columns { more: Some(pages), .. } =
            &mut self.state
        {
            pages.let_go();
        }
    }

    /// The whole reply.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn render(mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.fill(&mut out, usize::MAX)?;
        Ok(out)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        let State::Start(reply) = std::mem::replace(&mut self.state, State::Done) else { return };
        if let Ok(Reply::Inserted { timestamp_ns }) = reply {
            return self.point_written(timestamp_ns, out);
        }
        if self.envelope.json {
            self.start_json(reply, out);
        } else {
            self.start_text(reply, out);
        }
    }

    /// The reply that is sent most often.
    fn point_written(&self, timestamp_ns: i64, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(timestamp_ns).as_bytes();
        if !self.envelope.json {
            out.extend_from_slice(b"OK 0 ");
            out.extend_from_slice(digits);
            out.push(b'\n');
            return;
        }
        self.json_start(true, out);
        let quote: &[u8] = if self.envelope.timestamps_as_strings { b"\"" } else { b"" };
        let name: &[u8] = b",\"data\":{\"timestamp_ns\":";
        for piece in [name, quote, digits, quote, b"}}\n"] {
            out.extend_from_slice(piece);
        }
    }

    fn json_start(&self, ok: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if ok { b"{\"ok\":true" } else { b"{\"ok\":false" });
        if let Some(id) = &self.envelope.id {
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.as_bytes());
        }
    }

    fn start_json(&mut self, reply: Result<Reply>, out: &mut Vec<u8>) {
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

    /// Begins a reply of lines.
    fn start_text_list<T: Send + 'static>(
        &mut self,
        summary: &str,
        list: Vec<T>,
        line: impl Fn(T) -> String + Send + 'static,
        out: &mut Vec<u8>,
    ) {
        let _ = writeln!(out, "OK {} {summary}", list.len());
        let elements = list.into_iter().map(move |of| (line(of) + "\n").into_bytes());
        let (separator, tail) = ("", Vec::new());
        self.state = State::List { elements: Box::new(elements), separator, tail, begun: false };
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

    fn start_text(&mut self, reply: Result<Reply>, out: &mut Vec<u8>) {
        let reply = match reply {
            Ok(reply) => reply,
            Err(e) => {
                let message: String =
                    e.message().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let _ = writeln!(out, "ERR {} {message}", e.code());
                return;
            }
        };
        match reply {
            Reply::Points { rows, next_start_ns, .. } => {
                text_points_head(rows.len() as u64, next_start_ns, out);
                self.state = State::rows(rows, RowForm::Text, "");
            }
            Reply::LongPoints(LongPoints { dimension, count, next_start_ns, pages, .. }) => {
                text_points_head(count, next_start_ns, out);
                self.state = State::pages(pages, dimension, count, RowForm::Text, "");
            }
            Reply::Export(Export { dimension, count, pages, .. }) => {
                let _ = writeln!(out, "OK {} {count} points as CSV", count + 1);
                let _ = writeln!(out, "{}", csv_header(dimension));
                self.state = State::pages(pages, dimension, count, RowForm::TextCsv, "");
            }
            Reply::Matches { matches, .. } => {
                self.start_text_list("matches, best first", matches, match_line, out);
            }
            Reply::SeriesList(list) => {
                let line = |info: SeriesInfo| format!("{} {} {}", info.name, info.dimension, info.count);
                self.start_text_list("series", list, line, out);
            }
            reply => {
                let (summary, lines) = text_lines(&reply);
                let _ = writeln!(out, "OK {} {summary}", lines.len());
                for line in lines {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
}

fn text_points_head(count: u64, next_start_ns: Option<i64>, out: &mut Vec<u8>) {
    let _ = write!(out, "OK {count} points");
    if let Some(next) = next_start_ns {
        let _ = write!(out, " truncated next_start_ns={next}");
    }
    out.push(b'\n');
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

pub(super) fn labels_value(labels: &Labels) -> serde_json::Value {
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

fn match_line(found: MatchRow) -> String {
    let values = values_text(found.values.as_deref().unwrap_or_default());
    let mut line = format!("{} {} {values}", float(found.similarity), found.timestamp_ns);
    if !found.labels.is_empty() {
        let _ = write!(line, " {}", found.labels);
    }
    line
}

/// Shortest form that reads back to the same value; for text.
pub(super) fn float(value: f64) -> String {
    let mut out = Vec::new();
    Decimals::default().push(value, false, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn values_text(values: &[f64]) -> String {
    values.iter().map(|&value| float(value)).collect::<Vec<_>>().join(",")
}

/// The summary and the lines of a reply without point rows.
fn text_lines(reply: &Reply) -> (String, Vec<String>) {
    let none = Vec::new;
    match reply {
        Reply::Created { info, created } => {
            let what = if *created { "created" } else { "exists" };
            (
                format!("{what} {} dimension={} value_type={}", info.name, info.dimension, info.value_type),
                none(),
            )
        }
        Reply::BatchInserted { inserted, first_timestamp_ns, last_timestamp_ns } => {
            (format!("{inserted} points from {first_timestamp_ns} to {last_timestamp_ns}"), none())
        }
        Reply::Analysis { summary, findings } => analysis::lines(summary, findings),
        Reply::Watching(watch) => (format!("watching {}", watch.text()), none()),
        Reply::Unwatched { removed } => (format!("{removed} watches removed"), none()),
        Reply::Watches(watches) => ("watches".to_owned(), watches.iter().map(WatchRow::text).collect()),
        Reply::Subscribed { series } => {
            let series = series.as_ref().map_or("all", |series| series.as_str());
            (format!("subscribed to alerts of {series}"), none())
        }
        Reply::Unsubscribed => ("unsubscribed".to_owned(), none()),
        Reply::SeriesStats(stats) => {
            let time = |ns: Option<i64>| ns.map_or_else(|| "-".to_owned(), |ns| ns.to_string());
            let mut lines = vec![
                format!("series {}", stats.info.name),
                format!("dimension {}", stats.info.dimension),
                format!("value_type {}", stats.info.value_type),
                format!("count {}", stats.info.count),
                format!("first_timestamp_ns {}", time(stats.first_timestamp_ns)),
                format!("last_timestamp_ns {}", time(stats.last_timestamp_ns)),
                format!("label_sets {}", stats.label_sets),
                format!("segments {}", stats.segments),
                format!("memory_bytes {}", stats.memory_bytes),
                format!("disk_bytes {}", stats.disk_bytes),
            ];
            for (at, d) in stats.per_dimension.iter().enumerate() {
                for (key, value) in [("min", d.min), ("max", d.max), ("mean", d.mean), ("stddev", d.stddev)] {
                    lines.push(format!("{key}_{at} {}", float(value)));
                }
            }
            ("figures of one series".to_owned(), lines)
        }
        Reply::DatabaseStats(stats) => {
            let mut lines = vec![
                format!("version {}", stats.version),
                format!("uptime_seconds {}", stats.uptime_seconds),
                format!("series {}", stats.series),
                format!("points {}", stats.points),
                format!("memory_bytes {}", stats.memory_bytes),
                format!("disk_bytes {}", stats.disk_bytes),
                format!("shards {}", stats.shards),
                format!("wal_bytes {}", stats.wal_bytes),
                format!("segments {}", stats.segments),
                format!("label_sets {}", stats.label_sets),
                format!("vector_memory_bytes {}", stats.vectors.memory_bytes),
                format!("vector_index_bytes {}", stats.vectors.index_bytes),
                format!("vector_rows {}", stats.vectors.rows),
                format!("vector_rows_indexed {}", stats.vectors.rows_indexed),
                format!("vector_index_ms {}", stats.vectors.index_ms),
                format!("vectors_scanned {}", stats.vectors.scanned),
                format!("watches {}", stats.watches),
                format!("watches_behind_ms {}", stats.watches_behind_ms),
                format!("analyses {}", stats.analyses.len()),
            ];
            for (at, of) in stats.analyses.iter().enumerate() {
                let RunningAnalysis { json_type, series, cells, cells_total, elapsed_ms } = of;
                lines.push(format!("analysis_{at} {json_type} {series} {cells} {cells_total} {elapsed_ms}"));
            }
            ("figures of the database".to_owned(), lines)
        }
        Reply::Deleted { deleted } => (format!("{deleted} points deleted"), none()),
        Reply::Dropped => ("dropped".to_owned(), none()),
        Reply::Saved { path, bytes, series, points } => {
            (format!("saved {points} points of {series} series in {bytes} bytes to {path}"), none())
        }
        Reply::Loaded { path, series, points } => {
            (format!("loaded {points} points of {series} series from {path}"), none())
        }
        Reply::Flushed { flushed_points, segments_written } => {
            (format!("flushed {flushed_points} points to {segments_written} segments"), none())
        }
        Reply::Authenticated { role } => (format!("authenticated as {role}"), none()),
        Reply::Pong { .. } => ("PONG".to_owned(), none()),
        Reply::Help(commands) => {
            let line = |help: &super::CommandHelp| {
                format!("{} ({}): {}", help.syntax, help.json_type, help.description)
            };
            ("commands".to_owned(), commands.iter().map(line).collect())
        }
        Reply::Bye => ("BYE".to_owned(), none()),
        // Written piece by piece; see `start_text`.
        Reply::Inserted { .. }
        | Reply::Points { .. }
        | Reply::LongPoints(_)
        | Reply::Export(_)
        | Reply::Matches { .. }
        | Reply::SeriesList(_) => (String::new(), none()),
    }
}

/// JSON keeps the `.0` of whole numbers, by which many readers know that a number is no
/// integer.
fn push_values(values: &[f64], json: bool, decimals: &mut Decimals, out: &mut Vec<u8>) {
    for (at, &value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        decimals.push(value, json, out);
    }
}

impl Column {
    /// What these rows have in it.
    fn push(
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
    fn begin_next(self, rows: &Rows, out: &mut Vec<u8>) -> Option<Self> {
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

fn push_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn text_row(rows: &Rows, row: usize, decimals: &mut Decimals, out: &mut Vec<u8>) {
    push_integer(rows.timestamps_ns[row], out);
    out.push(b' ');
    push_values(rows.values_of(row), false, decimals, out);
    if let Some(labels) = rows.labels_of(row) {
        let _ = write!(out, " {labels}");
    }
    out.push(b'\n');
}

fn json_row(rows: &Rows, row: usize, as_strings: bool, decimals: &mut Decimals, out: &mut Vec<u8>) {
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

fn csv_header(dimension: usize) -> String {
    let mut header = String::from("timestamp_ns");
    for at in 0..dimension {
        let _ = write!(header, ",v{at}");
    }
    header.push_str(",labels");
    header
}

fn csv_row(rows: &Rows, row: usize, decimals: &mut Decimals, out: &mut Vec<u8>) {
    push_integer(rows.timestamps_ns[row], out);
    out.push(b',');
    push_values(rows.values_of(row), false, decimals, out);
    out.push(b',');
    if let Some(labels) = rows.labels_of(row) {
        out.extend_from_slice(csv_field(&labels.to_string()).as_bytes());
    }
}

/// A CSV field, quoted as RFC 4180 wants it where it must be.
pub fn csv_field(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    // Strings can always be written to memory.
    let _ = serde_json::to_writer(out, text);
}

/// The inside of a JSON string.
fn json_escape(utf8: &[u8], out: &mut Vec<u8>) {
    let mut quoted = Vec::with_capacity(utf8.len() + 8);
    json_string(&String::from_utf8_lossy(utf8), &mut quoted);
    out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PageSource;
    use crate::protocol::{
        AnalysisSummary, AnomalyRow, Findings, MatchRow, NeighborRow, WindowFlags, WindowRef,
    };

    fn rows() -> Rows {
        Rows {
            dimension: 2,
            timestamps_ns: vec![-1, 5],
            values: vec![1.0, -0.0, 1e300, 0.1],
            label_ids: vec![0, 1],
            label_sets: vec![Labels::empty(), Labels::new([("a", "x y"), ("b", "\"q\",")]).unwrap()],
        }
    }

    fn text(reply: Result<Reply>) -> String {
        String::from_utf8(Renderer::new(Envelope::default(), reply).render().unwrap()).unwrap()
    }

    fn json(reply: Result<Reply>, strings: bool) -> String {
        let envelope = Envelope { json: true, id: Some("7".into()), timestamps_as_strings: strings };
        String::from_utf8(Renderer::new(envelope, reply).render().unwrap()).unwrap()
    }

    fn points() -> Reply {
        Reply::Points {
            series: SeriesName::new("s").unwrap(),
            rows: rows(),
            next_start_ns: Some(9),
            form: PointsForm::Rows,
        }
    }

    /// Rows on a page each.
    struct RowByRow {
        whole: Rows,
        at: usize,
        broken: bool,
    }

    impl RowByRow {
        fn of(whole: Rows) -> Self {
            Self { whole, at: 0, broken: false }
        }
    }

    impl PageSource for RowByRow {
        fn next_page(&mut self) -> Result<Option<Rows>> {
            if self.broken {
                return Err(Error::corrupt("a block"));
            }
            let (at, whole) = (self.at, &self.whole);
            self.at += 1;
            Ok((at < whole.len()).then(|| Rows {
                timestamps_ns: vec![whole.timestamps_ns[at]],
                values: whole.values_of(at).to_vec(),
                label_ids: vec![whole.label_ids[at]],
                ..whole.clone()
            }))
        }

        fn rewind(&mut self) {
            self.at = 0;
        }

        fn let_go(&mut self) {}
    }

    /// The sample rows, on a page each.
    fn export(format: ExportFormat) -> Reply {
        let pages = Pages::new(RowByRow::of(rows()));
        let series = SeriesName::new("s").unwrap();
        Reply::Export(Export { series, format, dimension: 2, count: 2, pages })
    }

    #[test]
    fn an_export_as_json_is_like_a_query() {
        let page = Reply::Points {
            series: SeriesName::new("s").unwrap(),
            rows: rows(),
            next_start_ns: None,
            form: PointsForm::Rows,
        };
        assert_eq!(json(Ok(export(ExportFormat::Json)), false), json(Ok(page), false));
    }

    #[test]
    fn columns_hold_what_rows_hold() {
        for as_strings in [false, true] {
            let envelope = Envelope { json: true, timestamps_as_strings: as_strings, ..Envelope::default() };
            let read = |reply: Reply| -> serde_json::Value {
                let bytes = Renderer::new(envelope.clone(), Ok(reply)).render().unwrap();
                serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["data"].clone()
            };
            let by_rows = read(points());
            let columns = read(Reply::Points {
                series: SeriesName::new("s").unwrap(),
                rows: rows(),
                next_start_ns: Some(9),
                form: PointsForm::Columns,
            });
            for same in ["series", "dimension", "count", "truncated", "next_start_ns"] {
                assert_eq!(columns[same], by_rows[same], "{same}");
            }
            let points = by_rows["points"].as_array().unwrap();
            for (row, point) in points.iter().enumerate() {
                assert_eq!(columns["timestamps_ns"][row], point["timestamp_ns"]);
                assert_eq!(columns["values"][row], point["values"]);
                let id = columns["label_ids"][row].as_u64().unwrap() as usize;
                let labels = point.get("labels").cloned().unwrap_or_else(|| json!({}));
                assert_eq!(columns["label_sets"][id], labels);
            }
            assert_eq!(columns["timestamps_ns"].as_array().unwrap().len(), points.len());
        }
        let mut plain = Rows::new(1);
        plain.timestamps_ns = vec![1, 2];
        plain.values = vec![0.5, -3.0];
        let (series, form) = (SeriesName::new("s").unwrap(), PointsForm::Columns);
        let reply = Reply::Points { series, rows: plain, next_start_ns: None, form };
        let envelope = Envelope { json: true, ..Envelope::default() };
        let text = String::from_utf8(Renderer::new(envelope, Ok(reply)).render().unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"ok\":true,\"data\":{\"series\":\"s\",\"dimension\":1,\"count\":2,\"truncated\":false,\
             \"timestamps_ns\":[1,2],\"values\":[0.5,-3.0]}}\n"
        );
    }

    #[test]
    fn points_that_are_read_while_they_are_sent_look_the_same() {
        let json = Envelope { json: true, ..Envelope::default() };
        for envelope in [Envelope::default(), json] {
            for form in [PointsForm::Rows, PointsForm::Columns] {
                for (rows, next_start_ns) in [(rows(), Some(9)), (rows(), None), (Rows::new(2), None)] {
                    let series = SeriesName::new("s").unwrap();
                    let count = rows.len() as u64;
                    let pages = Pages::new(RowByRow::of(rows.clone()));
                    let long = LongPoints {
                        series: series.clone(),
                        dimension: 2,
                        count,
                        next_start_ns,
                        form,
                        pages,
                    };
                    let whole = Reply::Points { series, rows, next_start_ns, form };
                    let render = |reply| Renderer::new(envelope.clone(), Ok(reply)).render().unwrap();
                    assert_eq!(render(Reply::LongPoints(long)), render(whole));
                }
            }
        }
    }

    #[test]
    fn an_export_that_breaks_off_is_no_whole_reply() {
        let (broken, short) = (RowByRow { broken: true, ..RowByRow::of(rows()) }, RowByRow::of(Rows::new(2)));
        for pages in [broken, short, RowByRow::of(rows())].map(Pages::new) {
            let series = SeriesName::new("s").unwrap();
            let format = ExportFormat::Csv;
            let reply = Reply::Export(Export { series, format, dimension: 2, count: 3, pages });
            assert!(Renderer::new(Envelope::default(), Ok(reply)).render().is_err());
        }
    }

    #[test]
    fn point_rows() {
        assert_eq!(
            text(Ok(points())),
            "OK 2 points truncated next_start_ns=9\n-1 1,-0\n5 1e300,0.1 a=\"x y\",b=\"\\\"q\\\",\"\n"
        );
        assert_eq!(
            json(Ok(points()), true),
            "{\"ok\":true,\"id\":7,\"data\":{\"series\":\"s\",\"dimension\":2,\"count\":2,\"truncated\":true,\
             \"next_start_ns\":\"9\",\"points\":[{\"timestamp_ns\":\"-1\",\"values\":[1.0,-0.0]},\
             {\"timestamp_ns\":\"5\",\"values\":[1e300,0.1],\"labels\":{\"a\":\"x y\",\"b\":\"\\\"q\\\",\"}}]}}\n"
        );
        let csv =
            "timestamp_ns,v0,v1,labels\n-1,1,-0,\n5,1e300,0.1,\"a=\"\"x y\"\",b=\"\"\\\"\"q\\\"\",\"\"\"\n";
        assert_eq!(text(Ok(export(ExportFormat::Csv))), format!("OK 3 2 points as CSV\n{csv}"));
        let value: serde_json::Value =
            serde_json::from_str(&json(Ok(export(ExportFormat::Csv)), false)).unwrap();
        assert_eq!(value["data"]["csv"], csv);
    }

    #[test]
    fn the_labels_of_a_csv_row_read_back() {
        let mut reader = csv::Reader::from_reader(std::io::Cursor::new({
            let whole = text(Ok(export(ExportFormat::Csv)));
            whole.split_once('\n').unwrap().1.to_owned()
        }));
        let row = reader.records().nth(1).unwrap().unwrap();
        assert_eq!(super::super::parse_labels(&row[3]).unwrap(), rows().label_sets[1]);
    }

    #[test]
    fn long_replies_come_in_pieces() {
        let n = 10_000;
        let rows = Rows {
            dimension: 1,
            timestamps_ns: (0..n).collect(),
            values: (0..n).map(|v| v as f64).collect(),
            ..Rows::default()
        };
        let reply = |rows| Reply::Points {
            series: SeriesName::new("s").unwrap(),
            rows,
            next_start_ns: None,
            form: PointsForm::Rows,
        };
        let whole = Renderer::new(Envelope::default(), Ok(reply(rows.clone()))).render().unwrap();
        let mut renderer = Renderer::new(Envelope::default(), Ok(reply(rows)));
        let (mut pieces, mut all) = (0, Vec::new());
        loop {
            let mut piece = Vec::new();
            let done = renderer.fill(&mut piece, 1000).unwrap();
            assert!(piece.len() < 20_000);
            all.extend(piece);
            pieces += 1;
            if done {
                break;
            }
        }
        assert!(pieces > 10);
        assert_eq!(all, whole);
        assert_eq!(memchr::memchr_iter(b'\n', &whole).count(), n as usize + 1);
    }

    #[test]
    fn other_replies() {
        assert_eq!(text(Ok(Reply::Pong { version: "1".into() })), "OK 0 PONG\n");
        assert_eq!(text(Ok(Reply::Inserted { timestamp_ns: -5 })), "OK 0 -5\n");
        assert_eq!(json(Ok(Reply::Dropped), false), "{\"ok\":true,\"id\":7,\"data\":{\"dropped\":true}}\n");
        let error = Error::invalid("two\nlines");
        assert_eq!(text(Err(error.clone())), "ERR INVALID_ARGUMENT two lines\n");
        assert_eq!(
            json(Err(error), false),
            "{\"ok\":false,\"id\":7,\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"two\\nlines\"}}\n"
        );
        let summary = AnalysisSummary {
            window: 3,
            n: 9,
            max_gap_ns: Some(10),
            cells: 3,
            cells_total: 4,
            ..AnalysisSummary::default()
        };
        let at = |index: usize| WindowRef {
            timestamp_ns: index as i64,
            end_timestamp_ns: index as i64 + 2,
            index,
        };
        let row = AnomalyRow {
            at: at(1),
            window: None,
            score: 0.5,
            normalized_score: Some(0.25),
            flags: WindowFlags { near_gap: true, ..WindowFlags::default() },
            labels: Some(Labels::new([("k", "v")]).unwrap()),
            neighbor: Some(NeighborRow { at: at(6), distance: 0.5, labels: None }),
            neighbors: Vec::new(),
            dimensions: Vec::new(),
        };
        let reply = |summary: &AnalysisSummary, row: &AnomalyRow| Reply::Analysis {
            summary: summary.clone(),
            findings: Findings::Anomalies(vec![row.clone()]),
        };
        let anomalies = |summary: &AnalysisSummary| reply(summary, &row);
        assert_eq!(text(Ok(anomalies(&summary))), "OK 1 anomalies window=3 n=9\n0.5 1 3 6\n");
        let shown = json(Ok(anomalies(&summary)), true);
        for part in [
            "\"normalized_score\":0.25",
            "\"flags\":[\"near_gap\"]",
            "\"labels\":{\"k\":\"v\"}",
            "\"coverage\":0.75",
            "\"max_gap_ns\":\"10\"",
            "\"exact\":false",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        let alone = AnomalyRow {
            score: f64::INFINITY,
            normalized_score: None,
            flags: WindowFlags { no_neighbor: true, ..WindowFlags::default() },
            neighbor: None,
            ..row.clone()
        };
        assert!(text(Ok(reply(&summary, &alone))).ends_with("\n- 1 3 -\n"));
        let shown = json(Ok(reply(&summary, &alone)), false);
        assert!(shown.contains("\"score\":null") && shown.contains("\"neighbor_index\":null"), "{shown}");
        let summary = AnalysisSummary { skipped: 2, ..summary };
        assert_eq!(text(Ok(anomalies(&summary))), "OK 1 anomalies window=3 n=9 skipped=2\n0.5 1 3 6\n");
        let matched = MatchRow {
            timestamp_ns: 1,
            end_timestamp_ns: None,
            values: Some(vec![1.0, 2.0]),
            labels: Labels::new([("k", "v")]).unwrap(),
            similarity: 1.0,
            distance: None,
            series: None,
        };
        let matches =
            || Reply::Matches { matches: vec![matched.clone()], exact: true, scanned: 1, index: None };
        assert_eq!(text(Ok(matches())), "OK 1 matches, best first\n1 1 1,2 k=v\n");
        assert!(!json(Ok(matches()), false).contains("end_timestamp_ns"));
    }
}
