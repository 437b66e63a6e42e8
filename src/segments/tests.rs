//! Segments as a whole, on the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::base::{LabelFilter, Labels, TimeRange, ValueType};
use crate::format::{Columns, FileHeader, FileKind, Seqs, Values};
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
        let block = segment.block(series, entry).unwrap();
        assert_eq!(*block, *segment.block(series, entry).unwrap());
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
    let error = segment.block(series, entry).unwrap_err();
    assert!(error.message().contains(&format!("block at byte {}", entry.offset)), "{error}");
    assert!(error.message().contains(&info.file_name()), "{error}");
    assert!(segment.block(series, &series.blocks[0]).is_ok());
}
