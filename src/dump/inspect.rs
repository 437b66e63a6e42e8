//! Manifests and directories.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Error, ErrorCode};
use crate::format::{
    LOCK, generation_name, parse_generation_name, parse_log_name, parse_segment_name, parse_vectors_name,
    shard_name,
};
use crate::manifest::{CurrentRecord, Database, FileManifestStore, Manifest, ManifestStore};
use crate::vfs::{FileKind, Vfs};
use serde_json::json;

use super::Problem;

/// Files change under a running server.
pub(super) fn refuse_where_a_server_runs(vfs: &dyn Vfs, data_dir: &Path) -> Result<(), Problem> {
    let lock = data_dir.join(LOCK);
    // A directory that can't be looked at, or has no lock, is told of elsewhere.
    let there = vfs.metadata(&lock).is_ok_and(|found| found.is_some());
    if there && matches!(vfs.try_lock(&lock), Ok(None)) {
        return Err(Problem::Unreadable(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "a server runs on {} (it holds {}); stop it first, or look at a copy",
                data_dir.display(),
                lock.display()
            ),
        )));
    }
    Ok(())
}

pub(super) fn manifests(
    vfs: &Arc<dyn Vfs>,
    data_dir: &Path,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Problem> {
    let (database, CurrentRecord { generation, origin }) = Database::open(vfs.clone(), data_dir)?;
    let dir = database.generation_dir(generation);
    if as_json {
        writeln!(
            out,
            "{}",
            json!({ "data_dir": data_dir.display().to_string(), "shards": database.shards(), "generation": generation, "origin": format!("{origin:016x}") })
        )?;
    } else {
        writeln!(out, "{}: {} shards, generation {generation}", data_dir.display(), database.shards())?;
    }
    let mut damaged = false;
    for shard in 0..database.shards() {
        match FileManifestStore::new(vfs.clone(), &dir.join(shard_name(shard)), shard).load() {
            Ok(manifest) if as_json => json_manifest(shard, &manifest, out)?,
            Ok(manifest) => text_manifest(shard, &manifest, out)?,
            Err(e) => {
                damaged = true;
                if as_json {
                    writeln!(out, "{}", json!({ "shard": shard, "damaged": e.message() }))?;
                } else {
                    writeln!(out, "shard {shard}: DAMAGED: {}", e.message())?;
                }
            }
        }
    }
    if damaged { Err(Problem::Damaged) } else { Ok(()) }
}

fn json_manifest(shard: u32, manifest: &Manifest, out: &mut impl Write) -> std::io::Result<()> {
    let series = manifest.series.iter().map(|series| {
        json!({ "id": series.id, "name": series.name, "dimension": series.dimension,
            "value_type": if series.value_type == 0 { "f64" } else { "f32" },
            "assigned_max_ns": series.assigned_max_ns })
    });
    let segments = manifest.segments.iter().map(|info| {
        json!({ "file": info.file_name(), "id": info.id, "bytes": info.bytes, "points": info.rows,
            "tombstones": info.tombstones, "min_seq": info.min_seq, "max_seq": info.max_seq,
            "start_ns": info.start_ns, "end_ns": info.end_ns })
    });
    let losses = manifest.losses.iter().map(|loss| json!({ "file": loss.file, "reason": loss.reason }));
    let line = json!({
        "shard": shard, "revision": manifest.revision, "epoch": manifest.epoch, "shards": manifest.shards,
        "flushed_seq": manifest.flushed_seq, "durable_seq": manifest.durable_seq, "newest_log": manifest.newest_log,
        "next_segment_id": manifest.next_segment_id, "next_series_id": manifest.next_series_id,
        "series": series.collect::<Vec<_>>(), "segments": segments.collect::<Vec<_>>(),
        "losses": losses.collect::<Vec<_>>(),
    });
    writeln!(out, "{line}")
}

fn text_manifest(shard: u32, manifest: &Manifest, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "shard {shard}: revision {}, epoch {}, flushed up to sequence number {}",
        manifest.revision, manifest.epoch, manifest.flushed_seq
    )?;
    for series in &manifest.series {
        let value_type = if series.value_type == 0 { "f64" } else { "f32" };
        writeln!(
            out,
            "  series {} (id {}): dimension {}, {value_type}",
            series.name, series.id, series.dimension
        )?;
    }
    for info in &manifest.segments {
        writeln!(
            out,
            "  segment {}: {} bytes, {} points from {} to {}, {} tombstones, sequence numbers {} to {}",
            info.file_name(),
            info.bytes,
            info.rows,
            info.start_ns,
            info.end_ns,
            info.tombstones,
            info.min_seq,
            info.max_seq
        )?;
    }
    for loss in &manifest.losses {
        writeln!(out, "  lost {}: {}", loss.file, loss.reason)?;
    }
    Ok(())
}

pub(super) fn tree(vfs: &Arc<dyn Vfs>, data_dir: &Path, out: &mut impl Write) -> Result<(), Problem> {
    let live = Database::open(vfs.clone(), data_dir);
    let generation = live.as_ref().ok().map(|(_, live)| live.generation);
    match &live {
        Ok((database, live)) => {
            writeln!(
                out,
                "{}: {} shards, {} is live",
                data_dir.display(),
                database.shards(),
                generation_name(live.generation)
            )?;
        }
        Err(e) => writeln!(out, "{}: DAMAGED: {}", data_dir.display(), e.message())?,
    }
    walk(vfs, data_dir, 1, generation, None, out)?;
    if live.is_err() { Err(Problem::Damaged) } else { Ok(()) }
}

fn walk(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    depth: usize,
    generation: Option<u64>,
    manifest: Option<&Manifest>,
    out: &mut impl Write,
) -> Result<(), Problem> {
    let mut entries = vfs.list(dir).map_err(|e| Error::unreadable(&e).context(dir.display()))?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let (indent, path) = ("  ".repeat(depth), dir.join(&entry.name));
        if entry.metadata.kind == FileKind::Dir {
            let is_stale = parse_generation_name(&entry.name).is_some_and(|found| Some(found) != generation);
            let note = if is_stale { "  (not live: left by an interrupted load)" } else { "" };
            writeln!(out, "{indent}{}/{note}", entry.name)?;
            let shard = crate::format::parse_shard_name(&entry.name);
            let manifest =
                shard.and_then(|shard| FileManifestStore::new(vfs.clone(), &path, shard).load().ok());
            walk(vfs, &path, depth + 1, generation, manifest.as_ref(), out)?;
            continue;
        }
        let note = match manifest {
            Some(manifest) => role(&entry.name, manifest),
            None => String::new(),
        };
        writeln!(out, "{indent}{} {} bytes{note}", entry.name, entry.metadata.len)?;
    }
    Ok(())
}

/// What the engine would do with a file of a shard.
fn role(name: &str, manifest: &Manifest) -> String {
    if parse_segment_name(name).is_some() {
        return match manifest.segments.iter().find(|info| info.file_name() == name) {
            Some(info) => format!("  (live, {} points)", info.rows),
            None => "  (not in the manifest: would be removed)".into(),
        };
    }
    if let Some(of) = parse_vectors_name(name) {
        return match manifest.segments.iter().find(|info| (info.id, info.hash) == of) {
            Some(info) => format!("  (index of the vectors of segment {})", info.id),
            None => "  (of a segment that is not in the manifest: would be removed)".into(),
        };
    }
    if let Some(first_seq) = parse_log_name(name) {
        let newest = if manifest.newest_log == Some(first_seq) { "the newest, " } else { "" };
        return format!(
            "  ({newest}from sequence number {first_seq}; flushed up to {})",
            manifest.flushed_seq
        );
    }
    if name.ends_with(".tmp") { "  (unfinished: would be removed)".into() } else { String::new() }
}
