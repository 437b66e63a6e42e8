//! Indexes of vectors: what they find, and that nothing depends on them.

use std::path::PathBuf;

use rayon::prelude::*;

use super::similar::by_scanning;
use super::*;
use crate::format::HEADER_BYTES;
use crate::vector::Target;

const DIMENSION: usize = 8;

fn index_options() -> Options {
    Options { shards: 1, buffer_points: 1_000_000, index_rows_min: 200, ..options() }
}

fn open_on(disk: &SimDisk) -> Result<Engine> {
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), index_options())
}

/// Points around a few directions; what comes later is around the same.
struct Source {
    rng: Rng,
    middles: Vec<f64>,
}

impl Source {
    fn new(clusters: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let middles = (0..clusters * DIMENSION).map(|_| rng.unit_f64() - 0.5).collect();
        Self { rng, middles }
    }

    fn point(&mut self) -> Vec<f64> {
        let at = self.rng.below((self.middles.len() / DIMENSION) as u64) as usize * DIMENSION;
        let middle = self.middles[at..at + DIMENSION].to_vec();
        middle.iter().map(|number| number + 0.3 * (self.rng.unit_f64() - 0.5)).collect()
    }
}

fn create_and_fill(engine: &Engine, source: &mut Source, times: std::ops::Range<i64>) -> Result<()> {
    engine.write(Write::Create {
        name: name("v"),
        dimension: DIMENSION as u32,
        value_type: ValueType::F64,
        if_not_exists: true,
    })?;
    // Every second, tenth, hundredth and thousandth row has a label of its own.
    let shares = [2, 10, 100, 1000];
    let labels = |time: i64| {
        let of = shares.iter().filter(|&&share| time % share == 0);
        Labels::new(of.map(|share| (format!("one_of_{share}"), "yes"))).unwrap()
    };
    let mut points = Points { dimension: DIMENSION, ..Points::default() };
    for time in times {
        let set = labels(time);
        let id = points.label_sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            points.label_sets.push(set);
            points.label_sets.len() - 1
        });
        points.label_ids.push(id as u32);
        points.timestamps_ns.push(time);
        points.values.extend(source.point());
    }
    engine.write(Write::Insert { series: name("v"), points }).map(drop)
}

fn ask(engine: &Engine, vector: &[f64], labels: &LabelFilter, recall: Option<f64>) -> PointMatches {
    let target = Target::direction(vector, DIMENSION).unwrap();
    let query = PointQuery { target, limit: 10, threshold: -1.0, recall };
    let mut found =
        engine.find_points(&name("v"), (TimeRange::ALL, labels), &[query], &Deadline::none()).unwrap();
    found.pop().unwrap()
}

/// The part of the true matches that were found, and how many answers came from the index.
fn recall(engine: &Engine, source: &mut Source, labels: &LabelFilter) -> (f64, usize) {
    let (mut found, mut wanted, mut indexed) = (0, 0, 0);
    for _ in 0..60 {
        let vector = source.point();
        let exact = ask(engine, &vector, labels, None);
        assert!(exact.exact);
        let quick = ask(engine, &vector, labels, Some(0.99));
        assert_eq!(quick.matches.len(), exact.matches.len(), "never too few");
        let is_found = |wanted: &&crate::vector::Match| quick.matches.contains(wanted);
        found += exact.matches.iter().filter(is_found).count();
        wanted += exact.matches.len();
        indexed += usize::from(quick.scanned < 10_000);
    }
    (f64::from(found as u32) / f64::from(wanted as u32), indexed)
}

#[test]
fn recall_holds_under_filters_and_after_deletions() {
    let engine = open_on(&SimDisk::new()).unwrap();
    let mut source = Source::new(100, 7);
    create_and_fill(&engine, &mut source, 0..20_000).unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.index().unwrap(), 1);
    assert_eq!(engine.index().unwrap(), 0, "it is there");
    let counters = engine.counters();
    assert!(counters.vector_index_bytes > 0);
    assert_eq!((counters.vector_rows, counters.vector_rows_indexed), (20_000, 20_000));
    let filter = |share: u32| LabelFilter::new(Labels::new([(format!("one_of_{share}"), "yes")]).unwrap());
    let mut filters = vec![LabelFilter::any()];
    filters.extend([2, 10, 100, 1000].map(filter));
    let check = |source: &mut Source, when: &str| {
        for (at, labels) in filters.iter().enumerate() {
            let (recall, indexed) = recall(&engine, source, labels);
            println!("{when}, filter {at}: recall {recall:.4}, {indexed} of 60 by the index");
            assert!(recall >= 0.985, "{when}, filter {at}: recall {recall}");
            assert!(at > 1 || indexed > 50, "{when}, filter {at}: the index is not used");
        }
    };
    check(&mut source, "all");
    // Every third stretch of time goes.
    for at in 0..40 {
        let start = at * 500 + at * 37 % 350;
        let range = TimeRange { start_ns: start, end_ns: start + 149 };
        let labels = LabelFilter::any();
        engine.write(Write::DeleteRange { series: name("v"), range, labels }).unwrap();
    }
    check(&mut source, "30 % deleted");
    create_and_fill(&engine, &mut source, 20_000..21_000).unwrap();
    check(&mut source, "more in memory");
}

#[test]
fn exact_answers_leave_out_lists_that_have_nothing_and_miss_nothing() {
    let engine = open_on(&SimDisk::new()).unwrap();
    let mut source = Source::new(100, 11);
    let mut most = 0;
    // Two segments, and points in memory.
    for times in [0..15_000, 15_000..20_000, 20_000..20_500] {
        if engine.counters().points_written > 0 {
            engine.flush().unwrap();
        }
        create_and_fill(&engine, &mut source, times).unwrap();
    }
    assert_eq!(engine.index().unwrap(), 2);
    let range = TimeRange { start_ns: 9000, end_ns: 9500 };
    engine.write(Write::DeleteRange { series: name("v"), range, labels: LabelFilter::any() }).unwrap();
    let one_of_two = LabelFilter::new(Labels::new([("one_of_2", "yes")]).unwrap());
    for (labels, threshold) in [
        (LabelFilter::any(), -1.0),
        (LabelFilter::any(), 0.98),
        (one_of_two.clone(), -1.0),
        (one_of_two, 0.999),
    ] {
        for together in [1, 5, 40] {
            let vectors: Vec<Vec<f64>> = (0..together).map(|_| source.point()).collect();
            let queries: Vec<PointQuery> = vectors
                .iter()
                .map(|vector| {
                    let target = Target::direction(vector, DIMENSION).unwrap();
                    PointQuery { target, limit: 10, threshold, recall: None }
                })
                .collect();
            let everywhere = (TimeRange::ALL, &labels);
            let found = engine.find_points(&name("v"), everywhere, &queries, &Deadline::none()).unwrap();
            let all =
                Query { series: name("v"), range: TimeRange::ALL, labels: labels.clone(), limit: usize::MAX };
            for ((found, vector), query) in found.iter().zip(&vectors).zip(&queries) {
                assert_eq!(found.matches, by_scanning(&engine, &all, vector, query), "{together} together");
                assert!(found.exact);
                most = most.max(found.scanned);
            }
        }
    }
    assert!(most < 10_000, "{most} of 20,000 vectors were looked at");
}

#[test]
fn recall_holds_where_the_nearest_are_not_selected() {
    let engine = open_on(&SimDisk::new()).unwrap();
    let mut first = Source::new(60, 21);
    create_and_fill(&engine, &mut first, 0..10_000).unwrap();
    let mut second = Source::new(60, 22);
    create_and_fill(&engine, &mut second, 10_000..20_000).unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.index().unwrap(), 1);
    let half = TimeRange { start_ns: 0, end_ns: 9999 };
    // Like what is not selected; and like nothing.
    let mut rng = Rng::new(23);
    let mut anywhere = || (0..DIMENSION).map(|_| rng.unit_f64() - 0.5).collect::<Vec<f64>>();
    for (range, vectors) in [
        (half, (0..60).map(|_| second.point()).collect::<Vec<_>>()),
        (TimeRange::ALL, (0..60).map(|_| anywhere()).collect()),
    ] {
        let (mut found, mut wanted) = (0, 0);
        for vector in vectors {
            let target = Target::direction(&vector, DIMENSION).unwrap();
            let answer = |recall| {
                let query = PointQuery { target: target.clone(), limit: 10, threshold: -1.0, recall };
                let everywhere = (range, &LabelFilter::any());
                engine
                    .find_points(&name("v"), everywhere, &[query], &Deadline::none())
                    .unwrap()
                    .pop()
                    .unwrap()
            };
            let (exact, quick) = (answer(None), answer(Some(0.99)));
            found += exact.matches.iter().filter(|wanted| quick.matches.contains(wanted)).count();
            wanted += exact.matches.len();
        }
        assert!(found * 100 >= wanted * 99, "{found} of {wanted} in {range:?}");
    }
}

fn vector_files(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new("/data/gen-0000000001/shard-0000");
    let names = disk.list(dir).unwrap().into_iter().map(|entry| entry.name);
    names
        .filter(|name| crate::format::parse_vectors_name(name).is_some())
        .map(|name| dir.join(name))
        .collect()
}

/// Answers with the index allowed are complete, those without it exact.
fn check_answers(engine: &Engine, when: &str) {
    let query =
        Query { series: name("v"), range: TimeRange::ALL, labels: LabelFilter::any(), limit: usize::MAX };
    let mut source = Source::new(20, 3);
    for _ in 0..3 {
        let vector = source.point();
        let target = Target::direction(&vector, DIMENSION).unwrap();
        let wanted = PointQuery { target, limit: 10, threshold: -1.0, recall: None };
        let expected = by_scanning(engine, &query, &vector, &wanted);
        assert_eq!(ask(engine, &vector, &query.labels, None).matches, expected, "{when}");
        let quick = ask(engine, &vector, &query.labels, Some(0.9)).matches;
        assert_eq!(quick.len(), expected.len(), "{when}");
    }
}

#[test]
fn a_damaged_index_is_made_anew_and_a_newer_one_refused() {
    let disk = SimDisk::new();
    let engine = open_on(&disk).unwrap();
    create_and_fill(&engine, &mut Source::new(20, 3), 0..400).unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.index().unwrap(), 1);
    engine.close().unwrap();
    let [path] = &vector_files(&disk)[..] else { panic!("one index") };
    let bytes = read_all(&disk, path, 1 << 20).unwrap();
    let mut rng = Rng::new(11);
    let mut damages = vec![("removed".to_owned(), None)];
    for at in (0..bytes.len()).step_by(31).chain(0..64) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << rng.below(8);
        damages.push((format!("byte {at} changed"), Some(flipped)));
    }
    for at in (0..bytes.len()).step_by(397) {
        damages.push((format!("cut at {at}"), Some(bytes[..at].to_vec())));
    }
    for (what, damage) in damages {
        let disk = disk.crash(Crash::KeepAll, 0);
        disk.remove(path).unwrap();
        let is_newer =
            damage.as_ref().is_some_and(|bytes| bytes.get(8..10).is_some_and(|version| version != [1, 0]));
        if let Some(damage) = &damage {
            disk.create(path).unwrap().write_all_at(damage, 0).unwrap();
            let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
            let verification = verify(&vfs, Path::new("/data"));
            assert!(verification.notes.len() + verification.problems.len() > 0, "{what}: {verification:?}");
        }
        let engine = match open_on(&disk) {
            Ok(engine) => engine,
            Err(e) => {
                assert!(is_newer && e.code() == ErrorCode::InvalidArgument, "{what}: {e}");
                assert_eq!(read_all(&disk, path, 1 << 20).unwrap(), damage.unwrap(), "{what}: untouched");
                continue;
            }
        };
        check_answers(&engine, &what);
        assert_eq!(engine.index().unwrap(), 1, "{what}");
        assert_eq!(
            read_all(&disk, path, 1 << 20).unwrap(),
            bytes,
            "{what}: the same segment gives the same index"
        );
        check_answers(&engine, &what);
    }
    let mut newer = bytes.clone();
    newer[8] = 2;
    let crc = crc32fast::hash(&newer[..HEADER_BYTES - 4]);
    newer[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    disk.remove(path).unwrap();
    disk.create(path).unwrap().write_all_at(&newer, 0).unwrap();
    assert_eq!(open_on(&disk).err().unwrap().code(), ErrorCode::InvalidArgument);
    assert_eq!(read_all(&disk, path, 1 << 20).unwrap(), newer, "it is left as it is");
}

/// Flushes, indexes and compactions; says how far it came.
fn live(engine: &Engine) -> Result<()> {
    let mut source = Source::new(20, 3);
    for at in 0..3 {
        create_and_fill(engine, &mut source, at * 200..at * 200 + 250)?;
        engine.flush()?;
        engine.index()?;
    }
    engine.compact()?;
    engine.index()?;
    Ok(())
}

/// The n-th operation of the disk fails, and the process is killed there.
fn fail_at(operation: u64) {
    let disk = SimDisk::new();
    drop(open_on(&disk).unwrap());
    let at = disk.operations() + operation;
    if operation.is_multiple_of(2) {
        disk.fail_from(at);
    } else {
        disk.fail_once(at);
    }
    if let Ok(engine) = open_on(&disk) {
        // What fails is tried again below.
        let _ = live(&engine);
    }
    for crash in [Crash::KeepNothing, Crash::KeepSome, Crash::KeepAll] {
        let after = disk.crash(crash, operation);
        let when = format!("operation {operation}, {crash:?}");
        let engine = open_on(&after).unwrap_or_else(|e| panic!("{when}: {e}"));
        live(&engine).unwrap_or_else(|e| panic!("{when}: {e}"));
        check_answers(&engine, &when);
        let counters = engine.counters();
        assert_eq!(counters.vector_rows, counters.vector_rows_indexed, "{when}");
        drop(engine);
        let engine = open_on(&after).unwrap();
        check_answers(&engine, &when);
        for path in vector_files(&after) {
            assert!(after.metadata(&path.with_extension("seg")).unwrap().is_some(), "{when}: {path:?}");
        }
    }
}

#[test]
fn failures_and_crashes_leave_no_wrong_index_and_no_stray_file() {
    let disk = SimDisk::new();
    drop(open_on(&disk).unwrap());
    let before = disk.operations();
    live(&open_on(&disk).unwrap()).unwrap();
    let operations = disk.operations() - before;
    println!("points of failure with indexes: {operations}");
    assert!(operations > 60, "{operations} are few");
    on_all_processors(|| (0..=operations).into_par_iter().for_each(fail_at));
}
