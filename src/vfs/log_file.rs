//! A log on the machine's disk, whose frames are written around the page cache.
//!
//! `O_DIRECT` and `O_DSYNC` make one system call of write and sync, and take less than
//! half the time of a processor that `pwrite` and `fdatasync` take. Whole blocks are
//! written, so that the block in which the last frame ended is written again with the
//! next one; the page cache does the same with its pages.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::base::sync::Mutex;
use rustix::fs::OFlags;

use super::File;

/// What memory, offsets and lengths are multiples of; no disk asks for more.
const BLOCK_BYTES: usize = 4096;
/// Bytes of a buffer that is kept between two writes.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

pub(super) struct LogFile {
    file: fs::File,
    /// `None` where the file system can't write around its cache.
    direct: Option<Mutex<Direct>>,
}

struct Direct {
    file: fs::File,
    /// Whether a write has succeeded. Before, nobody relies on anything, and a refusal
    /// only says that this file system can't do it.
    proven: bool,
    /// The bytes of the block in which the last write ended, and where they start.
    last: Vec<u8>,
    last_start: u64,
    buffer: Vec<u8>,
}

impl LogFile {
    /// Opens an existing file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let flags = (OFlags::DIRECT | OFlags::DSYNC).bits().cast_signed();
        let direct = fs::OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        let direct = direct.map(|file| {
            Mutex::new(Direct { file, proven: false, last: Vec::new(), last_start: 0, buffer: Vec::new() })
        });
        Ok(Self { file, direct })
    }
}

impl Direct {
    /// The bytes before `offset` in its block.
    fn lead(&self, plain: &fs::File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        if self.last_start == offset - bytes as u64 && self.last.len() == bytes {
            return Ok(self.last.clone());
        }
        let mut lead = vec![0; bytes];
        plain.read_exact_at(&mut lead, offset - bytes as u64)?;
        Ok(lead)
    }

    fn write(&mut self, plain: &fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let lead_bytes = offset as usize % BLOCK_BYTES;
        let start = offset - lead_bytes as u64;
        let lead = self.lead(plain, offset, lead_bytes)?;
        let used = lead_bytes + bytes.len();
        let whole = used.next_multiple_of(BLOCK_BYTES);
        // Room to begin at a multiple.
        if self.buffer.len() < whole + BLOCK_BYTES {
            self.buffer.resize(whole + BLOCK_BYTES, 0);
        }
        let skip = self.buffer.as_ptr().align_offset(BLOCK_BYTES);
        let blocks = &mut self.buffer[skip..skip + whole];
        blocks[..lead_bytes].copy_from_slice(&lead);
        blocks[lead_bytes..used].copy_from_slice(bytes);
        blocks[used..].fill(0);
        self.file.write_all_at(blocks, start)?;
        self.proven = true;
        if used < whole {
            self.last_start = start + (whole - BLOCK_BYTES) as u64;
            self.last.clear();
            self.last.extend_from_slice(&blocks[whole - BLOCK_BYTES..used]);
        }
        self.buffer.truncate(BUFFER_BYTES_KEPT);
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }
}

impl File for LogFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            let mut direct = direct.lock();
            match direct.write(&self.file, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::InvalidInput && !direct.proven => {}
                other => return other,
            }
        }
        self.write_all_at(buf, offset)?;
        self.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    /// The only guard of acknowledged writes that the simulated disk knows nothing of.
    #[test]
    fn what_is_written_around_the_cache_is_on_the_disk_when_the_call_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, b"").unwrap();
        let Some(direct) = LogFile::open(&path).unwrap().direct else {
            eprintln!("SKIPPED: {} is on a file system without O_DIRECT", path.display());
            return;
        };
        let flags = rustix::fs::fcntl_getfl(&direct.lock().file).unwrap();
        assert!(flags.contains(OFlags::DIRECT | OFlags::DSYNC), "{flags:?}");
    }

    #[test]
    fn appended_bytes_are_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, b"").unwrap();
        let file = LogFile::open(&path).unwrap();
        let mut rng = Rng::new(3);
        let mut expected = Vec::new();
        for at in 0..300_u32 {
            let most = if at % 50 == 0 { 1 << 20 } else { 6000 };
            let piece: Vec<u8> = (0..=rng.below(most)).map(|_| rng.below(256) as u8).collect();
            // Zeros ahead, now and then, as a log writes them.
            if at % 7 == 0 {
                let ahead = (expected.len() + piece.len()).next_multiple_of(BLOCK_BYTES);
                file.write_durable_at(&[0; 3 * BLOCK_BYTES], ahead as u64).unwrap();
            }
            file.write_durable_at(&piece, expected.len() as u64).unwrap();
            expected.extend_from_slice(&piece);
            // The other way of writing and this one may take turns.
            if at % 11 == 0 {
                file.write_all_at(b"mixed", expected.len() as u64).unwrap();
                expected.extend_from_slice(b"mixed");
            }
        }
        let mut found = vec![0; file.len().unwrap() as usize];
        file.file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found[..expected.len()], expected);
        assert!(found[expected.len()..].iter().all(|&byte| byte == 0));
    }
}
