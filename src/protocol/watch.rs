//! Profiles that are kept while points come, and the alerts of those who listen.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::base::{LabelFilter, SeriesName};

/// Windows that are kept and looked back at where nobody says how many.
pub const WATCH_POINTS_DEFAULT: usize = 65_536;
/// The most that may be asked for.
pub const WATCH_POINTS_MAX: usize = 1 << 20;
/// Half of the greatest score: where the best match has a correlation of ½.
pub const WATCH_THRESHOLD_DEFAULT: f64 = 0.5;

/// What is to be watched.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchRequest {
    /// Of which series.
    pub series: SeriesName,
    /// Which of its points.
    pub labels: LabelFilter,
    /// Points a window has, at least 3.
    pub window: usize,
    /// From which score, 0 to 1, on there is an alert.
    pub threshold: f64,
    /// Most points that are looked back at.
    pub points_max: usize,
}

/// A watch, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchRow {
    /// What is watched.
    pub watch: WatchRequest,
    /// Points that are kept.
    pub points: usize,
    /// The first of them.
    pub first_timestamp_ns: Option<i64>,
    /// The last of them.
    pub last_timestamp_ns: Option<i64>,
    /// The score of the newest window, 0 to 1.
    pub score: Option<f64>,
    /// Alerts since the server started.
    pub alerts: u64,
    /// For how long there have been points that it has not seen.
    pub behind_ms: u64,
    /// Why it does not go on, if it does not.
    pub problem: Option<String>,
}

/// A new window that is unlike all before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Of which series.
    pub series: SeriesName,
    /// Of which of its points.
    pub labels: LabelFilter,
    /// Points the window has.
    pub window: usize,
    /// The least score of an alert.
    pub threshold: f64,
    /// The window's first point.
    pub timestamp_ns: i64,
    /// Its last point: the new one.
    pub end_timestamp_ns: i64,
    /// Distance to the nearest earlier window.
    pub score: f64,
    /// The same from 0 to 1.
    pub normalized_score: f64,
    /// The first point of that window.
    pub neighbor_timestamp_ns: i64,
}

/// What a connection that listens gets between replies.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A window that is unlike all before it.
    Alert(Alert),
    /// So many alerts were not sent, because they were not read in time.
    Missed(u64),
}

fn labels(filter: &LabelFilter) -> Value {
    let pairs = filter.pairs().iter();
    pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

impl Notice {
    /// Appends the notice as a line; timestamps may be strings.
    pub fn render(&self, timestamps_as_strings: bool, out: &mut Vec<u8>) {
        let time = |ns: i64| if timestamps_as_strings { json!(ns.to_string()) } else { json!(ns) };
        let line = match self {
            Self::Missed(missed) => json!({ "missed": missed }),
            Self::Alert(alert) => {
                let mut fields = json!({
                    "series": alert.series.as_str(),
                    "window": alert.window,
                    "threshold": alert.threshold,
                    "timestamp_ns": time(alert.timestamp_ns),
                    "end_timestamp_ns": time(alert.end_timestamp_ns),
                    "score": alert.score,
                    "normalized_score": alert.normalized_score,
                    "neighbor_timestamp_ns": time(alert.neighbor_timestamp_ns),
                });
                if !alert.labels.is_any() {
                    fields["labels"] = labels(&alert.labels);
                }
                json!({ "alert": fields })
            }
        };
        // Writing to memory can't fail.
        let _ = writeln!(out, "{line}");
    }
}

impl WatchRequest {
    pub(super) fn json(&self) -> Value {
        let mut data = json!({
            "series": self.series.as_str(),
            "window": self.window,
            "threshold": self.threshold,
            "max_points": self.points_max,
        });
        if !self.labels.is_any() {
            data["labels"] = labels(&self.labels);
        }
        data
    }

    pub(super) fn text(&self) -> String {
        let Self { series, window, threshold, points_max, .. } = self;
        let text = format!("{series} window={window} threshold={threshold} max_points={points_max}");
        if self.labels.is_any() { text } else { format!("{text} {}", self.labels.pairs()) }
    }
}

impl WatchRow {
    pub(super) fn json(&self, time: impl Fn(i64) -> Value) -> Value {
        let mut row = self.watch.json();
        row["points"] = json!(self.points);
        row["first_timestamp_ns"] = json!(self.first_timestamp_ns.map(&time));
        row["last_timestamp_ns"] = json!(self.last_timestamp_ns.map(&time));
        row["normalized_score"] = json!(self.score);
        row["alerts"] = json!(self.alerts);
        row["behind_ms"] = json!(self.behind_ms);
        if let Some(problem) = &self.problem {
            row["problem"] = json!(problem);
        }
        row
    }

    pub(super) fn text(&self) -> String {
        let WatchRequest { series, window, threshold, labels, .. } = &self.watch;
        let score = self.score.map_or_else(|| "-".to_owned(), |score| score.to_string());
        let (points, behind) = (self.points, self.behind_ms);
        let text = format!("{series} {window} {threshold} {points} {score} {behind}");
        if labels.is_any() { text } else { format!("{text} {}", labels.pairs()) }
    }
}
