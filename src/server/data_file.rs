//! The data file: a snapshot that is loaded into an empty database at start and kept
//! fresh while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::{Deadline, Error, ErrorCode, Result};
use crate::engine::Engine;
use crate::vfs::{FileReader, FileWriter, RealDisk, Vfs as _};

use super::state::State;

/// Loads `path` where the database is empty; a file that is not there yet is no error. Where the
/// database holds data, one that is there may be another's, and is noted as unread.
///
/// # Errors
/// What a LOAD answers.
pub(super) fn load(engine: &Engine, path: &Path, is_unread: &AtomicBool) -> Result<()> {
    if !engine.is_empty() {
        is_unread.store(true, Ordering::Relaxed);
        return Ok(());
    }
    match engine.load_from(path, &Deadline::none()) {
        Ok(loaded) => {
            tracing::info!(
                path = %path.display(), series = loaded.series, points = loaded.points, "loaded the data file"
            );
            Ok(())
        }
        Err(e) if e.code() == ErrorCode::FileNotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) =
                parent.filter(|parent| !RealDisk.metadata(parent).is_ok_and(|found| found.is_some()))
            {
                return Err(Error::invalid(format!(
                    "TSDB_DATA_FILE {}: the directory {} does not exist; make it, or name another file",
                    path.display(),
                    parent.display()
                )));
            }
            tracing::info!(path = %path.display(), "the data file does not exist yet; it will be written");
            Ok(())
        }
        Err(e) => Err(e.context(format!("TSDB_DATA_FILE {}", path.display()))),
    }
}

/// Copies a file that was not read to `<path>.previous`, unless one is kept there. A copy, so that at no time there is
/// no file of that name.
fn keep_previous(path: &Path) -> std::io::Result<()> {
    if RealDisk.metadata(path)?.is_none() {
        return Ok(());
    }
    let [previous, temp] = [".previous", ".previous.tmp"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    // What came later is this database's own, as a rule: a start can't tell.
    if RealDisk.metadata(&previous)?.is_some() {
        return Ok(());
    }
    match RealDisk.remove(&temp) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut copy = FileWriter::new(RealDisk.create(&temp)?);
    std::io::copy(&mut FileReader::new(RealDisk.open(path)?, 0), &mut copy)?;
    copy.finish()?;
    RealDisk.rename(&temp, &previous)?;
    tracing::info!(path = %path.display(), kept = %previous.display(), "the data file was not loaded; it is kept");
    Ok(())
}

/// Writes `path`, of which a file that was not read is kept; trouble is for the log.
pub(super) fn save(engine: &Engine, path: &Path, is_unread: &AtomicBool, deadline: &Deadline) {
    if is_unread.load(Ordering::Relaxed) {
        if let Err(e) = keep_previous(path) {
            tracing::error!(path = %path.display(), error = %e, "the data file was not written, for the one there can't be kept");
            return;
        }
        is_unread.store(false, Ordering::Relaxed);
    }
    match engine.save_to(path, deadline) {
        Ok(saved) => {
            tracing::info!(path = %path.display(), points = saved.points, bytes = saved.bytes, "wrote the data file");
        }
        Err(e) => {
            tracing::error!(path = %path.display(), error = e.message(), "the data file was not written");
        }
    }
}

/// Writes the data file every interval in which something was written.
pub(super) async fn keep(state: Arc<State>) {
    let Some(path) = state.settings.data_file.clone() else { return };
    let mut saved = None;
    let mut ticks = tokio::time::interval(Duration::from_secs(state.settings.auto_save_interval));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(version) = state.engine_now().map(Engine::version) else { continue };
        if saved == Some(version) {
            continue;
        }
        let path = path.clone();
        let saving = state.clone();
        let job = state.maintain(move |engine, deadline| {
            save(engine, &path, &saving.data_file_is_unread, deadline);
            Ok(crate::protocol::Reply::Bye)
        });
        // A full queue means that another save or load is at work; the next tick tries
        // again.
        if job.await.is_ok() {
            saved = Some(version);
        }
    }
}
