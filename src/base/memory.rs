//! How the memory limit is divided, and the account of what is buffered.

use std::sync::atomic::{AtomicU64, Ordering};

/// The shares of everything that grows with data or requests, in bytes. But for what is lent
/// they add up to seven eighths of the limit; an eighth is for what is counted nowhere: the
/// program, stacks, sockets, copies under way, and what the allocator can't use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Memtables: with more, writers wait for flushes.
    pub memtables: u64,
    /// Indexes of segments, vectors (up to half), and decoded blocks with what they leave.
    pub blocks: u64,
    /// What blocks may take beside, for as long as memtables leave it.
    pub lent: u64,
    /// Working space of analytics and searches: with more, they wait; who needs more
    /// than there is at all is refused.
    pub queries: u64,
    /// What long replies hold while they are sent. Nobody who computes can take it.
    pub replies: u64,
    /// Profiles that are watched (seven eighths), and answers that are kept.
    pub kept: u64,
    /// Requests that are being received or wait for their commit.
    pub requests: u64,
}

impl MemoryShares {
    /// The shares of a limit.
    pub fn of(limit_bytes: u64) -> Self {
        let sixteenth = limit_bytes / 16;
        Self {
            memtables: 6 * sixteenth,
            blocks: 3 * sixteenth,
            lent: 2 * sixteenth,
            queries: 2 * sixteenth,
            replies: sixteenth / 2,
            kept: sixteenth,
            requests: 2 * sixteenth,
        }
    }
}

/// Bytes in use against a limit. Takes never fail: who takes decides what to do
/// when [`is_over`](Self::is_over).
#[derive(Debug)]
pub struct MemoryBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl MemoryBudget {
    /// An account with a limit.
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: AtomicU64::new(0) }
    }

    /// The limit.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that can come into use before it [is tight](Self::is_tight).
    pub fn free_bytes(&self) -> u64 {
        (self.limit_bytes / 4 * 3).saturating_sub(self.used_bytes())
    }

    /// Whether so much is in use that some should be given back soon.
    pub fn is_tight(&self) -> bool {
        self.used_bytes() > self.limit_bytes / 4 * 3
    }

    /// Whether more is in use than the limit.
    pub fn is_over(&self) -> bool {
        self.used_bytes() > self.limit_bytes
    }

    /// Notes bytes that came into use.
    pub fn take(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes bytes that are free again.
    pub fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
