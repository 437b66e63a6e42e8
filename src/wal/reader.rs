//! Reads a log file from front to back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Error, Result, SEQ_MAX};
use crate::format::{
    FRAME_HEADER_BYTES, FileHeader, FileKind, FrameProblem, HEADER_BYTES, Reader, log_name, parse_frame,
};
use crate::vfs::{File, Vfs, read_exact_at};

use super::judge::{Ending, Judgement, judge};
use super::{Patch, Record, frame_salt};

/// Bytes read at a time; a frame may need more.
const CHUNK_BYTES: usize = 1 << 20;

/// What comes next in a log.
#[derive(Debug, PartialEq)]
pub enum LogItem<'a> {
    /// A frame that passed its checks.
    Frame {
        /// Where it starts.
        offset: u64,
        /// Its whole size.
        len: usize,
        /// Number of its first record.
        seq: u64,
        /// Every record below this was durable when it was written.
        durable_seq: u64,
        /// Its records.
        payload: &'a [u8],
    },
    /// No further frame.
    End(Ending),
}

/// Steps through the frames of a log.
pub struct LogReader {
    file: Arc<dyn File>,
    path: PathBuf,
    header: FileHeader,
    salt: u32,
    file_len: u64,
    /// File offset of `buffer[at]`.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    next_seq: u64,
}

impl LogReader {
    /// Opens a log and checks its header.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming the file; `INVALID_ARGUMENT` for a newer format.
    pub fn open(vfs: &dyn Vfs, path: &Path) -> Result<Self> {
        Self::open_kind(vfs, path, FileKind::Log)
    }

    /// Opens a log or a journal, which have the same frames.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_kind(vfs: &dyn Vfs, path: &Path, kind: FileKind) -> Result<Self> {
        let file = vfs.open(path).map_err(|e| Error::unreadable(&e).context(path.display()))?;
        Self::over(file, path, kind)
    }

    fn over(file: Arc<dyn File>, path: &Path, kind: FileKind) -> Result<Self> {
        let io_error = |e| Error::unreadable(&e).context(path.display());
        let file_len = file.len().map_err(io_error)?;
        let mut header = vec![0; HEADER_BYTES.min(file_len as usize)];
        read_exact_at(file.as_ref(), &mut header, 0).map_err(io_error)?;
        let decoded = FileHeader::decode(&header, kind).map_err(|e| e.context(path.display()))?;
        if decoded.id > SEQ_MAX {
            return Err(Error::corrupt(format!("{}: begins at record {}", path.display(), decoded.id)));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            header: decoded,
            salt: frame_salt(&header),
            file_len,
            offset: HEADER_BYTES as u64,
            buffer: Vec::new(),
            at: 0,
            next_seq: decoded.id,
        })
    }

    /// Refuses a file of another database, or of another generation of this one.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming the file.
    pub(super) fn check_origin(&self, origin: u64) -> Result<()> {
        if self.header.origin == origin {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{}: belongs to another database, or to another time of this one, before a LOAD (its origin is {:016x}, \
             not {origin:016x})",
            self.path.display(),
            self.header.origin
        )))
    }

    /// The file's header.
    pub fn header(&self) -> FileHeader {
        self.header
    }

    fn read_more(&mut self, wanted: usize) -> Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        let left = self.file_len - self.offset - have as u64;
        let n = (wanted.saturating_sub(have).max(CHUNK_BYTES) as u64).min(left) as usize;
        self.buffer.resize(have + n, 0);
        let into = self.buffer.get_mut(have..).unwrap_or_default();
        read_exact_at(self.file.as_ref(), into, self.offset + have as u64).map_err(|e| {
            Error::unreadable(&e).context(format!("{}: at byte {}", self.path.display(), self.offset))
        })
    }

    /// The next frame, or the end. Records are numbered without gaps, so a frame
    /// with another number ends the log too. `records` says how many records the
    /// previous frame had.
    pub fn next(&mut self, records: u64) -> Result<LogItem<'_>> {
        self.next_seq += records;
        let len = loop {
            let bytes = self.buffer.get(self.at..).unwrap_or_default();
            let have = bytes.len() as u64;
            let left = self.file_len - self.offset;
            let (wanted, problem) = match parse_frame(bytes, self.salt) {
                Ok(frame) if frame.seq == self.next_seq => break frame.len,
                Ok(_) => (0, FrameProblem::Salt),
                Err(FrameProblem::End) if bytes.len() < FRAME_HEADER_BYTES => {
                    (CHUNK_BYTES, FrameProblem::End)
                }
                Err(FrameProblem::NeedBytes(n)) if n as u64 <= left => (n, FrameProblem::NeedBytes(n)),
                Err(found) => (0, found),
            };
            // An empty buffer shows first where the frame's header is, and then how long it is.
            if wanted == 0 || have == left {
                return Ok(LogItem::End(Ending { offset: self.offset, problem, next_seq: self.next_seq }));
            }
            self.read_more(wanted)?;
        };
        let (start, offset) = (self.at, self.offset);
        self.at += len;
        self.offset += len as u64;
        let bytes = self.buffer.get(start..start + len).unwrap_or_default();
        match parse_frame(bytes, self.salt) {
            Ok(frame) => Ok(LogItem::Frame {
                offset,
                len,
                seq: frame.seq,
                durable_seq: frame.durable_seq,
                payload: frame.payload,
            }),
            Err(problem) => Ok(LogItem::End(Ending { offset, problem, next_seq: self.next_seq })),
        }
    }

    /// The salt of its frames.
    pub fn salt(&self) -> u32 {
        self.salt
    }

    /// Goes on at a frame behind damage.
    ///
    /// # Errors
    /// `CORRUPT_DATA` where the file can't be read, or there is none.
    pub(super) fn resume(&mut self, offset: u64) -> Result<()> {
        let there = |e| Error::corrupt(format!("{}: byte {offset}: {e}", self.path.display()));
        let mut header = [0; FRAME_HEADER_BYTES];
        read_exact_at(self.file.as_ref(), &mut header, offset).map_err(|e| there(e.to_string()))?;
        let mut fields = Reader::new(&header);
        fields.take(8)?;
        let seq = fields.u64()?;
        if seq < self.next_seq || seq > SEQ_MAX {
            return Err(there(format!("a frame of record {seq}")));
        }
        (self.offset, self.next_seq) = (offset, seq);
        self.buffer.clear();
        self.at = 0;
        Ok(())
    }

    /// What an ending of this log means, if it is the newest.
    pub fn judge(&self, ending: Ending) -> Result<Judgement> {
        judge(self.file.as_ref(), ending, self.salt)
            .map_err(|e| Error::unreadable(&e).context(self.path.display()))
    }
}

/// What reading a whole log found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Where it ends.
    pub ending: Ending,
    /// What the ending means, if this is the newest log.
    pub judgement: Judgement,
    /// Records in it.
    pub records: u64,
    /// The group whose journal may have frames of it.
    pub journal: Option<u32>,
}

/// Gives every record of the log of a shard, in a generation of this origin, that begins at
/// `first_seq` with its sequence number to `apply`, in order.
///
/// # Errors
/// `CORRUPT_DATA` where it is another log, and with file and offset for a frame whose
/// records can't be decoded; and whatever `apply` returns.
pub fn read_log(
    vfs: &dyn Vfs,
    dir: &Path,
    of: (u32, u64),
    first_seq: u64,
    apply: impl FnMut(u64, Record) -> Result<()>,
) -> Result<Replay> {
    read_log_with(vfs, dir, of, first_seq, &[], apply)
}

/// The same of a log with these patches in it, which its file need not have.
///
/// # Errors
/// As [`read_log`].
pub fn read_log_with(
    vfs: &dyn Vfs,
    dir: &Path,
    (shard, origin): (u32, u64),
    first_seq: u64,
    patches: &[Patch],
    mut apply: impl FnMut(u64, Record) -> Result<()>,
) -> Result<Replay> {
    let path = dir.join(log_name(first_seq));
    let mut reader = LogReader::open(vfs, &path)?;
    if !patches.is_empty() {
        let file = reader.file.clone();
        let patches: Vec<Patch> = patches.iter().filter(|patch| patch.salt == reader.salt).cloned().collect();
        reader = LogReader::over(Arc::new(Patched { file, patches }), &path, FileKind::Log)?;
    }
    let header = reader.header();
    if (header.shard, header.id) != (shard, first_seq) {
        return Err(Error::corrupt(format!(
            "{}: is the log of shard {} that begins at record {}",
            path.display(),
            header.shard,
            header.id
        )));
    }
    reader.check_origin(origin)?;
    let (mut total, mut in_frame) = (0, 0);
    loop {
        match reader.next(in_frame)? {
            LogItem::Frame { offset, seq, payload, .. } => {
                in_frame = 0;
                let mut records = Reader::new(payload);
                while records.remaining() > 0 {
                    let record = Record::decode(&mut records)
                        .map_err(|e| e.context(format!("{}: frame at byte {offset}", path.display())))?;
                    apply(seq + in_frame, record)?;
                    in_frame += 1;
                }
                total += in_frame;
            }
            LogItem::End(ending) => {
                let judgement = reader.judge(ending)?;
                let journal = u32::from(header.journal).checked_sub(1);
                return Ok(Replay { ending, judgement, records: total, journal });
            }
        }
    }
}

/// A file as it is once the patches are written to it.
struct Patched {
    file: Arc<dyn File>,
    patches: Vec<Patch>,
}

impl File for Patched {
    fn len(&self) -> io::Result<u64> {
        let ends = self.patches.iter().map(|patch| patch.offset + patch.bytes.len() as u64);
        Ok(ends.fold(self.file.len()?, u64::max))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = (self.len()?.saturating_sub(offset)).min(buf.len() as u64) as usize;
        let buf = &mut buf[..n];
        let mut at = 0;
        while at < n {
            match self.file.read_at(&mut buf[at..], offset + at as u64)? {
                0 => break,
                read => at += read,
            }
        }
        buf[at..].fill(0);
        for patch in &self.patches {
            let start = patch.offset.max(offset);
            let end = (patch.offset + patch.bytes.len() as u64).min(offset + n as u64);
            if start < end {
                let from = (start - patch.offset) as usize..(end - patch.offset) as usize;
                buf[(start - offset) as usize..(end - offset) as usize].copy_from_slice(&patch.bytes[from]);
            }
        }
        Ok(n)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, SimDisk, read_all};
    use crate::wal::LogWriter;

    const DIR: &str = "/";

    fn header(shard: u32, first_seq: u64) -> FileHeader {
        FileHeader { origin: 8, ..FileHeader::new(FileKind::Log, shard, first_seq, 1) }
    }

    fn drop_record(id: u64) -> Record {
        Record::Drop { series_id: id }
    }

    /// A log of three synced frames with 1, 2 and 3 records.
    fn sample() -> (SimDisk, PathBuf) {
        let disk = SimDisk::new();
        let mut writer = LogWriter::create(&disk, Path::new(DIR), header(3, 10)).unwrap();
        let mut id = 0;
        for records in 1..=3 {
            for _ in 0..records {
                assert_eq!(writer.push(&drop_record(id)), 10 + id);
                id += 1;
            }
            writer.write(false).unwrap();
            writer.sync().unwrap();
        }
        let path = writer.path().to_owned();
        (disk, path)
    }

    fn replay(disk: &SimDisk, path: &Path) -> Result<(Vec<(u64, Record)>, Replay)> {
        let mut seen = Vec::new();
        let header = LogReader::open(disk, path)?.header();
        let replay = read_log(disk, Path::new(DIR), (header.shard, 8), header.id, |seq, record| {
            seen.push((seq, record));
            Ok(())
        })?;
        Ok((seen, replay))
    }

    fn overwrite(disk: &SimDisk, path: &Path, offset: u64, bytes: &[u8]) {
        let file = crate::vfs::Vfs::open_write(disk, path).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    #[test]
    fn records_come_back_in_order_with_their_numbers() {
        let (disk, path) = sample();
        let (seen, replay) = replay(&disk.crash(Crash::KeepNothing, 0), &path).unwrap();
        assert_eq!(seen, (0..6).map(|id| (10 + id, drop_record(id))).collect::<Vec<_>>());
        assert_eq!((replay.judgement, replay.records, replay.ending.next_seq), (Judgement::Clean, 6, 16));
    }

    #[test]
    fn a_flipped_bit_before_a_synced_frame_is_damage_and_in_the_last_one_torn() {
        let (disk, path) = sample();
        let (_, whole) = replay(&disk, &path).unwrap();
        let bytes = read_all(&disk, &path, 1 << 20).unwrap();
        let mut reader = LogReader::open(&disk, &path).unwrap();
        let mut last = 0;
        for records in 0..3 {
            if let LogItem::Frame { offset, .. } = reader.next(records).unwrap() {
                last = offset;
            }
        }
        for at in HEADER_BYTES as u64..whole.ending.offset {
            overwrite(&disk, &path, at, &[bytes[at as usize] ^ 4]);
            let (seen, replay) = replay(&disk, &path).unwrap();
            if at < last {
                assert!(matches!(replay.judgement, Judgement::Damaged { .. }), "byte {at}");
            } else {
                assert_eq!((replay.judgement, seen.len()), (Judgement::Torn, 3), "byte {at}");
            }
            overwrite(&disk, &path, at, &[bytes[at as usize]]);
        }
    }

    #[test]
    fn frames_that_were_never_synced_may_be_missing_in_the_middle() {
        let disk = SimDisk::new();
        let mut writer = LogWriter::create(&disk, Path::new(DIR), header(0, 1)).unwrap();
        writer.push(&drop_record(0));
        writer.write(false).unwrap();
        let hole = writer.len_bytes();
        for id in 1..3 {
            writer.push(&drop_record(id));
            writer.write(false).unwrap();
        }
        overwrite(&disk, writer.path(), hole, &[0; 30]);
        let (seen, replay) = replay(&disk, writer.path()).unwrap();
        assert_eq!((seen.len(), replay.judgement), (1, Judgement::Torn));
    }

    #[test]
    fn frames_larger_than_the_read_buffer_are_read() {
        let disk = SimDisk::new();
        let mut writer = LogWriter::create(&disk, Path::new(DIR), header(0, 1)).unwrap();
        let insert = super::super::InsertRecord {
            series_id: 1,
            dimension: 1,
            assigned_max_ns: None,
            timestamps: (0..400_000).collect(),
            values: crate::format::Values::F64(vec![1.5; 400_000]),
            label_ids: vec![],
            label_sets: vec![],
        };
        // One of them is the first, where nothing shows yet how long it is.
        let large = Record::Insert(insert);
        let records = [large.clone(), drop_record(9), large, drop_record(10)];
        for record in &records {
            writer.push(record);
            writer.write(false).unwrap();
        }
        writer.sync().unwrap();
        let (seen, replay) = replay(&disk, writer.path()).unwrap();
        assert_eq!(replay.judgement, Judgement::Clean);
        assert!(seen.iter().map(|(_, record)| record).eq(&records), "{} records", seen.len());
    }

    #[test]
    fn every_crash_leaves_a_prefix_that_holds_all_that_was_synced() {
        let disk = SimDisk::new();
        let mut writer = LogWriter::create(&disk, Path::new(DIR), header(0, 1)).unwrap();
        for id in 0..20 {
            writer.push(&drop_record(id));
            writer.write(false).unwrap();
            if id % 3 == 0 {
                writer.sync().unwrap();
            }
            for crash in [Crash::KeepNothing, Crash::KeepAll, Crash::TearLast, Crash::KeepSome] {
                let (seen, replay) = replay(&disk.crash(crash, id), writer.path()).unwrap();
                assert!(!matches!(replay.judgement, Judgement::Damaged { .. }), "{crash:?} after {id}");
                assert!(seen.len() as u64 >= writer.durable_seq() - 1);
                assert!(seen.iter().enumerate().all(|(at, (seq, _))| *seq == 1 + at as u64));
            }
        }
    }
}
