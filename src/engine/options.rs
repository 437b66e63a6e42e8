//! How an engine runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::{
    Error, LABEL_SETS_MAX_DEFAULT, LABEL_SETS_OF_SERIES_MAX_DEFAULT, Result, SERIES_MAX_DEFAULT, SHARDS_MAX,
};
use crate::compaction::CompactionOptions;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is on disk.
    #[default]
    Always,
    /// Once it is handed to the operating system, which is told to write it out every
    /// so often: a power cut can take the last interval.
    Interval(Duration),
    /// Once it is handed to the operating system, which decides.
    None,
}

impl Durability {
    /// Reads `always`, `interval:<ms>` or `none`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid(format!("durability '{text}' is unknown; use always, interval:<ms> or none"));
        match text {
            "always" => Ok(Self::Always),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("interval:").map(str::parse::<u64>) {
                Some(Ok(ms)) if ms > 0 => Ok(Self::Interval(Duration::from_millis(ms))),
                _ => Err(wrong()),
            },
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(interval) => write!(f, "interval:{}", interval.as_millis()),
            Self::None => f.write_str("none"),
        }
    }
}

/// What happens where a file fails its checks at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recover {
    /// Refuse to open, naming file and offset.
    #[default]
    Strict,
    /// Move it to `quarantine/`, serve the rest, and answer `CORRUPT_DATA` where it
    /// may have had points.
    Degraded,
    /// The same, and from now on what is left is all there is: nothing is refused any
    /// more.
    AcceptLoss,
}

/// How an engine runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Where snapshots are; `<data_dir>/snapshots` where `None`.
    pub snapshot_dir: Option<PathBuf>,
    /// Number of shards, where the directory is new.
    pub shards: u32,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Points that a shard buffers before it flushes.
    pub buffer_points: usize,
    /// Bytes of memory for everything together, divided by
    /// [`MemoryShares`](crate::base::MemoryShares).
    pub memory_limit_bytes: u64,
    /// Bytes of the disk that are left to flushes and compactions: with fewer free,
    /// inserts are refused until there is space again.
    pub disk_reserve_bytes: u64,
    /// Most series; a snapshot with more is not loaded.
    pub series_max: u64,
    /// Most label sets of all series together. What is stored opens with any limit.
    pub label_sets_max: u64,
    /// Most label sets of one series.
    pub label_sets_of_series_max: u64,
    /// What happens where a file fails its checks.
    pub recover: Recover,
    /// When segments are merged.
    pub compaction: CompactionOptions,
    /// Rows of a series in a segment from which on its vectors get an index.
    pub index_rows_min: u64,
    /// Most bytes a second that compaction writes.
    pub compaction_bytes_per_second: u64,
    /// Threads that commit, each for as many shards as the others. What the shards of one
    /// have to write at a time needs one sync, where it is little.
    pub committers: usize,
    /// Bytes of a journal that the shards of one committer share, until the next is begun;
    /// fewer where memory is little.
    pub journal_bytes: u64,
    /// False: no threads. The caller of a write commits it, flushes what is full, and
    /// compaction runs when it is called for. For tests.
    pub background: bool,
}

impl Options {
    /// The defaults, for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            snapshot_dir: None,
            shards: 64,
            durability: Durability::Always,
            buffer_points: 100_000,
            memory_limit_bytes: 1 << 30,
            disk_reserve_bytes: 64 << 20,
            series_max: SERIES_MAX_DEFAULT,
            label_sets_max: LABEL_SETS_MAX_DEFAULT,
            label_sets_of_series_max: LABEL_SETS_OF_SERIES_MAX_DEFAULT,
            recover: Recover::Strict,
            compaction: CompactionOptions::default(),
            index_rows_min: 10_000,
            compaction_bytes_per_second: 64 << 20,
            committers: (std::thread::available_parallelism().map_or(1, usize::from) / 4).clamp(1, 8),
            journal_bytes: 8 << 20,
            background: true,
        }
    }

    /// Where SAVE and LOAD work.
    pub(super) fn snapshot_dir(&self) -> PathBuf {
        self.snapshot_dir.clone().unwrap_or_else(|| self.data_dir.join("snapshots"))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.shards == 0 || self.shards > SHARDS_MAX {
            return Err(Error::invalid(format!("{} shards; use 1 to {SHARDS_MAX}", self.shards)));
        }
        if self.buffer_points == 0 {
            return Err(Error::invalid("a buffer of 0 points; use at least 1"));
        }
        if self.memory_limit_bytes < 16 << 20 {
            return Err(Error::invalid(format!(
                "a memory limit of {} bytes; use at least 16 MiB",
                self.memory_limit_bytes
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_reads_its_three_forms() {
        assert_eq!(Durability::parse("always").unwrap(), Durability::Always);
        assert_eq!(Durability::parse("none").unwrap(), Durability::None);
        assert_eq!(
            Durability::parse("interval:20").unwrap(),
            Durability::Interval(Duration::from_millis(20))
        );
        for text in ["always", "none", "interval:20"] {
            assert_eq!(Durability::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "Always", "interval", "interval:", "interval:0", "interval:-1", "interval:x"] {
            assert!(Durability::parse(bad).is_err(), "{bad}");
        }
    }
}
