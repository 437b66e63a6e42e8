//! Similarity: which stored points, or windows of points, have the direction of a
//! query.
//!
//! [`find_points`] multiplies the vectors of segments, which a [`VectorCache`] keeps in
//! single precision, and scores exactly what may be among the best. [`Search`] takes
//! points block by block, in the order of time, scores each exactly by cosine similarity,
//! and keeps the best; it is what the other must agree with, and finds windows. A stored
//! zero vector has similarity 0; of equals the older comes first.

mod block;
mod cache;
mod lists;
mod nearest;
mod points;
mod score;
mod search;
mod top;

pub use block::VectorBlock;
pub use cache::VectorCache;
pub use lists::{Lists, Reach};
pub use points::{PointMatches, PointQuery, find_points};
pub use score::Direction;
pub use search::{Match, Search};
pub use top::Top;
