//! Where a client may save and load.

use std::path::{Component, Path, PathBuf};

use crate::base::{Error, ErrorCode, Result};
use crate::format::UNFINISHED_SAVE;
use crate::vfs::{FileKind, Vfs, create_dir_durable};

/// Bytes of a file's name that file systems take.
const NAME_BYTES_MAX: usize = 255;

fn not_allowed(path: &str, dir: &Path) -> Error {
    Error::new(
        ErrorCode::PathNotAllowed,
        format!(
            "path '{path}' leads out of the snapshot directory {}; use a relative path, or set TSDB_SNAPSHOT_DIR",
            dir.display()
        ),
    )
}

/// A snapshot that isn't there.
pub(super) fn not_found(path: &Path) -> Error {
    Error::new(
        ErrorCode::FileNotFound,
        format!("{} does not exist; SAVE writes snapshots there", path.display()),
    )
}

/// The file that a client means by `path`: inside the snapshot directory, also after
/// links are followed. Directories on the way are made only where a file is `to_write`.
pub(super) fn resolve(vfs: &dyn Vfs, dir: &Path, path: &str, to_write: bool) -> Result<PathBuf> {
    if path.is_empty() || path.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "path {path:?} is empty or holds control characters; name a file"
        )));
    }
    let disk_error = |e: std::io::Error| {
        Error::new(ErrorCode::ReadOnly, format!("snapshot directory {}: {e}", dir.display()))
    };
    create_dir_durable(vfs, dir).map_err(disk_error)?;
    let root = vfs.canonicalize(dir).map_err(disk_error)?;
    let given = Path::new(path);
    let relative = if given.is_absolute() {
        // As the setting names the directory, and as SAVE names its files.
        given
            .strip_prefix(dir)
            .or_else(|_| given.strip_prefix(&root))
            .map_err(|_| not_allowed(path, &root))?
    } else {
        given
    };
    let mut plain = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return Err(not_allowed(path, &root)),
        }
    }
    let Some(name) = plain.file_name() else {
        return Err(Error::invalid(format!("path '{path}' names no file")));
    };
    if name == UNFINISHED_SAVE {
        return Err(Error::invalid(format!("path '{path}': SAVE itself uses this name; choose another one")));
    }
    if let Some(long) = plain.iter().find(|part| part.len() > NAME_BYTES_MAX) {
        return Err(Error::invalid(format!(
            "path '{path}' has a name of {} bytes, and names may have {NAME_BYTES_MAX}; choose a shorter one",
            long.len()
        )));
    }
    let mut parent = root.clone();
    for part in plain.parent().into_iter().flat_map(Path::components) {
        let next = parent.join(part);
        if vfs.metadata(&next).map_err(disk_error)?.is_none() {
            if !to_write {
                return Err(not_found(&root.join(&plain)));
            }
            vfs.create_dir(&next).and_then(|()| vfs.sync_dir(&parent)).map_err(disk_error)?;
        }
        parent = vfs.canonicalize(&next).map_err(disk_error)?;
        if !parent.starts_with(&root) {
            return Err(not_allowed(path, &root));
        }
        if vfs.metadata(&parent).map_err(disk_error)?.is_none_or(|found| found.kind != FileKind::Dir) {
            return Err(Error::invalid(format!(
                "path '{path}': {} is not a directory; name another one",
                parent.display()
            )));
        }
    }
    let target = parent.join(name);
    let found = vfs.metadata(&target).map_err(disk_error)?;
    if let Some(found) = found {
        if !vfs.canonicalize(&target).map_err(disk_error)?.starts_with(&root) {
            return Err(not_allowed(path, &root));
        }
        if found.kind != FileKind::File {
            return Err(Error::invalid(format!("path '{path}' is not a regular file; name a file")));
        }
    }
    Ok(target)
}

/// Removes what killed saves left below a directory.
pub(super) fn remove_unfinished(vfs: &dyn Vfs, dir: &Path) {
    // There need not be any; what can't be removed is removed by the next save.
    for entry in vfs.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        match entry.metadata.kind {
            FileKind::Dir => remove_unfinished(vfs, &path),
            FileKind::File if entry.name == UNFINISHED_SAVE => drop(vfs.remove(&path)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, RealDisk, SimDisk};

    #[test]
    fn paths_stay_inside() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshots");
        let ok = |path: &str| resolve(&RealDisk, &dir, path, true).unwrap();
        let code = |path: &str| resolve(&RealDisk, &dir, path, true).unwrap_err().code();
        assert!(ok("a.snap").ends_with("snapshots/a.snap"));
        assert!(ok("sub/./x/../a.snap").ends_with("snapshots/sub/a.snap"));
        assert!(ok(dir.join("b").to_str().unwrap()).ends_with("snapshots/b"));
        for path in ["../a", "sub/../../a", "/etc/passwd", "/", "..", &format!("{}/../x", dir.display())] {
            assert_eq!(code(path), ErrorCode::PathNotAllowed, "{path}");
        }
        for path in ["", ".", "a\nb", "a\0b", "x/.unfinished-save", &"x".repeat(256)] {
            assert_eq!(code(path), ErrorCode::InvalidArgument, "{path:?}");
        }
        assert_eq!(code("sub"), ErrorCode::InvalidArgument, "a directory");
        crate::vfs::write_atomic(&RealDisk, &dir, "plain", b"").unwrap();
        assert_eq!(code("plain/x"), ErrorCode::InvalidArgument, "a file as a directory");
        let missing = resolve(&RealDisk, &dir, "none/a", false).unwrap_err();
        assert_eq!(missing.code(), ErrorCode::FileNotFound);
        assert!(!dir.join("none").exists(), "a file to be read makes no directory");
        std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("file")).unwrap();
        assert_eq!(code("link/passwd"), ErrorCode::PathNotAllowed);
        assert_eq!(code("file"), ErrorCode::PathNotAllowed);
        let message = resolve(&RealDisk, &dir, "../a", true).unwrap_err();
        assert!(message.message().contains("TSDB_SNAPSHOT_DIR"));
    }

    #[test]
    fn directories_on_the_way_survive_a_crash() {
        let disk = SimDisk::new();
        resolve(&disk, Path::new("/snapshots"), "a/b/c.snap", true).unwrap();
        let after = disk.crash(Crash::KeepNothing, 0);
        assert!(after.metadata(Path::new("/snapshots/a/b")).unwrap().is_some());
    }
}
