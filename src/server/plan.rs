//! When what connections have queued is committed, and by whom.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;

use super::burst::Burst;
use super::state::State;

/// Who waits for the disk longer than this is noticed.
const NOTICED_AFTER: Duration = Duration::from_millis(5);

/// When what connections have queued is committed.
#[derive(Default)]
pub(super) struct Plan {
    /// Whether somebody is about to.
    is_made: AtomicBool,
    /// Single points, which are queued together just before. It is locked until they are, so that
    /// those of one connection stay in their order.
    gathered: Mutex<Burst>,
    /// Connections that there have been.
    connections: AtomicU64,
    /// The one that had something committed last.
    last: AtomicU64,
    /// Commits that have begun, and that have ended.
    begun: AtomicU64,
    ended: AtomicU64,
    watcher: OnceLock<Thread>,
    watcher_sleeps: AtomicBool,
}

impl Plan {
    /// A number for a connection.
    pub fn number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The points that are to be queued together.
    pub fn gathered(&self) -> MutexGuard<'_, Burst> {
        self.gathered.lock()
    }

    /// Whether a thread that serves sockets is at it.
    pub fn is_under_way(&self) -> bool {
        self.begun.load(Ordering::SeqCst) != self.ended.load(Ordering::SeqCst)
    }

    /// Has another thread look after the sockets of one that waits for the disk, until the
    /// process ends.
    pub fn watch(&self, runtime: &Handle) {
        let _ = self.watcher.set(std::thread::current());
        loop {
            let begun = self.begun.load(Ordering::SeqCst);
            if !self.is_under_way() {
                self.watcher_sleeps.store(true, Ordering::SeqCst);
                if begun == self.begun.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            }
            std::thread::sleep(NOTICED_AFTER);
            if self.is_under_way() && begun == self.begun.load(Ordering::SeqCst) {
                // From without, it wakes whoever sleeps.
                drop(runtime.spawn(async {}));
            }
        }
    }
}

/// A commit of a thread that serves sockets.
struct UnderWay<'a>(&'a Plan);

impl<'a> UnderWay<'a> {
    fn begin(plan: &'a Plan) -> Self {
        plan.is_made.store(false, Ordering::Release);
        plan.begun.fetch_add(1, Ordering::SeqCst);
        if plan.watcher_sleeps.swap(false, Ordering::SeqCst)
            && let Some(watcher) = plan.watcher.get()
        {
            watcher.unpark();
        }
        Self(plan)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Commits what is queued, once all was read that has arrived with it, and what comes
/// meanwhile, once those were answered who waited before.
async fn commit_queued(state: Arc<State>) {
    loop {
        tokio::task::yield_now().await;
        if !commit_now(&state) {
            return;
        }
    }
}

fn commit_now(state: &State) -> bool {
    let _under_way = UnderWay::begin(&state.commits);
    state.engine_if_open().is_some_and(|engine| {
        state.commits.gathered().submit(engine);
        engine.commit()
    })
}

/// Has everything committed that is queued, for this connection and all others.
pub(super) fn commit(state: &Arc<State>, connection: u64) {
    let plan = &state.commits;
    let is_alone = plan.last.swap(connection, Ordering::Relaxed) == connection;
    // Who is about to commit takes these too.
    if plan.is_made.swap(true, Ordering::AcqRel) {
        return;
    }
    // Who is alone waits for nobody.
    if is_alone && !commit_now(state) {
        return;
    }
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(commit_queued(state.clone()))),
        Err(_) => while commit_now(state) {},
    }
}
