//! Targets that decode what is on disk. The first byte of an input says whether its
//! checksums are made to fit ([`forge`](super::forge)) or the bytes are taken as they
//! are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::forge;
use crate::base::{
    Deadline, Error, ErrorCode, LabelFilter, Labels, ManualClock, Points, Result, SeriesName, TimeRange,
    ValueType,
};
use crate::engine::{Engine, Options, Query, Recover, Write, verify};
use crate::format::{
    Block, CURRENT, Columns, DATABASE, FileHeader, FileKind, MANIFEST, Reader, Seqs, Values, block_rows_for,
    decode_block, describe_block, encode_block, generation_name, get_labels, log_name, parse_generation_name,
    parse_log_name, parse_segment_name, parse_shard_name, put_labels, segment_name, shard_name,
};
use crate::manifest::{FileManifestStore, Manifest, ManifestStore};
use crate::segments::{FOOTER_BYTES, Index, open_unlisted};
use crate::vector::{Lists, VectorBlock};
use crate::vfs::{Crash, SimDisk, Vfs, read_all};
use crate::wal::{LogWriter, Record, read_log};

const DATA: &str = "/data";
/// Most bytes that a file of the sample has.
const FILE_BYTES_MAX: u64 = 1 << 24;

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    // Where there is none, there is nothing to remove.
    let _ = disk.remove(path);
    disk.create(path).unwrap().write_all_at(bytes, 0).unwrap();
}

/// Splits off the choice between forged (odd) and plain bytes.
fn choose(input: &[u8]) -> Option<(bool, &[u8])> {
    input.split_first().map(|(&choice, rest)| (choice & 1 == 1, rest))
}

/// A record's bytes are what its own encoding gives, or decode to what does.
pub(super) fn record(input: &[u8]) {
    let mut reader = Reader::new(input);
    while reader.remaining() > 0 {
        let before = reader.position();
        let Ok(record) = Record::decode(&mut reader) else { return };
        let taken = reader.position() - before;
        let mut once = Vec::new();
        record.encode(&mut once);
        assert!(once.len() <= taken, "{taken} bytes decode to {record:?} of {} bytes", once.len());
        let mut again = Vec::new();
        let mut reader = Reader::new(&once);
        Record::decode(&mut reader).expect("what was encoded decodes").encode(&mut again);
        reader.finish().expect("a record ends where its encoding ends");
        // Bytes, for NaN is no value of itself.
        assert_eq!(once, again);
    }
    let mut reader = Reader::new(input);
    if let Ok(labels) = get_labels(&mut reader) {
        let mut out = Vec::new();
        put_labels(&mut out, &labels);
        assert_eq!(get_labels(&mut Reader::new(&out)), Ok(labels));
    }
}

/// A file's name that is understood is the one that would be given.
pub(super) fn name(input: &[u8]) {
    let Ok(name) = std::str::from_utf8(input) else { return };
    if let Some((id, hash)) = parse_segment_name(name) {
        assert_eq!(segment_name(id, hash), name);
    }
    if let Some(first_seq) = parse_log_name(name) {
        assert_eq!(log_name(first_seq), name);
    }
    if let Some(shard) = parse_shard_name(name) {
        assert_eq!(shard_name(shard), name);
    }
    if let Some(generation) = parse_generation_name(name) {
        assert_eq!(generation_name(generation), name);
    }
}

/// A block of the dimension and type that the first bytes name. What decodes is in
/// order, within the limits, and comes back from its own encoding.
pub(super) fn block(input: &[u8]) {
    let [choice, low, high, rest @ ..] = input else { return };
    let dimension = usize::from(u16::from_le_bytes([*low, *high])).max(1);
    let value_type = if choice & 2 == 0 { ValueType::F64 } else { ValueType::F32 };
    let mut bytes = rest.to_vec();
    if choice & 1 == 1 {
        forge::crc_at_end(&mut bytes);
    }
    let described = describe_block(&bytes, dimension);
    let Ok(block) = decode_block(&bytes, dimension, value_type) else { return };
    let rows = block.columns.len();
    assert!(rows > 0 && rows <= block_rows_for(dimension));
    assert_eq!(block.columns.values.len(), rows * dimension);
    let raw: usize = described.expect("what decodes can be described").iter().map(|c| c.raw_bytes).sum();
    assert_eq!(raw, rows * (20 + dimension * value_type.size_bytes()));
    let mut labels = vec![0; rows];
    for (label, rows) in block.runs() {
        labels[rows].fill(label);
    }
    let mut encoded = Vec::new();
    encode_block(&block.columns, &labels, &mut encoded);
    let again = decode_block(&encoded, dimension, value_type).expect("what was encoded decodes");
    assert_eq!(again.columns.timestamps, block.columns.timestamps);
    assert!((0..rows).all(|row| again.columns.seqs.get(row) == block.columns.seqs.get(row)));
    assert_eq!(again.label_runs, block.label_runs);
    let same = match (&again.columns.values, &block.columns.values) {
        (Values::F64(a), Values::F64(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (Values::F32(a), Values::F32(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        _ => false,
    };
    assert!(same, "values changed on their way through the encoding");
}

/// A whole log: records are numbered without gaps from the header's number on, and
/// written anew they read the same.
pub(super) fn log(input: &[u8]) {
    let Some((forged, rest)) = choose(input) else { return };
    let mut bytes = rest.to_vec();
    if forged {
        forge::log(&mut bytes);
    }
    // A log has the name that its header says.
    let Ok(header) = FileHeader::decode(&bytes, FileKind::Log) else { return };
    let FileHeader { shard, id, origin, .. } = header;
    let disk = SimDisk::new();
    put(&disk, &Path::new("/").join(log_name(id)), &bytes);
    let read = |dir: &str| {
        let mut records = Vec::new();
        let replay = read_log(&disk, Path::new(dir), (shard, origin), id, |seq, record| {
            records.push((seq, record));
            Ok(())
        });
        (records, replay)
    };
    let (records, replay) = read("/");
    let Ok(replay) = replay else { return };
    assert_eq!(replay.records, records.len() as u64);
    assert!(replay.ending.offset <= bytes.len() as u64);
    let Some(&(first_seq, _)) = records.first() else { return };
    disk.create_dir(Path::new("/again")).unwrap();
    let header = FileHeader { id: first_seq, ..header };
    let mut writer = LogWriter::create(&disk, Path::new("/again"), header).unwrap();
    for (at, (seq, record)) in records.iter().enumerate() {
        assert_eq!(*seq, first_seq + at as u64);
        assert_eq!(writer.push(record), *seq);
        writer.write(true).unwrap();
    }
    assert_eq!(replay.ending.next_seq, first_seq + records.len() as u64);
    let (again, replay) = read("/again");
    assert_eq!(replay.expect("what was written is read").records, records.len() as u64);
    let encode = |records: &[(u64, Record)]| {
        let mut out = Vec::new();
        for (_, record) in records {
            record.encode(&mut out);
        }
        out
    };
    assert_eq!(encode(&again), encode(&records));
}

/// A whole segment: the index comes back from its own encoding, a block that decodes is
/// the one that the index describes.
pub(super) fn segment(input: &[u8]) {
    let Some((forged, rest)) = choose(input) else { return };
    let bytes = if forged { forge::segment(rest) } else { rest.to_vec() };
    let disk = SimDisk::new();
    let path = Path::new("/segment");
    put(&disk, path, &bytes);
    let Ok(segment) = open_unlisted(&disk, path) else { return };
    let index = segment.index();
    let encoded = index.encode();
    assert_eq!(Index::decode(&encoded, segment.footer().index_offset).as_ref(), Ok(index));
    for series in &index.series {
        for entry in &series.blocks {
            if let Ok(block) = segment.decode(series, entry) {
                assert_eq!(block.columns.len(), entry.rows as usize);
                assert!(block.columns.timestamps.iter().all(|&t| entry.range.contains(t)));
                assert!(block.runs().all(|(label, _)| (label as usize) < series.labels.len()));
            }
        }
    }
}

/// Inverted lists: what decodes comes back from its own encoding, and each row is in one
/// list. The first bytes say for what series.
pub(super) fn lists(input: &[u8]) {
    let Some((&[dimension, rows], rest)) = input.split_first_chunk::<2>() else { return };
    let (dimension, rows) = (1 + usize::from(dimension) % 16, usize::from(rows));
    let Ok(lists) = Lists::decode(rest, dimension, rows) else { return };
    let mut listed: Vec<u32> =
        (0..lists.len()).flat_map(|list| &lists.rows()[lists.slots(list)]).copied().collect();
    listed.sort_unstable();
    assert!(lists.is_empty() || listed.iter().copied().eq(0..rows as u32), "{listed:?}");
    assert_eq!(lists.centroids().len(), lists.len() * dimension);
    assert_eq!(Lists::decode(&lists.encode(), dimension, rows), Ok(lists));
}

/// A manifest: what loads comes back from its own encoding.
pub(super) fn manifest(input: &[u8]) {
    let Some((forged, rest)) = choose(input) else { return };
    let mut bytes = rest.to_vec();
    if forged {
        forge::metadata(&mut bytes);
    }
    let disk = SimDisk::new();
    put(&disk, Path::new("/MANIFEST"), &bytes);
    // Any shard may have it: the header says which.
    let shard = bytes.get(12..16).and_then(|bytes| Reader::new(bytes).u32().ok()).unwrap_or_default();
    let store = FileManifestStore::new(Arc::new(disk), Path::new("/"), shard);
    let Ok(manifest) = store.load() else { return };
    for series in &manifest.series {
        if let Ok((name, _)) = series.checked() {
            assert_eq!(name.as_str(), series.name);
        }
    }
    let Some(revision) = manifest.revision.checked_add(1) else { return };
    let next = Manifest { revision, ..manifest };
    store.install(&next).expect("the next revision is installed");
    assert_eq!(store.load(), Ok(next));
}

/// The files of a small database and a snapshot of it.
struct Sample {
    disk: SimDisk,
    log: PathBuf,
    segment: PathBuf,
}

fn engine_options(recover: Recover) -> Options {
    Options { shards: 1, background: false, recover, ..Options::new(DATA) }
}

fn open(disk: &SimDisk, recover: Recover) -> Result<Engine> {
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(7)), engine_options(recover))
}

fn shard_dir() -> PathBuf {
    Path::new(DATA).join(generation_name(1)).join(shard_name(0))
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    let labels = |value: &str| Labels::new([("k", value)]).unwrap();
    let name = |name: &str| SeriesName::new(name).unwrap();
    for (series, dimension, value_type) in [("a", 1, ValueType::F64), ("b", 2, ValueType::F32)] {
        engine
            .write(Write::Create { name: name(series), dimension, value_type, if_not_exists: false })
            .unwrap();
    }
    let insert = |series: &str, start: i64| {
        for at in 0..40 {
            let label = if at % 10 == 9 { Labels::empty() } else { labels(["x", "y"][at as usize % 2]) };
            let values = if series == "a" { vec![0.1 * at as f64] } else { vec![1.5, -(at as f64)] };
            let points = Points::one(Some(start + at * 5), values, label);
            engine.write(Write::Insert { series: name(series), points }).unwrap();
        }
    };
    insert("a", 0);
    insert("b", 1000);
    let delete = Write::DeleteRange {
        series: name("a"),
        range: TimeRange { start_ns: 10, end_ns: 20 },
        labels: LabelFilter::new(labels("x")),
    };
    engine.write(delete).unwrap();
    engine.flush().unwrap();
    engine.save("s.snap", &Deadline::none()).unwrap();
    engine.save("s.json", &Deadline::none()).unwrap();
    insert("a", 100);
    engine.write(Write::Drop { name: name("b") }).unwrap();
    engine.close().unwrap();
    drop(engine);
    let dir = shard_dir();
    let file = |is: fn(&str) -> bool| {
        let found = disk.list(&dir).unwrap().into_iter().find(|entry| is(&entry.name));
        dir.join(found.expect("the sample has a log and a segment").name)
    };
    let (log, segment) = (file(|name| name.ends_with(".log")), file(|name| name.ends_with(".seg")));
    Sample { disk, log, segment }
});

type Content = Vec<(SeriesName, u32, ValueType, Vec<(i64, Vec<u64>, Labels)>)>;

/// Everything that an engine holds, to be compared bit for bit.
fn content(engine: &Engine) -> Result<Content> {
    let mut content = Content::new();
    for series in engine.list(&Deadline::none())? {
        let query = Query {
            series: series.name.clone(),
            range: TimeRange::ALL,
            labels: LabelFilter::any(),
            limit: usize::MAX,
        };
        let rows = engine.query(&query, &Deadline::none())?.rows;
        let points = (0..rows.len()).map(|row| {
            let labels = rows.labels_of(row).cloned().unwrap_or_else(Labels::empty);
            let values = rows.values_of(row).iter().map(|value| value.to_bits()).collect();
            (rows.timestamps_ns[row], values, labels)
        });
        content.push((series.name.clone(), series.dimension, series.value_type, points.collect()));
    }
    Ok(content)
}

/// Errors are of the request, the file or the disk, never of the program.
fn expected<T>(what: &str, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(e) => {
            assert_ne!(e.code(), ErrorCode::Internal, "{what}: {e}");
            None
        }
    }
}

/// A snapshot in either form: what loads is saved in both forms, and loads from both as
/// the same.
pub(super) fn snapshot(input: &[u8]) {
    let Some((forged, rest)) = choose(input) else { return };
    let mut bytes = rest.to_vec();
    if forged {
        forge::snapshot(&mut bytes);
    }
    let disk = SimDisk::new();
    let engine = open(&disk, Recover::Strict).unwrap();
    disk.create_dir(Path::new("/data/snapshots")).unwrap();
    put(&disk, Path::new("/data/snapshots/x"), &bytes);
    let load = |file: &str| engine.load(file, &Deadline::none());
    let Some(_) = expected("load", load("x")) else {
        assert!(engine.is_empty(), "a load that failed changed something");
        return;
    };
    let loaded = content(&engine).expect("what was loaded can be read");
    for file in ["y.snap", "y.json"] {
        let saved = engine.save(file, &Deadline::none()).expect("what was loaded can be saved");
        let report = load(file).expect("what was saved can be loaded");
        assert_eq!((report.series, report.points), (saved.series, saved.points));
        assert_eq!(content(&engine).as_ref(), Ok(&loaded), "{file}");
    }
}

/// A database of which one file has been replaced. It opens or says what is damaged;
/// what opens can be read, written and closed, or says why not.
pub(super) fn database(input: &[u8]) {
    let Some(disk) = replace_file(input) else { return };
    let vfs: Arc<dyn Vfs> = Arc::new(disk.crash(Crash::KeepAll, 0));
    let checked = verify(&vfs, Path::new(DATA));
    for recover in [Recover::Strict, Recover::Degraded] {
        let disk = disk.crash(Crash::KeepAll, 0);
        let Some(engine) = expected("open", open(&disk, recover)) else { continue };
        let read = expected("read", content(&engine));
        if recover == Recover::Strict && checked.problems.is_empty() {
            let read = read.expect("where the check finds nothing, everything can be read");
            let points: usize = read.iter().map(|series| series.3.len()).sum();
            assert_eq!(points as u64, checked.points);
        }
        let series = SeriesName::new("a").unwrap();
        let points = Points::one(Some(5), vec![1.0], Labels::empty());
        expected("write", engine.write(Write::Insert { series, points }));
        expected("flush", engine.flush());
        expected("compact", engine.compact());
        expected("load", engine.load("s.snap", &Deadline::none()));
        expected("close", engine.close());
    }
}

/// The same, looked at by the inspector.
pub(super) fn dump(input: &[u8]) {
    let Some(disk) = replace_file(input) else { return };
    let vfs: Arc<dyn Vfs> = Arc::new(disk);
    crate::dump::fuzz::inspect(&vfs, Path::new(DATA));
}

/// Puts the input in the place of one file of the sample.
fn replace_file(input: &[u8]) -> Option<SimDisk> {
    let (&choice, rest) = input.split_first()?;
    let forged = choice & 1 == 1;
    let mut bytes = rest.to_vec();
    let disk = SAMPLE.disk.crash(Crash::KeepAll, 0);
    let dir = shard_dir();
    let path = match choice >> 1 & 7 {
        0 => Path::new(DATA).join(DATABASE),
        1 => Path::new(DATA).join(CURRENT),
        2 => dir.join(MANIFEST),
        3 => SAMPLE.log.clone(),
        4 => SAMPLE.segment.clone(),
        _ => Path::new(DATA).join("snapshots/s.snap"),
    };
    if forged {
        match choice >> 1 & 7 {
            0..=2 => forge::metadata(&mut bytes),
            3 => forge::log(&mut bytes),
            4 => bytes = forge::segment(&bytes),
            _ => forge::snapshot(&mut bytes),
        }
    }
    put(&disk, &path, &bytes);
    if forged && path == SAMPLE.segment {
        list_segment(&disk, &path);
    }
    Some(disk)
}

/// Makes the manifest list a changed segment under the hash that it has now.
fn list_segment(disk: &SimDisk, path: &Path) {
    let Ok(segment) = open_unlisted(disk, path) else { return };
    let bytes = read_all(disk, path, FILE_BYTES_MAX).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_128(&bytes);
    let info = crate::segments::SegmentInfo { hash, ..segment.info().clone() };
    let store = FileManifestStore::new(Arc::new(disk.clone()), &shard_dir(), 0);
    let manifest = store.load().unwrap();
    disk.rename(path, &shard_dir().join(info.file_name())).unwrap();
    let next = Manifest { revision: manifest.revision + 1, segments: vec![info], ..manifest };
    store.install(&next).unwrap();
}

fn with_choice(choice: u8, bytes: &[u8]) -> Vec<u8> {
    [&[choice], bytes].concat()
}

/// Both forms of a choice: checksums as they are, and made to fit.
fn both(bytes: &[u8]) -> Vec<Vec<u8>> {
    vec![with_choice(0, bytes), with_choice(1, bytes)]
}

fn sample_file(path: &Path) -> Vec<u8> {
    let mut bytes = read_all(&SAMPLE.disk, path, FILE_BYTES_MAX).unwrap();
    // The zeros that a log is filled with ahead of use teach nothing.
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
    bytes.truncate(used);
    bytes
}

/// A segment as [`forge::segment`] takes it, its index not compressed.
fn plain_segment() -> Vec<u8> {
    let file = sample_file(&SAMPLE.segment);
    let segment = open_unlisted(&SAMPLE.disk, &SAMPLE.segment).unwrap();
    let (blocks, footer) = (segment.footer().index_offset as usize, file.len() - FOOTER_BYTES);
    [&file[..blocks], &segment.index().encode(), &file[footer..]].concat()
}

fn log_records() -> Vec<Record> {
    let mut records = Vec::new();
    let (dir, name) = (SAMPLE.log.parent().unwrap(), SAMPLE.log.file_name().unwrap());
    let first_seq = parse_log_name(&name.to_string_lossy()).unwrap();
    let header = FileHeader::decode(&sample_file(&SAMPLE.log), FileKind::Log).unwrap();
    read_log(&SAMPLE.disk, dir, (header.shard, header.origin), first_seq, |_, record| {
        records.push(record);
        Ok::<_, Error>(())
    })
    .unwrap();
    records
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let name = SeriesName::new("temp").unwrap();
    let create = Record::Create { series_id: 300, name, dimension: 3, value_type: ValueType::F32 };
    let delete = Record::Delete(crate::wal::DeleteRecord {
        series_id: 1,
        range: TimeRange { start_ns: -1, end_ns: 1 },
        labels: LabelFilter::new(Labels::new([("k", "v"), ("host", "a b")]).unwrap()),
    });
    let insert = Record::Insert(crate::wal::InsertRecord {
        series_id: 2,
        dimension: 2,
        assigned_max_ns: Some(9),
        timestamps: vec![1, 2],
        values: Values::F32(vec![1.0, 2.0, f32::NAN, -0.0]),
        label_ids: vec![1, 0],
        label_sets: vec![Labels::empty(), Labels::new([("k", "v")]).unwrap()],
    });
    for record in [create, delete, insert].iter().chain(&log_records()[..2]) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        seeds.push(bytes);
    }
    seeds.push(seeds.concat());
    seeds
}

pub(super) fn name_seeds() -> Vec<Vec<u8>> {
    let names = [generation_name(1), shard_name(12), log_name(9), segment_name(3, 0xabc << 90)];
    names.map(String::into_bytes).to_vec()
}

pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (dimension, rows, value_type) in
        [(1, 1, ValueType::F64), (1, 60, ValueType::F64), (2, 40, ValueType::F32), (70, 3, ValueType::F64)]
    {
        let mut values = Values::new(value_type);
        let noise = (0..rows * dimension).map(|at| f64::from((at * 7919 % 101) as u32) / 8.0);
        values.extend_from_f64(&noise.collect::<Vec<_>>());
        let columns = crate::format::Columns {
            dimension,
            timestamps: (0..rows as i64).map(|at| (at % 30) * 1000 + at * at % 7).collect(),
            seqs: crate::format::Seqs::Each((0..rows as u64).map(|at| 100 + at * at % 13).collect()),
            values,
        };
        let labels: Vec<u32> = (0..rows as u32).map(|row| row / 30).collect();
        let mut bytes = Vec::new();
        encode_block(&columns, &labels, &mut bytes);
        let f32 = if value_type == ValueType::F32 { 2 } else { 0 };
        for forged in [0, 1] {
            seeds.push([&[forged | f32, dimension as u8, 0], bytes.as_slice()].concat());
        }
    }
    seeds
}

pub(super) fn log_seeds() -> Vec<Vec<u8>> {
    both(&sample_file(&SAMPLE.log))
}

pub(super) fn segment_seeds() -> Vec<Vec<u8>> {
    vec![with_choice(0, &sample_file(&SAMPLE.segment)), with_choice(1, &plain_segment())]
}

pub(super) fn lists_seeds() -> Vec<Vec<u8>> {
    let made = [4_usize, 3].map(|dimension| {
        let rows = 200_usize;
        // Around as many directions as there are dimensions, or anyhow.
        let value = |at: usize| {
            let (row, of) = (at / dimension, at % dimension);
            if row % dimension == of { 20.0 } else { (row * 7919 % 97) as f64 / 50.0 }
        };
        let columns = Columns {
            dimension,
            timestamps: (0..rows as i64).collect(),
            seqs: Seqs::Constant(1),
            values: Values::F64((0..rows * dimension).map(value).collect()),
        };
        let block = Block { columns: Arc::new(columns), label_runs: vec![(0, 0)] };
        let mut vectors = VectorBlock::with_room(dimension, rows, None);
        vectors.push(&block);
        let lists = Lists::build(&vectors.finish(1), 1, &Deadline::none()).unwrap();
        let mut seed = vec![dimension as u8 - 1, rows as u8];
        seed.extend(lists.encode());
        seed
    });
    made.to_vec()
}

pub(super) fn manifest_seeds() -> Vec<Vec<u8>> {
    both(&sample_file(&shard_dir().join(MANIFEST)))
}

pub(super) fn snapshot_seeds() -> Vec<Vec<u8>> {
    let file = |name: &str| sample_file(&Path::new(DATA).join("snapshots").join(name));
    let mut seeds = both(&file("s.snap"));
    let json = file("s.json");
    seeds.push(with_choice(0, &json));
    seeds
}

pub(super) fn database_seeds() -> Vec<Vec<u8>> {
    let data = Path::new(DATA);
    let files = [
        sample_file(&data.join(DATABASE)),
        sample_file(&data.join(CURRENT)),
        sample_file(&shard_dir().join(MANIFEST)),
        sample_file(&SAMPLE.log),
        plain_segment(),
        sample_file(&data.join("snapshots/s.snap")),
    ];
    files.iter().enumerate().map(|(at, bytes)| with_choice((at as u8) << 1 | 1, bytes)).collect()
}
