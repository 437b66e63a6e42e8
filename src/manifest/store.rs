//! Where a manifest is kept. The install is a compare-and-swap, so that another
//! store than a local file can take its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Error, ErrorCode, Result};
use crate::format::{FileHeader, FileKind, MANIFEST, decode_metadata, encode_metadata};
use crate::vfs::{Vfs, read_all, write_atomic};

use super::Manifest;

const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// Keeps one shard's manifest.
pub trait ManifestStore: Send + Sync {
    /// The manifest that is in force.
    fn load(&self) -> Result<Manifest>;

    /// Puts `next` in force if the one in force has the revision before it. When this
    /// returns, no crash brings the old one back. After an error either may be in
    /// force, which [`load`](Self::load) tells: the shard must not go on with the new one.
    fn install(&self, next: &Manifest) -> Result<()>;
}

/// A manifest in the file `MANIFEST` of the shard's directory.
pub struct FileManifestStore {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    shard: u32,
}

impl FileManifestStore {
    /// The store of the shard whose directory is `dir`.
    pub fn new(vfs: Arc<dyn Vfs>, dir: &Path, shard: u32) -> Self {
        Self { vfs, dir: dir.to_owned(), shard }
    }

    fn write(&self, manifest: &Manifest) -> Result<()> {
        let header = FileHeader::new(FileKind::Manifest, self.shard, manifest.revision, manifest.epoch);
        let bytes = encode_metadata(header, manifest)?;
        write_atomic(self.vfs.as_ref(), &self.dir, MANIFEST, &bytes).map_err(|e| {
            let path = self.dir.join(MANIFEST);
            Error::new(ErrorCode::ReadOnly, format!("{}: can't be replaced: {e}", path.display()))
        })
    }

    /// Writes the manifest of a new shard, in a generation of so many.
    pub fn create(&self, shards: u32, origin: u64) -> Result<()> {
        self.write(&Manifest::empty(shards, origin))
    }
}

impl ManifestStore for FileManifestStore {
    fn load(&self) -> Result<Manifest> {
        let path = self.dir.join(MANIFEST);
        let in_file = |e: Error| e.context(path.display());
        let bytes = read_all(self.vfs.as_ref(), &path, MANIFEST_BYTES_MAX)
            .map_err(|e| Error::unreadable(&e))
            .map_err(in_file)?;
        let (header, manifest) = decode_metadata::<Manifest>(&bytes, FileKind::Manifest).map_err(in_file)?;
        if header.shard != self.shard || header.id != manifest.revision {
            return Err(in_file(Error::corrupt(format!("is the manifest of shard {}", header.shard))));
        }
        manifest.check().map_err(in_file)?;
        Ok(manifest)
    }

    fn install(&self, next: &Manifest) -> Result<()> {
        let current = self.load()?;
        if current.revision + 1 != next.revision || current.epoch > next.epoch {
            return Err(Error::new(
                ErrorCode::ReadOnly,
                format!(
                    "{}: someone else replaced the manifest (revision {} of epoch {}, expected {})",
                    self.dir.join(MANIFEST).display(),
                    current.revision,
                    current.epoch,
                    next.revision.saturating_sub(1)
                ),
            ));
        }
        self.write(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Crash, SimDisk};

    #[test]
    fn an_install_needs_the_revision_before_it() {
        let disk = SimDisk::new();
        let store = FileManifestStore::new(Arc::new(disk.clone()), Path::new("/"), 3);
        assert!(store.load().is_err());
        store.create(5, 7).unwrap();
        let next = Manifest { revision: 1, flushed_seq: 9, ..store.load().unwrap() };
        store.install(&next).unwrap();
        assert!(store.install(&next).is_err(), "the same revision twice");
        let after = FileManifestStore::new(Arc::new(disk.crash(Crash::KeepNothing, 0)), Path::new("/"), 3);
        assert_eq!(after.load().unwrap(), next);
        let other = FileManifestStore::new(Arc::new(disk), Path::new("/"), 4);
        assert!(other.load().is_err(), "another shard's manifest");
    }
}
