//! Segments of which a block can't be read: what is left of them once that is accepted.

use std::path::PathBuf;

use super::damage::{crashed, files, points_of};
use super::steps::Step;
use super::*;
use crate::format::block_rows_for;
use crate::segments::open_unlisted;
use crate::vector::Target;

/// A database of which one block is damaged.
struct Rotten {
    disk: SimDisk,
    segment: PathBuf,
    series: &'static str,
    /// What is there without the block.
    rest: Content,
}

fn options() -> Options {
    let compaction = crate::compaction::CompactionOptions { fanout: 2, ..Default::default() };
    Options { shards: 1, compaction, ..super::options() }
}

fn open(disk: &SimDisk, recover: Recover) -> Result<Engine> {
    let clock = Arc::new(ManualClock::new(5));
    Engine::open_with(Arc::new(disk.clone()), clock, Options { recover, ..options() })
}

const BEFORE: [Step; 3] = [Step::Create("s"), Step::Create("t"), Step::Create("u")];

/// Two segments, a block in them for each series, of which some are left out. A tombstone
/// stands beside those of the second.
fn segments(of_first: [bool; 3], of_second: [bool; 2]) -> Vec<Step> {
    let batch = |series, start, rows, value| Step::Batch { series, start, rows, value, label: "x" };
    let first = [batch("s", 0, 20, 100), batch("t", 0, 5, 200), batch("u", 0, 7, 800)];
    let second = [batch("s", 10, 20, 300), batch("t", 3, 6, 400)];
    let chosen = |steps: &[Step], kept: &[bool]| -> Vec<Step> {
        steps.iter().zip(kept).filter(|(_, kept)| **kept).map(|(step, _)| *step).collect()
    };
    let mut steps = BEFORE.to_vec();
    steps.extend(chosen(&first, &of_first));
    steps.push(Step::Flush);
    steps.push(Step::Delete { series: "s", start: 3, end: 5 });
    steps.extend(chosen(&second, &of_second));
    steps.push(Step::Flush);
    steps
}

fn run(steps: &[Step]) -> (SimDisk, Content) {
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    for step in steps {
        step.run(&engine).unwrap();
    }
    let content = content(&engine);
    drop(engine);
    (disk.crash(Crash::KeepNothing, 0), content)
}

/// The database with each of its blocks damaged.
fn rotten() -> Vec<Rotten> {
    let (disk, _) = run(&segments([true; 3], [true; 2]));
    let mut paths: Vec<_> = files(&disk).into_iter().filter(|path| is_segment(path)).collect();
    paths.sort();
    assert_eq!(paths.len(), 2);
    let mut all = Vec::new();
    for (number, segment) in paths.iter().enumerate() {
        let index = open_unlisted(&disk, segment).unwrap();
        for (at, (entry, series)) in index.index().series.iter().zip(["s", "t", "u"]).enumerate() {
            let (mut of_first, mut of_second) = ([true; 3], [true; 2]);
            if number == 0 {
                of_first[at] = false;
            } else {
                of_second[at] = false;
            }
            let disk = disk.crash(Crash::KeepAll, 0);
            let [block] = entry.blocks.as_slice() else { panic!("one block each") };
            let file = disk.open_write(segment).unwrap();
            file.write_all_at(&[0xee; 3], block.offset + 6).unwrap();
            file.sync().unwrap();
            let rest = run(&segments(of_first, of_second)).1;
            all.push(Rotten { disk, segment: segment.clone(), series, rest });
        }
    }
    assert_eq!(all.len(), 5);
    all
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Whether the damaged file is still somewhere.
fn is_kept(rotten: &Rotten, disk: &SimDisk) -> bool {
    let moved = rotten.segment.strip_prefix("/data").unwrap().to_str().unwrap().replace('/', ".");
    let quarantined = Path::new("/data/quarantine").join(moved);
    [&rotten.segment, &quarantined].iter().any(|at| disk.metadata(at).unwrap().is_some())
}

#[test]
fn a_deletion_that_cannot_be_counted_deletes_nothing() {
    for rotten in rotten() {
        let when = format!("{} in {}", rotten.series, rotten.segment.display());
        let (_, truth) = run(&segments([true; 3], [true; 2]));
        let engine = open(&rotten.disk, Recover::Strict).unwrap();
        let delete = |series| Write::DeleteRange {
            series: name(series),
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
        };
        let refused = engine.write(delete(rotten.series)).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::CorruptData, "{when}");
        // What is there of all series can be said, about the damaged one as much as there can be.
        Step::Batch { series: rotten.series, start: 3, rows: 1, value: 900, label: "x" }
            .run(&engine)
            .unwrap();
        for listed in engine.list(&Deadline::none()).unwrap() {
            let points = truth[listed.name.as_str()].len() as u64;
            let is_exact = listed.name.as_str() != rotten.series;
            assert!(listed.count >= points && (!is_exact || listed.count == points), "{when}: {listed:?}");
        }
        assert!(engine.totals(&Deadline::none()).is_ok(), "{when}");
        drop(engine);
        let engine = open(&rotten.disk, Recover::AcceptLoss).unwrap();
        let found = points_of(&engine, rotten.series).unwrap();
        assert!(
            rotten.rest[rotten.series].keys().all(|point| found.contains_key(point)),
            "{when}: {found:?}"
        );
        for series in ["s", "t", "u"].into_iter().filter(|series| *series != rotten.series) {
            let there = truth[series].len() as u64;
            assert_eq!(engine.write(delete(series)).unwrap(), Written::Deleted { deleted: there }, "{when}");
        }
    }
}

#[test]
fn what_is_left_of_a_segment_is_kept() {
    for rotten in rotten() {
        let when = format!("{} in {}", rotten.series, rotten.segment.display());
        let (_, truth) = run(&segments([true; 3], [true; 2]));
        for recover in [Recover::Strict, Recover::Degraded] {
            let engine = open(&rotten.disk, recover).unwrap();
            for (series, points) in &truth {
                match points_of(&engine, series) {
                    Ok(found) => assert!(found == *points && series != rotten.series, "{when}: {series}"),
                    Err(e) => {
                        assert!(
                            series == rotten.series && e.message().contains("accept-loss"),
                            "{when}: {e}"
                        );
                    }
                }
            }
            assert!(is_kept(&rotten, &rotten.disk), "{when}: {recover:?}");
        }
        for recover in [Recover::AcceptLoss, Recover::Strict, Recover::AcceptLoss] {
            let engine = open(&rotten.disk, recover).unwrap();
            assert_eq!(content(&engine), rotten.rest, "{when}, {recover:?}");
            let counters = engine.counters();
            assert_eq!((counters.damaged_files, counters.damaged_blocks), (0, 0), "{when}, {recover:?}");
            engine.save("rest.snap", &Deadline::none()).unwrap();
        }
        assert!(is_kept(&rotten, &rotten.disk) && rotten.disk.metadata(&rotten.segment).unwrap().is_none());
        let kept = rotten.disk.list(Path::new("/data/quarantine")).unwrap();
        assert_eq!(kept.len(), 2, "the file and its reason: {kept:?}");
        let vfs: Arc<dyn Vfs> = Arc::new(rotten.disk.clone());
        assert_eq!(verify(&vfs, Path::new("/data")).problems, Vec::<String>::new(), "{when}");
        let engine = open(&rotten.disk, Recover::Strict).unwrap();
        assert_eq!(engine.compact().unwrap(), 1, "{when}");
        assert_eq!(content(&engine), rotten.rest, "{when}, merged");
    }
}

#[test]
fn a_damaged_segment_is_not_merged_again_and_again() {
    for rotten in rotten() {
        let engine = open(&rotten.disk, Recover::Strict).unwrap();
        assert_eq!(engine.compact().unwrap_err().code(), ErrorCode::CorruptData);
        assert_eq!(engine.compact().unwrap(), 0, "it is known to be damaged");
        assert_eq!(engine.counters().damaged_blocks, 1);
        for start in [1000, 2000] {
            batch(&engine, start, 5).unwrap();
            engine.flush().unwrap();
        }
        assert!(engine.compact().unwrap() > 0, "others are merged");
        assert!(is_kept(&rotten, &rotten.disk));
    }
}

/// A search for similar points reads all vectors of a segment at once, but it need not.
#[test]
fn similar_points_beside_a_damaged_block_are_found() {
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    create(&engine, "v", 64).unwrap();
    let rows = 3 * block_rows_for(64) as i64;
    let points = Points {
        dimension: 64,
        timestamps_ns: (0..rows).collect(),
        values: (0..rows * 64).map(|at| (at % 97) as f64 + 1.0).collect(),
        ..Points::default()
    };
    engine.write(Write::Insert { series: name("v"), points }).unwrap();
    engine.flush().unwrap();
    drop(engine);
    let path = files(&disk).into_iter().find(|path| is_segment(path)).unwrap();
    let blocks = open_unlisted(&disk, &path).unwrap().index().series[0].blocks.clone();
    assert!(blocks.len() >= 3, "{blocks:?}");
    let damaged = &blocks[1];
    disk.open_write(&path).unwrap().write_all_at(&[0xee; 3], damaged.offset + 6).unwrap();
    let engine = open(&disk, Recover::Strict).unwrap();
    let find = |range| {
        let target = Target::direction(&[1.0; 64], 64).unwrap();
        let wanted = PointQuery { target, limit: 5, threshold: -1.0, recall: None };
        let found =
            engine.find_points(&name("v"), (range, &LabelFilter::any()), &[wanted], &Deadline::none());
        found.map(|found| found[0].matches.len())
    };
    for _ in 0..2 {
        assert_eq!(find(damaged.range).unwrap_err().code(), ErrorCode::CorruptData);
        assert_eq!(find(TimeRange::new(0, damaged.range.start_ns - 1).unwrap()).unwrap(), 5);
        assert_eq!(find(TimeRange::new(damaged.range.end_ns + 1, rows).unwrap()).unwrap(), 5);
    }
}

/// What a LOAD replaces is removed, but for what nobody could read.
#[test]
fn a_load_keeps_a_damaged_segment() {
    for rotten in rotten() {
        let engine = open(&rotten.disk, Recover::Strict).unwrap();
        assert!(points_of(&engine, rotten.series).is_err());
        let other = SimDisk::new();
        let source = open(&other, Recover::Strict).unwrap();
        create(&source, "new", 1).unwrap();
        let saved = source.save("new.snap", &Deadline::none()).unwrap().path;
        let bytes = read_all(&other, &saved, 1 << 20).unwrap();
        rotten.disk.create_dir(Path::new("/data/snapshots")).unwrap();
        rotten.disk.create(&saved).unwrap().write_all_at(&bytes, 0).unwrap();
        engine.load("new.snap", &Deadline::none()).unwrap();
        assert_eq!(content(&engine).len(), 1);
        assert_eq!(engine.counters().damaged_blocks, 0);
        assert!(is_kept(&rotten, &rotten.disk) && rotten.disk.metadata(&rotten.segment).unwrap().is_none());
    }
}

/// A block that the disk does not give back is as lost as one with wrong bytes.
#[test]
fn a_block_that_the_disk_refuses_is_damaged() {
    let (disk, _) = run(&segments([true; 3], [true; 2]));
    let engine = open(&disk, Recover::Strict).unwrap();
    let reads = disk.reads();
    // That which need not wait, too.
    disk.fail_reads(reads..reads + 2);
    assert_eq!(points_of(&engine, "u").unwrap_err().code(), ErrorCode::CorruptData);
    assert_eq!(engine.counters().damaged_blocks, 1);
}

/// In whatever operation the disk fails, and whatever a crash leaves: nothing is forgotten
/// that the operator did not give up, no wrong value is shown, and the file is kept.
#[test]
fn a_crash_while_the_rest_is_copied_loses_nothing_of_it() {
    let mut tried = 0;
    for rotten in rotten() {
        for operation in 0.. {
            let disk = rotten.disk.crash(Crash::KeepAll, 0);
            disk.fail_from(disk.operations() + operation);
            let whole = open(&disk, Recover::AcceptLoss).is_ok();
            for seed in 0..8 {
                let after = crashed(&disk, seed);
                let when = format!("{}, operation {operation}, crash {seed}", rotten.segment.display());
                let engine = open(&after, Recover::Strict).unwrap_or_else(|e| panic!("{when}: {e}"));
                for (series, rest) in &rotten.rest {
                    match points_of(&engine, series) {
                        Ok(points) => assert_eq!(points, *rest, "{when}: {series}"),
                        Err(e) => assert_eq!(e.code(), ErrorCode::CorruptData, "{when}: {e}"),
                    }
                }
                assert!(is_kept(&rotten, &after), "{when}: the damaged file is gone");
                drop(engine);
                let engine = open(&after, Recover::AcceptLoss).unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(content(&engine), rotten.rest, "{when}");
                assert!(is_kept(&rotten, &after), "{when}: the damaged file is gone at last");
                tried += 1;
            }
            if whole {
                break;
            }
        }
    }
    println!("crashes while the rest of a segment was copied: {tried}");
    assert!(tried > 500, "{tried}");
}
