//! The matrix profile: for every window of a series, how far its nearest neighbour
//! is. Its highest points are discords (anomalies), its lowest pairs motifs.
//!
//! A [`Computation`] is exact: O(n²) time along the diagonals of the distance matrix, in
//! correlation space, O(n) memory, in parallel on the current rayon pool; its result
//! does not depend on the number of threads. The conventions are those of STUMPY:
//! z-normalised Euclidean distance, neighbours more than ⌈m/4⌉ points away, two
//! constant windows at distance 0, a constant and another one at √m.
//!
//! The way of a search: `prepare` centres the series and computes what each window needs;
//! `grid` cuts the matrix of pairs into strips of 64 diagonals; `search` hands them out to
//! threads; `tile` walks down a strip with the recurrence of [`crate::kernels::skew`] and
//! starts anew where digits would be lost; `judge` takes what passes a threshold to `best`, which keeps what is near, and tells what is
//! nearly equal apart by exact distances; `constants` matches what has no shape; `score`
//! computes what is reported in two passes; `apart` takes the nearest of which no two are of one event. `many` is the tile for points of several
//! values. `period` and `length` choose a window where none is given. `upkeep` keeps a left profile
//! while points come. What is made of profiles: `discord`, `motif`, `segment`, `chain`, `mpdist`, and `snippets`
//! from the distances themselves, which `sweep` yields.
//!
//! Sources: Yeh et al., "Matrix Profile I" (ICDM 2016); Zhu et al., "SCRIMP++" (ICDM
//! 2018) and Zimmerman et al., "SCAMP" (`SoCC` 2019) for the diagonal recurrence.

mod apart;
mod best;
mod chain;
mod constants;
mod discord;
mod grid;
mod judge;
mod length;
mod many;
mod motif;
mod mpdist;
pub mod oracle;
mod period;
mod prepare;
mod profile;
mod score;
mod search;
mod segment;
mod selection;
mod snippets;
mod sweep;
mod tile;
mod upkeep;

#[cfg(test)]
mod tests;

pub use apart::{Near, nearest_apart};
pub use chain::{all_chains, longest_chains};
pub use discord::{Discord, discords, discords_of};
pub use length::{DISCORDS, Tried, lengths, most_outstanding, standout};
pub use motif::{Motif, Radius, motifs, motifs_of};
pub use mpdist::{MPDIST_PART, mpdist_of};
pub use period::{Stretches, likely_window, likely_window_max};
pub use profile::{Computation, Outcome, Profile, Sides, memory_bytes, profile};
pub use search::Progress;
pub use segment::{Change, changes_of, corrected_arc_curve};
pub use selection::{Selection, default_gap, stretches, windows_without_gaps};
pub use snippets::{Snippet, Snippets, SnippetsFound};
pub use upkeep::{Nearest, Upkeep};
