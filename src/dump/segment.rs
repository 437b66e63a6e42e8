//! A segment, as text or JSON lines.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::Labels;
use crate::format::{Values, describe_block, parse_shard_name};
use crate::manifest::{FileManifestStore, ManifestStore};
use crate::segments::{Segment, SeriesEntry, open_unlisted};
use crate::vfs::Vfs;
use serde_json::{Value, json};

use super::Problem;

/// Names of series by id, from the manifest beside the file, if it can be read.
fn names(vfs: &Arc<dyn Vfs>, file: &Path) -> HashMap<u64, String> {
    let Some(dir) = file.parent() else { return HashMap::new() };
    let absolute = vfs.canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let shard = absolute.file_name().and_then(|name| parse_shard_name(&name.to_string_lossy()));
    let manifest = shard.and_then(|shard| FileManifestStore::new(vfs.clone(), dir, shard).load().ok());
    manifest
        .map(|manifest| manifest.series.into_iter().map(|series| (series.id, series.name)).collect())
        .unwrap_or_default()
}

pub(super) fn labels(labels: &Labels) -> Value {
    labels.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

/// Bytes of one kind of column, as stored and as numbers.
#[derive(Default)]
struct Size {
    encoded: u64,
    raw: u64,
}

pub(super) fn dump(
    vfs: &Arc<dyn Vfs>,
    file: &Path,
    rows: bool,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Problem> {
    let segment = open_unlisted(vfs.as_ref(), file)?;
    let names = names(vfs, file);
    let name = |id: u64| names.get(&id).cloned().unwrap_or_else(|| format!("#{id}"));
    let (header, footer) = (segment.header(), segment.footer());
    if as_json {
        let line = json!({
            "segment": file.display().to_string(), "version": header.version, "shard": header.shard, "id": header.id,
            "epoch": header.epoch, "bytes": segment.info().bytes, "points": footer.rows,
            "tombstones": footer.tombstones, "min_seq": footer.min_seq, "max_seq": footer.max_seq,
            "start_ns": footer.range.start_ns, "end_ns": footer.range.end_ns, "index_offset": footer.index_offset,
            "index_bytes": footer.index_len,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "segment {}", file.display())?;
        writeln!(
            out,
            "  format {}, shard {}, id {}, epoch {}, {} bytes",
            header.version,
            header.shard,
            header.id,
            header.epoch,
            segment.info().bytes
        )?;
        writeln!(
            out,
            "  {} points from {} to {}, {} tombstones, sequence numbers {} to {}",
            footer.rows,
            footer.range.start_ns,
            footer.range.end_ns,
            footer.tombstones,
            footer.min_seq,
            footer.max_seq
        )?;
        writeln!(out, "  index of {} bytes at byte {}", footer.index_len, footer.index_offset)?;
    }
    let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
    let mut damaged = false;
    for series in &segment.index().series {
        damaged |= !dump_series(&segment, series, &name(series.series_id), rows, as_json, &mut sizes, out)?;
    }
    for stored in &segment.index().tombstones {
        let tombstone = &stored.tombstone;
        let line = json!({
            "series": name(stored.series_id),
            "delete": {
                "start_ns": tombstone.range.start_ns, "end_ns": tombstone.range.end_ns,
                "labels": labels(tombstone.labels.pairs()),
            },
            "seq": tombstone.seq,
        });
        if rows && as_json {
            writeln!(out, "{line}")?;
        } else if !as_json {
            writeln!(out, "  tombstone {line}")?;
        }
    }
    if !as_json {
        writeln!(out, "  columns:")?;
        for (column, size) in &sizes {
            writeln!(
                out,
                "    {column:<12} {:>12} bytes of {:>12}, ratio {:.2}",
                size.encoded,
                size.raw,
                size.raw as f64 / size.encoded.max(1) as f64
            )?;
        }
        let points = footer.rows.max(1) as f64;
        writeln!(out, "    {:.2} bytes a point, index and all", segment.info().bytes as f64 / points)?;
    }
    if damaged { Err(Problem::Damaged) } else { Ok(()) }
}

/// Says whether every block could be read.
fn dump_series(
    segment: &Segment,
    series: &SeriesEntry,
    name: &str,
    rows: bool,
    as_json: bool,
    sizes: &mut BTreeMap<String, Size>,
    out: &mut impl Write,
) -> Result<bool, Problem> {
    if as_json {
        let range = series.range();
        let line = json!({
            "series": name, "series_id": series.series_id, "dimension": series.dimension,
            "value_type": series.value_type.as_str(), "points": series.rows(), "blocks": series.blocks.len(),
            "bytes": series.bytes(), "label_sets": series.labels.len(),
            "start_ns": range.map(|range| range.start_ns), "end_ns": range.map(|range| range.end_ns),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "  series {name} (id {}): dimension {}, {}, {} points in {} blocks of {} bytes, {} label sets",
            series.series_id,
            series.dimension,
            series.value_type,
            series.rows(),
            series.blocks.len(),
            series.bytes(),
            series.labels.len()
        )?;
    }
    let mut whole = true;
    for entry in &series.blocks {
        let columns =
            segment.read_block_bytes(entry).and_then(|bytes| describe_block(&bytes, series.dimension));
        let decoded = segment.decode(series, entry);
        let (columns, block) = match (columns, decoded) {
            (Ok(columns), Ok(block)) => (columns, block),
            (Err(e), _) | (_, Err(e)) => {
                whole = false;
                if as_json {
                    writeln!(
                        out,
                        "{}",
                        json!({ "block": entry.offset, "series": name, "damaged": e.message() })
                    )?;
                } else {
                    writeln!(out, "    DAMAGED block at byte {}: {}", entry.offset, e.message())?;
                }
                continue;
            }
        };
        for column in &columns {
            let kind = column.name.split('[').next().unwrap_or_default().to_owned();
            let size = sizes.entry(kind).or_default();
            size.encoded += column.encoded_bytes as u64;
            size.raw += column.raw_bytes as u64;
        }
        let codecs: Vec<String> = columns
            .iter()
            .map(|column| format!("{}={:?}:{}", column.name, column.codec, column.encoded_bytes))
            .collect();
        if as_json {
            let columns: Vec<Value> = columns
                .iter()
                .map(|column| {
                    json!({ "name": column.name, "codec": format!("{:?}", column.codec),
                        "encoded_bytes": column.encoded_bytes, "raw_bytes": column.raw_bytes })
                })
                .collect();
            let line = json!({
                "block": entry.offset, "series": name, "bytes": entry.len, "points": entry.rows,
                "start_ns": entry.range.start_ns, "end_ns": entry.range.end_ns, "min_seq": entry.min_seq,
                "max_seq": entry.max_seq, "columns": columns,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "    block at byte {}: {} bytes, {} points from {} to {}, {}",
                entry.offset,
                entry.len,
                entry.rows,
                entry.range.start_ns,
                entry.range.end_ns,
                codecs.join(" ")
            )?;
        }
        if rows {
            for (label, run) in block.runs() {
                let set = series.labels.get(label as usize).cloned().unwrap_or_else(Labels::empty);
                for row in run {
                    let columns = &block.columns;
                    let values = values(&columns.values, row, series.dimension);
                    let (timestamp_ns, seq) = (columns.timestamps[row], columns.seqs.get(row));
                    if as_json {
                        let line = json!({
                            "series": name, "timestamp_ns": timestamp_ns, "values": values, "labels": labels(&set),
                            "seq": seq,
                        });
                        writeln!(out, "{line}")?;
                    } else {
                        let values: Vec<String> = values.iter().map(f64::to_string).collect();
                        writeln!(out, "      {timestamp_ns} {} {set} seq={seq}", values.join(","))?;
                    }
                }
            }
        }
    }
    Ok(whole)
}

/// The values of one row; an f32 as the f64 of the same value.
fn values(values: &Values, row: usize, dimension: usize) -> Vec<f64> {
    let mut found = Vec::with_capacity(dimension);
    values.copy_to_f64(row * dimension..(row + 1) * dimension, &mut found);
    found
}
