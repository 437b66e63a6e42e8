//! Appends frames to a new log file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{
    FRAME_OVERHEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX, FileHeader, FileKind, HEADER_BYTES, finish_frame,
    log_name, start_frame,
};
use crate::vfs::{File, Vfs, write_atomic};

use super::{Record, frame_salt};

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
    /// Where the next frame goes.
    offset: u64,
    /// How far the file is filled with zeros.
    zeroed: u64,
    next_seq: u64,
    durable_seq: u64,
    frame: Vec<u8>,
    frame_records: u64,
}

impl LogWriter {
    /// Makes the log whose first record gets `first_seq`, in the place of one that never
    /// got that far. Its name and header are durable when this returns.
    pub fn create(vfs: &dyn Vfs, dir: &Path, shard: u32, first_seq: u64, epoch: u32) -> io::Result<Self> {
        let name = log_name(first_seq);
        let header = FileHeader::new(FileKind::Log, shard, first_seq, epoch).encode();
        let mut start = header.to_vec();
        start.resize(ZEROS_FIRST_BYTES, 0);
        // A log that has its name has its header, so that one without is damaged.
        write_atomic(vfs, dir, &name, &start)?;
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
            frame: Vec::new(),
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
        self.offset
    }

    /// Bytes of the frame under construction.
    pub fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// Whether a record of this encoded size still fits in the frame.
    pub fn has_room_for(&self, encoded_bytes: usize) -> bool {
        self.frame.len() + encoded_bytes + FRAME_OVERHEAD_BYTES <= FRAME_PAYLOAD_BYTES_MAX
    }

    /// Adds a record to the frame under construction; returns its sequence number.
    pub fn push(&mut self, record: &Record) -> u64 {
        if self.frame.is_empty() {
            start_frame(&mut self.frame);
        }
        record.encode(&mut self.frame);
        let seq = self.next_seq();
        self.frame_records += 1;
        seq
    }

    /// Forgets the frame under construction.
    pub fn discard(&mut self) {
        self.frame.clear();
        self.frame_records = 0;
    }

    /// Writes the frame under construction, if it has a record, and returns its bytes.
    /// Unless it is to be durable at once, it is only after [`sync`](Self::sync).
    pub fn write(&mut self, durable: bool) -> io::Result<u64> {
        if self.frame_records == 0 {
            return Ok(0);
        }
        finish_frame(&mut self.frame, 0, self.salt, self.next_seq, self.durable_seq);
        let end = self.offset + self.frame.len() as u64;
        if end > self.zeroed {
            if self.frame.len() < LARGE_FRAME_BYTES {
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
        self.next_seq += self.frame_records;
        if durable {
            self.file.write_durable_at(&self.frame, self.offset)?;
            self.durable_seq = self.next_seq;
        } else {
            self.file.write_all_at(&self.frame, self.offset)?;
        }
        let written = self.frame.len() as u64;
        self.offset = end;
        self.discard();
        // There is a writer for each shard, and one large batch should not pin memory.
        self.frame.shrink_to(FRAME_BYTES_KEPT);
        Ok(written)
    }

    /// Makes all written frames durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.durable_seq < self.next_seq {
            self.file.sync()?;
            self.durable_seq = self.next_seq;
        }
        Ok(())
    }
}
