//! The series of a shard.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::base::{Error, Result, SeriesName, ValueType};
use crate::manifest::SeriesRecord;
use crate::segments::Segment;

use super::cardinality::{Cardinality, LabelSets};

/// A series that exists.
#[derive(Debug)]
pub(super) struct Series {
    pub id: u64,
    pub name: SeriesName,
    pub dimension: u32,
    pub value_type: ValueType,
    /// The greatest timestamp that the server assigned; `i64::MIN` before the first.
    assigned_max_ns: AtomicI64,
    /// Grows with every change; changed only under the shard's state lock.
    version: AtomicU64,
    count: Mutex<Option<(u64, u64)>>,
    /// The least timestamp of a change since somebody looked; `i64::MIN` until then.
    changed_from_ns: AtomicI64,
    /// Only [`Cardinality`] touches them.
    pub(super) label_sets: Mutex<LabelSets>,
}

impl Series {
    pub fn new(id: u64, name: SeriesName, dimension: u32, value_type: ValueType) -> Self {
        Self {
            id,
            name,
            dimension,
            value_type,
            assigned_max_ns: AtomicI64::new(i64::MIN),
            version: AtomicU64::new(0),
            count: Mutex::new(None),
            changed_from_ns: AtomicI64::new(i64::MIN),
            label_sets: Mutex::default(),
        }
    }

    pub fn from_record(record: &SeriesRecord) -> Result<Self> {
        let (name, value_type) = record.checked()?;
        let series = Self::new(record.id, name, record.dimension, value_type);
        series.note_assigned(record.assigned_max_ns);
        Ok(series)
    }

    pub fn record(&self) -> SeriesRecord {
        SeriesRecord::new(self.id, &self.name, self.dimension, self.value_type, self.assigned_max())
    }

    pub fn assigned_max(&self) -> Option<i64> {
        Some(self.assigned_max_ns.load(Ordering::SeqCst)).filter(|&ns| ns != i64::MIN)
    }

    /// A timestamp for a point that came without: the clock's, moved past every one
    /// that was assigned before. Only the holder of the shard's log may call it.
    pub fn assign(&self, now_ns: i64) -> Result<i64> {
        let last = self.assigned_max_ns.load(Ordering::SeqCst);
        let next = match last {
            i64::MIN => now_ns.max(i64::MIN + 1),
            i64::MAX => {
                return Err(Error::invalid(format!(
                    "series '{}' has no timestamp left to assign; write with a timestamp of your own",
                    self.name
                )));
            }
            last => now_ns.max(last + 1),
        };
        self.assigned_max_ns.store(next, Ordering::SeqCst);
        Ok(next)
    }

    pub fn note_assigned(&self, assigned_max_ns: Option<i64>) {
        if let Some(ns) = assigned_max_ns {
            self.assigned_max_ns.fetch_max(ns, Ordering::SeqCst);
        }
    }

    /// Notes a change of points from `from_ns` on, which is asked for only where somebody
    /// has looked at the changes before.
    pub fn changed(&self, from_ns: impl FnOnce() -> i64) {
        self.version.fetch_add(1, Ordering::SeqCst);
        if self.changed_from_ns.load(Ordering::SeqCst) != i64::MIN {
            // The greatest stands for no change.
            self.changed_from_ns.fetch_min(from_ns().min(i64::MAX - 1), Ordering::SeqCst);
        }
    }

    /// The least timestamp that has changed since the last call. No change may be noted
    /// meanwhile.
    pub fn take_changed(&self) -> Option<i64> {
        let from_ns = self.changed_from_ns.swap(i64::MAX, Ordering::SeqCst);
        (from_ns != i64::MAX).then_some(from_ns)
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// The number of points at `version`, if it was counted.
    pub fn cached_count(&self, version: u64) -> Option<u64> {
        self.count.lock().filter(|cached| cached.0 == version).map(|cached| cached.1)
    }

    pub fn cache_count(&self, version: u64, count: u64) {
        *self.count.lock() = Some((version, count));
    }
}

/// The series of a shard, by name and by id. Whoever adds one has taken its room.
pub(super) struct Catalog {
    pub cardinality: Arc<Cardinality>,
    by_name: HashMap<SeriesName, Arc<Series>>,
    by_id: HashMap<u64, Arc<Series>>,
}

impl Catalog {
    pub fn new(cardinality: Arc<Cardinality>) -> Self {
        Self { cardinality, by_name: HashMap::new(), by_id: HashMap::new() }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Series>> {
        self.by_name.get(name)
    }

    pub fn by_id(&self, id: u64) -> Option<&Arc<Series>> {
        self.by_id.get(&id)
    }

    pub fn insert(&mut self, series: Arc<Series>) {
        self.by_id.insert(series.id, series.clone());
        self.by_name.insert(series.name.clone(), series);
    }

    pub fn remove(&mut self, id: u64) -> Option<Arc<Series>> {
        let series = self.by_id.remove(&id)?;
        self.by_name.remove(&series.name);
        self.cardinality.forget(&series);
        Some(series)
    }

    /// Whether points of this form may belong to a series: to this one, or to one that is
    /// gone.
    pub fn check_form(&self, id: u64, dimension: usize, value_type: ValueType) -> Result<()> {
        match self.by_id(id) {
            Some(series) if series.dimension as usize != dimension || series.value_type != value_type => {
                Err(Error::corrupt(format!(
                    "{value_type} points of dimension {dimension} for the series '{}', which has {} and {}",
                    series.name, series.value_type, series.dimension
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether a segment's points may belong to the series that are known.
    ///
    /// # Errors
    /// `CORRUPT_DATA` naming the file.
    pub fn check_segment(&self, segment: &Segment) -> Result<()> {
        let mut series = segment.index().series.iter();
        series
            .try_for_each(|entry| self.check_form(entry.series_id, entry.dimension, entry.value_type))
            .map_err(|e| e.context(segment.path().display()))
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.by_id.values()
    }

    /// For the manifest, ascending by id.
    pub fn records(&self) -> Vec<SeriesRecord> {
        let mut records: Vec<SeriesRecord> = self.by_id.values().map(|series| series.record()).collect();
        records.sort_unstable_by_key(|record| record.id);
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_timestamps_never_repeat_or_step_back() {
        let series = Series::new(1, SeriesName::new("s").unwrap(), 1, ValueType::F64);
        assert_eq!(series.assign(100).unwrap(), 100);
        assert_eq!(series.assign(100).unwrap(), 101);
        assert_eq!(series.assign(50).unwrap(), 102);
        assert_eq!(series.assign(1000).unwrap(), 1000);
        let back = Series::from_record(&series.record()).unwrap();
        assert_eq!(back.assign(0).unwrap(), 1001);
        back.note_assigned(Some(i64::MAX));
        assert!(back.assign(0).is_err());
    }
}
