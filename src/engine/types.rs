//! What goes into the engine and what comes out.

use std::path::PathBuf;

use crate::base::{LabelFilter, Points, SeriesName, TimeRange, ValueType};

/// A change, checked for everything that needs no stored state.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Make a series.
    Create {
        /// Its name.
        name: SeriesName,
        /// Values a point has.
        dimension: u32,
        /// How they are stored.
        value_type: ValueType,
        /// Whether an equal series that exists already is fine.
        if_not_exists: bool,
    },
    /// Write points, all or none of them.
    Insert {
        /// Where to.
        series: SeriesName,
        /// At least one.
        points: Points,
    },
    /// Delete points.
    DeleteRange {
        /// Where from.
        series: SeriesName,
        /// Which time.
        range: TimeRange,
        /// Which label sets.
        labels: LabelFilter,
    },
    /// Remove a series and its points.
    Drop {
        /// Which one.
        name: SeriesName,
    },
}

impl Write {
    /// The series it is about.
    pub fn series(&self) -> &SeriesName {
        match self {
            Self::Create { name, .. } | Self::Drop { name } => name,
            Self::Insert { series, .. } | Self::DeleteRange { series, .. } => series,
        }
    }

    /// Bytes of its points.
    pub(super) fn points_bytes(&self) -> usize {
        match self {
            Self::Insert { points, .. } => 8 * (points.timestamps_ns.len() + points.values.len()),
            Self::Create { .. } | Self::DeleteRange { .. } | Self::Drop { .. } => 0,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// To `Create`.
    Created {
        /// False where the series was there.
        created: bool,
    },
    /// To `Insert`.
    Inserted {
        /// Points written.
        inserted: usize,
        /// Least timestamp.
        first_ns: i64,
        /// Greatest timestamp.
        last_ns: i64,
        /// The timestamps that were assigned, in the order of the points without one.
        assigned_ns: Vec<i64>,
    },
    /// To `DeleteRange`.
    Deleted {
        /// Points that are gone.
        deleted: u64,
    },
    /// To `Drop`.
    Dropped,
}

/// Which points to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Where from.
    pub series: SeriesName,
    /// Which time.
    pub range: TimeRange,
    /// Which label sets.
    pub labels: LabelFilter,
    /// Most rows; all rows of one timestamp stand on one page, so there may be more.
    pub limit: usize,
}

/// A series in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSummary {
    /// Its name.
    pub name: SeriesName,
    /// Values a point has.
    pub dimension: u32,
    /// How they are stored.
    pub value_type: ValueType,
    /// Its points.
    pub count: u64,
}

/// Figures of the whole database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Series.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Bytes of memtables and block cache.
    pub memory_bytes: u64,
    /// Bytes of logs and segments.
    pub disk_bytes: u64,
    /// Shards.
    pub shards: u64,
    /// Bytes of logs.
    pub wal_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Label sets of all series together, as the limit counts them.
    pub label_sets: u64,
}

/// What has happened since the engine was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Points accepted.
    pub points_written: u64,
    /// Group commits.
    pub wal_frames: u64,
    /// Syncs of logs.
    pub wal_syncs: u64,
    /// Bytes written to logs.
    pub wal_bytes_written: u64,
    /// Memtables flushed.
    pub flushes: u64,
    /// Compactions.
    pub compactions: u64,
    /// Bytes that compactions read.
    pub compaction_bytes_in: u64,
    /// Bytes that compactions wrote.
    pub compaction_bytes_out: u64,
    /// Block cache reads that found their block.
    pub cache_hits: u64,
    /// Block cache reads that did not.
    pub cache_misses: u64,
    /// Bytes of vectors that are kept for searches.
    pub vector_bytes: u64,
    /// Bytes of indexes of vectors on disk.
    pub vector_index_bytes: u64,
    /// Rows of segments that are worth an index of vectors.
    pub vector_rows: u64,
    /// Of these, rows that have one.
    pub vector_rows_indexed: u64,
    /// Indexes of vectors that were made.
    pub vector_indexes: u64,
    /// The time that this took, in milliseconds.
    pub vector_index_ms: u64,
    /// Vectors that searches compared with a query.
    pub vectors_scanned: u64,
    /// Shards that refuse writes.
    pub read_only_shards: u64,
    /// Files lost to damage.
    pub damaged_files: u64,
    /// Blocks of segments that failed their checks when they were read.
    pub damaged_blocks: u64,
    /// Series.
    pub series: u64,
    /// Label sets of all series together.
    pub label_sets: u64,
}

/// What a save wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Series in it.
    pub series: u64,
    /// Points in it.
    pub points: u64,
}

/// What a load read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// The file.
    pub path: PathBuf,
    /// Series in it.
    pub series: u64,
    /// Points in it.
    pub points: u64,
}

/// What a flush wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Points that left memory.
    pub flushed_points: u64,
    /// New segments.
    pub segments_written: u64,
}

/// What reading a range of a series takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Values a point has.
    pub dimension: u32,
    /// Upper bound of the points.
    pub rows: u64,
    /// Whether all that is read is in memory.
    pub is_at_hand: bool,
    /// About what merging the sources takes: much where there are many label sets.
    pub merge_bytes: u64,
}

/// Of two stamps of one name that are equal, the points are equal too: it changes with
/// every write and deletion, with a drop and a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesStamp {
    pub(super) generation: u64,
    pub(super) series_id: u64,
    pub(super) version: u64,
}
