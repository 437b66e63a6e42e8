//! What every other module may use: errors by blame, limits with units, names
//! and labels, rows, memory, clocks and deadlines.
//!
//! `base` imports nothing of this crate, touches no file or socket, and starts no
//! thread; `sync` is where everything else gets its locks and threads from.

mod caught;
mod clock;
mod deadline;
mod dimensions;
mod error;
mod labels;
mod limits;
mod memory;
mod metric;
mod name;
mod points;
mod priority;
mod rng;
mod rows;
mod series;
pub mod sync;

pub use caught::caught;
pub use clock::{Clock, ManualClock, SystemClock};
pub use deadline::Deadline;
pub use dimensions::Dimensions;
pub use error::{Blame, Error, ErrorCode, Result};
pub use labels::{LabelFilter, Labels};
pub use limits::{
    BATCH_POINTS_MAX, DIMENSION_MAX, LABEL_BYTES_MAX, LABEL_PAIRS_MAX, LABEL_SETS_MAX_DEFAULT,
    LABEL_SETS_OF_SERIES_MAX_DEFAULT, NAME_BYTES_MAX, RESULT_POINTS_MAX_DEFAULT, SEQ_MAX, SERIES_MAX_DEFAULT,
    SHARDS_MAX,
};
pub use memory::{MemoryBudget, MemoryShares};
pub use metric::Metric;
pub use name::SeriesName;
pub use points::Points;
pub use priority::Background;
pub use rng::Rng;
pub use rows::Rows;
pub use series::{TimeRange, ValueType};
