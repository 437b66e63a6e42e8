//! Data directories as each format version wrote them, in `tests/fixtures/<version>/`:
//! every later version opens them, and none changes one that is newer than itself.
//!
//! `cargo test --test golden -- --ignored` writes those of the version at hand anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tsdb_vector::base::{
    Deadline, Error, ErrorCode, LabelFilter, Labels, ManualClock, Points, Rng, SeriesName, TimeRange,
    ValueType,
};
use tsdb_vector::engine::{Engine, Options, Query, Recover, Write, verify};
use tsdb_vector::format::{HEADER_BYTES, describe_block};
use tsdb_vector::segments::open_unlisted;
use tsdb_vector::vfs::{Crash, FileKind, RealDisk, SimDisk, Vfs, read_all};

/// The version that this program writes, of all kinds of files.
const VERSION: u16 = tsdb_vector::format::FileKind::Log.version();

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn options(dir: &Path) -> Options {
    Options { shards: 2, background: false, disk_reserve_bytes: 0, ..Options::new(dir) }
}

fn name(text: &str) -> SeriesName {
    SeriesName::new(text).unwrap()
}

fn create(engine: &Engine, series: &str, dimension: u32, value_type: ValueType) {
    let name = name(series);
    engine.write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
}

fn insert(engine: &Engine, series: &str, points: Points) {
    engine.write(Write::Insert { series: name(series), points }).unwrap();
}

fn delete(engine: &Engine, series: &str, start_ns: i64, end_ns: i64) {
    let (series, range) = (name(series), TimeRange { start_ns, end_ns });
    engine.write(Write::DeleteRange { series, range, labels: LabelFilter::any() }).unwrap();
}

fn room(text: &str) -> Labels {
    Labels::new([("room", text), ("building", "north")]).unwrap()
}

/// Rows of everything, one JSON line each.
fn rows(engine: &Engine) -> String {
    let mut lines = String::new();
    for series in engine.list(&Deadline::none()).unwrap() {
        let head = json!({"series": series.name.as_str(), "dimension": series.dimension,
            "value_type": series.value_type.to_string(), "count": series.count});
        lines += &format!("{head}\n");
        let query = Query {
            series: series.name,
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
            limit: usize::MAX,
        };
        let rows = engine.query(&query, &Deadline::none()).unwrap().rows;
        for row in 0..rows.len() {
            let labels = rows.labels_of(row).map(ToString::to_string).unwrap_or_default();
            let line = json!({"timestamp_ns": rows.timestamps_ns[row], "values": rows.values_of(row), "labels": labels});
            lines += &format!("{line}\n");
        }
    }
    lines
}

/// Every file of a fixture by its path: a directory as a crash of a busy database leaves
/// it, and what it must be read as.
fn generate() -> BTreeMap<PathBuf, Vec<u8>> {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000_000));
    let engine = Engine::open_with(Arc::new(disk.clone()), clock, options(Path::new("/data"))).unwrap();
    let mut rng = Rng::new(1);
    create(&engine, "steady", 1, ValueType::F64);
    create(&engine, "noise", 3, ValueType::F64);
    create(&engine, "counts", 2, ValueType::F32);
    create(&engine, "gone", 1, ValueType::F64);
    create(&engine, "empty", 5, ValueType::F32);
    create(&engine, "means", 1, ValueType::F64);
    create(&engine, "few", 1, ValueType::F64);
    for (at, value) in [(1000, 21.5), (2000, -0.5), (3500, 1e300)] {
        insert(&engine, "few", Points::one(Some(at), vec![value], Labels::empty()));
    }
    for start in [0, 60] {
        let timestamps_ns: Vec<i64> = (start..start + 100).map(|at| at * 1_000_000_000).collect();
        let n = timestamps_ns.len();
        let labels = |id: fn(usize) -> u32| (0..n).map(id).collect::<Vec<u32>>();
        let of = |dimension: usize, values: Vec<f64>, label_ids: Vec<u32>| Points {
            dimension,
            timestamps_ns: timestamps_ns.clone(),
            values,
            label_sets: if label_ids.is_empty() {
                Vec::new()
            } else {
                vec![room("a"), room("b"), Labels::empty()]
            },
            label_ids,
            ..Points::default()
        };
        insert(&engine, "steady", of(1, vec![21.5 + start as f64; n], Vec::new()));
        let noise = (0..3 * n).map(|_| rng.unit_f64()).collect();
        insert(&engine, "noise", of(3, noise, labels(|row| row as u32 % 3)));
        let counts = (0..2 * n).map(|at| (at * at % 997) as f64).collect();
        insert(&engine, "counts", of(2, counts, labels(|row| u32::from(row > 30))));
        // Decimals, some of which went through a calculation.
        let mut mean = |row| {
            let exact = (70_000_000 + rng.below(10_000_000)) as f64 / 1e6;
            if row % 10 == 0 { exact.next_up() } else { exact }
        };
        let means = Points {
            dimension: 1,
            timestamps_ns: (0..380).map(|at| at * 1_000_000_000).collect(),
            values: (0..380).map(&mut mean).collect(),
            ..Points::default()
        };
        insert(&engine, "means", means);
        insert(&engine, "gone", of(1, vec![1.0; n], Vec::new()));
        engine.flush().unwrap();
        delete(&engine, "steady", 20_000_000_000, 30_000_000_000);
        delete(&engine, "noise", 0, 5_000_000_000);
    }
    engine.write(Write::Drop { name: name("gone") }).unwrap();
    engine.flush().unwrap();
    engine.save("all.snap", &Deadline::none()).unwrap();
    engine.save("all.json", &Deadline::none()).unwrap();
    let saved = rows(&engine);
    create(&engine, "late", 1, ValueType::F64);
    for at in 0..5 {
        insert(&engine, "late", Points::one(None, vec![f64::from(at)], room("c")));
        insert(&engine, "steady", Points::one(Some(-i64::from(at)), vec![-0.0], Labels::empty()));
        insert(&engine, "counts", Points::one(Some(i64::MAX), vec![0.1, f64::from(at)], Labels::empty()));
    }
    delete(&engine, "counts", 40_000_000_000, 50_000_000_000);
    let expected = rows(&engine);
    let disk = disk.crash(Crash::KeepNothing, 0);

    let mut files = BTreeMap::from([
        ("expected.jsonl".into(), expected.into_bytes()),
        ("expected-snapshot.jsonl".into(), saved.into_bytes()),
    ]);
    let mut dirs = vec![PathBuf::from("/data")];
    while let Some(dir) = dirs.pop() {
        for entry in disk.list(&dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.metadata.kind == FileKind::Dir {
                dirs.push(path);
                continue;
            }
            let mut bytes = read_all(&disk, &path, 1 << 24).unwrap();
            if path.extension().is_some_and(|extension| extension == "log") {
                // Without the zeros ahead of use, which count for nothing.
                bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
            }
            files.insert(path.strip_prefix("/").unwrap().to_owned(), bytes);
        }
    }
    files
}

#[test]
#[ignore = "writes into the sources"]
fn write_the_fixtures() {
    let dir = fixtures().join(VERSION.to_string());
    if dir.exists() {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    for (path, bytes) in generate() {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn the_fixtures_are_written_byte_for_byte_again() {
    assert_eq!(generate(), generate());
}

/// The committed fixtures, one a format version.
fn versions() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.contains(&fixtures().join(VERSION.to_string())), "{found:?} lack version {VERSION}");
    found
}

/// Every file below a directory but the lock.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("LOCK") {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A copy that a test may change.
fn copy(fixture: &Path) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    for (path, bytes) in files(&fixture.join("data")) {
        let path = data.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    (temp, data)
}

fn open(dir: &Path, recover: Recover) -> Result<Engine, Error> {
    Engine::open(Options { recover, ..options(dir) })
}

#[test]
fn every_version_is_opened_written_and_opened_again() {
    for fixture in versions() {
        let when = fixture.display();
        let expected = |file: &str| std::fs::read_to_string(fixture.join(file)).unwrap();
        let (_temp, data) = copy(&fixture);
        let vfs: Arc<dyn Vfs> = Arc::new(RealDisk);
        let verified = verify(&vfs, &data);
        assert_eq!(verified.problems, Vec::<String>::new(), "{when}");
        let mut truth = expected("expected.jsonl");
        let engine = open(&data, Recover::Strict).unwrap();
        assert_eq!(rows(&engine), truth, "{when}");
        assert_eq!(verified.points, engine.totals(&Deadline::none()).unwrap().points, "{when}");
        for round in 0..3 {
            insert(&engine, "steady", Points::one(Some(i64::MAX - round), vec![7.0], room("d")));
            engine.flush().unwrap();
        }
        engine.compact().unwrap();
        insert(&engine, "late", Points::one(Some(1), vec![8.0], room("d")));
        truth = rows(&engine);
        engine.close().unwrap();
        drop(engine);
        let engine = open(&data, Recover::Strict).unwrap();
        assert_eq!(rows(&engine), truth, "{when}, written");
        for snapshot in ["all.snap", "all.json"] {
            engine.load(snapshot, &Deadline::none()).unwrap();
            assert_eq!(rows(&engine), expected("expected-snapshot.jsonl"), "{when}, {snapshot}");
        }
    }
}

/// A fixture in which some kind of file is not there would show nothing of it.
#[test]
fn the_fixtures_hold_every_kind_of_file_and_codec() {
    for fixture in versions() {
        let all = files(&fixture);
        let bytes: usize = all.values().map(Vec::len).sum();
        assert!(bytes < 250_000, "{} has {bytes} bytes", fixture.display());
        let (mut magics, mut codecs, mut tombstones) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (path, bytes) in &all {
            magics.extend(bytes.get(..8).filter(|magic| magic.starts_with(b"TSDB")).map(<[u8]>::to_vec));
            if path.extension().is_none_or(|extension| extension != "seg") {
                continue;
            }
            let segment = open_unlisted(&RealDisk, &fixture.join(path)).unwrap();
            tombstones += segment.index().tombstones.len();
            for series in &segment.index().series {
                for block in &series.blocks {
                    let bytes = segment.read_block_bytes(block).unwrap();
                    let columns = describe_block(&bytes, series.dimension).unwrap();
                    codecs.extend(columns.iter().map(|column| column.codec.name()));
                }
            }
        }
        assert_eq!(magics.len(), 5, "{magics:?}");
        assert!(tombstones > 0);
        let wanted =
            ["raw", "constant", "delta-of-delta", "pco", "run-length", "line", "decimal", "near-decimal"];
        assert_eq!(codecs, BTreeSet::from(wanted), "{}", fixture.display());
    }
}

/// The bytes of a file as the next version might write it.
fn made_newer(bytes: &[u8]) -> Vec<u8> {
    let mut newer = bytes.to_vec();
    newer[8..10].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let crc = crc32fast::hash(&newer[..HEADER_BYTES - 4]);
    newer[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    newer
}

fn assert_says_versions(e: &Error, file: &str) {
    assert_eq!(e.code(), ErrorCode::InvalidArgument, "{e}");
    let [found, supported] = [VERSION + 1, VERSION].map(|version| format!("version {version}"));
    for part in [file, &found, &supported] {
        assert!(e.message().contains(part), "'{e}' does not say '{part}'");
    }
}

#[test]
fn what_is_newer_is_refused_untouched() {
    let fixture = fixtures().join(VERSION.to_string());
    let mut kinds = BTreeSet::new();
    for (path, bytes) in files(&fixture.join("data")) {
        if path.starts_with("snapshots") {
            continue;
        }
        kinds.insert(bytes[..8].to_vec());
        let (_temp, data) = copy(&fixture);
        std::fs::write(data.join(&path), made_newer(&bytes)).unwrap();
        // Something that a start would clean up.
        std::fs::write(data.join("gen-0000000001/shard-0000/seg-0000000099.tmp"), b"left").unwrap();
        std::fs::create_dir(data.join("gen-0000000009")).unwrap();
        let before = files(&data);
        for recover in [Recover::Strict, Recover::Degraded] {
            let error = open(&data, recover).err().unwrap_or_else(|| panic!("{} opens", path.display()));
            assert_says_versions(&error, path.file_name().unwrap().to_str().unwrap());
            assert!(!error.message().contains("degraded"), "{error}");
            assert_eq!(files(&data), before, "{}: {recover:?}", path.display());
            assert!(data.join("gen-0000000009").is_dir());
        }
        let vfs: Arc<dyn Vfs> = Arc::new(RealDisk);
        assert!(verify(&vfs, &data).problems.iter().any(|problem| problem.contains("newer")));
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
}

#[test]
fn a_newer_snapshot_is_not_loaded() {
    let (_temp, data) = copy(&fixtures().join(VERSION.to_string()));
    let engine = open(&data, Recover::Strict).unwrap();
    let before = rows(&engine);
    let snapshots = data.join("snapshots");
    let binary = std::fs::read(snapshots.join("all.snap")).unwrap();
    std::fs::write(snapshots.join("new.snap"), made_newer(&binary)).unwrap();
    let text = std::fs::read_to_string(snapshots.join("all.json")).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    head["snapshot"]["version"] = json!(VERSION + 1);
    std::fs::write(snapshots.join("new.json"), format!("{head}\n{rest}")).unwrap();
    for file in ["new.snap", "new.json"] {
        let error = engine.load(file, &Deadline::none()).unwrap_err();
        assert_says_versions(&error, file);
        assert_eq!(rows(&engine), before, "{file}");
    }
}
