//! From disk to a running shard.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex, RwLock};
use crate::base::{Error, ErrorCode, Result, TimeRange};
use crate::format::{HEADER_BYTES, MANIFEST, parse_log_name, parse_segment_name};
use crate::manifest::{FileManifestStore, Loss, Manifest, ManifestStore, quarantine};
use crate::memtable::Memtable;
use crate::segments::Segment;
use crate::vfs::{Vfs, read_exact_at};
use crate::wal::{Judgement, LogReader, Replay, read_log};

use super::catalog::{Catalog, Series};
use super::options::Recover;
use super::shard::{Environment, LogState, ManifestState, OldLog, Shard, State};

/// What replaying a shard's logs found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecoveryReport {
    pub records: u64,
    pub torn_logs: u64,
}

impl Shard {
    /// Opens the shard in `dir`: manifest, segments, then the logs.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming file and place, where [`Recover::Strict`] is asked for.
    pub fn open(
        environment: Arc<Environment>,
        dir: &Path,
        number: u32,
    ) -> Result<(Arc<Self>, RecoveryReport)> {
        let store = FileManifestStore::new(environment.vfs.clone(), dir, number);
        let degraded = environment.options.recover == Recover::Degraded;
        let (mut manifest, unreadable) = match store.load() {
            Ok(manifest) => (manifest, None),
            Err(e) if degraded && e.code() == ErrorCode::CorruptData => (Manifest::empty(), Some(e)),
            Err(e) => return Err(hinted(&e)),
        };
        let mut catalog = Catalog::default();
        for record in &manifest.series {
            let series = Series::from_record(record).map_err(|e| e.context(dir.display()))?;
            catalog.insert(Arc::new(series));
        }
        let names = environment
            .vfs
            .list(dir)
            .map_err(|e| Error::corrupt(format!("{}: can't be listed: {e}", dir.display())))?;
        let mut names: Vec<String> = names.into_iter().map(|entry| entry.name).collect();
        if unreadable.is_some() {
            // Which of the files are live is not known: they are left alone.
            names.clear();
        }
        let next_segment_id = remove_unlisted(&environment, dir, &names, &manifest);
        let segments = open_segments(&environment, &store, dir, number, &mut manifest)?;

        let (replayed_from, next_series_id) = (manifest.flushed_seq, manifest.next_series_id);
        let mut shard = Self {
            number,
            dir: dir.to_owned(),
            environment: environment.clone(),
            epoch: manifest.epoch,
            losses: Vec::new(),
            queue: Mutex::default(),
            queue_filled: Condvar::new(),
            log: Mutex::new(LogState { writer: None, next_seq: replayed_from + 1 }),
            log_bytes: AtomicU64::new(0),
            old_logs: Mutex::default(),
            next_series_id: AtomicU64::new(next_series_id),
            manifest: Mutex::new(ManifestState { store: Box::new(store), manifest, next_segment_id }),
            state: RwLock::new(State { catalog, active: Memtable::default(), frozen: Vec::new(), segments }),
            flushing: Mutex::default(),
            flush_failure: Mutex::default(),
            flushed: Condvar::new(),
            compacting: Mutex::default(),
            trouble: RwLock::default(),
        };
        let mut logs: Vec<u64> = names.iter().filter_map(|name| parse_log_name(name)).collect();
        logs.sort_unstable();
        let report = match shard.replay_logs(&logs) {
            Ok(report) => report,
            Err(e) if degraded && e.code() == ErrorCode::CorruptData => shard.give_up_logs(&e)?,
            Err(e) => return Err(e),
        };
        shard.losses = shard.manifest.lock().manifest.losses.clone();
        if let Some(reason) = unreadable {
            tracing::error!(shard = number, %reason, "nothing of the shard is served");
            shard.losses.push(loss_of_all(dir.join(MANIFEST).display().to_string(), &reason));
            *shard.trouble.write() = Some(reason);
        }
        Ok((Arc::new(shard), report))
    }

    /// Moves the files of a shard whose manifest can't be read to quarantine, before its
    /// generation is removed.
    pub fn set_aside_unreadable(&self) -> Result<()> {
        let trouble = self.trouble.read().clone();
        let Some(reason) = trouble.filter(|trouble| trouble.code() == ErrorCode::CorruptData) else {
            return Ok(());
        };
        let environment = &self.environment;
        let names = environment
            .vfs
            .list(&self.dir)
            .map_err(|e| Error::corrupt(format!("{}: can't be listed: {e}", self.dir.display())))?;
        names.iter().try_for_each(|entry| {
            let path = self.dir.join(&entry.name);
            quarantine(environment.vfs.as_ref(), &environment.options.data_dir, &path, reason.message())
                .map(drop)
        })
    }

    fn replay_logs(&self, logs: &[u64]) -> Result<RecoveryReport> {
        let mut report = RecoveryReport::default();
        for (at, &first_seq) in logs.iter().enumerate() {
            let path = self.dir.join(crate::format::log_name(first_seq));
            let expected = self.log.lock().next_seq;
            let next_log = logs.get(at + 1).copied();
            let flushed = self.manifest.lock().manifest.flushed_seq;
            if next_log.is_some_and(|next| next <= flushed + 1) {
                // A crash came between the flush and the removal.
                self.environment.obsolete.remove(path);
                continue;
            }
            if first_seq > expected {
                return Err(Error::corrupt(format!(
                    "{}: begins at record {first_seq}, but record {expected} is in no log and no segment; a log is \
                     missing: restore it from a backup",
                    path.display()
                )));
            }
            if next_log.is_none() && is_unfinished_log(self.environment.vfs.as_ref(), &path)? {
                self.environment.obsolete.remove(path);
                continue;
            }
            let replay = self.replay_log(&path)?;
            self.judge_ending(&path, replay, next_log, &mut report)?;
            report.records += replay.records;
            // Records before `expected` are in segments.
            let next_seq = replay.ending.next_seq.max(expected);
            self.log.lock().next_seq = next_seq;
            if next_seq == first_seq {
                // A crash came before its first record was whole. The next log takes its
                // name, for it begins at the same record.
                self.environment.obsolete.remove(path);
                continue;
            }
            let bytes = replay.ending.offset;
            self.old_logs.lock().push(OldLog {
                path,
                last_seq: replay.ending.next_seq.saturating_sub(1),
                bytes,
            });
            if !self.state.read().frozen.is_empty() {
                self.flush_frozen()?;
            }
        }
        Ok(report)
    }

    fn replay_log(&self, path: &Path) -> Result<Replay> {
        let vfs = self.environment.vfs.clone();
        let flushed = self.manifest.lock().manifest.flushed_seq;
        let options = &self.environment.options;
        let points_max = options.buffer_points.saturating_mul(2);
        // All shards together stay within half of what running may take.
        let bytes_max = self.environment.budget.limit_bytes() / 2 / u64::from(options.shards);
        read_log(vfs.as_ref(), path, |seq, record| {
            if let crate::wal::Record::Create { series_id, .. } = &record {
                self.next_series_id.fetch_max(series_id + 1, Ordering::SeqCst);
            }
            if seq <= flushed {
                return Ok(());
            }
            let mut state = self.state.write();
            let bytes = state.apply(&record, seq);
            self.environment.budget.take(bytes as u64);
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
        match replay.judgement {
            Judgement::Clean => Ok(()),
            Judgement::Torn => {
                tracing::warn!(
                    file = %path.display(),
                    offset = ending.offset,
                    problem = %ending.problem,
                    "a write that was never acknowledged as durable is cut off"
                );
                report.torn_logs += 1;
                let cut = || -> std::io::Result<()> {
                    let file = self.environment.vfs.open_write(path)?;
                    file.set_len(ending.offset)?;
                    file.sync()
                };
                cut().map_err(|e| {
                    Error::new(
                        ErrorCode::ReadOnly,
                        format!("{}: the torn tail can't be cut off: {e}", path.display()),
                    )
                })
            }
            Judgement::Damaged { proof_offset } => Err(Error::corrupt(format!(
                "{}: {} at byte {}, though the frame at byte {proof_offset} proves that it was on disk; restore the \
                 file from a backup, or start with --recover=degraded to serve the rest",
                path.display(),
                ending.problem,
                ending.offset
            ))),
        }
    }

    /// Keeps what could be read of damaged logs, moves the logs to quarantine, and
    /// remembers that points may be missing.
    fn give_up_logs(&self, reason: &Error) -> Result<RecoveryReport> {
        let environment = &self.environment;
        tracing::error!(shard = self.number, %reason, "damaged logs go to quarantine");
        let (last_seq, has_records) = {
            let state = self.state.read();
            (state.active.last_seq(), !state.active.is_empty())
        };
        self.log.lock().next_seq = last_seq.max(self.manifest.lock().manifest.flushed_seq) + 1;
        if has_records {
            self.flush_all()?;
        }
        let names = environment
            .vfs
            .list(&self.dir)
            .map_err(|e| Error::corrupt(format!("{}: can't be listed: {e}", self.dir.display())))?;
        let logs: Vec<(u64, PathBuf)> = names
            .iter()
            .filter_map(|entry| Some((parse_log_name(&entry.name)?, self.dir.join(&entry.name))))
            .collect();
        // Remembered before the first one goes: a crash in between must not hide it.
        self.install(|manifest| {
            for (_, path) in &logs {
                let loss = loss_of_all(path.display().to_string(), reason);
                if manifest.losses.iter().all(|known| known.file != loss.file) {
                    manifest.losses.push(loss);
                }
            }
        })?;
        for (_, path) in &logs {
            quarantine(environment.vfs.as_ref(), &environment.options.data_dir, path, reason.message())?;
        }
        // New records must not take numbers that the lost ones had.
        let lost_up_to = logs.iter().map(|(first_seq, _)| first_seq + (1 << 32)).max().unwrap_or_default();
        let greatest = self.log.lock().next_seq.max(lost_up_to);
        self.install(|manifest| manifest.flushed_seq = greatest - 1)?;
        self.old_logs.lock().clear();
        self.log.lock().next_seq = greatest;
        Ok(RecoveryReport::default())
    }
}

/// What is missing where a file may have held anything.
fn loss_of_all(file: String, reason: &Error) -> Loss {
    let TimeRange { start_ns, end_ns } = TimeRange::ALL;
    Loss { file, reason: reason.message().to_owned(), start_ns, end_ns }
}

/// An error of strict recovery, with the way out.
fn hinted(e: &Error) -> Error {
    Error::new(
        e.code(),
        format!(
            "{}; restore the file from a backup, or start with --recover=degraded to serve the rest",
            e.message()
        ),
    )
}

/// A log whose creation a crash interrupted: no header, and nothing after it.
pub(super) fn is_unfinished_log(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    if LogReader::open(vfs, path).is_ok() {
        return Ok(false);
    }
    let read = || -> std::io::Result<bool> {
        let file = vfs.open(path)?;
        let mut bytes = vec![0; file.len()? as usize];
        read_exact_at(file.as_ref(), &mut bytes, 0)?;
        Ok(bytes.iter().skip(HEADER_BYTES).all(|&byte| byte == 0))
    };
    read().map_err(|e| Error::corrupt(format!("{}: can't be read: {e}", path.display())))
}

/// Removes what an interrupted flush or compaction left; returns the next free id.
fn remove_unlisted(environment: &Environment, dir: &Path, names: &[String], manifest: &Manifest) -> u64 {
    let mut next_id = manifest.next_segment_id;
    for name in names {
        let unlisted = match parse_segment_name(name) {
            Some((id, _)) => {
                next_id = next_id.max(id + 1);
                manifest.segments.iter().all(|segment| segment.file_name() != *name)
            }
            None => Path::new(name).extension().is_some_and(|extension| extension == "tmp"),
        };
        if unlisted {
            environment.obsolete.remove(dir.join(name));
        }
    }
    next_id
}

/// Opens the segments that the manifest lists. Where degraded recovery is asked for,
/// a damaged one goes to quarantine and becomes a loss.
fn open_segments(
    environment: &Environment,
    store: &FileManifestStore,
    dir: &Path,
    number: u32,
    manifest: &mut Manifest,
) -> Result<Vec<Arc<Segment>>> {
    let mut segments = Vec::with_capacity(manifest.segments.len());
    let mut lost = Vec::new();
    for info in &manifest.segments {
        let cache = environment.cache.clone();
        match Segment::open(environment.vfs.as_ref(), dir, number, info, cache) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(e)
                if environment.options.recover == Recover::Degraded && e.code() == ErrorCode::CorruptData =>
            {
                tracing::error!(reason = %e, "a damaged segment goes to quarantine");
                lost.push((info.clone(), e));
            }
            Err(e) => return Err(hinted(&e)),
        }
    }
    if lost.is_empty() {
        return Ok(segments);
    }
    let mut next = manifest.clone();
    next.revision += 1;
    for (info, reason) in &lost {
        let path = dir.join(info.file_name());
        next.segments.retain(|segment| segment.id != info.id);
        next.losses.push(Loss {
            file: path.display().to_string(),
            reason: reason.message().to_owned(),
            start_ns: info.start_ns,
            end_ns: info.end_ns,
        });
        if environment.vfs.metadata(&path).is_ok_and(|found| found.is_some()) {
            quarantine(environment.vfs.as_ref(), &environment.options.data_dir, &path, reason.message())?;
        }
    }
    store.install(&next)?;
    *manifest = next;
    Ok(segments)
}
