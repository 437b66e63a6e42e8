//! The write-ahead log of a shard: what makes an acknowledgement a promise.
//!
//! A log file is a header and frames; a frame is one group commit of one or more
//! [`Record`]s ([`LogWriter`]: one write, one sync). A log that was recovered is
//! never appended to again. [`read_log`] replays a log and tells a torn tail, which
//! a crash explains, from damage, which nothing explains (see `judge`).
//!
//! Nothing here decides when to commit, or keeps what it logs.

mod judge;
mod reader;
mod record;
mod writer;

pub use judge::{Ending, Judgement};
pub use reader::{LogItem, LogReader, Replay, read_log};
pub use record::{DeleteRecord, InsertRecord, Record};
pub use writer::LogWriter;

/// The salt of a log's frames: the CRC of its header, which no other file has.
pub(crate) fn frame_salt(header: &[u8]) -> u32 {
    crc32fast::hash(header) | 1
}
