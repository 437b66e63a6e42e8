//! What is watched, durably, and what has changed in a series since somebody looked.

use crate::base::{Error, LabelFilter, Labels, Result, SeriesName, TimeRange};
use crate::manifest::{WatchRecord, read_watches, set_watches_aside, write_watches};
use crate::merge::SeriesView;

use super::facade::{Engine, Scan};
use super::options::{Options, Recover};
use super::types::Query;
use crate::vfs::Vfs;

/// A profile that is kept up to date.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Of which series.
    pub series: SeriesName,
    /// Of which of its points.
    pub labels: LabelFilter,
    /// Points a window has.
    pub window: usize,
    /// Most points that are looked back at.
    pub points_max: usize,
    /// From which score, 0 to 1, on there is an alert.
    pub threshold: f64,
}

impl Watch {
    fn record(&self) -> WatchRecord {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        WatchRecord {
            series: self.series.as_str().to_owned(),
            labels: self.labels.pairs().iter().map(pair).collect(),
            window: self.window as u64,
            points_max: self.points_max as u64,
            threshold: self.threshold,
        }
    }

    fn from_record(record: &WatchRecord) -> Result<Self> {
        let (window, points_max) = (record.window as usize, record.points_max as usize);
        if window < 3 || points_max < window || !record.threshold.is_finite() {
            return Err(Error::corrupt(format!(
                "a watch with a window of {window} over {points_max} points"
            )));
        }
        Ok(Self {
            series: SeriesName::new(&record.series)?,
            labels: LabelFilter::new(Labels::new(record.labels.iter().map(|(key, value)| (key, value)))?),
            window,
            points_max,
            threshold: record.threshold,
        })
    }
}

/// Reads what is watched at the start.
pub(super) fn open(vfs: &dyn Vfs, options: &Options) -> Result<Vec<Watch>> {
    let dir = &options.data_dir;
    let read = read_watches(vfs, dir).and_then(|records| {
        let checked =
            |record: &WatchRecord| Watch::from_record(record).map_err(|e| Error::corrupt(e.message()));
        records.iter().map(checked).collect()
    });
    match read {
        Err(e) if options.recover == Recover::Degraded => {
            set_watches_aside(vfs, dir, &e)?;
            tracing::error!(reason = %e, "nothing is watched any more");
            Ok(Vec::new())
        }
        Err(e) => Err(Error::corrupt(format!(
            "{}; restore it from a backup, or start with --recover=degraded, which watches nothing then",
            e.message()
        ))),
        read => read,
    }
}

impl Engine {
    /// What is watched.
    pub fn watches(&self) -> Vec<Watch> {
        self.inner.watches.lock().clone()
    }

    /// Changes what is watched: `change` says what it answers, and whether there is
    /// something to be stored. It is durable when this returns.
    ///
    /// # Errors
    /// What `change` answers; `READ_ONLY` where the disk refuses.
    pub fn change_watches<T>(&self, change: impl FnOnce(&mut Vec<Watch>) -> Result<T>) -> Result<T> {
        let mut watches = self.inner.watches.lock();
        let mut next = watches.clone();
        let answer = change(&mut next)?;
        if next != *watches {
            let records: Vec<WatchRecord> = next.iter().map(Watch::record).collect();
            write_watches(self.vfs().as_ref(), self.data_dir(), &records)?;
            *watches = next;
        }
        Ok(answer)
    }

    /// What has changed in a series since the last call, and its points right after that.
    /// The first call says that everything has. One caller a series.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `CORRUPT_DATA`.
    pub fn changes(&self, series: &SeriesName) -> Result<Changes> {
        let shard = self.shard(series);
        // No record can be applied between the two looks.
        let state = shard.state.read();
        let found = state.catalog.get(series.as_str()).ok_or_else(|| shard.not_found(series))?;
        shard.check_losses(found.id, TimeRange::ALL)?;
        let from_ns = found.take_changed();
        let view = from_ns.map(|_| state.view(found));
        Ok(Changes { series: series.clone(), from_ns, view, bytes_max: self.query_bytes_max() })
    }
}

/// What [`Engine::changes`] found.
pub struct Changes {
    series: SeriesName,
    from_ns: Option<i64>,
    view: Option<SeriesView>,
    bytes_max: u64,
}

impl Changes {
    /// Nothing before this timestamp has changed; `None`: nothing at all.
    pub fn from_ns(&self) -> Option<i64> {
        self.from_ns
    }

    /// Points of a range, page by page; none where nothing has changed.
    pub fn scan(&self, range: TimeRange, labels: LabelFilter, limit: usize) -> Option<Scan> {
        let query = Query { series: self.series.clone(), range, labels, limit };
        self.view.clone().map(|view| Scan::of(view, query, self.bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::{Deadline, ErrorCode, ManualClock, Points, ValueType};
    use crate::engine::Write;
    use crate::vfs::{Crash, SimDisk};

    fn series() -> SeriesName {
        SeriesName::new("s").unwrap()
    }

    fn open_on(disk: &SimDisk, recover: Recover) -> Result<Engine> {
        let options = Options { shards: 1, background: false, recover, ..Options::new("/data") };
        Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options)
    }

    fn create(engine: &Engine) {
        let (name, dimension, value_type) = (series(), 1, ValueType::F64);
        engine.write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
    }

    fn insert(engine: &Engine, timestamp_ns: i64) {
        let points = Points::one(Some(timestamp_ns), vec![1.0], Labels::empty());
        engine.write(Write::Insert { series: series(), points }).unwrap();
    }

    fn watch() -> Watch {
        let labels = LabelFilter::new(Labels::new([("k", "v")]).unwrap());
        Watch { series: series(), labels, window: 5, points_max: 100, threshold: 0.25 }
    }

    #[test]
    fn what_changes_is_told_once_with_the_points_of_then() {
        let engine = open_on(&SimDisk::new(), Recover::Strict).unwrap();
        assert_eq!(engine.changes(&series()).err().unwrap().code(), ErrorCode::SeriesNotFound);
        create(&engine);
        insert(&engine, 7);
        let from = || engine.changes(&series()).unwrap().from_ns();
        assert_eq!((from(), from()), (Some(i64::MIN), None));
        insert(&engine, 20);
        insert(&engine, 9);
        let changes = engine.changes(&series()).unwrap();
        assert_eq!(changes.from_ns(), Some(9));
        insert(&engine, 3);
        let mut scan = changes.scan(TimeRange::ALL, LabelFilter::any(), 10).unwrap();
        assert_eq!(scan.next_page(&Deadline::none()).unwrap().unwrap().rows.timestamps_ns, [7, 9, 20]);
        assert_eq!(from(), Some(3));
        let range = TimeRange { start_ns: 5, end_ns: 8 };
        engine.write(Write::DeleteRange { series: series(), range, labels: LabelFilter::any() }).unwrap();
        assert_eq!((from(), from()), (Some(5), None));
        engine.flush().unwrap();
        assert_eq!(from(), None, "a flush changes no point");
        engine.write(Write::Drop { name: series() }).unwrap();
        create(&engine);
        assert_eq!(from(), Some(i64::MIN), "another series of the name");
    }

    #[test]
    fn what_is_watched_survives_and_damage_is_noticed() {
        let disk = SimDisk::new();
        let engine = open_on(&disk, Recover::Strict).unwrap();
        engine
            .change_watches(|watches| {
                watches.push(watch());
                Ok(())
            })
            .unwrap();
        let refused = engine.change_watches(|watches| {
            watches.clear();
            Err::<(), _>(Error::invalid("no"))
        });
        assert!(refused.is_err());
        assert_eq!(engine.watches(), [watch()]);
        drop(engine);
        let after = disk.crash(Crash::KeepNothing, 0);
        assert_eq!(open_on(&after, Recover::Strict).unwrap().watches(), [watch()]);
        let path = Path::new("/data/WATCHES");
        after.open_write(path).unwrap().write_all_at(b"x", 50).unwrap();
        let error = open_on(&after, Recover::Strict).err().unwrap();
        assert_eq!(error.code(), ErrorCode::CorruptData);
        assert!(error.message().contains("/data/WATCHES"), "{error}");
        assert_eq!(open_on(&after, Recover::Degraded).unwrap().watches(), []);
        assert!(after.metadata(Path::new("/data/quarantine/WATCHES")).unwrap().is_some());
    }
}
