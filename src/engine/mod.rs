//! The facade over the shards: what an application that embeds the database, and
//! the server, call.
//!
//! Every write goes to the one shard that its series' name hashes to, waits there
//! with others for the next group commit, and completes once its log frame is on
//! disk. Every read pins an immutable view and blocks nobody.

mod api;

pub use api::{
    Counters, DimensionSummary, Durability, Engine, FlushReport, LoadReport, Options, Page, Query, Recover,
    SaveReport, SeriesFigures, SeriesSummary, Totals, Write, Written,
};
