//! What a client gets, whatever dialect it speaks.

use std::fmt;
use std::time::Duration;

use crate::base::{Labels, Result, Rows, SeriesName, ValueType};

use super::{ExportFormat, PointsForm, WatchRequest, WatchRow};

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
    /// To `Anomaly`.
    Anomalies {
        /// What was searched.
        summary: AnalysisSummary,
        /// Worst first.
        anomalies: Vec<AnomalyRow>,
    },
    /// To `Motif`.
    Motifs {
        /// What was searched.
        summary: AnalysisSummary,
        /// Closest first.
        motifs: Vec<MotifRow>,
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

/// What an analysis looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalysisSummary {
    /// Points a window has; the greatest of several lengths.
    pub window: usize,
    /// The least and the greatest length, where several were asked for.
    pub lengths: Option<(usize, usize)>,
    /// Points that were searched.
    pub n: usize,
    /// Label sets that were analysed, each by itself; 1 where they are joined.
    pub sequences: usize,
    /// Neighbours are more than this many points away.
    pub exclusion_zone: usize,
    /// The longest gap that a window may cross; `None` where no limit was applied.
    pub max_gap_ns: Option<u64>,
    /// Windows that took part.
    pub windows: u64,
    /// Windows that did not.
    pub skipped: u64,
    /// Pairs of windows that were looked at.
    pub cells: u64,
    /// Pairs of windows there are.
    pub cells_total: u64,
    /// Whether the time sufficed for the whole answer.
    pub exact: bool,
    /// From the start of the work to its end.
    pub elapsed: Duration,
    /// Whether it was known from an earlier request.
    pub cached: bool,
}

impl AnalysisSummary {
    /// The part of all pairs that was looked at, 0 to 1.
    pub fn coverage(&self) -> f64 {
        if self.cells == self.cells_total { 1.0 } else { self.cells as f64 / self.cells_total as f64 }
    }
}

/// What is particular about a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowFlags {
    /// One value in every dimension.
    pub constant: bool,
    /// A gap is less than a window's length away.
    pub near_gap: bool,
}

impl WindowFlags {
    /// The names of those that hold.
    pub fn names(self) -> Vec<&'static str> {
        [(self.constant, "constant"), (self.near_gap, "near_gap")]
            .into_iter()
            .filter_map(|(holds, name)| holds.then_some(name))
            .collect()
    }
}

/// One discord. Indexes count from the first point of its sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyRow {
    /// First point of the window.
    pub timestamp_ns: i64,
    /// Last point of the window.
    pub end_timestamp_ns: i64,
    /// The window's first point within the selection.
    pub index: usize,
    /// Its points, where several lengths were asked for.
    pub window: Option<usize>,
    /// Distance to the nearest neighbour.
    pub score: f64,
    /// The same as a part of the greatest there can be; z-normalised windows only.
    pub normalized_score: Option<f64>,
    /// What is particular about the window.
    pub flags: WindowFlags,
    /// Those of the window's points, where all of its sequence have the same.
    pub labels: Option<Labels>,
    /// Those of the neighbour's points, where it is in another selection.
    pub neighbor_labels: Option<Labels>,
    /// First point of the nearest neighbour.
    pub neighbor_timestamp_ns: i64,
    /// The same as an index.
    pub neighbor_index: usize,
}

/// One window of a motif.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRef {
    /// First point.
    pub timestamp_ns: i64,
    /// Last point.
    pub end_timestamp_ns: i64,
    /// The first point within the selection.
    pub index: usize,
}

/// One motif: a pair of windows, `a` the earlier, or that of the series.
#[derive(Debug, Clone, PartialEq)]
pub struct MotifRow {
    /// Between the two windows.
    pub distance: f64,
    /// The same as a part of the greatest there can be; z-normalised windows only.
    pub normalized_score: Option<f64>,
    /// What is particular about either window.
    pub flags: WindowFlags,
    /// Those of the windows' points, where all of their sequence have the same.
    pub labels: Option<Labels>,
    /// Those of the points of `b`, where it is in another selection.
    pub neighbor_labels: Option<Labels>,
    /// The earlier window.
    pub a: WindowRef,
    /// The later window.
    pub b: WindowRef,
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
