//! Vectors that were searched lately.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use crate::base::{Deadline, Result};
use crate::segments::{BlockCache, Segment, SeriesEntry};
use crate::vector::{Lists, VectorBlock};

/// Which vectors: the number of the open segment, and the place of the series in it.
type Key = (u64, usize);

/// A bounded cache of [`VectorBlock`]s, built at the first search. What was not searched
/// for the longest time goes first. The memory is taken from that of the block cache,
/// which holds less meanwhile.
pub(in crate::engine) struct VectorCache {
    blocks: Arc<BlockCache>,
    bytes_max: usize,
    held: Mutex<Held>,
    /// One is built at a time: who waits for it finds it.
    building: Mutex<()>,
    clock: AtomicU64,
    bytes: AtomicUsize,
}

/// What the vectors of a series in a segment take in memory.
pub(in crate::engine) fn estimate_bytes(series: &SeriesEntry) -> u64 {
    let tables = 4 * (series.labels.len() + series.blocks.len() + 2) as u64;
    VectorBlock::estimate_bytes(series.rows(), series.dimension).saturating_add(tables)
}

/// Reads the vectors of a series in a segment, in the order of its lists where there are
/// some.
///
/// # Errors
/// `CORRUPT_DATA` where a block fails its checks; `TIMEOUT`.
pub(in crate::engine) fn read_vectors(
    segment: &Segment,
    series: &SeriesEntry,
    lists: Option<Lists>,
    deadline: &Deadline,
) -> Result<VectorBlock> {
    let mut vectors = VectorBlock::with_room(series.dimension, series.rows() as usize, lists);
    for entry in &series.blocks {
        deadline.check()?;
        // Past the cache: all of it is read once.
        vectors.push(&segment.read(series, entry)?);
    }
    Ok(vectors.finish(series.labels.len()))
}

/// The lists beside a segment. What is damaged is as good as none, and is made anew.
fn read_lists(segment: &Segment, series: &SeriesEntry) -> Option<Lists> {
    let sidecar = segment.sidecar()?;
    let section = sidecar.section(series.series_id).transpose()?;
    match section.and_then(|bytes| Lists::decode(&bytes, series.dimension, series.rows() as usize)) {
        Ok(lists) => Some(lists),
        Err(reason) => {
            tracing::warn!(segment = %segment.path().display(), %reason, "an index of vectors is made anew");
            segment.set_sidecar(None);
            None
        }
    }
}

#[derive(Default)]
struct Held {
    entries: HashMap<Key, Entry>,
}

struct Entry {
    block: Arc<VectorBlock>,
    bytes: usize,
    segment: Weak<Segment>,
    /// Whether something stood beside the segment when it was built.
    had_sidecar: bool,
    used: u64,
}

impl VectorCache {
    /// A cache of up to `bytes_max` of what `blocks` may hold.
    pub fn new(blocks: Arc<BlockCache>, bytes_max: u64) -> Self {
        Self {
            blocks,
            bytes_max: bytes_max as usize,
            held: Mutex::default(),
            building: Mutex::default(),
            clock: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// The most that it holds.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max as u64
    }

    /// What it holds.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }

    /// The vectors of a series in a segment, where they are there.
    pub fn get(&self, segment: &Arc<Segment>, series: usize) -> Option<Arc<VectorBlock>> {
        let mut held = self.held.lock();
        let entry = held.entries.get_mut(&(segment.instance(), series))?;
        if !entry.had_sidecar && segment.has_sidecar() {
            // An index was made since.
            return None;
        }
        entry.used = self.clock.fetch_add(1, Ordering::Relaxed);
        Some(entry.block.clone())
    }

    /// The same, built where they are not there; `None` where they are too large, and where not
    /// all of them can be read, for a search need not touch those.
    ///
    /// # Errors
    /// `TIMEOUT`.
    pub fn get_or_build(
        &self,
        segment: &Arc<Segment>,
        at: usize,
        series: &SeriesEntry,
        deadline: &Deadline,
    ) -> Result<Option<Arc<VectorBlock>>> {
        if let Some(block) = self.get(segment, at) {
            return Ok(Some(block));
        }
        let bytes = estimate_bytes(series);
        if bytes > self.bytes_max() || segment.is_damaged() {
            return Ok(None);
        }
        let _one_at_a_time = self.building.lock();
        if let Some(block) = self.get(segment, at) {
            return Ok(Some(block));
        }
        self.make_room(bytes as usize);
        let had_sidecar = segment.has_sidecar();
        let lists = read_lists(segment, series);
        let block = match read_vectors(segment, series, lists, deadline) {
            Err(_) if segment.is_damaged() => return Ok(None),
            read => Arc::new(read?),
        };
        self.put(segment, at, &block, had_sidecar);
        Ok(Some(block))
    }

    /// Runs work that takes so much memory beside what is held.
    pub fn beside<R>(&self, bytes: u64, work: impl FnOnce() -> R) -> R {
        self.blocks.note_other_bytes(0, bytes as usize);
        let done = work();
        self.blocks.note_other_bytes(bytes as usize, 0);
        done
    }

    /// Takes vectors with the lists that stand beside the segment now, if the same without
    /// them are held.
    pub fn replace(&self, segment: &Arc<Segment>, series: usize, block: VectorBlock) {
        let is_held = self.held.lock().entries.contains_key(&(segment.instance(), series));
        if is_held {
            self.put(segment, series, &Arc::new(block), true);
        }
    }

    fn put(&self, segment: &Arc<Segment>, series: usize, block: &Arc<VectorBlock>, had_sidecar: bool) {
        let bytes = block.memory_bytes();
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let entry =
            Entry { block: block.clone(), bytes, segment: Arc::downgrade(segment), had_sidecar, used };
        let mut held = self.held.lock();
        let replaced = held.entries.insert((segment.instance(), series), entry);
        self.note(replaced.map_or(0, |entry| entry.bytes), bytes);
        drop(held);
        self.make_room(0);
    }

    /// Lets go of vectors of segments that are gone, and of others until so many bytes
    /// more fit.
    fn make_room(&self, bytes: usize) {
        let mut held = self.held.lock();
        let dead: usize = held
            .entries
            .extract_if(|_, entry| entry.segment.strong_count() == 0)
            .map(|(_, entry)| entry.bytes)
            .sum();
        self.note(dead, 0);
        while self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max {
            let oldest = held.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(&key, _)| key);
            let Some(entry) = oldest.and_then(|key| held.entries.remove(&key)) else { break };
            self.note(entry.bytes, 0);
        }
    }

    /// Lets go of vectors of segments that are gone.
    pub fn purge(&self) {
        self.make_room(0);
    }

    fn note(&self, before: usize, after: usize) {
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        self.blocks.note_other_bytes(before, after);
    }
}
