//! What is written once on top of the trait: whole-file reads, atomic replacement,
//! durable directories, sequential reading and writing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{File, Vfs};

/// Fills `buf` from `offset`, or fails with `UnexpectedEof`.
pub fn read_exact_at(file: &dyn File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The whole file, which may have at most `max_bytes`.
pub fn read_all(vfs: &dyn Vfs, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = vfs.open(path)?;
    let len = file.len()?;
    if len > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} has {len} bytes; at most {max_bytes} are expected", path.display()),
        ));
    }
    let mut bytes = vec![0; len as usize];
    read_exact_at(file.as_ref(), &mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces `dir/name` by `bytes`. After a crash the file has its old content or
/// the new one, whole; once this returns, the new one. A crash may leave
/// `name.tmp`, which the next call replaces; a failure leaves nothing.
pub fn write_atomic(vfs: &dyn Vfs, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temp = dir.join(format!("{name}.tmp"));
    match vfs.remove(&temp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let write = || {
        let file = vfs.create(&temp)?;
        file.write_all_at(bytes, 0)?;
        file.sync()
    };
    write().inspect_err(|_| {
        // On a full disk others need the room.
        let _ = vfs.remove(&temp);
    })?;
    vfs.rename(&temp, &dir.join(name))?;
    vfs.sync_dir(dir)
}

/// Makes `path` and every missing directory above it, each one durable in its
/// parent.
pub fn create_dir_durable(vfs: &dyn Vfs, path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || vfs.metadata(path)?.is_some() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir_durable(vfs, parent)?;
    }
    vfs.create_dir(path)?;
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => vfs.sync_dir(Path::new(".")),
        Some(parent) => vfs.sync_dir(parent),
        None => Ok(()),
    }
}

/// Reads a file from front to back through a buffer of its own; for parsers that
/// want [`io::Read`] or [`io::BufRead`].
pub struct FileReader {
    file: Arc<dyn File>,
    offset: u64,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl FileReader {
    /// Starts at `offset`.
    pub fn new(file: Arc<dyn File>, offset: u64) -> Self {
        Self { file, offset, buffer: vec![0; 256 << 10].into(), start: 0, end: 0 }
    }

    /// Offset in the file of the next byte that a read returns.
    pub fn position(&self) -> u64 {
        self.offset - (self.end - self.start) as u64
    }
}

impl io::Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = io::BufRead::fill_buf(self)?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        io::BufRead::consume(self, n);
        Ok(n)
    }
}

impl io::BufRead for FileReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let n = self.file.read_at(&mut self.buffer, self.offset)?;
            self.offset += n as u64;
            self.start = 0;
            self.end = n;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

/// Writes a file from front to back through a buffer. Drop loses what
/// [`finish`](Self::finish) has not written. After an error it must be thrown away: nothing is
/// known about what the disk holds.
pub struct FileWriter {
    file: Arc<dyn File>,
    offset: u64,
    /// How much of it was synced.
    synced: u64,
    buffer: Vec<u8>,
}

impl FileWriter {
    const BUFFER_BYTES: usize = 256 << 10;
    /// So much is synced at a time: the sync of a log waits for all that the disk has got
    /// before it.
    const STRETCH_BYTES: u64 = 2 << 20;

    /// Starts at the front of `file`.
    pub fn new(file: Arc<dyn File>) -> Self {
        Self { file, offset: 0, synced: 0, buffer: Vec::with_capacity(Self::BUFFER_BYTES) }
    }

    /// Bytes written so far.
    pub fn position(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Goes on behind so many bytes that were written.
    fn advance(&mut self, bytes: usize) -> io::Result<()> {
        self.offset += bytes as u64;
        if self.offset - self.synced >= Self::STRETCH_BYTES {
            self.file.sync()?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Writes what is buffered and syncs the file.
    pub fn finish(mut self) -> io::Result<Arc<dyn File>> {
        io::Write::flush(&mut self)?;
        self.file.sync()?;
        Ok(self.file)
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > Self::BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= Self::BUFFER_BYTES {
            self.file.write_all_at(bytes, self.offset)?;
            self.advance(bytes.len())?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.offset)?;
            let written = self.buffer.len();
            self.buffer.clear();
            self.advance(written)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read, Write};
    use std::path::PathBuf;

    use super::*;
    use crate::vfs::SimDisk;

    #[test]
    fn what_is_written_front_to_back_reads_back() {
        let disk = SimDisk::new();
        let mut writer = FileWriter::new(disk.create(Path::new("/f")).unwrap());
        let long = vec![7; 300 << 10];
        for part in [b"one\n".as_slice(), b"two\n", &long] {
            writer.write_all(part).unwrap();
        }
        assert_eq!(writer.position(), 8 + long.len() as u64);
        writer.finish().unwrap();

        let mut reader = FileReader::new(disk.open(Path::new("/f")).unwrap(), 0);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!((line.as_str(), reader.position()), ("one\n", 4));
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 4 + long.len());
        assert_eq!(read_all(&disk, Path::new("/f"), 1 << 20).unwrap()[4..], rest);
        assert!(read_all(&disk, Path::new("/f"), 100).is_err());
    }

    #[test]
    fn a_long_file_is_synced_a_stretch_at_a_time() {
        let (disk, path) = (SimDisk::new(), Path::new("/f"));
        let mut writer = FileWriter::new(disk.create(path).unwrap());
        disk.sync_dir(Path::new("/")).unwrap();
        let bytes = vec![7; 100 << 10];
        for part in 1..60_u64 {
            writer.write_all(&bytes).unwrap();
            let after = disk.crash(super::super::Crash::KeepNothing, 0);
            let synced = after.metadata(path).unwrap().unwrap().len;
            let due = FileWriter::STRETCH_BYTES + (FileWriter::BUFFER_BYTES + bytes.len()) as u64;
            assert!(part * bytes.len() as u64 - synced < due, "{synced} after {part} parts");
        }
    }

    #[test]
    fn nested_directories_survive_a_crash() {
        let disk = SimDisk::new();
        create_dir_durable(&disk, Path::new("/a/b/c")).unwrap();
        let after = disk.crash(super::super::Crash::KeepNothing, 0);
        assert!(after.metadata(&PathBuf::from("/a/b/c")).unwrap().is_some());
    }

    #[test]
    fn an_atomic_write_is_old_or_new_at_every_crash() {
        let disk = SimDisk::new();
        let (dir, path) = (Path::new("/"), Path::new("/name"));
        write_atomic(&disk, dir, "name", b"old").unwrap();
        for ops in 0.. {
            let copy = disk.crash(super::super::Crash::KeepAll, 0);
            copy.fail_from(copy.operations() + ops);
            let done = write_atomic(&copy, dir, "name", b"the new content").is_ok();
            for seed in 0..8 {
                let after = copy.crash(super::super::Crash::KeepSome, seed);
                let found = read_all(&after, path, 100).unwrap();
                assert!(found == b"the new content" || (found == b"old" && !done), "ops {ops} seed {seed}");
            }
            if done {
                assert!(ops >= 4, "create, write, sync, rename and sync_dir can each fail");
                return;
            }
        }
    }
}
