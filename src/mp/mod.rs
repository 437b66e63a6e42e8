//! The matrix profile: for every window of a series, how far its nearest neighbour
//! is. Its highest points are discords (anomalies), its lowest pairs motifs.
//!
//! [`profile`] is exact: O(n²) time along the diagonals of the distance matrix, in
//! correlation space, O(n) memory, in parallel on the current rayon pool; its result
//! does not depend on the number of threads. The conventions are those of STUMPY:
//! z-normalised Euclidean distance, neighbours more than ⌈m/4⌉ points away, two
//! constant windows at distance 0, a constant and another one at √m. The four rules
//! that keep it accurate on hostile data (median subtraction, compensated means,
//! restarts, rescoring) are told in `kernel` and `score`.
//!
//! Sources: Yeh et al., "Matrix Profile I" (ICDM 2016); Zhu et al., "SCRIMP++" (ICDM
//! 2018) and Zimmerman et al., "SCAMP" (`SoCC` 2019) for the diagonal recurrence.

mod discord;
mod kernel;
mod motif;
pub mod oracle;
mod prepare;
mod profile;
mod score;

#[cfg(test)]
mod tests;

pub use discord::{Discord, discords};
pub use motif::{Motif, motifs};
pub use profile::{Profile, Selection, memory_bytes, profile};
