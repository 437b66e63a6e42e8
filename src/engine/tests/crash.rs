//! Crashes at every operation of the disk.
//!
//! A scenario runs on a disk that fails from its n-th operation on, for each n. Of what
//! a crash at that moment can leave, eleven states are opened, twice each: what a
//! client then finds must agree with what it was told before. Now and then the opening
//! itself is crashed at each of its operations.

use rayon::prelude::*;

use super::steps::{Step, Worlds, all_steps, run_and_tell};
use super::*;

/// States tried of each crash: three corner cases, and random ones.
const STATES: u64 = 11;
/// Of how many states one has its recovery crashed too.
const RECOVERIES: u64 = 50;

/// The state that a crash leaves.
fn state(disk: &SimDisk, seed: u64) -> SimDisk {
    let crash = match seed % STATES {
        0 => Crash::KeepNothing,
        1 => Crash::KeepAll,
        2 => Crash::TearLast,
        _ => Crash::KeepSome,
    };
    disk.crash(crash, seed)
}

#[derive(Default)]
pub(super) struct Tally {
    states: u64,
    kills: u64,
    recoveries: u64,
}

fn crash_everywhere(scenario: &str, steps: &[Step], tally: &mut Tally) {
    let clock = Arc::new(ManualClock::new(5));
    for operation in 0.. {
        let disk = SimDisk::new();
        drop(open(&disk, &clock).unwrap());
        disk.fail_from(disk.operations() + operation);
        let mut worlds = Worlds::new();
        let mut crashed = true;
        if let Ok(engine) = open(&disk, &clock) {
            crashed = false;
            for step in steps {
                crashed = run_and_tell(*step, &engine, &mut worlds).is_err();
                if crashed {
                    break;
                }
            }
        }
        for number in 0..STATES {
            tally.states += 1;
            let when = format!("{scenario}: operation {operation}, state {number}");
            let after = state(&disk, operation * STATES + number);
            if tally.states.is_multiple_of(RECOVERIES) {
                crash_the_recovery(&after, &worlds, &when, tally);
            }
            check(&after, worlds.clone(), &when);
        }
        if !crashed {
            assert!(operation > 10, "{scenario}: the disk was used {operation} times by {steps:?}");
            return;
        }
    }
}

/// Opens twice and compares, writes, and opens again; then the same of snapshots.
fn check(disk: &SimDisk, mut worlds: Worlds, when: &str) {
    let engine = check_content(disk, &mut worlds, when);
    // Snapshots are whole or not there; those that were promised are there.
    for file in worlds.snapshots() {
        let outcome = Step::Load(file).run(&engine);
        let code = outcome.as_ref().err().map(Error::code);
        assert!(matches!(code, None | Some(ErrorCode::FileNotFound)), "{when}, snapshot {file}: {outcome:?}");
        worlds.told(Step::Load(file), &outcome);
        worlds.found(&content(&engine), &format!("{when}, snapshot {file}"));
    }
}

fn check_content(disk: &SimDisk, worlds: &mut Worlds, when: &str) -> Engine {
    let clock = Arc::new(ManualClock::new(5));
    for opening in 0..2 {
        let engine = open(disk, &clock).unwrap_or_else(|e| panic!("{when}, opening {opening}: {e}"));
        worlds.found(&content(&engine), &format!("{when}, opening {opening}"));
    }
    // The shards that were hit take writes again, and keep them.
    let engine = open(disk, &clock).unwrap();
    for series in ["s", "a", "c"] {
        let step = if content(&engine).contains_key(series) {
            Step::Batch { series, start: 1 << 40, rows: 1, value: 7, label: "" }
        } else {
            Step::Create(series)
        };
        let outcome = step.run(&engine);
        assert_eq!(outcome, Ok(()), "{when}, written after");
        worlds.told(step, &outcome);
    }
    drop(engine);
    let engine = open(disk, &clock).unwrap();
    worlds.found(&content(&engine), &format!("{when}, written and opened"));
    engine
}

/// The process is killed instead, so that the next one finds what is not yet durable;
/// what that one serves and is told must outlive a crash of the disk.
fn kill_everywhere(scenario: &str, steps: &[Step], tally: &mut Tally) {
    let clock = Arc::new(ManualClock::new(5));
    for operation in 0.. {
        let disk = SimDisk::new();
        drop(open(&disk, &clock).unwrap());
        let at = disk.operations() + operation;
        disk.kill_at(at);
        let mut worlds = Worlds::new();
        if let Ok(engine) = open(&disk, &clock) {
            for step in steps {
                if run_and_tell(*step, &engine, &mut worlds).is_err() {
                    break;
                }
            }
        }
        restart_and_crash(&disk.kill(), worlds, &format!("{scenario}: killed at {operation}"), tally);
        if disk.operations() <= at {
            return;
        }
    }
}

/// Opens without a crash before, reads, writes, and then has the disk crash.
pub(super) fn restart_and_crash(disk: &SimDisk, mut worlds: Worlds, when: &str, tally: &mut Tally) {
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(disk, &clock).unwrap_or_else(|e| panic!("{when}: {e}"));
    worlds.found(&content(&engine), when);
    for written in [false, true] {
        if written && content(&engine).contains_key("s") {
            let step = Step::Batch { series: "s", start: 1 << 41, rows: 1, value: 8, label: "" };
            let outcome = step.run(&engine);
            assert_eq!(outcome, Ok(()), "{when}");
            worlds.told(step, &outcome);
        }
        for seed in [0, 3, 4] {
            tally.kills += 1;
            let when = format!("{when}, written {written}, state {seed}");
            check_content(&state(disk, seed), &mut worlds.clone(), &when);
        }
    }
}

fn crash_the_recovery(disk: &SimDisk, worlds: &Worlds, when: &str, tally: &mut Tally) {
    let clock = Arc::new(ManualClock::new(5));
    for operation in 0.. {
        let again = disk.crash(Crash::KeepAll, 0);
        again.fail_from(again.operations() + operation);
        let whole = open(&again, &clock).is_ok();
        for seed in 0..4 {
            tally.recoveries += 1;
            let when = format!("{when}, recovery crashed at {operation}, state {seed}");
            check(&state(&again, seed), worlds.clone(), &when);
        }
        if whole {
            return;
        }
    }
}

/// Runs all scenarios, and random ones, on all processors.
fn in_each_scenario(seeds: u64, run: fn(&str, &[Step], &mut Tally)) -> Tally {
    let tallies = all_steps(0..seeds).into_par_iter().map(|(scenario, steps)| {
        let mut tally = Tally::default();
        run(&scenario, &steps, &mut tally);
        tally
    });
    let sum = |one: Tally, other: Tally| Tally {
        states: one.states + other.states,
        kills: one.kills + other.kills,
        recoveries: one.recoveries + other.recoveries,
    };
    on_all_processors(|| tallies.reduce(Tally::default, sum))
}

#[test]
fn nothing_acknowledged_is_lost_by_a_crash() {
    let seeds = std::env::var("TSDB_TEST_CRASH_SEEDS").map_or(8, |seeds| seeds.parse().unwrap());
    let Tally { states, recoveries, .. } = in_each_scenario(seeds, crash_everywhere);
    println!("crash states: {states}, and {recoveries} of crashed recoveries");
    assert!(states > 15_000, "{states} states are few");
}

#[test]
fn what_is_served_after_a_kill_is_there_after_a_crash() {
    let seeds = std::env::var("TSDB_TEST_CRASH_SEEDS").map_or(0, |seeds| seeds.parse().unwrap());
    let Tally { kills, .. } = in_each_scenario(seeds, kill_everywhere);
    println!("crash states after a kill: {kills}");
    assert!(kills > 2000, "{kills} are few");
}

/// Where writes are acknowledged before they are synced, a crash takes the last of them,
/// and nothing from between, wherever it comes; also where a flush failed before, so
/// that several logs wait.
#[test]
fn a_crash_with_relaxed_durability_leaves_what_came_first() {
    let clock = Arc::new(ManualClock::new(5));
    let mut states = 0;
    let open = |disk: &SimDisk| {
        let options = Options { durability: Durability::None, buffer_points: 20, ..options() };
        Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
    };
    for once in [false, true] {
        for operation in 0.. {
            let disk = SimDisk::new();
            let engine = open(&disk).unwrap();
            create(&engine, "s", 1).unwrap();
            engine.flush().unwrap();
            let at = disk.operations() + operation;
            if once {
                disk.fail_once(at);
            } else {
                disk.fail_from(at);
            }
            let _ = (0..50).all(|at| batch(&engine, at, 1).is_ok());
            let used = disk.operations() > at;
            for number in 0..STATES {
                states += 1;
                let when = format!("operation {operation}, once {once}, state {number}");
                let engine = open(&state(&disk, number)).unwrap_or_else(|e| panic!("{when}: {e}"));
                let found: Vec<i64> = content(&engine)["s"].keys().map(|(at, _)| *at).collect();
                assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>(), "{when}");
            }
            drop(engine);
            if !used {
                assert!(operation > 20, "{operation}");
                break;
            }
        }
    }
    println!("crash states with relaxed durability: {states}");
}
