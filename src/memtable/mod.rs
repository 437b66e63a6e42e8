//! What a shard holds in memory: the points since the last flush.
//!
//! An active [`Memtable`] takes records in log order; frozen ones wait for their
//! flush and never change. Points stand in columns in the order of arrival, in
//! chunks that are shared with readers as soon as they are full, so that a reader
//! pins a series by copying a few pointers and one short tail. Sorting happens where
//! it is needed: at flush, or in a reader that meets points out of order.

mod series;
mod table;

pub use series::{SeriesSnapshot, SortedRun};
pub use table::{Memtable, Tombstone};
