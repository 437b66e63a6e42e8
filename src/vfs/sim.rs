//! A disk in memory that remembers what has been synced, so that a test can crash
//! it and see what a real one could have kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirEntry, DirLock, File, FileKind, Metadata, Vfs};
use crate::base::Rng;
use crate::base::sync::{Mutex, MutexGuard};

/// A sector: what a real disk keeps or loses as one.
const SECTOR_BYTES: usize = 512;

/// A simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

/// What a crash leaves of the writes and names that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// None of it.
    KeepNothing,
    /// All of it.
    KeepAll,
    /// All but a part of the last write.
    TearLast,
    /// Each sector and each name by the toss of a coin.
    KeepSome,
}

#[derive(Default)]
struct State {
    files: HashMap<u64, Inode>,
    next_inode: u64,
    /// Names as the running process sees them.
    names: BTreeMap<PathBuf, Name>,
    /// Names as a crash that keeps nothing would leave them.
    durable_names: BTreeMap<PathBuf, Name>,
    pending_names: Vec<NameChange>,
    locks: HashSet<PathBuf>,
    operations: u64,
    fail_from: Option<u64>,
    fail_once: Option<u64>,
    fail_as: Option<io::ErrorKind>,
    fail_as_os: Option<i32>,
    kill_at: Option<u64>,
    reads: u64,
    fail_reads: Option<std::ops::Range<u64>>,
    /// Panic in threads of this name, after so many more operations.
    panic_in: Option<(String, u64)>,
    free_bytes: Option<u64>,
    /// No file can get longer.
    is_full: bool,
    /// Bytes that all files together may have.
    capacity: Option<u64>,
    /// A read gives half of what it could.
    reads_short: bool,
    /// Numbers drawn by lot: always the same ones, in the same order.
    drawn: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Dir,
    File(u64),
}

#[derive(Clone)]
enum NameChange {
    Add(PathBuf, Name),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Name),
}

impl NameChange {
    fn dir(&self) -> &Path {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Rename(_, path, _)) = self;
        path.parent().unwrap_or(Path::new("/"))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Name>) {
        match self {
            Self::Add(path, name) => {
                names.insert(path.clone(), *name);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, name) => {
                names.remove(from);
                names.insert(to.clone(), *name);
            }
        }
    }
}

#[derive(Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write_into(bytes, *offset as usize, data),
            Self::SetLen(len) => bytes.resize(*len as usize, 0),
        }
    }

    /// Applies only the sectors for which `keep` says so.
    fn apply_some(&self, bytes: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Write(offset, data) => {
                let mut at = 0;
                while at < data.len() {
                    let offset = *offset as usize + at;
                    let n = (SECTOR_BYTES - offset % SECTOR_BYTES).min(data.len() - at);
                    if keep() {
                        write_into(bytes, offset, &data[at..at + n]);
                    }
                    at += n;
                }
            }
            Self::SetLen(_) => {
                if keep() {
                    self.apply(bytes);
                }
            }
        }
    }
}

/// A disk that answers nobody.
pub struct Held<'a> {
    _state: MutexGuard<'a, State>,
}

fn write_into(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl SimDisk {
    /// An empty disk with a root directory.
    pub fn new() -> Self {
        let disk = Self::default();
        {
            let mut state = disk.0.lock();
            state.names.insert(PathBuf::from("/"), Name::Dir);
            state.durable_names = state.names.clone();
        }
        disk
    }

    /// Operations so far that changed the disk or made something durable.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// From operation number `operation` on, every change and sync fails.
    pub fn fail_from(&self, operation: u64) {
        self.0.lock().fail_from = Some(operation);
    }

    /// Just operation number `operation` fails.
    pub fn fail_once(&self, operation: u64) {
        self.0.lock().fail_once = Some(operation);
    }

    /// From operation number `operation` on, the process counts as killed: nothing it
    /// does has an effect any more.
    pub fn kill_at(&self, operation: u64) {
        self.0.lock().kill_at = Some(operation);
    }

    /// Another disk as the next process finds this one after a kill: nothing is lost,
    /// and what was not synced is not yet durable. No handle, lock or planned failure
    /// comes with it.
    pub fn kill(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            next_inode: state.next_inode,
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            pending_names: state.pending_names.clone(),
            drawn: state.drawn,
            ..State::default()
        })))
    }

    /// Files opened and reads made so far.
    pub fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// These reads and openings fail, counted as [`reads`](Self::reads) counts.
    pub fn fail_reads(&self, numbers: std::ops::Range<u64>) {
        self.0.lock().fail_reads = Some(numbers);
    }

    /// Operations fail with this kind of error.
    pub fn fail_as(&self, kind: io::ErrorKind) {
        self.0.lock().fail_as = Some(kind);
    }

    /// They fail with this error of the operating system instead, by Linux's numbers.
    pub fn fail_as_os(&self, code: i32) {
        self.0.lock().fail_as_os = Some(code);
    }

    /// From now on all files together may have so many bytes, and what does not fit is not
    /// written; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes of all files that have a name.
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// From now on reads give only a part of what they could, though at least a byte.
    pub fn read_short(&self) {
        self.0.lock().reads_short = true;
    }

    /// After `operations` more changes, syncs, reads and openings by threads whose name
    /// begins with `thread` (`?` where it has none), the next one panics.
    pub fn panic_in(&self, thread: &str, operations: u64) {
        self.0.lock().panic_in = Some((thread.to_owned(), operations));
    }

    /// Whether the planned panic is still to come.
    pub fn will_panic(&self) -> bool {
        self.0.lock().panic_in.is_some()
    }

    /// The disk answers nobody until this is dropped.
    pub fn hold(&self) -> Held<'_> {
        Held { _state: self.0.lock() }
    }

    /// Says from now on that so much space is free.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.0.lock().free_bytes = Some(bytes);
    }

    /// No file can get longer from now on: there is space only where bytes are already.
    pub fn fill_up(&self) {
        let mut state = self.0.lock();
        (state.is_full, state.free_bytes) = (true, Some(0));
    }

    /// Another disk with what a crash at this moment would leave. No handle, lock
    /// or planned failure comes with it.
    pub fn crash(&self, crash: Crash, seed: u64) -> Self {
        let state = self.0.lock();
        let mut rng = Rng::new(seed);
        let mut names = state.durable_names.clone();
        for change in &state.pending_names {
            let keep = match crash {
                Crash::KeepNothing => false,
                Crash::KeepAll | Crash::TearLast => true,
                Crash::KeepSome => rng.one_in(2),
            };
            if keep {
                change.apply(&mut names);
            }
        }
        let mut after = BTreeMap::new();
        for (path, name) in names {
            let parent_is_there = path.parent().is_none_or(|parent| after.contains_key(parent));
            if parent_is_there {
                after.insert(path, name);
            }
        }
        let mut files = HashMap::new();
        for name in after.values() {
            let Name::File(inode) = name else { continue };
            let Some(file) = state.files.get(inode) else { continue };
            let mut bytes = file.durable.clone();
            for (at, change) in file.pending.iter().enumerate() {
                match crash {
                    Crash::KeepNothing => {}
                    Crash::KeepAll => change.apply(&mut bytes),
                    Crash::TearLast if at + 1 < file.pending.len() => change.apply(&mut bytes),
                    Crash::TearLast | Crash::KeepSome => change.apply_some(&mut bytes, || rng.one_in(2)),
                }
            }
            files.insert(*inode, Inode { durable: bytes.clone(), bytes, pending: Vec::new() });
        }
        Self(Arc::new(Mutex::new(State {
            files,
            next_inode: state.next_inode,
            durable_names: after.clone(),
            names: after,
            drawn: state.drawn,
            ..State::default()
        })))
    }

    fn change<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        state.count_operation()?;
        act(&mut state)
    }

    fn handle(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        state.count_read()?;
        match state.names.get(path) {
            Some(Name::File(inode)) => Ok(Arc::new(SimFile { disk: self.clone(), inode: *inode })),
            Some(Name::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl State {
    fn count_to_panic(&mut self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        let Some((begins, left)) = &mut self.panic_in else { return };
        if !name.starts_with(begins.as_str()) {
            return;
        }
        if *left > 0 {
            *left -= 1;
            return;
        }
        self.panic_in = None;
        // Without the hook's output: it is on purpose.
        std::panic::resume_unwind(Box::new(format!("simulated panic in {name}")));
    }

    fn used_bytes(&self) -> u64 {
        let len = |name: &Name| match name {
            Name::File(inode) => self.files.get(inode).map_or(0, |file| file.bytes.len() as u64),
            Name::Dir => 0,
        };
        self.names.values().map(len).sum()
    }

    /// How long a file of so many bytes can get that is to have `wanted`.
    fn longest(&self, len: u64, wanted: u64) -> u64 {
        match self.capacity {
            _ if self.is_full => len.min(wanted),
            Some(capacity) => wanted.min(len + capacity.saturating_sub(self.used_bytes())),
            None => wanted,
        }
    }

    fn failure(&self, what: String) -> io::Error {
        match self.fail_as_os {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.fail_as.unwrap_or(io::ErrorKind::Other), what),
        }
    }

    fn count_operation(&mut self) -> io::Result<()> {
        self.count_to_panic();
        let number = self.operations;
        self.operations += 1;
        if self.kill_at.is_some_and(|at| number >= at) {
            return Err(io::Error::other(format!("killed at operation {number}")));
        }
        if self.fail_from.is_some_and(|from| number >= from) || self.fail_once == Some(number) {
            return Err(self.failure(format!("simulated failure of operation {number}")));
        }
        Ok(())
    }

    fn count_read(&mut self) -> io::Result<()> {
        self.count_to_panic();
        let number = self.reads;
        self.reads += 1;
        if self.fail_reads.as_ref().is_some_and(|numbers| numbers.contains(&number)) {
            return Err(self.failure(format!("simulated failure of read {number}")));
        }
        Ok(())
    }

    fn rename_in(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|parent| self.names.get(parent)) {
            Some(Some(Name::Dir)) | None => Ok(()),
            Some(Some(Name::File(_))) => Err(io::ErrorKind::NotADirectory.into()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Vfs for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.change(|state| {
            state.parent_exists(path)?;
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = state.next_inode;
            state.next_inode += 1;
            state.files.insert(inode, Inode::default());
            state.rename_in(NameChange::Add(path.to_owned(), Name::File(inode)));
            Ok(())
        })?;
        self.handle(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.handle(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.handle(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            state.parent_exists(to)?;
            let name = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.rename_in(NameChange::Rename(from.to_owned(), to.to_owned(), name));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| match state.names.get(path) {
            Some(Name::File(_)) => {
                state.rename_in(NameChange::Remove(path.to_owned()));
                Ok(())
            }
            Some(Name::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.parent_exists(path)?;
            match state.names.get(path) {
                Some(Name::Dir) => Ok(()),
                Some(Name::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    state.rename_in(NameChange::Add(path.to_owned(), Name::Dir));
                    Ok(())
                }
            }
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            if state.names.get(path) != Some(&Name::Dir) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let below: Vec<PathBuf> = state.names.keys().filter(|p| p.starts_with(path)).cloned().collect();
            for path in below.into_iter().rev() {
                state.rename_in(NameChange::Remove(path));
            }
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            if state.names.get(path) != Some(&Name::Dir) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.pending_names).into_iter().partition(|change| change.dir() == path);
            for change in here {
                change.apply(&mut state.durable_names);
            }
            state.pending_names = elsewhere;
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.0.lock();
        if state.names.get(path) != Some(&Name::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let below = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        Ok(below
            .map(|(found, name)| DirEntry {
                name: found.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                metadata: state.describe(*name),
            })
            .collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let state = self.0.lock();
        Ok(state.names.get(path).map(|name| state.describe(*name)))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let mut resolved = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    resolved.pop();
                }
                std::path::Component::CurDir => {}
                other => resolved.push(other),
            }
        }
        if !self.0.lock().names.contains_key(&resolved) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(resolved)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { disk: self.clone(), path: path.to_owned() })))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        let left = state.capacity.map(|capacity| capacity.saturating_sub(state.used_bytes()));
        Ok(left.or(state.free_bytes).unwrap_or(1 << 40))
    }

    fn draw(&self) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.drawn += 1;
        Ok(Rng::new(state.drawn).next_u64())
    }
}

impl State {
    fn describe(&self, name: Name) -> Metadata {
        match name {
            Name::Dir => Metadata { kind: FileKind::Dir, len: 0 },
            Name::File(inode) => Metadata {
                kind: FileKind::File,
                len: self.files.get(&inode).map_or(0, |file| file.bytes.len() as u64),
            },
        }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimFile {
    /// How long the file can get, at most `wanted`.
    fn fits(&self, wanted: u64) -> u64 {
        let state = self.disk.0.lock();
        let len = state.files.get(&self.inode).map_or(0, |file| file.bytes.len() as u64);
        state.longest(len, wanted)
    }

    /// Changes the file, or does what a failure leaves.
    fn change(&self, act: impl FnOnce(&mut Inode), failed: impl FnOnce(&mut Inode)) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let counted = state.count_operation();
        let is_killed = state.kill_at.is_some_and(|at| state.operations > at);
        let file = state.files.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        if counted.is_ok() {
            act(file);
        } else if !is_killed {
            failed(file);
        }
        counted
    }
}

impl Inode {
    fn make(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.pending.push(change);
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files.get(&self.inode).map_or(0, |file| file.bytes.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        state.count_read()?;
        let file = state.files.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let rest = file.bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        let n = if state.reads_short { n.div_ceil(2) } else { n };
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn read_at_hand(&self, buf: &mut [u8], offset: u64) -> bool {
        self.read_at(buf, offset).is_ok_and(|read| read == buf.len())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        // One that fails has written a part.
        let write = |part: &[u8]| Change::Write(offset, part.to_vec());
        let end = offset + buf.len() as u64;
        let fits = self.fits(end).saturating_sub(offset).min(buf.len() as u64) as usize;
        if fits < buf.len() {
            if fits > 0 {
                self.change(|file| file.make(write(&buf[..fits])), |_| {})?;
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(|file| file.make(write(buf)), |file| file.make(write(&buf[..buf.len() / 2])))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.fits(len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(|file| file.make(Change::SetLen(len)), |_| {})
    }

    fn sync(&self) -> io::Result<()> {
        let synced = |file: &mut Inode| {
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.durable);
            }
        };
        // As on Linux: what could not be written counts as written from then on; it can
        // still be read, and is gone after a crash.
        self.change(synced, |file| file.pending.clear())
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::read_all;

    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let disk = SimDisk::new();
        let path = Path::new("/f");
        let file = disk.create(path).unwrap();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync().unwrap();
        let gone = disk.crash(Crash::KeepNothing, 1);
        assert_eq!(gone.metadata(path).unwrap(), None, "the name was not synced");

        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(b"SYNCED and more", 0).unwrap();
        let nothing = disk.crash(Crash::KeepNothing, 1);
        assert_eq!(read_all(&nothing, path, 100).unwrap(), b"synced");
        let all = disk.crash(Crash::KeepAll, 1);
        assert_eq!(read_all(&all, path, 100).unwrap(), b"SYNCED and more");
    }

    #[test]
    fn a_crash_keeps_whole_sectors() {
        let disk = SimDisk::new();
        let file = disk.create(Path::new("/f")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(&[1; 4096], 100).unwrap();
        let mut seen = HashSet::new();
        for seed in 0..50 {
            let bytes = read_all(&disk.crash(Crash::KeepSome, seed), Path::new("/f"), 8192).unwrap();
            for sector in bytes.chunks(SECTOR_BYTES).skip(1) {
                assert!(sector.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
            }
            seen.insert(bytes);
        }
        assert!(seen.len() > 20, "crashes differ by seed");
    }

    #[test]
    fn what_a_failed_sync_held_is_lost_though_the_next_succeeds() {
        let disk = SimDisk::new();
        let file = disk.create(Path::new("/f")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(b"abcd", 0).unwrap();
        disk.fail_once(disk.operations());
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(read_all(&disk, Path::new("/f"), 9).unwrap(), b"abcd");
        let after = disk.crash(Crash::KeepAll, 1);
        assert_eq!(read_all(&after, Path::new("/f"), 9).unwrap(), b"");
        disk.fail_once(disk.operations());
        disk.fail_as(io::ErrorKind::StorageFull);
        let error = file.write_all_at(b"ABCD", 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(read_all(&disk, Path::new("/f"), 9).unwrap(), b"abcdAB", "a short write");
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = SimDisk::new();
        let file = disk.create(Path::new("/f")).unwrap();
        file.write_all_at(b"abcd", 0).unwrap();
        disk.set_capacity(Some(6));
        assert_eq!((disk.used_bytes(), disk.free_bytes(Path::new("/")).unwrap()), (4, 2));
        assert_eq!(file.write_all_at(b"ABCDEFGH", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read_all(&disk, Path::new("/f"), 9).unwrap(), b"ABCDEF");
        assert!(file.set_len(7).is_err());
        file.write_all_at(b"xyz", 3).unwrap();
        let other = disk.create(Path::new("/g")).unwrap();
        assert!(other.write_all_at(b"1", 0).is_err());
        disk.remove(Path::new("/f")).unwrap();
        other.write_all_at(b"123456", 0).unwrap();
        disk.read_short();
        assert_eq!(other.read_at(&mut [0; 6], 0).unwrap(), 3);
        assert_eq!(read_all(&disk, Path::new("/g"), 9).unwrap(), b"123456");
        disk.fail_reads(0..u64::MAX);
        disk.fail_as_os(24);
        assert_eq!(other.read_at(&mut [0; 6], 0).unwrap_err().raw_os_error(), Some(24));
    }

    #[test]
    fn a_removed_file_stays_readable_through_its_handle() {
        let disk = SimDisk::new();
        let file = disk.create(Path::new("/f")).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        disk.remove(Path::new("/f")).unwrap();
        let mut buf = [0; 3];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 3);
        assert!(disk.open(Path::new("/f")).is_err());
    }
}
