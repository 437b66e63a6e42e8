//! Operations of the disk that fail, while the process lives on: each of a scenario
//! once, and from each on.

use std::io::ErrorKind;

use rayon::prelude::*;

use super::crash::{Tally, restart_and_crash};
use super::steps::{Step, Worlds, all_steps, run_and_tell};
use super::*;

/// What fails, of the n-th operation, or of the n-th read or opening of a file.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Once,
    From,
    ReadOnce,
    ReadsFrom,
}

/// Runs a scenario with the n-th operation failing, for each n. What the client is told
/// must agree with what it finds: at once, after an orderly stop, and after a crash.
fn fail_everywhere(scenario: &str, steps: &[Step], fault: Fault, kind: ErrorKind) -> u64 {
    let clock = Arc::new(ManualClock::new(5));
    for operation in 0.. {
        let when = format!("{scenario}: {fault:?} {operation}, {kind:?}");
        let disk = SimDisk::new();
        drop(open(&disk, &clock).unwrap());
        let (at, read) = (disk.operations() + operation, disk.reads() + operation);
        match fault {
            Fault::Once => disk.fail_once(at),
            Fault::From => disk.fail_from(at),
            Fault::ReadOnce => disk.fail_reads(read..read + 1),
            Fault::ReadsFrom => disk.fail_reads(read..u64::MAX),
        }
        disk.fail_as(kind);
        let mut worlds = Worlds::new();
        if let Ok(engine) = open(&disk, &clock) {
            for step in steps {
                // It may fail: that is told.
                let _ = run_and_tell(*step, &engine, &mut worlds);
            }
            disk.fail_reads(0..0);
            worlds.clone().found(&content(&engine), &format!("{when}, read on"));
        }
        let used = match fault {
            Fault::Once | Fault::From => disk.operations() > at,
            Fault::ReadOnce | Fault::ReadsFrom => disk.reads() > read,
        };
        for crash in [Crash::KeepNothing, Crash::KeepAll, Crash::TearLast] {
            let mut worlds = worlds.clone();
            let after = disk.crash(crash, operation);
            for opening in 0..2 {
                let engine = open(&after, &clock)
                    .unwrap_or_else(|e| panic!("{when}, {crash:?}, opening {opening}: {e}"));
                worlds.found(&content(&engine), &format!("{when}, {crash:?}, opening {opening}"));
            }
        }
        // Restarted on the same disk, which shows what a failed sync lost until it crashes.
        if matches!((fault, kind), (Fault::Once, ErrorKind::Other)) {
            let when = format!("{when}, restarted");
            restart_and_crash(&disk.kill(), worlds, &when, &mut Tally::default());
        }
        if !used {
            assert!(operation > 20, "{scenario}: the disk was used");
            return operation;
        }
    }
    unreachable!("operations end")
}

#[test]
fn what_fails_is_said_and_what_is_said_is_so() {
    let mut cases = Vec::new();
    for fault in [Fault::Once, Fault::From, Fault::ReadOnce, Fault::ReadsFrom] {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            cases.extend(all_steps(100..102).into_iter().map(|steps| (steps, fault, kind)));
        }
    }
    let points = cases
        .par_iter()
        .map(|((scenario, steps), fault, kind)| fail_everywhere(scenario, steps, *fault, *kind));
    let points: u64 = on_all_processors(|| points.sum());
    println!("points of failure: {points}");
    assert!(points > 4000, "{points} points are few");
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

#[test]
fn a_disk_that_fills_up_refuses_inserts_until_there_is_space() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 50).unwrap();
    disk.set_free_bytes(options().disk_reserve_bytes - 1);
    let refused = [
        batch(&engine, 100, 1),
        create(&engine, "t", 1).map(drop),
        engine.save("x", &Deadline::none()).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.code(), ErrorCode::ReadOnly);
        assert!(error.message().contains("TSDB_DISK_RESERVE"), "{error}");
    }
    assert!(engine.write_trouble().unwrap().contains("TSDB_DISK_RESERVE"));
    // Reads, what gives space back, and what is in flight go on.
    let range = TimeRange { start_ns: 0, end_ns: 9 };
    let delete = Write::DeleteRange { series: name("s"), range, labels: LabelFilter::any() };
    assert_eq!(engine.write(delete).unwrap(), Written::Deleted { deleted: 10 });
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(content(&engine)["s"].len(), 40);
    disk.set_free_bytes(options().disk_reserve_bytes);
    assert_eq!(engine.write_trouble(), None);
    batch(&engine, 100, 1).unwrap();
    engine.write(Write::Drop { name: name("s") }).unwrap();
}

/// A flush or a compaction that the disk had no room for is done once there is some, in the
/// same process, and leaves no file that nobody lists. Only where it can't be known which
/// manifest a restart would find, the shard must stop.
#[test]
fn a_full_disk_keeps_no_shard_from_going_on() {
    let clock = Arc::new(ManualClock::new(5));
    let options = || Options {
        shards: 1,
        compaction: crate::compaction::CompactionOptions { fanout: 2, ..Default::default() },
        ..options()
    };
    for compacts in [false, true] {
        let (mut failed, mut in_doubt) = (0, 0);
        for operation in 0.. {
            let disk = SimDisk::new();
            let engine = Engine::open_with(Arc::new(disk.clone()), clock.clone(), options()).unwrap();
            create(&engine, "s", 1).unwrap();
            batch(&engine, 0, 20).unwrap();
            if compacts {
                engine.flush().unwrap();
                batch(&engine, 10, 20).unwrap();
                engine.flush().unwrap();
            }
            let step = || if compacts { engine.compact().map(drop) } else { engine.flush().map(drop) };
            disk.fail_as(ErrorKind::StorageFull);
            disk.fail_once(disk.operations() + operation);
            if step().is_ok() {
                break;
            }
            failed += 1;
            let when = format!("compaction: {compacts}, operation {operation}");
            if step().is_err() {
                in_doubt += 1;
                continue;
            }
            assert_eq!(engine.write_trouble(), None, "{when}");
            batch(&engine, 100, 1).unwrap();
            let before = content(&engine);
            assert_eq!(before["s"].len(), if compacts { 31 } else { 21 }, "{when}");
            let shard = Path::new("/data/gen-0000000001/shard-0000");
            let names = disk.list(shard).unwrap().into_iter().map(|entry| entry.name);
            let extra: Vec<String> =
                names.filter(|name| !name.ends_with(".log") && name != "MANIFEST").collect();
            assert!(extra.len() == 1 && extra[0].ends_with(".seg"), "{when}: {extra:?}");
            drop(engine);
            let after = Arc::new(disk.crash(Crash::KeepNothing, 0));
            let engine = Engine::open_with(after, clock.clone(), options()).unwrap();
            assert_eq!(content(&engine), before, "{when}");
        }
        assert!(failed > 5 && in_doubt <= 1, "{failed} failures, {in_doubt} of them in doubt");
    }
}

/// A disk with room for so many bytes more than a new database has, at many places of each
/// scenario: what was acknowledged is there, and once there is room, after a restart at the
/// latest, it can be written to.
#[test]
fn a_disk_may_be_full_after_any_byte() {
    let sizes: u64 = std::env::var("TSDB_TEST_DISK_SIZES").map_or(60, |sizes| sizes.parse().unwrap());
    let clock = Arc::new(ManualClock::new(5));
    let open = |disk: &SimDisk| {
        let options = Options { disk_reserve_bytes: 0, ..options() };
        Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
    };
    let one = |steps: &[Step], when: &str, disk: &SimDisk| {
        let mut worlds = Worlds::new();
        let mut is_refused = false;
        if let Ok(engine) = open(disk) {
            for step in steps {
                is_refused |= run_and_tell(*step, &engine, &mut worlds).is_err();
            }
            worlds.found(&content(&engine), when);
        }
        disk.set_capacity(None);
        for crash in [Crash::KeepNothing, Crash::KeepSome] {
            let mut worlds = worlds.clone();
            let engine = open(&disk.crash(crash, 1)).unwrap_or_else(|e| panic!("{when}: {e}"));
            worlds.found(&content(&engine), &format!("{when}, {crash:?}"));
            assert_eq!(engine.write_trouble(), None, "{when}, {crash:?}");
            create(&engine, "new", 1).unwrap();
            insert(&engine, "new", Some(1), 1.0, &Labels::empty()).unwrap();
        }
        is_refused
    };
    let tried = all_steps(200..206).into_par_iter().map(|(scenario, steps)| {
        let new = SimDisk::new();
        drop(open(&new).unwrap());
        let after = new.crash(Crash::KeepAll, 0);
        assert!(!one(&steps, &scenario, &after));
        let (least, most) = (new.used_bytes(), after.used_bytes().max(new.used_bytes() + 4096));
        let mut rng = Rng::new(sizes);
        let mut refused = 0;
        for _ in 0..sizes {
            let capacity = least + rng.below(most - least);
            let disk = new.crash(Crash::KeepAll, 0);
            disk.set_capacity(Some(capacity));
            refused += u64::from(one(&steps, &format!("{scenario}, {capacity} bytes"), &disk));
        }
        refused
    });
    let refused: u64 = on_all_processors(|| tried.sum());
    println!("disks that filled up: {refused}");
    assert!(refused > sizes, "{refused} are few");
}

#[test]
fn reads_that_come_in_pieces_are_put_together() {
    let clock = Arc::new(ManualClock::new(5));
    for (scenario, steps) in all_steps(300..303) {
        let (whole, pieces) = (SimDisk::new(), SimDisk::new());
        pieces.read_short();
        let [whole, pieces] = [whole, pieces].map(|disk| {
            let engine = open(&disk, &clock).unwrap();
            for step in &steps {
                // What is refused is refused on both.
                let _ = step.run(&engine);
            }
            drop(engine);
            content(&open(&disk, &clock).unwrap())
        });
        assert_eq!(whole, pieces, "{scenario}");
    }
}

/// A process that may open no more files can't tell what is in them: nothing is taken for
/// damaged, and nothing is set aside.
#[test]
fn a_lack_of_descriptors_is_no_damage() {
    let clock = Arc::new(ManualClock::new(5));
    let disk = SimDisk::new();
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    batch(&engine, 0, 50).unwrap();
    engine.flush().unwrap();
    batch(&engine, 40, 50).unwrap();
    let before = content(&engine);
    drop(engine);
    let mut refused = 0;
    for recover in [Recover::Strict, Recover::Degraded, Recover::AcceptLoss] {
        for read in 0.. {
            let disk = disk.crash(Crash::KeepAll, 0);
            disk.fail_as_os(24);
            disk.fail_reads(read..u64::MAX);
            let open = || {
                let options = Options { recover, ..options() };
                Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
            };
            let Err(e) = open() else { break };
            let is_no_damage = matches!(e.code(), ErrorCode::LimitExceeded | ErrorCode::ReadOnly);
            assert!(is_no_damage && e.message().contains("os error 24"), "{recover:?}, read {read}: {e}");
            disk.fail_reads(0..0);
            assert_eq!(content(&open().unwrap()), before, "{recover:?}, read {read}");
            assert!(disk.list(Path::new("/data/quarantine")).is_err(), "{recover:?}, read {read}");
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
}
