//! The writes of one wake-up: submitted together, waited for together.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::base::Result;
use crate::engine::{Engine, Write, Written};

use super::state::State;
use super::write;

/// Writes of so many points don't wait for others.
const LARGE_POINTS: usize = 64;

#[derive(Default)]
struct Shared {
    results: Mutex<Vec<Option<Result<Written>>>>,
    /// Writes without an answer, and one for as long as more may come.
    open: AtomicUsize,
    done: Notify,
}

/// Writes that wait for their group commits.
pub(super) struct Commit {
    shared: Arc<Shared>,
    state: Arc<State>,
    connection: u64,
    /// Whether there are some that nobody was told to commit.
    is_queued: bool,
    count: usize,
}

impl Drop for Commit {
    /// Whoever is gone wanted them stored nevertheless.
    fn drop(&mut self) {
        self.commit();
    }
}

/// Who waits for the disk longer than this is noticed.
const NOTICED_AFTER: Duration = Duration::from_millis(5);

/// When what connections have queued is committed.
#[derive(Default)]
pub(super) struct Plan {
    /// Whether somebody is about to.
    is_made: AtomicBool,
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
    state.engine_if_open().is_some_and(Engine::commit)
}

/// The right and duty to answer one write. Dropped without an answer it says so.
struct Ticket {
    shared: Arc<Shared>,
    index: usize,
    answered: bool,
}

impl Ticket {
    fn answer(&mut self, result: Result<Written>) {
        self.answered = true;
        if let Some(slot) = self.shared.results.lock().get_mut(self.index) {
            *slot = Some(result);
        }
        self.shared.close_one();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.answer(Err(write::lost()));
        }
    }
}

impl Shared {
    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

impl Commit {
    /// For the connection of this number.
    pub fn new(state: &Arc<State>, connection: u64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.open.store(1, Ordering::Release);
        Self { shared, state: state.clone(), connection, is_queued: false, count: 0 }
    }

    /// Submits a write; its result will be at the returned index.
    pub fn submit(&mut self, engine: &Engine, write: Write) -> usize {
        let index = self.count;
        self.count += 1;
        self.shared.results.lock().push(None);
        self.shared.open.fetch_add(1, Ordering::AcqRel);
        let mut ticket = Ticket { shared: self.shared.clone(), index, answered: false };
        let done = move |result| ticket.answer(result);
        if matches!(&write, Write::Insert { points, .. } if points.len() >= LARGE_POINTS) {
            // It is logged while what came behind it is parsed.
            engine.submit(write, done);
        } else {
            engine.queue(write, done);
            self.is_queued = true;
        }
        index
    }

    fn commit(&mut self) {
        if !std::mem::take(&mut self.is_queued) {
            return;
        }
        let plan = &self.state.commits;
        let is_alone = plan.last.swap(self.connection, Ordering::Relaxed) == self.connection;
        // Who is about to commit takes these too.
        if plan.is_made.swap(true, Ordering::AcqRel) {
            return;
        }
        // Who is alone waits for nobody.
        if is_alone && !commit_now(&self.state) {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(commit_queued(self.state.clone()))),
            Err(_) => while commit_now(&self.state) {},
        }
    }

    /// How many there are: the index of the next.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Waits until every write has its answer.
    pub async fn finish(mut self) -> Vec<Option<Result<Written>>> {
        self.commit();
        self.shared.close_one();
        while self.shared.open.load(Ordering::Acquire) > 0 {
            self.shared.done.notified().await;
        }
        std::mem::take(&mut *self.shared.results.lock())
    }
}
