//! The data directory: what it is, and which generation is live.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::base::{Error, ErrorCode, Result, SHARDS_MAX};
use crate::format::{
    CURRENT, DATABASE, FileHeader, FileKind, HEADER_BYTES, MANIFEST, WATCHES, decode_metadata,
    encode_metadata, generation_name, parse_generation_name, parse_journal_name, parse_log_name,
    parse_segment_name, parse_shard_name, parse_vectors_name, shard_name,
};
use crate::vfs::{Vfs, create_dir_durable, read_all, read_exact_at, write_atomic};

use super::{FileManifestStore, Manifest, ManifestStore, quarantine};

const RECORD_BYTES_MAX: u64 = 4096;

/// What never changes in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryRecord {
    /// Number of shards.
    pub shards: u32,
}

/// The generation that is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct CurrentRecord {
    /// Its number.
    pub generation: u64,
    /// What it drew by lot when it was made; its manifests, logs and journals have it too.
    pub origin: u64,
}

/// Names of files that can't be used, and why.
type Unusable = Vec<(&'static str, Error)>;

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
    pub fn open_or_create(vfs: Arc<dyn Vfs>, dir: &Path, shards: u32) -> Result<(Self, CurrentRecord)> {
        let is_there = |name: &str| {
            let path = dir.join(name);
            vfs.metadata(&path)
                .map(|found| found.is_some())
                .map_err(|e| Error::unreadable(&e).context(path.display()))
        };
        if is_there(CURRENT)? {
            return Self::open(vfs, dir);
        }
        if !is_there(DATABASE)? && !stale_generations(vfs.as_ref(), dir, None)?.is_empty() {
            return Err(Error::corrupt(format!(
                "{}: holds generation directories but neither {CURRENT} nor {DATABASE}; {REMEDY}, or move the \
                 directory away to start anew",
                dir.display()
            )));
        }
        Self::create(vfs, dir, shards)
    }

    /// Opens an existing data directory; also says which generation is live.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<(Self, CurrentRecord)> {
        let record = read_database(vfs.as_ref(), dir).map_err(|e| with_remedy(&e))?;
        let live = read_current(vfs.as_ref(), dir).map_err(|e| with_remedy(&e))?;
        Ok((Self { vfs, dir: dir.to_owned(), record }, live))
    }

    /// What a directory must be whose `CURRENT` or `DATABASE` may be damaged or another's,
    /// where the rest leaves no doubt: the only generation there is must be live, and each
    /// manifest says the number of shards and what the generation drew by lot. With it come
    /// the files that can't be used, and why. Changes nothing.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where there is doubt, saying what to do.
    pub fn infer(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<(Self, CurrentRecord, Unusable)> {
        let mut unusable = Unusable::new();
        let of_this_database = |live: CurrentRecord| match said_by_manifests(&vfs, dir, live.generation)?[..]
        {
            [(_, origin)] if origin != live.origin => Err(Error::corrupt(format!(
                "{}: belongs to another database, or to another time of this one (origin {:016x}; all manifests say \
                 {origin:016x})",
                dir.join(CURRENT).display(),
                live.origin
            ))),
            _ => Ok(live),
        };
        let live = read_current(vfs.as_ref(), dir).and_then(of_this_database).or_else(|e| {
            let generation = only_generation(vfs.as_ref(), dir, &e)?;
            let (_, origin) = agreed_by_manifests(&vfs, dir, generation, &e)?;
            unusable.push((CURRENT, e));
            Ok(CurrentRecord { generation, origin })
        })?;
        let record = read_database(vfs.as_ref(), dir).or_else(|e| {
            let (shards, _) = agreed_by_manifests(&vfs, dir, live.generation, &e)?;
            unusable.push((DATABASE, e));
            Ok(DirectoryRecord { shards })
        })?;
        Ok((Self { vfs, dir: dir.to_owned(), record }, live, unusable))
    }

    /// Opens a directory as [`infer`](Self::infer) sees it. What could not be used goes to
    /// quarantine, and is made anew.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where there is doubt, saying what to do.
    pub fn mend(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<(Self, CurrentRecord)> {
        let (database, live, unusable) = Self::infer(vfs.clone(), dir)?;
        for (name, reason) in unusable {
            set_aside(vfs.as_ref(), dir, name, &reason)?;
            if name == CURRENT {
                write_record(vfs.as_ref(), dir, name, live.generation, &live)?;
            } else {
                write_record(vfs.as_ref(), dir, name, 0, &database.record)?;
            }
            tracing::error!(file = name, %reason, "made anew");
        }
        Self::open(vfs, dir)
    }

    fn create(vfs: Arc<dyn Vfs>, dir: &Path, shards: u32) -> Result<(Self, CurrentRecord)> {
        let record = DirectoryRecord { shards };
        let stale = stale_generations(vfs.as_ref(), dir, None)?;
        for &generation in &stale {
            let generation_dir = dir.join(generation_name(generation));
            if was_used(&vfs, &generation_dir)? {
                return Err(Error::corrupt(format!(
                    "{}: is missing, though {} holds data; {REMEDY}, or move the data directory away to start anew",
                    dir.join(CURRENT).display(),
                    generation_dir.display()
                )));
            }
        }
        write_record(vfs.as_ref(), dir, DATABASE, 0, &record)?;
        // What an interrupted creation left was never live.
        for generation in stale {
            remove_generation(vfs.as_ref(), dir, generation)?;
        }
        let database = Self { vfs, dir: dir.to_owned(), record };
        let origin = create_shard_dirs(&database.vfs, &database.generation_dir(1), shards)?;
        let live = CurrentRecord { generation: 1, origin };
        database.switch_to(live)?;
        Ok((database, live))
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
    pub fn switch_to(&self, next: CurrentRecord) -> Result<()> {
        write_record(self.vfs.as_ref(), &self.dir, CURRENT, next.generation, &next)
    }
}

/// Whether a generation has ever been more than empty manifests.
fn was_used(vfs: &Arc<dyn Vfs>, generation_dir: &Path) -> Result<bool> {
    let list = |dir: &Path| vfs.list(dir).map_err(|e| Error::unreadable(&e).context(dir.display()));
    for shard in list(generation_dir)? {
        let Some(number) = parse_shard_name(&shard.name) else { continue };
        let dir = generation_dir.join(&shard.name);
        let files = list(&dir)?;
        if files.iter().any(|file| !file.name.starts_with(MANIFEST))
            || files.iter().any(|file| file.name == MANIFEST)
                && FileManifestStore::new(vfs.clone(), &dir, number)
                    .load()
                    .map_or(true, |found| found != Manifest::empty(found.shards, found.origin))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The way out, where one of the two files can't be read.
const REMEDY: &str = "restore it from a backup, or start with --recover=degraded, which makes it anew where the \
                      other files leave no doubt";

fn with_remedy(e: &Error) -> Error {
    if e.code() == ErrorCode::CorruptData {
        Error::corrupt(format!("{}; {REMEDY}", e.message()))
    } else {
        e.clone()
    }
}

/// The generation that must be live, for there is no other.
fn only_generation(vfs: &dyn Vfs, dir: &Path, reason: &Error) -> Result<u64> {
    if reason.code() != ErrorCode::CorruptData {
        return Err(reason.clone());
    }
    let found = stale_generations(vfs, dir, None)?;
    match found.as_slice() {
        [generation] => Ok(*generation),
        [] => Err(reason.clone()),
        _ => {
            let names: Vec<String> = found.iter().map(|generation| generation_name(*generation)).collect();
            Err(Error::corrupt(format!(
                "{}; which of {} is live can't be told: restore the file from a backup, or move all but one of these \
                 directories away",
                reason.message(),
                names.join(", ")
            )))
        }
    }
}

/// The numbers of shards and the origins that the readable manifests of a generation say.
fn said_by_manifests(vfs: &Arc<dyn Vfs>, dir: &Path, generation: u64) -> Result<Vec<(u32, u64)>> {
    let generation_dir = dir.join(generation_name(generation));
    let entries =
        vfs.list(&generation_dir).map_err(|e| Error::unreadable(&e).context(generation_dir.display()))?;
    let mut found: Vec<(u32, u64)> = entries
        .iter()
        .filter_map(|entry| Some((parse_shard_name(&entry.name)?, generation_dir.join(&entry.name))))
        .filter_map(|(shard, dir)| FileManifestStore::new(vfs.clone(), &dir, shard).load().ok())
        .map(|manifest| (manifest.shards, manifest.origin))
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What they agree on, where a file that says it too can't be used for this reason.
fn agreed_by_manifests(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    generation: u64,
    reason: &Error,
) -> Result<(u32, u64)> {
    if reason.code() != ErrorCode::CorruptData {
        return Err(reason.clone());
    }
    match said_by_manifests(vfs, dir, generation)?[..] {
        [agreed @ (shards, _)] if (1..=SHARDS_MAX).contains(&shards) => Ok(agreed),
        ref found => Err(Error::corrupt(format!(
            "{}; the manifests in {} do not agree on what they belong to (shards and origin: {found:?}): restore the \
             file from a backup",
            reason.message(),
            dir.join(generation_name(generation)).display()
        ))),
    }
}

/// Moves a file that can't be read to quarantine, if it is there at all.
fn set_aside(vfs: &dyn Vfs, dir: &Path, name: &str, reason: &Error) -> Result<()> {
    let path = dir.join(name);
    match vfs.metadata(&path) {
        Ok(None) => Ok(()),
        _ => quarantine(vfs, dir, &path, reason.message()).map(drop),
    }
}

fn read_database(vfs: &dyn Vfs, dir: &Path) -> Result<DirectoryRecord> {
    let (header, record) = read_record::<DirectoryRecord>(vfs, dir, DATABASE)?;
    if !(1..=SHARDS_MAX).contains(&record.shards) || header.id != 0 {
        let path = dir.join(DATABASE);
        return Err(Error::corrupt(format!(
            "{}: {} shards, id {}",
            path.display(),
            record.shards,
            header.id
        )));
    }
    Ok(record)
}

fn read_current(vfs: &dyn Vfs, dir: &Path) -> Result<CurrentRecord> {
    let (header, live) = read_record::<CurrentRecord>(vfs, dir, CURRENT)?;
    let generation = live.generation;
    if generation == 0 || header.id != generation {
        let path = dir.join(CURRENT);
        return Err(Error::corrupt(format!("{}: generation {generation}, id {}", path.display(), header.id)));
    }
    // All other generations are removed at a start: nobody may take a missing one for live.
    let generation_dir = dir.join(generation_name(generation));
    match vfs.metadata(&generation_dir) {
        Ok(Some(_)) => Ok(live),
        Ok(None) => Err(Error::corrupt(format!(
            "{}: names {}, which is not there",
            dir.join(CURRENT).display(),
            generation_dir.display()
        ))),
        Err(e) => Err(Error::unreadable(&e).context(generation_dir.display())),
    }
}

/// The id tells the two files apart.
fn write_record<T: Encode>(vfs: &dyn Vfs, dir: &Path, name: &str, id: u64, record: &T) -> Result<()> {
    let bytes = encode_metadata(FileHeader::new(FileKind::Directory, 0, id, 0), record)?;
    write_atomic(vfs, dir, name, &bytes).map_err(|e| disk_error(&dir.join(name), &e))
}

fn read_record<T: Decode<()>>(vfs: &dyn Vfs, dir: &Path, name: &str) -> Result<(FileHeader, T)> {
    let path = dir.join(name);
    let bytes =
        read_all(vfs, &path, RECORD_BYTES_MAX).map_err(|e| Error::unreadable(&e).context(path.display()))?;
    decode_metadata(&bytes, FileKind::Directory).map_err(|e| e.context(path.display()))
}

/// Refuses a directory that has a file of a newer format, before anything in it changes.
/// Whatever else is wrong with a file is found when it is opened.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the file and both versions.
pub fn refuse_newer(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let check = |path: &Path, kind| {
        let mut header = [0; HEADER_BYTES];
        let read = vfs.open(path).and_then(|file| read_exact_at(file.as_ref(), &mut header, 0));
        match read.map(|()| FileHeader::decode(&header, kind)) {
            Ok(Err(e)) if e.code() == ErrorCode::InvalidArgument => Err(e.context(path.display())),
            _ => Ok(()),
        }
    };
    check(&dir.join(DATABASE), FileKind::Directory)?;
    check(&dir.join(CURRENT), FileKind::Directory)?;
    check(&dir.join(WATCHES), FileKind::Watches)?;
    for generation in stale_generations(vfs, dir, None)? {
        let generation_dir = dir.join(generation_name(generation));
        for shard in vfs.list(&generation_dir).unwrap_or_default() {
            let shard_dir = generation_dir.join(&shard.name);
            if parse_journal_name(&shard.name).is_some() {
                check(&shard_dir, FileKind::Journal)?;
                continue;
            }
            for file in vfs.list(&shard_dir).unwrap_or_default() {
                let kind = if file.name == MANIFEST {
                    FileKind::Manifest
                } else if parse_log_name(&file.name).is_some() {
                    FileKind::Log
                } else if parse_segment_name(&file.name).is_some() {
                    FileKind::Segment
                } else if parse_vectors_name(&file.name).is_some() {
                    FileKind::Vectors
                } else {
                    continue;
                };
                check(&shard_dir.join(&file.name), kind)?;
            }
        }
    }
    Ok(())
}

/// Makes the directories and manifests of an empty generation, durable; says what it drew
/// by lot.
pub fn create_shard_dirs(vfs: &Arc<dyn Vfs>, generation_dir: &Path, shards: u32) -> Result<u64> {
    let on_disk = |e: std::io::Error| disk_error(generation_dir, &e);
    let origin = vfs.draw().map_err(on_disk)?;
    create_dir_durable(vfs.as_ref(), generation_dir).map_err(on_disk)?;
    for shard in 0..shards {
        let dir = generation_dir.join(shard_name(shard));
        vfs.create_dir(&dir).map_err(on_disk)?;
        FileManifestStore::new(vfs.clone(), &dir, shard).create(shards, origin)?;
    }
    vfs.sync_dir(generation_dir).map_err(on_disk)?;
    Ok(origin)
}

/// Generation directories other than the live one.
pub fn stale_generations(vfs: &dyn Vfs, dir: &Path, live: Option<u64>) -> Result<Vec<u64>> {
    let entries = vfs.list(dir).map_err(|e| Error::unreadable(&e).context(dir.display()))?;
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
                let (database, live) = Database::open_or_create(after, dir, 5).unwrap();
                assert!(!done || (database.shards(), live.generation) == (3, 1));
            }
            if done {
                return;
            }
        }
    }
}
