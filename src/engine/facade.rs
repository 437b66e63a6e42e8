//! The engine as its callers see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, RwLock, in_parallel, mpsc};
use crate::base::{
    Clock, Deadline, Error, ErrorCode, LabelFilter, MemoryBudget, MemoryShares, Result, Rows, SeriesName,
    SystemClock, TimeRange, ValueType,
};
use crate::format::LOCK;
use crate::manifest::{Database, ObsoleteFiles, refuse_newer, remove_generation, stale_generations};
use crate::merge::SeriesView;
use crate::query::{
    Extent, Page, PageReader, SeriesFigures, count_at_most, count_points, count_range, series_figures,
};
use crate::segments::BlockCache;
use crate::vfs::{DirLock, RealDisk, Vfs, create_dir_durable};

use super::catalog::Series;
use super::generation::Generation;
use super::options::{Options, Recover};
use super::shard::{Counts, Environment, Shard};
use super::snapshot_path::remove_unfinished;
use super::types::{
    Counters, Estimate, FlushReport, Query, SeriesStamp, SeriesSummary, Totals, Write, Written,
};
use super::vectors::{InPool, PointMatches, PointQuery, VectorCache, find_points};
use super::watches::{self, Watch};

/// An open database. Cheap to clone; all clones are the same database, which closes
/// when [`close`](Self::close) is called or the last clone goes.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub environment: Arc<Environment>,
    pub database: Database,
    /// Replaced as a whole by a load. Submitters hold it for reading, so that none
    /// can be between the old generation and the new one.
    pub generation: RwLock<Generation>,
    /// One save or load at a time.
    pub snapshot: Mutex<()>,
    pub watches: Mutex<Vec<Watch>>,
    lock: Mutex<Option<Box<dyn DirLock>>>,
}

impl Engine {
    /// Opens the database in the options' directory on the real disk, making it where
    /// there is none, and replays its logs.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` where another process has it open, naming the lock;
    /// `CORRUPT_DATA` naming file and place; `READ_ONLY` where the disk refuses.
    pub fn open(options: Options) -> Result<Self> {
        Self::open_with(Arc::new(RealDisk), Arc::new(SystemClock), options)
    }

    /// The same on any disk and clock.
    pub fn open_with(vfs: Arc<dyn Vfs>, clock: Arc<dyn Clock>, options: Options) -> Result<Self> {
        options.check()?;
        let dir = options.data_dir.clone();
        let on_disk = |e: std::io::Error| {
            Error::new(
                ErrorCode::ReadOnly,
                format!("data directory {}: {e}; choose a directory that can be written", dir.display()),
            )
        };
        create_dir_durable(vfs.as_ref(), &dir).map_err(on_disk)?;
        let lock_path = dir.join(LOCK);
        let Some(lock) = vfs.try_lock(&lock_path).map_err(on_disk)? else {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "data directory {} is in use by another process (it holds the lock {}); stop that one, or choose \
                     another data directory",
                    dir.display(),
                    lock_path.display()
                ),
            ));
        };
        refuse_newer(vfs.as_ref(), &dir)?;
        let (database, live) = match Database::open_or_create(vfs.clone(), &dir, options.shards) {
            Err(e) if e.code() != ErrorCode::CorruptData => return Err(e),
            _ if options.recover != Recover::Strict => Database::mend(vfs.clone(), &dir)?,
            opened => opened?,
        };
        let stale = stale_generations(vfs.as_ref(), &dir, Some(live.generation))?;
        if !stale.is_empty() {
            // A process that was killed may not have synced the CURRENT that was read.
            vfs.sync_dir(&dir).map_err(on_disk)?;
        }
        for stale in stale {
            tracing::info!(generation = stale, "removing what an interrupted load left");
            remove_generation(vfs.as_ref(), &dir, stale)?;
        }
        remove_unfinished(vfs.as_ref(), &options.snapshot_dir());
        let watches = watches::open(vfs.as_ref(), &options)?;
        let memory = MemoryShares::of(options.memory_limit_bytes);
        let budget = Arc::new(MemoryBudget::new(memory.memtables));
        let cache = BlockCache::new(memory.blocks as usize).borrowing(budget.clone(), memory.lent);
        let cache = Arc::new(cache);
        let environment = Arc::new(Environment {
            obsolete: ObsoleteFiles::new(vfs.clone()),
            vfs,
            clock,
            budget,
            vectors: VectorCache::new(cache.clone(), memory.blocks / 2),
            cache,
            counts: Counts::default(),
            disk_is_full: AtomicBool::new(false),
            options,
        });
        let live_dir = database.generation_dir(live.generation);
        let mut generation = Generation::open(&environment, &live_dir, live, database.shards())?;
        if environment.options.background {
            generation.start();
        }
        Ok(Self {
            inner: Arc::new(Inner {
                environment,
                database,
                generation: RwLock::new(generation),
                snapshot: Mutex::new(()),
                watches: Mutex::new(watches),
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    /// Queues a write for the next group commit. `done` is called once, by whoever
    /// commits it, when the write is durable and readable or has failed; it should be
    /// short. Writes to one series take effect in the order of submission.
    pub fn submit(&self, write: Write, done: impl FnOnce(Result<Written>) + Send + 'static) {
        let generation = self.inner.generation.read();
        let shard = generation.shard(write.series());
        shard.submit(write, Box::new(done));
        if self.inner.environment.options.background {
            shard.ready.wake();
        } else {
            shard.commit_pending();
        }
    }

    /// Queues a write as [`submit`](Self::submit) does, to be committed by a call of
    /// [`commit`](Self::commit) once all are queued that should be committed together.
    pub fn queue(&self, write: Write, done: impl FnOnce(Result<Written>) + Send + 'static) {
        let generation = self.inner.generation.read();
        generation.shard(write.series()).submit(write, Box::new(done));
    }

    /// Commits everything that is queued on this thread, where no other is at it. Says
    /// whether more was queued meanwhile, which the caller is to commit too: by calling this
    /// again once those have their answers who waited for this time.
    #[must_use = "what was queued meanwhile waits for another call"]
    pub fn commit(&self) -> bool {
        let generation = self.inner.generation.read();
        if self.inner.environment.options.background {
            generation.groups.iter().fold(false, |more, group| more | group.commit_here())
        } else {
            generation.shards.iter().for_each(|shard| shard.commit_pending());
            false
        }
    }

    /// Writes, and waits until the write is durable and readable.
    ///
    /// # Errors
    /// Of the request: `SERIES_NOT_FOUND`, `SERIES_EXISTS`, `DIMENSION_MISMATCH`,
    /// `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`; of the disk: `READ_ONLY`.
    pub fn write(&self, write: Write) -> Result<Written> {
        self.check_deletion(&write, &Deadline::none())?;
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(write, move |result| {
            // The receiver waits below.
            let _ = sender.send(result);
        });
        receiver.recv().map_err(|_| Error::internal("a write was dropped without an answer"))?
    }

    /// Refuses a deletion that could not say how many points it hides, since a block of them is
    /// damaged; reads what the deletion is about. [`write`](Self::write) does it by itself.
    ///
    /// # Errors
    /// `CORRUPT_DATA`, `TIMEOUT`.
    pub fn check_deletion(&self, write: &Write, deadline: &Deadline) -> Result<()> {
        let Write::DeleteRange { series, range, labels } = write else { return Ok(()) };
        // What else is wrong with it is told where it is committed.
        let Ok((_, _, view)) = self.shard(series).view(series) else { return Ok(()) };
        count_range(&view, *range, labels, deadline).map(drop)
    }

    pub(super) fn shard(&self, name: &SeriesName) -> Arc<Shard> {
        self.inner.generation.read().shard(name).clone()
    }

    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.inner.generation.read().shards.clone()
    }

    /// Dimension and value type of a series.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`.
    pub fn describe(&self, series: &SeriesName) -> Result<(u32, ValueType)> {
        let shard = self.shard(series);
        let state = shard.state.read();
        let found = state.catalog.get(series.as_str()).ok_or_else(|| shard.not_found(series))?;
        Ok((found.dimension, found.value_type))
    }

    /// What a series' content is known by; cheap. Whoever takes a stamp, then reads, may
    /// take what was read for the content as long as the series has this stamp.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`.
    pub fn stamp(&self, series: &SeriesName) -> Result<SeriesStamp> {
        let generation = self.inner.generation.read();
        let shard = generation.shard(series);
        let state = shard.state.read();
        let found = state.catalog.get(series.as_str()).ok_or_else(|| shard.not_found(series))?;
        Ok(SeriesStamp {
            generation: generation.record.generation,
            series_id: found.id,
            version: found.version(),
        })
    }

    /// A span that all points of a series are in, from metadata; cheap. Deleted ones may have
    /// been at its ends.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`.
    pub fn extent(&self, series: &SeriesName) -> Result<Option<TimeRange>> {
        self.shard(series).view(series).map(|(_, _, view)| view.extent())
    }

    /// What reading the points of a range and of some labels takes, from metadata; cheap. Where
    /// it `fetches`, a few small blocks that the system has in memory are decoded for it, and
    /// are in the cache afterwards.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`.
    pub fn estimate(
        &self,
        series: &SeriesName,
        range: TimeRange,
        labels: &LabelFilter,
        fetches: bool,
    ) -> Result<Estimate> {
        let (found, _, view) = self.shard(series).view(series)?;
        let (rows, is_at_hand) = view.estimate_rows(range, fetches);
        let merge_bytes = view.merge_bytes(range, |set| labels.matches(set));
        Ok(Estimate { dimension: found.dimension, rows, is_at_hand, merge_bytes })
    }

    /// Reads points.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `TIMEOUT`, `CORRUPT_DATA`; `LIMIT_EXCEEDED` where the rows
    /// would take more memory than one query may.
    pub fn query(&self, query: &Query, deadline: &Deadline) -> Result<Page> {
        let shard = self.shard(&query.series);
        let (series, _, view) = shard.view(&query.series)?;
        shard.check_losses(series.id, query.range)?;
        let bytes_max = self.inner.environment.query_bytes_max();
        let page =
            PageReader::new(view, query.range, &query.labels).next_page(query.limit, bytes_max, deadline)?;
        page.ok_or_else(|| Error::internal("a selection without a first page"))
    }

    /// Pins a selection, to be read page by page: what is written meanwhile is not
    /// seen.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `CORRUPT_DATA`.
    pub fn scan(&self, query: Query) -> Result<Scan> {
        let shard = self.shard(&query.series);
        let (series, _, view) = shard.view(&query.series)?;
        shard.check_losses(series.id, query.range)?;
        let bytes_max = self.inner.environment.query_bytes_max();
        Ok(Scan::of(view, query, bytes_max))
    }

    /// Finds the points of a range that the filter matches and that are most like each of
    /// some queries, all at one instant.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `TIMEOUT`, `CORRUPT_DATA`.
    pub fn find_points(
        &self,
        series: &SeriesName,
        (range, labels): (TimeRange, &LabelFilter),
        queries: &[PointQuery],
        deadline: &Deadline,
    ) -> Result<Vec<PointMatches>> {
        self.find_points_with(series, (range, labels), queries, deadline, &|work| work())
    }

    /// The same; what several threads should share runs in `in_pool`.
    ///
    /// # Errors
    /// As [`find_points`](Self::find_points).
    pub fn find_points_with(
        &self,
        series: &SeriesName,
        (range, labels): (TimeRange, &LabelFilter),
        queries: &[PointQuery],
        deadline: &Deadline,
        in_pool: InPool<'_>,
    ) -> Result<Vec<PointMatches>> {
        let shard = self.shard(series);
        let (found, _, view) = shard.view(series)?;
        shard.check_losses(found.id, range)?;
        let environment = &self.inner.environment;
        let bytes_max = environment.query_bytes_max();
        let vectors = &environment.vectors;
        let found = find_points(&view, vectors, (range, labels), queries, bytes_max, deadline, in_pool)?;
        self.note_scanned(found.iter().map(|found| found.scanned).sum());
        Ok(found)
    }

    /// Most bytes of rows that one query may hold.
    pub fn query_bytes_max(&self) -> u64 {
        self.inner.environment.query_bytes_max()
    }

    /// Figures of one series; reads all of it.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `TIMEOUT`, `CORRUPT_DATA`.
    pub fn series_figures(&self, series: &SeriesName, deadline: &Deadline) -> Result<SeriesFigures> {
        let shard = self.shard(series);
        let (found, version, view) = shard.view(series)?;
        shard.check_losses(found.id, TimeRange::ALL)?;
        let figures = series_figures(&view, deadline)?;
        found.cache_count(version, figures.count);
        Ok(figures)
    }

    /// The points of a series; counted once for each version of it. Where a block of it is damaged,
    /// as many as there can be.
    fn count(shard: &Shard, series: &Series, deadline: &Deadline) -> Result<Option<u64>> {
        if let Some(count) = series.cached_count(series.version()) {
            return Ok(Some(count));
        }
        let (version, view) = {
            let state = shard.state.read();
            // Dropped, or dropped and made again, since it was listed.
            if state.catalog.by_id(series.id).is_none() {
                return Ok(None);
            }
            (series.version(), state.view(series))
        };
        match count_points(&view, deadline) {
            Ok(count) => {
                series.cache_count(version, count);
                Ok(Some(count))
            }
            Err(e) if e.code() == ErrorCode::CorruptData => Ok(Some(count_at_most(&view))),
            Err(e) => Err(e),
        }
    }

    /// The names of all series and their dimensions, sorted; cheap.
    pub fn names(&self) -> Vec<(SeriesName, u32)> {
        let mut names: Vec<(SeriesName, u32)> = Vec::new();
        for shard in self.shards() {
            let state = shard.state.read();
            names.extend(state.catalog.iter().map(|series| (series.name.clone(), series.dimension)));
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        names
    }

    /// Every series with its points, sorted by name.
    ///
    /// # Errors
    /// `TIMEOUT`, `CORRUPT_DATA`.
    pub fn list(&self, deadline: &Deadline) -> Result<Vec<SeriesSummary>> {
        let mut summaries = Vec::new();
        for shard in self.shards() {
            let series: Vec<Arc<Series>> = shard.state.read().catalog.iter().cloned().collect();
            for series in series {
                deadline.check()?;
                let Some(count) = Self::count(&shard, &series, deadline)? else { continue };
                summaries.push(SeriesSummary {
                    name: series.name.clone(),
                    dimension: series.dimension,
                    value_type: series.value_type,
                    count,
                });
            }
        }
        summaries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(summaries)
    }

    /// Figures of everything.
    ///
    /// # Errors
    /// `TIMEOUT`, `CORRUPT_DATA`.
    pub fn totals(&self, deadline: &Deadline) -> Result<Totals> {
        let summaries = self.list(deadline)?;
        let environment = &self.inner.environment;
        let mut totals = Totals {
            series: summaries.len() as u64,
            points: summaries.iter().map(|series| series.count).sum(),
            memory_bytes: environment.budget.used_bytes() + environment.cache.memory_bytes(),
            label_sets: self.inner.generation.read().cardinality.label_sets(),
            ..Totals::default()
        };
        for shard in self.shards() {
            let state = shard.state.read();
            totals.shards += 1;
            totals.segments += state.segments.len() as u64;
            totals.disk_bytes += state.segments.iter().map(|segment| segment.info().bytes).sum::<u64>();
            drop(state);
            totals.wal_bytes += shard.wal_bytes();
        }
        totals.disk_bytes += totals.wal_bytes;
        Ok(totals)
    }

    /// What has happened since the engine was opened; cheap.
    pub fn counters(&self) -> Counters {
        let environment = &self.inner.environment;
        let counts = &environment.counts;
        let shards = self.shards();
        let cardinality = self.inner.generation.read().cardinality.clone();
        let figures = shards.iter().map(|shard| shard.index_figures());
        let (vector_index_bytes, vector_rows, vector_rows_indexed) =
            figures.fold((0, 0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1, sum.2 + of.2));
        let (cache_hits, cache_misses) = environment.cache.hits_and_misses();
        Counters {
            points_written: counts.points_written.load(Ordering::Relaxed),
            wal_frames: counts.wal_frames.load(Ordering::Relaxed),
            wal_syncs: counts.wal_syncs.load(Ordering::Relaxed),
            wal_bytes_written: counts.wal_bytes_written.load(Ordering::Relaxed),
            flushes: counts.flushes.load(Ordering::Relaxed),
            compactions: counts.compactions.load(Ordering::Relaxed),
            compaction_bytes_in: counts.compaction_bytes_in.load(Ordering::Relaxed),
            compaction_bytes_out: counts.compaction_bytes_out.load(Ordering::Relaxed),
            cache_hits,
            cache_misses,
            vector_bytes: environment.vectors.memory_bytes(),
            vector_index_bytes,
            vector_rows,
            vector_rows_indexed,
            vector_indexes: counts.vector_indexes.load(Ordering::Relaxed),
            vector_index_ms: counts.vector_index_ms.load(Ordering::Relaxed),
            vectors_scanned: counts.vectors_scanned.load(Ordering::Relaxed),
            read_only_shards: shards.iter().filter(|shard| shard.trouble.read().is_some()).count() as u64,
            series: cardinality.series(),
            label_sets: cardinality.label_sets(),
            damaged_blocks: environment.cache.damaged_blocks(),
            damaged_files: shards.iter().map(|shard| shard.losses.len() as u64).sum(),
        }
    }

    /// Changes whenever the content may have.
    pub fn version(&self) -> (u64, u64) {
        let generation = self.inner.generation.read().record.generation;
        (generation, self.inner.environment.counts.wal_frames.load(Ordering::Relaxed))
    }

    /// Bytes of memtables and block cache.
    pub fn memory_bytes(&self) -> u64 {
        self.inner.environment.budget.used_bytes() + self.inner.environment.cache.memory_bytes()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.shards().iter().all(|shard| shard.state.read().catalog.len() == 0)
    }

    /// Writes everything that is in memory to segments.
    ///
    /// # Errors
    /// `READ_ONLY` where the disk fails; the points stay in the logs.
    pub fn flush(&self) -> Result<FlushReport> {
        let reports = in_parallel(self.shards(), |shard| shard.flush_all())?;
        Ok(FlushReport {
            flushed_points: reports.iter().map(|report| report.flushed_points).sum(),
            segments_written: reports.iter().map(|report| report.segments_written).sum(),
        })
    }

    /// Merges segments until the planner is content; says how many compactions ran.
    ///
    /// # Errors
    /// As a flush, and `CORRUPT_DATA` where an input fails its checks.
    pub fn compact(&self) -> Result<u64> {
        let mut compactions = 0;
        for shard in self.shards() {
            while shard.compact_once(|_| Ok(()))?.is_some() {
                compactions += 1;
            }
        }
        Ok(compactions)
    }

    /// Why writes are refused somewhere, if they are.
    pub fn write_trouble(&self) -> Option<String> {
        if let Err(full) = self.inner.environment.check_disk() {
            return Some(full.message().to_owned());
        }
        let shards = self.shards();
        let (shard, trouble) = shards.iter().find_map(|shard| Some((shard.number, shard.trouble()?)))?;
        Some(format!("shard {shard}: {}", trouble.message()))
    }

    /// Now, by the engine's clock.
    pub fn now_ns(&self) -> i64 {
        self.inner.environment.clock.now_ns()
    }

    /// How the engine was opened.
    pub fn options(&self) -> &Options {
        &self.inner.environment.options
    }

    /// Number of shards, as the data directory has it.
    pub fn shard_count(&self) -> u32 {
        self.inner.database.shards()
    }

    /// Where snapshots are.
    pub fn snapshot_dir(&self) -> PathBuf {
        self.options().snapshot_dir()
    }

    pub(super) fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.inner.environment.vfs
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.inner.environment.options.data_dir
    }

    /// Commits what was submitted, syncs the logs, ends the threads and gives the
    /// directory's lock back. Later writes are refused; reads still work.
    ///
    /// # Errors
    /// `READ_ONLY` where a log could not be synced.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// A pinned selection, read page by page.
pub struct Scan {
    pages: PageReader,
    query: Query,
    bytes_max: u64,
}

impl Scan {
    pub(super) fn of(view: SeriesView, query: Query, bytes_max: u64) -> Self {
        Self { pages: PageReader::new(view, query.range, &query.labels), query, bytes_max }
    }

    /// Values a point has.
    pub fn dimension(&self) -> usize {
        self.pages.dimension()
    }

    /// Whether only points of some labels are wanted.
    pub fn is_filtered(&self) -> bool {
        !self.query.labels.is_any()
    }

    /// Points of the selection.
    ///
    /// # Errors
    /// `TIMEOUT`, `CORRUPT_DATA`.
    pub fn count(&self, deadline: &Deadline) -> Result<u64> {
        if self.query.range == TimeRange::ALL && self.query.labels.is_any() {
            return count_points(self.pages.view(), deadline);
        }
        count_range(self.pages.view(), self.query.range, &self.query.labels, deadline)
    }

    /// How many rows a page of at most `limit` would have; reads and checks all of them.
    ///
    /// # Errors
    /// `TIMEOUT`, `CORRUPT_DATA`.
    pub fn measure(&self, limit: usize, deadline: &Deadline) -> Result<Extent> {
        self.pages.measure(limit, deadline)
    }

    /// The next page: at most the query's limit of rows, and the rest of the last
    /// timestamp; `None` after the last one.
    ///
    /// # Errors
    /// `TIMEOUT`, `CORRUPT_DATA`, `LIMIT_EXCEEDED`.
    pub fn next_page(&mut self, deadline: &Deadline) -> Result<Option<Page>> {
        self.pages.next_page(self.query.limit, self.bytes_max, deadline)
    }

    /// Its rows, at most `limit` of them.
    ///
    /// # Errors
    /// As [`next_page`](Self::next_page).
    pub fn next_rows(&mut self, limit: usize, deadline: &Deadline) -> Result<Option<Rows>> {
        Ok(self.pages.next_page(limit, self.bytes_max, deadline)?.map(|page| page.rows))
    }

    /// Most bytes that are held between two pages, and can be [let go](Self::let_go).
    pub fn held_bytes(&self) -> u64 {
        self.pages.held_bytes()
    }

    /// What merging its sources takes while it is read, about.
    pub fn merge_bytes(&self) -> u64 {
        self.pages.merge_bytes()
    }

    /// Begins again with the first page.
    pub fn rewind(&mut self) {
        self.pages.rewind();
    }

    /// Gives back the memory of what can be read again.
    pub fn let_go(&mut self) {
        self.pages.let_go();
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        let mut generation = self.generation.write();
        generation.drain();
        generation.stop();
        let mut lock = self.lock.lock();
        // Later the directory may be another's.
        if lock.is_some() {
            // What fails is said below.
            let _ = in_parallel(generation.shards.clone(), |shard| {
                shard.end_log();
                Ok::<_, Error>(())
            });
            generation.end_journals();
        }
        self.environment.obsolete.purge();
        *lock = None;
        // A shard that could not be read at the start lost nothing since.
        let failed = |trouble: &Error| trouble.code() != ErrorCode::CorruptData;
        match generation.shards.iter().find_map(|shard| shard.trouble.read().clone().filter(failed)) {
            Some(trouble) => Err(trouble),
            None => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to know of trouble calls `close`.
        let _ = self.close();
    }
}
