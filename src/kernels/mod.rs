//! Arithmetic on slices: dot products, norms and rolling statistics.
//!
//! Everything is safe, scalar code that a compiler can vectorise; vector instructions
//! chosen at run time belong here when they come, with these functions as their
//! reference. Nothing here knows what the numbers mean.

mod dot;
mod rolling;
mod scale;

pub use dot::{dot, norm};
pub use rolling::{RollingStats, constant_windows, rolling_stats};
pub use scale::{center_and_scale, median, power_of_two_scale};
