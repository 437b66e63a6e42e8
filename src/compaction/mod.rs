//! Keeps the number of segments small and drops what nobody can see.
//!
//! [`plan`] is pure: it looks at metadata and chooses. [`run_compaction`] merges the
//! chosen segments into a new one, which is verified before anything is installed.
//! [`copy_readable`] makes a segment of what a damaged one still has.
//! `docs/decisions/compaction.md` has the policy and what it costs.

mod planner;
mod runner;
mod salvage;

pub use planner::{CompactionOptions, plan};
pub use runner::{CompactionReport, CompactionTask, run_compaction, still_hides};
pub use salvage::{Unreadable, copy_readable, find_unreadable};
