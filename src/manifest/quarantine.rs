//! Where unreadable files go instead of being deleted.

use std::path::{Path, PathBuf};

use crate::base::{Error, ErrorCode, Result};
use crate::format::QUARANTINE;
use crate::vfs::{Vfs, create_dir_durable, write_atomic};

/// Moves a file to the data directory's `quarantine/`, under a name that tells where
/// it was, beside a `.reason` file. Returns its new path.
pub fn quarantine(vfs: &dyn Vfs, data_dir: &Path, path: &Path, reason: &str) -> Result<PathBuf> {
    let dir = data_dir.join(QUARANTINE);
    let shown = path.strip_prefix(data_dir).unwrap_or(path);
    let parts: Vec<_> = shown.iter().map(|part| part.to_string_lossy()).collect();
    let name = parts.join(".");
    let target = dir.join(&name);
    let moved = || -> std::io::Result<()> {
        create_dir_durable(vfs, &dir)?;
        let explanation = format!("{}\n{reason}\n", path.display());
        write_atomic(vfs, &dir, &format!("{name}.reason"), explanation.as_bytes())?;
        vfs.rename(path, &target)?;
        vfs.sync_dir(&dir)?;
        path.parent().map_or(Ok(()), |parent| vfs.sync_dir(parent))
    };
    moved().map_err(|e| {
        Error::new(
            ErrorCode::ReadOnly,
            format!("{}: can't be moved to {}: {e}", path.display(), target.display()),
        )
    })?;
    Ok(target)
}
