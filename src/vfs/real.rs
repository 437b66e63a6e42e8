//! The machine's file system (Unix).

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log_file::LogFile;
use super::{DirEntry, DirLock, File, FileKind, Metadata, Vfs};

/// The machine's file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl RealDisk {
    /// A new file that nobody else may read.
    ///
    /// # Errors
    /// As [`Vfs::create`].
    pub fn create_private(self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }
}

impl Vfs for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        // What is no file, such as a pipe, must not keep its opener waiting.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        Ok(Arc::new(RealFile(fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(LogFile::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                metadata: describe(&entry.metadata()?),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(describe(&found))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => Ok(Some(Box::new(RealLock(file)))),
            Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        fs2::available_space(path)
    }

    fn draw(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn describe(found: &fs::Metadata) -> Metadata {
    let kind = if found.is_file() {
        FileKind::File
    } else if found.is_dir() {
        FileKind::Dir
    } else {
        FileKind::Other
    };
    Metadata { kind, len: found.len() }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_at_hand(&self, buf: &mut [u8], offset: u64) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        let wanted = buf.len();
        let mut into = [io::IoSliceMut::new(buf)];
        preadv2(&self.0, &mut into, offset, ReadWriteFlags::NOWAIT).is_ok_and(|read| read == wanted)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Closing the file ends the lock.
struct RealLock(#[expect(dead_code, reason = "held open, never used")] fs::File);

impl DirLock for RealLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let temp = tempfile::tempdir().unwrap();
        let pipe = temp.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = RealDisk.open(&pipe).and_then(|file| file.read_at(&mut [0], 0));
        assert!(read.is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_just_written_is_at_hand() {
        let temp = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&temp.path().join("file")).unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        let mut buf = [0; 3];
        // Not every file system can tell.
        if file.read_at_hand(&mut buf, 2) {
            assert_eq!(&buf, b"cde");
        }
        assert!(!file.read_at_hand(&mut buf, 4), "it ends before");
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let first = RealDisk.try_lock(&path).unwrap();
        assert!(first.is_some());
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
        drop(first);
        assert!(RealDisk.try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn files_can_be_made_read_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = RealDisk.create(&path).unwrap();
        assert!(RealDisk.create(&path).is_err(), "create refuses an existing file");
        file.write_all_at(b"abc", 2).unwrap();
        file.sync().unwrap();
        assert_eq!(super::super::read_all(&RealDisk, &path, 10).unwrap(), b"\0\0abc");
        RealDisk.rename(&path, &dir.path().join("g")).unwrap();
        RealDisk.sync_dir(dir.path()).unwrap();
        let names: Vec<_> = RealDisk.list(dir.path()).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["g"]);
        assert_eq!(RealDisk.metadata(&path).unwrap(), None);
        assert!(RealDisk.free_bytes(dir.path()).unwrap() > 0);
    }
}
