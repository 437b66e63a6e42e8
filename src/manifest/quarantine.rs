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
    let first_name = parts.join(".");
    let target = |name: &str| dir.join(name);
    let moved = || -> std::io::Result<PathBuf> {
        create_dir_durable(vfs, &dir)?;
        // A file of this name may have been damaged before.
        let mut name = first_name.clone();
        for number in 2.. {
            if vfs.metadata(&target(&name))?.is_none() {
                break;
            }
            name = format!("{first_name}.{number}");
        }
        let explanation = format!("{}\n{reason}\n", path.display());
        write_atomic(vfs, &dir, &format!("{name}.reason"), explanation.as_bytes())?;
        vfs.rename(path, &target(&name))?;
        vfs.sync_dir(&dir)?;
        path.parent().map_or(Ok(()), |parent| vfs.sync_dir(parent))?;
        Ok(target(&name))
    };
    moved().map_err(|e| {
        Error::new(
            ErrorCode::ReadOnly,
            format!("{}: can't be moved to {}: {e}", path.display(), target(&first_name).display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{SimDisk, read_all};

    #[test]
    fn what_was_set_aside_before_stays() {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/data")).unwrap();
        let path = Path::new("/data/CURRENT");
        for content in [b"one", b"two"] {
            disk.create(path).unwrap().write_all_at(content, 0).unwrap();
            let kept = quarantine(&disk, Path::new("/data"), path, "damaged").unwrap();
            assert_eq!(read_all(&disk, &kept, 10).unwrap(), content);
            assert!(disk.metadata(path).unwrap().is_none());
        }
        let kept = read_all(&disk, Path::new("/data/quarantine/CURRENT"), 10).unwrap();
        assert_eq!(kept, b"one");
        assert_eq!(disk.list(Path::new("/data/quarantine")).unwrap().len(), 4, "each with its reason");
    }
}
