//! Log, memtable, flush, blocks, queries, merge.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use common::{compare, walk};
use criterion::{Criterion, criterion_group, criterion_main};
use tsdb_vector::base::{Deadline, LabelFilter, Labels, Points, Rng, SeriesName, TimeRange, ValueType};
use tsdb_vector::engine::{Engine, Options, Query, Write};
use tsdb_vector::format::{Columns, FileHeader, FileKind, Seqs, Values, decode_block, encode_block};
use tsdb_vector::memtable::Memtable;
use tsdb_vector::segments::SegmentWriter;
use tsdb_vector::vfs::RealDisk;
use tsdb_vector::wal::{InsertRecord, LogWriter, Record};

fn record(points: usize, start: i64) -> InsertRecord {
    InsertRecord {
        series_id: 1,
        dimension: 1,
        assigned_max_ns: None,
        timestamps: (start..start + points as i64).collect(),
        values: Values::F64(walk(points, 1)),
        label_ids: Vec::new(),
        label_sets: Vec::new(),
    }
}

fn log(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    for (name, records) in [("log: one record, synced", 1_u64), ("log: 100 records in a commit", 100)] {
        let mut plain = File::create(dir.path().join(format!("plain-{records}"))).unwrap();
        let bytes = vec![7; 50 * records as usize];
        let path = dir.path().join(format!("log-{records}"));
        std::fs::create_dir(&path).unwrap();
        let mut log = LogWriter::create(&RealDisk, &path, FileHeader::new(FileKind::Log, 0, 1, 1)).unwrap();
        let record = Record::Insert(record(1, 5));
        let baseline = || {
            plain.write_all(&bytes).unwrap();
            plain.sync_data().unwrap();
        };
        compare(c, name, records, ("an appended file", baseline), || {
            for _ in 0..records {
                log.push(&record);
            }
            log.write(true).unwrap();
        });
    }
}

fn engine(dir: &Path) -> (Engine, SeriesName) {
    let engine = Engine::open(Options { shards: 1, ..Options::new(dir) }).unwrap();
    let name = SeriesName::new("s").unwrap();
    let create =
        Write::Create { name: name.clone(), dimension: 1, value_type: ValueType::F64, if_not_exists: true };
    engine.write(create).unwrap();
    (engine, name)
}

fn group_commit(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (engine, name) = engine(dir.path());
    let insert = |at: i64| Write::Insert {
        series: name.clone(),
        points: Points::one(Some(at), vec![1.0], Labels::empty()),
    };
    let one_by_one = || {
        for at in 0..64 {
            black_box(engine.write(insert(at)).unwrap());
        }
    };
    compare(c, "group commit of 64 callers", 64, ("one by one", one_by_one), || {
        let (sender, receiver) = std::sync::mpsc::channel();
        for at in 0..64 {
            let sender = sender.clone();
            engine.submit(insert(at), move |done| sender.send(done).unwrap());
        }
        drop(sender);
        for done in receiver {
            black_box(done.unwrap());
        }
    });
}

fn memtable(c: &mut Criterion) {
    let record = record(10_000, 0);
    let baseline = || {
        let mut map = BTreeMap::new();
        let Values::F64(values) = &record.values else { return };
        for (timestamp, value) in record.timestamps.iter().zip(values) {
            map.insert(*timestamp, *value);
        }
        black_box(map);
    };
    compare(c, "memtable: 10,000 points", 10_000, ("a B-tree map", baseline), || {
        let mut table = Memtable::default();
        black_box(table.insert(&record, 1));
    });
}

fn columns(points: usize) -> Columns {
    let mut rng = Rng::new(3);
    Columns {
        dimension: 1,
        timestamps: (0..points as i64)
            .map(|at| at * 10_000_000_000 + rng.below(1_000_000_000) as i64)
            .collect(),
        seqs: Seqs::Constant(1),
        values: Values::F64(walk(points, 2)),
    }
}

fn flush(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let columns = columns(100_000);
    let raw: Vec<u8> = columns.timestamps.iter().flat_map(|t| t.to_le_bytes()).collect();
    let mut at = 0;
    let baseline = || {
        at += 1;
        let mut file = File::create(dir.path().join(format!("raw-{at}"))).unwrap();
        file.write_all(&raw).unwrap();
        file.write_all(&raw).unwrap();
        file.sync_all().unwrap();
    };
    let mut id = 0;
    compare(c, "flush: 100,000 points, verified", 100_000, ("the raw numbers to a file", baseline), || {
        id += 1;
        let mut writer = SegmentWriter::create(
            Arc::new(RealDisk),
            dir.path(),
            FileHeader::new(FileKind::Segment, 0, id, 1),
        )
        .unwrap();
        writer.begin_series(1, 1, ValueType::F64, vec![Labels::empty()]).unwrap();
        writer.push(0, &columns, 0..100_000).unwrap();
        black_box(writer.finish().unwrap());
    });
}

fn blocks(c: &mut Criterion) {
    let columns = columns(4096);
    let Values::F64(values) = &columns.values else { return };
    let raw: Vec<u8> = columns
        .timestamps
        .iter()
        .flat_map(|t| t.to_le_bytes())
        .chain(values.iter().flat_map(|v| v.to_le_bytes()))
        .collect();
    let labels = vec![0; 4096];
    let mut block = Vec::new();
    encode_block(&columns, &labels, &mut block);
    let packed = zstd::bulk::compress(&raw, 3).unwrap();
    println!("block of 4096 points: {} bytes; zstd of the raw numbers: {}", block.len(), packed.len());
    let baseline = || drop(black_box(zstd::bulk::compress(&raw, 3).unwrap()));
    let mut out = Vec::new();
    compare(c, "block encode", 4096, ("zstd", baseline), || {
        out.clear();
        encode_block(&columns, &labels, &mut out);
        black_box(&out);
    });
    let baseline = || drop(black_box(zstd::bulk::decompress(&packed, raw.len()).unwrap()));
    compare(c, "block decode", 4096, ("zstd", baseline), || {
        black_box(decode_block(&block, 1, ValueType::F64).unwrap());
    });
}

fn queries(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (engine, name) = engine(dir.path());
    let total = 1_000_000_i64;
    let insert = |times: Vec<i64>| {
        let points = Points {
            dimension: 1,
            values: times.iter().map(|&t| t as f64).collect(),
            timestamps_ns: times,
            ..Points::default()
        };
        engine.write(Write::Insert { series: name.clone(), points }).unwrap();
    };
    for chunk in 0..100 {
        insert((0..total / 100).map(|at| chunk * (total / 100) + at).collect());
    }
    engine.flush().unwrap();
    engine.compact().unwrap();
    let (times, values): (Vec<i64>, Vec<f64>) = (0..total).map(|at| (at, at as f64)).unzip();
    let mut rng = Rng::new(5);
    let mut other = Rng::new(5);
    let baseline = || {
        let start = rng.below(total as u64 - 1000) as i64;
        let (from, to) =
            (times.partition_point(|&t| t < start), times.partition_point(|&t| t < start + 1000));
        black_box((times[from..to].to_vec(), values[from..to].to_vec()));
    };
    compare(
        c,
        "range query of 1,000 points among 1 M",
        1000,
        ("copying out of sorted vectors", baseline),
        || {
            let start = other.below(total as u64 - 1000) as i64;
            let query = Query {
                series: name.clone(),
                range: TimeRange { start_ns: start, end_ns: start + 999 },
                labels: LabelFilter::any(),
                limit: usize::MAX,
            };
            assert_eq!(engine.query(&query, &Deadline::none()).unwrap().rows.len(), 1000);
        },
    );
    // Overlapping sources: every tenth point written again, and a part in memory.
    insert((0..total).step_by(10).collect());
    engine.flush().unwrap();
    insert((5..total).step_by(1000).collect());
    let all = Query { series: name, range: TimeRange::ALL, labels: LabelFilter::any(), limit: usize::MAX };
    let mut unsorted: Vec<(i64, u64)> = (0..total).map(|t| (t, 1)).collect();
    unsorted.extend((0..total).step_by(10).map(|t| (t, 2)));
    let baseline = || {
        let mut points = unsorted.clone();
        points.sort_unstable();
        points.dedup_by_key(|point| point.0);
        black_box(points.len());
    };
    compare(
        c,
        "merge of three sources, 1.1 M points",
        1_100_000,
        ("sorting and removing duplicates", baseline),
        || {
            assert_eq!(engine.query(&all, &Deadline::none()).unwrap().rows.len(), total as usize);
        },
    );
}

criterion_group!(benches, log, group_commit, memtable, flush, blocks, queries);
criterion_main!(benches);
