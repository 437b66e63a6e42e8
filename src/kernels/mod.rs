//! Arithmetic on slices: dot products (one of two in double precision, many at once in
//! single, or sliding), norms, rolling statistics, and the tiles of the matrix profile.
//!
//! Vector instructions are chosen at run time ([`Instructions`]); every path has a
//! portable twin that tests compare it with. This is the only place for `unsafe`; each
//! block says why it is sound. Nothing here knows what the numbers mean.

mod dot;
mod dots;
mod instructions;
mod rolling;
mod scale;
pub mod skew;
pub mod slide;
mod sliding;

pub use dot::{Mean, centred_dot, dot, norm, scaled_squared_distance, squared_distance};
pub use dots::{BYTE_LANES, GROUP, byte_dots, dots, dots_error_max, group_dots, interleave};
pub use instructions::Instructions;
pub use rolling::{RollingStats, constant_windows, mean_and_energy, rolling_stats};
pub use scale::power_of_two_scale;
pub use sliding::sliding_dots;
