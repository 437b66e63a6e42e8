//! One logical change of a shard, as bytes. A record in the log always replays:
//! everything was checked before it got there.
//!
//! ```text
//! kind 1, create: series id (varint)  name (varint length, bytes)  dimension (varint)  value type (1)
//! kind 2, insert: series id (varint)  rows (varint)  dimension (varint)  value type (1)  flags (1)
//!                 [flag 1: greatest timestamp that the server assigned (8)]
//!                 timestamps (rows × 8)  values (rows × dimension × 8 or 4)
//!                 [flag 2: label sets: number (varint), each set; flag 4: one index a row (4 each)]
//! kind 3, delete: series id (varint)  start (8)  end (8)  labels (a label set)
//! kind 4, drop:   series id (varint)
//! ```

use crate::base::{
    DIMENSION_MAX, LabelFilter, Labels, NAME_BYTES_MAX, Result, SeriesName, TimeRange, ValueType,
};
use crate::format::{Reader, Values, get_labels, put_each, put_labels, put_str, put_varint};

/// Points of one series, complete with their timestamps.
#[derive(Debug, Clone, PartialEq)]
pub struct InsertRecord {
    /// Where to.
    pub series_id: u64,
    /// Values a point has.
    pub dimension: usize,
    /// The greatest timestamp that the server assigned, if it assigned one.
    pub assigned_max_ns: Option<i64>,
    /// One a point.
    pub timestamps: Vec<i64>,
    /// `dimension` a point, in the series' type.
    pub values: Values,
    /// One index into `label_sets` a point; empty where all have set 0 or none.
    pub label_ids: Vec<u32>,
    /// The label sets in use; empty where no point has labels.
    pub label_sets: Vec<Labels>,
}

/// A deletion: every older point in the range that the filter matches is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRecord {
    /// Where from.
    pub series_id: u64,
    /// Which time.
    pub range: TimeRange,
    /// Which label sets.
    pub labels: LabelFilter,
}

/// One logical change. It takes one sequence number.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A new series.
    Create {
        /// Its id, never used before in this shard.
        series_id: u64,
        /// Its name.
        name: SeriesName,
        /// Values a point has.
        dimension: u32,
        /// How they are stored.
        value_type: ValueType,
    },
    /// New points, all or none of them.
    Insert(InsertRecord),
    /// A tombstone.
    Delete(DeleteRecord),
    /// The end of a series.
    Drop {
        /// Which one.
        series_id: u64,
    },
}

const CREATE: u8 = 1;
const INSERT: u8 = 2;
const DELETE: u8 = 3;
const DROP: u8 = 4;

const HAS_ASSIGNED: u8 = 1;
const HAS_LABEL_SETS: u8 = 2;
const HAS_LABEL_IDS: u8 = 4;

fn put_type(out: &mut Vec<u8>, value_type: ValueType) {
    out.push(match value_type {
        ValueType::F64 => 0,
        ValueType::F32 => 1,
    });
}

fn get_type(reader: &mut Reader<'_>) -> Result<ValueType> {
    match reader.u8()? {
        0 => Ok(ValueType::F64),
        1 => Ok(ValueType::F32),
        other => Err(reader.error(format_args!("unknown value type {other}"))),
    }
}

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create { series_id, name, dimension, value_type } => {
                out.push(CREATE);
                put_varint(out, *series_id);
                put_str(out, name.as_str());
                put_varint(out, u64::from(*dimension));
                put_type(out, *value_type);
            }
            Self::Insert(insert) => insert.encode(out),
            Self::Delete(delete) => {
                out.push(DELETE);
                put_varint(out, delete.series_id);
                out.extend_from_slice(&delete.range.start_ns.to_le_bytes());
                out.extend_from_slice(&delete.range.end_ns.to_le_bytes());
                put_labels(out, delete.labels.pairs());
            }
            Self::Drop { series_id } => {
                out.push(DROP);
                put_varint(out, *series_id);
            }
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// `CORRUPT_DATA` for everything that [`encode`](Self::encode) did not make.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let kind = reader.u8()?;
        let series_id = reader.varint()?;
        match kind {
            CREATE => {
                let name = reader.str(NAME_BYTES_MAX)?;
                let name = SeriesName::new(name).map_err(|e| reader.error(e.message()))?;
                let dimension = reader.varint_max(u64::from(DIMENSION_MAX), "a dimension")? as u32;
                if dimension == 0 {
                    return Err(reader.error("a dimension of 0"));
                }
                Ok(Self::Create { series_id, name, dimension, value_type: get_type(reader)? })
            }
            INSERT => Ok(Self::Insert(InsertRecord::decode(series_id, reader)?)),
            DELETE => {
                let range = TimeRange::new(reader.i64()?, reader.i64()?);
                let range = range.map_err(|e| reader.error(e.message()))?;
                Ok(Self::Delete(DeleteRecord {
                    series_id,
                    range,
                    labels: LabelFilter::new(get_labels(reader)?),
                }))
            }
            DROP => Ok(Self::Drop { series_id }),
            other => Err(reader.error(format_args!("unknown record kind {other}"))),
        }
    }
}

impl InsertRecord {
    /// How many points there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Upper bound of the encoded size, for checks before encoding.
    pub fn encoded_bytes_max(&self) -> usize {
        let labels: usize = self.label_sets.iter().map(Labels::memory_bytes).sum();
        64 + self.timestamps.len() * 12 + self.values.memory_bytes() + labels
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(INSERT);
        put_varint(out, self.series_id);
        put_varint(out, self.timestamps.len() as u64);
        put_varint(out, self.dimension as u64);
        put_type(out, self.values.value_type());
        let mut flags = 0;
        if self.assigned_max_ns.is_some() {
            flags |= HAS_ASSIGNED;
        }
        if !self.label_sets.is_empty() {
            flags |= HAS_LABEL_SETS;
        }
        if !self.label_ids.is_empty() {
            flags |= HAS_LABEL_IDS;
        }
        out.push(flags);
        if let Some(assigned) = self.assigned_max_ns {
            out.extend_from_slice(&assigned.to_le_bytes());
        }
        put_each(out, self.timestamps.iter().map(|timestamp| timestamp.to_le_bytes()));
        match &self.values {
            Values::F64(values) => put_each(out, values.iter().map(|value| value.to_le_bytes())),
            Values::F32(values) => put_each(out, values.iter().map(|value| value.to_le_bytes())),
        }
        if !self.label_sets.is_empty() {
            put_varint(out, self.label_sets.len() as u64);
            for labels in &self.label_sets {
                put_labels(out, labels);
            }
        }
        put_each(out, self.label_ids.iter().map(|id| id.to_le_bytes()));
    }

    fn decode(series_id: u64, reader: &mut Reader<'_>) -> Result<Self> {
        let left = reader.remaining() as u64;
        let rows = reader.varint_max(left / 8, "the number of points")?;
        let dimension = reader.varint_max(u64::from(DIMENSION_MAX), "a dimension")?;
        let value_type = get_type(reader)?;
        let flags = reader.u8()?;
        if rows == 0 || dimension == 0 || flags > (HAS_ASSIGNED | HAS_LABEL_SETS | HAS_LABEL_IDS) {
            return Err(
                reader.error(format_args!("{rows} points of dimension {dimension} with flags {flags}"))
            );
        }
        let assigned_max_ns = if flags & HAS_ASSIGNED != 0 { Some(reader.i64()?) } else { None };
        let (timestamps, _) = reader.take(rows * 8)?.as_chunks::<8>();
        let timestamps = timestamps.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        let bytes = reader.take(rows * dimension * value_type.size_bytes())?;
        let values = match value_type {
            ValueType::F64 => {
                Values::F64(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect())
            }
            ValueType::F32 => {
                Values::F32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
        };
        let mut label_sets = Vec::new();
        if flags & HAS_LABEL_SETS != 0 {
            let sets = reader.varint_max(left, "the number of label sets")?;
            for _ in 0..sets {
                label_sets.push(get_labels(reader)?);
            }
        }
        let mut label_ids: Vec<u32> = Vec::new();
        if flags & HAS_LABEL_IDS != 0 {
            let (ids, _) = reader.take(rows * 4)?.as_chunks::<4>();
            label_ids = ids.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            if label_ids.iter().any(|&id| id as usize >= label_sets.len()) {
                return Err(reader.error("a label set index beyond the label sets"));
            }
        }
        Ok(Self { series_id, dimension, assigned_max_ns, timestamps, values, label_ids, label_sets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> Vec<Record> {
        let labels = |k: &str, v: &str| Labels::new([(k, v)]).unwrap();
        let insert = InsertRecord {
            series_id: 300,
            dimension: 2,
            assigned_max_ns: Some(-5),
            timestamps: vec![1, i64::MIN],
            values: Values::F64(vec![1.0, -0.0, f64::MAX, 5e-324]),
            label_ids: vec![1, 0],
            label_sets: vec![labels("a", "b"), labels("c", "d e")],
        };
        vec![
            Record::Create {
                series_id: 1,
                name: SeriesName::new("ecg").unwrap(),
                dimension: 65_536,
                value_type: ValueType::F32,
            },
            Record::Insert(InsertRecord {
                assigned_max_ns: None,
                values: Values::F32(vec![1.0, 2.0, 3.0, 4.0]),
                label_ids: vec![],
                label_sets: vec![],
                ..insert.clone()
            }),
            Record::Insert(insert),
            Record::Delete(DeleteRecord {
                series_id: 7,
                range: TimeRange::new(-3, 9).unwrap(),
                labels: LabelFilter::new(labels("host", "a")),
            }),
            Record::Drop { series_id: u64::MAX },
        ]
    }

    #[test]
    fn records_read_back_one_after_another() {
        let mut bytes = Vec::new();
        for record in samples() {
            record.encode(&mut bytes);
        }
        let mut reader = Reader::new(&bytes);
        for record in samples() {
            assert_eq!(Record::decode(&mut reader).unwrap(), record);
        }
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn a_cut_record_is_an_error() {
        for record in samples() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            for len in 0..bytes.len() {
                assert!(Record::decode(&mut Reader::new(&bytes[..len])).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes: Vec<u8>, kind in 0_u8..6) {
            let mut all = vec![kind];
            all.extend(bytes);
            let _ = Record::decode(&mut Reader::new(&all));
        }
    }
}
