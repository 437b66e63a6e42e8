//! The facade over the shards: what an application that embeds the database, and
//! the server, call.
//!
//! Every write goes to the one shard that its series' name hashes to, waits there
//! with others for the next group commit, and completes once its log frame is on
//! disk. Every read pins an immutable view and blocks nobody.
//!
//! | file | its part |
//! | --- | --- |
//! | `facade` | [`Engine`]: finds the shard, adds up over all of them |
//! | `shard`, `catalog` | one shard's state and the views of it |
//! | `commit`, `group` | group commit; shards that share a thread and a journal |
//! | `logs` | the log of a shard: begun, written, and ended where its memtable is frozen |
//! | `flush` | from memtable to segment; compaction |
//! | `journals`, `recovery` | from disk to a running shard |
//! | `vectors`, `indexing` | searches for similar points, and indexes beside segments |
//! | `generation`, `background` | all shards of one generation, and their threads |
//! | `snapshot_file`, `save`, `load` | one file that holds everything |
//! | `watches` | what is watched, and what changed meanwhile |
//! | `verify` | the offline check |

mod background;
mod cardinality;
mod catalog;
mod commit;
mod facade;
mod flush;
mod generation;
mod group;
mod indexing;
mod journals;
mod load;
mod logs;
mod options;
mod recovery;
mod save;
mod shard;
mod snapshot_file;
mod snapshot_path;
mod types;
mod vectors;
mod verify;
mod watches;

#[cfg(test)]
mod tests;

pub use facade::{Engine, Scan};
pub use options::{Durability, Options, Recover};
pub use types::{
    Counters, Estimate, FlushReport, LoadReport, Query, SaveReport, SeriesStamp, SeriesSummary, Totals,
    Write, Written,
};

pub use vectors::{InPool, PointMatches, PointQuery};
pub use verify::{Verification, verify};
pub use watches::{Changes, Watch};

pub use crate::query::{DimensionSummary, Extent, Page, SeriesFigures};
