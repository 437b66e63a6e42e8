//! The writes of one wake-up: submitted together, waited for together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::Result;
use crate::engine::{Engine, Write, Written};

use super::write;

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
    count: usize,
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
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        shared.open.store(1, Ordering::Release);
        Self { shared, count: 0 }
    }

    /// Submits a write; its result will be at the returned index.
    pub fn submit(&mut self, engine: &Engine, write: Write) -> usize {
        let index = self.count;
        self.count += 1;
        self.shared.results.lock().push(None);
        self.shared.open.fetch_add(1, Ordering::AcqRel);
        let mut ticket = Ticket { shared: self.shared.clone(), index, answered: false };
        engine.submit(write, move |result| ticket.answer(result));
        index
    }

    /// How many there are: the index of the next.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Waits until every write has its answer.
    pub async fn finish(self) -> Vec<Option<Result<Written>>> {
        self.shared.close_one();
        while self.shared.open.load(Ordering::Acquire) > 0 {
            self.shared.done.notified().await;
        }
        std::mem::take(&mut *self.shared.results.lock())
    }
}
