//! Segments as a whole, on the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::base::{LabelFilter, Labels, Rng, TimeRange, ValueType};
use crate::format::{Block, Columns, FileHeader, FileKind, Seqs, Values};
use crate::memtable::Tombstone;
use crate::vfs::{SimDisk, Vfs, read_all};

const DIR: &str = "/";

fn columns(start: i64, rows: i64, seq: u64) -> Columns {
    Columns {
        dimension: 2,
        timestamps: (start..start + rows).collect(),
        seqs: Seqs::Constant(seq),
        values: Values::F64((0..rows * 2).map(|v| v as f64 * 0.25).collect()),
    }
}

fn labels() -> Vec<Labels> {
    vec![Labels::empty(), Labels::new([("host", "a")]).unwrap()]
}

fn write_sample(disk: &SimDisk) -> SegmentInfo {
    let mut writer = SegmentWriter::create(
        Arc::new(disk.clone()),
        Path::new(DIR),
        FileHeader::new(FileKind::Segment, 5, 12, 1),
    )
    .unwrap();
    writer.begin_series(3, 2, ValueType::F64, labels()).unwrap();
    writer.push(0, &columns(0, 5000, 7), 0..5000).unwrap();
    writer.push(1, &columns(-10, 3000, 8), 10..3000).unwrap();
    writer.begin_series(4, 2, ValueType::F64, labels()).unwrap();
    writer.begin_series(9, 2, ValueType::F64, labels()).unwrap();
    writer.push(1, &columns(50, 1, 9), 0..1).unwrap();
    writer.push_tombstone(9, Tombstone { seq: 6, range: TimeRange::ALL, labels: LabelFilter::any() });
    writer.finish().unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let disk = SimDisk::new();
    let info = write_sample(&disk);
    assert_eq!((info.rows, info.tombstones, info.min_seq, info.max_seq), (7991, 1, 6, 9));
    assert_eq!(info.range(), Some(TimeRange { start_ns: 0, end_ns: 4999 }));
    let cache = Arc::new(BlockCache::new(1 << 20));
    let foreign = Segment::open(&disk, Path::new(DIR), (5, 1), &info, cache.clone());
    assert!(foreign.is_err(), "of another database");
    let segment = Segment::open(&disk, Path::new(DIR), (5, 0), &info, cache).unwrap();
    assert_eq!(segment.index().series.len(), 2, "a series without points is left out");
    let series = segment.index().series(3).unwrap();
    assert_eq!(series.rows(), 7990);
    let mut times = [Vec::new(), Vec::new()];
    for entry in &series.blocks {
        let block = segment.block(series, entry, TimeRange::ALL).unwrap();
        assert_eq!(*block, *segment.block(series, entry, TimeRange::ALL).unwrap());
        for (label, rows) in block.runs() {
            times[label as usize].extend_from_slice(&block.columns.timestamps[rows]);
        }
    }
    assert_eq!(times[0], (0..5000).collect::<Vec<_>>());
    assert_eq!(times[1], (0..2990).collect::<Vec<_>>());
    verify_segment(&disk, segment.path(), 5, &info).unwrap();
    assert!(verify_segment(&disk, segment.path(), 6, &info).is_err(), "another shard's segment");
    let other = SegmentInfo { hash: info.hash ^ 1, ..info };
    assert!(verify_segment(&disk, segment.path(), 5, &other).is_err(), "another content");
}

#[test]
fn a_full_cache_has_as_much_of_a_block_as_was_asked_for() {
    let disk = SimDisk::new();
    let mut writer = SegmentWriter::create(
        Arc::new(disk.clone()),
        Path::new(DIR),
        FileHeader::new(FileKind::Segment, 5, 12, 1),
    )
    .unwrap();
    let mut rng = Rng::new(23);
    // Evenly; in bursts, so that times are not where they should be; and in pairs of sets.
    for series_id in [1, 2, 3] {
        writer.begin_series(series_id, 1, ValueType::F64, labels()).unwrap();
        let sets = if series_id == 3 { 2 } else { 1 };
        for label in 0..sets {
            let mut time = 0;
            let step = |rng: &mut Rng, row: i64| match series_id {
                2 if row % 700 == 0 => 1 << 40,
                _ => 1 + rng.below(1000) as i64,
            };
            let timestamps: Vec<i64> = (0..9000 / sets)
                .map(|row| {
                    time += step(&mut rng, row);
                    time
                })
                .collect();
            let rows = timestamps.len();
            let values = Values::F64((0..rows).map(|row| row as f64 / 8.0).collect());
            let columns = Columns { dimension: 1, timestamps, seqs: Seqs::Constant(7), values };
            writer.push(label as u32, &columns, 0..rows).unwrap();
        }
    }
    let info = writer.finish().unwrap();
    let (mut parts, mut wholes) = (0, 0);
    for bytes_max in [0, 200_000, 1 << 30] {
        let cache = Arc::new(BlockCache::new(bytes_max));
        let segment = Segment::open(&disk, Path::new(DIR), (5, 0), &info, cache.clone()).unwrap();
        for turn in 0..400 {
            let series = &segment.index().series[rng.below(3) as usize];
            let entry = &series.blocks[rng.below(series.blocks.len() as u64) as usize];
            let whole = segment.decode(series, entry).unwrap();
            let times = &whole.columns.timestamps;
            let start_ns = times[rng.below(times.len() as u64) as usize];
            let range = TimeRange { start_ns, end_ns: start_ns + rng.below(1 << 14) as i64 };
            let found = match turn % 3 {
                0 => segment.fetch(series, entry, range).unwrap(),
                1 => segment.block(series, entry, range).unwrap(),
                _ => segment.cached(entry, range).unwrap_or_else(|| Arc::new(whole.clone())),
            };
            let points = |of: &Block| {
                let in_range = |row: &usize| range.contains(of.columns.timestamps[*row]);
                let point = |row: usize| {
                    let mut value = Vec::new();
                    of.columns.values.copy_to_f64(row..row + 1, &mut value);
                    (of.columns.timestamps[row], value[0].to_bits(), of.columns.seqs.get(row))
                };
                of.runs()
                    .map(|(label, run)| (label, run.filter(in_range).map(point).collect()))
                    .collect::<Vec<(_, Vec<_>)>>()
            };
            assert_eq!(points(&found), points(&whole), "turn {turn}, {range:?}");
            if found.columns.len() < whole.columns.len() { parts += 1 } else { wholes += 1 }
        }
        assert!(cache.memory_bytes() <= bytes_max.max(1 << 16) as u64);
    }
    assert!(parts > 100 && wholes > 100, "{parts} parts, {wholes} wholes");
}

#[test]
fn verification_finds_every_flipped_byte() {
    let disk = SimDisk::new();
    let info = write_sample(&disk);
    let path = PathBuf::from(DIR).join(info.file_name());
    let bytes = read_all(&disk, &path, 1 << 20).unwrap();
    let file = disk.open_write(&path).unwrap();
    let step = (bytes.len() / 500).max(1);
    for at in (0..bytes.len()).step_by(step).chain(bytes.len() - 100..bytes.len()) {
        file.write_all_at(&[bytes[at] ^ 0x10], at as u64).unwrap();
        assert!(verify_segment(&disk, &path, 5, &info).is_err(), "byte {at}");
        file.write_all_at(&[bytes[at]], at as u64).unwrap();
    }
    verify_segment(&disk, &path, 5, &info).unwrap();
}

#[test]
fn reading_never_returns_a_damaged_block() {
    let disk = SimDisk::new();
    let info = write_sample(&disk);
    let cache = Arc::new(BlockCache::new(0));
    let segment = Segment::open(&disk, Path::new(DIR), (5, 0), &info, cache).unwrap();
    let series = segment.index().series(3).unwrap();
    let entry = &series.blocks[1];
    let file = disk.open_write(segment.path()).unwrap();
    file.write_all_at(&[0xff], entry.offset + 9).unwrap();
    let error = segment.block(series, entry, TimeRange::ALL).unwrap_err();
    assert!(error.message().contains(&format!("block at byte {}", entry.offset)), "{error}");
    assert!(error.message().contains(&info.file_name()), "{error}");
    assert!(segment.block(series, &series.blocks[0], TimeRange::ALL).is_ok());
}
