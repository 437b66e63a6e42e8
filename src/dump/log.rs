//! A write-ahead log, as text or JSON lines.

use std::io::Write;
use std::path::Path;

use crate::format::Reader;
use crate::vfs::Vfs;
use crate::wal::{Judgement, LogItem, LogReader, Record};
use serde_json::{Value, json};

use super::Problem;
use super::segment::labels;

pub(super) fn dump(vfs: &dyn Vfs, file: &Path, as_json: bool, out: &mut impl Write) -> Result<(), Problem> {
    let mut reader = LogReader::open(vfs, file)?;
    let header = reader.header();
    if as_json {
        let line = json!({
            "wal": file.display().to_string(), "version": header.version, "shard": header.shard,
            "first_seq": header.id, "epoch": header.epoch,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "wal {}\n  format {}, shard {}, first sequence number {}, epoch {}",
            file.display(),
            header.version,
            header.shard,
            header.id,
            header.epoch
        )?;
    }
    let mut in_frame = 0;
    loop {
        match reader.next(in_frame)? {
            LogItem::Frame { offset, len, seq, durable_seq, payload } => {
                in_frame = 0;
                if !as_json {
                    writeln!(
                        out,
                        "  frame at byte {offset}: {len} bytes, from sequence number {seq}; durable before it: {durable_seq}"
                    )?;
                }
                let mut records = Reader::new(payload);
                while records.remaining() > 0 {
                    let before = records.position();
                    let record = match Record::decode(&mut records) {
                        Ok(record) => record,
                        Err(e) => {
                            let message = e.message();
                            if as_json {
                                let line = json!({ "offset": offset, "seq": seq + in_frame, "state": "damaged", "problem": message });
                                writeln!(out, "{line}")?;
                            } else {
                                writeln!(out, "    DAMAGED record {}: {message}", seq + in_frame)?;
                            }
                            return Err(Problem::Damaged);
                        }
                    };
                    let bytes = records.position() - before;
                    let number = seq + in_frame;
                    in_frame += 1;
                    let (kind, details) = describe(&record);
                    if as_json {
                        let line = json!({
                            "offset": offset, "seq": number, "bytes": bytes, "state": "ok", "kind": kind,
                            "record": details,
                        });
                        writeln!(out, "{line}")?;
                    } else {
                        writeln!(out, "    {number} {kind} {bytes} bytes {details}")?;
                    }
                }
            }
            LogItem::End(ending) => {
                let judgement = reader.judge(ending)?;
                let (state, more) = match judgement {
                    Judgement::Clean => ("end", String::new()),
                    Judgement::Torn => (
                        "torn",
                        "a write that a crash cut off, unless the file was cut afterwards".to_owned(),
                    ),
                    Judgement::Damaged { proof_offset } => {
                        ("damaged", format!("the frame at byte {proof_offset} proves that this was on disk"))
                    }
                };
                if as_json {
                    let line = json!({
                        "offset": ending.offset, "seq": ending.next_seq, "state": state,
                        "problem": ending.problem.to_string(), "details": more,
                    });
                    writeln!(out, "{line}")?;
                } else {
                    writeln!(
                        out,
                        "  {state} at byte {}, next sequence number {}: {}{}{more}",
                        ending.offset,
                        ending.next_seq,
                        ending.problem,
                        if more.is_empty() { "" } else { "; " }
                    )?;
                }
                return if matches!(judgement, Judgement::Damaged { .. }) {
                    Err(Problem::Damaged)
                } else {
                    Ok(())
                };
            }
        }
    }
}

fn describe(record: &Record) -> (&'static str, Value) {
    match record {
        Record::Create { series_id, name, dimension, value_type } => (
            "create",
            json!({ "series_id": series_id, "name": name.as_str(), "dimension": dimension, "value_type": value_type.as_str() }),
        ),
        Record::Insert(insert) => (
            "insert",
            json!({
                "series_id": insert.series_id, "points": insert.timestamps.len(), "dimension": insert.dimension,
                "first_timestamp_ns": insert.timestamps.iter().min(), "last_timestamp_ns": insert.timestamps.iter().max(),
                "label_sets": insert.label_sets.iter().map(labels).collect::<Vec<_>>(),
            }),
        ),
        Record::Delete(delete) => (
            "delete",
            json!({
                "series_id": delete.series_id, "start_ns": delete.range.start_ns, "end_ns": delete.range.end_ns,
                "labels": labels(delete.labels.pairs()),
            }),
        ),
        Record::Drop { series_id } => ("drop", json!({ "series_id": series_id })),
    }
}
