//! What is live: which generation, which series, which segments, and how far the
//! log is flushed.
//!
//! Replacing a shard's manifest is the only commit point of flush and compaction;
//! switching `CURRENT` is the only one of a load. Both are a synced temp file, a
//! rename and a synced directory. Only this module deletes files of a database, and
//! nothing that can't be read: that goes to `quarantine/`.

mod directory;
mod obsolete;
mod quarantine;
mod record;
mod store;
mod watches;

pub use directory::{
    CurrentRecord, Database, DirectoryRecord, create_shard_dirs, refuse_newer, remove_generation,
    stale_generations,
};
pub use obsolete::ObsoleteFiles;
pub use quarantine::quarantine;
pub use record::{Loss, Manifest, SeriesRecord};
pub use store::{FileManifestStore, ManifestStore};
pub use watches::{WatchRecord, read_watches, set_watches_aside, write_watches};
