//! What a client can ask for, whatever dialect it spoke.

use crate::base::{LabelFilter, Metric, Points, SeriesName, TimeRange, ValueType};

use super::{Analysis, WatchRequest};

/// One checked request. Everything that can be checked without the engine has
/// been: names, labels, ranges, finite numbers, positive limits.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make a series.
    Create {
        /// Its name.
        name: SeriesName,
        /// Values a point has, 1 to 65,536.
        dimension: u32,
        /// How they are stored.
        value_type: ValueType,
        /// Whether an equal series that exists already is fine.
        if_not_exists: bool,
    },
    /// Write one point; the reply carries its timestamp.
    Insert {
        /// Where to.
        series: SeriesName,
        /// Exactly one point.
        points: Points,
    },
    /// Write a batch, all or nothing.
    BatchInsert {
        /// Where to.
        series: SeriesName,
        /// At least one point.
        points: Points,
    },
    /// Read points.
    Query {
        /// Where from.
        series: SeriesName,
        /// Which of its time.
        time: TimeSelection,
        /// Which of its points.
        labels: LabelFilter,
        /// Most rows of the reply; the server's limit where absent.
        limit: Option<usize>,
        /// How the reply is laid out in JSON.
        form: PointsForm,
    },
    /// Find the points or windows that are most like a query.
    FindSimilar(Box<Similar>),
    /// Find what is unusual or comes again in windows of points.
    Analyze(Box<Analysis>),
    /// Keep a profile while points come.
    Watch(WatchRequest),
    /// Keep it no longer.
    Unwatch {
        /// Of which series.
        series: SeriesName,
        /// Only the one of this window.
        window: Option<usize>,
    },
    /// Name everything that is watched.
    Watches,
    /// Send alerts on this connection.
    Subscribe {
        /// Only those of this series.
        series: Option<SeriesName>,
    },
    /// Send no more alerts on it.
    Unsubscribe,
    /// Figures of one series, or of everything where `None`.
    Stats {
        /// The series.
        series: Option<SeriesName>,
    },
    /// Name every series.
    List,
    /// Delete points.
    DeleteRange {
        /// Where from.
        series: SeriesName,
        /// Which of its time.
        range: TimeRange,
        /// Which of its points.
        labels: LabelFilter,
    },
    /// Remove a series and its points.
    Drop {
        /// Its name.
        name: SeriesName,
    },
    /// Write a snapshot of everything.
    Save {
        /// The path as the client gave it.
        path: String,
    },
    /// Replace everything by a snapshot.
    Load {
        /// The path as the client gave it.
        path: String,
    },
    /// Write what is in memory to segments.
    Flush,
    /// Read a whole series.
    Export {
        /// Which one.
        series: SeriesName,
        /// How to show it. The text dialect always shows CSV.
        format: ExportFormat,
        /// Which of its time.
        range: TimeRange,
        /// Which of its points.
        labels: LabelFilter,
    },
    /// Present a token.
    Auth {
        /// The token; never log it.
        token: String,
    },
    /// Is anybody there?
    Ping,
    /// What can be asked?
    Help {
        /// About one command, in either dialect's spelling.
        command: Option<String>,
    },
    /// Close the connection (text dialect).
    Quit,
}

impl Command {
    /// Its name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Insert { .. } => "insert",
            Self::BatchInsert { .. } => "batch_insert",
            Self::Query { .. } => "query",
            Self::FindSimilar(_) => "similar",
            Self::Analyze(analysis) => analysis.kind.name(),
            Self::Watch(_) => "watch",
            Self::Unwatch { .. } => "unwatch",
            Self::Watches => "watches",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Stats { .. } => "stats",
            Self::List => "list",
            Self::DeleteRange { .. } => "delete_range",
            Self::Drop { .. } => "drop",
            Self::Save { .. } => "save",
            Self::Load { .. } => "load",
            Self::Flush => "flush",
            Self::Export { .. } => "export",
            Self::Auth { .. } => "auth",
            Self::Ping => "ping",
            Self::Help { .. } => "help",
            Self::Quit => "quit",
        }
    }
}

/// What is sought, where, and how likeness is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Similar {
    /// Where to look.
    pub place: Place,
    /// What it should be like.
    pub like: Like,
    /// Most matches, at least 1.
    pub limit: usize,
    /// Least similarity of a match; `None`: any will do.
    pub threshold: Option<f64>,
    /// Which of its time.
    pub range: TimeRange,
    /// Which of its points.
    pub labels: LabelFilter,
    /// Whether an index may not be used.
    pub exact: bool,
    /// The part of the true matches that must be found where an index is used.
    pub recall_target: f64,
    /// How likeness is measured.
    pub metric: Metric,
    /// Z-normalise windows, and centre points.
    pub normalize: bool,
    /// Whether the reply carries the stored numbers.
    pub include_values: bool,
}

impl Similar {
    /// With defaults for all that may be left out.
    pub fn new(place: Place, like: Like) -> Self {
        Self {
            place,
            like,
            limit: 10,
            threshold: None,
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
            exact: true,
            recall_target: 0.99,
            metric: Metric::Cosine,
            normalize: false,
            include_values: true,
        }
    }
}

/// Which series a search looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One.
    Series(SeriesName),
    /// All whose names match: `*` stands for any characters, `?` for one.
    Pattern(String),
}

/// What matches should be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Like {
    /// `dimension` numbers, or `m × dimension` of them, time-major.
    Vector(Vec<f64>),
    /// What happened then: so many points of a series from a time on.
    Then {
        /// The series.
        series: SeriesName,
        /// The first point is the first at this time or after it.
        timestamp_ns: i64,
        /// How many points, at least 1.
        window: usize,
        /// Which of its points.
        labels: LabelFilter,
    },
}
/// How points are laid out in a JSON reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PointsForm {
    /// An object for each.
    #[default]
    Rows,
    /// An array for each of what they have.
    Columns,
}

/// How a query says which time it means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TimeSelection {
    /// From so many hours before the server's clock, without an end.
    HoursBack(f64),
    /// From start to end.
    Range(TimeRange),
}

/// How an export is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// As a query's reply.
    Json,
    /// As CSV.
    Csv,
}
