//! Similarity: which stored points, or windows of points, have the direction of a
//! query.
//!
//! [`Search`] takes points block by block, in the order of time, scores each exactly
//! by cosine similarity, and keeps the best. A stored zero vector has similarity 0;
//! of equals the older comes first. Nothing here reads storage.

mod search;
mod top;

pub use search::{Match, Search};
pub use top::Top;
