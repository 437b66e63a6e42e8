//! SKELETON: signatures only.
#![allow(clippy::pedantic, unused)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::*;

/// What happens where a file fails its checks at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recover {
    /// Refuse to open, naming file and offset.
    #[default]
    Strict,
    /// Serve the rest, answer `CORRUPT_DATA` for what is damaged.
    Degraded,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is on disk.
    #[default]
    Always,
    /// once written; synced every so often.
    Interval(Duration),
    /// once written; never synced by us
    None,
}

/// How an engine runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Where snapshots are; `<data_dir>/snapshots` where `None`.
    pub snapshot_dir: Option<PathBuf>,
    /// Shards, where the directory is new.
    pub shards: u32,
    /// Durability
    pub durability: Durability,
    /// Points a shard buffers before it flushes.
    pub buffer_points: usize,
    /// Budget of memtables, caches and queries together.
    pub memory_limit_bytes: u64,
    /// Damage at start.
    pub recover: Recover,
    /// False: no thread of its own; the caller of a write commits it, and `flush`, `compact` run only when called. For tests.
    pub background: bool,
}

/// A write, checked for everything that needs no stored state.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// ..
    Create { name: SeriesName, dimension: u32, value_type: ValueType, if_not_exists: bool },
    /// ..
    Insert { series: SeriesName, points: Points },
    /// ..
    DeleteRange { series: SeriesName, range: TimeRange, labels: LabelFilter },
    /// ..
    Drop { name: SeriesName },
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// whether the series is new
    Created { created: bool },
    /// ..
    Inserted { inserted: usize, first_ns: i64, last_ns: i64 },
    /// ..
    Deleted { deleted: u64 },
    /// ..
    Dropped,
}

/// ..
#[derive(Debug, Clone)]
pub struct Query {
    pub series: SeriesName,
    pub range: TimeRange,
    pub labels: LabelFilter,
    /// Most rows; a timestamp is never split, so there may be a few more. usize::MAX: all.
    pub limit: usize,
}

/// Rows and where the next page starts.
#[derive(Debug, Clone)]
pub struct Page {
    pub rows: Rows,
    pub next_start_ns: Option<i64>,
}

/// ..
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    pub name: SeriesName,
    pub dimension: u32,
    pub value_type: ValueType,
    pub count: u64,
}
/// ..
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFigures {
    pub summary: SeriesSummary,
    pub first_ns: Option<i64>,
    pub last_ns: Option<i64>,
    pub label_sets: u64,
    pub segments: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    /// min, max, mean, population stddev per dimension; empty where no points
    pub per_dimension: Vec<DimensionSummary>,
}
/// ..
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DimensionSummary {
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub stddev: f64,
}
/// ..
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    pub series: u64,
    pub points: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub shards: u64,
    pub wal_bytes: u64,
    pub segments: u64,
}
/// ..
#[derive(Debug, Clone, PartialEq)]
pub struct SaveReport {
    pub path: PathBuf,
    pub bytes: u64,
    pub series: u64,
    pub points: u64,
}
/// ..
#[derive(Debug, Clone, PartialEq)]
pub struct LoadReport {
    pub path: PathBuf,
    pub series: u64,
    pub points: u64,
}
/// ..
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlushReport {
    pub flushed_points: u64,
    pub segments_written: u64,
}
/// Counters for /metrics; monotonic since open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub points_written: u64,
    pub wal_frames: u64,
    pub wal_syncs: u64,
    pub wal_bytes_written: u64,
    pub flushes: u64,
    pub compactions: u64,
    pub compaction_bytes_in: u64,
    pub compaction_bytes_out: u64,
    pub read_only_shards: u64,
    pub damaged_files: u64,
}

/// An open database; cheap to clone, all clones are the same database.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<()>,
}

impl Engine {
    /// Opens (creating where new) the real disk's directory, locks it, recovers. Errors: INVALID_ARGUMENT lock held (message names directory and lock), CORRUPT_DATA.
    pub fn open(options: Options) -> Result<Engine> {
        unimplemented!()
    }
    /// Queues a write; never blocks on disk. `done` runs exactly once, on a commit thread (keep it short), after the write is durable and readable or has failed. Writes to one series complete in submission order.
    pub fn submit(&self, write: Write, done: impl FnOnce(Result<Written>) + Send + 'static) {
        unimplemented!()
    }
    /// submit and wait.
    pub fn write(&self, write: Write) -> Result<Written> {
        unimplemented!()
    }
    /// dimension etc of a series. SERIES_NOT_FOUND.
    pub fn describe(&self, series: &SeriesName) -> Result<(u32, ValueType)> {
        unimplemented!()
    }
    /// Upper bound of rows that a query would touch, from metadata; cheap.
    pub fn estimate_rows(&self, series: &SeriesName, range: TimeRange) -> Result<u64> {
        unimplemented!()
    }
    /// Blocking; reads memory and disk.
    pub fn query(&self, query: &Query, deadline: &Deadline) -> Result<Page> {
        unimplemented!()
    }
    pub fn series_figures(&self, series: &SeriesName, deadline: &Deadline) -> Result<SeriesFigures> {
        unimplemented!()
    }
    pub fn list(&self, deadline: &Deadline) -> Result<Vec<SeriesSummary>> {
        unimplemented!()
    }
    pub fn series_names(&self) -> Vec<SeriesName> {
        unimplemented!()
    }
    pub fn totals(&self, deadline: &Deadline) -> Result<Totals> {
        unimplemented!()
    }
    /// Cheap, no scan.
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }
    pub fn save(&self, path: &str, deadline: &Deadline) -> Result<SaveReport> {
        unimplemented!()
    }
    pub fn load(&self, path: &str, deadline: &Deadline) -> Result<LoadReport> {
        unimplemented!()
    }
    /// for TSDB_DATA_FILE: paths chosen by the operator, not bound to the snapshot directory
    pub fn save_to(&self, path: &Path) -> Result<SaveReport> {
        unimplemented!()
    }
    pub fn load_from(&self, path: &Path) -> Result<LoadReport> {
        unimplemented!()
    }
    /// true where no series was ever created (for TSDB_DATA_FILE)
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    pub fn flush(&self) -> Result<FlushReport> {
        unimplemented!()
    }
    /// Why writes are refused, if they are (for /ready).
    pub fn write_trouble(&self) -> Option<String> {
        unimplemented!()
    }
    /// the shared clock
    pub fn now_ns(&self) -> i64 {
        unimplemented!()
    }
    /// Flushes nothing that is durable already; syncs logs, stops the threads, releases the lock. Later writes fail.
    pub fn close(&self) -> Result<()> {
        unimplemented!()
    }
}
