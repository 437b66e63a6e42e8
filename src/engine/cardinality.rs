//! How many series and label sets there are, and how many there may be.
//!
//! A label set costs memory in every index that knows it, for as long as a point may
//! carry it. So a write that would bring one too many is refused, before the log, and
//! those that are known go on taking points. What is known is kept as a 64-bit hash a
//! set, keyed anew in each process so that nobody can choose sets that share one.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{Error, ErrorCode, Labels, Result};
use crate::segments::BlockCache;

use super::catalog::Series;
use super::options::Options;

/// A hash set of what are hashes already.
#[derive(Debug, Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers of 64 bits are put into this set")
    }
}

/// The label sets that points of one series may carry. Takes no heap for points
/// without labels.
#[derive(Debug, Default)]
pub(super) struct LabelSets {
    has_unlabelled: bool,
    hashes: HashSet<u64, BuildHasherDefault<Unhashed>>,
}

impl LabelSets {
    fn len(&self) -> u64 {
        self.hashes.len() as u64 + u64::from(self.has_unlabelled)
    }

    /// Adds a set; false where it was there.
    fn insert(&mut self, set: Hashed) -> bool {
        match set {
            Hashed::Unlabelled => !std::mem::replace(&mut self.has_unlabelled, true),
            Hashed::Labelled(hash) => self.hashes.insert(hash),
        }
    }

    fn remove(&mut self, set: Hashed) -> bool {
        match set {
            Hashed::Unlabelled => std::mem::take(&mut self.has_unlabelled),
            Hashed::Labelled(hash) => self.hashes.remove(&hash),
        }
    }

    /// Heap bytes: a table has 8/7 of its capacity in slots of a hash and a byte.
    fn memory_bytes(&self) -> u64 {
        self.hashes.capacity() as u64 * 8 / 7 * 9
    }
}

/// A label set as [`LabelSets`] knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashed {
    Unlabelled,
    Labelled(u64),
}

/// About what a series takes of memory, with its name and its places in the catalog.
const SERIES_BYTES: u64 = size_of::<Series>() as u64 + 128;

/// What is counted of one generation.
pub(super) struct Cardinality {
    series_max: u64,
    label_sets_max: u64,
    label_sets_of_series_max: u64,
    series: AtomicU64,
    label_sets: AtomicU64,
    /// Bytes of series and hashes, which leave less for blocks.
    memory_bytes: AtomicU64,
    cache: Arc<BlockCache>,
    hasher: RandomState,
}

impl Cardinality {
    pub fn new(options: &Options, cache: Arc<BlockCache>) -> Self {
        Self {
            series_max: options.series_max,
            label_sets_max: options.label_sets_max,
            label_sets_of_series_max: options.label_sets_of_series_max,
            series: AtomicU64::new(0),
            label_sets: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            cache,
            hasher: RandomState::new(),
        }
    }

    pub fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    pub fn label_sets(&self) -> u64 {
        self.label_sets.load(Ordering::Relaxed)
    }

    /// Takes room for a series.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` naming the limit.
    pub fn take_series(&self) -> Result<()> {
        take(&self.series, 1, self.series_max).map_err(|max| {
            Error::new(
                ErrorCode::LimitExceeded,
                format!("there are {max} series, which is all that TSDB_MAX_SERIES={max} allows; drop some, or raise it"),
            )
        })?;
        self.resized(0, SERIES_BYTES);
        Ok(())
    }

    /// Counts a series that is there, whatever the limit.
    pub fn note_series(&self) {
        self.series.fetch_add(1, Ordering::Relaxed);
        self.resized(0, SERIES_BYTES);
    }

    /// Gives the room of a series back that did not come to be.
    pub fn give_back_series(&self) {
        self.series.fetch_sub(1, Ordering::Relaxed);
        self.resized(SERIES_BYTES, 0);
    }

    /// Gives the room of a series and its label sets back.
    pub fn forget(&self, series: &Series) {
        self.give_back_series();
        let known = std::mem::take(&mut *series.label_sets.lock());
        self.label_sets.fetch_sub(known.len(), Ordering::Relaxed);
        self.resized(known.memory_bytes(), 0);
    }

    fn hashed(&self, labels: &Labels) -> Hashed {
        if labels.is_empty() { Hashed::Unlabelled } else { Hashed::Labelled(self.hasher.hash_one(labels)) }
    }

    /// Takes room for those of an insert's label sets that are new to its series: all
    /// of it or none. An insert without any has the empty one. Returns what was new.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` naming the limit.
    pub fn take_label_sets(&self, series: &Series, label_sets: &[Labels]) -> Result<Vec<Hashed>> {
        let mut known = series.label_sets.lock();
        let new = self.insert(&mut known, label_sets);
        if new.is_empty() {
            return Ok(new);
        }
        let (name, after) = (&series.name, known.len());
        let taken = if after > self.label_sets_of_series_max {
            let max = self.label_sets_of_series_max;
            Err(format!(
                "series '{name}' would have {after} label sets, and TSDB_MAX_LABEL_SETS_PER_SERIES={max} is the limit; \
                 write with fewer different labels, or raise it"
            ))
        } else {
            take(&self.label_sets, new.len() as u64, self.label_sets_max).map_err(|max| {
                format!(
                    "{} new label sets for series '{name}' and the {} there are in all exceed \
                     TSDB_MAX_LABEL_SETS={max}; write with fewer different labels, drop series, or raise it",
                    new.len(),
                    self.label_sets()
                )
            })
        };
        taken.map_err(|message| {
            let before = known.memory_bytes();
            for &set in &new {
                known.remove(set);
            }
            let kept = known.hashes.len();
            known.hashes.shrink_to(2 * kept);
            self.resized(before, known.memory_bytes());
            Error::new(ErrorCode::LimitExceeded, message)
        })?;
        Ok(new)
    }

    /// Counts label sets that are there, whatever the limits.
    pub fn note_label_sets(&self, series: &Series, label_sets: &[Labels]) {
        let new = self.insert(&mut series.label_sets.lock(), label_sets);
        self.label_sets.fetch_add(new.len() as u64, Ordering::Relaxed);
    }

    /// Gives the room of label sets back.
    pub fn give_back_label_sets(&self, series: &Series, sets: &[Hashed]) {
        let mut known = series.label_sets.lock();
        let gone = sets.iter().filter(|&&set| known.remove(set)).count();
        self.label_sets.fetch_sub(gone as u64, Ordering::Relaxed);
    }

    /// Gives the room of a label set back that no point carries any more.
    pub fn forget_label_set(&self, series: &Series, labels: &Labels) {
        self.give_back_label_sets(series, &[self.hashed(labels)]);
    }

    fn insert(&self, known: &mut LabelSets, label_sets: &[Labels]) -> Vec<Hashed> {
        let before = known.memory_bytes();
        let mut new = Vec::new();
        if label_sets.is_empty() && known.insert(Hashed::Unlabelled) {
            new.push(Hashed::Unlabelled);
        }
        for labels in label_sets {
            let set = self.hashed(labels);
            if known.insert(set) {
                new.push(set);
            }
        }
        self.resized(before, known.memory_bytes());
        new
    }

    fn resized(&self, before: u64, after: u64) {
        if before != after {
            self.memory_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            self.cache.note_other_bytes(before as usize, after as usize);
        }
    }
}

impl Drop for Cardinality {
    fn drop(&mut self) {
        self.cache.note_other_bytes(*self.memory_bytes.get_mut() as usize, 0);
    }
}

/// Adds where the sum stays within `max`, which is the error otherwise.
fn take(counter: &AtomicU64, n: u64, max: u64) -> Result<(), u64> {
    let add = |now: u64| now.checked_add(n).filter(|&after| after <= max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SeriesName, ValueType};

    fn labels(n: usize) -> Labels {
        Labels::new([("n", n.to_string())]).unwrap()
    }

    fn series(name: &str) -> Series {
        Series::new(1, SeriesName::new(name).unwrap(), 1, ValueType::F64)
    }

    #[test]
    fn a_million_label_sets_take_twenty_bytes_each_and_give_them_back() {
        let cache = Arc::new(BlockCache::new(0));
        let cardinality = Cardinality::new(&Options::new("/"), cache.clone());
        let series = series("s");
        for start in (0..1_000_000).step_by(1000) {
            let sets: Vec<Labels> = (start..start + 1000).map(labels).collect();
            assert_eq!(cardinality.take_label_sets(&series, &sets).unwrap().len(), 1000);
            assert!(cardinality.take_label_sets(&series, &sets).unwrap().is_empty());
        }
        assert_eq!(cardinality.label_sets(), 1_000_000);
        assert!((8_000_000..20_000_000).contains(&cache.memory_bytes()), "{}", cache.memory_bytes());
        cardinality.note_series();
        cardinality.forget(&series);
        assert_eq!((cardinality.series(), cardinality.label_sets(), cache.memory_bytes()), (0, 0, 0));
        assert!(cardinality.take_label_sets(&series, &[]).is_ok());
        assert_eq!(cache.memory_bytes(), 0, "no labels, no heap");
        cardinality.take_label_sets(&series, &[labels(1)]).unwrap();
        drop(cardinality);
        assert_eq!(cache.memory_bytes(), 0);
    }

    #[test]
    fn threads_together_take_exactly_what_there_is() {
        let options = Options { label_sets_max: 1000, ..Options::new("/") };
        let cardinality = Cardinality::new(&options, Arc::new(BlockCache::new(0)));
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let cardinality = &cardinality;
                    scope.spawn(move || {
                        let series = series(&format!("s{thread}"));
                        (0..500)
                            .filter(|&n| cardinality.take_label_sets(&series, &[labels(n)]).is_ok())
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((taken, cardinality.label_sets()), (1000, 1000));
    }
}
