//! One shard: its log, memtables, segments and catalog.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex, RwLock};
use crate::base::{
    Clock, Error, ErrorCode, Labels, MemoryBudget, MemoryShares, Result, SeriesName, TimeRange, caught,
};
use crate::manifest::{Loss, Manifest, ManifestStore, ObsoleteFiles};
use crate::memtable::Memtable;
use crate::merge::SeriesView;
use crate::segments::{BlockCache, Segment};
use crate::vfs::Vfs;
use crate::wal::{LogWriter, Record};

use super::cardinality::Cardinality;
use super::catalog::{Catalog, Series};
use super::commit::Queue;
use super::group::Ready;
use super::options::Options;
use super::vectors::VectorCache;

/// What all shards share.
pub(super) struct Environment {
    pub vfs: Arc<dyn Vfs>,
    pub clock: Arc<dyn Clock>,
    pub options: Options,
    /// Memory of memtables; what they leave is lent to the cache.
    pub budget: Arc<MemoryBudget>,
    pub cache: Arc<BlockCache>,
    pub vectors: VectorCache,
    pub obsolete: ObsoleteFiles,
    pub counts: Counts,
    /// Whether inserts were refused for lack of space when that was last looked at.
    pub disk_is_full: AtomicBool,
}

impl Environment {
    /// Takes memory for memtables.
    pub fn take_memory(&self, bytes: usize) {
        self.budget.take(bytes as u64);
        self.cache.trim();
    }

    /// Most bytes that one query may take.
    pub fn query_bytes_max(&self) -> u64 {
        MemoryShares::of(self.options.memory_limit_bytes).queries
    }

    /// Bytes of a journal. What it holds is in memory too, until it is in the logs.
    pub fn journal_bytes(&self) -> u64 {
        self.options.journal_bytes.min(self.options.memory_limit_bytes / 128)
    }

    /// Why nothing may be added to the disk, while its free space is down to the
    /// reserve.
    pub fn check_disk(&self) -> Result<()> {
        let reserve = self.options.disk_reserve_bytes;
        let checked = match self.vfs.free_bytes(&self.options.data_dir) {
            Ok(free) if free < reserve => Err(Error::new(
                ErrorCode::ReadOnly,
                format!(
                    "the disk of {} has {free} bytes free, fewer than the {reserve} that are kept for flushes \
                     (TSDB_DISK_RESERVE): free some space, or delete points; writes go on by themselves then",
                    self.options.data_dir.display()
                ),
            )),
            // A disk that can't say is found to be full when it is.
            _ => Ok(()),
        };
        if self.disk_is_full.load(Ordering::Relaxed) != checked.is_err() {
            self.disk_is_full.store(checked.is_err(), Ordering::Relaxed);
            if let Err(e) = &checked {
                tracing::warn!(error = %e, "inserts are refused");
            } else {
                tracing::info!("the disk has space again; inserts go on");
            }
        }
        checked
    }
}

/// What ends the refusals after a loss.
const WAYS_OUT: &str =
    "LOAD a snapshot; or start the server with --recover=accept-loss to take what is left for all there is";

/// The same where not even the shard's manifest can be read.
pub(super) const WAY_OUT_WITHOUT_MANIFEST: &str =
    "LOAD a snapshot: without its manifest nothing else can be done with this shard";

/// Monotonic counters.
#[derive(Default)]
pub(super) struct Counts {
    pub points_written: AtomicU64,
    pub wal_frames: AtomicU64,
    pub wal_syncs: AtomicU64,
    pub wal_bytes_written: AtomicU64,
    pub flushes: AtomicU64,
    pub compactions: AtomicU64,
    pub compaction_bytes_in: AtomicU64,
    pub compaction_bytes_out: AtomicU64,
    pub vector_indexes: AtomicU64,
    pub vector_index_ms: AtomicU64,
    pub vectors_scanned: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// A log file that is written no more.
pub(super) struct OldLog {
    pub path: PathBuf,
    pub first_seq: u64,
    pub last_seq: u64,
    pub bytes: u64,
}

/// What only the committer touches.
pub(super) struct LogState {
    /// `None` until the first write after a start or a rotation.
    pub writer: Option<LogWriter>,
    pub next_seq: u64,
}

/// What readers see; changed only under its lock, in the order of the log.
pub(super) struct State {
    pub catalog: Catalog,
    pub active: Memtable,
    /// Oldest first.
    pub frozen: Vec<Arc<Memtable>>,
    pub segments: Vec<Arc<Segment>>,
}

impl State {
    pub fn view(&self, series: &Series) -> SeriesView {
        let dimension = series.dimension as usize;
        let tables = self.frozen.iter().map(|table| &**table).chain([&self.active]);
        SeriesView {
            series_id: series.id,
            dimension,
            value_type: series.value_type,
            memory: tables
                .filter_map(|table| table.snapshot(series.id, dimension, series.value_type))
                .collect(),
            segments: self.segments.clone(),
        }
    }

    /// Whether a record from a log can be applied. A checksum says that a file is as it
    /// was written, not that it was written for this shard.
    ///
    /// # Errors
    /// `CORRUPT_DATA`.
    pub fn check_record(&self, record: &Record) -> Result<()> {
        match record {
            Record::Insert(insert) => {
                self.catalog.check_form(insert.series_id, insert.dimension, insert.values.value_type())
            }
            Record::Create { series_id, .. } if self.catalog.by_id(*series_id).is_none() => {
                let mut tables = self.frozen.iter().map(|table| &**table).chain([&self.active]);
                let mut segments = self.segments.iter();
                if tables.any(|table| table.series_points(*series_id) > 0)
                    || segments.any(|segment| segment.index().series(*series_id).is_some())
                {
                    return Err(Error::corrupt(format!(
                        "a new series has the id {series_id} of an older one"
                    )));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a point in memory or in a segment may carry a label set.
    fn may_carry(&self, series_id: u64, labels: &Labels) -> bool {
        let mut tables = self.frozen.iter().map(|table| &**table).chain([&self.active]);
        let stored = |segment: &Arc<Segment>| {
            let entry = segment.index().series(series_id);
            entry.is_some_and(|entry| entry.labels.binary_search(labels).is_ok())
        };
        tables.any(|table| table.has_labels(series_id, labels)) || self.segments.iter().any(stored)
    }

    /// Applies one record; returns the bytes that it takes in memory.
    pub fn apply(&mut self, record: &Record, seq: u64) -> usize {
        match record {
            Record::Create { series_id, name, dimension, value_type } => {
                // Where the manifest knows a later series of this name, this one was dropped
                // further on in the log.
                let has_successor =
                    self.catalog.get(name.as_str()).is_some_and(|known| known.id > *series_id);
                if self.catalog.by_id(*series_id).is_none() && !has_successor {
                    let series = Series::new(*series_id, name.clone(), *dimension, *value_type);
                    self.catalog.cardinality.note_series();
                    self.catalog.insert(Arc::new(series));
                }
                self.active.note_seq(seq);
                0
            }
            Record::Drop { series_id } => {
                self.catalog.remove(*series_id);
                self.active.note_seq(seq);
                0
            }
            // A record for a series that is gone: it was dropped further on in the
            // log, and the manifest knows already.
            Record::Insert(insert) => {
                if let Some(series) = self.catalog.by_id(insert.series_id) {
                    series.note_assigned(insert.assigned_max_ns);
                    series.changed(|| insert.timestamps.iter().copied().min().unwrap_or(i64::MAX));
                    self.active.insert(insert, seq)
                } else {
                    self.active.note_seq(seq);
                    0
                }
            }
            Record::Delete(delete) => {
                if let Some(series) = self.catalog.by_id(delete.series_id) {
                    series.changed(|| delete.range.start_ns);
                    self.active.delete(delete, seq)
                } else {
                    self.active.note_seq(seq);
                    0
                }
            }
        }
    }
}

/// The manifest and where it is kept; the lock serialises installs.
pub(super) struct ManifestState {
    pub store: Box<dyn ManifestStore>,
    pub manifest: Manifest,
    /// Ids handed out since the last install.
    pub next_segment_id: u64,
}

/// One shard.
///
/// Locks are taken in the order `log`, `manifest`, `state`. Nobody waits for a
/// flush while holding one of them. Readers take `state` alone, which nobody holds
/// across an operation on files.
pub(super) struct Shard {
    pub number: u32,
    pub dir: PathBuf,
    pub environment: Arc<Environment>,
    /// The owner's epoch.
    pub epoch: u32,
    /// What its generation drew by lot.
    pub origin: u64,
    /// What was lost to damage.
    pub losses: Vec<Loss>,
    pub queue: Mutex<Queue>,
    /// Where it says that something waits; of all shards of its group.
    pub ready: Arc<Ready>,
    pub log: Mutex<LogState>,
    /// Bytes of the log that is being written.
    pub log_bytes: AtomicU64,
    pub old_logs: Mutex<Vec<OldLog>>,
    /// Every record below this is on disk.
    pub durable_seq: AtomicU64,
    /// How many series and label sets the generation has.
    pub cardinality: Arc<Cardinality>,
    /// Label sets that a flush or a compaction left out; whoever holds `log` looks
    /// whether they are still somewhere.
    pub vanished: Mutex<Vec<(u64, Labels)>>,
    /// Only the holder of `log` moves it.
    pub next_series_id: AtomicU64,
    pub manifest: Mutex<ManifestState>,
    pub state: RwLock<State>,
    /// One flush at a time.
    pub flushing: Mutex<()>,
    /// Why the last log could not be made, until one can.
    pub log_failure: Mutex<Option<Error>>,
    /// Why the last flush failed, until one succeeds.
    pub flush_failure: Mutex<Option<Error>>,
    pub flushed: Condvar,
    /// One compaction at a time.
    pub compacting: Mutex<()>,
    /// Why writes are refused, for good.
    pub trouble: RwLock<Option<Error>>,
}

impl Shard {
    /// Refuses writes from now on; the first reason stays.
    pub fn refuse_writes(&self, reason: &Error) {
        let mut trouble = self.trouble.write();
        if trouble.is_none() {
            tracing::error!(shard = self.number, %reason, "the shard is read-only from now on");
            let reason_and_remedy = match reason.code() {
                ErrorCode::Internal => format!("since {}; reads go on; restart the server", reason.message()),
                _ => format!(
                    "since a write failed ({}); reads go on; mend the disk and restart the server",
                    reason.message()
                ),
            };
            *trouble =
                Some(Error::new(ErrorCode::ReadOnly, format!("writes are refused {reason_and_remedy}")));
        }
        drop(trouble);
        self.flushed.notify_all();
    }

    /// Gives the room of label sets back that no point carries any more. `log` keeps a
    /// write from bringing one back meanwhile.
    pub fn forget_vanished(&self, _log: &LogState) {
        let vanished = std::mem::take(&mut *self.vanished.lock());
        if vanished.is_empty() {
            return;
        }
        let state = self.state.read();
        for (series_id, labels) in &vanished {
            if let Some(series) = state.catalog.by_id(*series_id)
                && !state.may_carry(*series_id, labels)
            {
                self.cardinality.forget_label_set(series, labels);
            }
        }
    }

    /// Runs a step that changes the shard. After a panic, which may have left anything
    /// half done, the shard refuses writes, and the error says so.
    pub fn guarded<T>(&self, what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut panicked = true;
        let result = caught(what, || {
            let result = step();
            panicked = false;
            result
        });
        match result {
            Err(reason) if panicked => {
                self.refuse_writes(&reason);
                Err(self.trouble.read().clone().unwrap_or(reason))
            }
            result => result,
        }
    }

    /// A shard that refuses writes changes its files no more either.
    pub fn refuse_in_trouble(&self) -> Result<()> {
        self.trouble.read().clone().map_or(Ok(()), Err)
    }

    pub fn trouble(&self) -> Option<Error> {
        let passing = || self.log_failure.lock().clone().or_else(|| self.flush_failure.lock().clone());
        self.trouble.read().clone().or_else(passing)
    }

    /// A series and its points at one instant.
    pub fn view(&self, name: &SeriesName) -> Result<(Arc<Series>, u64, SeriesView)> {
        let state = self.state.read();
        let series = state.catalog.get(name.as_str()).ok_or_else(|| self.not_found(name))?;
        Ok((series.clone(), series.version(), state.view(series)))
    }

    /// Whether nothing of it is served, for its manifest can't be read.
    fn is_unreadable(&self) -> bool {
        self.trouble.read().as_ref().is_some_and(|trouble| trouble.code() == ErrorCode::CorruptData)
    }

    /// What ends the refusals here.
    fn ways_out(&self) -> &'static str {
        if self.is_unreadable() { WAY_OUT_WITHOUT_MANIFEST } else { WAYS_OUT }
    }

    /// Why a series is not known.
    pub fn not_found(&self, name: &SeriesName) -> Error {
        match self.losses.iter().find(|loss| loss.range() == TimeRange::ALL) {
            None => Error::series_not_found(name.as_str()),
            Some(loss) => Error::corrupt(format!(
                "series '{name}' is not known, but {} was damaged or is missing, and may have held it: {}{}",
                loss.file,
                if self.is_unreadable() { "" } else { "CREATE it anew, or " },
                self.ways_out()
            )),
        }
    }

    /// `CORRUPT_DATA` where a file that was lost to damage may have had points of this
    /// series in this range.
    pub fn check_losses(&self, series_id: u64, range: TimeRange) -> Result<()> {
        let mut losses = self.losses.iter().filter(|loss| series_id < loss.series_below);
        match losses.find(|loss| loss.range().overlaps(range)) {
            None => Ok(()),
            Some(loss) if loss.range() == TimeRange::ALL => Err(Error::corrupt(format!(
                "{} was damaged or is missing, and may have held any point of this series: {}",
                loss.file,
                self.ways_out()
            ))),
            Some(loss) => Err(Error::corrupt(format!(
                "{} was damaged or is missing, and may have held points of this series from {} to {}: query another time \
                 range, or {}",
                loss.file,
                loss.start_ns,
                loss.end_ns,
                self.ways_out()
            ))),
        }
    }

    /// Bytes of logs.
    pub fn wal_bytes(&self) -> u64 {
        let old: u64 = self.old_logs.lock().iter().map(|old| old.bytes).sum();
        old + self.log_bytes.load(Ordering::Relaxed)
    }
}
