//! What a client gets, whatever dialect it speaks.

use std::fmt;

use crate::base::{Labels, Result, Rows, SeriesName, ValueType};

use super::{AnalysisSummary, ExportFormat, Findings, PointsForm, WatchRequest, WatchRow};

/// One answer to one [`Command`](super::Command).
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// To `Create`.
    Created {
        /// The series.
        info: SeriesInfo,
        /// False where it had been there already.
        created: bool,
    },
    /// To `Insert`.
    Inserted {
        /// The point's timestamp.
        timestamp_ns: i64,
    },
    /// To `BatchInsert`.
    BatchInserted {
        /// Points of the batch.
        inserted: usize,
        /// Least timestamp.
        first_timestamp_ns: i64,
        /// Greatest timestamp.
        last_timestamp_ns: i64,
    },
    /// To `Query`.
    Points {
        /// The series.
        series: SeriesName,
        /// Its points, oldest first.
        rows: Rows,
        /// Where the next page starts, if there is one.
        next_start_ns: Option<i64>,
        /// How they are laid out in JSON.
        form: PointsForm,
    },
    /// To `Query`, where the points are too many to be held while they are sent.
    LongPoints(LongPoints),
    /// To `Export`.
    Export(Export),
    /// To `FindSimilar`.
    Matches {
        /// Best first.
        matches: Vec<MatchRow>,
        /// Whether every candidate was considered.
        exact: bool,
        /// Vectors or windows that were compared with the query.
        scanned: u64,
        /// The index that was used; `None` where everything was looked at.
        index: Option<&'static str>,
    },
    /// To `Analyze`.
    Analysis {
        /// What was searched.
        summary: AnalysisSummary,
        /// Best first, as the analysis understands it.
        findings: Findings,
    },
    /// To `Watch`.
    Watching(WatchRequest),
    /// To `Unwatch`.
    Unwatched {
        /// Watches that are gone.
        removed: usize,
    },
    /// To `Watches`.
    Watches(Vec<WatchRow>),
    /// To `Subscribe`; alerts come after it.
    Subscribed {
        /// Only those of this series.
        series: Option<SeriesName>,
    },
    /// To `Unsubscribe`; no alert comes after it.
    Unsubscribed,
    /// To `Stats` of one series.
    SeriesStats(SeriesStats),
    /// To `Stats` of everything.
    DatabaseStats(DatabaseStats),
    /// To `List`, sorted by name.
    SeriesList(Vec<SeriesInfo>),
    /// To `DeleteRange`.
    Deleted {
        /// Points that are gone.
        deleted: u64,
    },
    /// To `Drop`.
    Dropped,
    /// To `Save`.
    Saved {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// Series in it.
        series: u64,
        /// Points in it.
        points: u64,
    },
    /// To `Load`.
    Loaded {
        /// The file.
        path: String,
        /// Series in it.
        series: u64,
        /// Points in it.
        points: u64,
    },
    /// To `Flush`.
    Flushed {
        /// Points that went to segments.
        flushed_points: u64,
        /// New segments.
        segments_written: u64,
    },
    /// To `Auth`.
    Authenticated {
        /// What the token allows.
        role: String,
    },
    /// To `Ping`.
    Pong {
        /// The server's version.
        version: String,
    },
    /// To `Help`.
    Help(Vec<CommandHelp>),
    /// To `Quit`; the connection closes after it.
    Bye,
}

/// A whole selection, read while it is sent.
#[derive(Debug, PartialEq)]
pub struct Export {
    /// The series.
    pub series: SeriesName,
    /// How to show it.
    pub format: ExportFormat,
    /// Values a point has.
    pub dimension: usize,
    /// Points that the pages hold together.
    pub count: u64,
    /// The points, oldest first.
    pub pages: Pages,
}

/// Points that are read while they are sent.
#[derive(Debug, PartialEq)]
pub struct LongPoints {
    /// The series.
    pub series: SeriesName,
    /// Values a point has.
    pub dimension: usize,
    /// Points that the pages hold together.
    pub count: u64,
    /// Where the next selection starts, if there is one.
    pub next_start_ns: Option<i64>,
    /// How they are laid out in JSON.
    pub form: PointsForm,
    /// The points, oldest first.
    pub pages: Pages,
}

/// Where the rows of a long reply come from.
pub trait PageSource: Send {
    /// The next page; `None` after the last one.
    ///
    /// # Errors
    /// Where it can't be read.
    fn next_page(&mut self) -> Result<Option<Rows>>;

    /// Begins again with the first page, which will hold the same.
    fn rewind(&mut self);

    /// Gives back the memory of what can be read again: the next page is not wanted soon.
    fn let_go(&mut self);

    /// Bytes that are held between two pages, of those that all share.
    fn held_bytes(&self) -> u64 {
        0
    }
}

/// The rows of a long reply, asked for one page after another.
pub struct Pages(Box<dyn PageSource>);

impl Pages {
    /// The pages of a source.
    pub fn new(source: impl PageSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl std::ops::Deref for Pages {
    type Target = dyn PageSource;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::ops::DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.0
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// What has not been read can't be compared.
impl PartialEq for Pages {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

/// A series as `LIST` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesInfo {
    /// Its name.
    pub name: SeriesName,
    /// Values a point has.
    pub dimension: u32,
    /// How they are stored.
    pub value_type: ValueType,
    /// Its points.
    pub count: u64,
}

/// One match of `FindSimilar`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRow {
    /// First point.
    pub timestamp_ns: i64,
    /// Last point, where the match is a window.
    pub end_timestamp_ns: Option<i64>,
    /// The stored numbers, time-major; `None` where they are not wanted.
    pub values: Option<Vec<f64>>,
    /// Labels of the (first) point.
    pub labels: Labels,
    /// The greater, the more alike; −1 to 1 for a cosine.
    pub similarity: f64,
    /// For a metric that has one.
    pub distance: Option<f64>,
    /// Where it was found, where several series were searched.
    pub series: Option<SeriesName>,
}

/// Figures of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesStats {
    /// Name, dimension, type and count.
    pub info: SeriesInfo,
    /// Oldest point.
    pub first_timestamp_ns: Option<i64>,
    /// Newest point.
    pub last_timestamp_ns: Option<i64>,
    /// Distinct label sets.
    pub label_sets: u64,
    /// Segments that hold points of it.
    pub segments: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in segments.
    pub disk_bytes: u64,
    /// One entry a dimension; empty where the series has no points.
    pub per_dimension: Vec<DimensionStats>,
}

/// Figures of one dimension of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DimensionStats {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub stddev: f64,
}

/// Figures of everything.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseStats {
    /// The server's version.
    pub version: String,
    /// Since the server started.
    pub uptime_seconds: u64,
    /// Series.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Bytes in memtables and caches.
    pub memory_bytes: u64,
    /// Bytes of the data directory in use: logs and segments.
    pub disk_bytes: u64,
    /// Shards.
    pub shards: u64,
    /// Bytes in logs.
    pub wal_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Label sets of all series together, as the limit counts them.
    pub label_sets: u64,
    /// Searches for similar vectors.
    pub vectors: VectorStats,
    /// Profiles that are kept.
    pub watches: u64,
    /// For how long the slowest of them has had points that it has not seen.
    pub watches_behind_ms: u64,
    /// Analyses that are running, in the order in which they began.
    pub analyses: Vec<RunningAnalysis>,
}

/// How far an analysis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAnalysis {
    /// The `type` of its JSON request.
    pub json_type: &'static str,
    /// What is analysed.
    pub series: SeriesName,
    /// Pairs of windows that were looked at.
    pub cells: u64,
    /// Pairs of windows that will have been looked at, as far as that is known.
    pub cells_total: u64,
    /// Since it began.
    pub elapsed_ms: u64,
}

/// Figures of searches for similar vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VectorStats {
    /// Bytes of vectors in memory.
    pub memory_bytes: u64,
    /// Bytes of indexes on disk.
    pub index_bytes: u64,
    /// Rows of segments that are worth an index.
    pub rows: u64,
    /// Of these, rows that have one.
    pub rows_indexed: u64,
    /// Milliseconds that making indexes took since the start.
    pub index_ms: u64,
    /// Vectors that were compared with a query since the start.
    pub scanned: u64,
}

/// One command, for `HELP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandHelp {
    /// The word of the text dialect.
    pub name: &'static str,
    /// The `type` of the JSON dialect.
    pub json_type: &'static str,
    /// How it is written in text.
    pub syntax: &'static str,
    /// What it does.
    pub description: &'static str,
}
