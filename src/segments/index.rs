//! The index and the footer of a segment.
//!
//! The index is a byte string, compressed with zstd:
//!
//! ```text
//! series (varint); each: id − previous id (varint)  dimension (varint)  value type (1)
//!     label sets (varint), each; sorted
//!     blocks (varint); each: bytes (varint)  rows (varint)  first label set (varint)  last − first (varint)
//!         first timestamp (zigzag)  span of time (varint)  least sequence (varint)  span of sequences (varint)
//! tombstones (varint); each: series id (varint)  sequence (varint)  start (8)  end (8)  labels (a label set)
//! ```
//!
//! Blocks stand one after another from byte 32 of the file on, so lengths give
//! their offsets.

use crate::base::{DIMENSION_MAX, Error, LabelFilter, Labels, Result, TimeRange, ValueType};
use crate::format::{
    BLOCK_ROWS_MAX, HEADER_BYTES, Reader, get_labels, put_i64_zigzag, put_labels, put_varint,
};
use crate::memtable::Tombstone;

/// Bytes of a footer.
pub const FOOTER_BYTES: usize = 92;
const FOOTER_MAGIC: [u8; 8] = *b"GESBDST\n";
/// Largest index, decompressed.
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// Zone map and place of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where it starts.
    pub offset: u64,
    /// Its encoded size.
    pub len: u32,
    /// Its points.
    pub rows: u32,
    /// Label set of its first row.
    pub first_label: u32,
    /// Label set of its last row.
    pub last_label: u32,
    /// The time that its points span.
    pub range: TimeRange,
    /// Least sequence number.
    pub min_seq: u64,
    /// Greatest sequence number.
    pub max_seq: u64,
}

/// One series in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Its id in the shard.
    pub series_id: u64,
    /// Values a point has.
    pub dimension: usize,
    /// How they are stored.
    pub value_type: ValueType,
    /// The label sets that blocks point into, sorted.
    pub labels: Vec<Labels>,
    /// Its blocks, in the order of (label set, time).
    pub blocks: Vec<BlockEntry>,
}

impl SeriesEntry {
    /// Its points.
    pub fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.len)).sum()
    }

    /// The blocks whose span of time overlaps this one.
    pub fn blocks_in(&self, range: TimeRange) -> impl Iterator<Item = &BlockEntry> {
        let mut blocks = self.blocks.as_slice();
        if self.labels.len() == 1 {
            // They follow each other in time.
            blocks = &blocks[near_in(blocks, range)];
        }
        blocks.iter().filter(move |block| block.range.overlaps(range))
    }

    /// The blocks that may have points of a label set in a span of time, and which ones they are.
    pub fn blocks_of(&self, label: u32, range: TimeRange) -> impl Iterator<Item = (usize, &BlockEntry)> {
        let first = self.blocks.partition_point(|block| block.last_label < label);
        let end = self.blocks.partition_point(|block| block.first_label <= label).max(first);
        // Those between the first and the last have no other set, and follow each other in time.
        let start = (first + 1).min(end);
        let inner = start..end.saturating_sub(1).max(start);
        let near = near_in(&self.blocks[inner.clone()], range);
        let near = start + near.start..start + near.end;
        let blocks = (first..inner.start).chain(near).chain(inner.end..end);
        blocks.map(|at| (at, &self.blocks[at])).filter(move |(_, block)| block.range.overlaps(range))
    }

    /// The time that its points span.
    pub fn range(&self) -> Option<TimeRange> {
        if self.labels.len() == 1 {
            let (first, last) = (self.blocks.first()?, self.blocks.last()?);
            return Some(first.range.union(last.range));
        }
        self.blocks.iter().map(|block| block.range).reduce(TimeRange::union)
    }
}

/// A tombstone in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTombstone {
    /// Which series.
    pub series_id: u64,
    /// What is hidden.
    pub tombstone: Tombstone,
}

/// What a segment holds, and where.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    /// Ascending by id.
    pub series: Vec<SeriesEntry>,
    /// Ascending by series id, then number.
    pub tombstones: Vec<StoredTombstone>,
}

impl Index {
    /// Heap bytes, roughly.
    pub fn memory_bytes(&self) -> usize {
        let series: usize = self
            .series
            .iter()
            .map(|series| {
                let labels: usize =
                    series.labels.iter().map(|labels| size_of::<Labels>() + labels.memory_bytes()).sum();
                size_of::<SeriesEntry>() + labels + size_of_val(series.blocks.as_slice())
            })
            .sum();
        series + size_of_val(self.tombstones.as_slice())
    }

    /// The entry of a series.
    pub fn series(&self, series_id: u64) -> Option<&SeriesEntry> {
        let at = self.series.binary_search_by_key(&series_id, |entry| entry.series_id).ok()?;
        self.series.get(at)
    }

    /// The tombstones of a series.
    pub fn tombstones_of(&self, series_id: u64) -> impl Iterator<Item = &Tombstone> {
        let start = self.tombstones.partition_point(|t| t.series_id < series_id);
        let rest = self.tombstones.get(start..).unwrap_or_default();
        rest.iter().take_while(move |t| t.series_id == series_id).map(|t| &t.tombstone)
    }

    /// The index's bytes, not compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.series.len() as u64);
        let mut last_id = 0;
        for series in &self.series {
            put_varint(&mut out, series.series_id - last_id);
            last_id = series.series_id;
            put_varint(&mut out, series.dimension as u64);
            out.push(match series.value_type {
                ValueType::F64 => 0,
                ValueType::F32 => 1,
            });
            put_varint(&mut out, series.labels.len() as u64);
            for labels in &series.labels {
                put_labels(&mut out, labels);
            }
            put_varint(&mut out, series.blocks.len() as u64);
            for block in &series.blocks {
                put_varint(&mut out, u64::from(block.len));
                put_varint(&mut out, u64::from(block.rows));
                put_varint(&mut out, u64::from(block.first_label));
                put_varint(&mut out, u64::from(block.last_label - block.first_label));
                put_i64_zigzag(&mut out, block.range.start_ns);
                put_varint(&mut out, block.range.end_ns.wrapping_sub(block.range.start_ns) as u64);
                put_varint(&mut out, block.min_seq);
                put_varint(&mut out, block.max_seq - block.min_seq);
            }
        }
        put_varint(&mut out, self.tombstones.len() as u64);
        for stored in &self.tombstones {
            put_varint(&mut out, stored.series_id);
            put_varint(&mut out, stored.tombstone.seq);
            out.extend_from_slice(&stored.tombstone.range.start_ns.to_le_bytes());
            out.extend_from_slice(&stored.tombstone.range.end_ns.to_le_bytes());
            put_labels(&mut out, stored.tombstone.labels.pairs());
        }
        out
    }

    /// Reads an index whose blocks end at `blocks_end`.
    pub fn decode(bytes: &[u8], blocks_end: u64) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let left = bytes.len() as u64;
        let mut index = Self::default();
        let mut offset = HEADER_BYTES as u64;
        let mut last_id = 0_u64;
        for at in 0..reader.varint_max(left, "the number of series")? {
            let step = reader.varint()?;
            last_id = match last_id.checked_add(step) {
                Some(id) if step > 0 || at == 0 => id,
                _ => return Err(reader.error("series ids out of order")),
            };
            let dimension = reader.varint_max(u64::from(DIMENSION_MAX), "a dimension")?;
            if dimension == 0 {
                return Err(reader.error("a dimension of 0"));
            }
            let value_type = match reader.u8()? {
                0 => ValueType::F64,
                1 => ValueType::F32,
                other => return Err(reader.error(format_args!("unknown value type {other}"))),
            };
            let mut labels: Vec<Labels> = Vec::new();
            for _ in 0..reader.varint_max(left, "the number of label sets")? {
                let set = get_labels(&mut reader)?;
                if labels.last().is_some_and(|last| *last >= set) {
                    return Err(reader.error("label sets out of order"));
                }
                labels.push(set);
            }
            let mut blocks = Vec::new();
            for _ in 0..reader.varint_max(left, "the number of blocks")? {
                let block = read_block_entry(&mut reader, offset, labels.len())?;
                offset += u64::from(block.len);
                blocks.push(block);
            }
            index.series.push(SeriesEntry { series_id: last_id, dimension, value_type, labels, blocks });
        }
        if offset != blocks_end {
            return Err(reader.error(format_args!("blocks end at {offset}, not at {blocks_end},")));
        }
        for _ in 0..reader.varint_max(left, "the number of tombstones")? {
            let (series_id, seq) = (reader.varint()?, reader.varint()?);
            let range =
                TimeRange::new(reader.i64()?, reader.i64()?).map_err(|e| reader.error(e.message()))?;
            let labels = LabelFilter::new(get_labels(&mut reader)?);
            index.tombstones.push(StoredTombstone { series_id, tombstone: Tombstone { seq, range, labels } });
        }
        if !index.tombstones.is_sorted_by_key(|t| (t.series_id, t.tombstone.seq)) {
            return Err(reader.error("tombstones out of order"));
        }
        reader.finish()?;
        Ok(index)
    }
}

fn read_block_entry(reader: &mut Reader<'_>, offset: u64, label_sets: usize) -> Result<BlockEntry> {
    let len = reader.varint_max(u64::from(u32::MAX), "the size of a block")? as u32;
    let rows = reader.varint_max(BLOCK_ROWS_MAX as u64, "the rows of a block")? as u32;
    let sets =
        (label_sets as u64).checked_sub(1).ok_or_else(|| reader.error("a block without label sets"))?;
    let first_label = reader.varint_max(sets, "a label set")? as u32;
    let last_label = first_label + reader.varint_max(sets - u64::from(first_label), "a label set")? as u32;
    let start_ns = reader.i64_zigzag()?;
    let range = TimeRange::new(start_ns, start_ns.wrapping_add(reader.varint()? as i64))
        .map_err(|e| reader.error(e.message()))?;
    let min_seq = reader.varint()?;
    let max_seq =
        min_seq.checked_add(reader.varint()?).ok_or_else(|| reader.error("a sequence beyond 64 bits"))?;
    Ok(BlockEntry { offset, len, rows, first_label, last_label, range, min_seq, max_seq })
}

/// The last bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Where the index starts.
    pub index_offset: u64,
    /// Its compressed size.
    pub index_len: u64,
    /// Its size.
    pub index_raw_len: u64,
    /// CRC-32 of the compressed index.
    pub index_crc: u32,
    /// Points.
    pub rows: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Least sequence number of a point or tombstone.
    pub min_seq: u64,
    /// Greatest sequence number of a point or tombstone.
    pub max_seq: u64,
    /// The time that the points span; reversed where there are none.
    pub range: TimeRange,
}

impl Footer {
    /// The footer's bytes: three sizes (8 each), CRC of the index (4), zero (4), rows,
    /// tombstones, sequences, times (8 each), CRC-32 of all that (4), magic (8).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for n in [self.index_offset, self.index_len, self.index_raw_len] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.index_crc.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for n in [self.rows, self.tombstones, self.min_seq, self.max_seq] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.range.start_ns.to_le_bytes());
        out.extend_from_slice(&self.range.end_ns.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&FOOTER_MAGIC);
        out
    }

    /// Reads the footer of a file of `file_len` bytes.
    pub fn decode(bytes: &[u8], file_len: u64) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let footer = Self {
            index_offset: reader.u64()?,
            index_len: reader.u64()?,
            index_raw_len: reader.u64()?,
            index_crc: reader.u32()?,
            rows: {
                if reader.u32()? != 0 {
                    return Err(reader.error("footer with unknown flags"));
                }
                reader.u64()?
            },
            tombstones: reader.u64()?,
            min_seq: reader.u64()?,
            max_seq: reader.u64()?,
            range: TimeRange { start_ns: reader.i64()?, end_ns: reader.i64()? },
        };
        let covered = bytes.get(..reader.position()).unwrap_or_default();
        if crc32fast::hash(covered) != reader.u32()? || reader.take(8)? != FOOTER_MAGIC {
            return Err(Error::corrupt("footer fails its CRC; the file is cut short or damaged"));
        }
        let end = footer.index_offset.checked_add(footer.index_len);
        if end != file_len.checked_sub(FOOTER_BYTES as u64)
            || footer.index_offset < HEADER_BYTES as u64
            || footer.index_raw_len > INDEX_BYTES_MAX
        {
            return Err(Error::corrupt("footer whose sizes do not fit the file"));
        }
        Ok(footer)
    }
}

/// Which of some blocks that follow each other in time are near a span.
fn near_in(blocks: &[BlockEntry], range: TimeRange) -> std::ops::Range<usize> {
    let first = blocks.partition_point(|block| block.range.end_ns < range.start_ns);
    let end = blocks.partition_point(|block| block.range.start_ns <= range.end_ns);
    first.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Index {
        let block = |offset, len| BlockEntry {
            offset,
            len,
            rows: 10,
            first_label: 0,
            last_label: 1,
            range: TimeRange { start_ns: -5, end_ns: i64::MAX },
            min_seq: 3,
            max_seq: 9,
        };
        let labels = vec![Labels::empty(), Labels::new([("a", "b")]).unwrap()];
        let series = |series_id, blocks| SeriesEntry {
            series_id,
            dimension: 3,
            value_type: ValueType::F32,
            labels: labels.clone(),
            blocks,
        };
        let tombstone = Tombstone {
            seq: 8,
            range: TimeRange { start_ns: i64::MIN, end_ns: 7 },
            labels: LabelFilter::new(labels[1].clone()),
        };
        Index {
            series: vec![series(0, vec![block(40, 100), block(140, 50)]), series(7, vec![block(190, 1)])],
            tombstones: vec![StoredTombstone { series_id: 7, tombstone }],
        }
    }

    #[test]
    fn an_index_reads_back() {
        let index = sample();
        let bytes = index.encode();
        assert_eq!(Index::decode(&bytes, 191).unwrap(), index);
        assert!(Index::decode(&bytes, 192).is_err());
        for len in 0..bytes.len() {
            assert!(Index::decode(&bytes[..len], 191).is_err(), "cut {len}");
        }
        assert_eq!(index.series(7).unwrap().rows(), 10);
        assert!(index.series(3).is_none());
        assert_eq!(index.tombstones_of(7).count(), 1);
        assert_eq!(index.tombstones_of(0).count(), 0);
    }

    #[test]
    fn blocks_of_a_set_are_those_that_overlap_the_span() {
        let mut rng = crate::base::Rng::new(11);
        for case in 0..500 {
            // Rows by label set, then time, cut into blocks of a few.
            let sets = 1 + rng.below(4) as u32;
            let mut rows: Vec<(u32, i64)> = (0..=rng.below(60))
                .map(|_| (rng.below(u64::from(sets)) as u32, rng.below(50) as i64))
                .collect();
            rows.sort_unstable();
            rows.dedup();
            let entry = |rows: &[(u32, i64)]| {
                let times = rows.iter().map(|row| row.1);
                BlockEntry {
                    rows: rows.len() as u32,
                    first_label: rows[0].0,
                    last_label: rows[rows.len() - 1].0,
                    range: TimeRange { start_ns: times.clone().min().unwrap(), end_ns: times.max().unwrap() },
                    ..sample().series[0].blocks[0]
                }
            };
            let blocks = rows.chunks(1 + rng.below(5) as usize).map(entry).collect();
            let series = SeriesEntry { blocks, ..sample().series[0].clone() };
            let start_ns = rng.below(60) as i64 - 5;
            let range = TimeRange { start_ns, end_ns: start_ns + rng.below(20) as i64 };
            for label in 0..=sets {
                let found: Vec<usize> = series.blocks_of(label, range).map(|(at, _)| at).collect();
                let is_asked = |block: &BlockEntry| {
                    (block.first_label..=block.last_label).contains(&label) && block.range.overlaps(range)
                };
                let expected: Vec<usize> =
                    (0..series.blocks.len()).filter(|&at| is_asked(&series.blocks[at])).collect();
                assert_eq!(found, expected, "case {case}, set {label}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_footer_is_found() {
        let footer = Footer {
            index_offset: 100,
            index_len: 50,
            index_raw_len: 80,
            index_crc: 5,
            rows: 1,
            tombstones: 2,
            min_seq: 3,
            max_seq: 4,
            range: TimeRange { start_ns: -1, end_ns: 1 },
        };
        let bytes = footer.encode();
        assert_eq!(bytes.len(), FOOTER_BYTES);
        let file_len = 150 + FOOTER_BYTES as u64;
        assert_eq!(Footer::decode(&bytes, file_len).unwrap(), footer);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&bad, file_len).is_err(), "bit {bit}");
        }
    }
}
