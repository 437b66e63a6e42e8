//! Immutable sorted columnar files: where points live once they left memory.
//!
//! A segment holds blocks sorted by (series, label set, time), an index with zone
//! maps that stays in memory, tombstones, and a checksummed footer. [`SegmentWriter`]
//! writes a temp file, syncs it, reads all of it back, and only then gives it its
//! name, which carries the hash of its content. [`Segment`] reads blocks through a
//! [`BlockCache`]. Nothing is ever changed in place, and nothing here decides which
//! segments are live. A [`Sidecar`] beside a segment holds what can be made again from it.
//!
//! ```text
//! header (40)  blocks …  index (zstd)  footer (92)
//! ```

mod cache;
mod index;
mod reader;
mod sidecar;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use cache::BlockCache;
pub use index::{BlockEntry, FOOTER_BYTES, Footer, Index, SeriesEntry, StoredTombstone};
pub use reader::{Segment, open_unlisted};
pub use sidecar::Sidecar;
pub use verify::verify_segment;
pub use writer::{SegmentInfo, SegmentWriter};
