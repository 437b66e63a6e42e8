//! From disk to a running shard.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex, RwLock};
use crate::base::{Error, ErrorCode, Result, SEQ_MAX, TimeRange};
use crate::compaction::{copy_readable, find_unreadable};
use crate::format::{
    FileHeader, HEADER_BYTES, MANIFEST, log_name, parse_log_name, parse_segment_name, parse_vectors_name,
};
use crate::manifest::{FileManifestStore, Loss, Manifest, ManifestStore, quarantine};
use crate::memtable::Memtable;
use crate::segments::{Segment, SegmentInfo};
use crate::vfs::{File, read_exact_at};
use crate::wal::{Judgement, Record, Replay, read_log};

use super::cardinality::Cardinality;
use super::catalog::{Catalog, Series};
use super::group::Ready;
use super::journals::Journals;
use super::options::Recover;
use super::shard::{Environment, LogState, ManifestState, OldLog, Shard, State, WAY_OUT_WITHOUT_MANIFEST};

/// Bytes that are written again at a time.
const REWRITE_BYTES: usize = 1 << 20;

/// What replaying a shard's logs found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecoveryReport {
    pub records: u64,
    pub torn_logs: u64,
    /// The group whose journals may have had the last frames of the newest log.
    pub journal: Option<u32>,
}

/// A shard whose logs were replayed, before it is known what the others found.
pub(super) struct Opened {
    shard: Shard,
    pub report: RecoveryReport,
    /// What is wrong with its logs.
    damage: Option<Error>,
    /// Why its manifest can't be read.
    unreadable: Option<Error>,
}

impl Opened {
    /// Gives up the logs of those that lost something: by what is wrong with them, or since
    /// the journals of their group have lost their end.
    pub fn give_up_damaged(all: &[Self], journals: &Journals) -> Result<()> {
        let cut = |opened: &Self| opened.report.journal.and_then(|group| journals.cut(group));
        for opened in all.iter().filter(|opened| opened.damage.is_none()) {
            cut(opened).map_or(Ok(()), |reason| opened.shard.give_up_logs(&reason))?;
        }
        // Those that show it come last: after a crash in between they show it again.
        for opened in all {
            opened.damage.as_ref().map_or(Ok(()), |reason| opened.shard.give_up_logs(reason))?;
        }
        Ok(())
    }

    /// The shard.
    pub fn finish(self) -> Result<Arc<Shard>> {
        let Self { mut shard, unreadable, .. } = self;
        shard.durable_seq.store(shard.log.lock().next_seq, Ordering::SeqCst);
        if shard.environment.options.recover == Recover::AcceptLoss {
            shard.accept_losses()?;
        }
        shard.losses = shard.manifest.lock().manifest.losses.clone();
        if let Some(reason) = unreadable {
            tracing::error!(shard = shard.number, %reason, "nothing of the shard is served");
            shard.losses.push(loss_of_all(shard.dir.join(MANIFEST).display().to_string(), &reason, u64::MAX));
            let advice = format!("{}; {WAY_OUT_WITHOUT_MANIFEST}", reason.message());
            *shard.trouble.write() = Some(Error::corrupt(advice));
        }
        Ok(Arc::new(shard))
    }
}

impl Shard {
    /// Opens the shard in `dir`, of a generation of so many and of this origin: manifest,
    /// segments, then the logs.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming file and place, where [`Recover::Strict`] is asked for.
    pub fn open(
        environment: Arc<Environment>,
        cardinality: Arc<Cardinality>,
        dir: &Path,
        number: u32,
        (shards, origin): (u32, u64),
        ready: Arc<Ready>,
        journals: &Journals,
    ) -> Result<Opened> {
        let store = FileManifestStore::new(environment.vfs.clone(), dir, number);
        let degraded = environment.options.recover != Recover::Strict;
        let (mut manifest, unreadable) =
            match store.load().and_then(|found| of_generation(found, (shards, origin), dir)) {
                Ok(manifest) => (manifest, None),
                Err(e) if degraded && e.code() == ErrorCode::CorruptData => {
                    (Manifest::empty(shards, origin), Some(e))
                }
                Err(e) => return Err(hinted(&e)),
            };
        let mut catalog = Catalog::new(cardinality.clone());
        for record in &manifest.series {
            let series = Series::from_record(record).map_err(|e| e.context(dir.display()))?;
            cardinality.note_series();
            catalog.insert(Arc::new(series));
        }
        // Where it is not known which of the files are live, they are left alone.
        let names = if unreadable.is_some() { Vec::new() } else { file_names(&environment, dir)? };
        manifest.next_segment_id = remove_unlisted(&environment, dir, &names, &manifest)?;
        let segments = open_segments(&environment, &store, dir, number, &mut manifest, &catalog)?;
        let next_segment_id = manifest.next_segment_id;
        for entry in segments.iter().flat_map(|segment| &segment.index().series) {
            if let Some(series) = catalog.by_id(entry.series_id) {
                cardinality.note_label_sets(series, &entry.labels);
            }
        }

        let (replayed_from, next_series_id) = (manifest.flushed_seq, manifest.next_series_id);
        let shard = Self {
            number,
            dir: dir.to_owned(),
            environment: environment.clone(),
            epoch: manifest.epoch,
            origin,
            losses: Vec::new(),
            queue: Mutex::default(),
            ready,
            log: Mutex::new(LogState { writer: None, next_seq: replayed_from + 1 }),
            log_bytes: AtomicU64::new(0),
            old_logs: Mutex::default(),
            durable_seq: AtomicU64::new(manifest.durable_seq),
            cardinality,
            vanished: Mutex::default(),
            next_series_id: AtomicU64::new(next_series_id),
            manifest: Mutex::new(ManifestState { store: Box::new(store), manifest, next_segment_id }),
            state: RwLock::new(State { catalog, active: Memtable::default(), frozen: Vec::new(), segments }),
            flushing: Mutex::default(),
            log_failure: Mutex::default(),
            flush_failure: Mutex::default(),
            flushed: Condvar::new(),
            compacting: Mutex::default(),
            trouble: RwLock::default(),
        };
        let logs = names.iter().filter_map(|name| parse_log_name(name)).collect();
        let (report, damage) = match shard.replay_logs(logs, journals) {
            Ok(report) => (report, None),
            Err(e) if degraded && e.code() == ErrorCode::CorruptData => (RecoveryReport::default(), Some(e)),
            Err(e) => return Err(e),
        };
        Ok(Opened { shard, report, damage, unreadable })
    }

    /// Moves the files of a shard whose manifest can't be read to quarantine, before its
    /// generation is removed.
    pub fn set_aside_unreadable(&self) -> Result<()> {
        let trouble = self.trouble.read().clone();
        let Some(reason) = trouble.filter(|trouble| trouble.code() == ErrorCode::CorruptData) else {
            return Ok(());
        };
        let environment = &self.environment;
        if environment.vfs.metadata(&self.dir).is_ok_and(|found| found.is_none()) {
            return Ok(());
        }
        file_names(environment, &self.dir)?.iter().try_for_each(|name| {
            let path = self.dir.join(name);
            set_aside(environment, &path, reason.message())
        })
    }

    /// Moves the segments of which a block was found that can't be read to quarantine, before
    /// their generation, which is not live any more, is removed.
    pub fn set_aside_damaged(&self) -> Result<()> {
        let segments = self.state.read().segments.clone();
        segments.iter().filter(|segment| segment.is_damaged()).try_for_each(|segment| {
            set_aside(&self.environment, segment.path(), "a block can't be read; a LOAD has replaced it")
        })
    }

    fn replay_logs(&self, mut logs: Vec<u64>, journals: &Journals) -> Result<RecoveryReport> {
        let mut report = RecoveryReport::default();
        let newest = self.manifest.lock().manifest.newest_log;
        let missing = newest.filter(|newest| !logs.contains(newest));
        logs.extend(missing);
        logs.sort_unstable();
        for (at, &first_seq) in logs.iter().enumerate() {
            let path = self.dir.join(log_name(first_seq));
            let expected = self.log.lock().next_seq;
            let next_log = logs.get(at + 1).copied();
            let flushed = self.manifest.lock().manifest.flushed_seq;
            if next_log.is_some_and(|next| next <= flushed + 1) {
                // A crash came between the flush and the removal.
                sync_names(&self.environment, &self.dir)?;
                self.environment.obsolete.remove(path);
                continue;
            }
            if missing == Some(first_seq) {
                return Err(hinted(&Error::corrupt(format!("{}: {MISSING_LOG}", path.display()))));
            }
            if first_seq > expected {
                return Err(Error::corrupt(format!(
                    "{}: begins at record {first_seq}, but record {expected} is in no log and no segment; a log is \
                     missing: restore it from a backup",
                    path.display()
                )));
            }
            let replay = self.replay_log(first_seq)?;
            self.judge_ending(&path, replay, next_log, journals, &mut report)?;
            report.records += replay.records;
            // Records before `expected` are in segments.
            let next_seq = replay.ending.next_seq.max(expected);
            self.log.lock().next_seq = next_seq;
            if next_seq == first_seq {
                // A crash came before its first record was whole. The next log takes its
                // place, for it begins at the same record.
                continue;
            }
            let bytes = replay.ending.offset;
            self.old_logs.lock().push(OldLog {
                path,
                first_seq,
                last_seq: replay.ending.next_seq.saturating_sub(1),
                bytes,
            });
            if !self.state.read().frozen.is_empty() {
                self.flush_frozen()?;
            }
        }
        Ok(report)
    }

    fn replay_log(&self, first_seq: u64) -> Result<Replay> {
        let vfs = self.environment.vfs.clone();
        let flushed = self.manifest.lock().manifest.flushed_seq;
        let options = &self.environment.options;
        let points_max = options.buffer_points.saturating_mul(2);
        // All shards together stay within half of what running may take.
        let bytes_max = self.environment.budget.limit_bytes() / 2 / u64::from(options.shards);
        read_log(vfs.as_ref(), &self.dir, (self.number, self.origin), first_seq, |seq, record| {
            if let Record::Create { series_id, .. } = &record {
                self.next_series_id.fetch_max(series_id.saturating_add(1), Ordering::SeqCst);
            }
            if seq <= flushed {
                return Ok(());
            }
            let mut state = self.state.write();
            state
                .check_record(&record)
                .map_err(|e| e.context(self.dir.join(log_name(first_seq)).display()))?;
            if let Record::Insert(insert) = &record
                && let Some(series) = state.catalog.by_id(insert.series_id)
            {
                self.cardinality.note_label_sets(series, &insert.label_sets);
            }
            let bytes = state.apply(&record, seq);
            self.environment.take_memory(bytes);
            let active = &state.active;
            if active.points() >= points_max || active.memory_bytes() as u64 > bytes_max {
                let full = std::mem::take(&mut state.active);
                state.frozen.push(Arc::new(full));
                drop(state);
                self.flush_frozen()?;
            }
            Ok(())
        })
    }

    fn judge_ending(
        &self,
        path: &Path,
        replay: Replay,
        next_log: Option<u64>,
        journals: &Journals,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        let ending = replay.ending;
        if let Some(next) = next_log {
            if ending.next_seq == next {
                return Ok(());
            }
            return Err(Error::corrupt(format!(
                "{}: {} at byte {}; the log ends before record {}, but the next log begins at record {next}: restore \
                 it from a backup, or start with --recover=degraded to serve the rest",
                path.display(),
                ending.problem,
                ending.offset,
                ending.next_seq
            )));
        }
        let durable_seq = self.manifest.lock().manifest.durable_seq;
        if let Some(group) = replay.journal {
            journals.check(group).map_err(|e| hinted(&e))?;
            report.journal = Some(group);
        }
        let promised = journals.promised(self.number);
        if let Some(group) = cut_journal(&replay, &self.manifest.lock().manifest, promised) {
            journals.note_cut(group, path);
            return Err(hinted(&journals.cut(group).unwrap_or_else(|| Error::internal("no cut journal"))));
        }
        if let Some(damage) = damage_at_end(&replay, &self.manifest.lock().manifest, promised) {
            return Err(hinted(&Error::corrupt(format!("{}: {damage}", path.display()))));
        }
        let is_torn = replay.judgement == Judgement::Torn;
        if is_torn {
            tracing::warn!(
                file = %path.display(),
                offset = ending.offset,
                problem = %ending.problem,
                "the log ends in the middle of a write, as a crash leaves it; the rest is cut off"
            );
            report.torn_logs += 1;
        }
        let settle = || -> std::io::Result<()> {
            let file = self.environment.vfs.open_write(path)?;
            if is_torn {
                file.set_len(ending.offset)?;
            }
            // What is read here is promised from now on. A process that was killed may
            // not have synced it, and one whose sync failed left bytes that count as
            // written and are not: they are written again.
            if ending.next_seq > durable_seq {
                rewrite(file.as_ref(), HEADER_BYTES as u64..ending.offset)?;
                file.sync()?;
            }
            Ok(())
        };
        settle().map_err(|e| {
            Error::new(ErrorCode::ReadOnly, format!("{}: the log can't be synced: {e}", path.display()))
        })
    }

    /// Forgets what was lost: what is left is all there is.
    fn accept_losses(&self) -> Result<()> {
        let losses = self.manifest.lock().manifest.losses.clone();
        if losses.is_empty() {
            return Ok(());
        }
        for loss in &losses {
            tracing::warn!(shard = self.number, file = loss.file, reason = loss.reason, "a loss is accepted");
        }
        self.install(|manifest| manifest.losses.clear())
    }

    /// Keeps what could be read of damaged logs, moves the logs to quarantine, and
    /// remembers that points may be missing.
    fn give_up_logs(&self, reason: &Error) -> Result<()> {
        let environment = &self.environment;
        tracing::error!(shard = self.number, %reason, "damaged logs go to quarantine");
        let (last_seq, has_records) = {
            let state = self.state.read();
            (state.active.last_seq(), !state.active.is_empty())
        };
        // The flush must leave them all: they are what is lost.
        self.old_logs.lock().clear();
        self.log.lock().next_seq = last_seq.max(self.manifest.lock().manifest.flushed_seq) + 1;
        if has_records {
            self.flush_all()?;
        }
        let mut logs: Vec<u64> =
            file_names(environment, &self.dir)?.iter().filter_map(|name| parse_log_name(name)).collect();
        let Manifest { newest_log, durable_seq, .. } = self.manifest.lock().manifest.clone();
        let missing = newest_log.filter(|newest| !logs.contains(newest));
        logs.extend(missing);
        let series_below = self.next_series_id.load(Ordering::SeqCst);
        // Remembered before the first one goes: a crash in between must not hide it.
        self.install(|manifest| {
            for &first_seq in &logs {
                let path = self.dir.join(log_name(first_seq));
                let loss = loss_of_all(path.display().to_string(), reason, series_below);
                if manifest.losses.iter().all(|known| known.file != loss.file) {
                    manifest.losses.push(loss);
                }
            }
        })?;
        for &first_seq in logs.iter().filter(|&&first_seq| Some(first_seq) != missing) {
            let path = self.dir.join(log_name(first_seq));
            set_aside(environment, &path, reason.message())?;
        }
        // New records must not take numbers that the lost ones had.
        let lost_up_to =
            logs.iter().map(|first_seq| (*first_seq).min(SEQ_MAX) + (1 << 32)).max().unwrap_or_default();
        let greatest = self.log.lock().next_seq.max(lost_up_to).max(durable_seq);
        self.install(|manifest| {
            manifest.flushed_seq = greatest - 1;
            manifest.newest_log = None;
        })?;
        self.log.lock().next_seq = greatest;
        Ok(())
    }
}

/// What is missing where a file may have held anything.
fn loss_of_all(file: String, reason: &Error, series_below: u64) -> Loss {
    let TimeRange { start_ns, end_ns } = TimeRange::ALL;
    Loss { file, reason: reason.message().to_owned(), start_ns, end_ns, series_below }
}

/// An error of strict recovery, with the way out.
pub(super) fn hinted(e: &Error) -> Error {
    if e.code() != ErrorCode::CorruptData {
        return e.clone();
    }
    Error::corrupt(format!(
        "{}; restore the file from a backup, or start with --recover=degraded to serve the rest",
        e.message()
    ))
}

/// Writes a part of a file anew with what it holds.
fn rewrite(file: &dyn File, part: Range<u64>) -> std::io::Result<()> {
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = part.start;
    while at < part.end {
        let n = REWRITE_BYTES.min((part.end - at) as usize);
        let chunk = buffer.get_mut(..n).unwrap_or_default();
        read_exact_at(file, chunk, at)?;
        file.write_all_at(chunk, at)?;
        at += n as u64;
    }
    Ok(())
}

/// Said of a log that the manifest names and the directory has not.
pub(super) const MISSING_LOG: &str = "is missing, though the manifest says that it was begun";

/// What proves that the newest log has lost records, if anything does.
pub(super) fn damage_at_end(replay: &Replay, manifest: &Manifest, promised: u64) -> Option<String> {
    let Manifest { flushed_seq, durable_seq, .. } = *manifest;
    let ending = replay.ending;
    let place = format!("{} at byte {}", ending.problem, ending.offset);
    match replay.judgement {
        Judgement::Damaged { proof_offset } => {
            Some(format!("{place}, though the frame at byte {proof_offset} proves that it was on disk"))
        }
        _ if ending.next_seq.max(flushed_seq + 1) < durable_seq => Some(format!(
            "{place}; the log ends before record {}, though the manifest says that record {} was on disk",
            ending.next_seq,
            durable_seq - 1
        )),
        _ if ending.next_seq.max(flushed_seq + 1) < promised => Some(format!(
            "{place}; the log ends before record {}, though a journal says that record {} was on disk",
            ending.next_seq,
            promised - 1
        )),
        _ => None,
    }
}

/// The group whose journals may have lost their end, where the newest log has lost records
/// of which they know nothing.
pub(super) fn cut_journal(replay: &Replay, manifest: &Manifest, promised: u64) -> Option<u32> {
    let end = replay.ending.next_seq.max(manifest.flushed_seq + 1);
    let is_cut = end < manifest.durable_seq
        && promised <= end
        && !matches!(replay.judgement, Judgement::Damaged { .. });
    replay.journal.filter(|_| is_cut)
}

/// Names of the files in a shard's directory.
fn file_names(environment: &Environment, dir: &Path) -> Result<Vec<String>> {
    let entries = environment.vfs.list(dir).map_err(|e| Error::unreadable(&e).context(dir.display()))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// The manifest, if it belongs to a generation of so many shards and of this origin.
pub(super) fn of_generation(
    manifest: Manifest,
    (shards, origin): (u32, u64),
    dir: &Path,
) -> Result<Manifest> {
    if (manifest.shards, manifest.origin) != (shards, origin) {
        return Err(Error::corrupt(format!(
            "{}: belongs to another database, or to another time of this one, before a LOAD ({} shards and origin \
             {:016x}, not {shards} and {origin:016x})",
            dir.join(MANIFEST).display(),
            manifest.shards,
            manifest.origin
        )));
    }
    Ok(manifest)
}

/// Makes the names in a directory durable, before a file goes that its manifest does
/// not need: a process that was killed may not have synced the one that is read now,
/// and the one before does.
fn sync_names(environment: &Environment, dir: &Path) -> Result<()> {
    environment
        .vfs
        .sync_dir(dir)
        .map_err(|e| Error::new(ErrorCode::ReadOnly, format!("{}: can't be synced: {e}", dir.display())))
}

/// Removes what an interrupted flush or compaction left; returns the next free id. What is
/// noted as lost goes to quarantine.
fn remove_unlisted(
    environment: &Environment,
    dir: &Path,
    names: &[String],
    manifest: &Manifest,
) -> Result<u64> {
    let mut next_id = manifest.next_segment_id;
    let mut is_synced = false;
    for name in names {
        let unlisted = match (parse_segment_name(name), parse_vectors_name(name)) {
            (Some((id, _)), _) => {
                next_id = next_id.max(id.saturating_add(1));
                manifest.segments.iter().all(|segment| segment.file_name() != *name)
            }
            // It goes with its segment.
            (None, Some(of)) => manifest.segments.iter().all(|segment| (segment.id, segment.hash) != of),
            (None, None) => Path::new(name).extension().is_some_and(|extension| extension == "tmp"),
        };
        if unlisted {
            if !is_synced {
                sync_names(environment, dir)?;
                is_synced = true;
            }
            let path = dir.join(name);
            match manifest.losses.iter().find(|loss| loss.is_of(name)) {
                Some(loss) => {
                    let reason = format!("it was given up before: {}", loss.reason);
                    tracing::warn!(file = %path.display(), reason, "a file that is not served any more goes to quarantine");
                    set_aside(environment, &path, &reason)?;
                }
                None => environment.obsolete.remove(path),
            }
        }
    }
    Ok(next_id)
}

/// Moves a damaged file to quarantine.
fn set_aside(environment: &Environment, path: &Path, reason: &str) -> Result<()> {
    quarantine(environment.vfs.as_ref(), &environment.options.data_dir, path, reason).map(drop)
}

/// Opens the segments that the manifest lists. Where degraded recovery is asked for,
/// a damaged one goes to quarantine and becomes a loss. Where the loss is accepted, all
/// blocks are read, and a segment takes the place of one that has blocks which can't be.
fn open_segments(
    environment: &Environment,
    store: &FileManifestStore,
    dir: &Path,
    number: u32,
    manifest: &mut Manifest,
    catalog: &Catalog,
) -> Result<Vec<Arc<Segment>>> {
    let recover = environment.options.recover;
    let open = |info: &SegmentInfo| {
        let cache = environment.cache.clone();
        Segment::open(environment.vfs.as_ref(), dir, (number, manifest.origin), info, cache)
            .and_then(|segment| catalog.check_segment(&segment).map(|()| segment))
    };
    let mut segments = Vec::with_capacity(manifest.segments.len());
    let mut next = manifest.clone();
    for info in &manifest.segments {
        let (range, reason) = match open(info) {
            Ok(segment) => {
                let unreadable =
                    if recover == Recover::AcceptLoss { find_unreadable(&segment)? } else { None };
                let Some(unreadable) = unreadable else {
                    Shard::open_sidecar(environment, dir, &segment);
                    segments.push(Arc::new(segment));
                    continue;
                };
                let header = FileHeader { id: next.next_segment_id, ..segment.header() };
                next.next_segment_id += 1;
                let rest = copy_readable(&segment, &unreadable, environment.vfs.clone(), dir, header)?;
                if let Some(rest) = rest {
                    segments.push(Arc::new(open(&rest)?));
                    next.segments.push(rest);
                }
                (unreadable.range, unreadable.to_string())
            }
            Err(e) if recover != Recover::Strict && e.code() == ErrorCode::CorruptData => {
                (TimeRange { start_ns: info.start_ns, end_ns: info.end_ns }, e.message().to_owned())
            }
            Err(e) => return Err(hinted(&e)),
        };
        tracing::error!(reason, "a damaged segment goes to quarantine");
        next.segments.retain(|segment| segment.id != info.id);
        let file = dir.join(info.file_name()).display().to_string();
        let TimeRange { start_ns, end_ns } = range;
        next.losses.push(Loss { file, reason, start_ns, end_ns, series_below: manifest.next_series_id });
    }
    if next.losses.len() == manifest.losses.len() {
        return Ok(segments);
    }
    next.revision += 1;
    // Remembered before the first one goes: a crash in between must not hide it.
    store.install(&next)?;
    for loss in next.losses.iter().skip(manifest.losses.len()) {
        let path = Path::new(&loss.file);
        if environment.vfs.metadata(path).is_ok_and(|found| found.is_some()) {
            set_aside(environment, path, &loss.reason)?;
        }
    }
    *manifest = next;
    Ok(segments)
}
