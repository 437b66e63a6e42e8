//! Decodes the very examples that `docs/format/` prints. `TSDB_UPDATE_DOCS=1` writes
//! them anew, for a new format version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tsdb_vector::base::{
    Deadline, LabelFilter, Labels, ManualClock, Points, SeriesName, TimeRange, ValueType,
};
use tsdb_vector::engine::{Engine, Options, Query, Write};
use tsdb_vector::format::{
    Columns, FileHeader, FileKind, HEADER_BYTES, MANIFEST, Reader, Seqs, Values, describe_block,
};
use tsdb_vector::manifest::{
    Database, FileManifestStore, Manifest, ManifestStore, SeriesRecord, WatchRecord, read_watches,
    write_watches,
};
use tsdb_vector::memtable::Tombstone;
use tsdb_vector::segments::{SegmentInfo, SegmentWriter, Sidecar, open_unlisted};
use tsdb_vector::vector::Lists;
use tsdb_vector::vfs::{SimDisk, Vfs, read_all};
use tsdb_vector::wal::{
    InsertRecord, JournalWriter, LogItem, LogReader, LogWriter, Patch, Record, read_journal,
};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format").join(name)
}

/// The body of the page's fenced block that begins with this line.
fn block(text: &str, head: &str) -> String {
    let start = text.find(&format!("```{head}\n")).unwrap_or_else(|| panic!("no block '{head}'"));
    let body = &text[start + head.len() + 4..];
    body[..body.find("```").expect("the block ends")].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            row.iter().map(|&byte| if (32..127).contains(&byte) { char::from(byte) } else { '.' }).collect();
        writeln!(out, "{:08x}  {:<47}  {text}", at * 16, digits.join(" ")).unwrap();
    }
    out
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.lines().flat_map(|line| line[10..57].split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Decodes a page's example and compares with what the page says it holds.
fn check(name: &str, example: &str, generate: impl Fn() -> Vec<u8>, decode: impl Fn(&[u8]) -> Vec<Value>) {
    let path = page(name);
    let mut text = std::fs::read_to_string(&path).unwrap();
    let lines = |bytes: &[u8]| decode(bytes).iter().map(|value| format!("{value}\n")).collect::<String>();
    if std::env::var_os("TSDB_UPDATE_DOCS").is_some() {
        let bytes = generate();
        for (head, body) in
            [(format!("hex {example}"), hex(&bytes)), (format!("json {example}"), lines(&bytes))]
        {
            let old = block(&text, &head);
            text = text.replacen(&format!("```{head}\n{old}```"), &format!("```{head}\n{body}```"), 1);
        }
        std::fs::write(&path, &text).unwrap();
    }
    let bytes = unhex(&block(&text, &format!("hex {example}")));
    assert!(bytes.len() > 40, "{name}: an example of {} bytes", bytes.len());
    assert_eq!(lines(&bytes), block(&text, &format!("json {example}")), "{name}");
    // What this version writes can be read as the same.
    assert_eq!(lines(&generate()), lines(&bytes), "{name}");
}

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) {
    disk.create(Path::new(path)).unwrap().write_all_at(bytes, 0).unwrap();
}

/// As a generation draws it.
const ORIGIN: u64 = 0x5ca1_ab1e_0ddb_a115;

fn log_header(shard: u32) -> FileHeader {
    FileHeader { journal: 1, origin: ORIGIN, ..FileHeader::new(FileKind::Log, shard, 1, 1) }
}

fn labels() -> Labels {
    Labels::new([("room", "a")]).unwrap()
}

#[test]
fn the_logs_page() {
    let generate = || {
        let disk = SimDisk::new();
        let mut log = LogWriter::create(&disk, Path::new("/"), log_header(3)).unwrap();
        let name = SeriesName::new("temp").unwrap();
        log.push(&Record::Create { series_id: 1, name, dimension: 1, value_type: ValueType::F64 });
        log.push(&Record::Insert(InsertRecord {
            series_id: 1,
            dimension: 1,
            assigned_max_ns: None,
            timestamps: vec![1000, 2000],
            values: Values::F64(vec![21.5, -0.5]),
            label_ids: Vec::new(),
            label_sets: vec![labels()],
        }));
        log.write(false).unwrap();
        log.sync().unwrap();
        let mut bytes = read_all(&disk, log.path(), 1 << 20).unwrap();
        bytes.truncate(log.len_bytes() as usize);
        bytes
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        put(&disk, "/log", bytes);
        let mut reader = LogReader::open(&disk, Path::new("/log")).unwrap();
        let header = reader.header();
        let mut out = vec![
            json!({"version": header.version, "shard": header.shard, "first_seq": header.id, "epoch": header.epoch,
                "origin": format!("{:016x}", header.origin)}),
        ];
        let mut records = 0;
        while let LogItem::Frame { offset, len, seq, durable_seq, payload } = reader.next(records).unwrap() {
            out.push(json!({"frame": offset, "bytes": len, "seq": seq, "durable_seq": durable_seq}));
            let mut payload = Reader::new(payload);
            records = 0;
            while payload.remaining() > 0 {
                records += 1;
                out.push(match Record::decode(&mut payload).unwrap() {
                    Record::Create { series_id, name, dimension, .. } => {
                        json!({"create": name.as_str(), "series_id": series_id, "dimension": dimension})
                    }
                    Record::Insert(insert) => {
                        let mut values = Vec::new();
                        insert.values.copy_to_f64(0..insert.values.len(), &mut values);
                        let sets: Vec<String> = insert.label_sets.iter().map(ToString::to_string).collect();
                        json!({"insert": insert.series_id, "timestamps": insert.timestamps, "values": values, "label_sets": sets})
                    }
                    other => panic!("{other:?}"),
                });
            }
        }
        out
    };
    check("log.md", "log", generate, decode);
}

#[test]
fn the_journals_page() {
    let generate = || {
        let disk = SimDisk::new();
        let mut journal = JournalWriter::create(&disk, Path::new("/"), 0, 2, ORIGIN).unwrap();
        let mut logs =
            [0, 5].map(|shard| LogWriter::create(&disk, Path::new("/"), log_header(shard)).unwrap());
        for log in &mut logs {
            log.push(&Record::Drop { series_id: 7 });
            log.seal();
        }
        journal.write(&[(0, logs[0].last_sealed()), (5, logs[1].last_sealed())]).unwrap();
        logs[1].note_journaled();
        logs[1].push(&Record::Drop { series_id: 8 });
        logs[1].seal();
        journal.write(&[(5, logs[1].last_sealed())]).unwrap();
        let mut bytes = read_all(&disk, Path::new("/journal-0000"), 1 << 20).unwrap();
        bytes.truncate(journal.frame_bytes() as usize + HEADER_BYTES);
        bytes
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        put(&disk, "/journal-0000", bytes);
        let journal = read_journal(&disk, Path::new("/"), 0, ORIGIN).unwrap();
        let mut out = vec![json!({"number": journal.number, "next_records": journal.ends})];
        for ((shard, log), frames) in &journal.logs {
            for Patch { offset, bytes, .. } in frames {
                out.push(json!({"shard": shard, "log": log, "offset": offset, "bytes": bytes.len()}));
            }
        }
        out
    };
    check("journal.md", "journal", generate, decode);
}

#[test]
fn the_segments_page() {
    let generate = || {
        let disk = SimDisk::new();
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let mut writer = SegmentWriter::create(
            vfs,
            Path::new("/"),
            FileHeader { origin: ORIGIN, ..FileHeader::new(FileKind::Segment, 3, 1, 1) },
        )
        .unwrap();
        writer.begin_series(1, 1, ValueType::F64, vec![Labels::empty(), labels()]).unwrap();
        let columns = Columns {
            dimension: 1,
            timestamps: vec![1000, 2000, 3000],
            seqs: Seqs::Each(vec![2, 3, 3]),
            values: Values::F64(vec![21.5, -0.5, 22.0]),
        };
        writer.push(0, &columns, 0..2).unwrap();
        writer.push(1, &columns, 2..3).unwrap();
        writer.push_tombstone(
            1,
            Tombstone { seq: 4, range: TimeRange::new(5000, 6000).unwrap(), labels: LabelFilter::any() },
        );
        let info = writer.finish().unwrap();
        read_all(&disk, &Path::new("/").join(info.file_name()), 1 << 20).unwrap()
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        put(&disk, "/segment", bytes);
        let segment = open_unlisted(&disk, Path::new("/segment")).unwrap();
        let footer = segment.footer();
        let mut out =
            vec![json!({"shard": segment.header().shard, "id": segment.header().id, "points": footer.rows,
            "tombstones": footer.tombstones, "min_seq": footer.min_seq, "max_seq": footer.max_seq,
            "index_offset": footer.index_offset})];
        for series in &segment.index().series {
            for entry in &series.blocks {
                let bytes = segment.read_block_bytes(entry).unwrap();
                let columns = describe_block(&bytes, series.dimension).unwrap();
                let codecs: Vec<Value> = columns
                    .iter()
                    .map(|column| json!([column.name, column.codec.name(), column.encoded_bytes]))
                    .collect();
                out.push(json!({"block": entry.offset, "bytes": entry.len, "series_id": series.series_id, "columns": codecs}));
                let block = segment.decode(series, entry).unwrap();
                for (label, rows) in block.runs() {
                    for row in rows {
                        let mut values = Vec::new();
                        block.columns.values.copy_to_f64(row..row + 1, &mut values);
                        out.push(json!({"timestamp_ns": block.columns.timestamps[row], "values": values,
                            "labels": series.labels[label as usize].to_string(), "seq": block.columns.seqs.get(row)}));
                    }
                }
            }
        }
        for stored in &segment.index().tombstones {
            let range = stored.tombstone.range;
            out.push(json!({"delete": stored.series_id, "start_ns": range.start_ns, "end_ns": range.end_ns, "seq": stored.tombstone.seq}));
        }
        out
    };
    check("segment.md", "segment", generate, decode);
}

#[test]
fn the_vectors_page() {
    let generate = || {
        let disk = SimDisk::new();
        let options = Options { background: false, shards: 1, index_rows_min: 50, ..Options::new("/data") };
        let clock = Arc::new(ManualClock::new(0));
        let engine = Engine::open_with(Arc::new(disk.clone()), clock, options).unwrap();
        let series = SeriesName::new("place").unwrap();
        let create = Write::Create {
            name: series.clone(),
            dimension: 4,
            value_type: ValueType::F64,
            if_not_exists: false,
        };
        engine.write(create).unwrap();
        // Around four directions, sixteen points each.
        let values = (0..64 * 4).map(|at| match (at / 4 % 4 == at % 4, at / 16) {
            (true, _) => 20.0,
            (false, turn) => f64::from(turn),
        });
        let points = Points {
            dimension: 4,
            timestamps_ns: (0..64).collect(),
            values: values.collect(),
            ..Points::default()
        };
        engine.write(Write::Insert { series, points }).unwrap();
        engine.flush().unwrap();
        assert_eq!(engine.index().unwrap(), 1);
        let dir = Path::new("/data/gen-0000000001/shard-0000");
        let names = disk.list(dir).unwrap().into_iter().map(|entry| entry.name);
        let name = names.into_iter().find(|name| name.ends_with(".vec")).unwrap();
        read_all(&disk, &dir.join(name), 1 << 20).unwrap()
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        let id = FileHeader::decode(bytes, FileKind::Vectors).unwrap().id;
        let hash = Reader::new(&bytes[HEADER_BYTES..]).u128().unwrap();
        let info = SegmentInfo { id, hash, ..unknown_segment() };
        put(&disk, Sidecar::path_of(Path::new("/"), &info).to_str().unwrap(), bytes);
        let sidecar = Sidecar::open(&disk, Path::new("/"), &info).unwrap().unwrap();
        let mut out = vec![json!({"segment": id, "series": sidecar.series_ids().count()})];
        for series_id in sidecar.series_ids() {
            let section = sidecar.section(series_id).unwrap().unwrap();
            let lists = Lists::decode(&section, 4, 64).unwrap();
            out.push(json!({"series_id": series_id, "lists": lists.len()}));
            for reach in lists.reach() {
                out.push(json!({"part": reach.part, "recalls": reach.recalls}));
            }
            for list in 0..lists.len() {
                out.push(json!({"list": list, "rows": lists.rows()[lists.slots(list)]}));
            }
        }
        out
    };
    check("vectors.md", "vectors", generate, decode);
}

/// What a segment is, of which only the name counts.
fn unknown_segment() -> SegmentInfo {
    SegmentInfo {
        id: 0,
        hash: 0,
        bytes: 0,
        rows: 0,
        tombstones: 0,
        min_seq: 0,
        max_seq: 0,
        start_ns: 0,
        end_ns: 0,
    }
}

#[test]
fn the_manifests_page() {
    let generate = || {
        let disk = SimDisk::new();
        let store = FileManifestStore::new(Arc::new(disk.clone()), Path::new("/"), 3);
        store.create(4, ORIGIN).unwrap();
        let name = SeriesName::new("temp").unwrap();
        let next = Manifest {
            revision: 1,
            flushed_seq: 4,
            durable_seq: 7,
            newest_log: Some(5),
            next_series_id: 2,
            series: vec![SeriesRecord::new(1, &name, 1, ValueType::F64, None)],
            ..store.load().unwrap()
        };
        store.install(&next).unwrap();
        read_all(&disk, &Path::new("/").join(MANIFEST), 1 << 20).unwrap()
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        put(&disk, "/MANIFEST", bytes);
        let manifest = FileManifestStore::new(Arc::new(disk), Path::new("/"), 3).load().unwrap();
        let series: Vec<Value> = manifest
            .series
            .iter()
            .map(|series| json!({"id": series.id, "name": series.name, "dimension": series.dimension, "value_type": series.value_type}))
            .collect();
        vec![
            json!({"origin": format!("{:016x}", manifest.origin), "revision": manifest.revision, "epoch": manifest.epoch, "shards": manifest.shards,
            "flushed_seq": manifest.flushed_seq, "durable_seq": manifest.durable_seq, "newest_log": manifest.newest_log,
            "next_segment_id": manifest.next_segment_id, "next_series_id": manifest.next_series_id, "series": series,
            "segments": manifest.segments.len(), "losses": manifest.losses.len()}),
        ]
    };
    check("manifest.md", "manifest", generate, decode);
}

#[test]
fn the_directorys_page() {
    let make = || {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/data")).unwrap();
        Database::open_or_create(Arc::new(disk.clone()), Path::new("/data"), 2).unwrap();
        disk
    };
    for (name, example) in [("DATABASE", "database"), ("CURRENT", "current")] {
        let generate = || read_all(&make(), &Path::new("/data").join(name), 1 << 10).unwrap();
        let decode = |bytes: &[u8]| {
            let disk = make();
            let path = Path::new("/data").join(name);
            disk.remove(&path).unwrap();
            put(&disk, path.to_str().unwrap(), bytes);
            let (database, live) = Database::open(Arc::new(disk), Path::new("/data")).unwrap();
            vec![if name == "DATABASE" {
                json!({"shards": database.shards()})
            } else {
                json!({"generation": live.generation, "origin": format!("{:016x}", live.origin)})
            }]
        };
        check("directory.md", example, generate, decode);
    }
}

#[test]
fn the_list_of_watches() {
    let dir = Path::new("/");
    let watch = WatchRecord {
        series: "temp".into(),
        labels: vec![("room".into(), "hall".into())],
        window: 50,
        points_max: 65_536,
        threshold: 0.5,
    };
    let generate = || {
        let disk = SimDisk::new();
        write_watches(&disk, dir, std::slice::from_ref(&watch)).unwrap();
        read_all(&disk, Path::new("/WATCHES"), 1 << 10).unwrap()
    };
    let decode = |bytes: &[u8]| {
        let disk = SimDisk::new();
        put(&disk, "/WATCHES", bytes);
        let watches = read_watches(&disk, dir).unwrap();
        let value = |watch: &WatchRecord| {
            json!({
                "series": watch.series, "labels": watch.labels, "window": watch.window,
                "points_max": watch.points_max, "threshold": watch.threshold,
            })
        };
        watches.iter().map(value).collect()
    };
    check("directory.md", "watches", generate, decode);
}

#[test]
fn the_snapshots_page() {
    let open = |disk: &SimDisk| {
        let options = Options { shards: 2, background: false, ..Options::new("/data") };
        Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(1)), options).unwrap()
    };
    for (file, example) in [("s.snap", "snapshot"), ("s.json", "snapshot-json")] {
        let generate = || {
            let disk = SimDisk::new();
            let engine = open(&disk);
            let name = SeriesName::new("temp").unwrap();
            let create = Write::Create {
                name: name.clone(),
                dimension: 1,
                value_type: ValueType::F64,
                if_not_exists: false,
            };
            engine.write(create).unwrap();
            for (timestamp, value, set) in [(1000, 21.5, Labels::empty()), (2000, -0.5, labels())] {
                let points = Points::one(Some(timestamp), vec![value], set);
                engine.write(Write::Insert { series: name.clone(), points }).unwrap();
            }
            let saved = engine.save(file, &Deadline::none()).unwrap();
            read_all(&disk, &saved.path, 1 << 20).unwrap()
        };
        let decode = |bytes: &[u8]| {
            let disk = SimDisk::new();
            let engine = open(&disk);
            disk.create_dir(Path::new("/data/snapshots")).unwrap();
            put(&disk, "/data/snapshots/x", bytes);
            engine.load("x", &Deadline::none()).unwrap();
            let list = engine.list(&Deadline::none()).unwrap();
            list.iter()
                .flat_map(|series| {
                    let query = Query {
                        series: series.name.clone(),
                        range: TimeRange::ALL,
                        labels: LabelFilter::any(),
                        limit: usize::MAX,
                    };
                    let rows = engine.query(&query, &Deadline::none()).unwrap().rows;
                    (0..rows.len())
                        .map(|row| {
                            let labels = rows.labels_of(row).map(ToString::to_string).unwrap_or_default();
                            json!({"series": series.name.as_str(), "timestamp_ns": rows.timestamps_ns[row],
                                "values": rows.values_of(row), "labels": labels})
                        })
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        if example == "snapshot" {
            check("snapshot.md", example, generate, decode);
        } else {
            let text = std::fs::read_to_string(page("snapshot.md")).unwrap();
            let written = String::from_utf8(generate()).unwrap();
            if std::env::var_os("TSDB_UPDATE_DOCS").is_some() {
                let head = "jsonl snapshot";
                let old = block(&text, head);
                let new =
                    text.replacen(&format!("```{head}\n{old}```"), &format!("```{head}\n{written}```"), 1);
                std::fs::write(page("snapshot.md"), new).unwrap();
            }
            let text = std::fs::read_to_string(page("snapshot.md")).unwrap();
            assert_eq!(block(&text, "jsonl snapshot"), written);
            assert_eq!(decode(written.as_bytes()).len(), 2);
        }
    }
}
