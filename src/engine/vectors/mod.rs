//! Searches for similar points on a pinned view: which vectors are in memory, which rows
//! are candidates, and which of these readers see.
//!
//! [`VectorCache`] reads the vectors of immutable segments; [`find_points`] multiplies
//! them, looks candidates up in the merged view and scores them exactly. The arithmetic is
//! [`crate::vector`]'s.

mod cache;
mod points;

pub(super) use cache::{VectorCache, estimate_bytes, read_vectors};
pub(super) use points::find_points;
pub use points::{InPool, PointMatches, PointQuery};
