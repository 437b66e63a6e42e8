//! Column codecs. Every encoded column says which codec it has, so new ones can be
//! added; the encoder tries those that fit and keeps the smallest.

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{DecompressorItem, FileDecompressor, simple_compress_into, simple_decompress_into};

use crate::base::{Error, Result, ValueType};

use super::decimals::{Decimal, from_nearest, likely_decimals, to_integers, to_nearest, to_values};
use super::integers::{Kind, Line, PCO_LEVEL, encode_foreseen};
use super::{Reader, Seqs, Values, put_i64_zigzag, put_varint};

/// Fewer numbers than this are never worth pco's own header.
const PCO_ROWS_MIN: usize = 24;

/// How a column is encoded. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// The numbers themselves, little-endian.
    Raw = 0,
    /// One number that all rows have.
    Constant = 1,
    /// First number, first difference, then differences of differences; zigzag
    /// varints.
    DeltaOfDelta = 2,
    /// The `pco` crate's standalone form.
    Pco = 3,
    /// Pairs of run length and number; varints, those of timestamps and sequence numbers
    /// zigzag.
    RunLength = 4,
    /// First number (zigzag varint), step (varint), rise from the first number to the
    /// last in steps (zigzag varint); then, as pco, how far each number is off this line
    /// in steps; nothing where all are on it.
    Line = 5,
    /// Values that are decimals: how many decimals (1 byte); then, as a column of its own
    /// (codec and bytes), the values times that power of ten.
    Decimal = 6,
    /// Values near decimals: how many decimals (1 byte); the nearest decimals times that power
    /// of ten, as a column of its own (codec and bytes); then, as another, how many floats
    /// above its decimal each value is, in the order of their bits.
    NearDecimal = 7,
}

impl Codec {
    /// The codec with this number.
    ///
    /// # Errors
    /// `CORRUPT_DATA` for a number that no codec has.
    pub fn from_id(id: u8) -> Result<Self> {
        use Codec::{Constant, Decimal, DeltaOfDelta, Line, NearDecimal, Pco, Raw, RunLength};
        [Raw, Constant, DeltaOfDelta, Pco, RunLength, Line, Decimal, NearDecimal]
            .into_iter()
            .find(|codec| *codec as u8 == id)
            .ok_or_else(|| Error::corrupt(format!("unknown column codec {id}")))
    }

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Constant => "constant",
            Self::DeltaOfDelta => "delta-of-delta",
            Self::Pco => "pco",
            Self::RunLength => "run-length",
            Self::Line => "line",
            Self::Decimal => "decimal",
            Self::NearDecimal => "near-decimal",
        }
    }
}

/// An encoded column under construction: keeps the smallest of what it is offered.
struct Smallest {
    codec: Codec,
    bytes: Vec<u8>,
}

impl Smallest {
    fn new(codec: Codec, bytes: Vec<u8>) -> Self {
        Self { codec, bytes }
    }

    fn offer(&mut self, codec: Codec, bytes: Vec<u8>) {
        if bytes.len() < self.bytes.len() {
            *self = Self { codec, bytes };
        }
    }

    fn offer_pco<T: Number>(&mut self, numbers: &[T]) {
        if numbers.len() < PCO_ROWS_MIN {
            return;
        }
        let mut bytes = Vec::new();
        // Writing to memory can't fail, and a failing compressor just leaves the
        // other candidates.
        let config = ChunkConfig::default().with_compression_level(PCO_LEVEL);
        if simple_compress_into(numbers, &config, &mut bytes).is_ok() {
            self.offer(Codec::Pco, bytes);
        }
    }

    /// Offers the nearest decimals and what is off them.
    fn offer_near<T: Decimal>(&mut self, values: &[T]) {
        if values.len() < PCO_ROWS_MIN {
            return;
        }
        for decimals in likely_decimals(values) {
            let Some((integers, off)) = to_nearest(values, decimals) else { return };
            let mut column = vec![decimals];
            encode_integers(&integers, Kind::NearDecimals, &mut column);
            encode_integers(&off, Kind::Decimals, &mut column);
            self.offer(Codec::NearDecimal, column);
        }
    }

    /// Offers what is left of integers beside what foretells them best.
    fn offer_foreseen(&mut self, numbers: &[i64], kind: Kind) {
        let mut bytes = Vec::new();
        if encode_foreseen(numbers, kind, &mut bytes) {
            self.offer(Codec::Line, bytes);
        } else {
            self.offer_pco(numbers);
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        out.push(self.codec as u8);
        super::put_bytes(out, &self.bytes);
    }
}

/// Appends timestamps.
pub(super) fn encode_timestamps(timestamps: &[i64], out: &mut Vec<u8>) {
    encode_integers(timestamps, Kind::Clock, out);
}

/// Appends sequence numbers.
pub(super) fn encode_seqs(seqs: &Seqs, rows: usize, out: &mut Vec<u8>) {
    match seqs {
        Seqs::Constant(seq) => Smallest::new(Codec::Constant, seq.to_le_bytes().to_vec()).write(out),
        Seqs::Runs(runs) => {
            let ends = runs.iter().skip(1).map(|&(start, _)| start).chain([rows as u32]);
            let mut bytes = Vec::new();
            for (&(start, seq), end) in runs.iter().zip(ends) {
                put_varint(&mut bytes, u64::from(end - start));
                put_i64_zigzag(&mut bytes, seq as i64);
            }
            Smallest::new(Codec::RunLength, bytes).write(out);
        }
        // A cast is a bijection; the decoder casts back.
        Seqs::Each(seqs) => {
            encode_integers(&seqs.iter().map(|&seq| seq as i64).collect::<Vec<_>>(), Kind::Clock, out);
        }
    }
}

fn encode_integers(numbers: &[i64], kind: Kind, out: &mut Vec<u8>) {
    let first = numbers.first().copied().unwrap_or_default();
    if numbers.iter().all(|&n| n == first) {
        Smallest::new(Codec::Constant, first.to_le_bytes().to_vec()).write(out);
        return;
    }
    let runs = numbers.chunk_by(|a, b| a == b).count();
    // Short runs, such as those of the sequence numbers of batches, leave little to gain.
    if runs <= numbers.len() / 64 {
        Smallest::new(Codec::RunLength, run_length(numbers)).write(out);
        return;
    }
    let mut best = Smallest::new(Codec::DeltaOfDelta, delta_of_delta(numbers));
    if numbers.len() >= PCO_ROWS_MIN {
        best.offer_foreseen(numbers, kind);
    }
    if best.bytes.len() > numbers.len() * 8 {
        best.offer(Codec::Raw, numbers.iter().flat_map(|n| n.to_le_bytes()).collect());
    }
    best.write(out);
}

fn run_length(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in numbers.chunk_by(|a, b| a == b) {
        put_varint(&mut out, run.len() as u64);
        put_i64_zigzag(&mut out, run.first().copied().unwrap_or_default());
    }
    out
}

fn delta_of_delta(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(numbers.len() + 16);
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    for &number in numbers {
        let delta = number.wrapping_sub(last);
        put_i64_zigzag(&mut out, delta.wrapping_sub(last_delta));
        (last, last_delta) = (number, delta);
    }
    out
}

/// Appends one label set index a row.
pub(super) fn encode_label_ids(ids: &[u32], out: &mut Vec<u8>) {
    let mut runs = Vec::new();
    for run in ids.chunk_by(|a, b| a == b) {
        put_varint(&mut runs, run.len() as u64);
        put_varint(&mut runs, u64::from(run.first().copied().unwrap_or_default()));
    }
    Smallest::new(Codec::RunLength, runs).write(out);
}

/// Appends a column of values.
pub(super) fn encode_values(values: &Values, out: &mut Vec<u8>) {
    match values {
        Values::F64(values) => {
            let same = values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
            encode_floats(values, same, |v| v.to_le_bytes().to_vec(), out);
        }
        Values::F32(values) => {
            let same = values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
            encode_floats(values, same, |v| v.to_le_bytes().to_vec(), out);
        }
    }
}

fn encode_floats<T: Number + Decimal>(
    values: &[T],
    same: bool,
    bytes: impl Fn(&T) -> Vec<u8>,
    out: &mut Vec<u8>,
) {
    match values.first() {
        Some(first) if same => Smallest::new(Codec::Constant, bytes(first)).write(out),
        _ => {
            let mut best = Smallest::new(Codec::Raw, values.iter().flat_map(bytes).collect());
            if let Some((decimals, integers)) = to_integers(values) {
                let mut column = vec![decimals];
                encode_integers(&integers, Kind::Decimals, &mut column);
                best.offer(Codec::Decimal, column);
            } else {
                best.offer_pco(values);
                best.offer_near(values);
            }
            best.write(out);
        }
    }
}

/// What an encoded column looks like from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawColumn<'a> {
    pub codec: Codec,
    pub bytes: &'a [u8],
}

/// The numbers of a column, and how many of them are wanted, from the first on: all, or a
/// multiple of [`pco::FULL_BATCH_N`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub all: usize,
    pub wanted: usize,
}

impl Count {
    pub fn all(all: usize) -> Self {
        Self { all, wanted: all }
    }

    /// Of so many columns in one.
    pub fn times(self, columns: usize) -> Self {
        Self { all: self.all * columns, wanted: self.wanted * columns }
    }

    fn is_all(self) -> bool {
        self.wanted == self.all
    }
}

/// Finds the next column without decoding it.
pub(super) fn next_column<'a>(reader: &mut Reader<'a>) -> Result<RawColumn<'a>> {
    let codec = Codec::from_id(reader.u8()?)?;
    let bytes = reader.bytes(reader.remaining())?;
    Ok(RawColumn { codec, bytes })
}

impl RawColumn<'_> {
    fn unexpected<T>(self, what: &str) -> Result<T> {
        Err(Error::corrupt(format!("codec {} does not fit {what}", self.codec.name())))
    }

    pub(super) fn timestamps(self, rows: Count) -> Result<Vec<i64>> {
        self.integers(rows, "timestamps")
    }

    pub(super) fn seqs(self, rows: Count) -> Result<Seqs> {
        if self.codec == Codec::Constant {
            return Ok(Seqs::Constant(u64::from_le_bytes(self.constant()?)));
        }
        if self.codec == Codec::RunLength {
            let mut runs =
                self.runs(rows.all, "sequence numbers", |reader| Ok(reader.i64_zigzag()? as u64))?;
            runs.truncate(runs.partition_point(|&(start, _)| (start as usize) < rows.wanted));
            return Ok(Seqs::Runs(runs));
        }
        Ok(Seqs::Each(self.integers(rows, "sequence numbers")?.into_iter().map(|seq| seq as u64).collect()))
    }

    fn integers(self, rows: Count, what: &str) -> Result<Vec<i64>> {
        match self.codec {
            Codec::Constant => Ok(vec![i64::from_le_bytes(self.constant()?); rows.wanted]),
            Codec::Raw => Ok(self.raw::<8>(rows)?.map(i64::from_le_bytes).collect()),
            Codec::DeltaOfDelta => {
                let mut reader = Reader::new(self.bytes);
                let mut numbers = Vec::with_capacity(rows.wanted);
                let (mut last, mut delta) = (0_i64, 0_i64);
                for _ in 0..rows.wanted {
                    delta = delta.wrapping_add(reader.i64_zigzag()?);
                    last = last.wrapping_add(delta);
                    numbers.push(last);
                }
                if rows.is_all() {
                    reader.finish()?;
                }
                Ok(numbers)
            }
            Codec::Pco => self.pco(rows, 0_i64),
            Codec::RunLength => {
                #[expect(
                    clippy::redundant_closure_for_method_calls,
                    reason = "the method is of a reader of one lifetime"
                )]
                let runs = self.runs(rows.all, "numbers", |reader| reader.i64_zigzag())?;
                let ends = runs.iter().skip(1).map(|&(start, _)| start as usize).chain([rows.all]);
                let mut numbers = Vec::with_capacity(rows.wanted);
                for (&(_, number), end) in runs.iter().zip(ends) {
                    numbers.resize(end.min(rows.wanted), number);
                }
                Ok(numbers)
            }
            Codec::Line => {
                let mut reader = Reader::new(self.bytes);
                let line = Line::decode(&mut reader)?;
                let bytes = reader.take(reader.remaining())?;
                let mut numbers = if bytes.is_empty() {
                    vec![0; rows.wanted]
                } else {
                    Self { codec: Codec::Pco, bytes }.pco(rows, 0_i64)?
                };
                line.restore(&mut numbers, rows.all);
                Ok(numbers)
            }
            Codec::Decimal | Codec::NearDecimal => self.unexpected(what),
        }
    }

    pub(super) fn label_ids(self, rows: usize) -> Result<Vec<(u32, u32)>> {
        if self.codec != Codec::RunLength {
            return self.unexpected("label sets");
        }
        self.runs(rows, "label sets", |reader| {
            Ok(reader.varint_max(u64::from(u32::MAX), "a label set")? as u32)
        })
    }

    /// The first row of each run, and what its rows have.
    fn runs<T>(
        self,
        rows: usize,
        what: &str,
        read: impl Fn(&mut Reader<'_>) -> Result<T>,
    ) -> Result<Vec<(u32, T)>> {
        let mut reader = Reader::new(self.bytes);
        let mut runs = Vec::new();
        let mut row = 0;
        while row < rows {
            let len = reader.varint_max((rows - row) as u64, "a run")?;
            if len == 0 {
                return Err(reader.error(format_args!("an empty run of {what}")));
            }
            runs.push((row as u32, read(&mut reader)?));
            row += len;
        }
        reader.finish()?;
        Ok(runs)
    }

    pub(super) fn values(self, value_type: ValueType, values: Count) -> Result<Values> {
        Ok(match (value_type, self.codec) {
            (ValueType::F64, Codec::Constant) => {
                Values::F64(vec![f64::from_le_bytes(self.constant()?); values.wanted])
            }
            (ValueType::F64, Codec::Raw) => {
                Values::F64(self.raw::<8>(values)?.map(f64::from_le_bytes).collect())
            }
            (ValueType::F64, Codec::Pco) => Values::F64(self.pco(values, 0.0)?),
            (ValueType::F32, Codec::Constant) => {
                Values::F32(vec![f32::from_le_bytes(self.constant()?); values.wanted])
            }
            (ValueType::F32, Codec::Raw) => {
                Values::F32(self.raw::<4>(values)?.map(f32::from_le_bytes).collect())
            }
            (ValueType::F32, Codec::Pco) => Values::F32(self.pco(values, 0.0)?),
            (ValueType::F64, Codec::Decimal) => Values::F64(self.decimals(values)?),
            (ValueType::F32, Codec::Decimal) => Values::F32(self.decimals(values)?),
            (ValueType::F64, Codec::NearDecimal) => Values::F64(self.near_decimals(values)?),
            (ValueType::F32, Codec::NearDecimal) => Values::F32(self.near_decimals(values)?),
            _ => return self.unexpected("values"),
        })
    }

    fn decimals<T: Decimal>(self, values: Count) -> Result<Vec<T>> {
        let mut reader = Reader::new(self.bytes);
        let decimals = reader.u8()?;
        let integers = next_column(&mut reader)?.integers(values, "decimals")?;
        reader.finish()?;
        to_values(decimals, &integers)
            .ok_or_else(|| Error::corrupt(format!("a column of {decimals} decimals")))
    }

    fn near_decimals<T: Decimal>(self, values: Count) -> Result<Vec<T>> {
        let mut reader = Reader::new(self.bytes);
        let decimals = reader.u8()?;
        let integers = next_column(&mut reader)?.integers(values, "decimals")?;
        let off = next_column(&mut reader)?.integers(values, "distances from decimals")?;
        reader.finish()?;
        from_nearest(decimals, &integers, &off)
            .ok_or_else(|| Error::corrupt(format!("a column of {decimals} decimals")))
    }

    fn constant<const N: usize>(self) -> Result<[u8; N]> {
        <[u8; N]>::try_from(self.bytes)
            .map_err(|_| Error::corrupt(format!("a constant of {} bytes instead of {N}", self.bytes.len())))
    }

    fn raw<const N: usize>(self, rows: Count) -> Result<impl Iterator<Item = [u8; N]>> {
        if self.bytes.len() != rows.all * N {
            return Err(Error::corrupt(format!(
                "{} bytes for {} raw numbers of {N} bytes",
                self.bytes.len(),
                rows.all
            )));
        }
        let (numbers, _) = self.bytes.as_chunks::<N>();
        Ok(numbers.iter().copied().take(rows.wanted))
    }

    /// Decodes into room of the size that the block's header promised, so a forged
    /// length inside the pco bytes can't make us allocate more.
    fn pco<T: Number>(self, rows: Count, zero: T) -> Result<Vec<T>> {
        let mut numbers = vec![zero; rows.wanted];
        let progress = if rows.is_all() {
            simple_decompress_into(self.bytes, &mut numbers)
        } else {
            FileDecompressor::new(self.bytes).and_then(|(file, bytes)| {
                match file.chunk_decompressor(bytes)? {
                    DecompressorItem::Chunk(mut chunk) => chunk.read(&mut numbers),
                    DecompressorItem::EndOfData(_) => Ok(pco::Progress::default()),
                }
            })
        };
        match progress {
            Ok(progress) if progress.finished == rows.is_all() && progress.n_processed == rows.wanted => {
                Ok(numbers)
            }
            Ok(progress) => Err(Error::corrupt(format!(
                "a pco column of {} numbers where {} are expected",
                progress.n_processed, rows.wanted
            ))),
            Err(e) => Err(Error::corrupt(format!("a pco column that can't be decoded: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(bytes: &[u8]) -> RawColumn<'_> {
        next_column(&mut Reader::new(bytes)).unwrap()
    }

    fn integers_survive(numbers: &[i64]) -> Codec {
        let mut out = Vec::new();
        encode_timestamps(numbers, &mut out);
        assert_eq!(column(&out).timestamps(Count::all(numbers.len())).unwrap(), numbers);
        column(&out).codec
    }

    fn floats_survive(values: Values) -> Codec {
        let mut out = Vec::new();
        encode_values(&values, &mut out);
        let back = column(&out).values(values.value_type(), Count::all(values.len())).unwrap();
        match (&values, &back) {
            (Values::F64(a), Values::F64(b)) => {
                assert!(a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())));
            }
            (Values::F32(a), Values::F32(b)) => {
                assert!(a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())));
            }
            _ => panic!("the type changed"),
        }
        column(&out).codec
    }

    #[test]
    fn what_can_be_foreseen_takes_little() {
        let encoded = |numbers: &[i64]| {
            let codec = integers_survive(numbers);
            let mut out = Vec::new();
            encode_timestamps(numbers, &mut out);
            (codec, out.len())
        };
        let regular: Vec<i64> = (0..1000).map(|i| 1_600_000_000_000_000_000 + i * 1_000_000_000).collect();
        assert_eq!(encoded(&[5; 100]), (Codec::Constant, 10));
        assert_eq!(encoded(&[3, 9]).0, Codec::DeltaOfDelta);
        let (codec, bytes) = encoded(&regular);
        assert!(codec == Codec::Line && bytes < 25, "{bytes}");
        // A gap in the middle is one odd difference; a line through both parts would leave a bit
        // of every point.
        let gap: Vec<i64> = [&regular[..300], &regular[700..]].concat();
        let (codec, bytes) = encoded(&gap);
        assert!(codec == Codec::Line && bytes < 100, "{bytes}");
        // Jitter of a second in milliseconds: eleven bits.
        let mut rng = crate::base::Rng::new(5);
        let jitter: Vec<i64> =
            (0..1000).map(|i| i * 10_000_000_000 + rng.below(2001) as i64 * 1_000_000).collect();
        let (codec, bytes) = encoded(&jitter);
        assert!(codec == Codec::Line && bytes < 1600, "{bytes}");
        // One number for each batch.
        let batches: Vec<i64> = (0..4000).map(|row| row / 1000).collect();
        assert_eq!(encoded(&batches), (Codec::RunLength, 14));
        integers_survive(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
        integers_survive(&[i64::MIN, i64::MAX]);
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        assert_eq!(floats_survive(Values::F64(vec![0.5; 300])), Codec::Constant);
        let hundredths = (0..500).map(|i| f64::from(i) / 100.0);
        assert_eq!(floats_survive(Values::F64(hundredths.clone().collect())), Codec::Decimal);
        assert_eq!(floats_survive(Values::F32(hundredths.map(|v| v as f32).collect())), Codec::Decimal);
        // Decimals, some of which went through a calculation.
        let mut rng = crate::base::Rng::new(5);
        let near = (0..500).map(|i| {
            let exact = (70_000_000 + rng.below(10_000_000)) as f64 / 1e6;
            if i % 10 == 0 { exact.next_up() } else { exact }
        });
        assert_eq!(floats_survive(Values::F64(near.collect())), Codec::NearDecimal);
        floats_survive(Values::F64(vec![0.0, -0.0, f64::MIN_POSITIVE / 3.0, f64::MAX, -f64::MAX]));
        floats_survive(Values::F64((0..100).map(|i| if i % 2 == 0 { 0.0 } else { -0.0 }).collect()));
        assert_eq!(floats_survive(Values::F32((0..500).map(|i| (i as f32).sin()).collect())), Codec::Pco);
    }

    proptest! {
        #[test]
        fn any_integers_survive(numbers in prop::collection::vec(any::<i64>(), 1..300)) {
            integers_survive(&numbers);
        }

        #[test]
        fn any_floats_survive(bits in prop::collection::vec(any::<u64>(), 1..300)) {
            floats_survive(Values::F64(bits.iter().map(|&b| f64::from_bits(b)).collect()));
            floats_survive(Values::F32(bits.iter().map(|&b| f32::from_bits(b as u32)).collect()));
        }

        #[test]
        fn any_label_ids_survive(ids in prop::collection::vec(0_u32..4, 1..100)) {
            let mut out = Vec::new();
            encode_label_ids(&ids, &mut out);
            let runs = column(&out).label_ids(ids.len()).unwrap();
            let mut back = Vec::new();
            for (at, &(start, id)) in runs.iter().enumerate() {
                let end = runs.get(at + 1).map_or(ids.len(), |next| next.0 as usize);
                back.resize(back.len() + end - start as usize, id);
            }
            prop_assert_eq!(back, ids);
        }

        #[test]
        fn any_bytes_give_a_column_or_an_error(codec in 0_u8..8, bytes: Vec<u8>, rows in 1_usize..200) {
            let Ok(codec) = Codec::from_id(codec) else { return Ok(()) };
            let column = RawColumn { codec, bytes: &bytes };
            let _ = column.label_ids(rows);
            for rows in [Count::all(rows), Count { all: rows, wanted: rows / 512 * 256 }] {
                let _ = column.timestamps(rows);
                let _ = column.seqs(rows);
                let _ = column.values(ValueType::F64, rows);
                let _ = column.values(ValueType::F32, rows);
            }
        }
    }
}
