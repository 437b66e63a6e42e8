//! TSDB Vector: a time-series database whose points are vectors, with similarity
//! search and Matrix Profile analytics inside.
//!
//! `ARCHITECTURE.md` tells the way of a write and of a read through the modules
//! below. A module imports only from those above it in this list.

pub mod base;
pub mod client;

pub mod compaction;
pub mod dump;
pub mod engine;
pub mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod kernels;
pub mod manifest;
pub mod memtable;
pub mod merge;
pub mod mp;
pub mod protocol;
pub mod query;
pub mod segments;
pub mod server;
pub mod vector;
pub mod vfs;
pub mod wal;
