//! Bytes in, [`Command`] out; [`Reply`] in, bytes out.
//!
//! Three dialects share one vocabulary: the text lines that a person types, JSON
//! lines, and HTTP (whose body is one JSON request). Nothing here opens a socket
//! or knows the engine: a server feeds bytes and gets commands, a client feeds
//! replies and gets bytes. `docs/protocol.md` is the page for client authors.

mod analysis;
mod command;
mod decimal;
mod duration;
mod framing;
mod help;
mod http;
mod json;
mod line;
mod points;
mod render;
mod reply;
mod request;
mod scan;
mod text;
mod watch;

pub use analysis::{
    Analysis, AnalysisKind, AnalysisSummary, AnomalyOptions, AnomalyRow, ChainRow, ChangeRow, Curve,
    DimensionDistance, Distance, DistanceRow, Findings, LENGTHS_MAX, MotifOptions, MotifRow, NEIGHBORS_MAX,
    NeighborRow, Resample, Sampling, SnippetRow, WindowFlags, WindowRef, With,
};
pub use command::{Command, ExportFormat, Like, Place, PointsForm, Similar, TimeSelection};
pub use framing::{Framing, Violation};
pub use help::{COMMANDS, find_help};
pub use http::{Sniff, http_status, is_http_line, sniff};
pub use json::parse_json;
pub use line::{Line, next_line, parse_line};
pub use render::{Renderer, csv_field, push_point_written};
pub use reply::{
    CommandHelp, DatabaseStats, DimensionStats, Export, LongPoints, MatchRow, PageSource, Pages, Reply,
    RunningAnalysis, SeriesInfo, SeriesStats, VectorStats,
};
pub use request::json_request;
pub use scan::{PointLine, scan_point};
pub use text::{parse_labels, parse_text, split_words};
pub use watch::{
    Alert, Notice, WATCH_POINTS_DEFAULT, WATCH_POINTS_MAX, WATCH_THRESHOLD_DEFAULT, WatchRequest, WatchRow,
};

use crate::base::Error;

/// How the sender of a request wants its reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// JSON, or text.
    pub json: bool,
    /// The JSON request's `id`, as it was written.
    pub id: Option<String>,
    /// Timestamps as strings (JSON).
    pub timestamps_as_strings: bool,
}

/// A request, as far as it could be understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// How to answer, whatever becomes of the command.
    pub envelope: Envelope,
    /// What is asked.
    pub command: Result<Command, Error>,
}
