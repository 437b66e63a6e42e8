//! The engine with its threads, on the simulated disk: what several callers may rely
//! on while memtables are flushed and segments merged beneath them.
//!
//! The same scenarios run twice. In an ordinary run on the machine's threads, a few
//! times each. Under `--cfg shuttle` on the threads of a model checker, which decides
//! at every lock, channel and operation of the disk who goes on: half of the schedules
//! at random, half by priorities that change at a few points (PCT).

use super::*;
use crate::base::sync::atomic::{AtomicI64, Ordering};
use crate::base::sync::{Mutex, thread};
use crate::engine::shard::Shard;
use crate::query::PageReader;
use crate::wal::{Record, read_log};

/// Runs a scenario under many schedules; it is told the number of the run.
///
/// `TSDB_TEST_SCHEDULES` says how many, `TSDB_TEST_SEED` which seed alone.
#[cfg(shuttle)]
fn explore(name: &str, scenario: fn(u64)) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, FailurePersistence, Runner};

    // PCT learns from the runs before how long one is, so a seed stands for several.
    const RUNS: usize = 50;
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seeds = match number("TSDB_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TSDB_TEST_SCHEDULES").unwrap_or(500).div_ceil(RUNS as u64),
    };
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    // Thousands of decisions; the seed makes them again.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let mut runs = 0;
    for seed in seeds {
        let _said = SeedOfPanic(seed);
        let run = std::sync::atomic::AtomicU64::new(0);
        let scenario = move || scenario(run.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        runs += if seed % 2 == 0 {
            Runner::new(RandomScheduler::new_from_seed(seed, RUNS), config.clone()).run(scenario)
        } else {
            Runner::new(PctScheduler::new_from_seed(seed, 4, RUNS), config.clone()).run(scenario)
        };
    }
    println!("{name}: {runs} schedules");
}

/// Runs a scenario a few times on real threads.
#[cfg(not(shuttle))]
fn explore(_: &str, scenario: fn(u64)) {
    (0..20).for_each(scenario);
}

/// One shard with its threads; every few points are a memtable, every two segments are
/// merged.
fn options(buffer_points: usize) -> Options {
    let compaction = crate::compaction::CompactionOptions { fanout: 2, ..Default::default() };
    Options {
        shards: 1,
        buffer_points,
        background: true,
        compaction,
        compaction_bytes_per_second: u64::MAX,
        ..Options::new("/data")
    }
}

fn open(disk: &SimDisk, options: Options) -> Engine {
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap()
}

/// What a crash would leave, read by an engine without threads.
fn content_after(disk: &SimDisk, crash: Crash) -> Content {
    content(&open(&disk.crash(crash, 0), Options { background: false, ..options(1000) }))
}

fn put(engine: &Engine, at: i64, value: i64) -> Result<Written> {
    insert(engine, "s", Some(at), value as f64, &Labels::empty())
}

fn delete(engine: &Engine, start_ns: i64, end_ns: i64) -> Result<Written> {
    let range = TimeRange { start_ns, end_ns };
    engine.write(Write::DeleteRange { series: name("s"), range, labels: LabelFilter::any() })
}

/// Timestamps and values of what is there.
fn rows(engine: &Engine) -> Vec<(i64, i64)> {
    let (range, labels) = (TimeRange::ALL, LabelFilter::any());
    let query = Query { series: name("s"), range, labels, limit: usize::MAX };
    let rows = engine.query(&query, &Deadline::none()).unwrap().rows;
    rows.timestamps_ns.iter().copied().zip(rows.values.iter().map(|&value| value as i64)).collect()
}

fn spawn(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(work)
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

/// Each write is answered once, in the order of the log, when it is on disk.
#[test]
fn a_group_commit_acknowledges_what_is_durable_in_the_order_of_the_log() {
    const WRITERS: i64 = 3;
    const WRITES: i64 = 3;
    explore("group commit", |_| {
        let disk = SimDisk::new();
        let engine = open(&disk, options(1000));
        create(&engine, "s", 1).unwrap();
        let answers: Arc<Mutex<Vec<(i64, SimDisk)>>> = Arc::default();
        let writers = (0..WRITERS).map(|writer| {
            let (engine, disk, answers) = (engine.clone(), disk.clone(), answers.clone());
            spawn(move || {
                // All but the last without waiting for the one before.
                for at in writer * WRITES..(writer + 1) * WRITES {
                    let (disk, answers) = (disk.clone(), answers.clone());
                    let points = Points::one(Some(at), vec![1.0], Labels::empty());
                    let (sender, receiver) = crate::base::sync::mpsc::sync_channel(1);
                    engine.submit(Write::Insert { series: name("s"), points }, move |done| {
                        done.unwrap();
                        answers.lock().push((at, disk.crash(Crash::KeepNothing, 0)));
                        // Nobody waits for most of them.
                        let _ = sender.send(());
                    });
                    if at == (writer + 1) * WRITES - 1 {
                        receiver.recv().unwrap();
                    }
                }
            })
        });
        join(writers.collect::<Vec<_>>());
        engine.close().unwrap();
        let answers = std::mem::take(&mut *answers.lock());
        let order: Vec<i64> = answers.iter().map(|(at, _)| *at).collect();
        let mut logged = Vec::new();
        let shard = engine.shard(&name("s"));
        read_log(&disk, &shard.dir, (shard.number, shard.origin), 1, |_, record| {
            if let Record::Insert(insert) = record {
                logged.extend(insert.timestamps);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(order, logged, "answers come in the order of the log");
        for writer in 0..WRITERS {
            let own = order.iter().filter(|&&at| at / WRITES == writer);
            assert!(own.clone().is_sorted() && own.count() == WRITES as usize, "{order:?}");
        }
        for (nth, (_, crashed)) in answers.iter().enumerate() {
            let content = content_after(crashed, Crash::KeepNothing);
            for at in &order[..=nth] {
                assert!(content["s"].contains_key(&(*at, Labels::empty())), "{at} was acknowledged");
            }
        }
    });
}

/// Callers who commit what they have queued, or find somebody at it, are all answered when
/// it is on disk.
#[test]
fn callers_that_commit_themselves_leave_nobody_without_an_answer() {
    const WRITERS: i64 = 3;
    const WRITES: i64 = 3;
    explore("commits of callers", |_| {
        let disk = SimDisk::new();
        let engine = open(&disk, options(5));
        create(&engine, "s", 1).unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let (engine, disk) = (engine.clone(), disk.clone());
            spawn(move || {
                for at in writer * WRITES..(writer + 1) * WRITES {
                    let points = Points::one(Some(at), vec![1.0], Labels::empty());
                    let (sender, receiver) = crate::base::sync::mpsc::sync_channel(1);
                    engine.queue(Write::Insert { series: name("s"), points }, move |done| {
                        done.unwrap();
                        sender.send(()).unwrap();
                    });
                    while engine.commit() {}
                    receiver.recv().unwrap();
                    let kept = content_after(&disk, Crash::KeepNothing);
                    assert!(kept["s"].contains_key(&(at, Labels::empty())), "{at} was acknowledged");
                }
            })
        });
        join(writers.collect::<Vec<_>>());
        engine.close().unwrap();
        assert_eq!(content_after(&disk, Crash::KeepNothing)["s"].len(), (WRITERS * WRITES) as usize);
    });
}

/// Writes of several shards that share a sync are on disk when they are acknowledged, also
/// while the journal is begun anew.
#[test]
fn shards_that_share_a_journal_acknowledge_what_is_durable() {
    const WRITES: i64 = 4;
    const NAMES: [&str; 3] = ["a", "b", "c"];
    explore("shared journal", |_| {
        let disk = SimDisk::new();
        let options = Options { shards: 3, committers: 1, journal_bytes: 300, ..options(5) };
        let engine = open(&disk, options);
        for series in NAMES {
            create(&engine, series, 1).unwrap();
        }
        let writers = NAMES.map(|series| {
            let (engine, disk) = (engine.clone(), disk.clone());
            spawn(move || {
                for at in 0..WRITES {
                    insert(&engine, series, Some(at), at as f64, &Labels::empty()).unwrap();
                    if at % 2 == 1 {
                        let crashed = content_after(&disk, Crash::KeepNothing);
                        let found = crashed[series].keys().map(|(at, _)| *at);
                        assert_eq!(found.collect::<Vec<_>>(), (0..=at).collect::<Vec<_>>(), "{series}");
                    }
                }
            })
        });
        join(writers);
        engine.close().unwrap();
        for crash in [Crash::KeepNothing, Crash::KeepAll] {
            let kept = content_after(&disk, crash);
            assert!(NAMES.iter().all(|series| kept[*series].len() == WRITES as usize), "{kept:?}");
        }
    });
}

/// A view shows the same whatever happens, and the files it reads are there until it
/// is dropped, and no longer.
#[test]
fn a_pinned_view_never_changes_and_keeps_its_files() {
    explore("pinned view", |_| {
        let disk = SimDisk::new();
        let engine = open(&disk, options(2));
        create(&engine, "s", 1).unwrap();
        for at in 0..3 {
            put(&engine, at, 0).unwrap();
        }
        let changes = {
            let engine = engine.clone();
            spawn(move || {
                for value in 1..4 {
                    put(&engine, 0, value).unwrap();
                    put(&engine, 10 + value, value).unwrap();
                    engine.flush().unwrap();
                    engine.compact().unwrap();
                }
                delete(&engine, 1, 2).unwrap();
            })
        };
        let readers = (0..2).map(|_| {
            let (engine, disk) = (engine.clone(), disk.clone());
            spawn(move || {
                let shard = engine.shard(&name("s"));
                for _ in 0..2 {
                    let (_, _, view) = shard.view(&name("s")).unwrap();
                    let read = || {
                        let mut pages = PageReader::new(view.clone(), TimeRange::ALL, &LabelFilter::any());
                        let page = pages.next_page(usize::MAX, 1 << 20, &Deadline::none()).unwrap();
                        page.unwrap().rows
                    };
                    let first = read();
                    let count = crate::query::count_points(&view, &Deadline::none()).unwrap();
                    assert_eq!(count, first.len() as u64);
                    for _ in 0..8 {
                        thread::yield_now();
                        for segment in &view.segments {
                            let found = disk.metadata(segment.path()).unwrap();
                            assert!(found.is_some(), "{} is pinned", segment.path().display());
                        }
                        let again = read();
                        assert_eq!(again.timestamps_ns, first.timestamps_ns);
                        assert_eq!(again.values, first.values);
                    }
                }
            })
        });
        join(readers.collect::<Vec<_>>().into_iter().chain([changes]));
        assert_eq!(rows(&engine), [(0, 3), (11, 1), (12, 2), (13, 3)]);
        let shard = engine.shard(&name("s"));
        engine.close().unwrap();
        assert_no_stray_segments(&disk, &shard);
    });
}

/// With no reader left, the segments on disk are the live ones.
fn assert_no_stray_segments(disk: &SimDisk, shard: &Shard) {
    let names = disk.list(&shard.dir).unwrap().into_iter().map(|entry| entry.name);
    let found: Vec<String> = names.filter(|name| crate::format::parse_segment_name(name).is_some()).collect();
    let mut live: Vec<String> =
        shard.state.read().segments.iter().map(|segment| segment.info().file_name()).collect();
    live.sort_unstable();
    assert_eq!(found, live);
}

/// One writer changes a point again and again, and removes it now and then; readers
/// see states that were acknowledged or under way, and never an older one than before.
#[test]
fn queries_see_the_acknowledged_state_through_flush_compaction_and_deletion() {
    const STATES: i64 = 7;
    /// What the state of this number shows.
    fn shown(state: i64) -> Option<i64> {
        (state % 3 != 0).then_some(state)
    }
    explore("linearisable", |_| {
        let disk = SimDisk::new();
        let engine = open(&disk, options(2));
        create(&engine, "s", 1).unwrap();
        let (begun, acknowledged) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        let writer = {
            let (engine, begun, acknowledged) = (engine.clone(), begun.clone(), acknowledged.clone());
            spawn(move || {
                for state in 1..=STATES {
                    begun.store(state, Ordering::SeqCst);
                    let written = match shown(state) {
                        Some(value) => put(&engine, 0, value),
                        None => delete(&engine, 0, 0),
                    };
                    if shown(state).is_none() {
                        assert_eq!(written.unwrap(), Written::Deleted { deleted: 1 });
                    } else {
                        written.unwrap();
                    }
                    acknowledged.store(state, Ordering::SeqCst);
                    // So that no memtable hides what happens to segments.
                    engine.flush().unwrap();
                }
            })
        };
        let readers = (0..3).map(|_| {
            let (engine, begun, acknowledged) = (engine.clone(), begun.clone(), acknowledged.clone());
            spawn(move || {
                let mut seen = 0;
                for _ in 0..30 {
                    thread::yield_now();
                    let least = seen.max(acknowledged.load(Ordering::SeqCst));
                    let found = rows(&engine);
                    let most = begun.load(Ordering::SeqCst);
                    let state = (least..=most).find(|&state| {
                        found == shown(state).map(|value| (0, value)).into_iter().collect::<Vec<_>>()
                    });
                    seen =
                        state.unwrap_or_else(|| panic!("found {found:?}, between states {least} and {most}"));
                }
            })
        });
        let upkeep = {
            let engine = engine.clone();
            spawn(move || {
                for _ in 0..4 {
                    engine.compact().unwrap();
                    thread::yield_now();
                }
            })
        };
        let all: Vec<_> = readers.chain([upkeep, writer]).collect();
        join(all);
        let last: Vec<_> = shown(STATES).map(|value| (0, value)).into_iter().collect();
        assert_eq!(rows(&engine), last);
        engine.close().unwrap();
        let kept = content_after(&disk, Crash::KeepNothing);
        assert_eq!(kept["s"].values().map(|&value| value as i64).collect::<Vec<_>>(), [STATES]);
    });
}

/// Whoever writes while the database closes gets an answer, and what the answer says is
/// so after the next start.
#[test]
fn a_shutdown_answers_every_writer() {
    explore("shutdown", |_| {
        let disk = SimDisk::new();
        let engine = open(&disk, options(2));
        create(&engine, "s", 1).unwrap();
        let acknowledged: Arc<Mutex<Vec<i64>>> = Arc::default();
        let writers = (0..2).map(|writer| {
            let (engine, acknowledged) = (engine.clone(), acknowledged.clone());
            spawn(move || {
                for nth in 0..4 {
                    let at = writer * 100 + nth;
                    match put(&engine, at, at) {
                        Ok(_) => acknowledged.lock().push(at),
                        Err(e) => {
                            assert_eq!(e.code(), ErrorCode::ReadOnly);
                            assert!(e.message().contains("closing"), "{e}");
                        }
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let deleter = {
            let engine = engine.clone();
            spawn(move || {
                if let Err(e) = delete(&engine, 1000, 2000) {
                    assert!(e.message().contains("closing"), "{e}");
                }
            })
        };
        engine.close().unwrap();
        join(writers.into_iter().chain([deleter]));
        let mut acknowledged = std::mem::take(&mut *acknowledged.lock());
        acknowledged.sort_unstable();
        // Refused writes did nothing, and reads go on.
        let expected: Vec<_> = acknowledged.iter().map(|&at| (at, at)).collect();
        assert_eq!(rows(&engine), expected);
        drop(engine);
        for crash in [Crash::KeepNothing, Crash::KeepAll] {
            let kept = content_after(&disk, crash);
            assert_eq!(kept["s"].keys().map(|(at, _)| *at).collect::<Vec<_>>(), acknowledged);
        }
    });
}

/// An operation of the disk fails while writers, a reader and the threads are at work:
/// all of them get answers, nothing acknowledged is lost, what fails is said, and the
/// next start is a good one.
#[test]
fn a_failing_disk_loses_nothing_and_hangs_nobody() {
    explore("failing disk", |run| {
        fail_at(1 + run % 60, run % 2 == 0, std::io::ErrorKind::Other, 2, 4);
    });
}

/// The n-th operation fails, of an engine with threads and so many writers, each with
/// its points and a deletion.
fn fail_at(operation: u64, once: bool, kind: std::io::ErrorKind, writers: i64, writes: i64) -> bool {
    let when = format!("operation {operation}, once {once}, {kind:?}");
    let disk = SimDisk::new();
    let engine = open(&disk, options(2));
    create(&engine, "s", 1).unwrap();
    let at = disk.operations() + operation;
    disk.fail_as(kind);
    if once {
        disk.fail_once(at);
    } else {
        disk.fail_from(at);
    }
    let told: Arc<Mutex<Vec<(i64, bool)>>> = Arc::default();
    let threads = (0..writers).map(|writer| {
        let (engine, told) = (engine.clone(), told.clone());
        spawn(move || {
            for nth in 0..writes {
                let at = writer * 1000 + nth;
                let outcome = put(&engine, at, at);
                if let Err(e) = &outcome {
                    assert_eq!(e.code(), ErrorCode::ReadOnly, "{e}");
                }
                told.lock().push((at, outcome.is_ok()));
            }
        })
    });
    let upkeep = {
        let engine = engine.clone();
        spawn(move || {
            // Each may fail, with the disk's reason.
            let done = engine.flush().map(drop).and_then(|()| engine.compact().map(drop));
            if let Err(e) = done {
                assert!(e.message().contains("simulated failure") || e.message().contains("refused"), "{e}");
            }
        })
    };
    let all: Vec<_> = threads.chain([upkeep]).collect();
    join(all);
    let told = std::mem::take(&mut *told.lock());
    let check = |found: &[i64], where_: &str| {
        for (at, acknowledged) in &told {
            assert!(!acknowledged || found.contains(at), "{when}: {at} is missing {where_}");
        }
        assert!(found.iter().all(|at| told.iter().any(|(told, _)| told == at)), "{when}: {found:?} {where_}");
    };
    check(&rows(&engine).iter().map(|(at, _)| *at).collect::<Vec<_>>(), "at once");
    // It works, or it says why not.
    // (A flush that failed may be made up for just between the two questions.)
    let works_or_says = || put(&engine, 500, 500).is_ok() || engine.write_trouble().is_some();
    assert!((0..10).any(|_| works_or_says()), "{when}: writes are refused, and nobody says why");
    let used = disk.operations() > at;
    let closed = engine.close();
    assert_eq!(closed.is_err(), engine.counters().read_only_shards > 0, "{when}: {closed:?}");
    drop(engine);
    for crash in [Crash::KeepNothing, Crash::KeepAll, Crash::TearLast] {
        let kept = content_after(&disk, crash);
        let found: Vec<i64> = kept["s"].keys().map(|(at, _)| *at).filter(|&at| at != 500).collect();
        check(&found, "after a restart");
    }
    used
}

/// Every operation that such a run makes, on real threads.
#[cfg(not(shuttle))]
#[test]
fn a_disk_that_fails_at_any_operation_under_threads_loses_nothing() {
    let every_operation = |kind, once| {
        // Threads make more operations in one run than in another.
        let (mut operation, mut unused) = (0, 0);
        while unused < 3 {
            unused = if fail_at(operation, once, kind, 4, 20) { 0 } else { unused + 1 };
            operation += 1;
        }
        operation
    };
    // At once, for each is waiting most of the time.
    let points: u64 = std::thread::scope(|scope| {
        let of_kind = |kind| [true, false].map(|once| scope.spawn(move || every_operation(kind, once)));
        let runs = [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull].map(of_kind);
        runs.into_iter().flatten().map(|run| run.join().unwrap()).sum()
    });
    println!("points of failure under threads: {points}");
    assert!(points > 400, "{points} points are few");
}

/// Everything at once for a while, on real threads.
#[cfg(not(shuttle))]
#[test]
fn everything_at_once_keeps_what_it_acknowledged() {
    const WRITERS: i64 = 4;
    const ROUNDS: i64 = 400;
    use std::sync::atomic::AtomicBool;
    let disk = SimDisk::new();
    let engine = open(&disk, Options { shards: 3, ..options(100) });
    for writer in 0..WRITERS {
        create(&engine, &format!("s{writer}"), 1).unwrap();
    }
    let over = AtomicBool::new(false);
    let is_over = || over.load(std::sync::atomic::Ordering::SeqCst);
    let query = |series: i64| Query {
        series: name(&format!("s{series}")),
        range: TimeRange::ALL,
        labels: LabelFilter::any(),
        limit: 10,
    };
    std::thread::scope(|scope| {
        // Point 0 counts the rounds; the others come in pairs and go in pairs.
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let series = format!("s{writer}");
                    for round in 1..=ROUNDS {
                        let points = Points {
                            dimension: 1,
                            timestamps_ns: vec![0, 2 * round, 2 * round + 1],
                            values: vec![round as f64; 3],
                            ..Points::default()
                        };
                        engine.write(Write::Insert { series: name(&series), points }).unwrap();
                        if round % 4 == 0 {
                            let range = TimeRange { start_ns: 2 * round - 4, end_ns: 2 * round - 3 };
                            let labels = LabelFilter::any();
                            let gone =
                                engine.write(Write::DeleteRange { series: name(&series), range, labels });
                            assert_eq!(gone.unwrap(), Written::Deleted { deleted: 2 });
                        }
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            let (engine, is_over) = (&engine, &is_over);
            scope.spawn(move || {
                let mut last = [0.0; WRITERS as usize];
                for turn in reader.. {
                    let series = turn % WRITERS;
                    let mut scan = engine.scan(query(series)).unwrap();
                    let counted = scan.count(&Deadline::none()).unwrap();
                    let (mut read, mut round) = (0, 0.0);
                    while let Some(Page { rows: page, .. }) = scan.next_page(&Deadline::none()).unwrap() {
                        if page.timestamps_ns.first() == Some(&0) {
                            round = page.values[0];
                        }
                        assert!(page.values.iter().all(|&value| value <= round), "a point of a later round");
                        read += page.len() as u64;
                    }
                    assert_eq!(read, counted);
                    assert!(read == 0 || read % 2 == 1, "{read} points: half a pair");
                    assert!(round >= last[series as usize], "round {round} after {last:?}");
                    last[series as usize] = round;
                    if is_over() {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            for turn in 0.. {
                engine.flush().unwrap();
                engine.compact().unwrap();
                engine.save(&format!("{}.snap", turn % 2), &Deadline::none()).unwrap();
                engine.totals(&Deadline::none()).unwrap();
                if is_over() {
                    break;
                }
            }
        });
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok), "a writer panicked");
    });
    let expected = 1 + 2 * (ROUNDS - ROUNDS / 4) as usize;
    let check = |content: &Content| {
        for (series, points) in content {
            assert_eq!(points.len(), expected, "{series}");
            assert_eq!(points[&(0, Labels::empty())], ROUNDS as f64, "{series}");
        }
        assert_eq!(content.len(), WRITERS as usize);
    };
    check(&content(&engine));
    check(&content_after(&disk, Crash::KeepNothing));
    engine.close().unwrap();
    for shard in 0..3 {
        let shard = engine.inner.generation.read().shards[shard].clone();
        assert_no_stray_segments(&disk, &shard);
    }
}
