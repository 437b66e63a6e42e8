//! Saving: everything at one instant, while writes go on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Deadline, Error, ErrorCode, Result, TimeRange};
use crate::format::UNFINISHED_SAVE;
use crate::merge::{MergeOrder, SeriesView};
use crate::vfs::FileWriter;

use super::catalog::Series;
use super::facade::Engine;
use super::snapshot_file::{SnapshotSeries, SnapshotWriter};
use super::snapshot_path::resolve;
use super::types::SaveReport;

struct Pinned {
    series: Arc<Series>,
    assigned_max_ns: Option<i64>,
    view: SeriesView,
}

impl Engine {
    /// Writes a snapshot of one instant to a path in the snapshot directory: readable
    /// JSON lines where it ends in `.json`, else the binary form. An existing file is
    /// replaced atomically.
    ///
    /// # Errors
    /// `PATH_NOT_ALLOWED`, `INVALID_ARGUMENT`, `READ_ONLY`, `TIMEOUT`, `CORRUPT_DATA`;
    /// an existing file is then as it was.
    pub fn save(&self, path: &str, deadline: &Deadline) -> Result<SaveReport> {
        let target = resolve(self.vfs().as_ref(), &self.snapshot_dir(), path, true)?;
        self.save_to(&target, deadline)
    }

    /// The same to a path of the operator's choice.
    pub fn save_to(&self, target: &Path, deadline: &Deadline) -> Result<SaveReport> {
        let _one_at_a_time = self.inner.snapshot.lock();
        self.inner.environment.check_disk()?;
        let pinned = self.pin_everything()?;
        let vfs = self.vfs();
        let disk_error = |e: std::io::Error| {
            Error::new(ErrorCode::ReadOnly, format!("{}: can't be written: {e}", target.display()))
        };
        let (Some(dir), Some(_)) = (target.parent(), target.file_name()) else {
            return Err(Error::invalid(format!("path '{}' names no file", target.display())));
        };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let temp = dir.join(UNFINISHED_SAVE);
        match vfs.remove(&temp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(disk_error(e)),
            _ => {}
        }
        let json = target.extension().is_some_and(|extension| extension == "json");
        let out = FileWriter::new(vfs.create(&temp).map_err(disk_error)?);
        let written = write_snapshot(out, json, pinned, deadline, &disk_error).and_then(|report| {
            vfs.rename(&temp, target).and_then(|()| vfs.sync_dir(dir)).map_err(disk_error)?;
            Ok(SaveReport { path: target.to_owned(), ..report })
        });
        if written.is_err() {
            // What can't be removed now is removed by the next save or start.
            let _ = vfs.remove(&temp);
        }
        written
    }

    /// Views of every series at one instant: no write applies while all shards are
    /// held. Sorted by name.
    fn pin_everything(&self) -> Result<Vec<Pinned>> {
        let generation = self.inner.generation.read();
        for shard in &generation.shards {
            // Of what was lost there may have been whole series.
            if shard.losses.iter().any(|loss| loss.range() == TimeRange::ALL) {
                shard.check_losses(0, TimeRange::ALL)?;
            }
        }
        let states: Vec<_> = generation.shards.iter().map(|shard| shard.state.read()).collect();
        let mut pinned = Vec::new();
        for (shard, state) in generation.shards.iter().zip(&states) {
            for series in state.catalog.iter() {
                shard.check_losses(series.id, TimeRange::ALL)?;
                pinned.push(Pinned {
                    series: series.clone(),
                    assigned_max_ns: series.assigned_max(),
                    view: state.view(series),
                });
            }
        }
        drop(states);
        pinned.sort_unstable_by(|a, b| a.series.name.cmp(&b.series.name));
        Ok(pinned)
    }
}

fn write_snapshot(
    out: FileWriter,
    json: bool,
    pinned: Vec<Pinned>,
    deadline: &Deadline,
    disk_error: &impl Fn(std::io::Error) -> Error,
) -> Result<SaveReport> {
    let mut writer = SnapshotWriter::new(out, json).map_err(disk_error)?;
    for Pinned { series, assigned_max_ns, view } in pinned {
        deadline.check()?;
        let sets = view.label_sets(|_| true);
        let mut merger = view.merge(TimeRange::ALL, &sets, MergeOrder::LabelSet);
        let described = SnapshotSeries {
            name: series.name.clone(),
            dimension: series.dimension,
            value_type: series.value_type,
            assigned_max_ns,
            label_sets: sets,
        };
        writer.begin_series(described).map_err(disk_error)?;
        while let Some(slice) = merger.next_slice()? {
            deadline.check()?;
            writer.push(slice.rank, &slice.columns, slice.rows).map_err(disk_error)?;
        }
    }
    let (series, points) = (writer.series_written, writer.points_written);
    let mut out = writer.finish().map_err(disk_error)?;
    out.flush().map_err(disk_error)?;
    let bytes = out.position();
    out.finish().map_err(disk_error)?;
    Ok(SaveReport { path: PathBuf::new(), bytes, series, points })
}
