//! The log of a shard, and the memtable that goes with it: begun, written, frozen, ended.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::base::{Error, ErrorCode, Result};
use crate::format::{FileHeader, FileKind, log_name};
use crate::wal::LogWriter;

use super::options::Durability;
use super::shard::{LogState, OldLog, Shard, add};

/// At so many points the memtable of a shard is full, where none buffers more than `most`. Shards
/// that fill alike are full one after the other, for each begins a log then, and writers wait for
/// all that begin in one commit.
fn points_max(shard: u32, most: usize) -> usize {
    // Multiples of the golden ratio are spread evenly, however many there are.
    let part = shard.wrapping_mul(0x9e37_79b9) >> 16;
    most - (most / 8) * part as usize / (1 << 16)
}

impl Shard {
    /// Writes what waits to the log, durable where every write is to be.
    pub fn write_log(&self, log: &mut LogState) -> Result<()> {
        let environment = &self.environment;
        let Some(writer) = &mut log.writer else {
            return Err(Error::internal("no log"));
        };
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
        Ok(())
    }

    /// Writes frames to the log that only a journal has, before that is begun anew.
    pub fn write_journaled(&self) -> Result<()> {
        self.guarded("writing the log", || {
            let mut log = self.log.lock();
            self.refuse_in_trouble()?;
            if log.writer.as_ref().is_some_and(|writer| writer.waiting_bytes() > 0) {
                self.write_log(&mut log)?;
            }
            Ok(())
        })
    }

    /// Begins a log where the shard has none.
    pub fn begin_log(&self, log: &mut LogState) -> Result<()> {
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
        let header = FileHeader {
            journal: self.ready.journal().map_or(0, |group| group + 1),
            origin: self.origin,
            ..FileHeader::new(FileKind::Log, self.number, first_seq, self.epoch)
        };
        let made = LogWriter::create(vfs, &self.dir, header);
        let writer = made.map_err(|e| {
            let path = self.dir.join(log_name(first_seq));
            Error::new(ErrorCode::ReadOnly, format!("{}: a log can't be made: {e}", path.display()))
        })?;
        self.install(|manifest| manifest.newest_log = Some(first_seq))?;
        Ok(writer)
    }

    /// Freezes the active memtable where it has reached its budget.
    pub fn freeze_if_full(&self, log: &mut LogState) -> Result<()> {
        let environment = &self.environment;
        let full = {
            let state = self.state.read();
            state.active.points() >= points_max(self.number, environment.options.buffer_points)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_full_one_after_the_other() {
        for (shards, most) in [(64, 100_000), (16, 1000), (1000, 100_000)] {
            let mut full: Vec<usize> = (0..shards).map(|shard| points_max(shard, most)).collect();
            full.sort_unstable();
            assert!(full.iter().all(|&points| (most / 8 * 7..=most).contains(&points)));
            let closest = full.windows(2).map(|pair| pair[1] - pair[0]).min();
            assert!(closest > Some(most / 8 / shards as usize / 3), "{closest:?} of {shards}");
        }
        // None holds back where there is little to spread.
        assert!((0..64).all(|shard| points_max(shard, 7) == 7));
    }
}
