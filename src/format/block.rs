//! A block: up to some thousand points of one series, each column on its own,
//! under one checksum. Segments and snapshots are made of blocks.
//!
//! ```text
//! rows (varint)  dimension (varint)  value type (1: 0 = f64, 1 = f32)  layout (1)
//! columns: timestamps, label sets, sequence numbers, values …
//!          each: codec (1)  bytes (varint)  so many bytes
//! CRC-32 of all that comes before it (4)
//! ```
//!
//! Layout 0 has one values column, time-major; layout 1 has one a dimension.

use std::ops::Range;
use std::sync::Arc;

use pco::FULL_BATCH_N;

use crate::base::{DIMENSION_MAX, Error, Result, ValueType};

use super::codec::{Count, encode_label_ids, encode_seqs, encode_timestamps, encode_values, next_column};
use super::{Codec, Columns, Reader, Values, put_varint};

/// Most rows of a block.
pub const BLOCK_ROWS_MAX: usize = 4096;
/// Most values of a block, whatever its rows; one point of the largest dimension
/// fits.
pub const BLOCK_VALUES_MAX: usize = 1 << 18;
/// Up to this dimension a block of enough rows has one values column a dimension.
const SPLIT_DIMENSION_MAX: usize = 64;
/// Fewer rows than this are not worth a column a dimension.
const SPLIT_ROWS_MIN: usize = 32;

const LAYOUT_TOGETHER: u8 = 0;
const LAYOUT_SPLIT: u8 = 1;

/// Most rows of a block of this dimension.
pub fn block_rows_for(dimension: usize) -> usize {
    (BLOCK_VALUES_MAX / dimension.max(1)).clamp(1, BLOCK_ROWS_MAX)
}

/// A decoded block. Its rows are sorted by label set, then time.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The points; shared with whoever merges them.
    pub columns: Arc<Columns>,
    /// Where each run of one label set starts, and which it is.
    pub label_runs: Vec<(u32, u32)>,
}

impl Block {
    /// The rows of each label set, in order.
    pub fn runs(&self) -> impl Iterator<Item = (u32, Range<usize>)> + '_ {
        self.label_runs.iter().enumerate().map(|(at, &(_, id))| (id, self.run(at)))
    }

    /// The rows of one label set; `None` where it has none here.
    pub fn rows_of(&self, label: u32) -> Option<Range<usize>> {
        self.label_runs.binary_search_by_key(&label, |run| run.1).ok().map(|at| self.run(at))
    }

    fn run(&self, at: usize) -> Range<usize> {
        let end = self.label_runs.get(at + 1).map_or(self.columns.len(), |next| next.0 as usize);
        self.label_runs[at].0 as usize..end
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.columns.memory_bytes() + self.label_runs.len() * 8
    }
}

/// Appends a block to `out`.
///
/// # Panics
/// If there are no rows, or more than [`block_rows_for`] the dimension: writers cut
/// blocks to size.
pub fn encode_block(columns: &Columns, label_ids: &[u32], out: &mut Vec<u8>) {
    let (rows, dimension) = (columns.len(), columns.dimension);
    assert!(rows > 0 && rows <= block_rows_for(dimension), "a block of {rows} rows");
    assert_eq!(label_ids.len(), rows, "one label set a row");
    assert_eq!(columns.values.len(), rows * dimension, "dimension values a row");
    let start = out.len();
    put_varint(out, rows as u64);
    put_varint(out, dimension as u64);
    out.push(match columns.values.value_type() {
        ValueType::F64 => 0,
        ValueType::F32 => 1,
    });
    let split = dimension > 1 && dimension <= SPLIT_DIMENSION_MAX && rows >= SPLIT_ROWS_MIN;
    out.push(if split { LAYOUT_SPLIT } else { LAYOUT_TOGETHER });
    encode_timestamps(&columns.timestamps, out);
    encode_label_ids(label_ids, out);
    encode_seqs(&columns.seqs, rows, out);
    if split {
        for at in 0..dimension {
            encode_values(&pick_dimension(&columns.values, at, dimension), out);
        }
    } else {
        encode_values(&columns.values, out);
    }
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

fn pick_dimension(values: &Values, at: usize, dimension: usize) -> Values {
    match values {
        Values::F64(values) => Values::F64(values.iter().skip(at).step_by(dimension).copied().collect()),
        Values::F32(values) => Values::F32(values.iter().skip(at).step_by(dimension).copied().collect()),
    }
}

struct BlockHeader {
    rows: usize,
    dimension: usize,
    value_type: ValueType,
    layout: u8,
}

/// Checks the CRC and the sizes before anything is allocated for them.
fn read_header(bytes: &[u8], dimension: usize) -> Result<(BlockHeader, Reader<'_>)> {
    let covered = bytes.len().checked_sub(4).and_then(|len| bytes.split_at_checked(len));
    let Some((covered, crc)) = covered else {
        return Err(Error::corrupt(format!("a block of {} bytes", bytes.len())));
    };
    if crc32fast::hash(covered).to_le_bytes() != crc {
        return Err(Error::corrupt("block fails its CRC"));
    }
    let mut reader = Reader::new(covered);
    let rows = reader.varint_max(BLOCK_ROWS_MAX as u64, "the rows of a block")?;
    let found = reader.varint_max(u64::from(DIMENSION_MAX), "the dimension of a block")?;
    if found != dimension || rows == 0 || rows > block_rows_for(dimension) {
        return Err(reader.error(format_args!(
            "a block of {rows} rows and dimension {found} in a series of dimension {dimension}"
        )));
    }
    let value_type = match reader.u8()? {
        0 => ValueType::F64,
        1 => ValueType::F32,
        other => return Err(reader.error(format_args!("unknown value type {other}"))),
    };
    let layout = reader.u8()?;
    if layout > LAYOUT_SPLIT {
        return Err(reader.error(format_args!("unknown block layout {layout}")));
    }
    Ok((BlockHeader { rows, dimension, value_type, layout }, reader))
}

/// Decodes a block of a series of the given dimension and type, and checks that
/// its rows are in order.
///
/// # Errors
/// `CORRUPT_DATA` for everything that [`encode_block`] did not make.
pub fn decode_block(bytes: &[u8], dimension: usize, value_type: ValueType) -> Result<Block> {
    let (header, reader) = read_header(bytes, dimension)?;
    decode_rows(&header, reader, value_type, BLOCK_ROWS_MAX)
}

/// Decodes at least `rows_min` rows of a block that has `rows`, the first ones of time; all of
/// them where there are several label sets.
///
/// # Errors
/// As [`decode_block`], which may see more; and for another number of rows.
pub fn decode_block_start(
    bytes: &[u8],
    dimension: usize,
    value_type: ValueType,
    rows: usize,
    rows_min: usize,
) -> Result<Block> {
    let (header, reader) = read_header(bytes, dimension)?;
    if header.rows != rows {
        return Err(Error::corrupt(format!("a block of {} rows where {rows} are expected", header.rows)));
    }
    decode_rows(&header, reader, value_type, rows_min)
}

fn decode_rows(
    header: &BlockHeader,
    mut reader: Reader<'_>,
    value_type: ValueType,
    rows_min: usize,
) -> Result<Block> {
    let dimension = header.dimension;
    if header.value_type != value_type {
        return Err(Error::corrupt(format!("a block of {} in a series of {value_type}", header.value_type)));
    }
    let timestamps = next_column(&mut reader)?;
    let label_runs = next_column(&mut reader)?.label_ids(header.rows)?;
    let wanted = rows_min.max(1).next_multiple_of(FULL_BATCH_N);
    let rows = match label_runs.len() {
        1 if wanted < header.rows => Count { all: header.rows, wanted },
        _ => Count::all(header.rows),
    };
    let timestamps = timestamps.timestamps(rows)?;
    let seqs = next_column(&mut reader)?.seqs(rows)?;
    let values = if header.layout == LAYOUT_SPLIT {
        let mut columns = Vec::with_capacity(dimension);
        for _ in 0..dimension {
            columns.push(next_column(&mut reader)?.values(value_type, rows)?);
        }
        interleave(&columns, rows.wanted, value_type)
    } else {
        next_column(&mut reader)?.values(value_type, rows.times(dimension))?
    };
    reader.finish()?;
    let block = Block { columns: Arc::new(Columns { dimension, timestamps, seqs, values }), label_runs };
    let in_order = block.runs().all(|(_, rows)| {
        block.columns.timestamps.get(rows).is_some_and(|run| run.windows(2).all(|pair| pair[0] < pair[1]))
    });
    let sets_in_order = block.label_runs.windows(2).all(|pair| pair[0].1 < pair[1].1);
    if !in_order || !sets_in_order {
        return Err(Error::corrupt("a block whose rows are out of order"));
    }
    Ok(block)
}

fn interleave(columns: &[Values], rows: usize, value_type: ValueType) -> Values {
    let mut out = Values::with_capacity(value_type, rows * columns.len());
    for row in 0..rows {
        for column in columns {
            out.extend_from(column, row..row + 1);
        }
    }
    out
}

/// One column of a block, as the dump tool shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// `timestamps`, `labels`, `seqs`, `values` or `values[<dimension>]`.
    pub name: String,
    /// How it is encoded.
    pub codec: Codec,
    /// Bytes as they are stored.
    pub encoded_bytes: usize,
    /// Bytes that the numbers take uncompressed.
    pub raw_bytes: usize,
}

/// Which columns a block has, without decoding them.
pub fn describe_block(bytes: &[u8], dimension: usize) -> Result<Vec<ColumnInfo>> {
    let (header, mut reader) = read_header(bytes, dimension)?;
    let value_bytes = header.value_type.size_bytes() * header.rows;
    let mut columns = vec![
        ("timestamps".to_owned(), 8 * header.rows),
        ("labels".to_owned(), 4 * header.rows),
        ("seqs".to_owned(), 8 * header.rows),
    ];
    if header.layout == LAYOUT_SPLIT {
        columns.extend((0..header.dimension).map(|at| (format!("values[{at}]"), value_bytes)));
    } else {
        columns.push(("values".to_owned(), value_bytes * header.dimension));
    }
    columns
        .into_iter()
        .map(|(name, raw_bytes)| {
            let column = next_column(&mut reader)?;
            Ok(ColumnInfo { name, codec: column.codec, encoded_bytes: column.bytes.len(), raw_bytes })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::format::Seqs;

    fn sample(dimension: usize, rows: usize, value_type: ValueType) -> (Columns, Vec<u32>) {
        let mut values = Values::new(value_type);
        let numbers: Vec<f64> = (0..rows * dimension).map(|i| f64::from(i as u32) / 4.0).collect();
        values.extend_from_f64(&numbers);
        let columns = Columns {
            dimension,
            timestamps: (0..rows as i64).map(|i| (i % 50) * 10).collect(),
            seqs: Seqs::Each((0..rows as u64).map(|i| 100 + i).collect()),
            values,
        };
        (columns, (0..rows as u32).map(|row| row / 50).collect())
    }

    #[test]
    fn blocks_read_back_in_both_layouts_and_types() {
        for (dimension, rows) in [(1, 1), (1, 4096), (3, 100), (3, 5), (100, 200), (65_536, 4)] {
            for value_type in [ValueType::F64, ValueType::F32] {
                let (columns, ids) = sample(dimension, rows, value_type);
                let mut out = Vec::new();
                encode_block(&columns, &ids, &mut out);
                let block = decode_block(&out, dimension, value_type).unwrap();
                assert_eq!(block.columns.timestamps, columns.timestamps);
                assert_eq!(block.columns.values, columns.values);
                assert!((0..rows).all(|row| block.columns.seqs.get(row) == columns.seqs.get(row)));
                assert_eq!(block.runs().map(|(id, _)| id).collect::<Vec<_>>(), {
                    let mut sets = ids.clone();
                    sets.dedup();
                    sets
                });
                let described = describe_block(&out, dimension).unwrap();
                assert!(described.iter().map(|c| c.encoded_bytes).sum::<usize>() < out.len());
                assert!(decode_block(&out, dimension + 1, value_type).is_err());
            }
        }
    }

    #[test]
    fn the_start_of_a_block_is_that_of_the_whole() {
        let walk = |rng: &mut Rng, rows: usize, spread: u64| -> Vec<i64> {
            (0..rows as i64).map(|row| row * 1000 + rng.below(spread) as i64).collect()
        };
        let mut rng = Rng::new(3);
        for case in 0..60 {
            let (rows, dimension) = (500 + rng.below(3000) as usize, 1 + case % 3);
            let timestamps = walk(&mut rng, rows, [1, 2, 900][case % 3]);
            let numbers = walk(&mut rng, rows * dimension, [1, 5, 1 << 40][case / 3 % 3]);
            let divisor = [1.0, 100.0, 1e9 + 7.0, 3.0][case % 4];
            let value_type = [ValueType::F64, ValueType::F32][case % 2];
            let mut values = Values::new(value_type);
            match case % 5 {
                0 => values.extend_from_f64(&vec![7.5; rows * dimension]),
                _ => values.extend_from_f64(&numbers.iter().map(|&n| n as f64 / divisor).collect::<Vec<_>>()),
            }
            let batch = [1, 100, 10_000][case / 2 % 3];
            let seqs = Seqs::new((0..rows as u64).map(|row| row / batch * 3 % 1000).collect());
            let mut out = Vec::new();
            encode_block(&Columns { dimension, timestamps, seqs, values }, &vec![4; rows], &mut out);
            let whole = decode_block(&out, dimension, value_type).unwrap();
            for rows_min in [0, 1, 256, 300, rows - 1, rows] {
                let start = decode_block_start(&out, dimension, value_type, rows, rows_min).unwrap();
                let found = start.columns.len();
                assert_eq!(found, rows.min(rows_min.max(1).next_multiple_of(256)), "case {case}");
                assert_eq!(start.label_runs, [(0, 4)]);
                let part = whole.columns.part(0..found);
                assert_eq!(start.columns.timestamps, part.timestamps, "case {case}");
                assert_eq!(start.columns.values, part.values, "case {case}");
                assert!((0..found).all(|row| start.columns.seqs.get(row) == part.seqs.get(row)), "{case}");
            }
        }
        let (columns, ids) = sample(1, 1000, ValueType::F64);
        let mut out = Vec::new();
        encode_block(&columns, &ids, &mut out);
        let several = decode_block_start(&out, 1, ValueType::F64, 1000, 1).unwrap();
        assert_eq!(several.columns.len(), 1000, "the times of each set begin anew");
        // A block that begins like the one that is meant.
        for rows in [256, 512, 999, 1001] {
            assert!(decode_block_start(&out, 1, ValueType::F64, rows, 1).is_err(), "{rows}");
            assert!(decode_block_start(&out, 1, ValueType::F64, rows, rows).is_err(), "{rows}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let (columns, ids) = sample(2, 70, ValueType::F64);
        let mut bytes = Vec::new();
        encode_block(&columns, &ids, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_block(&bad, 2, ValueType::F64).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode_block(&bytes[..len], 2, ValueType::F64).is_err(), "cut {len}");
        }
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let columns = Columns {
            dimension: 1,
            timestamps: vec![2, 1],
            seqs: Seqs::Constant(1),
            values: Values::F64(vec![0.0, 0.0]),
        };
        let mut out = Vec::new();
        encode_block(&columns, &[0, 0], &mut out);
        assert!(decode_block(&out, 1, ValueType::F64).is_err());
    }
}
