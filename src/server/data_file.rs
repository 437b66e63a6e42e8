//! The data file: a snapshot that is loaded into an empty database at start and kept
//! fresh while the server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Deadline, Error, ErrorCode, Result};
use crate::engine::Engine;
use crate::vfs::{RealDisk, Vfs as _};

use super::state::State;

/// Loads `path` where the database is empty; a file that is not there yet is no error. Where the
/// database holds data, a file that is there is moved to `<path>.previous` instead: it is
/// about to be replaced, and may be another's.
///
/// # Errors
/// What a LOAD answers.
pub(super) fn load(engine: &Engine, path: &Path) -> Result<()> {
    if !engine.is_empty() {
        return keep_previous(path);
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

fn keep_previous(path: &Path) -> Result<()> {
    let mut previous = path.as_os_str().to_owned();
    previous.push(".previous");
    let renamed = match RealDisk.metadata(path) {
        Ok(None) => return Ok(()),
        Ok(Some(_)) => RealDisk.rename(path, Path::new(&previous)),
        Err(e) => Err(e),
    };
    let previous = previous.display();
    renamed.map_err(|e| {
        Error::invalid(format!("TSDB_DATA_FILE {}: can't be moved to {previous}: {e}", path.display()))
    })?;
    tracing::info!(
        "TSDB_DATA_FILE {}: not loaded, for the data directory holds data; it is kept as {previous}",
        path.display()
    );
    Ok(())
}

/// Writes `path`; trouble is for the log.
pub(super) fn save(engine: &Engine, path: &Path, deadline: &Deadline) {
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
        let job = state.maintain(move |engine, deadline| {
            save(engine, &path, deadline);
            Ok(crate::protocol::Reply::Bye)
        });
        // A full queue means that another save or load is at work; the next tick tries
        // again.
        if job.await.is_ok() {
            saved = Some(version);
        }
    }
}
