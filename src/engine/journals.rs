//! What the journals of a generation hold at a start, and how it gets into the logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::sync::{Mutex, in_parallel};
use crate::base::{Error, ErrorCode, Result};
use crate::format::{journal_name, log_name, parse_journal_name, shard_name};
use crate::manifest::quarantine;
use crate::vfs::Vfs;
use crate::wal::{Journal, JournalWriter, LogReader, Patch, journal_files, read_journal};

/// The journals in a generation's directory.
pub(super) struct Journals {
    dir: PathBuf,
    /// Of the generation.
    origin: u64,
    /// By the number in its name; of one whose beginning is damaged only why.
    found: BTreeMap<u32, Result<Journal>>,
    /// Why the journals of a group may have lost their end, where a log shows it.
    cut: Mutex<BTreeMap<u32, Error>>,
}

impl Journals {
    /// Reads them all.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where the directory can't be read; `INVALID_ARGUMENT` for a newer
    /// format. What is wrong with a journal stays in it.
    pub fn read(vfs: &dyn Vfs, dir: &Path, origin: u64) -> Result<Self> {
        let names = vfs.list(dir).map_err(|e| Error::unreadable(&e).context(dir.display()))?;
        let mut found = BTreeMap::new();
        for file in names.iter().filter_map(|entry| parse_journal_name(&entry.name)) {
            match read_journal(vfs, dir, file, origin) {
                Err(e) if e.code() != ErrorCode::CorruptData => return Err(e),
                journal => drop(found.insert(file, journal)),
            }
        }
        Ok(Self { dir: dir.to_owned(), origin, found, cut: Mutex::default() })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.found.len() as u64
    }

    fn sound(&self) -> impl Iterator<Item = &Journal> {
        self.found.values().filter_map(|journal| journal.as_ref().ok())
    }

    /// What is damaged, by the number in its name.
    pub fn damages(&self) -> impl Iterator<Item = (u32, &Error)> {
        self.found.iter().filter_map(|(file, journal)| match journal {
            Ok(journal) => Some((*file, journal.damage.as_ref()?)),
            Err(e) => Some((*file, e)),
        })
    }

    /// The frames of a log that may not be in its file.
    pub fn patches(&self, shard: u32, first_seq: u64) -> Vec<Patch> {
        self.sound().filter_map(|journal| journal.logs.get(&(shard, first_seq))).flatten().cloned().collect()
    }

    /// The number that the next record of a shard has at least.
    pub fn promised(&self, shard: u32) -> u64 {
        self.sound().filter_map(|journal| journal.ends.get(&shard)).copied().max().unwrap_or_default()
    }

    /// Whether the journals of a group are there, in which a log may have frames, and of
    /// one time: one follows the other.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming the journal of which nothing is known.
    pub fn check(&self, group: u32) -> Result<()> {
        let [even, odd] = journal_files(group);
        if let (Some(Ok(one)), Some(Ok(other))) = (self.found.get(&even), self.found.get(&odd))
            && one.number.abs_diff(other.number) != 1
        {
            return Err(Error::corrupt(format!(
                "{}: is number {} and does not belong beside {} of number {}; one of them is an older copy",
                self.dir.join(journal_name(even)).display(),
                one.number,
                journal_name(odd),
                other.number
            )));
        }
        journal_files(group).into_iter().try_for_each(|file| match self.found.get(&file) {
            Some(Ok(_)) => Ok(()),
            Some(Err(e)) => Err(e.clone()),
            None => Err(Error::corrupt(format!(
                "{}: is missing, though a log says that it may have frames in it",
                self.dir.join(journal_name(file)).display()
            ))),
        })
    }

    /// A log lacks records that were on disk, of which the journals of its group know
    /// nothing: either it was cut, or the journal was, and with it what others had there.
    pub fn note_cut(&self, group: u32, log: &Path) {
        let [even, odd] = journal_files(group).map(journal_name);
        let reason = format!(
            "{}: lacks records that were on disk, and neither {even} nor {odd} has them; one of these may have lost its \
             end, and with it the last records of every shard that shares it",
            log.display()
        );
        self.cut.lock().entry(group).or_insert_with(|| Error::corrupt(reason));
    }

    /// Why a group's journals may have lost their end.
    pub fn cut(&self, group: u32) -> Option<Error> {
        self.cut.lock().get(&group).cloned()
    }

    /// The same of all groups.
    pub fn all_cut(&self) -> Vec<Error> {
        self.cut.lock().values().cloned().collect()
    }

    /// The greatest number of a group's journals.
    pub fn number(&self, group: u32) -> u64 {
        let found = journal_files(group).into_iter().filter_map(|file| self.found.get(&file));
        found.flatten().map(|journal| journal.number).max().unwrap_or_default()
    }

    /// Writes what they hold into the logs that are still there, durable. Written again
    /// is what these have already: a process that failed before may have left bytes that
    /// count as written and are not.
    ///
    /// # Errors
    /// `READ_ONLY` where a log can't be written.
    pub fn write_to_logs(&self, vfs: &Arc<dyn Vfs>) -> Result<()> {
        let mut logs: BTreeMap<&(u32, u64), Vec<&Patch>> = BTreeMap::new();
        for (log, patches) in self.sound().flat_map(|journal| &journal.logs) {
            logs.entry(log).or_default().extend(patches);
        }
        let written = in_parallel(logs.into_iter().collect(), |(&(shard, first_seq), patches)| {
            let path = self.dir.join(shard_name(shard)).join(log_name(first_seq));
            // One that is gone was flushed, or its manifest misses it; one that can't be read
            // is damaged, as its shard will find.
            let Ok(salt) = LogReader::open(vfs.as_ref(), &path).map(|log| log.salt()) else { return Ok(()) };
            let of_this_log = patches.into_iter().filter(|patch| patch.salt == salt).collect::<Vec<_>>();
            let write = || {
                let file = vfs.open_write(&path)?;
                for patch in &of_this_log {
                    file.write_all_at(&patch.bytes, patch.offset)?;
                }
                file.sync()
            };
            if of_this_log.is_empty() {
                return Ok(());
            }
            write().map_err(|e| {
                let message = format!("{}: what its journal holds can't be written: {e}", path.display());
                Error::new(ErrorCode::ReadOnly, message)
            })
        });
        written.map(drop)
    }

    /// Moves damaged journals to quarantine, once the shards know what is gone, and puts
    /// empty ones in their place.
    ///
    /// # Errors
    /// `READ_ONLY` where the disk refuses.
    pub fn set_damaged_aside(&self, vfs: &dyn Vfs, data_dir: &Path) -> Result<()> {
        for (file, reason) in self.damages() {
            tracing::error!(%reason, "a damaged journal goes to quarantine");
            let path = self.dir.join(journal_name(file));
            quarantine(vfs, data_dir, &path, reason.message())?;
            // As the one after the other of the group, which it stands beside.
            let number = match self.found.get(&(file ^ 1)) {
                Some(Ok(other)) => other.number + 1,
                _ => 2 - u64::from(file % 2),
            };
            JournalWriter::create(vfs, &self.dir, file / 2, number, self.origin).map_err(|e| {
                Error::new(ErrorCode::ReadOnly, format!("{}: can't be made anew: {e}", path.display()))
            })?;
        }
        Ok(())
    }
}
