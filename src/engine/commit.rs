//! Group commit: many callers, one log frame, one sync, then the memtable, then the
//! replies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::Ordering;
use crate::base::sync::run_elsewhere;
use crate::base::{
    BATCH_POINTS_MAX, Deadline, Error, ErrorCode, LabelFilter, Points, Result, SeriesName, TimeRange,
    ValueType, caught,
};
use crate::format::{FRAME_PAYLOAD_BYTES_MAX, Values};
use crate::merge::SeriesView;
use crate::query::count_range;
use crate::wal::{DeleteRecord, InsertRecord, LogWriter, Record};

use super::cardinality::Hashed;
use super::catalog::Series;
use super::options::Durability;
use super::shard::{LogState, OldLog, Shard, add};
use super::types::{Write, Written};

/// A frame is closed at this size; what still waits goes into the next one.
const FRAME_BYTES_TARGET: usize = 4 << 20;
/// With so many memtables waiting for their flush, writers wait too.
const FROZEN_MAX: usize = 3;
/// Who waits for memory looks again after this time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Writes that wait for memory longer are refused.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Called once, with what became of a write.
pub(super) type Done = Box<dyn FnOnce(Result<Written>) + Send>;

/// Writes that wait for the next commit.
#[derive(Default)]
pub(super) struct Queue {
    writes: Vec<Write>,
    /// Who waits for each of them.
    callers: Vec<Done>,
    closed: bool,
}

/// What a planned write will answer once its frame is durable.
enum Outcome {
    Ready(Written),
    Deleted { range: TimeRange, labels: LabelFilter },
}

/// What a write answers.
enum Answer {
    Now(Result<Written>),
    /// Once the points are counted that a deletion hides: those of the view that was
    /// taken just before the tombstone applied.
    Count {
        view: Option<SeriesView>,
        range: TimeRange,
        labels: LabelFilter,
    },
}

/// What the frame under construction would change, and the room that it has taken.
#[derive(Default)]
struct Draft {
    /// Series that it creates or drops.
    series: HashMap<SeriesName, Option<Arc<Series>>>,
    /// All that it creates, by id.
    created: HashMap<u64, Arc<Series>>,
    label_sets: Vec<(Arc<Series>, Vec<Hashed>)>,
}

impl Shard {
    /// Queues a write for the next commit. `done` is called where it was committed, or
    /// right here if the shard is closed.
    pub fn submit(&self, write: Write, done: Done) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            let closing =
                || Error::new(ErrorCode::ReadOnly, "the database is closing; connect again and retry");
            done(Err(self.trouble.read().clone().unwrap_or_else(closing)));
            return;
        }
        queue.writes.push(write);
        queue.callers.push(done);
        drop(queue);
        self.queue_filled.notify_one();
    }

    /// Takes no further writes, and commits those that wait.
    pub fn drain(&self) {
        self.queue.lock().closed = true;
        self.queue_filled.notify_all();
        self.commit_pending();
    }

    /// Waits for writes; false once the queue is closed and empty.
    pub fn wait_for_writes(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.writes.is_empty() {
            if queue.closed {
                return false;
            }
            self.queue_filled.wait(&mut queue);
        }
        true
    }

    /// Commits everything that waits.
    pub fn commit_pending(&self) {
        loop {
            let admitted = self.admit();
            let turn = self.environment.turns.take();
            let mut log = self.log.lock();
            // A committer that panicked leaves a log that nobody may use.
            let admitted = admitted.and_then(|()| self.refuse_in_trouble());
            let (writes, callers) = {
                let mut queue = self.queue.lock();
                (std::mem::take(&mut queue.writes), std::mem::take(&mut queue.callers))
            };
            let (mut writes, mut callers) = (writes.into_iter(), callers.into_iter());
            // The callers stay out of it, for they are to hear of a panic.
            let committed = admitted.and_then(|()| {
                self.guarded("a group commit", || Ok(self.commit_frame(&mut log, &mut writes)))
            });
            drop(turn);
            match committed {
                Ok(answers) => answers.into_iter().zip(&mut callers).for_each(|(answer, done)| {
                    self.answer(answer, done);
                }),
                Err(refusal) => {
                    callers.for_each(|done| self.answer(Answer::Now(Err(refusal.clone())), done));
                    return;
                }
            }
            // The error stays in the shard; the points are in the log.
            let _ = self.guarded("a group commit", || self.freeze_if_full(&mut log));
            if writes.as_slice().is_empty() {
                return;
            }
            // What did not fit stays before what came since.
            let mut queue = self.queue.lock();
            queue.writes.splice(0..0, writes);
            queue.callers.splice(0..0, callers);
        }
    }

    /// Waits until there is room in memory, or says why writes are refused.
    fn admit(&self) -> Result<()> {
        let environment = &self.environment;
        let began = Instant::now();
        loop {
            if let Some(trouble) = self.trouble.read().clone() {
                return Err(trouble);
            }
            // Without threads the memory is given back by the one who took it.
            let is_over = environment.options.background && environment.budget.is_over();
            if !is_over && self.state.read().frozen.len() < FROZEN_MAX {
                return Ok(());
            }
            // Nobody needs the room: the last writes of a closed shard were taken by
            // another thread, and the flusher may have ended.
            if self.queue.lock().writes.is_empty() {
                return Ok(());
            }
            let mut failure = self.flush_failure.lock();
            if let Some(failure) = failure.clone() {
                return Err(failure);
            }
            if began.elapsed() > ADMISSION_TIMEOUT {
                return Err(Error::new(
                    ErrorCode::LimitExceeded,
                    "the memory for buffered points is taken, and flushes do not keep up; write less at a time, or raise \
                     TSDB_MEMORY_LIMIT",
                ));
            }
            // Looks again now and then: other shards give memory back too.
            self.flushed.wait_for(&mut failure, LOOK_AGAIN_AFTER);
        }
    }

    /// Commits as many writes as fit in one frame; the rest stays in `writes`.
    fn commit_frame(&self, log: &mut LogState, writes: &mut std::vec::IntoIter<Write>) -> Vec<Answer> {
        self.forget_vanished(log);
        let mut draft = Draft::default();
        let room = self.environment.check_disk();
        let mut outcomes: Vec<Result<Outcome>> = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        let mut frame_bytes = 0;
        for write in writes.by_ref() {
            // What removes points may use the reserve: in the end it gives space back.
            let adds = matches!(write, Write::Create { .. } | Write::Insert { .. });
            let admitted = if adds { room.clone() } else { Ok(()) };
            match admitted.and_then(|()| self.plan(write, &mut draft)) {
                Ok((outcome, record)) => {
                    if let Some(Record::Insert(insert)) = &record {
                        frame_bytes += insert.encoded_bytes_max();
                    }
                    records.extend(record);
                    outcomes.push(Ok(outcome));
                }
                Err(e) => outcomes.push(Err(e)),
            }
            if frame_bytes >= FRAME_BYTES_TARGET {
                break;
            }
        }
        let logged =
            if records.is_empty() { Ok(Vec::new()) } else { self.log_and_apply(log, &records, &draft) };
        let mut views = Vec::new().into_iter();
        let failure = match logged {
            Ok(found) => {
                views = found.into_iter();
                None
            }
            Err(failure) => {
                self.give_back(&draft);
                Some(failure)
            }
        };
        let answer = |outcome| match (outcome, &failure) {
            (Err(e), _) => Answer::Now(Err(e)),
            (Ok(_), Some(failure)) => Answer::Now(Err(failure.clone())),
            (Ok(Outcome::Ready(written)), None) => Answer::Now(Ok(written)),
            (Ok(Outcome::Deleted { range, labels }), None) => {
                Answer::Count { view: views.next(), range, labels }
            }
        };
        outcomes.into_iter().map(answer).collect()
    }

    fn answer(&self, answer: Answer, done: Done) {
        let now = match answer {
            Answer::Now(result) => result,
            Answer::Count { view, range, labels } => {
                let count = move || {
                    let view = view.ok_or_else(|| Error::internal("a deletion without a view"))?;
                    let deleted = count_range(&view, range, &labels, &Deadline::none())?;
                    Ok(Written::Deleted { deleted })
                };
                let count = || caught("counting the deleted points", count);
                if self.environment.options.background {
                    return run_elsewhere(move || done(count()));
                }
                count()
            }
        };
        // Nobody else goes without an answer because one of them panics.
        let _ = self.guarded("the answer to a write", || {
            done(now);
            Ok(())
        });
    }

    /// Gives the room back of what did not come to be.
    fn give_back(&self, draft: &Draft) {
        for (series, sets) in &draft.label_sets {
            self.cardinality.give_back_label_sets(series, sets);
        }
        draft.created.values().for_each(|series| self.cardinality.forget(series));
    }

    /// Makes the records durable, then readable. Returns the view before each
    /// deletion.
    fn log_and_apply(
        &self,
        log: &mut LogState,
        records: &[Record],
        draft: &Draft,
    ) -> Result<Vec<SeriesView>> {
        let first_seq = self.write_frame(log, records)?;
        let environment = &self.environment;
        let (mut points, mut bytes, mut views) = (0, 0, Vec::new());
        let mut state = self.state.write();
        for (at, record) in records.iter().enumerate() {
            match record {
                Record::Insert(insert) => points += insert.len() as u64,
                // The one whose label sets were counted.
                Record::Create { series_id, .. } => {
                    draft
                        .created
                        .get(series_id)
                        .into_iter()
                        .for_each(|series| state.catalog.insert(series.clone()));
                }
                Record::Delete(delete) => {
                    views.extend(state.catalog.by_id(delete.series_id).map(|series| state.view(series)));
                }
                Record::Drop { .. } => {}
            }
            bytes += state.apply(record, first_seq + at as u64);
        }
        drop(state);
        environment.budget.take(bytes as u64);
        add(&environment.counts.points_written, points);
        Ok(views)
    }

    /// Writes one frame and syncs it where the durability asks for that. Returns the
    /// number of its first record.
    fn write_frame(&self, log: &mut LogState, records: &[Record]) -> Result<u64> {
        let environment = &self.environment;
        let first_seq = log.next_seq;
        if log.writer.is_none() {
            self.begin_log(log)?;
        }
        let Some(writer) = &mut log.writer else {
            return Err(Error::internal("no log"));
        };
        for record in records {
            writer.push(record);
        }
        let durable = environment.options.durability == Durability::Always;
        add(&environment.counts.wal_syncs, u64::from(durable));
        let written = writer.write(durable);
        add(&environment.counts.wal_bytes_written, *written.as_ref().unwrap_or(&0));
        self.durable_seq.store(writer.durable_seq(), Ordering::SeqCst);
        if let Err(e) = written {
            // Nothing is known about these bytes any more: never try again.
            let failure = Error::new(
                ErrorCode::ReadOnly,
                format!(
                    "{}: the log can't be written: {e}; the write was not acknowledged",
                    writer.path().display()
                ),
            );
            self.refuse_writes(&failure);
            log.writer = None;
            return Err(failure);
        }
        log.next_seq = writer.next_seq();
        self.log_bytes.store(writer.len_bytes(), Ordering::Relaxed);
        add(&environment.counts.wal_frames, 1);
        Ok(first_seq)
    }

    fn begin_log(&self, log: &mut LogState) -> Result<()> {
        let made = self.create_log(log.next_seq);
        *self.log_failure.lock() = made.as_ref().err().cloned();
        log.writer = Some(made?);
        Ok(())
    }

    /// Tries again to make a log where that failed, for nobody may dare to write.
    pub fn retry_log(&self) {
        if self.log_failure.lock().is_none() {
            return;
        }
        let _ = self.guarded("making a log", || {
            let mut log = self.log.lock();
            self.refuse_in_trouble()?;
            if log.writer.is_none() { self.begin_log(&mut log) } else { Ok(()) }
        });
    }

    /// Makes a log and names it in the manifest, so that it is missed where it is lost;
    /// in this order, for one that is named must be there. A log without a name holds
    /// nothing and the next takes its place, so the next write may try again.
    fn create_log(&self, first_seq: u64) -> Result<LogWriter> {
        let vfs = self.environment.vfs.as_ref();
        let writer = LogWriter::create(vfs, &self.dir, self.number, first_seq, self.epoch).map_err(|e| {
            let path = self.dir.join(crate::format::log_name(first_seq));
            Error::new(ErrorCode::ReadOnly, format!("{}: a log can't be made: {e}", path.display()))
        })?;
        self.try_install(|manifest| manifest.newest_log = Some(first_seq)).inspect_err(|e| {
            let known = self.manifest.lock();
            if known.store.load().as_ref() != Ok(&known.manifest) {
                self.refuse_writes(e);
            }
        })?;
        Ok(writer)
    }

    fn plan(&self, write: Write, draft: &mut Draft) -> Result<(Outcome, Option<Record>)> {
        let found = match draft.series.get(write.series().as_str()) {
            Some(found) => found.clone(),
            None => self.state.read().catalog.get(write.series().as_str()).cloned(),
        };
        match write {
            Write::Create { name, dimension, value_type, if_not_exists } => {
                if let Some(series) = found {
                    return existing(&series, dimension, value_type, if_not_exists)
                        .map(|()| (Outcome::Ready(Written::Created { created: false }), None));
                }
                self.cardinality.take_series()?;
                let series_id = self.next_series_id.fetch_add(1, Ordering::SeqCst);
                let series = Arc::new(Series::new(series_id, name.clone(), dimension, value_type));
                draft.created.insert(series_id, series.clone());
                draft.series.insert(name.clone(), Some(series));
                let record = Record::Create { series_id, name, dimension, value_type };
                Ok((Outcome::Ready(Written::Created { created: true }), Some(record)))
            }
            Write::Insert { series: name, points } => {
                let series = found.ok_or_else(|| self.not_found(&name))?;
                let (insert, assigned_ns) = complete(&series, points, self.environment.clock.now_ns())?;
                let new = self.cardinality.take_label_sets(&series, &insert.label_sets)?;
                if !new.is_empty() {
                    draft.label_sets.push((series, new));
                }
                let fold = |fold: fn(i64, i64) -> i64| insert.timestamps.iter().copied().reduce(fold);
                let written = Written::Inserted {
                    inserted: insert.len(),
                    first_ns: fold(i64::min).unwrap_or_default(),
                    last_ns: fold(i64::max).unwrap_or_default(),
                    assigned_ns,
                };
                Ok((Outcome::Ready(written), Some(Record::Insert(insert))))
            }
            Write::DeleteRange { series: name, range, labels } => {
                let series = found.ok_or_else(|| self.not_found(&name))?;
                self.check_losses(range)?;
                let record = DeleteRecord { series_id: series.id, range, labels: labels.clone() };
                Ok((Outcome::Deleted { range, labels }, Some(Record::Delete(record))))
            }
            Write::Drop { name } => {
                let series = found.ok_or_else(|| self.not_found(&name))?;
                draft.series.insert(name, None);
                Ok((Outcome::Ready(Written::Dropped), Some(Record::Drop { series_id: series.id })))
            }
        }
    }

    /// Freezes the active memtable where it has reached its budget.
    fn freeze_if_full(&self, log: &mut LogState) -> Result<()> {
        let environment = &self.environment;
        let full = {
            let state = self.state.read();
            state.active.points() >= environment.options.buffer_points
                || state.active.memory_bytes() as u64 > environment.budget.limit_bytes() / 8
                || (!environment.options.background && environment.budget.is_over())
        };
        if full {
            self.freeze(log);
            if !environment.options.background {
                return self.flush_frozen().map(drop);
            }
        }
        Ok(())
    }

    /// Makes the active memtable a frozen one and ends its log, so that the log can go
    /// once the memtable is flushed.
    pub fn freeze(&self, log: &mut LogState) {
        if let Some(mut writer) = log.writer.take() {
            // The judge of a torn tail counts on it that only the newest log can have
            // bytes that were never synced.
            if let Err(e) = writer.sync() {
                self.refuse_writes(&Error::new(
                    ErrorCode::ReadOnly,
                    format!("{}: the log can't be synced: {e}", writer.path().display()),
                ));
                return;
            }
            self.durable_seq.store(writer.durable_seq(), Ordering::SeqCst);
            self.log_bytes.store(0, Ordering::Relaxed);
            self.old_logs.lock().push(OldLog {
                path: writer.path().to_owned(),
                first_seq: writer.first_seq(),
                last_seq: writer.next_seq() - 1,
                bytes: writer.len_bytes(),
            });
        }
        let mut state = self.state.write();
        if state.active.last_seq() > 0 {
            let full = std::mem::take(&mut state.active);
            state.frozen.push(Arc::new(full));
        }
    }

    /// Syncs the log, for durabilities that do not sync every commit.
    pub fn sync_log(&self) {
        // The error stays in the shard.
        let _ = self.guarded("a sync", || {
            self.sync_writer(&mut self.log.lock());
            Ok(())
        });
    }

    fn sync_writer(&self, log: &mut LogState) {
        let Some(writer) = &mut log.writer else { return };
        match writer.sync() {
            Ok(()) => self.durable_seq.store(writer.durable_seq(), Ordering::SeqCst),
            Err(e) => {
                let path = writer.path().display().to_string();
                log.writer = None;
                self.refuse_writes(&Error::new(
                    ErrorCode::ReadOnly,
                    format!("{path}: the log can't be synced: {e}"),
                ));
            }
        }
    }

    /// Syncs the log and has the manifest say where it ends, so that whatever is missing
    /// at the next start is missed.
    pub fn end_log(&self) {
        self.sync_log();
        let said = self.manifest.lock().manifest.durable_seq;
        if self.trouble.read().is_none() && self.durable_seq.load(Ordering::SeqCst) > said {
            // The shard says why, where it fails.
            let _ = self.install(|_| ());
        }
    }
}

fn existing(series: &Series, dimension: u32, value_type: ValueType, if_not_exists: bool) -> Result<()> {
    if !if_not_exists {
        return Err(Error::new(
            ErrorCode::SeriesExists,
            format!(
                "series '{}' exists already (dimension {}, {}); choose another name, or say IF NOT EXISTS",
                series.name, series.dimension, series.value_type
            ),
        ));
    }
    if series.dimension != dimension || series.value_type != value_type {
        return Err(Error::new(
            ErrorCode::DimensionMismatch,
            format!(
                "series '{}' exists with dimension {} and type {}, not {dimension} and {value_type}",
                series.name, series.dimension, series.value_type
            ),
        ));
    }
    Ok(())
}

/// Checks points against their series, gives timestamps to those without, and rounds
/// values to the series' type. Says which timestamps it gave.
pub(super) fn complete(series: &Series, points: Points, now_ns: i64) -> Result<(InsertRecord, Vec<i64>)> {
    let Points { dimension, mut timestamps_ns, unassigned, values, label_ids, label_sets } = points;
    if timestamps_ns.is_empty() {
        return Err(Error::invalid("a batch without points; send at least one"));
    }
    if timestamps_ns.len() > BATCH_POINTS_MAX {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!("a batch of {} points; send at most {BATCH_POINTS_MAX} at once", timestamps_ns.len()),
        ));
    }
    if dimension != series.dimension as usize || values.len() != timestamps_ns.len() * dimension {
        return Err(Error::new(
            ErrorCode::DimensionMismatch,
            format!(
                "series '{}' has dimension {1}, the point {dimension} values; send {1} values for each point",
                series.name, series.dimension
            ),
        ));
    }
    if (!label_ids.is_empty() && label_ids.len() != timestamps_ns.len())
        || label_ids.iter().any(|&id| id as usize >= label_sets.len())
    {
        return Err(Error::invalid("label indexes that do not fit the points and label sets"));
    }
    let mut stored = Values::with_capacity(series.value_type, values.len());
    if series.value_type == ValueType::F64 && values.iter().all(|value| value.is_finite()) {
        stored = Values::F64(values);
    } else {
        for value in values {
            stored.extend_from_f64(&[series.value_type.admit(value)?]);
        }
    }
    let mut insert = InsertRecord {
        series_id: series.id,
        dimension,
        assigned_max_ns: None,
        timestamps: Vec::new(),
        values: stored,
        // Sets that only hold the empty one need not be stored.
        label_sets: if label_sets.iter().all(crate::base::Labels::is_empty) {
            Vec::new()
        } else {
            label_sets
        },
        label_ids,
    };
    if insert.label_sets.is_empty() {
        insert.label_ids = Vec::new();
    }
    if insert.encoded_bytes_max() + timestamps_ns.len() * 8 > FRAME_PAYLOAD_BYTES_MAX / 2 {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "a batch of {} values is too large for one log frame; send smaller batches",
                insert.values.len()
            ),
        ));
    }
    // Last, for it moves the series' clock.
    let mut assigned_ns = Vec::with_capacity(unassigned.len());
    for row in unassigned {
        if let Some(timestamp) = timestamps_ns.get_mut(row as usize) {
            *timestamp = series.assign(now_ns)?;
            assigned_ns.push(*timestamp);
        }
    }
    insert.assigned_max_ns = assigned_ns.last().copied();
    insert.timestamps = timestamps_ns;
    Ok((insert, assigned_ns))
}
