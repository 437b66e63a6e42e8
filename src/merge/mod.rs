//! The one place that decides duplicates: a k-way merge of sorted runs in which the
//! newest point of an identity wins and tombstones hide what is older.
//!
//! A [`Run`] is the points of one label set in one source (a memtable or a segment).
//! [`Merger`] yields slices of columns, as long as no other run comes between, so
//! that points of one source in a stretch of time are copied, not compared. A
//! [`SeriesView`] pins all sources of a series at one instant.

mod merger;
mod run;
mod view;

pub use merger::{Hidden, MergeOrder, MergedSlice, Merger};
pub use run::{Part, Run};
pub use view::SeriesView;
