//! The journals of a group of shards: one durable write for small frames of many logs.
//!
//! A frame of the journal holds the last frames of several logs, each with the place in
//! its log's file where it belongs, and for each log that the journal has had frames of
//! before, the number of records that it had by then. The frames get into their logs
//! later, many at a time; until then the journal is where they are on disk, and a start
//! writes them into the logs before it reads these.
//!
//! That every frame knows how far all logs were, tells whose frames are gone where one
//! of the journal's own is damaged.
//!
//! A group has two files. While one is written, what the other holds gets into the logs,
//! and it is made anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::base::{Error, Result};
use crate::format::{FileHeader, FileKind, HEADER_BYTES, Reader, journal_name};
use crate::vfs::Vfs;

use super::judge::Judgement;
use super::reader::{LogItem, LogReader};
use super::writer::LogWriter;

/// Bytes of a record before its frame: shard, salt, first number, offset, next number, length.
const ENTRY_HEADER_BYTES: usize = 4 + 4 + 8 + 8 + 8 + 4;

/// A frame of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    /// The number of the log's first record, which is its name.
    pub first_seq: u64,
    /// The salt of the log's frames, which no other file has.
    pub salt: u32,
    /// Where in the log the frame belongs.
    pub offset: u64,
    /// The number that the log's next record gets.
    pub next_seq: u64,
    /// The frame.
    pub bytes: &'a [u8],
}

/// Writes the journal of a group of shards.
pub struct JournalWriter {
    file: LogWriter,
    /// The next record of each shard's log that has had frames here.
    ends: BTreeMap<u32, u64>,
}

impl JournalWriter {
    /// Makes an empty journal, durable, in the place of the last but one, whose frames must
    /// be in their logs. Numbers count up. `origin` is that of the generation.
    pub fn create(vfs: &dyn Vfs, dir: &Path, group: u32, number: u64, origin: u64) -> io::Result<Self> {
        let file = journal_files(group)[usize::from(!number.is_multiple_of(2))];
        let header = FileHeader { origin, ..FileHeader::new(FileKind::Journal, file, number, 0) };
        let file = LogWriter::create_file(vfs, dir, &journal_name(file), header)?;
        Ok(Self { file, ends: BTreeMap::new() })
    }

    /// Takes the place of the journal before it, which may be needed still.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { ends: before.ends.clone(), ..self }
    }

    /// Writes one frame of each of these shards' logs. When this returns, all are durable;
    /// after an error it is not known which are, and the writer must not be used again.
    pub fn write(&mut self, entries: &[(u32, JournalEntry<'_>)]) -> io::Result<u64> {
        let ends = &self.ends;
        self.file.push_with(|out| {
            out.extend_from_slice(&(ends.len() as u32).to_le_bytes());
            for (shard, next_seq) in ends {
                out.extend_from_slice(&shard.to_le_bytes());
                out.extend_from_slice(&next_seq.to_le_bytes());
            }
            for (shard, entry) in entries {
                out.extend_from_slice(&shard.to_le_bytes());
                out.extend_from_slice(&entry.salt.to_le_bytes());
                out.extend_from_slice(&entry.first_seq.to_le_bytes());
                out.extend_from_slice(&entry.offset.to_le_bytes());
                out.extend_from_slice(&entry.next_seq.to_le_bytes());
                out.extend_from_slice(&(entry.bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(entry.bytes);
            }
        });
        let written = self.file.write(true)?;
        self.ends.extend(entries.iter().map(|(shard, entry)| (*shard, entry.next_seq)));
        Ok(written)
    }

    /// Bytes of its frames.
    pub fn frame_bytes(&self) -> u64 {
        self.file.len_bytes() - HEADER_BYTES as u64
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.file.first_seq()
    }
}

/// The numbers in the names of a group's two files.
pub fn journal_files(group: u32) -> [u32; 2] {
    [group * 2, group * 2 + 1]
}

/// What a journal holds.
#[derive(Debug, Default)]
pub struct Journal {
    /// Its number.
    pub number: u64,
    /// The frames of each log, by shard and the number of the log's first record.
    pub logs: BTreeMap<(u32, u64), Vec<Patch>>,
    /// So far each shard's log has gone, at least.
    pub ends: BTreeMap<u32, u64>,
    /// What is wrong with it, naming file and place.
    pub damage: Option<Error>,
}

/// Bytes of a log that may not be in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The salt of the log that they belong to.
    pub salt: u32,
    /// Where they begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Reads the journal of this number in its name; of one that is damaged somewhere, what is sound before
/// and behind.
///
/// # Errors
/// `CORRUPT_DATA` where its beginning can't be read, or where it is not this journal;
/// `INVALID_ARGUMENT` for a newer format.
pub fn read_journal(vfs: &dyn Vfs, dir: &Path, file: u32, origin: u64) -> Result<Journal> {
    let path = dir.join(journal_name(file));
    let mut reader = LogReader::open_kind(vfs, &path, FileKind::Journal)?;
    let header = reader.header();
    if header.shard != file || header.id % 2 != u64::from(file % 2) {
        let is = format!("journal {} of number {}", header.shard, header.id);
        return Err(Error::corrupt(format!("{}: is {is}", path.display())));
    }
    reader.check_origin(origin)?;
    let mut journal = Journal { number: header.id, ..Journal::default() };
    let mut records = 0;
    loop {
        match reader.next(records)? {
            LogItem::Frame { offset, payload, .. } => {
                records = 1;
                journal
                    .take(payload)
                    .map_err(|e| e.context(format!("{}: frame at byte {offset}", path.display())))?;
            }
            LogItem::End(ending) => {
                let Judgement::Damaged { proof_offset } = reader.judge(ending)? else { return Ok(journal) };
                journal.damage.get_or_insert_with(|| {
                    Error::corrupt(format!(
                        "{}: {} at byte {}, though the frame at byte {proof_offset} proves that it was on disk",
                        path.display(),
                        ending.problem,
                        ending.offset
                    ))
                });
                reader.resume(proof_offset)?;
                records = 0;
            }
        }
    }
}

impl Journal {
    /// Takes what a frame holds.
    fn take(&mut self, payload: &[u8]) -> Result<()> {
        let mut reader = Reader::new(payload);
        for _ in 0..reader.u32()? {
            let (shard, next_seq) = (reader.u32()?, reader.u64()?);
            self.reached(shard, next_seq);
        }
        while reader.remaining() >= ENTRY_HEADER_BYTES {
            let (shard, salt, first_seq) = (reader.u32()?, reader.u32()?, reader.u64()?);
            let (offset, next_seq, len) = (reader.u64()?, reader.u64()?, reader.u32()?);
            let bytes = reader.take(len as usize)?.to_vec();
            if offset < HEADER_BYTES as u64 || offset.checked_add(u64::from(len)).is_none() {
                return Err(reader.error(format!("a frame at byte {offset} of a log")));
            }
            self.reached(shard, next_seq);
            self.logs.entry((shard, first_seq)).or_default().push(Patch { salt, offset, bytes });
        }
        reader.finish()
    }

    fn reached(&mut self, shard: u32, next_seq: u64) {
        let end = self.ends.entry(shard).or_default();
        *end = next_seq.max(*end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, SimDisk, read_all};

    fn entry(shard: u32, next_seq: u64, bytes: &[u8]) -> (u32, JournalEntry<'_>) {
        (shard, JournalEntry { first_seq: 1, salt: 7, offset: 32 + next_seq * 100, next_seq, bytes })
    }

    /// Three frames of two shards' logs, and where they begin and the last one ends.
    fn sample() -> (SimDisk, Vec<u64>) {
        let disk = SimDisk::new();
        let mut writer = JournalWriter::create(&disk, Path::new("/"), 2, 9, 8).unwrap();
        let mut ends = vec![writer.frame_bytes()];
        for entries in
            [&[entry(3, 2, b"a"), entry(5, 2, b"b")][..], &[entry(3, 4, b"cc")], &[entry(5, 3, b"d")]]
        {
            writer.write(entries).unwrap();
            ends.push(writer.frame_bytes());
        }
        (disk, ends.into_iter().map(|end| end + HEADER_BYTES as u64).collect())
    }

    #[test]
    fn what_is_written_is_there_after_a_crash() {
        let (disk, _) = sample();
        let journal = read_journal(&disk.crash(Crash::KeepNothing, 0), Path::new("/"), 5, 8).unwrap();
        assert_eq!((journal.number, journal.damage), (9, None));
        assert_eq!(journal.ends, BTreeMap::from([(3, 4), (5, 3)]));
        let patch = |next_seq: u64, bytes: &[u8]| Patch {
            salt: 7,
            offset: 32 + next_seq * 100,
            bytes: bytes.to_vec(),
        };
        assert_eq!(journal.logs[&(3, 1)], [patch(2, b"a"), patch(4, b"cc")]);
        assert_eq!(journal.logs[&(5, 1)], [patch(2, b"b"), patch(3, b"d")]);
        assert!(read_journal(&disk, Path::new("/"), 4, 8).is_err());
        assert!(read_journal(&disk, Path::new("/"), 5, 7).is_err(), "of another database");
    }

    #[test]
    fn damage_before_the_last_frame_is_told_with_all_that_was_promised() {
        let (disk, begins) = sample();
        let path = Path::new("/").join(journal_name(5));
        let bytes = read_all(&disk, &path, 1 << 20).unwrap();
        for at in HEADER_BYTES..begins[3] as usize {
            let file = disk.open_write(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 8], at as u64).unwrap();
            let journal = read_journal(&disk, Path::new("/"), 5, 8).unwrap();
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
            // Of the last frame it can't be told whether it was ever whole.
            let in_last = at as u64 >= begins[2];
            assert_eq!(journal.damage.is_none(), in_last, "byte {at}");
            let expected = if in_last { [(3, 4), (5, 2)] } else { [(3, 4), (5, 3)] };
            assert_eq!(journal.ends, BTreeMap::from(expected), "byte {at}");
            let patches = journal.logs.values().map(Vec::len).sum::<usize>();
            assert_eq!(patches, if (at as u64) < begins[1] { 2 } else { 3 }, "byte {at}");
        }
    }
}
