//! A panic in any thread: acknowledgements stop with its reason, reads go on, nobody
//! hangs, and the next start finds everything that was acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

fn options(durability: Durability) -> Options {
    let compaction = crate::compaction::CompactionOptions { fanout: 2, ..Default::default() };
    Options { background: true, shards: 1, buffer_points: 6, durability, compaction, ..super::options() }
}

fn open(disk: &SimDisk, options: Options) -> Engine {
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed().as_secs() < 60, "{what} never comes");
        std::thread::yield_now();
    }
}

/// The engine at work, with a panic in a thread of this name after so many of its
/// operations; false where it made fewer.
fn panic_at(thread: &str, operations: u64, durability: Durability) -> bool {
    let when = format!("{thread}, operation {operations}");
    let disk = SimDisk::new();
    let engine = open(&disk, options(durability));
    create(&engine, "s", 1).unwrap();
    disk.panic_in(thread, operations);
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (engine, acknowledged, when) = (&engine, &acknowledged, &when);
            scope.spawn(move || {
                for nth in 0..12 {
                    match insert(engine, "s", Some(writer * 100 + nth), 1.0, &Labels::empty()) {
                        Ok(_) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                        Err(e) => {
                            assert_eq!(e.code(), ErrorCode::ReadOnly, "{when}: {e}");
                            assert!(e.message().contains("simulated panic"), "{when}: {e}");
                        }
                    }
                }
            });
        }
    });
    if !disk.will_panic() {
        until("the reason", || engine.write_trouble().is_some());
        let said = engine.write_trouble().unwrap();
        assert!(said.contains("simulated panic") && said.contains("restart"), "{when}: {said}");
        let refused = insert(&engine, "s", Some(1000), 1.0, &Labels::empty()).unwrap_err();
        assert!(refused.message().contains("simulated panic"), "{when}: {refused}");
        if let Ok(flushed) = engine.flush() {
            assert_eq!(flushed.flushed_points, 0, "{when}");
        }
    }
    let read = content(&engine)["s"].len();
    assert!(read >= acknowledged.load(Ordering::SeqCst), "{when}: reads go on");
    let closed = engine.close();
    let panicked = !disk.will_panic();
    assert_eq!(closed.is_err(), panicked, "{when}: {closed:?}");
    drop(engine);
    for crash in [Crash::KeepNothing, Crash::KeepAll] {
        if crash == Crash::KeepNothing && durability != Durability::Always {
            continue;
        }
        let again = open(&disk.crash(crash, 0), Options { background: false, ..options(durability) });
        let kept = content(&again)["s"].len();
        assert!(kept >= acknowledged.load(Ordering::SeqCst), "{when}, {crash:?}: {kept} points");
        insert(&again, "s", Some(1000), 1.0, &Labels::empty()).unwrap();
    }
    panicked
}

#[test]
fn a_panic_in_any_thread_stops_acknowledgements_and_says_why() {
    let often = Durability::Interval(Duration::from_micros(100));
    let mut points = 0;
    for (thread, durability) in [
        ("tsdb-commit", Durability::Always),
        ("tsdb-flush", Durability::Always),
        ("tsdb-compact", Durability::Always),
        ("tsdb-sync", often),
    ] {
        // What a thread finds to do is not the same in each run.
        let (mut operation, mut unused) = (0, 0);
        while operation < 80 && unused < 3 {
            let panicked = panic_at(thread, operation, durability);
            unused = if panicked { 0 } else { unused + 1 };
            points += usize::from(panicked);
            operation += 1;
        }
    }
    println!("panics: {points}");
    assert!(points > 60, "{points} panics are few");
}

/// A panic while deleted points are counted, on a thread of the pool, is the answer of
/// that one request.
#[test]
fn a_panic_while_deleted_points_are_counted_is_told_and_writes_go_on() {
    let disk = SimDisk::new();
    let engine = open(&disk, Options { buffer_points: 1000, ..options(Durability::Always) });
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 50).unwrap();
    engine.flush().unwrap();
    // As the server does it, but for the look beforehand, which would put the block into the cache.
    let delete = |start_ns, end_ns| {
        let range = TimeRange { start_ns, end_ns };
        let (sender, receiver) = std::sync::mpsc::channel();
        let delete = Write::DeleteRange { series: name("s"), range, labels: LabelFilter::any() };
        engine.submit(delete, move |done| sender.send(done).unwrap());
        receiver.recv().unwrap()
    };
    disk.panic_in("?", 0);
    let failed = delete(10, 19).unwrap_err();
    assert_eq!(failed.code(), ErrorCode::Internal);
    assert!(failed.message().contains("simulated panic"), "{failed}");
    assert_eq!(content(&engine)["s"].len(), 40, "it was on disk before the count");
    assert_eq!(delete(20, 24).unwrap(), Written::Deleted { deleted: 5 });
    assert_eq!(engine.write_trouble(), None);
}

/// A panic in a load, at each of its operations, leaves what was there, or what was
/// loaded; where that is open, writes are refused.
#[test]
fn a_panic_in_a_load_leaves_the_old_or_the_new() {
    let mut panics = 0;
    for operation in 0.. {
        let disk = SimDisk::new();
        let engine = open(&disk, options(Durability::Always));
        create(&engine, "s", 1).unwrap();
        batch(&engine, 0, 5).unwrap();
        engine.save("x", &Deadline::none()).unwrap();
        let new = content(&engine);
        batch(&engine, 100, 5).unwrap();
        let old = content(&engine);
        disk.panic_in("loader", operation);
        let loaded = std::thread::scope(|scope| {
            let load = || engine.load("x", &Deadline::none());
            let loader = std::thread::Builder::new().name("loader".into());
            loader.spawn_scoped(scope, load).unwrap().join()
        });
        let when = format!("operation {operation}: {loaded:?}");
        let found = content(&engine);
        assert!(found == old || found == new, "{when}: {found:?}");
        let works = batch(&engine, 200, 1).is_ok();
        assert!(works || engine.write_trouble().unwrap().contains("simulated panic"), "{when}");
        engine.close().map_or_else(|_| assert!(!works, "{when}"), |()| assert!(works, "{when}"));
        let kept = content(&open(&disk.crash(Crash::KeepNothing, 0), options(Durability::Always)));
        if works {
            assert_eq!(kept["s"].len(), found["s"].len() + 1, "{when}");
        } else {
            assert!(kept == old || kept == new, "{when}: {kept:?}");
        }
        if disk.will_panic() {
            break;
        }
        panics += 1;
    }
    assert!(panics > 20, "{panics} panics are few");
}
