//! Group commit: many callers, one log frame, one sync, then the memtable, then the
//! replies. Small frames of several shards share a sync, that of their journal.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::Ordering;
use crate::base::sync::{MutexGuard, run_elsewhere};
use crate::base::{
    BATCH_POINTS_MAX, Deadline, Error, ErrorCode, LabelFilter, Points, Result, SeriesName, TimeRange,
    ValueType, caught,
};
use crate::format::{FRAME_PAYLOAD_BYTES_MAX, Values};
use crate::merge::SeriesView;
use crate::query::count_range;
use crate::wal::{DeleteRecord, InsertRecord, JournalEntry, JournalWriter, LogWriter, Record};

use super::cardinality::Hashed;
use super::catalog::Series;
use super::shard::{LogState, Shard, add};
use super::types::{Write, Written};

/// A frame is closed at this size; what still waits goes into the next one.
const FRAME_BYTES_TARGET: usize = 4 << 20;
/// A commit ends with the shard whose points fill so many bytes: who writes little waits for it.
const COMMIT_BYTES: usize = if cfg!(test) { 16 << 10 } else { 4 << 20 };
/// Frames of fewer bytes than this are written to a journal together.
const JOURNALED_BYTES_MAX: usize = 64 << 10;
/// With so many memtables waiting for their flush, writers wait too.
pub(super) const FROZEN_MAX: usize = 3;
/// Who waits for memory looks again after this time.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Writes that wait for memory longer are refused.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Called once, with what became of a write.
pub(super) type Done = Box<dyn FnOnce(Result<Written>) + Send>;

/// Writes that wait for the next commit.
#[derive(Default)]
pub(super) struct Queue {
    writes: Vec<Write>,
    /// Bytes of their points.
    bytes: usize,
    /// Who waits for each of them.
    callers: Vec<Done>,
    closed: bool,
    /// Since when the first of them waits for memory.
    waiting_since: Option<Instant>,
}

/// Whether a shard may commit.
enum Admission {
    Admitted,
    /// Until memory is given back.
    MustWait,
    Refused(Error),
}

/// Shards that a commit passed by, by their numbers.
#[derive(Default)]
pub(super) struct Postponed {
    /// Until memory is given back.
    pub must_wait: Vec<u32>,
    /// Until the next commit.
    pub later: Vec<u32>,
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

/// A frame, and what it does once it is durable.
struct Frame {
    outcomes: Vec<Result<Outcome>>,
    records: Vec<Record>,
    draft: Draft,
    /// The number of its first record.
    first_seq: u64,
    /// Why it can't be durable.
    logged: Result<()>,
}

/// A group commit of one shard, under way.
struct Commit<'a> {
    shard: &'a Shard,
    log: MutexGuard<'a, LogState>,
    callers: Vec<Done>,
    /// Writes that did not fit.
    rest: Vec<Write>,
    /// The frame, or why there is none.
    frame: Result<Frame>,
}

/// Frames that are durable, or have failed. Dropped, they are readable, and their callers have
/// answers.
#[must_use]
pub(super) struct Committed<'a>(Vec<Commit<'a>>);

impl Drop for Committed<'_> {
    fn drop(&mut self) {
        // Callers hear of it when all locks are open again.
        let answers: Vec<_> = std::mem::take(&mut self.0).into_iter().map(Commit::finish).collect();
        for (shard, answers) in answers {
            for (answer, done) in answers {
                shard.answer(answer, done);
            }
        }
    }
}

/// Commits what waits in these shards, those that come first until they fill a commit: a frame
/// each, small ones together in the journal. Each shard is locked until what was committed is
/// readable.
pub(super) fn commit_together<'a>(
    shards: impl IntoIterator<Item = &'a Shard>,
    journal: &mut Option<JournalWriter>,
) -> (Committed<'a>, Postponed) {
    let mut postponed = Postponed::default();
    let mut admitted: Vec<(&Shard, Result<()>)> = Vec::new();
    let mut bytes = 0;
    for shard in shards {
        if bytes >= COMMIT_BYTES {
            postponed.later.push(shard.number);
            continue;
        }
        let admission = match shard.admit() {
            Admission::Admitted => Ok(()),
            Admission::Refused(reason) => Err(reason),
            Admission::MustWait => {
                postponed.must_wait.push(shard.number);
                continue;
            }
        };
        bytes += shard.queue.lock().bytes;
        admitted.push((shard, admission));
    }
    // Who locks several logs does it in this order.
    admitted.sort_unstable_by_key(|(shard, _)| shard.number);
    let room = OnceCell::new();
    let mut commits: Vec<Commit<'_>> =
        admitted.into_iter().filter_map(|(shard, admission)| shard.begin_commit(admission, &room)).collect();
    write_small_together(&mut commits, journal);
    (Committed(commits), postponed)
}

/// Makes small frames durable by one write of the journal, where there are several, and
/// every other frame by one of its own log. What the journal takes has its place in the
/// log already, so that a start can put it there even where the disk is full by then.
fn write_small_together(commits: &mut [Commit<'_>], journal: &mut Option<JournalWriter>) {
    let is_small = |commit: &Commit<'_>| {
        (1..JOURNALED_BYTES_MAX).contains(&commit.frame_bytes())
            && commit.log.writer.as_ref().is_some_and(LogWriter::has_room)
    };
    let small: Vec<(u32, JournalEntry<'_>)> = commits
        .iter()
        .filter(|commit| is_small(commit))
        .filter_map(|commit| Some((commit.shard.number, commit.log.writer.as_ref()?.last_sealed())))
        .collect();
    let together = match journal {
        Some(writer) if small.len() > 1 => Some(caught("a group commit", || {
            writer.write(&small).map_err(|e| {
                Error::new(
                    ErrorCode::ReadOnly,
                    format!("the journal can't be written: {e}; the write was not acknowledged"),
                )
            })
        })),
        _ => None,
    };
    if matches!(together, Some(Err(_))) {
        // Nothing is known about these bytes any more. What it holds stays on disk.
        *journal = None;
    }
    for commit in commits.iter_mut() {
        match &together {
            Some(written) if is_small(commit) => commit.note_journaled(written),
            _ => commit.write(),
        }
    }
    if let (Some(Ok(bytes)), Some(commit)) = (together, commits.first()) {
        let counts = &commit.shard.environment.counts;
        add(&counts.wal_syncs, 1);
        add(&counts.wal_bytes_written, bytes);
    }
}

impl<'a> Commit<'a> {
    /// Bytes of the frame; 0 where nothing is to be written.
    fn frame_bytes(&self) -> usize {
        match (&self.frame, &self.log.writer) {
            (Ok(Frame { records, logged: Ok(()), .. }), Some(writer)) if !records.is_empty() => {
                writer.last_sealed_bytes()
            }
            _ => 0,
        }
    }

    /// Writes the frame to the log, and those that wait there.
    fn write(&mut self) {
        if self.frame_bytes() == 0 {
            return;
        }
        let (shard, log) = (self.shard, &mut self.log);
        let written = shard.guarded("a group commit", || shard.write_log(log));
        self.note_logged(written);
    }

    /// The journal has the frame, or has failed.
    fn note_journaled(&mut self, written: &Result<u64>) {
        let shard = self.shard;
        let written = match (written, &mut self.log.writer) {
            (Ok(_), Some(writer)) => {
                writer.note_journaled();
                shard.durable_seq.store(writer.durable_seq(), Ordering::SeqCst);
                Ok(())
            }
            (Ok(_), None) => Err(Error::internal("no log")),
            (Err(failure), _) => {
                shard.refuse_writes(failure);
                self.log.writer = None;
                // After a panic the shard knows more of it.
                Err(match failure.code() {
                    ErrorCode::Internal => shard.trouble.read().clone().unwrap_or_else(|| failure.clone()),
                    _ => failure.clone(),
                })
            }
        };
        self.note_logged(written);
    }

    fn note_logged(&mut self, written: Result<()>) {
        let shard = self.shard;
        if let (Ok(()), Some(writer)) = (&written, &self.log.writer) {
            let (next_seq, len) = (writer.next_seq(), writer.len_bytes());
            self.log.next_seq = next_seq;
            shard.log_bytes.store(len, Ordering::Relaxed);
            add(&shard.environment.counts.wal_frames, 1);
        }
        if let Ok(frame) = &mut self.frame {
            frame.logged = written;
        }
    }

    /// Makes the frame readable; returns what is to be told to whom.
    fn finish(mut self) -> (&'a Shard, Vec<(Answer, Done)>) {
        let shard = self.shard;
        let frame = std::mem::replace(&mut self.frame, Err(Error::internal("taken")));
        let applied = frame.and_then(|frame| shard.guarded("a group commit", || Ok(shard.answers(frame))));
        let mut callers = self.callers.into_iter();
        let answers = match applied {
            Ok(answers) => {
                // The error stays in the shard; the points are in the log.
                let _ = shard.guarded("a group commit", || shard.freeze_if_full(&mut self.log));
                answers.into_iter().zip(&mut callers).collect()
            }
            Err(refusal) => {
                self.rest.clear();
                callers.by_ref().map(|done| (Answer::Now(Err(refusal.clone())), done)).collect()
            }
        };
        if !self.rest.is_empty() {
            // What did not fit stays before what came since, which the next commit takes once the log is open.
            let mut queue = shard.queue.lock();
            queue.bytes += self.rest.iter().map(Write::points_bytes).sum::<usize>();
            queue.writes.splice(0..0, self.rest);
            queue.callers.splice(0..0, callers);
            drop(queue);
            shard.ready.add(shard.number);
        }
        drop(self.log);
        (shard, answers)
    }
}

impl Shard {
    /// Queues a write for the next commit, of which nobody is told. `done` is called where
    /// it was committed, or right here if the shard is closed.
    pub fn submit(&self, write: Write, done: Done) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            let closing =
                || Error::new(ErrorCode::ReadOnly, "the database is closing; connect again and retry");
            done(Err(self.trouble.read().clone().unwrap_or_else(closing)));
            return;
        }
        let was_empty = queue.writes.is_empty();
        queue.bytes += write.points_bytes();
        queue.writes.push(write);
        queue.callers.push(done);
        drop(queue);
        if was_empty {
            self.ready.add(self.number);
        }
    }

    /// Takes no further writes, and commits those that wait.
    pub fn drain(&self) {
        self.queue.lock().closed = true;
        self.commit_pending();
    }

    /// Commits everything that waits.
    pub fn commit_pending(&self) {
        loop {
            let (committed, postponed) = commit_together([self], &mut None);
            drop(committed);
            let must_wait = !postponed.must_wait.is_empty();
            if self.queue.lock().writes.is_empty() {
                return;
            }
            if must_wait {
                let mut failure = self.flush_failure.lock();
                self.flushed.wait_for(&mut failure, LOOK_AGAIN_AFTER);
            }
        }
    }

    /// Whether there is room in memory, or why writes are refused.
    fn admit(&self) -> Admission {
        let environment = &self.environment;
        if let Some(trouble) = self.trouble.read().clone() {
            return Admission::Refused(trouble);
        }
        // Without threads the memory is given back by the one who took it.
        let is_over = environment.options.background && environment.budget.is_over();
        if !is_over && self.state.read().frozen.len() < FROZEN_MAX {
            return Admission::Admitted;
        }
        let mut queue = self.queue.lock();
        // Nobody needs the room: the last writes of a closed shard were taken by
        // another thread, and the flusher may have ended.
        if queue.writes.is_empty() {
            return Admission::Admitted;
        }
        let waited = queue.waiting_since.get_or_insert_with(Instant::now).elapsed();
        drop(queue);
        if let Some(failure) = self.flush_failure.lock().clone() {
            return Admission::Refused(failure);
        }
        if waited > ADMISSION_TIMEOUT {
            return Admission::Refused(Error::new(
                ErrorCode::LimitExceeded,
                "the memory for buffered points is taken, and flushes do not keep up; write less at a time, or raise \
                 TSDB_MEMORY_LIMIT",
            ));
        }
        Admission::MustWait
    }

    /// Takes what waits, and makes a frame of as much of it as fits, which is not written
    /// yet. `None` where nothing waits. Whether the disk has `room` is asked once for all
    /// shards.
    fn begin_commit(&self, admitted: Result<()>, room: &OnceCell<Result<()>>) -> Option<Commit<'_>> {
        let mut log = self.log.lock();
        // A committer that panicked leaves a log that nobody may use.
        let admitted = admitted.and_then(|()| self.refuse_in_trouble());
        let Queue { writes, callers, .. } = {
            let mut queue = self.queue.lock();
            let closed = queue.closed;
            std::mem::replace(&mut *queue, Queue { closed, ..Queue::default() })
        };
        if writes.is_empty() {
            return None;
        }
        let mut writes = writes.into_iter();
        // The callers stay out of it, for they are to hear of a panic.
        let frame = admitted.and_then(|()| {
            self.guarded("a group commit", || Ok(self.make_frame(&mut log, &mut writes, room)))
        });
        Some(Commit { shard: self, log, callers, rest: writes.collect(), frame })
    }

    /// Makes a frame of as many writes as fit; the rest stays in `writes`.
    fn make_frame(
        &self,
        log: &mut LogState,
        writes: &mut std::vec::IntoIter<Write>,
        room: &OnceCell<Result<()>>,
    ) -> Frame {
        self.forget_vanished(log);
        let mut draft = Draft::default();
        let room = room.get_or_init(|| self.environment.check_disk());
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
        let first_seq = log.next_seq;
        let logged = if records.is_empty() { Ok(()) } else { self.seal_frame(log, &records) };
        Frame { outcomes, records, draft, first_seq, logged }
    }

    /// Completes a frame of these records; it is not written yet.
    fn seal_frame(&self, log: &mut LogState, records: &[Record]) -> Result<()> {
        if log.writer.is_none() {
            self.begin_log(log)?;
        }
        let writer = log.writer.as_mut().ok_or_else(|| Error::internal("no log"))?;
        for record in records {
            writer.push(record);
        }
        writer.seal();
        Ok(())
    }

    /// Applies a frame that is durable, and says what its writes are answered.
    fn answers(&self, frame: Frame) -> Vec<Answer> {
        let Frame { outcomes, records, draft, first_seq, logged } = frame;
        let mut views = Vec::new().into_iter();
        match &logged {
            Ok(()) if records.is_empty() => {}
            Ok(()) => views = self.apply(first_seq, &records, &draft).into_iter(),
            Err(_) => self.give_back(&draft),
        }
        let answer = |outcome| match (outcome, &logged) {
            (Err(e), _) => Answer::Now(Err(e)),
            (Ok(_), Err(failure)) => Answer::Now(Err(failure.clone())),
            (Ok(Outcome::Ready(written)), Ok(())) => Answer::Now(Ok(written)),
            (Ok(Outcome::Deleted { range, labels }), Ok(())) => {
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
                    let counted = count_range(&view, range, &labels, &Deadline::none());
                    let deleted = counted.map_err(|e| e.context("they are deleted, but can't be counted"))?;
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

    /// Makes the records of a durable frame readable. Returns the view before each
    /// deletion.
    fn apply(&self, first_seq: u64, records: &[Record], draft: &Draft) -> Vec<SeriesView> {
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
        environment.take_memory(bytes);
        add(&environment.counts.points_written, points);
        views
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
                self.check_losses(series.id, range)?;
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
