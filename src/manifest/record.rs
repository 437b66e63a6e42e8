//! The content of a manifest.

use std::path::Path;

use bincode::{Decode, Encode};

use crate::base::{DIMENSION_MAX, Error, Result, SEQ_MAX, SeriesName, TimeRange, ValueType};
use crate::segments::SegmentInfo;

/// A series in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SeriesRecord {
    /// Its id, never used before in this shard.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Values a point has.
    pub dimension: u32,
    /// 0 for f64, 1 for f32.
    pub value_type: u8,
    /// The greatest timestamp that the server assigned to a point of it.
    pub assigned_max_ns: Option<i64>,
}

impl SeriesRecord {
    /// Describes a series.
    pub fn new(
        id: u64,
        name: &SeriesName,
        dimension: u32,
        value_type: ValueType,
        assigned_max_ns: Option<i64>,
    ) -> Self {
        let value_type = match value_type {
            ValueType::F64 => 0,
            ValueType::F32 => 1,
        };
        Self { id, name: name.as_str().to_owned(), dimension, value_type, assigned_max_ns }
    }

    /// Its name and type, checked.
    pub fn checked(&self) -> Result<(SeriesName, ValueType)> {
        let value_type = match self.value_type {
            0 => ValueType::F64,
            1 => ValueType::F32,
            other => {
                return Err(Error::corrupt(format!(
                    "series '{}' with unknown value type {other}",
                    self.name
                )));
            }
        };
        if self.dimension == 0 || self.dimension > DIMENSION_MAX {
            return Err(Error::corrupt(format!("series '{}' of dimension {}", self.name, self.dimension)));
        }
        let name = SeriesName::new(&self.name).map_err(|e| Error::corrupt(e.message()))?;
        Ok((name, value_type))
    }
}

/// A file that was lost to damage and is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Loss {
    /// Its path when it was found.
    pub file: String,
    /// What was wrong with it.
    pub reason: String,
    /// Oldest point that it may have held.
    pub start_ns: i64,
    /// Newest point that it may have held.
    pub end_ns: i64,
    /// It may have held points of series with an id below this.
    pub series_below: u64,
}

impl Loss {
    /// The time in which points may be missing.
    pub fn range(&self) -> TimeRange {
        TimeRange { start_ns: self.start_ns, end_ns: self.end_ns }
    }

    /// Whether this is the name of the file, wherever the data directory was then.
    pub fn is_of(&self, file_name: &str) -> bool {
        Path::new(&self.file).file_name().is_some_and(|name| name == file_name)
    }
}

/// What is live in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Manifest {
    /// Grows by one with every install.
    pub revision: u64,
    /// Who owns the shard; grows with every change of owner.
    pub epoch: u32,
    /// Shards of the database that it belongs to.
    pub shards: u32,
    /// The number that the generation drew by lot.
    pub origin: u64,
    /// Every record up to this number is in `segments`.
    pub flushed_seq: u64,
    /// Every record below this number was on disk when this was written: where one is
    /// missing, a log was damaged.
    pub durable_seq: u64,
    /// The first record of the newest log that was begun, until all its records are in
    /// `segments`: where it is missing, it was lost.
    pub newest_log: Option<u64>,
    /// The next segment gets this id or a greater one.
    pub next_segment_id: u64,
    /// The next series gets this id or a greater one.
    pub next_series_id: u64,
    /// The series that exist, ascending by id.
    pub series: Vec<SeriesRecord>,
    /// The segments that are live.
    pub segments: Vec<SegmentInfo>,
    /// What was lost to damage.
    pub losses: Vec<Loss>,
}

impl Manifest {
    /// The manifest of a new shard, in a generation of so many.
    pub fn empty(shards: u32, origin: u64) -> Self {
        Self { epoch: 1, shards, origin, next_segment_id: 1, next_series_id: 1, ..Self::default() }
    }

    /// Checks what a checksum does not tell: that one can count on from its numbers, and
    /// that its series can be.
    ///
    /// # Errors
    /// `CORRUPT_DATA`.
    pub fn check(&self) -> Result<()> {
        let ids = self.series.iter().map(|series| series.id).chain(self.segments.iter().map(|s| s.id));
        let numbers =
            [self.revision, self.flushed_seq, self.durable_seq, self.next_segment_id, self.next_series_id];
        let numbers = numbers.into_iter().chain(self.newest_log);
        if let Some(number) = ids.chain(numbers).find(|&number| number > SEQ_MAX) {
            return Err(Error::corrupt(format!("a number of {number} in a manifest")));
        }
        self.series.iter().try_for_each(|series| series.checked().map(drop))
    }
}
