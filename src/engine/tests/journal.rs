//! The journal of a group of shards: damage of it, and what it shares between them.

use std::sync::mpsc::Sender;

use super::damage::{files, points_of};
use super::steps::{Step, Worlds, run_and_tell};
use super::*;
use crate::format::{journal_name, shard_name, shard_of};
use crate::manifest::{FileManifestStore, Manifest, ManifestStore as _};

const SHARDS: u32 = 3;

/// A series of each shard.
fn series() -> [&'static str; SHARDS as usize] {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    std::array::from_fn(|shard| {
        let of_shard = |name: &&&str| shard_of(name, SHARDS) == shard as u32;
        *names.iter().find(of_shard).expect("each shard has one of seven names")
    })
}

fn batch(series: &'static str, start: i64) -> Step {
    Step::Batch { series, start, rows: 2, value: start, label: "" }
}

fn options() -> Options {
    Options { shards: SHARDS, journal_bytes: 1 << 20, ..super::options() }
}

fn open(disk: &SimDisk, recover: Recover) -> Result<Engine> {
    let options = Options { recover, ..options() };
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options)
}

/// Four frames in the journal and in no log; the content after each.
fn sample() -> (SimDisk, Vec<Content>) {
    sample_on(SimDisk::new())
}

fn sample_on(disk: SimDisk) -> (SimDisk, Vec<Content>) {
    let [a, b, c] = series();
    let frames: [&'static [Step]; 4] = [
        Box::leak(Box::new([Step::Create(a), Step::Create(b), Step::Create(c)])),
        Box::leak(Box::new([batch(a, 10), batch(b, 20)])),
        Box::leak(Box::new([batch(b, 30), batch(c, 40)])),
        Box::leak(Box::new([batch(a, 50), batch(c, 60)])),
    ];
    let engine = open(&disk, Recover::Strict).unwrap();
    let (mut contents, mut worlds) = (vec![content(&engine)], Worlds::new());
    for steps in frames {
        run_and_tell(Step::Together(steps), &engine, &mut worlds).unwrap();
        contents.push(content(&engine));
    }
    let crashed = disk.crash(Crash::KeepNothing, 0);
    // As a process leaves it that is killed: an orderly end would fill the logs.
    std::mem::forget(engine);
    (crashed, contents)
}

/// Where the frames of a journal begin and end.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = crate::format::HEADER_BYTES;
    let mut found = vec![at];
    while let Some(len) = bytes.get(at + 4..at + 8).map(|len| u32::from_le_bytes(len.try_into().unwrap()))
        && len > 0
    {
        at += len as usize + crate::format::FRAME_OVERHEAD_BYTES;
        found.push(at);
    }
    found
}

#[test]
fn what_only_the_journal_has_is_there_after_a_crash() {
    let (disk, contents) = sample();
    for _ in 0..2 {
        let engine = open(&disk, Recover::Strict).unwrap();
        assert_eq!(content(&engine), contents[4]);
    }
    // Threads begin a journal of their own, and an orderly stop leaves nothing in it.
    let options = Options { background: true, ..options() };
    let engine = Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap();
    engine.close().unwrap();
    let origin = engine.inner.generation.read().record.origin;
    drop(engine);
    let journal = crate::wal::read_journal(&disk, Path::new("/data/gen-0000000001"), 1, origin).unwrap();
    assert!(journal.logs.is_empty() && journal.number > 1, "{journal:?}");
    assert_eq!(content(&open(&disk, Recover::Strict).unwrap()), contents[4]);
}

/// A series in each of three shards of one group, whose commits are up to the test.
fn one_group() -> Engine {
    let options = Options { buffer_points: 1 << 20, ..options() };
    let engine = Engine::open_with(Arc::new(SimDisk::new()), Arc::new(ManualClock::new(5)), options).unwrap();
    for series in series() {
        Step::Create(series).run(&engine).unwrap();
    }
    engine.inner.generation.write().start_groups();
    engine
}

/// Has a batch wait in its shard; `done` hears when it is stored.
fn queue_batch(engine: &Engine, series: &'static str, rows: i64, done: &Sender<(&'static str, bool)>) {
    let done = done.clone();
    let write = Step::Batch { series, start: 0, rows, value: 0, label: "" }.write().unwrap();
    engine.queue(write, move |result: Result<Written>| done.send((series, result.is_ok())).unwrap());
}

/// What waits for a commit in one shard keeps that of another waiting for one commit, not for as
/// long as more comes.
#[test]
fn each_shard_has_its_turn() {
    let [a, b, c] = series();
    let engine = one_group();
    let generation = engine.inner.generation.read();
    let (sender, stored) = std::sync::mpsc::channel();
    let queue = |series, rows| queue_batch(&engine, series, rows, &sender);
    let turn = || {
        generation.groups[0].commit_ready();
        stored.try_iter().collect::<Vec<_>>()
    };
    queue(b, 1);
    queue(c, 1);
    queue(a, 2000);
    assert_eq!(turn(), [(a, true)], "the first in order is large");
    queue(a, 2000);
    queue(b, 2000);
    assert_eq!(turn(), [(b, true), (b, true)], "those of b wait longer than those of a");
    assert_eq!(turn(), [(a, true), (c, true)]);
    for series in [a, b, c] {
        queue(series, 2000);
    }
    let turns = [turn(), turn(), turn()];
    assert_eq!(turns, [c, a, b].map(|series| vec![(series, true)]), "on from the last that was passed by");
}

/// Who must wait for memory keeps nobody else from his turn, whatever waits with him; the thread
/// that commits would ask for nothing but that again and again.
#[test]
fn who_must_wait_takes_no_turn() {
    let [a, b, _] = series();
    let engine = one_group();
    let generation = engine.inner.generation.read();
    let (sender, stored) = std::sync::mpsc::channel();
    let queue = |series, rows| queue_batch(&engine, series, rows, &sender);
    let full = generation.shard(&name(a));
    full.state.write().frozen.extend((0..3).map(|_| Arc::default()));
    queue(a, 2000);
    queue(b, 1);
    assert!(!generation.groups[0].commit_ready(), "the first waits for memory, not for its turn");
    assert_eq!(stored.try_iter().collect::<Vec<_>>(), [(b, true)]);
    full.state.write().frozen.clear();
    full.ready.add(full.number);
    generation.groups[0].commit_ready();
    assert_eq!(stored.try_iter().collect::<Vec<_>>(), [(a, true)]);
}

/// Each byte flipped, the file cut and filled with zeros there, and removed: what is
/// proven to be gone is missed, and nothing else is refused.
#[test]
fn damage_of_a_journal_is_told_of_the_series_that_lost_something() {
    let (disk, contents) = sample();
    let [a, b, c] = series();
    let path = Path::new("/data/gen-0000000001").join(journal_name(1));
    assert!(files(&disk).contains(&path));
    let bytes = read_all(&disk, &path, 1 << 20).unwrap();
    let begins = frames(&bytes);
    assert_eq!(begins.len(), 5, "four frames");
    let mut tried = 0;
    for at in 0..begins[4] {
        // The frame that is hit; before the first is the header.
        let hit = begins.iter().rposition(|&begin| begin <= at);
        let lost: &[&str] = match hit {
            None | Some(0) => &[a, b, c],
            Some(1) => &[a, b],
            Some(2) => &[b, c],
            _ => &[],
        };
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let mut zeroed = bytes.clone();
        zeroed[at..].fill(0);
        for (damage, what) in [(flipped, "flipped"), (zeroed, "zeroed"), (bytes[..at].to_vec(), "cut")] {
            tried += 1;
            let when = format!("byte {at} {what}");
            let disk = disk.crash(Crash::KeepAll, 0);
            put(&disk, &path, &damage);
            // Frames that are gone from the end look like those that were never written.
            let is_end = what != "flipped" && hit.is_some() || hit == Some(3);
            let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
            let verified = verify(&vfs, Path::new("/data"));
            if is_end {
                let engine = open(&disk, Recover::Strict).unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(content(&engine), contents[hit.unwrap()], "{when}");
                assert_eq!(verified.problems, Vec::<String>::new(), "{when}");
                continue;
            }
            let refused = open(&disk, Recover::Strict).err().unwrap_or_else(|| panic!("{when}: not noticed"));
            assert_eq!(refused.code(), ErrorCode::CorruptData, "{when}: {refused}");
            assert!(refused.message().contains("journal-0001"), "{when}: {refused}");
            assert!(!verified.problems.is_empty(), "{when}");
            for opening in 0..2 {
                let engine = open(&disk, Recover::Degraded).unwrap_or_else(|e| panic!("{when}: {e}"));
                for series in [a, b, c] {
                    let found = points_of(&engine, series);
                    if lost.contains(&series) {
                        let code = found.as_ref().map_err(Error::code);
                        assert_eq!(code, Err(ErrorCode::CorruptData), "{when}, opening {opening}: {series}");
                    } else {
                        assert_eq!(found.as_ref(), Ok(&contents[4][series]), "{when}, opening {opening}");
                    }
                }
            }
            let quarantined = disk.list(Path::new("/data/quarantine")).unwrap();
            assert!(
                quarantined.iter().any(|entry| entry.name.contains("journal-0001")),
                "{when}: {quarantined:?}"
            );
        }
    }
    println!("damaged journals: {tried}");
    disk.remove(&path).unwrap();
    let refused = open(&disk, Recover::Strict).err().expect("a journal that is gone is missed");
    assert!(refused.message().contains("journal-0001"), "{refused}");
    let engine = open(&disk, Recover::Degraded).unwrap();
    for series in [a, b, c] {
        let refused = points_of(&engine, series).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::CorruptData, "{series}");
    }
}

/// Writes a shard's manifest as a compaction does when all is written: each shard has three
/// records.
fn write_manifest_at_end(disk: &SimDisk, shard: u32) {
    let dir = Path::new("/data/gen-0000000001").join(shard_name(shard));
    let store = FileManifestStore::new(Arc::new(disk.clone()), &dir, shard);
    let known = store.load().unwrap();
    store.install(&Manifest { revision: known.revision + 1, durable_seq: 4, ..known }).unwrap();
}

/// A start needs its journals no more once it begins new ones, however far the manifests
/// say that the logs were on disk.
#[test]
fn what_a_start_puts_into_the_logs_survives_the_next_crash() {
    let (disk, contents) = sample();
    (0..SHARDS).for_each(|shard| write_manifest_at_end(&disk, shard));
    let options = Options { background: true, ..options() };
    let engine = Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap();
    let crashed = disk.crash(Crash::KeepNothing, 0);
    drop(engine);
    assert_eq!(content(&open(&crashed, Recover::Strict).unwrap()), contents[4]);
}

/// A journal whose end is gone looks like one that was never written; where a shard's
/// manifest shows it, all that share the journal have lost something.
#[test]
fn a_journal_that_lost_its_end_is_missed_for_all_that_share_it() {
    let [a, b, c] = series();
    let (disk, contents) = sample();
    let path = Path::new("/data/gen-0000000001").join(journal_name(1));
    let bytes = read_all(&disk, &path, 1 << 20).unwrap();
    let begins = frames(&bytes);
    write_manifest_at_end(&disk, 0);
    assert_eq!(content(&open(&disk.crash(Crash::KeepAll, 0), Recover::Strict).unwrap()), contents[4]);
    for lost_from in 1..4 {
        let mut cut = bytes.clone();
        cut[begins[lost_from]..].fill(0);
        put(&disk, &path, &cut);
        let disk = disk.crash(Crash::KeepAll, 0);
        let refused = open(&disk, Recover::Strict).err().expect("the end is missed");
        assert!(refused.message().contains("journal-0001"), "{refused}");
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let problems = verify(&vfs, Path::new("/data")).problems;
        assert!(problems.iter().any(|problem| problem.contains("journal-0001")), "{problems:?}");
        // A crash anywhere while they are given up hides nothing.
        for operations in (0..).step_by(3) {
            let trying = disk.crash(Crash::KeepAll, 0);
            trying.fail_from(trying.operations() + operations);
            let is_done =
                open(&trying, Recover::Degraded).is_ok_and(|engine| engine.write_trouble().is_none());
            for crash in [Crash::KeepNothing, Crash::KeepAll, Crash::KeepSome] {
                let engine = open(&trying.crash(crash, operations), Recover::Degraded).unwrap();
                for series in [a, b, c] {
                    let code = points_of(&engine, series).map_err(|e| e.code());
                    let when =
                        format!("{series} after {lost_from} frames, operation {operations}, {crash:?}");
                    assert_eq!(code, Err(ErrorCode::CorruptData), "{when}");
                }
            }
            if is_done {
                break;
            }
        }
        let engine = open(&disk, Recover::AcceptLoss).unwrap();
        assert_eq!(content(&engine), contents[lost_from]);
    }
}

/// A journal of an earlier time beside one of now has not the frames of that between.
#[test]
fn an_older_copy_of_a_journal_is_missed() {
    let [a, b, c] = series();
    let again: &'static [Step] = Box::leak(Box::new([batch(a, 10), batch(b, 20), batch(c, 40)]));
    let (disk, _) = sample();
    let path = Path::new("/data/gen-0000000001").join(journal_name(1));
    let older = read_all(&disk, &path, 1 << 20).unwrap();
    let engine = open(&disk, Recover::Strict).unwrap();
    Step::Together(again).run(&engine).unwrap();
    let disk = disk.crash(Crash::KeepNothing, 0);
    std::mem::forget(engine);
    open(&disk, Recover::Strict).unwrap();
    put(&disk, &path, &older);
    let refused = open(&disk, Recover::Strict).err().expect("an older copy is missed");
    assert!(refused.message().contains("journal-0001"), "{refused}");
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    assert!(!verify(&vfs, Path::new("/data")).problems.is_empty());
    let engine = open(&disk, Recover::Degraded).unwrap();
    for series in [a, b, c] {
        assert_eq!(points_of(&engine, series).unwrap_err().code(), ErrorCode::CorruptData);
    }
}

/// Puts a file of one disk in the place of another.
fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    disk.remove(path).unwrap();
    disk.create(path).unwrap().write_all_at(bytes, 0).unwrap();
}

/// Each file of a database is as it was written, beside others that are none of its own.
#[test]
fn files_of_another_database_or_generation_are_told_from_ones_own() {
    let (disk, contents) = sample();
    let other = SimDisk::new();
    other.draw().unwrap();
    let (other, _) = sample_on(other);
    // And one database, before and after a load.
    let engine = open(&disk, Recover::Strict).unwrap();
    engine.save("s.snap", &Deadline::none()).unwrap();
    let before = disk.crash(Crash::KeepAll, 0);
    engine.load("s.snap", &Deadline::none()).unwrap();
    let [a, b, c] = series();
    let same: &'static [Step] = Box::leak(Box::new([batch(a, 70), batch(b, 80), batch(c, 90)]));
    Step::Together(same).run(&engine).unwrap();
    let after = disk.crash(Crash::KeepAll, 0);
    std::mem::forget(engine);
    let mut tried = 0;
    for (mine, foreign) in [(&before, &other), (&after, &before)] {
        for path in files(mine) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !["MANIFEST", "wal-", "journal-"].iter().any(|kind| name.starts_with(kind)) {
                continue;
            }
            let theirs = path.to_string_lossy().replace("gen-0000000002", "gen-0000000001");
            let Ok(bytes) = read_all(foreign, Path::new(&theirs), 1 << 20) else { continue };
            if mine.open(&path).is_err() || bytes == read_all(mine, &path, 1 << 20).unwrap() {
                continue;
            }
            tried += 1;
            let disk = mine.crash(Crash::KeepAll, 0);
            put(&disk, &path, &bytes);
            let when = path.display();
            let refused = open(&disk, Recover::Strict).err().unwrap_or_else(|| panic!("{when}: not noticed"));
            assert!(refused.message().contains("belongs to another database"), "{when}: {refused}");
            let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
            let problems = verify(&vfs, Path::new("/data")).problems;
            assert!(problems.iter().any(|problem| problem.contains(&name)), "{when}: {problems:?}");
            let engine = open(&disk, Recover::Degraded).unwrap();
            for series in [a, b, c] {
                if let Ok(points) = points_of(&engine, series) {
                    assert!(
                        points.len() >= contents[4][series].len(),
                        "{when}: {series} served without its end"
                    );
                }
            }
        }
    }
    println!("foreign files: {tried}");
    assert!(tried >= 10, "{tried}");
}

/// What only a journal has gets into the logs even where no file can get longer.
#[test]
fn a_start_after_a_crash_needs_no_space() {
    let [a, b, c] = series();
    let disk = SimDisk::new();
    // One log each, longer than what it is made with.
    let options = Options { buffer_points: 1 << 20, ..options() };
    let clock = Arc::new(ManualClock::new(5));
    let engine = Engine::open_with(Arc::new(disk.clone()), clock, options.clone()).unwrap();
    let create: &'static [Step] = Box::leak(Box::new([Step::Create(a), Step::Create(b), Step::Create(c)]));
    Step::Together(create).run(&engine).unwrap();
    let mut journaled = 0;
    for round in 0..80 {
        let long = |series| Step::Batch { series, start: round * 1000, rows: 300, value: round, label: "" };
        let syncs = engine.counters().wal_syncs;
        Step::Together(Box::leak(Box::new([a, b, c].map(long)))).run(&engine).unwrap();
        journaled += u64::from(engine.counters().wal_syncs == syncs + 1);
        if round % 20 == 3 {
            let disk = disk.crash(Crash::KeepNothing, 0);
            disk.fill_up();
            for background in [false, true] {
                let options = Options { background, ..options.clone() };
                let clock = Arc::new(ManualClock::new(5));
                let full = Engine::open_with(Arc::new(disk.clone()), clock, options).unwrap();
                assert_eq!(content(&full), content(&engine), "round {round}");
                assert_eq!(batch(a, 1).run(&full).unwrap_err().code(), ErrorCode::ReadOnly);
            }
        }
    }
    assert!(journaled > 60, "{journaled} of 80 together");
    std::mem::forget(engine);
}

/// A journal that can't be made is done without; one that can't be written any more is
/// kept, for it has what was acknowledged before.
#[test]
fn a_journal_that_fails_takes_only_what_was_under_way() {
    let [a, b, c] = series();
    let create: &'static [Step] = Box::leak(Box::new([Step::Create(a), Step::Create(b), Step::Create(c)]));
    let first: &'static [Step] = Box::leak(Box::new([batch(a, 10), batch(b, 20), batch(c, 30)]));
    let second: &'static [Step] = Box::leak(Box::new([batch(a, 40), batch(b, 50)]));
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    let mut worlds = Worlds::new();
    for steps in [create, first] {
        run_and_tell(Step::Together(steps), &engine, &mut worlds).unwrap();
    }
    disk.fail_once(disk.operations());
    let failed = run_and_tell(Step::Together(second), &engine, &mut worlds).unwrap_err();
    assert_eq!(failed.code(), ErrorCode::ReadOnly);
    assert!(failed.message().contains("journal"), "{failed}");
    assert!(batch(a, 60).run(&engine).unwrap_err().message().contains("journal"), "read-only from now on");
    // The third shard had no part in it; its next frame takes with it what only the journal has.
    run_and_tell(batch(c, 70), &engine, &mut worlds).unwrap();
    worlds.found(&content(&engine), "read on");
    assert!(engine.close().is_err());
    for crash in [Crash::KeepNothing, Crash::KeepAll] {
        let engine = open(&disk.crash(crash, 0), Recover::Strict).unwrap();
        worlds.clone().found(&content(&engine), &format!("{crash:?}"));
        assert_eq!(points_of(&engine, c).unwrap().len(), 4);
    }
}

/// A panic while the journal is written is told to all that had a part in it.
#[test]
fn a_panic_in_a_shared_commit_is_told_to_everyone_in_it() {
    let [a, b, _] = series();
    let create: &'static [Step] = Box::leak(Box::new([Step::Create(a), Step::Create(b)]));
    let first: &'static [Step] = Box::leak(Box::new([batch(a, 10), batch(b, 20)]));
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    let mut worlds = Worlds::new();
    run_and_tell(Step::Together(create), &engine, &mut worlds).unwrap();
    disk.panic_in("together", 0);
    let failed = std::thread::scope(|scope| {
        let write = || run_and_tell(Step::Together(first), &engine, &mut worlds);
        std::thread::Builder::new()
            .name("together".into())
            .spawn_scoped(scope, write)
            .unwrap()
            .join()
            .unwrap()
    });
    assert_eq!(failed.unwrap_err().code(), ErrorCode::ReadOnly);
    for series in [a, b] {
        let refused = batch(series, 30).run(&engine).unwrap_err();
        assert!(refused.message().contains("simulated panic"), "{refused}");
    }
    drop(engine);
    worlds.found(&content(&open(&disk.crash(Crash::KeepNothing, 0), Recover::Strict).unwrap()), "after it");
}
