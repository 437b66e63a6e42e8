//! Files whose bytes have changed.

use rayon::prelude::*;

use super::steps::Step;
use super::*;
use crate::vfs::FileKind;

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

    // What is made afterwards has lost nothing, and who accepts the loss has the rest.
    let next =
        (0..100).map(|at| format!("new{at}")).find(|next| crate::format::shard_of(next, 3) == shard).unwrap();
    for recover in [Recover::Degraded, Recover::AcceptLoss, Recover::Strict] {
        let engine =
            Engine::open_with(Arc::new(disk.clone()), clock.clone(), Options { recover, ..options() })
                .unwrap();
        if recover == Recover::Degraded {
            create(&engine, &next, 1).unwrap();
            insert(&engine, &next, Some(20), 1.0, &Labels::empty()).unwrap();
            assert_eq!(engine.save("x", &Deadline::none()).unwrap_err().code(), ErrorCode::CorruptData);
        } else {
            assert_eq!(content(&engine)["s"].len(), 50, "{recover:?}");
            assert_eq!(engine.counters().damaged_files, 0, "{recover:?}");
            engine.save("x", &Deadline::none()).unwrap();
        }
        assert_eq!(points_of(&engine, &next).unwrap().len(), 1, "{recover:?}");
    }
}

/// The end of a small database: what was read from it before it was damaged.
struct Sample {
    disk: SimDisk,
    truth: Content,
    /// What is left of it where the last frame of a log counts as torn.
    torn: Vec<Content>,
    /// What is left where a log ends before its first frame.
    cut: Vec<Content>,
}

fn sample() -> Sample {
    sample_after(|_| ())
}

/// The same after an orderly stop: nothing can be missing unnoticed.
fn closed_sample() -> Sample {
    let sample = sample_after(|engine| engine.close().unwrap());
    Sample { torn: Vec::new(), cut: Vec::new(), ..sample }
}

fn sample_after(end: impl Fn(&Engine)) -> Sample {
    let shard = |series: &str| crate::format::shard_of(series, 3);
    let s = "s";
    let t = ["a", "b", "c", "d"].into_iter().find(|t| shard(t) != shard(s)).unwrap();
    let batch = |series, start, rows, value| Step::Batch { series, start, rows, value, label: "x" };
    let before = [
        Step::Create(s),
        Step::Create(t),
        batch(s, 0, 20, 100),
        batch(t, 0, 5, 200),
        Step::Flush,
        batch(s, 10, 20, 300),
        Step::Delete { series: s, start: 3, end: 5 },
        Step::Flush,
        Step::Save("all.snap"),
    ];
    let last = [batch(s, 15, 3, 400), batch(s, 17, 10, 600), batch(t, 3, 3, 500), batch(t, 5, 2, 700)];
    let clock = Arc::new(ManualClock::new(5));
    let run = |kept: &[usize]| {
        let disk = SimDisk::new();
        let engine = open(&disk, &clock).unwrap();
        for step in before.iter().chain(kept.iter().map(|&at| &last[at])) {
            step.run(&engine).unwrap();
        }
        let content = content(&engine);
        end(&engine);
        (disk.crash(Crash::KeepNothing, 0), content)
    };
    let (disk, truth) = run(&[0, 1, 2, 3]);
    let torn = [[0, 2, 3].as_slice(), &[0, 1, 2]].map(|kept| run(kept).1).to_vec();
    let cut = [[2, 3].as_slice(), &[0, 1]].map(|kept| run(kept).1).to_vec();
    Sample { disk, truth, torn, cut }
}

pub(super) fn files(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    let (mut files, mut dirs) = (Vec::new(), vec![Path::new("/data").to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in disk.list(&dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.metadata.kind == FileKind::Dir { dirs.push(path) } else { files.push(path) }
        }
    }
    files
}

/// The disk after a crash that keeps nothing, all, or, by later seeds, a part of what was
/// not synced.
pub(super) fn crashed(disk: &SimDisk, seed: u64) -> SimDisk {
    let crash = [Crash::KeepNothing, Crash::KeepAll].get(seed as usize).copied();
    disk.crash(crash.unwrap_or(Crash::KeepSome), seed)
}

fn degraded(disk: &SimDisk) -> Result<Engine> {
    let options = Options { recover: Recover::Degraded, ..options() };
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options)
}

/// A series' points, or why they can't be had.
pub(super) fn points_of(engine: &Engine, series: &str) -> Result<BTreeMap<(i64, Labels), f64>> {
    let query =
        Query { series: name(series), range: TimeRange::ALL, labels: LabelFilter::any(), limit: usize::MAX };
    let rows = engine.query(&query, &Deadline::none())?.rows;
    let labels = |row| rows.labels_of(row).cloned().unwrap_or_else(Labels::empty);
    Ok((0..rows.len()).map(|row| ((rows.timestamps_ns[row], labels(row)), rows.values_of(row)[0])).collect())
}

/// Opens a database with damage in these files both ways; says whether it was found.
fn look(sample: &Sample, damaged: &SimDisk, paths: &[&Path], when: &str) -> bool {
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    // A log that ends early looks like one that was written no further.
    let is_cut = names.iter().all(|name| name.ends_with(".log")) && !when.contains("flipped");
    let clock = Arc::new(ManualClock::new(5));
    let mut found = false;
    for recover in [Recover::Strict, Recover::Degraded] {
        let disk = damaged.crash(Crash::KeepAll, 0);
        let options = Options { recover, ..options() };
        let engine = match Engine::open_with(Arc::new(disk), clock.clone(), options) {
            Ok(engine) => engine,
            Err(e) => {
                found = true;
                assert_eq!(e.code(), ErrorCode::CorruptData, "{when}, {recover:?}: {e}");
                let is_named = names.iter().any(|name| e.message().contains(name));
                assert!(is_named, "{when}, {recover:?}: {e} does not name one of {names:?}");
                assert!(recover == Recover::Strict, "{when}: nothing is served: {e}");
                continue;
            }
        };
        for (series, truth) in &sample.truth {
            let shard = crate::format::shard_name(crate::format::shard_of(series, 3));
            let healthy = paths.iter().all(|path| !path.to_str().unwrap().contains(&shard));
            match points_of(&engine, series) {
                Ok(points) => assert!(
                    points == *truth
                        || sample.torn.iter().any(|allowed| allowed[series] == points)
                        || is_cut && sample.cut.iter().any(|allowed| allowed[series] == points),
                    "{when}, {recover:?}: {series} has {points:?}, not {truth:?}"
                ),
                Err(e) => {
                    found = true;
                    assert!(!healthy, "{when}, {recover:?}: {series} is whole: {e}");
                    assert_eq!(e.code(), ErrorCode::CorruptData, "{when}, {recover:?}: {e}");
                }
            }
        }
    }
    let vfs: Arc<dyn Vfs> = Arc::new(damaged.clone());
    let verification = verify(&vfs, Path::new("/data"));
    assert!(
        !found || !verification.problems.is_empty(),
        "{when}: the server finds it, verify does not: {verification:?}"
    );
    found || !verification.problems.is_empty()
}

/// What nothing refers to, so that it can't be missed.
fn is_free(path: &Path) -> bool {
    path.starts_with("/data/snapshots") || path.ends_with("LOCK")
}

/// Every byte of every file: one of its bits flipped (all with `TSDB_TEST_ALL_BITS`),
/// the file cut there, and zeros from there on. No damage changes an answer: it is
/// found and named, or it was a frame that may count as torn.
#[test]
fn no_damage_changes_an_answer() {
    let all_bits = std::env::var_os("TSDB_TEST_ALL_BITS").is_some();
    let mut rng = Rng::new(1);
    let (mut tried, mut unnoticed) = (0, 0);
    let (open, closed) = (sample(), closed_sample());
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let of_open = files(&open.disk).into_iter().map(|path| (&open, path));
    let of_closed = files(&closed.disk).into_iter().filter(|path| is_log(path)).map(|path| (&closed, path));
    for (sample, path) in of_open.chain(of_closed) {
        let is_closed = sample.torn.is_empty();
        let bytes = read_all(&sample.disk, &path, 1 << 24).unwrap();
        // The zeros that a log is filled with ahead of use count for nothing.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        let mut damages: Vec<(String, Option<Vec<u8>>)> = vec![("removed".into(), None)];
        for at in 0..used {
            let one = rng.below(8) as u32;
            for bit in if all_bits { 0..8 } else { one..one + 1 } {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                damages.push((format!("bit {bit} of byte {at} flipped"), Some(flipped)));
            }
            damages.push((format!("cut at {at}"), Some(bytes[..at].to_vec())));
            let mut zeroed = bytes.clone();
            zeroed[at..].fill(0);
            damages.push((format!("zeros from {at} on"), Some(zeroed)));
        }
        tried += damages.len();
        let is_unnoticed = |(what, damage): (String, Option<Vec<u8>>)| {
            let disk = sample.disk.crash(Crash::KeepAll, 0);
            disk.remove(&path).unwrap();
            if let Some(damage) = damage {
                disk.create(&path).unwrap().write_all_at(&damage, 0).unwrap();
            }
            let when = format!("{}: {what}, after a stop: {is_closed}", path.display());
            let noticed = look(sample, &disk, &[&path], &when);
            let may_end = is_log(&path) && !is_closed && what != "removed";
            assert!(noticed || may_end || is_free(&path), "{when}: not noticed");
            !noticed
        };
        let damages = damages.into_par_iter();
        unnoticed += on_all_processors(|| damages.map(is_unnoticed).filter(|&unnoticed| unnoticed).count());
    }
    println!("damaged files: {tried}, of which {unnoticed} logs that end earlier");
    assert!(tried > 5000, "{tried} are few");
}

#[test]
fn files_in_the_place_of_others_are_found() {
    let sample = sample();
    let files: Vec<_> = files(&sample.disk).into_iter().filter(|path| !is_free(path)).collect();
    let bytes = |path: &Path| read_all(&sample.disk, path, 1 << 24).unwrap();
    let mut tried = 0;
    for (at, one) in files.iter().enumerate() {
        for other in &files[..at] {
            let disk = sample.disk.crash(Crash::KeepAll, 0);
            for (path, bytes) in [(one, bytes(other)), (other, bytes(one))] {
                disk.remove(path).unwrap();
                disk.create(path).unwrap().write_all_at(&bytes, 0).unwrap();
            }
            let when = format!("{} and {} swapped", one.display(), other.display());
            assert!(look(&sample, &disk, &[one, other], &when), "{when}: not noticed");
            tried += 1;
        }
    }
    println!("files swapped: {tried}");
    assert!(tried > 40, "{tried}");
}

/// `CURRENT` and `DATABASE` follow from the rest, where there is one generation.
/// Neither one that names what is not there, nor one that is whole and another's.
#[test]
fn a_current_of_another_database_costs_nothing() {
    let sample = sample();
    let clock = Arc::new(ManualClock::new(5));
    let path = Path::new("/data/CURRENT");
    let other = SimDisk::new();
    (0..99).for_each(|_| drop(other.draw()));
    let engine = Engine::open_with(Arc::new(other.clone()), clock.clone(), options()).unwrap();
    let of_same_number = read_all(&other, path, 1 << 10).unwrap();
    engine.save("s.snap", &Deadline::none()).unwrap();
    engine.load("s.snap", &Deadline::none()).unwrap();
    let of_later_number = read_all(&other, path, 1 << 10).unwrap();
    assert_ne!(of_same_number, of_later_number);
    for current in [of_same_number, of_later_number] {
        let disk = sample.disk.crash(Crash::KeepAll, 0);
        disk.remove(path).unwrap();
        disk.create(path).unwrap().write_all_at(&current, 0).unwrap();
        let open_as = |recover| {
            let options = Options { recover, ..options() };
            Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
        };
        let before = files(&disk);
        assert_eq!(open_as(Recover::Strict).err().unwrap().code(), ErrorCode::CorruptData);
        assert!(before.iter().all(|file| files(&disk).contains(file)), "a refusal removes nothing");
        assert_eq!(content(&open_as(Recover::Degraded).unwrap()), sample.truth);
        assert_eq!(content(&open_as(Recover::Strict).unwrap()), sample.truth);
    }
}

#[test]
fn what_the_directory_is_can_be_told_from_the_rest() {
    let sample = sample();
    let clock = Arc::new(ManualClock::new(5));
    let open_as = |disk: &SimDisk, recover| {
        let options = Options { recover, ..options() };
        Engine::open_with(Arc::new(disk.clone()), clock.clone(), options)
    };
    let both = [Path::new("/data/CURRENT"), Path::new("/data/DATABASE")];
    let damaged = || {
        let disk = sample.disk.crash(Crash::KeepAll, 0);
        for path in both {
            let file = disk.open_write(path).unwrap();
            file.write_all_at(&[0xee; 20], 20).unwrap();
            file.sync().unwrap();
        }
        disk
    };
    let disk = damaged();
    let strict = open_as(&disk, Recover::Strict).err().unwrap();
    assert!(strict.message().contains("/data/DATABASE") && strict.message().contains("--recover=degraded"));
    // Whatever a crash leaves of the mending, the next start goes on with it.
    for operation in 0.. {
        let disk = damaged();
        disk.fail_from(disk.operations() + operation);
        let whole = degraded(&disk).is_ok();
        for seed in 0..6 {
            let after = disk.crash(if seed == 0 { Crash::KeepNothing } else { Crash::KeepSome }, seed);
            let engine = degraded(&after).unwrap();
            assert_eq!(content(&engine), sample.truth, "operation {operation}, seed {seed}");
            drop(engine);
            assert_eq!(content(&open_as(&after, Recover::Strict).unwrap()), sample.truth);
            for name in ["CURRENT", "DATABASE"] {
                let kept = Path::new("/data/quarantine").join(name);
                assert!(after.metadata(&kept).unwrap().is_some(), "{name} is gone");
                let reason = format!("{}.reason", kept.display());
                assert!(after.metadata(Path::new(&reason)).unwrap().is_some(), "{name} has no reason");
            }
        }
        if whole {
            break;
        }
    }
    // With a second generation it can't be told which one is live.
    let disk = damaged();
    disk.create_dir(Path::new("/data/gen-0000000002")).unwrap();
    let before = files(&disk);
    let refused = degraded(&disk).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::CorruptData);
    assert!(refused.message().contains("gen-0000000001, gen-0000000002"), "{refused}");
    assert_eq!(files(&disk), before);
}

/// Damage is set aside in several operations of the disk; a crash between them must not
/// make the engine forget that something is missing.
#[test]
fn a_crash_while_damage_is_set_aside_forgets_nothing() {
    let sample = sample();
    let mut tried = 0;
    for path in files(&sample.disk) {
        let file = path.to_str().unwrap().to_owned();
        if !file.ends_with(".log") && !file.ends_with(".seg") {
            continue;
        }
        for operation in 0.. {
            let disk = sample.disk.crash(Crash::KeepAll, 0);
            // In the first frame of a log, and in the index of a segment.
            let at =
                if file.ends_with(".log") { 70 } else { disk.metadata(&path).unwrap().unwrap().len - 40 };
            let damaged = disk.open_write(&path).unwrap();
            let mut byte = [0];
            damaged.read_at(&mut byte, at).unwrap();
            damaged.write_all_at(&[!byte[0]], at).unwrap();
            damaged.sync().unwrap();
            let before = disk.operations();
            disk.fail_from(before + operation);
            let whole = degraded(&disk).is_ok();
            for seed in 0..8 {
                let after = crashed(&disk, seed);
                let when = format!("{file}, operation {operation}, crash {seed}");
                let engine = degraded(&after).unwrap_or_else(|e| panic!("{when}: {e}"));
                for (series, truth) in &sample.truth {
                    let hit = file.contains(&crate::format::shard_name(crate::format::shard_of(series, 3)));
                    match points_of(&engine, series) {
                        Ok(points) => assert!(!hit && points == *truth, "{when}: {series} has {points:?}"),
                        Err(e) => assert!(hit && e.code() == ErrorCode::CorruptData, "{when}: {e}"),
                    }
                }
                // The damaged bytes are somewhere still.
                let moved = file.strip_prefix("/data/").unwrap().replace('/', ".");
                let quarantined = Path::new("/data/quarantine").join(moved);
                let kept =
                    [&path, quarantined.as_path()].iter().any(|at| after.metadata(at).unwrap().is_some());
                assert!(kept, "{when}: the damaged file is gone");
                tried += 1;
            }
            if whole {
                break;
            }
        }
    }
    println!("crashes while damage was set aside: {tried}");
    assert!(tried > 100, "{tried}");
}

/// The new file takes the name of the damaged one, whose bytes must be elsewhere by then.
#[test]
fn a_crash_while_a_file_is_made_anew_keeps_the_damaged_one() {
    let sample = sample();
    for name in ["CURRENT", "DATABASE"] {
        let path = Path::new("/data").join(name);
        for operation in 0.. {
            let disk = sample.disk.crash(Crash::KeepAll, 0);
            let damaged = disk.open_write(&path).unwrap();
            damaged.write_all_at(&[0xee; 20], 30).unwrap();
            damaged.sync().unwrap();
            let bytes = read_all(&disk, &path, 1 << 16).unwrap();
            disk.fail_from(disk.operations() + operation);
            let whole = degraded(&disk).is_ok();
            for seed in 0..8 {
                let after = crashed(&disk, seed);
                let when = format!("{name}, operation {operation}, crash {seed}");
                let engine = degraded(&after).unwrap_or_else(|e| panic!("{when}: {e}"));
                for (series, truth) in &sample.truth {
                    assert_eq!(points_of(&engine, series).unwrap(), *truth, "{when}: {series}");
                }
                let is_it = |path: &std::path::PathBuf| read_all(&after, path, 1 << 24).unwrap() == bytes;
                assert!(files(&after).iter().any(is_it), "{when}: the damaged file is gone");
            }
            if whole {
                break;
            }
        }
    }
}

#[test]
fn a_load_replaces_what_can_not_be_read_and_keeps_its_files() {
    let sample = sample();
    let manifests: Vec<_> =
        files(&sample.disk).into_iter().filter(|path| path.ends_with("MANIFEST")).collect();
    let disk = sample.disk.crash(Crash::KeepAll, 0);
    let shard = crate::format::shard_name(crate::format::shard_of("s", 3));
    let path = manifests.iter().find(|path| path.to_str().unwrap().contains(&shard)).unwrap();
    disk.open_write(path).unwrap().write_all_at(&[0xee; 20], 30).unwrap();
    let lost = files(&disk).iter().filter(|path| path.to_str().unwrap().contains(&shard)).count();
    let options = Options { recover: Recover::Degraded, ..options() };
    let clock = Arc::new(ManualClock::new(5));
    let engine = Engine::open_with(Arc::new(disk.clone()), clock.clone(), options).unwrap();
    for refused in [Step::Batch { series: "s", start: 0, rows: 1, value: 0, label: "" }, Step::Create("s")] {
        assert_eq!(refused.run(&engine).unwrap_err().code(), ErrorCode::CorruptData);
    }
    // What does not help is not advised.
    let said = points_of(&engine, "s").unwrap_err();
    assert!(said.message().contains("LOAD a snapshot") && !said.message().contains("accept-loss"), "{said}");
    let saved = engine.save("partial", &Deadline::none());
    assert_eq!(saved.unwrap_err().code(), ErrorCode::CorruptData, "a snapshot of a part");
    engine.load("all.snap", &Deadline::none()).unwrap();
    assert!(engine.write_trouble().is_none());
    assert_eq!(points_of(&engine, "s").unwrap().len(), 27);
    let kept = disk.list(Path::new("/data/quarantine")).unwrap();
    assert_eq!(kept.len(), 2 * lost, "each file and its reason: {kept:?}");
    drop(engine);
    assert_eq!(points_of(&open(&disk, &clock).unwrap(), "s").unwrap().len(), 27);
}
