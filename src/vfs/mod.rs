//! The only code that touches files: a trait for every file operation, the real
//! disk and a simulated one.
//!
//! What each call promises after a crash is part of its contract (see [`Vfs`] and
//! [`File`]); [`SimDisk`] takes away everything that is not promised. Nothing above
//! this module names `std::fs`.

mod helpers;
mod log_file;
mod real;
mod sim;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use helpers::{FileReader, FileWriter, create_dir_durable, read_all, read_exact_at, write_atomic};
pub use real::RealDisk;
pub use sim::{Crash, SimDisk};

/// A place where files are. All paths are absolute or relative to the process.
pub trait Vfs: Send + Sync + 'static {
    /// Makes a file that must not exist yet, open for reading and writing. Its
    /// name survives a crash only after [`sync_dir`](Self::sync_dir).
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// As [`open_write`](Self::open_write), for a file that
    /// [`File::write_durable_at`] appends to.
    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_write(path)
    }

    /// Gives a file another name, replacing what had it. After a crash either name
    /// may be there until [`sync_dir`](Self::sync_dir) of the new name's directory;
    /// never neither.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Open handles keep reading.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes one directory; its parent must exist. Fine where it is there already.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all below it. Open handles keep reading.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What a directory holds, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// What a path names, links followed; `None` where it names nothing.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;

    /// The path with every link and `..` resolved; the path must exist.
    fn canonicalize(&self, path: &Path) -> io::Result<std::path::PathBuf>;

    /// Takes a lock that ends with the returned value or the process; `None` where
    /// another holds it. Makes the file where it is missing.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>>;

    /// Bytes that can still be written below a directory.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// A number drawn by lot, by which files that belong together are known.
    fn draw(&self) -> io::Result<u64>;
}

/// An open file. Reads and writes name their offset; there is no cursor.
pub trait File: Send + Sync {
    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buf.len()` bytes; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `buf` as [`read_at`](Self::read_at) would, if that needs not wait for the disk;
    /// false where it may have to, fails, or nobody knows.
    fn read_at_hand(&self, _buf: &mut [u8], _offset: u64) -> bool {
        false
    }

    /// Writes all of `buf`. Until [`sync`](Self::sync) a crash may keep all, none
    /// or any part of it.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` and makes it durable, as a write and a [`sync`](Self::sync)
    /// of it. What lay behind it may become zeros up to the next multiple of 4096.
    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(buf, offset)?;
        self.sync()
    }

    /// Cuts the file or extends it with zeros; durable after [`sync`](Self::sync).
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable (`fdatasync`). After an error nothing is
    /// known about what was written since the last success; do not try again.
    fn sync(&self) -> io::Result<()>;
}

/// A held directory lock.
pub trait DirLock: Send + Sync {}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory. Names that are not UTF-8 are shown lossily.
    pub name: String,
    /// What it names, links not followed.
    pub metadata: Metadata,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Bytes, for a file.
    pub len: u64,
}

/// What a path can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A link, device, socket or pipe.
    Other,
}
