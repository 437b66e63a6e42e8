//! The fixed limits of the data model. What an operator may change lives in the
//! engine's and the server's options.

/// Longest series name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest label key and longest label value, in bytes each.
pub const LABEL_BYTES_MAX: usize = 1024;
/// Most labels on one point.
pub const LABEL_PAIRS_MAX: usize = 64;
/// Most values in one point.
pub const DIMENSION_MAX: u32 = 65_536;
/// Most points in one batch; bounds what one log record can hold.
pub const BATCH_POINTS_MAX: usize = 1 << 20;
/// Most shards of a database.
pub const SHARDS_MAX: u32 = 4096;
/// Greatest sequence number and id that a file is believed to begin with: what is counted on from there does not overflow.
pub const SEQ_MAX: u64 = u64::MAX >> 1;
/// Most points in one reply, where the request names no limit.
pub const RESULT_POINTS_MAX_DEFAULT: usize = 1_000_000;
/// Most series, where the operator sets no limit.
pub const SERIES_MAX_DEFAULT: u64 = 2_000_000;
/// Most label sets of all series together, where the operator sets no limit.
pub const LABEL_SETS_MAX_DEFAULT: u64 = 4_000_000;
/// Most label sets of one series, where the operator sets no limit.
pub const LABEL_SETS_OF_SERIES_MAX_DEFAULT: u64 = 1_000_000;
