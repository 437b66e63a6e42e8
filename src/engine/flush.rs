//! From memtable to segment, and from segments to fewer segments.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::base::{Labels, Result, TimeRange};
use crate::compaction::{CompactionReport, CompactionTask, plan, run_compaction, still_hides};
use crate::format::{FileHeader, FileKind};
use crate::manifest::Manifest;
use crate::memtable::Memtable;
use crate::merge::{MergeOrder, SeriesView};
use crate::segments::{Segment, SegmentInfo, SegmentWriter, Sidecar};

use super::shard::{OldLog, Shard, add};
use super::types::FlushReport;

impl Shard {
    /// Flushes every frozen memtable, oldest first. After an error the points stay in
    /// memory and in the log, and it can be tried again.
    pub fn flush_frozen(&self) -> Result<FlushReport> {
        self.guarded("a flush", || self.flush_tables())
    }

    /// Flushes the oldest frozen memtable, unless another thread is at it; says whether it did.
    pub fn flush_oldest(&self) -> Result<bool> {
        self.guarded("a flush", || {
            let Some(_one_at_a_time) = self.flushing.try_lock() else { return Ok(false) };
            let flushed = self.flush_next(&mut FlushReport::default())?;
            self.environment.obsolete.purge();
            Ok(flushed)
        })
    }

    /// Freezes what is active and flushes everything.
    pub fn flush_all(&self) -> Result<FlushReport> {
        self.guarded("a flush", || {
            self.freeze(&mut self.log.lock());
            self.flush_tables()
        })
    }

    fn flush_tables(&self) -> Result<FlushReport> {
        let _one_at_a_time = self.flushing.lock();
        let mut report = FlushReport::default();
        while self.flush_next(&mut report)? {}
        self.environment.obsolete.purge();
        Ok(report)
    }

    /// Flushes the oldest frozen memtable; false where there is none.
    fn flush_next(&self, report: &mut FlushReport) -> Result<bool> {
        let next = self.state.read().frozen.first().cloned();
        let Some(table) = next else { return Ok(false) };
        // After a panic a table may hold a part of a batch.
        self.refuse_in_trouble()?;
        match self.flush_table(&table) {
            Ok(written) => {
                report.flushed_points += table.points() as u64;
                report.segments_written += u64::from(written);
                add(&self.environment.counts.flushes, 1);
                *self.flush_failure.lock() = None;
                self.flushed.notify_all();
                // Its writes may have waited for this.
                self.ready.add(self.number);
                self.ready.wake();
                Ok(true)
            }
            Err(e) => {
                tracing::warn!(shard = self.number, error = %e, "a flush failed; it will be tried again");
                *self.flush_failure.lock() = Some(e.clone());
                self.flushed.notify_all();
                Err(e)
            }
        }
    }

    fn next_segment_id(&self) -> u64 {
        let mut manifest = self.manifest.lock();
        let id = manifest.next_segment_id;
        manifest.next_segment_id += 1;
        id
    }

    fn open_segment(&self, info: &SegmentInfo) -> Result<Arc<Segment>> {
        let environment = &self.environment;
        let cache = environment.cache.clone();
        // Its id is new: nothing stands beside it yet.
        Segment::open(environment.vfs.as_ref(), &self.dir, (self.number, self.origin), info, cache)
            .map(Arc::new)
    }

    /// Writes a memtable as a segment and installs it; says whether a segment was
    /// needed.
    fn flush_table(&self, table: &Arc<Memtable>) -> Result<bool> {
        let id = self.next_segment_id();
        let environment = &self.environment;
        let mut writer = SegmentWriter::create(environment.vfs.clone(), &self.dir, self.segment_header(id))?;
        if let Err(e) = self.write_table(table, &mut writer) {
            writer.abandon();
            return Err(e);
        }
        let info = if writer.is_empty() {
            writer.abandon();
            None
        } else {
            Some(writer.finish()?)
        };
        let segment = info.as_ref().map(|info| self.open_segment(info)).transpose()?;
        self.install_segment(info.as_ref(), |manifest| {
            manifest.flushed_seq = table.last_seq();
            manifest.segments.extend(info.clone());
            if self
                .old_logs
                .lock()
                .iter()
                .any(|old| manifest.newest_log == Some(old.first_seq) && old.last_seq <= manifest.flushed_seq)
            {
                manifest.newest_log = None;
            }
        })?;
        {
            let mut state = self.state.write();
            state.frozen.retain(|frozen| !Arc::ptr_eq(frozen, table));
            state.segments.extend(segment.clone());
        }
        self.note_vanished(table.label_sets_with_tombstones(), segment.as_deref());
        environment.budget.give_back(table.memory_bytes() as u64);
        self.retire_logs(table.last_seq());
        Ok(segment.is_some())
    }

    fn write_table(&self, table: &Memtable, writer: &mut SegmentWriter) -> Result<()> {
        let segments = self.state.read().segments.clone();
        for series_id in table.series_ids() {
            let series = self.state.read().catalog.by_id(series_id).cloned();
            // Dropped since.
            let Some(series) = series else { continue };
            let dimension = series.dimension as usize;
            let Some(snapshot) = table.snapshot(series_id, dimension, series.value_type) else { continue };
            for tombstone in &snapshot.tombstones {
                if still_hides(tombstone, series_id, &segments) {
                    writer.push_tombstone(series_id, tombstone.clone());
                }
            }
            let value_type = series.value_type;
            let view =
                SeriesView { series_id, dimension, value_type, memory: vec![snapshot], segments: Vec::new() };
            let sets = view.label_sets(|_| true);
            let mut merger = view.merge(TimeRange::ALL, &sets, MergeOrder::LabelSet);
            writer.begin_series(series_id, dimension, value_type, sets)?;
            while let Some(slice) = merger.next_slice()? {
                writer.push(slice.rank, &slice.columns, slice.rows)?;
            }
        }
        Ok(())
    }

    fn segment_header(&self, id: u64) -> FileHeader {
        FileHeader { origin: self.origin, ..FileHeader::new(FileKind::Segment, self.number, id, self.epoch) }
    }

    /// Changes the manifest. Where the one before is in force still after a failure, as on a
    /// full disk, it can be tried again; where that is open, the shard must not go on.
    pub fn install(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        self.try_install(change).inspect_err(|e| {
            let known = self.manifest.lock();
            if known.store.load().as_ref() != Ok(&known.manifest) {
                self.refuse_writes(e);
            }
        })
    }

    /// The same with a segment that was just written, which goes where it is not needed.
    fn install_segment(
        &self,
        written: Option<&SegmentInfo>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<()> {
        self.install(change).inspect_err(|_| {
            if let Some(info) = written.filter(|_| self.trouble.read().is_none()) {
                self.environment.obsolete.remove(self.dir.join(info.file_name()));
            }
        })
    }

    fn try_install(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut current = self.manifest.lock();
        // Another install may have failed while this one waited.
        self.refuse_in_trouble()?;
        let mut next = current.manifest.clone();
        change(&mut next);
        next.revision += 1;
        next.next_segment_id = current.next_segment_id;
        // Whatever the catalog says beyond `flushed_seq` is in the log already and
        // replays without effect.
        next.series = self.state.read().catalog.records();
        // Ids of series that came and went must not come back after a restart.
        next.next_series_id = self.next_series_id.load(Ordering::SeqCst);
        next.durable_seq = self.durable_seq.load(Ordering::SeqCst);
        current.store.install(&next)?;
        current.manifest = next;
        Ok(())
    }

    /// Notes the label sets that were in memory or in segments and are not in the segment
    /// that replaces them: what is not elsewhere either gives its room back.
    fn note_vanished<'a>(&self, before: impl Iterator<Item = (u64, &'a Labels)>, after: Option<&Segment>) {
        let is_kept = |series_id: u64, labels: &Labels| {
            let entry = after.and_then(|segment| segment.index().series(series_id));
            entry.is_some_and(|entry| entry.labels.binary_search(labels).is_ok())
        };
        let gone = before.filter(|&(series_id, labels)| !is_kept(series_id, labels));
        self.vanished.lock().extend(gone.map(|(series_id, labels)| (series_id, labels.clone())));
    }

    /// Removes logs whose every record is flushed.
    fn retire_logs(&self, flushed_seq: u64) {
        let gone: Vec<OldLog> =
            self.old_logs.lock().extract_if(.., |old| old.last_seq <= flushed_seq).collect();
        for old in gone {
            self.environment.obsolete.remove(old.path);
        }
    }

    /// Runs one compaction, if the planner finds one.
    pub fn compact_once(&self, throttle: impl FnMut(u64) -> Result<()>) -> Result<Option<CompactionReport>> {
        self.guarded("a compaction", || self.compact(throttle))
    }

    fn compact(&self, mut throttle: impl FnMut(u64) -> Result<()>) -> Result<Option<CompactionReport>> {
        let _one_at_a_time = self.compacting.lock();
        let environment = &self.environment;
        let segments = self.state.read().segments.clone();
        // What can't be read can't be merged.
        let whole = segments.iter().filter(|segment| !segment.is_damaged());
        let infos: Vec<SegmentInfo> = whole.map(|segment| segment.info().clone()).collect();
        let Some(chosen) = plan(&infos, &environment.options.compaction) else { return Ok(None) };
        self.refuse_in_trouble()?;
        let (inputs, others): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|segment| chosen.contains(&segment.info().id));
        let header = self.segment_header(self.next_segment_id());
        let task =
            CompactionTask { vfs: environment.vfs.clone(), dir: self.dir.clone(), header, inputs, others };
        let is_live = |series_id| self.state.read().catalog.by_id(series_id).is_some();
        let report = run_compaction(&task, is_live, &mut throttle)?;
        let output = report.output.as_ref().map(|info| self.open_segment(info)).transpose()?;
        self.install_segment(report.output.as_ref(), |manifest| {
            manifest.segments.retain(|segment| !chosen.contains(&segment.id));
            manifest.segments.extend(report.output.clone());
        })?;
        {
            let mut state = self.state.write();
            state.segments.retain(|segment| !chosen.contains(&segment.info().id));
            state.segments.extend(output.clone());
        }
        if task.inputs.iter().any(|input| !input.index().tombstones.is_empty()) {
            let entries = task.inputs.iter().flat_map(|input| &input.index().series);
            let sets = entries.flat_map(|entry| entry.labels.iter().map(|labels| (entry.series_id, labels)));
            self.note_vanished(sets, output.as_deref());
            self.forget_vanished(&self.log.lock());
        }
        for input in &task.inputs {
            environment.obsolete.add_in_use(input.path().to_owned(), input);
            if input.sidecar().is_some() {
                environment.obsolete.add_in_use(Sidecar::path_of(&self.dir, input.info()), input);
            }
        }
        drop(task);
        environment.vectors.purge();
        environment.obsolete.purge();
        add(&environment.counts.compactions, 1);
        add(&environment.counts.compaction_bytes_in, report.bytes_in);
        add(&environment.counts.compaction_bytes_out, report.bytes_out);
        Ok(Some(report))
    }
}
