//! Replies as text.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::base::{Result, Rows};

use super::csv::csv_header;
use super::{Decimals, Renderer, RowForm, State, push_integer, push_values};
use crate::protocol::{
    CommandHelp, Export, LongPoints, MatchRow, Reply, RunningAnalysis, SeriesInfo, WatchRow, analysis,
};

impl Renderer {
    pub(super) fn start_text(&mut self, reply: Result<Reply>, out: &mut Vec<u8>) {
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
}

fn text_points_head(count: u64, next_start_ns: Option<i64>, out: &mut Vec<u8>) {
    let _ = write!(out, "OK {count} points");
    if let Some(next) = next_start_ns {
        let _ = write!(out, " truncated next_start_ns={next}");
    }
    out.push(b'\n');
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
pub(in super::super) fn float(value: f64) -> String {
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
            let line =
                |help: &CommandHelp| format!("{} ({}): {}", help.syntax, help.json_type, help.description);
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

pub(super) fn text_row(rows: &Rows, row: usize, decimals: &mut Decimals, out: &mut Vec<u8>) {
    push_integer(rows.timestamps_ns[row], out);
    out.push(b' ');
    push_values(rows.values_of(row), false, decimals, out);
    if let Some(labels) = rows.labels_of(row) {
        let _ = write!(out, " {labels}");
    }
    out.push(b'\n');
}
