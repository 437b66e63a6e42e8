//! Writes one segment.

use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bincode::{Decode, Encode};
use xxhash_rust::xxh3::Xxh3;

use crate::base::{Error, ErrorCode, Labels, Result, TimeRange, ValueType};
use crate::format::{
    Columns, FileHeader, Seqs, Values, block_rows_for, encode_block, segment_name, temp_segment_name,
};
use crate::memtable::Tombstone;
use crate::vfs::{FileWriter, Vfs};

use super::index::{BlockEntry, Footer, Index, SeriesEntry, StoredTombstone};
use super::verify::verify_segment;

/// Strong enough for an index that is written once and read at each start.
const INDEX_ZSTD_LEVEL: i32 = 3;

/// What a manifest keeps of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentInfo {
    /// Its id, never used before in this shard.
    pub id: u64,
    /// XXH3-128 of the whole file.
    pub hash: u128,
    /// The file's size.
    pub bytes: u64,
    /// Points.
    pub rows: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Least sequence number.
    pub min_seq: u64,
    /// Greatest sequence number.
    pub max_seq: u64,
    /// Oldest point; after `end_ns` where there are none.
    pub start_ns: i64,
    /// Newest point.
    pub end_ns: i64,
}

impl SegmentInfo {
    /// The file's name.
    pub fn file_name(&self) -> String {
        segment_name(self.id, self.hash)
    }

    /// The time that its points span; `None` where there are none.
    pub fn range(&self) -> Option<TimeRange> {
        TimeRange::new(self.start_ns, self.end_ns).ok()
    }
}

/// Takes points in the order of (series, label set, time) and writes a segment.
pub struct SegmentWriter {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    temp: PathBuf,
    shard: u32,
    id: u64,
    out: FileWriter,
    hash: Xxh3,
    index: Index,
    pending: Option<Pending>,
    /// The label sets that the series under construction may use.
    offered: Vec<Labels>,
    /// The one of them that was used last.
    last_used: Option<u32>,
    encoded: Vec<u8>,
}

/// Rows that wait for their block to fill.
struct Pending {
    timestamps: Vec<i64>,
    seqs: Vec<u64>,
    values: Values,
    label_ids: Vec<u32>,
}

fn disk_error(path: &Path, e: &io::Error) -> Error {
    Error::new(ErrorCode::ReadOnly, format!("{}: can't be written: {e}", path.display()))
}

impl SegmentWriter {
    /// Starts the temp file of the segment that this header describes, replacing what an
    /// interrupted writer left.
    pub fn create(vfs: Arc<dyn Vfs>, dir: &Path, header: FileHeader) -> Result<Self> {
        let FileHeader { shard, id, .. } = header;
        let temp = dir.join(temp_segment_name(id));
        match vfs.remove(&temp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(disk_error(&temp, &e)),
            _ => {}
        }
        let file = vfs.create(&temp).map_err(|e| disk_error(&temp, &e))?;
        let mut writer = Self {
            vfs,
            dir: dir.to_owned(),
            temp,
            shard,
            id,
            out: FileWriter::new(file),
            hash: Xxh3::new(),
            index: Index::default(),
            pending: None,
            offered: Vec::new(),
            last_used: None,
            encoded: Vec::new(),
        };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes).map_err(|e| disk_error(&self.temp, &e))
    }

    /// Begins the next series; ids ascend. `labels` are sorted and hold every set
    /// that will be pushed; those of which no row comes are left out.
    pub fn begin_series(
        &mut self,
        series_id: u64,
        dimension: usize,
        value_type: ValueType,
        labels: Vec<Labels>,
    ) -> Result<()> {
        self.end_series()?;
        debug_assert!(labels.is_sorted(), "label sets are sorted");
        debug_assert!(self.index.series.last().is_none_or(|last| last.series_id < series_id), "ids ascend");
        self.index.series.push(SeriesEntry {
            series_id,
            dimension,
            value_type,
            labels: Vec::new(),
            blocks: Vec::new(),
        });
        self.offered = labels;
        self.last_used = None;
        self.pending = Some(Pending {
            timestamps: Vec::new(),
            seqs: Vec::new(),
            values: Values::new(value_type),
            label_ids: Vec::new(),
        });
        Ok(())
    }

    /// Adds rows of one label set of the series that was begun; label sets, and the
    /// timestamps within one, ascend.
    pub fn push(&mut self, label: u32, columns: &Columns, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows_max = block_rows_for(columns.dimension);
        let label = self.use_label(label)?;
        let mut row = rows.start;
        while row < rows.end {
            let Some(pending) = &mut self.pending else {
                return Err(Error::internal("points before the first series of a segment"));
            };
            let n = (rows_max - pending.timestamps.len()).min(rows.end - row);
            pending.timestamps.extend_from_slice(&columns.timestamps[row..row + n]);
            columns.seqs.copy_to(row..row + n, &mut pending.seqs);
            pending
                .values
                .extend_from(&columns.values, row * columns.dimension..(row + n) * columns.dimension);
            pending.label_ids.resize(pending.timestamps.len(), label);
            row += n;
            if pending.timestamps.len() == rows_max {
                self.write_block()?;
            }
        }
        Ok(())
    }

    /// The number that a label set has in the file.
    fn use_label(&mut self, offered: u32) -> Result<u32> {
        let Some(series) = self.index.series.last_mut() else {
            return Err(Error::internal("points before the first series of a segment"));
        };
        if self.last_used != Some(offered) {
            debug_assert!(self.last_used.is_none_or(|last| last < offered), "label sets ascend");
            self.last_used = Some(offered);
            series.labels.extend(self.offered.get(offered as usize).cloned());
        }
        (series.labels.len() as u32)
            .checked_sub(1)
            .ok_or_else(|| Error::internal("points of a label set that was not offered"))
    }

    fn write_block(&mut self) -> Result<()> {
        let (Some(pending), Some(series)) = (&mut self.pending, self.index.series.last_mut()) else {
            return Ok(());
        };
        let (Some(&first_label), Some(&last_label)) = (pending.label_ids.first(), pending.label_ids.last())
        else {
            return Ok(());
        };
        let fold =
            |fold: fn(i64, i64) -> i64| pending.timestamps.iter().copied().reduce(fold).unwrap_or_default();
        let range = TimeRange { start_ns: fold(i64::min), end_ns: fold(i64::max) };
        let min_seq = pending.seqs.iter().copied().min().unwrap_or_default();
        let max_seq = pending.seqs.iter().copied().max().unwrap_or_default();
        let rows = pending.timestamps.len();
        let value_type = pending.values.value_type();
        let columns = Columns {
            dimension: series.dimension,
            timestamps: std::mem::take(&mut pending.timestamps),
            seqs: Seqs::new(std::mem::take(&mut pending.seqs)),
            values: std::mem::replace(&mut pending.values, Values::new(value_type)),
        };
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        encode_block(&columns, &pending.label_ids, &mut encoded);
        pending.label_ids.clear();
        series.blocks.push(BlockEntry {
            offset: self.out.position(),
            len: encoded.len() as u32,
            rows: rows as u32,
            first_label,
            last_label,
            range,
            min_seq,
            max_seq,
        });
        self.write(&encoded)?;
        self.encoded = encoded;
        Ok(())
    }

    fn end_series(&mut self) -> Result<()> {
        self.write_block()?;
        self.pending = None;
        if self.index.series.last().is_some_and(|series| series.blocks.is_empty()) {
            self.index.series.pop();
        }
        Ok(())
    }

    /// Adds a tombstone; any order.
    pub fn push_tombstone(&mut self, series_id: u64, tombstone: Tombstone) {
        self.index.tombstones.push(StoredTombstone { series_id, tombstone });
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.index.tombstones.is_empty()
            && self.index.series.iter().all(|series| series.blocks.is_empty())
            && self.pending.as_ref().is_none_or(|pending| pending.timestamps.is_empty())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.out.position()
    }

    /// Throws the temp file away.
    pub fn abandon(self) {
        // What can't be removed now is removed at the next start.
        let _ = self.vfs.remove(&self.temp);
    }

    /// Completes the file: index, footer, sync, read everything back, name, sync the
    /// directory. It is not live until a manifest lists it.
    ///
    /// # Errors
    /// `READ_ONLY` where the disk fails, `CORRUPT_DATA` where it gives back other
    /// bytes than were written; the temp file is removed where that is possible.
    pub fn finish(mut self) -> Result<SegmentInfo> {
        let (vfs, temp) = (self.vfs.clone(), self.temp.clone());
        let finished = self.end_series().and_then(|()| self.finish_file());
        if finished.is_err() {
            let _ = vfs.remove(&temp);
        }
        finished
    }

    fn finish_file(mut self) -> Result<SegmentInfo> {
        self.index.tombstones.sort_by_key(|t| (t.series_id, t.tombstone.seq));
        let raw = self.index.encode();
        let compressed = zstd::bulk::compress(&raw, INDEX_ZSTD_LEVEL)
            .map_err(|e| Error::internal(format!("index can't be compressed: {e}")))?;
        let blocks = || self.index.series.iter().flat_map(|series| &series.blocks);
        let seqs_of_tombstones = || self.index.tombstones.iter().map(|t| t.tombstone.seq);
        let range = blocks().map(|block| block.range).reduce(TimeRange::union);
        let footer = Footer {
            index_offset: self.out.position(),
            index_len: compressed.len() as u64,
            index_raw_len: raw.len() as u64,
            index_crc: crc32fast::hash(&compressed),
            rows: blocks().map(|block| u64::from(block.rows)).sum(),
            tombstones: self.index.tombstones.len() as u64,
            min_seq: blocks().map(|b| b.min_seq).chain(seqs_of_tombstones()).min().unwrap_or_default(),
            max_seq: blocks().map(|b| b.max_seq).chain(seqs_of_tombstones()).max().unwrap_or_default(),
            range: range.unwrap_or(TimeRange { start_ns: i64::MAX, end_ns: i64::MIN }),
        };
        self.write(&compressed)?;
        self.write(&footer.encode())?;
        let Self { vfs, dir, temp, shard, id, out, hash, .. } = self;
        let info = SegmentInfo {
            id,
            hash: hash.digest128(),
            bytes: out.position(),
            rows: footer.rows,
            tombstones: footer.tombstones,
            min_seq: footer.min_seq,
            max_seq: footer.max_seq,
            start_ns: footer.range.start_ns,
            end_ns: footer.range.end_ns,
        };
        out.finish().map_err(|e| disk_error(&temp, &e))?;
        verify_segment(vfs.as_ref(), &temp, shard, &info)?;
        let named = dir.join(info.file_name());
        vfs.rename(&temp, &named).map_err(|e| disk_error(&temp, &e))?;
        vfs.sync_dir(&dir).map_err(|e| {
            // No manifest lists it.
            let _ = vfs.remove(&named);
            disk_error(&dir, &e)
        })?;
        Ok(info)
    }
}
