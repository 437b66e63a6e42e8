//! The engine as a whole, on the simulated disk: against an ordered map, through
//! crashes, restarts, and a clock that jumps.

mod cardinality;
mod concurrency;
mod crash;
mod damage;
mod fault;
mod index;
mod journal;
mod model;
mod panics;
mod salvage;
mod similar;
mod steps;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::{
    Deadline, Error, ErrorCode, LabelFilter, Labels, ManualClock, Points, Result, Rng, SeriesName, TimeRange,
    ValueType,
};
use crate::vfs::{Crash, SimDisk, Vfs, read_all};

/// Tells, when a test panics, which seed to run again.
struct SeedOfPanic(u64);

impl Drop for SeedOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with TSDB_TEST_SEED={}", self.0);
        }
    }
}

/// Runs work on all processors, in a pool of its own: engines of other tests share one, and
/// would wait there for the end of what is long.
fn on_all_processors<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().build().unwrap().install(work)
}

fn options() -> Options {
    Options {
        shards: 3,
        buffer_points: 60,
        background: false,
        committers: 1,
        journal_bytes: 700,
        compaction: crate::compaction::CompactionOptions { tier_bytes_min: 2000, ..Default::default() },
        ..Options::new("/data")
    }
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> Result<Engine> {
    Engine::open_with(Arc::new(disk.clone()), clock.clone(), options())
}

fn name(text: &str) -> SeriesName {
    SeriesName::new(text).unwrap()
}

fn create(engine: &Engine, series: &str, dimension: u32) -> Result<Written> {
    engine.write(Write::Create {
        name: name(series),
        dimension,
        value_type: ValueType::F64,
        if_not_exists: false,
    })
}

fn insert(
    engine: &Engine,
    series: &str,
    timestamp: Option<i64>,
    value: f64,
    labels: &Labels,
) -> Result<Written> {
    let points = Points::one(timestamp, vec![value], labels.clone());
    engine.write(Write::Insert { series: name(series), points })
}

fn set(text: &str) -> Labels {
    if text.is_empty() { Labels::empty() } else { Labels::new([("k", text)]).unwrap() }
}

type Content = BTreeMap<String, BTreeMap<(i64, Labels), f64>>;

fn content(engine: &Engine) -> Content {
    let mut content = Content::new();
    for summary in engine.list(&Deadline::none()).unwrap() {
        let query = Query {
            series: summary.name.clone(),
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
            limit: usize::MAX,
        };
        let rows = engine.query(&query, &Deadline::none()).unwrap().rows;
        let empty = Labels::empty();
        let points: BTreeMap<_, _> = (0..rows.len())
            .map(|row| {
                let labels = rows.labels_of(row).unwrap_or(&empty).clone();
                ((rows.timestamps_ns[row], labels), rows.values_of(row)[0])
            })
            .collect();
        assert_eq!(points.len(), rows.len(), "no identity comes twice");
        assert_eq!(points.len() as u64, summary.count, "count of {}", summary.name);
        assert!(rows.timestamps_ns.is_sorted());
        content.insert(summary.name.to_string(), points);
    }
    content
}

fn batch(engine: &Engine, start: i64, rows: i64) -> Result<()> {
    let points = Points {
        dimension: 1,
        timestamps_ns: (start..start + rows).collect(),
        values: (0..rows).map(|row| row as f64).collect(),
        ..Points::default()
    };
    engine.write(Write::Insert { series: name("s"), points }).map(drop)
}

/// What a crash takes from a database that acknowledges before the disk has it: the
/// last writes, and nothing from between.
#[test]
fn a_relaxed_durability_loses_only_the_last_writes() {
    let clock = Arc::new(ManualClock::new(5));
    let open = |disk: &SimDisk, durability, background| {
        let options = Options { durability, background, buffer_points: 1000, ..options() };
        Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
    };
    let kept = |disk: &SimDisk, crash, seed| {
        let engine = open(&disk.crash(crash, seed), Durability::None, false).unwrap();
        content(&engine)["s"].keys().map(|(timestamp, _)| *timestamp).collect::<Vec<_>>()
    };

    let disk = SimDisk::new();
    let engine = open(&disk, Durability::None, false).unwrap();
    create(&engine, "s", 1).unwrap();
    engine.flush().unwrap();
    (0..50).for_each(|at| batch(&engine, at, 1).unwrap());
    for seed in 0..20 {
        let kept = kept(&disk, Crash::KeepSome, seed);
        assert_eq!(kept, (0..kept.len() as i64).collect::<Vec<_>>(), "seed {seed}");
    }
    assert!(kept(&disk, Crash::KeepNothing, 0).is_empty());
    assert_eq!(kept(&disk, Crash::KeepAll, 0).len(), 50);
    engine.flush().unwrap();
    assert_eq!(kept(&disk, Crash::KeepNothing, 0).len(), 50);

    let disk = SimDisk::new();
    let interval = std::time::Duration::from_millis(2);
    let engine = open(&disk, Durability::Interval(interval), true).unwrap();
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 5).unwrap();
    let begun = std::time::Instant::now();
    let synced = || {
        let engine = open(&disk.crash(Crash::KeepNothing, 0), Durability::None, false).unwrap();
        content(&engine).get("s").is_some_and(|points| points.len() == 5)
    };
    while !synced() {
        assert!(begun.elapsed().as_secs() < 60, "no interval ends");
        std::thread::yield_now();
    }
}

#[test]
fn a_bad_snapshot_changes_nothing() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 50).unwrap();
    let before = content(&engine);
    for file in ["x.snap", "x.json"] {
        let report = engine.save(file, &Deadline::none()).unwrap();
        assert_eq!((report.series, report.points), (1, 50));
        let bytes = read_all(&disk, &report.path, 1 << 20).unwrap();
        assert_eq!(bytes.len() as u64, report.bytes);
        let step = (bytes.len() / 60).max(1);
        for cut in (0..bytes.len()).step_by(step) {
            let bad = disk.create(Path::new("/data/snapshots/bad")).unwrap();
            bad.write_all_at(&bytes[..cut], 0).unwrap();
            assert_eq!(engine.load("bad", &Deadline::none()).unwrap_err().code(), ErrorCode::CorruptData);
            disk.remove(Path::new("/data/snapshots/bad")).unwrap();
        }
        assert_eq!(content(&engine), before);
        engine.load(file, &Deadline::none()).unwrap();
        assert_eq!(content(&engine), before);
    }
    assert_eq!(engine.load("none", &Deadline::none()).unwrap_err().code(), ErrorCode::FileNotFound);
    assert_eq!(engine.load("../none", &Deadline::none()).unwrap_err().code(), ErrorCode::PathNotAllowed);
}

#[test]
fn what_a_killed_save_left_is_removed_and_takes_no_snapshots_name() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    engine.save("a.snap.tmp", &Deadline::none()).unwrap();
    for operations in 0.. {
        let disk = disk.kill();
        let engine = open(&disk, &clock).unwrap();
        disk.kill_at(disk.operations() + operations);
        let is_done = engine.save("a.snap", &Deadline::none()).is_ok();
        let left = disk.kill();
        let vfs: Arc<dyn Vfs> = Arc::new(left.clone());
        assert_eq!(verify(&vfs, Path::new("/data")).problems, Vec::<String>::new(), "operation {operations}");
        drop(open(&left, &clock).unwrap());
        let found = left.list(Path::new("/data/snapshots")).unwrap();
        let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
        assert!(matches!(names[..], ["a.snap", "a.snap.tmp"] | ["a.snap.tmp"]), "{operations}: {names:?}");
        if is_done {
            break;
        }
    }
}

#[test]
fn many_threads_write_read_flush_and_save_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let engine =
        Engine::open(Options { shards: 4, buffer_points: 500, ..Options::new(temp.path()) }).unwrap();
    create(&engine, "s", 1).unwrap();
    create(&engine, "t", 1).unwrap();
    let per_thread = 2000;
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let engine = &engine;
            scope.spawn(move || {
                let mut waiting = Vec::new();
                for at in 0..per_thread {
                    let series = if at % 2 == 0 { "s" } else { "t" };
                    let timestamp = at * 4 + thread;
                    let (sender, receiver) = std::sync::mpsc::channel();
                    let points = Points::one(Some(timestamp), vec![timestamp as f64], Labels::empty());
                    engine.submit(Write::Insert { series: name(series), points }, move |done| {
                        let _ = sender.send(done);
                    });
                    waiting.push(receiver);
                    if at % 20 == 0 || at + 1 == per_thread {
                        waiting.drain(..).for_each(|done| {
                            done.recv().unwrap().unwrap();
                        });
                    }
                }
            });
        }
        for round in 0..5 {
            engine.flush().unwrap();
            let report = engine.save(&format!("{round}.snap"), &Deadline::none()).unwrap();
            assert_eq!(report.series, 2);
            engine.totals(&Deadline::none()).unwrap();
        }
    });
    assert_eq!(content(&engine).values().map(BTreeMap::len).sum::<usize>(), 4 * per_thread as usize);
    let before = content(&engine);
    engine.save("all.snap", &Deadline::none()).unwrap();
    engine.close().unwrap();
    assert_eq!(insert(&engine, "s", Some(1), 1.0, &Labels::empty()).unwrap_err().code(), ErrorCode::ReadOnly);
    drop(engine);
    let engine = Engine::open(Options::new(temp.path())).unwrap();
    assert_eq!(content(&engine), before);
    engine.load("all.snap", &Deadline::none()).unwrap();
    assert_eq!(content(&engine), before);
    batch(&engine, 1 << 40, 10).unwrap();
}

#[test]
fn a_directory_is_opened_once() {
    let temp = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options { shards: 2, ..Options::new(temp.path()) }).unwrap();
    let error = Engine::open(Options::new(temp.path())).err().unwrap();
    assert!(
        error.message().contains(temp.path().to_str().unwrap()) && error.message().contains("LOCK"),
        "{error}"
    );
    drop(engine);
    let engine = Engine::open(Options::new(temp.path())).unwrap();
    assert_eq!(engine.shard_count(), 2, "the directory's own number of shards counts");
}
