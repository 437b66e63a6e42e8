//! The threads of a generation: one committer a shard, one that flushes, one that
//! compacts, and one that syncs logs where the durability is an interval.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::base::{Error, ErrorCode, Result};

use super::options::Durability;
use super::shard::Shard;

/// A failed flush is tried again after this time; what is idle is looked at as often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Running threads.
pub(super) struct Background {
    stopping: Arc<AtomicBool>,
    /// Dropped to wake who sleeps.
    wake: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts all threads for the shards of a generation.
    pub fn start(shards: &[Arc<Shard>]) -> Self {
        let mut background = Self { stopping: Arc::default(), wake: Vec::new(), threads: Vec::new() };
        let (flush_now, flush_wanted) = bounded(1);
        let (compact_now, compact_wanted) = bounded(1);
        for shard in shards {
            let (shard, flush_now) = (shard.clone(), flush_now.clone());
            background.spawn(&format!("commit-{}", shard.number), move || commit_loop(&shard, &flush_now));
        }
        let (all, stopping) = (shards.to_vec(), background.stopping.clone());
        let compact = compact_now.clone();
        background.spawn("flush", move || flush_loop(&all, &flush_wanted, &compact, &stopping));
        let (all, stopping) = (shards.to_vec(), background.stopping.clone());
        background.spawn("compact", move || compaction_loop(&all, &compact_wanted, &stopping));
        let durability = shards.first().map(|shard| shard.environment.options.durability);
        if let Some(Durability::Interval(interval)) = durability {
            let (stop, stopped) = bounded(0);
            let all = shards.to_vec();
            background.spawn("sync", move || sync_loop(&all, interval, &stopped));
            background.wake.push(stop);
        }
        background.wake.extend([flush_now, compact_now]);
        background
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) {
        let thread = thread::Builder::new().name(format!("tsdb-{name}")).spawn(run);
        self.threads.push(thread.expect("the operating system gives us threads at start"));
    }

    /// Ends and joins all threads. The shards' queues must be closed.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(self.wake);
        for thread in self.threads {
            // Its panic was noted where it happened.
            let _ = thread.join();
        }
    }
}

/// Runs one step; a panic turns the shard read-only.
fn guarded(shard: &Shard, what: &str, step: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(step)).is_err() {
        shard.refuse_after_panic(what);
    }
}

fn commit_loop(shard: &Shard, flush_now: &Sender<()>) {
    while shard.wait_for_writes() {
        guarded(shard, "a committer", || shard.commit_pending());
        if !shard.state.read().frozen.is_empty() || shard.environment.budget.is_tight() {
            // A full channel means that the flusher is about to look anyway.
            let _ = flush_now.try_send(());
        }
    }
}

fn flush_loop(shards: &[Arc<Shard>], wanted: &Receiver<()>, compact_now: &Sender<()>, stopping: &AtomicBool) {
    while !stopping.load(Ordering::SeqCst) {
        let _ = wanted.recv_timeout(LOOK_AGAIN_AFTER);
        for shard in shards {
            if stopping.load(Ordering::SeqCst) {
                return;
            }
            if shard.state.read().frozen.is_empty() || shard.trouble.read().is_some() {
                continue;
            }
            guarded(shard, "a flush", || {
                // The reason stays in the shard; it is tried again.
                let _ = shard.flush_frozen();
            });
            let _ = compact_now.try_send(());
        }
        flush_largest(shards, stopping);
    }
}

/// Gives memory back where much of it is in memtables that are not full.
fn flush_largest(shards: &[Arc<Shard>], stopping: &AtomicBool) {
    while shards.first().is_some_and(|shard| shard.environment.budget.is_tight())
        && !stopping.load(Ordering::SeqCst)
    {
        let largest = shards
            .iter()
            .filter(|shard| shard.trouble().is_none())
            .map(|shard| (shard.state.read().active.memory_bytes(), shard))
            .max_by_key(|(bytes, _)| *bytes);
        let Some((1.., shard)) = largest else { return };
        guarded(shard, "a flush", || {
            // The reason stays in the shard, which is passed by from now on.
            let _ = shard.flush_all();
        });
    }
}

fn compaction_loop(shards: &[Arc<Shard>], wanted: &Receiver<()>, stopping: &AtomicBool) {
    while !stopping.load(Ordering::SeqCst) {
        let _ = wanted.recv_timeout(LOOK_AGAIN_AFTER);
        for shard in shards {
            if stopping.load(Ordering::SeqCst) {
                return;
            }
            if shard.trouble.read().is_none() {
                guarded(shard, "a compaction", || compact_fully(shard, stopping));
            }
        }
        if let Some(shard) = shards.first() {
            shard.environment.obsolete.purge();
        }
    }
}

fn compact_fully(shard: &Shard, stopping: &AtomicBool) {
    let rate = shard.environment.options.compaction_bytes_per_second.max(1);
    loop {
        let mut next = Instant::now();
        let throttle = |bytes: u64| -> Result<()> {
            if stopping.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorCode::Timeout, "the database is closing"));
            }
            next += Duration::from_secs_f64(bytes as f64 / rate as f64);
            thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
            Ok(())
        };
        match shard.compact_once(throttle) {
            Ok(Some(report)) => {
                tracing::debug!(shard = shard.number, ?report, "compacted");
            }
            Ok(None) => return,
            Err(e) => {
                if !stopping.load(Ordering::SeqCst) {
                    tracing::warn!(shard = shard.number, error = %e, "a compaction failed; its inputs stay live");
                }
                return;
            }
        }
    }
}

fn sync_loop(shards: &[Arc<Shard>], interval: Duration, stopped: &Receiver<()>) {
    while let Err(crossbeam::channel::RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
        for shard in shards {
            guarded(shard, "a sync", || shard.sync_log());
        }
    }
}
