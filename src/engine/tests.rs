//! The engine as a whole, on the simulated disk: against an ordered map, through
//! crashes, restarts, and a clock that jumps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::{
    Deadline, ErrorCode, LabelFilter, Labels, ManualClock, Points, Result, Rng, SeriesName, TimeRange,
    ValueType,
};
use crate::vfs::{Crash, SimDisk, Vfs, read_all};

fn options() -> Options {
    Options {
        shards: 3,
        buffer_points: 60,
        background: false,
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

/// Random operations against an ordered map, with flushes, compactions, restarts,
/// saves, loads and clock jumps between.
#[test]
fn it_agrees_with_an_ordered_map() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let mut engine = open(&disk, &clock).unwrap();
        let mut model = Content::new();
        let mut saved: Option<Content> = None;
        let mut assigned: BTreeMap<String, i64> = BTreeMap::new();
        for step in 0..1500 {
            let series = ["a", "b", "c", "d"][rng.below(4) as usize].to_owned();
            let labels = set(["", "x", "y"][rng.below(3) as usize]);
            let timestamp = rng.below(500) as i64;
            match rng.below(100) {
                0..4 => {
                    let created = create(&engine, &series, 1).is_ok();
                    assert_eq!(created, !model.contains_key(&series), "step {step}");
                    if created {
                        assigned.remove(&series);
                        model.insert(series, BTreeMap::new());
                    }
                }
                4..60 => {
                    let value = rng.unit_f64();
                    let done = insert(&engine, &series, Some(timestamp), value, &labels);
                    match model.get_mut(&series) {
                        Some(points) => {
                            done.unwrap();
                            points.insert((timestamp, labels), value);
                        }
                        None => assert_eq!(done.unwrap_err().code(), ErrorCode::SeriesNotFound),
                    }
                }
                60..66 => {
                    clock.set(1_000_000 + rng.below(3000) as i64);
                    let Some(points) = model.get_mut(&series) else { continue };
                    let Ok(Written::Inserted { first_ns, .. }) = insert(&engine, &series, None, 1.0, &labels)
                    else {
                        panic!("an insert failed")
                    };
                    let last = assigned.insert(series, first_ns);
                    assert!(last.is_none_or(|last| first_ns > last), "assigned {first_ns} after {last:?}");
                    points.insert((first_ns, labels), 1.0);
                }
                66..74 => {
                    let Some(points) = model.get_mut(&series) else { continue };
                    let mut batch = Points { dimension: 1, ..Points::default() };
                    batch.label_sets = vec![set(""), set("x"), set("y")];
                    for _ in 0..=rng.below(40) {
                        let (t, id, value) = (rng.below(500) as i64, rng.below(3) as u32, rng.unit_f64());
                        batch.timestamps_ns.push(t);
                        batch.label_ids.push(id);
                        batch.values.push(value);
                        points.insert((t, batch.label_sets[id as usize].clone()), value);
                    }
                    engine.write(Write::Insert { series: name(&series), points: batch }).unwrap();
                }
                74..80 => {
                    let Some(points) = model.get_mut(&series) else { continue };
                    let range = TimeRange::new(timestamp, timestamp + rng.below(80) as i64).unwrap();
                    let filter = LabelFilter::new(labels);
                    let before = points.len();
                    points.retain(|(t, l), _| !(range.contains(*t) && filter.matches(l)));
                    let write = Write::DeleteRange { series: name(&series), range, labels: filter };
                    let deleted = (before - points.len()) as u64;
                    assert_eq!(engine.write(write).unwrap(), Written::Deleted { deleted }, "step {step}");
                }
                80 => {
                    let done = engine.write(Write::Drop { name: name(&series) });
                    assert_eq!(done.is_ok(), model.remove(&series).is_some());
                }
                81..85 => drop(engine.flush().unwrap()),
                85..88 => drop(engine.compact().unwrap()),
                88 => {
                    engine.save("s.snap", &Deadline::none()).unwrap();
                    saved = Some(model.clone());
                }
                89 => {
                    engine.save("s.json", &Deadline::none()).unwrap();
                    engine.load("s.json", &Deadline::none()).unwrap();
                    assigned.clear();
                }
                90 if rng.one_in(3) => {
                    if let Some(saved) = &saved {
                        engine.load("s.snap", &Deadline::none()).unwrap();
                        model = saved.clone();
                        assigned.clear();
                    }
                }
                91..93 => {
                    drop(engine);
                    engine = open(&disk, &clock).unwrap();
                }
                93 => {
                    drop(engine);
                    disk = disk.crash(Crash::KeepSome, rng.next_u64());
                    engine = open(&disk, &clock).unwrap();
                }
                _ => {
                    let Some(points) = model.get(&series) else { continue };
                    let range = TimeRange::new(timestamp, timestamp + rng.below(100) as i64).unwrap();
                    let filter = LabelFilter::new(labels);
                    let limit = 1 + rng.below(30) as usize;
                    let mut expected: Vec<(i64, f64)> = points
                        .iter()
                        .filter(|((t, l), _)| range.contains(*t) && filter.matches(l))
                        .map(|((t, _), value)| (*t, *value))
                        .collect();
                    let mut next = Some(range.start_ns);
                    while let Some(start_ns) = next {
                        let range = TimeRange { start_ns, ..range };
                        let labels = filter.clone();
                        let query = Query { series: name(&series), range, labels, limit };
                        let page = engine.query(&query, &Deadline::none()).unwrap();
                        let n = page.rows.len();
                        assert!(page.next_start_ns.is_none() || n >= limit);
                        let rest = expected.split_off(n);
                        let found: Vec<_> =
                            page.rows.timestamps_ns.iter().copied().zip(page.rows.values.clone()).collect();
                        assert_eq!(found, expected, "step {step}");
                        expected = rest;
                        next = page.next_start_ns;
                        assert_eq!(next, expected.first().map(|first| first.0));
                    }
                }
            }
            if step % 50 == 0 {
                assert_eq!(content(&engine), model, "step {step}");
            }
        }
        assert_eq!(content(&engine), model);
    }
}

/// Runs a scenario on a disk that fails from some operation on, crashes it, and looks
/// that every acknowledged step is there, and the next one wholly or not at all.
fn crash_everywhere(scenario: &[fn(&Engine) -> Result<()>]) {
    for operation in 0.. {
        let disk = SimDisk::new();
        let clock = Arc::new(ManualClock::new(5));
        drop(open(&disk, &clock).unwrap());
        disk.fail_from(disk.operations() + operation);
        let mut acknowledged = 0;
        if let Ok(engine) = open(&disk, &clock) {
            for step in scenario {
                if step(&engine).is_err() {
                    break;
                }
                acknowledged += 1;
            }
        }
        let expected = |steps: usize| {
            let fresh = SimDisk::new();
            let engine = open(&fresh, &clock).unwrap();
            scenario[..steps].iter().for_each(|step| step(&engine).unwrap());
            content(&engine)
        };
        let (at_least, at_most) = (expected(acknowledged), expected((acknowledged + 1).min(scenario.len())));
        for seed in 0..6 {
            let crash = [Crash::KeepNothing, Crash::KeepAll, Crash::TearLast][..].get(seed as usize);
            let after = disk.crash(crash.copied().unwrap_or(Crash::KeepSome), seed);
            for opening in 0..2 {
                let engine = open(&after, &clock).unwrap_or_else(|e| {
                    panic!("operation {operation}, crash {seed}, opening {opening}: {e}")
                });
                let found = content(&engine);
                assert!(
                    found == at_least || found == at_most,
                    "operation {operation}, crash {seed}, opening {opening}: {found:?} is neither {at_least:?} nor \
                     {at_most:?}"
                );
            }
            // The shard that was hit takes writes again, and keeps them.
            let engine = open(&after, &clock).unwrap();
            let written = if content(&engine).contains_key("s") {
                batch(&engine, 1 << 40, 1)
            } else {
                create(&engine, "s", 1).map(drop)
            };
            assert_eq!(written, Ok(()), "operation {operation}, crash {seed}");
            let found = content(&engine);
            drop(engine);
            assert_eq!(content(&open(&after, &clock).unwrap()), found, "operation {operation}, crash {seed}");
        }
        if acknowledged == scenario.len() {
            assert!(operation > 20, "the disk was used");
            return;
        }
    }
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

fn delete(engine: &Engine, start_ns: i64, end_ns: i64) -> Result<()> {
    let range = TimeRange { start_ns, end_ns };
    engine.write(Write::DeleteRange { series: name("s"), range, labels: LabelFilter::any() }).map(drop)
}

#[test]
fn nothing_acknowledged_is_lost_by_a_crash_between_insert_flush_and_compaction() {
    crash_everywhere(&[
        |engine| create(engine, "s", 1).map(drop),
        |engine| batch(engine, 0, 30),
        |engine| batch(engine, 20, 50),
        |engine| delete(engine, 10, 40),
        |engine| engine.flush().map(drop),
        |engine| batch(engine, 35, 70),
        |engine| batch(engine, 200, 70),
        |engine| engine.flush().map(drop),
        |engine| batch(engine, 0, 70),
        |engine| engine.compact().map(drop),
        |engine| insert(engine, "s", None, 1.0, &Labels::empty()).map(drop),
        |engine| engine.write(Write::Drop { name: name("s") }).map(drop),
        |engine| create(engine, "s", 1).map(drop),
        |engine| batch(engine, 7, 3),
    ]);
}

#[test]
fn a_load_is_all_or_nothing_at_every_crash() {
    crash_everywhere(&[
        |engine| create(engine, "s", 1).map(drop),
        |engine| batch(engine, 0, 30),
        |engine| engine.save("one", &Deadline::none()).map(drop),
        |engine| batch(engine, 100, 5),
        |engine| engine.load("one", &Deadline::none()).map(drop),
        |engine| batch(engine, 200, 5),
    ]);
}

#[test]
fn a_failed_sync_turns_the_shard_read_only_and_reads_go_on() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 5).unwrap();
    disk.fail_once(disk.operations() + 1);
    assert_eq!(batch(&engine, 10, 5).unwrap_err().code(), ErrorCode::ReadOnly);
    assert_eq!(batch(&engine, 20, 5).unwrap_err().code(), ErrorCode::ReadOnly, "it is never tried again");
    assert_eq!(content(&engine)["s"].len(), 5);
    assert!(engine.write_trouble().unwrap().contains("simulated failure"));
    drop(engine);
    let engine = open(&disk.crash(Crash::KeepNothing, 0), &clock).unwrap();
    assert_eq!(content(&engine)["s"].len(), 5);
    batch(&engine, 10, 5).unwrap();
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
fn damage_is_refused_or_served_around() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    let other = ["a", "b", "c", "d"]
        .into_iter()
        .find(|other| crate::format::shard_of(other, 3) != crate::format::shard_of("s", 3));
    let other = other.expect("four names do not all share one of three shards");
    create(&engine, other, 1).unwrap();
    insert(&engine, other, Some(1), 2.0, &Labels::empty()).unwrap();
    batch(&engine, 0, 50).unwrap();
    engine.flush().unwrap();
    batch(&engine, 1000, 50).unwrap();
    let shard = crate::format::shard_of("s", 3);
    drop(engine);
    let dir = Path::new("/data/gen-0000000001").join(crate::format::shard_name(shard));
    let segment = disk.list(&dir).unwrap().into_iter().find(|entry| entry.name.ends_with(".seg")).unwrap();
    let path = dir.join(&segment.name);
    let file = disk.open_write(&path).unwrap();
    file.write_all_at(&[0xee], segment.metadata.len - 5).unwrap();
    let error = open(&disk, &clock).err().unwrap();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert!(error.message().contains(&segment.name), "{error}");

    let degraded = Options { recover: Recover::Degraded, ..options() };
    for _ in 0..2 {
        let engine = Engine::open_with(Arc::new(disk.clone()), clock.clone(), degraded.clone()).unwrap();
        let query = |series: &str, range| {
            let query = Query { series: name(series), range, labels: LabelFilter::any(), limit: usize::MAX };
            engine.query(&query, &Deadline::none()).map(|page| page.rows.len())
        };
        assert_eq!(query(other, TimeRange::ALL).unwrap(), 1);
        assert_eq!(query("s", TimeRange::ALL).unwrap_err().code(), ErrorCode::CorruptData);
        assert_eq!(query("s", TimeRange::new(500, 5000).unwrap()).unwrap(), 50, "the time that is whole");
        assert_eq!(engine.counters().damaged_files, 1);
    }
    let quarantined = disk.list(Path::new("/data/quarantine")).unwrap();
    assert_eq!(quarantined.len(), 2, "the file and its reason: {quarantined:?}");
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
