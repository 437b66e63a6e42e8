//! The threads of a generation: a committer for each group of shards, two that flush, one that
//! compacts, one that makes indexes, and one that syncs logs where the durability is an interval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::{Background as Priority, Deadline, Error, ErrorCode, Result, caught};

use super::group::{FROZEN_URGENT, Flushers, Group};
use super::indexing::index_shards;
use super::options::Durability;
use super::shard::Shard;

/// A failed flush is tried again after this time; what is idle is looked at as often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// An index that could not be made is tried again after this time.
const INDEX_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Running threads.
pub(super) struct Background {
    stopping: Arc<AtomicBool>,
    /// Ends the index that is being made.
    stop_indexing: Deadline,
    /// Dropped to wake who sleeps.
    wake: Vec<SyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts all threads for the shards of a generation.
    pub fn start(shards: &[Arc<Shard>], groups: &[Arc<Group>]) -> Self {
        let mut background = Self {
            stopping: Arc::default(),
            stop_indexing: Deadline::none(),
            wake: Vec::new(),
            threads: Vec::new(),
        };
        let (soon, flush_wanted) = sync_channel(1);
        let (now, urgent_flush_wanted) = sync_channel(1);
        let flushers = Flushers { soon, now };
        let (compact_now, compact_wanted) = sync_channel(1);
        let all: Arc<[Arc<Shard>]> = shards.into();
        for (at, group) in groups.iter().enumerate() {
            let (group, flushers) = (group.clone(), flushers.clone());
            background.spawn(format!("tsdb-commit-{at}"), &all, move |_| {
                group.run(flushers);
            });
            let group = groups[at].clone();
            background.spawn(format!("tsdb-journal-{at}"), &all, move |_| group.run_journals());
        }
        let (stopping, compact) = (background.stopping.clone(), compact_now.clone());
        background.spawn("tsdb-flush".into(), &all, move |shards| {
            Priority::Soon.stand_back();
            flush_loop(shards, 1, &flush_wanted, &compact, &stopping);
        });
        // Behind writers that keep the processors busy, the other gets further and further back,
        // until they have to wait for it.
        let (stopping, compact) = (background.stopping.clone(), compact_now.clone());
        background.spawn("tsdb-flush-now".into(), &all, move |shards| {
            flush_loop(shards, FROZEN_URGENT, &urgent_flush_wanted, &compact, &stopping);
        });
        let (stop, stopped) = sync_channel(0);
        let stopping = background.stop_indexing.clone();
        background.spawn("tsdb-index".into(), &all, move |shards| {
            Priority::Whenever.stand_back();
            index_loop(shards, &stopped, &stopping);
        });
        background.wake.push(stop);
        let stopping = background.stopping.clone();
        background.spawn("tsdb-compact".into(), &all, move |shards| {
            Priority::Whenever.stand_back();
            compaction_loop(shards, &compact_wanted, &stopping);
        });
        let durability = shards.first().map(|shard| shard.environment.options.durability);
        if let Some(Durability::Interval(interval)) = durability {
            let (stop, stopped) = sync_channel(0);
            background.spawn("tsdb-sync".into(), &all, move |shards| sync_loop(shards, interval, &stopped));
            background.wake.push(stop);
        }
        background.wake.extend([flushers.soon, flushers.now, compact_now]);
        background
    }

    /// Each step that changes a shard guards itself. Whatever else panics ends its
    /// thread, and nothing is acknowledged any more.
    fn spawn(
        &mut self,
        name: String,
        shards: &Arc<[Arc<Shard>]>,
        run: impl FnOnce(&[Arc<Shard>]) + Send + 'static,
    ) {
        let shards = shards.clone();
        let what = format!("the thread {name}");
        let thread = thread::Builder::new().name(name).spawn(move || {
            let ended = caught(&what, || {
                run(&shards);
                Ok(())
            });
            if let Err(reason) = ended {
                for shard in &*shards {
                    shard.refuse_writes(&reason);
                    // Who waits for a committer that is gone is answered here.
                    shard.drain();
                }
            }
        });
        self.threads.push(thread.expect("the operating system gives us threads at start"));
    }

    /// Ends and joins all threads. The shards' queues and the groups must be closed.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stop_indexing.cancel();
        drop(self.wake);
        for thread in self.threads {
            // It catches its panics itself.
            let _ = thread.join();
        }
    }
}

fn index_loop(shards: &[Arc<Shard>], stopped: &Receiver<()>, stop: &Deadline) {
    let mut pause = LOOK_AGAIN_AFTER;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
        pause = if index_shards(shards, stop) { LOOK_AGAIN_AFTER } else { INDEX_AGAIN_AFTER };
    }
}

/// Flushes where at least so many memtables wait, where most do first.
fn flush_loop(
    shards: &[Arc<Shard>],
    least: usize,
    wanted: &Receiver<()>,
    compact_now: &SyncSender<()>,
    stopping: &AtomicBool,
) {
    while !stopping.load(Ordering::SeqCst) {
        let _ = wanted.recv_timeout(LOOK_AGAIN_AFTER);
        if least == 1 {
            for shard in shards {
                shard.retry_log();
            }
        }
        // Those that failed, or that another thread flushes.
        let mut passed_by = Vec::new();
        while !stopping.load(Ordering::SeqCst) {
            let fullest = shards
                .iter()
                .filter(|shard| !passed_by.contains(&shard.number) && shard.trouble.read().is_none())
                .map(|shard| (shard.state.read().frozen.len(), shard))
                .max_by_key(|(frozen, _)| *frozen);
            let Some((_, shard)) = fullest.filter(|(frozen, _)| *frozen >= least) else { break };
            match shard.flush_oldest() {
                Ok(true) => drop(compact_now.try_send(())),
                // The reason of a failure stays in the shard; it is tried again.
                Ok(false) | Err(_) => passed_by.push(shard.number),
            }
        }
        if least == 1 {
            flush_largest(shards, stopping);
        }
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
        // The reason of a failure stays in the shard, which is passed by from now on.
        let _ = shard.flush_all();
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
                compact_fully(shard, stopping);
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
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
        for shard in shards {
            shard.sync_log();
        }
    }
}
