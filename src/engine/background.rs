//! The threads of a generation: a committer for each group of shards, one that flushes, one that
//! compacts, and one that syncs logs where the durability is an interval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::{Background as Priority, Error, ErrorCode, Result, caught};

use super::group::Group;
use super::options::Durability;
use super::shard::Shard;

/// A failed flush is tried again after this time; what is idle is looked at as often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Running threads.
pub(super) struct Background {
    stopping: Arc<AtomicBool>,
    /// Dropped to wake who sleeps.
    wake: Vec<SyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts all threads for the shards of a generation.
    pub fn start(shards: &[Arc<Shard>], groups: &[Arc<Group>]) -> Self {
        let mut background = Self { stopping: Arc::default(), wake: Vec::new(), threads: Vec::new() };
        let (flush_now, flush_wanted) = sync_channel(1);
        let (compact_now, compact_wanted) = sync_channel(1);
        let all: Arc<[Arc<Shard>]> = shards.into();
        for (at, group) in groups.iter().enumerate() {
            let (group, flush_now) = (group.clone(), flush_now.clone());
            background.spawn(format!("tsdb-commit-{at}"), &all, move |_| {
                group.run(flush_now);
            });
            let group = groups[at].clone();
            background.spawn(format!("tsdb-journal-{at}"), &all, move |_| group.run_journals());
        }
        let (stopping, compact) = (background.stopping.clone(), compact_now.clone());
        background.spawn("tsdb-flush".into(), &all, move |shards| {
            Priority::Soon.stand_back();
            flush_loop(shards, &flush_wanted, &compact, &stopping);
        });
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
        background.wake.extend([flush_now, compact_now]);
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
        drop(self.wake);
        for thread in self.threads {
            // It catches its panics itself.
            let _ = thread.join();
        }
    }
}

fn flush_loop(
    shards: &[Arc<Shard>],
    wanted: &Receiver<()>,
    compact_now: &SyncSender<()>,
    stopping: &AtomicBool,
) {
    while !stopping.load(Ordering::SeqCst) {
        let _ = wanted.recv_timeout(LOOK_AGAIN_AFTER);
        for shard in shards {
            if stopping.load(Ordering::SeqCst) {
                return;
            }
            shard.retry_log();
            if shard.state.read().frozen.is_empty() || shard.trouble.read().is_some() {
                continue;
            }
            // The reason of a failure stays in the shard; it is tried again.
            let _ = shard.flush_frozen();
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
