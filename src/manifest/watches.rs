//! Which profiles are kept up to date. The file belongs to the data directory, not to a
//! generation: after a load the series of the same names are watched.

use std::path::Path;

use bincode::{Decode, Encode};

use crate::base::{Error, ErrorCode, Result};
use crate::format::{FileHeader, FileKind, WATCHES, decode_metadata, encode_metadata};
use crate::vfs::{Vfs, read_all, write_atomic};

use super::quarantine;

const WATCHES_BYTES_MAX: u64 = 64 << 20;

/// A profile that is kept.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct WatchRecord {
    /// Of which series.
    pub series: String,
    /// Of which of its points: pairs of keys and values.
    pub labels: Vec<(String, String)>,
    /// Points a window has.
    pub window: u64,
    /// Most points that are looked back at.
    pub points_max: u64,
    /// From which score on there is an alert.
    pub threshold: f64,
}

/// What is watched; nothing where there is no such file.
///
/// # Errors
/// `CORRUPT_DATA` naming the file.
pub fn read_watches(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<WatchRecord>> {
    let path = dir.join(WATCHES);
    let unreadable = |e: std::io::Error| Error::corrupt(format!("{}: can't be read: {e}", path.display()));
    if vfs.metadata(&path).map_err(unreadable)?.is_none() {
        return Ok(Vec::new());
    }
    let bytes = read_all(vfs, &path, WATCHES_BYTES_MAX).map_err(unreadable)?;
    let decoded = decode_metadata::<Vec<WatchRecord>>(&bytes, FileKind::Watches);
    let (_, watches) = decoded.map_err(|e| e.context(path.display()))?;
    Ok(watches)
}

/// Replaces what is watched. When this returns, no crash brings the old state back.
///
/// # Errors
/// `READ_ONLY` where the disk refuses; either may be in force then.
pub fn write_watches(vfs: &dyn Vfs, dir: &Path, watches: &[WatchRecord]) -> Result<()> {
    let bytes = encode_metadata(FileHeader::new(FileKind::Watches, 0, 0, 0), &watches.to_vec())?;
    write_atomic(vfs, dir, WATCHES, &bytes).map_err(|e| {
        let path = dir.join(WATCHES);
        Error::new(ErrorCode::ReadOnly, format!("{}: can't be replaced: {e}", path.display()))
    })
}

/// Moves a file that can't be read to quarantine.
///
/// # Errors
/// `READ_ONLY` where the disk refuses.
pub fn set_watches_aside(vfs: &dyn Vfs, dir: &Path, reason: &Error) -> Result<()> {
    quarantine(vfs, dir, &dir.join(WATCHES), reason.message()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, SimDisk};

    #[test]
    fn what_was_written_is_there_after_a_crash() {
        let (disk, dir) = (SimDisk::new(), Path::new("/"));
        assert_eq!(read_watches(&disk, dir).unwrap(), []);
        let watch = WatchRecord {
            series: "s".into(),
            labels: vec![("k".into(), "v".into())],
            window: 50,
            points_max: 1000,
            threshold: 0.5,
        };
        write_watches(&disk, dir, std::slice::from_ref(&watch)).unwrap();
        let after = disk.crash(Crash::KeepNothing, 0);
        assert_eq!(read_watches(&after, dir).unwrap(), [watch]);
        write_watches(&after, dir, &[]).unwrap();
        assert_eq!(read_watches(&after.crash(Crash::KeepNothing, 0), dir).unwrap(), []);
    }
}
