//! The writes of one wake-up: submitted together, waited for together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::Result;
use crate::engine::{Engine, Write, Written};

use super::state::State;
use super::{plan, write};

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
        if std::mem::take(&mut self.is_queued) {
            plan::commit(&self.state, self.connection);
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
