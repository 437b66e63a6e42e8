//! Files that no manifest lists any more.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use crate::vfs::Vfs;

/// Waits for the last reader of each obsolete file, then removes it. What a crash
/// leaves is found again at the next start.
pub struct ObsoleteFiles {
    vfs: Arc<dyn Vfs>,
    waiting: Mutex<Vec<(PathBuf, Weak<dyn Any + Send + Sync>)>>,
}

impl ObsoleteFiles {
    /// Nothing is waiting.
    pub fn new(vfs: Arc<dyn Vfs>) -> Self {
        Self { vfs, waiting: Mutex::default() }
    }

    /// Removes `path` once every clone of `user` is gone.
    pub fn add_in_use<T: Any + Send + Sync>(&self, path: PathBuf, user: &Arc<T>) {
        let weak: Weak<T> = Arc::downgrade(user);
        self.waiting.lock().push((path, weak));
    }

    /// Removes a file that nobody reads.
    pub fn remove(&self, path: PathBuf) {
        self.waiting.lock().push((path, Weak::<()>::new()));
        self.purge();
    }

    /// Removes what nobody reads any more; says how many files went. A file that
    /// can't be removed now is tried again next time.
    pub fn purge(&self) -> usize {
        let mut removed = 0;
        self.waiting.lock().retain(|(path, user)| {
            if user.strong_count() > 0 {
                return true;
            }
            match self.vfs.remove(path) {
                Ok(()) => {
                    removed += 1;
                    false
                }
                Err(e) => e.kind() != io::ErrorKind::NotFound,
            }
        });
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::vfs::SimDisk;

    #[test]
    fn a_file_goes_with_its_last_reader() {
        let disk = SimDisk::new();
        disk.create(Path::new("/a")).unwrap();
        let files = ObsoleteFiles::new(Arc::new(disk.clone()));
        let reader = Arc::new(1_u8);
        files.add_in_use("/a".into(), &reader);
        assert_eq!(files.purge(), 0);
        assert!(disk.open(Path::new("/a")).is_ok());
        drop(reader);
        assert_eq!(files.purge(), 1);
        assert!(disk.open(Path::new("/a")).is_err());
    }
}
