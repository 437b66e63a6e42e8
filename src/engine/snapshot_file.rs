//! One file that holds everything, in two forms that [`read_snapshot`] tells apart by
//! content.
//!
//! Binary: a file header, then chunks: kind (1), bytes (4), payload, CRC-32 of all
//! that (4). Kind 1 is a series (name, dimension, value type, assigned timestamp,
//! label sets), kind 2 a block of the series before it, kind 3 the end with the number
//! of series and points. JSON: the same as lines that a person can read.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::base::{Error, ErrorCode, Labels, NAME_BYTES_MAX, Points, Result, SeriesName, ValueType};
use crate::format::{
    BLOCK_VALUES_MAX, Columns, FileHeader, FileKind, HEADER_BYTES, Reader, Seqs, Values, block_rows_for,
    decode_block, encode_block, get_labels, put_i64_zigzag, put_labels, put_str, put_varint,
};

const SERIES: u8 = 1;
const BLOCK: u8 = 2;
const END: u8 = 3;
/// A series chunk can hold many label sets; a block can hold one point of the largest
/// dimension.
const CHUNK_BYTES_MAX: usize = 256 << 20;
/// A point of the greatest dimension with all its labels has less.
const LINE_BYTES_MAX: u64 = 4 << 20;
const JSON_MARK: &str = "tsdb-vector-snapshot";

/// A series in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SnapshotSeries {
    pub name: SeriesName,
    pub dimension: u32,
    pub value_type: ValueType,
    pub assigned_max_ns: Option<i64>,
    /// Sorted.
    pub label_sets: Vec<Labels>,
}

/// Writes a snapshot.
pub(super) struct SnapshotWriter<W> {
    out: W,
    json: bool,
    series: Option<SnapshotSeries>,
    pending: Columns,
    label_ids: Vec<u32>,
    buffer: Vec<u8>,
    pub series_written: u64,
    pub points_written: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum MetaLine {
    Snapshot { format: String, version: u32 },
    Series { name: String, dimension: u32, value_type: String, assigned_max_ns: Option<i64> },
    End { series: u64, points: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointLine {
    timestamp_ns: i64,
    values: Vec<f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

fn empty_columns(dimension: usize, value_type: ValueType) -> Columns {
    Columns { dimension, timestamps: Vec::new(), seqs: Seqs::Constant(0), values: Values::new(value_type) }
}

impl<W: Write> SnapshotWriter<W> {
    pub fn new(out: W, json: bool) -> std::io::Result<Self> {
        let mut writer = Self {
            out,
            json,
            series: None,
            pending: empty_columns(1, ValueType::F64),
            label_ids: Vec::new(),
            buffer: Vec::new(),
            series_written: 0,
            points_written: 0,
        };
        if json {
            writer.line(&MetaLine::Snapshot { format: JSON_MARK.to_owned(), version: 1 })?;
        } else {
            writer.out.write_all(&FileHeader::new(FileKind::Snapshot, 0, 0, 0).encode())?;
        }
        Ok(writer)
    }

    fn line<T: Serialize>(&mut self, line: &T) -> std::io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.out.write_all(&self.buffer)
    }

    fn chunk(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut head = vec![kind];
        head.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.update(payload);
        self.out.write_all(&head)?;
        self.out.write_all(payload)?;
        self.out.write_all(&crc.finalize().to_le_bytes())
    }

    pub fn begin_series(&mut self, series: SnapshotSeries) -> std::io::Result<()> {
        self.flush_block()?;
        self.series_written += 1;
        self.pending = empty_columns(series.dimension as usize, series.value_type);
        if self.json {
            self.line(&MetaLine::Series {
                name: series.name.as_str().to_owned(),
                dimension: series.dimension,
                value_type: series.value_type.as_str().to_owned(),
                assigned_max_ns: series.assigned_max_ns,
            })?;
        } else {
            let mut payload = Vec::new();
            put_str(&mut payload, series.name.as_str());
            put_varint(&mut payload, u64::from(series.dimension));
            payload.push(u8::from(series.value_type == ValueType::F32));
            payload.push(u8::from(series.assigned_max_ns.is_some()));
            put_i64_zigzag(&mut payload, series.assigned_max_ns.unwrap_or_default());
            put_varint(&mut payload, series.label_sets.len() as u64);
            for labels in &series.label_sets {
                put_labels(&mut payload, labels);
            }
            self.chunk(SERIES, &payload)?;
        }
        self.series = Some(series);
        Ok(())
    }

    /// Adds rows of label set `label` of the series that was begun, in the order of
    /// (label set, time).
    pub fn push(
        &mut self,
        label: u32,
        columns: &Columns,
        rows: std::ops::Range<usize>,
    ) -> std::io::Result<()> {
        self.points_written += rows.len() as u64;
        let dimension = columns.dimension;
        if self.json {
            let labels =
                self.series.as_ref().and_then(|series| series.label_sets.get(label as usize)).cloned();
            let labels: BTreeMap<String, String> = labels
                .iter()
                .flat_map(Labels::iter)
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            for row in rows {
                let mut values = Vec::with_capacity(dimension);
                columns.values.copy_to_f64(row * dimension..(row + 1) * dimension, &mut values);
                let point =
                    PointLine { timestamp_ns: columns.timestamps[row], values, labels: labels.clone() };
                self.line(&point)?;
            }
            return Ok(());
        }
        let rows_max = block_rows_for(dimension);
        let mut row = rows.start;
        while row < rows.end {
            let n = (rows_max - self.pending.len()).min(rows.end - row);
            self.pending.timestamps.extend_from_slice(&columns.timestamps[row..row + n]);
            self.pending.values.extend_from(&columns.values, row * dimension..(row + n) * dimension);
            self.label_ids.resize(self.pending.len(), label);
            row += n;
            if self.pending.len() == rows_max {
                self.flush_block()?;
            }
        }
        Ok(())
    }

    fn flush_block(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut payload = Vec::new();
        encode_block(&self.pending, &self.label_ids, &mut payload);
        self.chunk(BLOCK, &payload)?;
        self.pending.timestamps.clear();
        self.pending.values.clear();
        self.label_ids.clear();
        Ok(())
    }

    pub fn finish(mut self) -> std::io::Result<W> {
        self.flush_block()?;
        let (series, points) = (self.series_written, self.points_written);
        if self.json {
            self.line(&MetaLine::End { series, points })?;
        } else {
            let mut payload = Vec::new();
            put_varint(&mut payload, series);
            put_varint(&mut payload, points);
            self.chunk(END, &payload)?;
        }
        Ok(self.out)
    }
}

/// What a snapshot holds, in order.
pub(super) enum SnapshotItem {
    Series(SnapshotSeries),
    /// Points of the series before.
    Points(Points),
}

/// Reads a snapshot of either form. Counts and checksums are checked; what is there
/// after the end is an error.
///
/// # Errors
/// `CORRUPT_DATA` with the place; `LIMIT_EXCEEDED` where one chunk would take more than
/// `bytes_max` of memory; whatever `take` returns.
pub(super) fn read_snapshot(
    input: &mut impl BufRead,
    bytes_max: u64,
    take: impl FnMut(SnapshotItem) -> Result<()>,
) -> Result<()> {
    let first = input.fill_buf().map_err(|e| read_error(&e))?;
    if first.starts_with(&FileKind::Snapshot.magic()) {
        read_binary(input, bytes_max, take)
    } else if first.first() == Some(&b'{') {
        read_json(input, take)
    } else {
        Err(Error::corrupt("not a snapshot: it begins with neither the binary magic nor a JSON line"))
    }
}

fn read_error(e: &std::io::Error) -> Error {
    Error::unreadable(e)
}

fn too_large(what: &str, bytes_max: u64) -> Error {
    Error::new(
        ErrorCode::LimitExceeded,
        format!("{what} takes more than {bytes_max} bytes of memory; raise TSDB_MEMORY_LIMIT"),
    )
}

fn read_binary(
    input: &mut impl Read,
    bytes_max: u64,
    mut take: impl FnMut(SnapshotItem) -> Result<()>,
) -> Result<()> {
    let mut header = [0; HEADER_BYTES];
    input.read_exact(&mut header).map_err(|e| read_error(&e))?;
    FileHeader::decode(&header, FileKind::Snapshot)?;
    let mut offset = HEADER_BYTES as u64;
    let mut current: Option<SnapshotSeries> = None;
    let (mut series, mut points) = (0, 0);
    loop {
        let at = |e: Error| e.context(format!("chunk at byte {offset}"));
        let (kind, payload) = read_chunk(input, bytes_max).map_err(at)?;
        match kind {
            SERIES => {
                let found = decode_series(&payload, bytes_max).map_err(at)?;
                current = Some(found.clone());
                series += 1;
                take(SnapshotItem::Series(found))?;
            }
            BLOCK => {
                let Some(series) = &current else {
                    return Err(at(Error::corrupt("points before the first series")));
                };
                let found = decode_points(&payload, series).map_err(at)?;
                points += found.len() as u64;
                take(SnapshotItem::Points(found))?;
            }
            END => {
                let mut reader = Reader::new(&payload);
                let promised = (reader.varint()?, reader.varint()?);
                reader.finish()?;
                if promised != (series, points) {
                    return Err(at(Error::corrupt(format!(
                        "the snapshot has {series} series and {points} points, its end says {} and {}",
                        promised.0, promised.1
                    ))));
                }
                return match input.read(&mut [0]) {
                    Ok(0) => Ok(()),
                    Ok(_) => Err(Error::corrupt("the snapshot goes on after its end")),
                    Err(e) => Err(read_error(&e)),
                };
            }
            other => return Err(at(Error::corrupt(format!("unknown kind {other}")))),
        }
        offset += payload.len() as u64 + 9;
    }
}

fn read_chunk(input: &mut impl Read, bytes_max: u64) -> Result<(u8, Vec<u8>)> {
    let cut = |e: std::io::Error| Error::corrupt(format!("the snapshot is cut short: {e}"));
    let mut head = [0; 5];
    input.read_exact(&mut head).map_err(cut)?;
    let [kind, a, b, c, d] = head;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > CHUNK_BYTES_MAX {
        return Err(Error::corrupt(format!(
            "a chunk of {len} bytes; at most {CHUNK_BYTES_MAX} are expected"
        )));
    }
    if len as u64 > bytes_max {
        return Err(too_large(&format!("a chunk of {len} bytes"), bytes_max));
    }
    // Grows as bytes arrive: a forged length does not allocate.
    let mut payload = Vec::new();
    input.by_ref().take(len as u64).read_to_end(&mut payload).map_err(cut)?;
    let mut stored = [0; 4];
    input.read_exact(&mut stored).map_err(cut)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(&payload);
    if payload.len() != len || crc.finalize().to_le_bytes() != stored {
        return Err(Error::corrupt("fails its CRC"));
    }
    Ok((kind, payload))
}

fn decode_series(payload: &[u8], bytes_max: u64) -> Result<SnapshotSeries> {
    let mut reader = Reader::new(payload);
    let name = SeriesName::new(reader.str(NAME_BYTES_MAX)?).map_err(|e| Error::corrupt(e.message()))?;
    let dimension = reader.varint_max(u64::from(crate::base::DIMENSION_MAX), "a dimension")? as u32;
    let value_type = match reader.u8()? {
        0 => ValueType::F64,
        1 => ValueType::F32,
        other => return Err(reader.error(format_args!("unknown value type {other}"))),
    };
    let is_assigned = reader.u8()? == 1;
    let assigned = reader.i64_zigzag()?;
    let mut label_sets: Vec<Labels> = Vec::new();
    let mut bytes = 0;
    for _ in 0..reader.varint_max(payload.len() as u64, "the number of label sets")? {
        let set = get_labels(&mut reader)?;
        if label_sets.last().is_some_and(|last| *last >= set) {
            return Err(reader.error("label sets out of order"));
        }
        bytes += set.memory_bytes() as u64;
        if bytes > bytes_max {
            return Err(too_large("what a series has of label sets", bytes_max));
        }
        label_sets.push(set);
    }
    reader.finish()?;
    let assigned_max_ns = is_assigned.then_some(assigned);
    Ok(SnapshotSeries { name, dimension, value_type, assigned_max_ns, label_sets })
}

fn decode_points(payload: &[u8], series: &SnapshotSeries) -> Result<Points> {
    let dimension = series.dimension as usize;
    let block = decode_block(payload, dimension, series.value_type)?;
    let mut label_ids = vec![0; block.columns.len()];
    for (label, rows) in block.runs() {
        if label as usize >= series.label_sets.len() {
            return Err(Error::corrupt(format!("label set {label} of {}", series.label_sets.len())));
        }
        if let Some(ids) = label_ids.get_mut(rows) {
            ids.fill(label);
        }
    }
    let mut values = Vec::with_capacity(block.columns.values.len().min(BLOCK_VALUES_MAX));
    block.columns.values.copy_to_f64(0..block.columns.values.len(), &mut values);
    // Only the sets in use, so that a block is no heavier than its points.
    let mut label_sets: Vec<Labels> = Vec::new();
    let mut renumbered = BTreeMap::new();
    for id in &mut label_ids {
        let next = label_sets.len() as u32;
        *id = *renumbered.entry(*id).or_insert_with(|| {
            label_sets.extend(series.label_sets.get(*id as usize).cloned());
            next
        });
    }
    Ok(Points {
        dimension,
        timestamps_ns: block.columns.timestamps.clone(),
        unassigned: Vec::new(),
        values,
        label_ids,
        label_sets,
    })
}

fn read_json(input: &mut impl BufRead, mut take: impl FnMut(SnapshotItem) -> Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    let (mut number, mut series, mut points) = (0_u64, 0, 0);
    let (mut marked, mut ended) = (false, false);
    loop {
        number += 1;
        bytes.clear();
        let n =
            input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).map_err(|e| read_error(&e))?;
        if n == 0 {
            break;
        }
        if n as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
            return Err(Error::corrupt(format!("line {number} has more than {LINE_BYTES_MAX} bytes")));
        }
        let line = bytes.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let at = |e: Error| e.context(format!("line {number}"));
        let wrong = |e: serde_json::Error| Error::corrupt(format!("line {number}: {e}"));
        if ended {
            return Err(at(Error::corrupt("the snapshot goes on after its end")));
        }
        if line.starts_with(b"{\"timestamp_ns\"") {
            let point: PointLine = serde_json::from_slice(line).map_err(wrong)?;
            if series == 0 {
                return Err(at(Error::corrupt("a point before the first series")));
            }
            let labels = Labels::new(point.labels.iter()).map_err(|e| at(Error::corrupt(e.message())))?;
            points += 1;
            take(SnapshotItem::Points(Points::one(Some(point.timestamp_ns), point.values, labels)))
                .map_err(at)?;
            continue;
        }
        match serde_json::from_slice::<MetaLine>(line).map_err(wrong)? {
            MetaLine::Snapshot { format, version } if format == JSON_MARK && version == 1 && !marked => {
                marked = true;
            }
            MetaLine::Snapshot { format, version } => {
                return Err(Error::invalid(format!(
                    "a snapshot of format '{format}' version {version}; this program reads {JSON_MARK} version 1"
                )));
            }
            _ if !marked => return Err(at(Error::corrupt("the snapshot line is missing"))),
            MetaLine::Series { name, dimension, value_type, assigned_max_ns } => {
                let name = SeriesName::new(&name).map_err(|e| at(Error::corrupt(e.message())))?;
                let value_type =
                    ValueType::parse(&value_type).map_err(|e| at(Error::corrupt(e.message())))?;
                series += 1;
                let label_sets = Vec::new();
                let found = SnapshotSeries { name, dimension, value_type, assigned_max_ns, label_sets };
                take(SnapshotItem::Series(found)).map_err(at)?;
            }
            MetaLine::End { series: promised_series, points: promised_points } => {
                if (promised_series, promised_points) != (series, points) {
                    return Err(at(Error::corrupt(format!(
                        "the snapshot has {series} series and {points} points, its end says {promised_series} and \
                         {promised_points}"
                    ))));
                }
                ended = true;
            }
        }
    }
    if ended { Ok(()) } else { Err(Error::corrupt("the snapshot is cut short: its end line is missing")) }
}
