//! Decoded blocks that were read lately.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::base::MemoryBudget;
use crate::base::sync::Mutex;
use crate::format::Block;

const PARTS: usize = 16;

/// Which block: the number that an open segment got, and the block's offset.
type Key = (u64, u64);

/// A bounded cache of decoded blocks, evicted by the clock rule: a block that was
/// read since the hand last passed gets another round. Each part has a lock and a hand of
/// its own; all share the bytes, for some blocks are large beside what a part could have.
pub struct BlockCache {
    parts: [Mutex<Part>; PARTS],
    bytes_max: usize,
    /// Whose free bytes may be taken beside, and how many of them.
    lender: Option<(Arc<MemoryBudget>, u64)>,
    /// Bytes of the blocks in all parts.
    bytes: AtomicUsize,
    /// The part that gives up a block next.
    next_victim: AtomicUsize,
    /// Bytes of the indexes of open segments, and of what is noted beside them, which
    /// leave less for blocks.
    index_bytes: AtomicUsize,
    next_segment: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Blocks that failed their checks.
    damaged: Mutex<HashSet<Key>>,
}

#[derive(Default)]
struct Part {
    blocks: HashMap<Key, Entry>,
    hand: VecDeque<Key>,
}

struct Entry {
    block: Arc<Block>,
    read: AtomicBool,
}

impl BlockCache {
    /// A cache that holds up to `bytes_max` of decoded blocks; 0 caches nothing.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            parts: Default::default(),
            bytes_max,
            lender: None,
            bytes: AtomicUsize::new(0),
            next_victim: AtomicUsize::new(0),
            index_bytes: AtomicUsize::new(0),
            next_segment: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            damaged: Mutex::default(),
        }
    }

    /// The same with up to `bytes` more for as long as the lender has them free. Who takes some of
    /// the lender calls [`trim`](Self::trim).
    #[must_use]
    pub fn borrowing(self, lender: Arc<MemoryBudget>, bytes: u64) -> Self {
        Self { lender: Some((lender, bytes)), ..self }
    }

    /// Notes that a block failed its checks; false where that is known.
    pub(super) fn note_damaged(&self, key: Key) -> bool {
        self.damaged.lock().insert(key)
    }

    /// Whether blocks of a segment failed their checks.
    pub(super) fn has_damaged(&self, segment: u64) -> bool {
        self.damaged.lock().iter().any(|key| key.0 == segment)
    }

    /// Blocks of open segments that failed their checks.
    pub fn damaged_blocks(&self) -> u64 {
        self.damaged.lock().len() as u64
    }

    /// Notes a change of the bytes that something else takes which only grows with
    /// what is stored, and leaves less for blocks as indexes do.
    pub fn note_other_bytes(&self, before: usize, after: usize) {
        self.index_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        self.trim();
    }

    /// A number for a segment that was just opened, whose index takes some memory.
    pub(super) fn register(&self, index_bytes: usize) -> u64 {
        self.index_bytes.fetch_add(index_bytes, Ordering::Relaxed);
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    fn part(&self, key: Key) -> &Mutex<Part> {
        let mixed = (key.0 ^ key.1.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.parts[(mixed >> 60) as usize % PARTS]
    }

    /// A block, or what was decoded of it, if that suits.
    pub(super) fn get(&self, key: Key, suits: impl Fn(&Block) -> bool) -> Option<Arc<Block>> {
        let part = self.part(key).lock();
        if let Some(entry) = part.blocks.get(&key).filter(|entry| suits(&entry.block)) {
            entry.read.store(true, Ordering::Relaxed);
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Some(entry.block.clone());
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// A block that is only looked at.
    pub(super) fn peek(&self, key: Key) -> Option<Arc<Block>> {
        self.part(key).lock().blocks.get(&key).map(|entry| entry.block.clone())
    }

    pub(super) fn put(&self, key: Key, block: &Arc<Block>) {
        let bytes = block.memory_bytes();
        if bytes > self.blocks_bytes_max() / 4 {
            return;
        }
        let mut part = self.part(key).lock();
        let entry = Entry { block: block.clone(), read: AtomicBool::new(false) };
        match part.blocks.insert(key, entry) {
            Some(before) => {
                self.bytes.fetch_sub(before.block.memory_bytes(), Ordering::Relaxed);
            }
            None => part.hand.push_back(key),
        }
        drop(part);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.trim();
    }

    /// Whether it need not let blocks go soon.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.blocks_bytes_max() / 8 * 7
    }

    fn blocks_bytes_max(&self) -> usize {
        let lent = self.lender.as_ref().map_or(0, |(lender, most)| lender.free_bytes().min(*most));
        (self.bytes_max + lent as usize).saturating_sub(self.index_bytes.load(Ordering::Relaxed))
    }

    /// Lets blocks go until what is held fits, a part giving up one at a time.
    pub fn trim(&self) {
        // Parts without blocks that were asked in a row.
        let mut empty = 0;
        while self.bytes.load(Ordering::Relaxed) > self.blocks_bytes_max() && empty < PARTS {
            let at = self.next_victim.fetch_add(1, Ordering::Relaxed) % PARTS;
            let mut part = self.parts[at].lock();
            let Some(oldest) = part.hand.pop_front() else {
                empty += 1;
                continue;
            };
            empty = 0;
            let again =
                part.blocks.get(&oldest).is_some_and(|entry| entry.read.swap(false, Ordering::Relaxed));
            if again {
                part.hand.push_back(oldest);
            } else if let Some(gone) = part.blocks.remove(&oldest) {
                self.bytes.fetch_sub(gone.block.memory_bytes(), Ordering::Relaxed);
            }
        }
    }

    /// Drops the blocks of a segment, which was registered with these bytes.
    pub(super) fn forget(&self, segment: u64, index_bytes: usize) {
        self.index_bytes.fetch_sub(index_bytes, Ordering::Relaxed);
        self.damaged.lock().retain(|key| key.0 != segment);
        for part in &self.parts {
            let mut part = part.lock();
            let Part { blocks, hand } = &mut *part;
            hand.retain(|key| key.0 != segment);
            blocks.retain(|key, entry| {
                let keep = key.0 != segment;
                if !keep {
                    self.bytes.fetch_sub(entry.block.memory_bytes(), Ordering::Relaxed);
                }
                keep
            });
        }
    }

    /// Bytes of the blocks that it holds, and of the indexes of open segments.
    pub fn memory_bytes(&self) -> u64 {
        (self.bytes.load(Ordering::Relaxed) + self.index_bytes.load(Ordering::Relaxed)) as u64
    }

    /// Reads that found their block, and that did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Columns, Seqs, Values};

    fn block(rows: usize) -> Arc<Block> {
        let columns = Columns {
            dimension: 1,
            timestamps: vec![0; rows],
            seqs: Seqs::Constant(0),
            values: Values::F64(vec![0.0; rows]),
        };
        Arc::new(Block { columns: Arc::new(columns), label_runs: vec![(0, 0)] })
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_read() {
        let cache = BlockCache::new(PARTS * 10 * 16_000);
        for at in 0..1000 {
            cache.put((1, at), &block(1000));
            cache.get((1, 0), |_| true);
        }
        assert!(cache.memory_bytes() <= PARTS as u64 * 160_000);
        assert!(cache.get((1, 0), |_| true).is_some(), "the block that is always read stays");
        assert!(cache.get((1, 1), |_| true).is_none(), "an old one that nobody reads goes");
        cache.forget(1, 0);
        assert_eq!(cache.memory_bytes(), 0);
    }

    #[test]
    fn more_of_a_block_takes_the_place_of_less() {
        let cache = BlockCache::new(64 * 16_000);
        cache.put((1, 1), &block(10));
        assert!(cache.get((1, 1), |found| found.columns.len() == 1000).is_none());
        assert_eq!(cache.hits_and_misses(), (0, 1));
        cache.put((1, 1), &block(1000));
        assert!(cache.get((1, 1), |found| found.columns.len() == 1000).is_some());
        assert_eq!(cache.memory_bytes(), block(1000).memory_bytes() as u64);
        assert!(cache.has_room());
        (2..60).for_each(|at| cache.put((1, at), &block(1000)));
        assert!(!cache.has_room());
    }

    #[test]
    fn what_was_lent_is_given_back() {
        let lender = Arc::new(MemoryBudget::new(100 * 16_000));
        let cache = BlockCache::new(10 * 16_000).borrowing(lender.clone(), 50 * 16_000);
        let held = || cache.memory_bytes() / block(1000).memory_bytes() as u64;
        (0..200).for_each(|at| cache.put((1, at), &block(1000)));
        assert!((55..=60).contains(&held()), "{} blocks", held());
        // The lender keeps the last quarter for himself.
        lender.take(20 * 16_000);
        cache.trim();
        assert!((55..=60).contains(&held()), "{} blocks", held());
        lender.take(45 * 16_000);
        cache.trim();
        assert!((15..=20).contains(&held()), "{} blocks", held());
        lender.take(1000 * 16_000);
        cache.trim();
        assert!((5..=10).contains(&held()), "{} blocks", held());
    }

    #[test]
    fn a_cache_of_no_bytes_holds_nothing() {
        let cache = BlockCache::new(0);
        cache.put((1, 1), &block(1));
        assert!(cache.get((1, 1), |_| true).is_none());
    }
}
