//! Bytes in, [`Command`] out; [`Reply`] in, bytes out.
//!
//! Three dialects share one vocabulary: the text lines that a person types, JSON
//! lines, and HTTP (whose body is one JSON request). Nothing here opens a socket
//! or knows the engine: a server feeds bytes and gets commands, a client feeds
//! replies and gets bytes.

mod command;
mod reply;

pub use command::{Command, ExportFormat, TimeSelection};
pub use reply::{
    AnomalyRow, CommandHelp, DatabaseStats, DimensionStats, MatchRow, MotifRow, Reply, SeriesInfo,
    SeriesStats, WindowRef,
};
