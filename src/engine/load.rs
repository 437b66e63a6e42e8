//! Loading: a whole new generation is staged, verified, and takes the place of the
//! old one in a single step.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::base::{Deadline, Error, ErrorCode, Points, Result, SeriesName, caught};
use crate::format::shard_of;
use crate::manifest::{CurrentRecord, create_shard_dirs, remove_generation, stale_generations};
use crate::vfs::FileReader;
use crate::wal::Record;

use super::catalog::Series;
use super::commit::complete;
use super::facade::Engine;
use super::generation::Generation;
use super::shard::Shard;
use super::snapshot_file::{SnapshotItem, SnapshotSeries, read_snapshot};
use super::snapshot_path::{not_found, resolve};
use super::types::LoadReport;

/// Points that a staged shard gathers before it writes a segment; more than a running
/// one, for there is no log to keep short.
const STAGED_POINTS: usize = 1 << 17;
/// Points of a series that are applied as one record.
const RECORD_POINTS: usize = 4096;

impl Engine {
    /// Replaces everything by a snapshot from the snapshot directory. Writes that are
    /// acknowledged before this returns are replaced too.
    ///
    /// # Errors
    /// `PATH_NOT_ALLOWED`, `FILE_NOT_FOUND`, `CORRUPT_DATA`, `READ_ONLY`, `TIMEOUT`,
    /// `LIMIT_EXCEEDED` for too many series or label sets; nothing has changed then.
    pub fn load(&self, path: &str, deadline: &Deadline) -> Result<LoadReport> {
        let source = resolve(self.vfs().as_ref(), &self.snapshot_dir(), path, false)?;
        self.load_from(&source, deadline)
    }

    /// The same from a path of the operator's choice.
    pub fn load_from(&self, source: &Path, deadline: &Deadline) -> Result<LoadReport> {
        let _one_at_a_time = self.inner.snapshot.lock();
        let file = self.vfs().open(source).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => not_found(source),
            _ => Error::unreadable(&e).context(source.display()),
        })?;
        self.inner.environment.check_disk()?;
        let live = self.inner.generation.read().record.generation;
        let stale = stale_generations(self.vfs().as_ref(), self.data_dir(), Some(live))?;
        let number = stale.into_iter().max().unwrap_or(live).max(live) + 1;
        let staged = self.stage(number, FileReader::new(file, 0), deadline);
        let (generation, series, points) = staged.map_err(|e| {
            // What can't be removed now is removed at the next start.
            let _ = remove_generation(self.vfs().as_ref(), self.data_dir(), number);
            Error::new(e.code(), format!("{}: {}; nothing has changed", source.display(), e.message()))
        })?;
        let switched = caught("a load", || self.switch_to(generation));
        if let Err(e) = &switched
            && e.code() == ErrorCode::Internal
        {
            // Half a switch: nothing more may be promised.
            self.inner.generation.read().shards.iter().for_each(|shard| shard.refuse_writes(e));
        }
        switched.map_err(|e| e.context(source.display()))?;
        Ok(LoadReport { path: source.to_owned(), series, points })
    }

    fn stage(
        &self,
        number: u64,
        mut input: FileReader,
        deadline: &Deadline,
    ) -> Result<(Generation, u64, u64)> {
        let shards = self.inner.database.shards();
        let dir = self.inner.database.generation_dir(number);
        let origin = create_shard_dirs(self.vfs(), &dir, shards)?;
        let record = CurrentRecord { generation: number, origin };
        let generation = Generation::open(&self.inner.environment, &dir, record, shards)?;
        let mut stage =
            Stage { generation: &generation, names: HashSet::new(), current: None, waiting: None };
        let mut points = 0;
        let bytes_max = self.query_bytes_max();
        let staged = caught("staging", || {
            read_snapshot(&mut input, bytes_max, |item| {
                deadline.check()?;
                match item {
                    SnapshotItem::Series(series) => stage.begin(series),
                    SnapshotItem::Points(batch) => {
                        points += batch.len() as u64;
                        stage.add(batch)
                    }
                }
            })?;
            stage.apply_waiting()?;
            let series = stage.names.len() as u64;
            generation.shards.iter().try_for_each(|shard| shard.flush_all().map(drop))?;
            Ok(series)
        });
        match staged {
            Ok(series) => Ok((generation, series, points)),
            Err(e) => {
                generation.forget_memory();
                Err(e)
            }
        }
    }

    /// The one step: no write is between the generations.
    fn switch_to(&self, mut staged: Generation) -> Result<()> {
        let mut live = self.inner.generation.write();
        // Before the switch, for the first start after it removes what is not live, and
        // before the queues are closed, for a failure must leave everything as it was.
        if let Err(e) = live.shards.iter().try_for_each(|shard| shard.set_aside_unreadable()) {
            staged.forget_memory();
            return Err(e);
        }
        live.drain();
        if let Err(e) = self.inner.database.switch_to(staged.record) {
            // Which generation a restart would find is open: both stay, with no more
            // promises.
            staged.forget_memory();
            live.shards.iter().for_each(|shard| shard.refuse_writes(&e));
            return Err(e);
        }
        if self.inner.environment.options.background {
            staged.start();
        }
        let mut old = std::mem::replace(&mut *live, staged);
        drop(live);
        old.stop();
        old.forget_memory();
        let set_aside = old.shards.iter().try_for_each(|shard| shard.set_aside_damaged());
        let removed = set_aside
            .and_then(|()| remove_generation(self.vfs().as_ref(), self.data_dir(), old.record.generation));
        if let Err(e) = removed {
            tracing::warn!(error = %e, "the replaced generation stays until the next start");
        }
        Ok(())
    }
}

/// Takes the content of a snapshot into a generation that is not live.
struct Stage<'a> {
    generation: &'a Generation,
    names: HashSet<SeriesName>,
    current: Option<(Arc<Shard>, Arc<Series>)>,
    /// Points of the current series that wait to be applied together.
    waiting: Option<Points>,
}

impl Stage<'_> {
    fn begin(&mut self, series: SnapshotSeries) -> Result<()> {
        self.apply_waiting()?;
        if series.dimension == 0 || series.dimension > crate::base::DIMENSION_MAX {
            return Err(Error::corrupt(format!(
                "series '{}' of dimension {}",
                series.name, series.dimension
            )));
        }
        if !self.names.insert(series.name.clone()) {
            return Err(Error::corrupt(format!("series '{}' comes twice", series.name)));
        }
        // Counted where the record is applied.
        self.generation.cardinality.take_series()?;
        self.generation.cardinality.give_back_series();
        let shards = &self.generation.shards;
        let shard = &shards[shard_of(series.name.as_str(), shards.len() as u32) as usize];
        let series_id = shard.next_series_id.fetch_add(1, Ordering::SeqCst);
        let SnapshotSeries { name, dimension, value_type, .. } = series;
        shard.load_record(&Record::Create { series_id, name, dimension, value_type })?;
        let found = shard.state.read().catalog.by_id(series_id).cloned();
        let found = found.ok_or_else(|| Error::internal("a series that was just made is missing"))?;
        found.note_assigned(series.assigned_max_ns);
        self.current = Some((shard.clone(), found));
        Ok(())
    }

    fn add(&mut self, batch: Points) -> Result<()> {
        let Some(waiting) = &mut self.waiting else {
            self.waiting = Some(batch);
            return Ok(());
        };
        if waiting.dimension != batch.dimension || waiting.len() + batch.len() > RECORD_POINTS {
            self.apply_waiting()?;
            self.waiting = Some(batch);
            return Ok(());
        }
        // Single points of the JSON form, mostly.
        if waiting.label_ids.is_empty() {
            if waiting.label_sets.is_empty() {
                waiting.label_sets.push(crate::base::Labels::empty());
            }
            waiting.label_ids = vec![0; waiting.len()];
        }
        for row in 0..batch.len() {
            let labels = batch.labels_of(row);
            let last = waiting.label_sets.len() - 1;
            let id = if waiting.label_sets[last] == labels {
                last
            } else {
                waiting.label_sets.push(labels);
                last + 1
            };
            waiting.label_ids.push(id as u32);
        }
        waiting.timestamps_ns.extend_from_slice(&batch.timestamps_ns);
        waiting.values.extend_from_slice(&batch.values);
        Ok(())
    }

    fn apply_waiting(&mut self) -> Result<()> {
        let (Some(points), Some((shard, series))) = (self.waiting.take(), &self.current) else {
            return Ok(());
        };
        let (insert, _) = complete(series, points, 0).map_err(|e| Error::corrupt(e.message()))?;
        self.generation.cardinality.take_label_sets(series, &insert.label_sets)?;
        shard.load_record(&Record::Insert(insert))?;
        // The live generation has the other part of the memory.
        let staged = |shard: &Arc<Shard>| shard.state.read().active.memory_bytes() as u64;
        let shards = &self.generation.shards;
        if shards.iter().map(staged).sum::<u64>() > shard.environment.budget.limit_bytes() / 4
            && let Some(largest) = shards.iter().max_by_key(|shard| staged(shard))
        {
            largest.flush_all()?;
        }
        Ok(())
    }
}

impl Shard {
    /// Applies a record without a log; only for a shard that is not live.
    fn load_record(&self, record: &Record) -> Result<()> {
        let mut log = self.log.lock();
        let mut state = self.state.write();
        let bytes = state.apply(record, log.next_seq);
        log.next_seq += 1;
        self.environment.take_memory(bytes);
        let full = state.active.points() >= STAGED_POINTS;
        drop((state, log));
        if full {
            self.flush_all()?;
        }
        Ok(())
    }
}

impl Generation {
    /// Gives back the memory of what is dropped now.
    fn forget_memory(&self) {
        for shard in &self.shards {
            let state = shard.state.read();
            let frozen: usize = state.frozen.iter().map(|table| table.memory_bytes()).sum();
            shard.environment.budget.give_back((state.active.memory_bytes() + frozen) as u64);
        }
    }
}
