//! The data directory: what it is, and which generation is live.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::base::{Error, ErrorCode, Result, SHARDS_MAX};
use crate::format::{
    CURRENT, DATABASE, FileHeader, FileKind, MANIFEST, decode_metadata, encode_metadata, generation_name,
    parse_generation_name, parse_shard_name, shard_name,
};
use crate::vfs::{Vfs, create_dir_durable, read_all, write_atomic};

use super::{FileManifestStore, Manifest, ManifestStore};

const RECORD_BYTES_MAX: u64 = 4096;

/// What never changes in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryRecord {
    /// Number of shards.
    pub shards: u32,
}

#[derive(Encode, Decode)]
struct CurrentRecord {
    generation: u64,
}

/// A data directory, opened or just made.
pub struct Database {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    record: DirectoryRecord,
}

fn disk_error(path: &Path, e: &std::io::Error) -> Error {
    Error::new(ErrorCode::ReadOnly, format!("{}: can't be written: {e}", path.display()))
}

impl Database {
    /// Opens the data directory, or makes one of `shards` shards where there is none.
    /// A crash while it is made leaves a directory that can be made again.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where it has content but no readable description.
    pub fn open_or_create(vfs: Arc<dyn Vfs>, dir: &Path, shards: u32) -> Result<(Self, u64)> {
        let is_there = |name: &str| {
            let path = dir.join(name);
            vfs.metadata(&path)
                .map(|found| found.is_some())
                .map_err(|e| Error::corrupt(format!("{}: can't be read: {e}", path.display())))
        };
        if is_there(CURRENT)? {
            return Self::open(vfs, dir);
        }
        if !is_there(DATABASE)? && !stale_generations(vfs.as_ref(), dir, None)?.is_empty() {
            return Err(Error::corrupt(format!(
                "{}: holds generation directories but neither {CURRENT} nor {DATABASE}; restore these files from a \
                 backup, or move the directory away to start anew",
                dir.display()
            )));
        }
        Self::create(vfs, dir, shards)
    }

    /// Opens an existing data directory; also says which generation is live.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<(Self, u64)> {
        let record = read_record::<DirectoryRecord>(vfs.as_ref(), dir, DATABASE)?;
        let current = read_record::<CurrentRecord>(vfs.as_ref(), dir, CURRENT)?;
        if record.shards == 0 || record.shards > SHARDS_MAX {
            let path = dir.join(DATABASE);
            return Err(Error::corrupt(format!("{}: {} shards", path.display(), record.shards)));
        }
        Ok((Self { vfs, dir: dir.to_owned(), record }, current.generation))
    }

    fn create(vfs: Arc<dyn Vfs>, dir: &Path, shards: u32) -> Result<(Self, u64)> {
        let record = DirectoryRecord { shards };
        let stale = stale_generations(vfs.as_ref(), dir, None)?;
        for &generation in &stale {
            let generation_dir = dir.join(generation_name(generation));
            if was_used(&vfs, &generation_dir)? {
                return Err(Error::corrupt(format!(
                    "{}: is missing, though {} holds data; restore it from a backup, or move the data directory away to \
                     start anew",
                    dir.join(CURRENT).display(),
                    generation_dir.display()
                )));
            }
        }
        write_record(vfs.as_ref(), dir, DATABASE, &record)?;
        // What an interrupted creation left was never live.
        for generation in stale {
            remove_generation(vfs.as_ref(), dir, generation)?;
        }
        let database = Self { vfs, dir: dir.to_owned(), record };
        create_shard_dirs(&database.vfs, &database.generation_dir(1), shards)?;
        database.switch_to(1)?;
        Ok((database, 1))
    }

    /// Number of shards.
    pub fn shards(&self) -> u32 {
        self.record.shards
    }

    /// The directory of a generation.
    pub fn generation_dir(&self, generation: u64) -> PathBuf {
        self.dir.join(generation_name(generation))
    }

    /// Makes a generation the live one. When this returns, no crash brings the old
    /// one back.
    pub fn switch_to(&self, generation: u64) -> Result<()> {
        write_record(self.vfs.as_ref(), &self.dir, CURRENT, &CurrentRecord { generation })
    }
}

/// Whether a generation has ever been more than empty manifests.
fn was_used(vfs: &Arc<dyn Vfs>, generation_dir: &Path) -> Result<bool> {
    let list = |dir: &Path| {
        vfs.list(dir).map_err(|e| Error::corrupt(format!("{}: can't be listed: {e}", dir.display())))
    };
    for shard in list(generation_dir)? {
        let Some(number) = parse_shard_name(&shard.name) else { continue };
        let dir = generation_dir.join(&shard.name);
        let files = list(&dir)?;
        if files.iter().any(|file| !file.name.starts_with(MANIFEST))
            || files.iter().any(|file| file.name == MANIFEST)
                && FileManifestStore::new(vfs.clone(), &dir, number).load() != Ok(Manifest::empty())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_record<T: Encode>(vfs: &dyn Vfs, dir: &Path, name: &str, record: &T) -> Result<()> {
    let bytes = encode_metadata(FileHeader::new(FileKind::Directory, 0, 0, 0), record)?;
    write_atomic(vfs, dir, name, &bytes).map_err(|e| disk_error(&dir.join(name), &e))
}

fn read_record<T: Decode<()>>(vfs: &dyn Vfs, dir: &Path, name: &str) -> Result<T> {
    let path = dir.join(name);
    let bytes = read_all(vfs, &path, RECORD_BYTES_MAX)
        .map_err(|e| Error::corrupt(format!("{}: can't be read: {e}", path.display())))?;
    let (_, record) = decode_metadata(&bytes, FileKind::Directory).map_err(|e| e.context(path.display()))?;
    Ok(record)
}

/// Makes the directories and manifests of an empty generation, durable.
pub fn create_shard_dirs(vfs: &Arc<dyn Vfs>, generation_dir: &Path, shards: u32) -> Result<()> {
    let on_disk = |e: std::io::Error| disk_error(generation_dir, &e);
    create_dir_durable(vfs.as_ref(), generation_dir).map_err(on_disk)?;
    for shard in 0..shards {
        let dir = generation_dir.join(shard_name(shard));
        vfs.create_dir(&dir).map_err(on_disk)?;
        FileManifestStore::new(vfs.clone(), &dir, shard).create()?;
    }
    vfs.sync_dir(generation_dir).map_err(on_disk)
}

/// Generation directories other than the live one.
pub fn stale_generations(vfs: &dyn Vfs, dir: &Path, live: Option<u64>) -> Result<Vec<u64>> {
    let entries =
        vfs.list(dir).map_err(|e| Error::corrupt(format!("{}: can't be listed: {e}", dir.display())))?;
    let generations = entries.iter().filter_map(|entry| parse_generation_name(&entry.name));
    Ok(generations.filter(|generation| Some(*generation) != live).collect())
}

/// Removes a generation that is not live.
pub fn remove_generation(vfs: &dyn Vfs, dir: &Path, generation: u64) -> Result<()> {
    let path = dir.join(generation_name(generation));
    vfs.remove_dir_all(&path).map_err(|e| disk_error(&path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, SimDisk};

    #[test]
    fn creation_survives_a_crash_at_every_operation() {
        let dir = Path::new("/data");
        for operations in 0.. {
            let disk = SimDisk::new();
            disk.create_dir(dir).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk.fail_from(disk.operations() + operations);
            let done = Database::open_or_create(Arc::new(disk.clone()), dir, 3).is_ok();
            for seed in 0..10 {
                let crash = if seed == 0 { Crash::KeepNothing } else { Crash::KeepSome };
                let after: Arc<dyn Vfs> = Arc::new(disk.crash(crash, seed));
                let (database, generation) = Database::open_or_create(after, dir, 5).unwrap();
                assert!(!done || (database.shards(), generation) == (3, 1));
            }
            if done {
                return;
            }
        }
    }
}
