//! What becomes of writes, and who waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::base::{Error, Labels, Result};
use crate::engine::{Engine, Write, Written};

use super::burst::{Point, Row};
use super::state::State;
use super::{plan, write};

/// Writes of so many points don't wait for others.
const LARGE_POINTS: usize = 64;

/// Writes that are submitted together, and what becomes of each.
#[derive(Default)]
pub(super) struct Round {
    results: OnceLock<Box<[OnceLock<Result<Written>>]>>,
}

impl Round {
    /// It has so many writes; it begins once.
    pub fn begin(&self, writes: usize) {
        let _ = self.results.set((0..writes).map(|_| OnceLock::new()).collect());
    }

    /// What became of a write, once that is known.
    pub fn result(&self, write: usize) -> Option<&Result<Written>> {
        self.results.get()?.get(write)?.get()
    }
}

/// A connection's wait for all that it has written since its last replies.
#[derive(Default)]
pub(super) struct Waiting {
    /// Writes without an answer, and one for as long as more may come.
    open: AtomicUsize,
    done: Notify,
}

impl Waiting {
    /// One more write is to be waited for.
    pub fn open_one(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether there is something to wait for.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// The right and duty to answer one write. Dropped without an answer it says so.
pub(super) struct Ticket {
    round: Arc<Round>,
    write: usize,
    waiting: Vec<Arc<Waiting>>,
    answered: bool,
}

impl Ticket {
    /// For a write of a round that has begun, and those who wait for it.
    pub fn new(round: &Arc<Round>, write: usize, waiting: Vec<Arc<Waiting>>) -> Self {
        Self { round: round.clone(), write, waiting, answered: false }
    }

    /// Tells everyone who waits.
    pub fn answer(mut self, result: Result<Written>) {
        self.tell(result);
    }

    fn tell(&mut self, result: Result<Written>) {
        self.answered = true;
        if let Some(slot) = self.round.results.get().and_then(|results| results.get(self.write)) {
            // There is one ticket for it.
            let _ = slot.set(result);
        }
        self.waiting.iter().for_each(|waiting| waiting.close_one());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(Err(write::lost()));
        }
    }
}

/// Where the answer to a write, or to a point of it, is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Counted from the connection's first.
    round: u32,
    row: Row,
}

/// The rounds that a connection had a part in.
#[derive(Default)]
pub(super) struct Rounds(Vec<Arc<Round>>);

impl Rounds {
    fn last(&mut self, round: &Arc<Round>) -> u32 {
        if !self.0.last().is_some_and(|last| Arc::ptr_eq(last, round)) {
            self.0.push(round.clone());
        }
        self.0.len() as u32 - 1
    }

    /// What became of a write; `None` where nobody said.
    pub fn result(&self, place: Place) -> Option<&Result<Written>> {
        self.0.get(place.round as usize)?.result(place.row.write as usize)
    }

    /// Why a write is not done.
    pub fn error(&self, place: Place) -> Error {
        match self.result(place) {
            Some(Err(error)) => error.clone(),
            _ => write::lost(),
        }
    }

    /// The timestamp that a point was given, where the server had to give one.
    pub fn assigned_ns(&self, place: Place) -> Option<i64> {
        write::assigned_ns(self.result(place)?.as_ref().ok()?, place.row.assigned? as usize)
    }
}

/// Writes of a connection that wait for their group commits.
pub(super) struct Commit {
    waiting: Arc<Waiting>,
    state: Arc<State>,
    connection: u64,
    /// Whether there are some that nobody was told to commit.
    is_queued: bool,
    /// Whether some are gathered with those of other connections.
    is_gathered: bool,
    rounds: Rounds,
}

impl Drop for Commit {
    /// Whoever is gone wanted them stored nevertheless.
    fn drop(&mut self) {
        self.commit();
    }
}

impl Commit {
    /// For the connection of this number.
    pub fn new(state: &Arc<State>, connection: u64) -> Self {
        let waiting = Arc::new(Waiting::default());
        waiting.open_one();
        Self {
            waiting,
            state: state.clone(),
            connection,
            is_queued: false,
            is_gathered: false,
            rounds: Rounds::default(),
        }
    }

    /// Gathers single points, up to the first that has to be a write of its own; says where
    /// the answer to each is found.
    pub fn gather<'a>(
        &mut self,
        engine: &Engine,
        points: impl Iterator<Item = Point<'a>>,
        labels: &Labels,
        mut found: impl FnMut(Place),
    ) {
        let mut burst = self.state.commits.gathered();
        let round = self.rounds.last(burst.round());
        for point in points {
            let Some(row) = burst.push(engine, &point, labels, &self.waiting) else { return };
            (self.is_queued, self.is_gathered) = (true, true);
            found(Place { round, row });
        }
    }

    /// Submits a write, which comes after all that this connection has written before.
    pub fn submit(&mut self, engine: &Engine, write: Write) -> Place {
        if std::mem::take(&mut self.is_gathered) {
            self.state.commits.gathered().submit(engine);
        }
        let round = Arc::new(Round::default());
        // Who asks for the timestamp of one point has no other.
        let place = Place { round: self.rounds.last(&round), row: Row { write: 0, assigned: Some(0) } };
        round.begin(1);
        self.waiting.open_one();
        let ticket = Ticket::new(&round, 0, vec![self.waiting.clone()]);
        let done = move |result| ticket.answer(result);
        if matches!(&write, Write::Insert { points, .. } if points.len() >= LARGE_POINTS) {
            // It is logged while what came behind it is parsed.
            engine.submit(write, done);
        } else {
            engine.queue(write, done);
            self.is_queued = true;
        }
        place
    }

    fn commit(&mut self) {
        if std::mem::take(&mut self.is_queued) {
            plan::commit(&self.state, self.connection);
        }
    }

    /// Waits until every write has its answer.
    pub async fn finish(mut self) -> Rounds {
        self.commit();
        self.waiting.close_one();
        while self.waiting.is_open() {
            self.waiting.done.notified().await;
        }
        std::mem::take(&mut self.rounds)
    }
}
