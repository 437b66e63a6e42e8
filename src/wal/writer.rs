//! Appends frames to a new file.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{FileHeader, HEADER_BYTES, finish_frame, log_name, start_frame};
use crate::vfs::{File, Vfs, write_atomic};

use super::{JournalEntry, Record, frame_salt};

/// The file is written with zeros this far ahead of use, so that the sync of a
/// frame has no metadata to write.
const ZEROS_AHEAD_BYTES: usize = 1 << 20;
/// A larger frame lengthens the file itself: its sync has much to write anyway.
const LARGE_FRAME_BYTES: usize = 256 << 10;
/// Stretches begin and end at multiples of it, so that none reaches into a frame.
const STRETCH_UNIT_BYTES: u64 = 4096;
/// The first stretch is short: most shards of a small database write little.
const ZEROS_FIRST_BYTES: usize = 64 << 10;
/// What a stretch is written from; memory that is never touched.
static ZEROS: [u8; ZEROS_AHEAD_BYTES] = [0; ZEROS_AHEAD_BYTES];
/// Bytes of frame that a writer keeps room for.
const FRAME_BYTES_KEPT: usize = 256 << 10;

/// One log file, written by one owner. After any error the writer must be thrown
/// away: nothing is known about what the disk holds.
pub struct LogWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    salt: u32,
    first_seq: u64,
    /// Where the first frame goes that is not in the file yet.
    offset: u64,
    /// How far the file is filled with zeros.
    zeroed: u64,
    next_seq: u64,
    durable_seq: u64,
    /// Frames that are not in the file yet, and the one under construction.
    frames: Vec<u8>,
    /// Where the last sealed frame begins, and where it ends.
    sealed: Range<usize>,
    /// Records of the frame under construction.
    frame_records: u64,
}

impl LogWriter {
    /// Makes the log that this header describes, in the place of one that never got so far
    /// that it had a record. Its name and header are durable when this returns.
    pub fn create(vfs: &dyn Vfs, dir: &Path, header: FileHeader) -> io::Result<Self> {
        Self::create_file(vfs, dir, &log_name(header.id), header)
    }

    pub(super) fn create_file(vfs: &dyn Vfs, dir: &Path, name: &str, header: FileHeader) -> io::Result<Self> {
        let first_seq = header.id;
        let header = header.encode();
        let mut start = header.to_vec();
        start.resize(ZEROS_FIRST_BYTES, 0);
        // A file that has its name has its header, so that one without is damaged.
        write_atomic(vfs, dir, name, &start)?;
        let path = dir.join(name);
        Ok(Self {
            file: vfs.open_log(&path)?,
            path,
            salt: frame_salt(&header),
            offset: HEADER_BYTES as u64,
            zeroed: start.len() as u64,
            first_seq,
            next_seq: first_seq,
            durable_seq: first_seq,
            frames: Vec::new(),
            sealed: 0..0,
            frame_records: 0,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of its first record.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq + self.frame_records
    }

    /// Every record below this is durable.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// Bytes of frames and header, without the zeros ahead.
    pub fn len_bytes(&self) -> u64 {
        self.offset + self.sealed.end as u64
    }

    /// Bytes of the frame that was sealed last, if it is not in the file yet.
    pub fn last_sealed_bytes(&self) -> usize {
        self.sealed.len()
    }

    /// Whether the file, as it is on disk, has room for what waits.
    pub fn has_room(&self) -> bool {
        self.offset + self.sealed.end as u64 <= self.zeroed
    }

    /// Bytes of sealed frames that are not in the file yet.
    pub fn waiting_bytes(&self) -> usize {
        self.sealed.end
    }

    /// Adds a record to the frame under construction; returns its sequence number.
    pub fn push(&mut self, record: &Record) -> u64 {
        self.push_with(|out| record.encode(out))
    }

    /// Adds a record that `encode` appends.
    pub(super) fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if self.frame_records == 0 {
            start_frame(&mut self.frames);
        }
        encode(&mut self.frames);
        let seq = self.next_seq();
        self.frame_records += 1;
        seq
    }

    /// Completes the frame under construction, if it has a record. It waits for
    /// [`write`](Self::write), behind those that wait already.
    pub fn seal(&mut self) {
        if self.frame_records == 0 {
            return;
        }
        let start = self.sealed.end;
        finish_frame(&mut self.frames, start, self.salt, self.next_seq, self.durable_seq);
        self.sealed = start..self.frames.len();
        self.next_seq += self.frame_records;
        self.frame_records = 0;
    }

    /// The frame that was sealed last, as a journal takes it, while it waits.
    pub fn last_sealed(&self) -> JournalEntry<'_> {
        JournalEntry {
            first_seq: self.first_seq,
            salt: self.salt,
            offset: self.offset + self.sealed.start as u64,
            next_seq: self.next_seq,
            bytes: &self.frames[self.sealed.clone()],
        }
    }

    /// Every sealed frame is durable, for a journal has those that wait.
    pub fn note_journaled(&mut self) {
        self.durable_seq = self.next_seq;
    }

    /// Writes the frame under construction and those that wait, and returns their bytes.
    /// Unless they are to be durable at once, they are only after [`sync`](Self::sync).
    pub fn write(&mut self, durable: bool) -> io::Result<u64> {
        self.seal();
        self.write_sealed(durable)
    }

    fn write_sealed(&mut self, durable: bool) -> io::Result<u64> {
        // What a panic left of a frame is none.
        self.frames.truncate(self.sealed.end);
        self.frame_records = 0;
        if self.frames.is_empty() {
            return Ok(0);
        }
        let end = self.offset + self.frames.len() as u64;
        if end > self.zeroed {
            if self.frames.len() < LARGE_FRAME_BYTES {
                if durable {
                    self.file.write_durable_at(&ZEROS, self.zeroed)?;
                } else {
                    self.file.write_all_at(&ZEROS, self.zeroed)?;
                }
                self.zeroed += ZEROS.len() as u64;
            } else {
                self.zeroed = end.next_multiple_of(STRETCH_UNIT_BYTES);
            }
        }
        if durable {
            self.file.write_durable_at(&self.frames, self.offset)?;
            self.durable_seq = self.next_seq;
        } else {
            self.file.write_all_at(&self.frames, self.offset)?;
        }
        let written = self.frames.len() as u64;
        self.offset = end;
        self.frames.clear();
        self.sealed = 0..0;
        // There is a writer for each shard, and one large batch should not pin memory.
        self.frames.shrink_to(FRAME_BYTES_KEPT);
        Ok(written)
    }

    /// Makes all frames durable, in this file.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write_sealed(true)?;
        if self.durable_seq < self.next_seq {
            self.file.sync()?;
            self.durable_seq = self.next_seq;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FileKind;
    use crate::vfs::SimDisk;

    /// What is left of another file in recycled blocks must not be taken for a frame.
    #[test]
    fn no_two_files_have_one_salt() {
        let disk = SimDisk::new();
        let dir = Path::new("/");
        let header = |at: u32| match at {
            0..40 => FileHeader {
                origin: u64::from(at % 2),
                ..FileHeader::new(FileKind::Log, at / 20, u64::from(at % 20 / 2) + 1, 1)
            },
            _ => FileHeader::new(FileKind::Journal, at / 2, u64::from(at % 2), 0),
        };
        let salt = |at| LogWriter::create_file(&disk, dir, "file", header(at)).unwrap().salt;
        let salts: std::collections::BTreeSet<u32> = (0..44).map(salt).collect();
        // The lowest bit is always set.
        assert!(salts.len() > 40, "{}", salts.len());
    }
}
