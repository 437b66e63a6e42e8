//! The write-ahead log of a shard: what makes an acknowledgement a promise.
//!
//! A log file is a header and frames; a frame is one group commit of one or more
//! [`Record`]s ([`LogWriter`]: one write, one sync). A log that was recovered is
//! never appended to again. [`read_log`] replays a log and tells a torn tail, which
//! a crash explains, from damage, which nothing explains (see `judge`).
//!
//! Small frames of many logs may first be written together, to a [`JournalWriter`].
//!
//! Nothing here decides when to commit, or keeps what it logs.

use crate::format::HEADER_BYTES;

mod journal;
mod judge;
mod reader;
mod record;
mod writer;

pub use journal::{Journal, JournalEntry, JournalWriter, Patch, journal_files, read_journal};
pub use judge::{Ending, Judgement};
pub use reader::{LogItem, LogReader, Replay, read_log, read_log_with};
pub use record::{DeleteRecord, InsertRecord, Record};
pub use writer::LogWriter;

/// The salt of a log's frames: the CRC in its header, which tells shard, first number,
/// epoch and origin. (A CRC of the whole header would be the same for all, as of anything that ends
/// with its own.)
pub(crate) fn frame_salt(header: &[u8]) -> u32 {
    crc32fast::hash(header.get(..HEADER_BYTES - 4).unwrap_or_default()) | 1
}
