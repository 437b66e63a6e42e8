//! Similarity: which stored points, or windows of points, have the direction of a
//! query.
//!
//! A [`VectorBlock`] holds vectors in single precision, ready to be multiplied, in the
//! order of inverted [`Lists`] where these spare work; most of these need not be looked at.
//! [`Nearest`] keeps the candidates that rounding leaves. [`Target`] scores exactly. [`Search`] takes points block by block, in
//! the order of time, scores each, or bounds all windows and scores the best, and keeps the
//! best; of equals the older comes first. Nothing here reads storage: see
//! [`engine`](crate::engine).

mod block;
mod cells;
mod cones;
mod lists;
mod nearest;
mod pass;
mod residuals;
mod score;
mod search;
mod top;
mod windows;

pub use block::VectorBlock;
pub use lists::{Lists, Reach};
pub use nearest::Nearest;
pub use pass::{Ahead, Course, Queries};
pub use score::Target;
pub use search::{Match, Search};
pub use top::Top;
