//! Shards that one thread commits, with journals for their small frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::atomic::{AtomicU32, Ordering};
use crate::base::sync::mpsc::{SyncSender, sync_channel};
use crate::base::sync::{Condvar, Mutex, MutexGuard};
use crate::wal::JournalWriter;

use super::commit::{FROZEN_MAX, LOOK_AGAIN_AFTER, Postponed, commit_together};
use super::options::Durability;
use super::shard::{Environment, Shard};

/// A journal that is full goes on for so many times its length while the next is not there.
const JOURNAL_LENGTHS_MAX: u64 = 4;

/// Which shards of a group have writes waiting.
#[derive(Default)]
pub(super) struct Ready {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    /// The group's number plus one, while it has a journal.
    journal: AtomicU32,
}

#[derive(Default)]
struct Waiting {
    shards: Vec<u32>,
    /// Whether somebody takes them.
    is_served: bool,
    closed: bool,
}

impl Ready {
    /// This shard has something to commit, and somebody will [`wake`](Self::wake) the one
    /// who does.
    pub fn add(&self, shard: u32) {
        let mut waiting = self.waiting.lock();
        if waiting.is_served {
            waiting.shards.push(shard);
        }
    }

    /// Wakes the thread that commits, if there is something to do.
    pub fn wake(&self) {
        if !self.is_empty() {
            self.filled.notify_one();
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().shards.is_empty()
    }

    fn take_now(&self) -> Vec<u32> {
        std::mem::take(&mut self.waiting.lock().shards)
    }

    /// The group whose journal may hold frames of a log that is begun now.
    pub fn journal(&self) -> Option<u16> {
        let group = self.journal.load(Ordering::SeqCst).checked_sub(1)?;
        u16::try_from(group).ok()
    }

    /// Waits for shards with something to commit, at most for this time; false once this is
    /// closed and there are none.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut waiting = self.waiting.lock();
        let mut is_over = false;
        while waiting.shards.is_empty() && !is_over {
            if waiting.closed {
                return false;
            }
            match at_most {
                Some(time) => {
                    self.filled.wait_for(&mut waiting, time);
                    is_over = true;
                }
                None => self.filled.wait(&mut waiting),
            }
        }
        true
    }
}

/// The journals of a group.
#[derive(Default)]
struct Journals {
    /// `None` where it could not be made, or has failed: every frame then goes to its log
    /// at once.
    current: Option<JournalWriter>,
    /// What follows it when it is full. `None` while the one before `current` is needed
    /// still, whose file it takes.
    next: Option<JournalWriter>,
    /// Tells the thread that makes the next one.
    next_wanted: Option<SyncSender<()>>,
}

/// Memtables of a shard that wait for their flush from which on writers may soon have to wait,
/// too: [`FROZEN_MAX`] is where they do.
pub(super) const FROZEN_URGENT: usize = FROZEN_MAX - 1;

/// Tells the threads that flush to look.
#[derive(Clone)]
pub(super) struct Flushers {
    /// That which stands back behind writers.
    pub soon: SyncSender<()>,
    /// That which does not.
    pub now: SyncSender<()>,
}

/// Shards that one thread commits.
pub(super) struct Group {
    number: u32,
    /// Of the generation.
    dir: PathBuf,
    /// In the order of their numbers.
    shards: Vec<Arc<Shard>>,
    ready: Arc<Ready>,
    /// Locked before `journals`. Who holds it commits, and sees to what came meanwhile. It says
    /// with which shard a commit begins.
    turn: Mutex<u32>,
    /// Locked before any `log`.
    journals: Mutex<Journals>,
    environment: Arc<Environment>,
    flushers: Mutex<Option<Flushers>>,
}

impl Group {
    /// The group of these shards, which share `ready`. Its journals come after that of
    /// number `before`, which nobody needs any more.
    pub fn start(
        number: u32,
        dir: &Path,
        shards: Vec<Arc<Shard>>,
        ready: Arc<Ready>,
        before: u64,
    ) -> Option<Self> {
        let environment = shards.first()?.environment.clone();
        let group = Self {
            number,
            dir: dir.to_owned(),
            shards,
            ready,
            turn: Mutex::default(),
            journals: Mutex::default(),
            environment,
            flushers: Mutex::default(),
        };
        group.begin_journals(before);
        group.ready.waiting.lock().is_served = true;
        Some(group)
    }

    /// Commits what comes until it is closed, and tells the flushers where a memtable is
    /// full.
    pub fn run(&self, flushers: Flushers) {
        *self.flushers.lock() = Some(flushers);
        let mut must_wait: Vec<u32> = Vec::new();
        loop {
            let at_most = (!must_wait.is_empty()).then_some(LOOK_AGAIN_AFTER);
            if !self.ready.wait(at_most) {
                break;
            }
            let turn = self.turn.lock();
            // Not before: what this thread has taken waits while others have their turns.
            must_wait.append(&mut self.ready.take_now());
            must_wait = self.commit(turn, must_wait);
        }
        *self.flushers.lock() = None;
    }

    /// Makes the next journal whenever one is full, until the group is closed.
    pub fn run_journals(&self) {
        let (wanted, wants) = sync_channel(1);
        {
            let mut journals = self.journals.lock();
            if self.ready.waiting.lock().closed {
                return;
            }
            journals.next_wanted = Some(wanted);
        }
        while wants.recv().is_ok() {
            self.make_next();
        }
    }

    /// Commits what waits on the caller's thread, if nobody is at it. Says whether more came
    /// meanwhile, which is the caller's too. What must wait for memory the thread of this
    /// group has.
    pub fn commit_here(&self) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        // Who is at it looks again at the end.
        let Some(turn) = self.turn.try_lock() else { return false };
        let must_wait = self.commit(turn, self.ready.take_now());
        if must_wait.is_empty() {
            return !self.ready.is_empty();
        }
        for shard in must_wait {
            self.ready.add(shard);
        }
        self.ready.wake();
        false
    }

    /// Commits what waits in these shards; says which of them must wait. The next turn begins
    /// once all is durable, shard by shard as they are done with.
    fn commit(&self, mut turn: MutexGuard<'_, u32>, mut ready: Vec<u32>) -> Vec<u32> {
        let mut guard = self.journals.lock();
        let journals = &mut *guard;
        ready.sort_unstable();
        let is_ready = |shard: &&Arc<Shard>| ready.binary_search(&shard.number).is_ok();
        let mut shards: Vec<&Shard> = self.shards.iter().filter(is_ready).map(|shard| &**shard).collect();
        let next = shards.partition_point(|shard| shard.number < *turn);
        shards.rotate_left(next);
        let had_journal = journals.current.is_some();
        let (committed, Postponed { must_wait, later }) =
            commit_together(shards.iter().copied(), &mut journals.current);
        if let Some(&next) = later.first() {
            *turn = next;
            for shard in later {
                self.ready.add(shard);
            }
            // They need not wait until the one who commits this time has time again.
            self.ready.wake();
        }
        if had_journal && journals.current.is_none() {
            // What it holds is needed at the next start.
            self.give_up(journals);
        }
        self.turn_where_full(journals);
        drop(guard);
        drop(turn);
        drop(committed);
        let most = shards.iter().map(|shard| shard.state.read().frozen.len()).max().unwrap_or(0);
        if (most > 0 || self.environment.budget.is_tight())
            && let Some(flushers) = &*self.flushers.lock()
        {
            // A full channel means that the flusher is about to look anyway.
            let _ = flushers.soon.try_send(());
            if most >= FROZEN_URGENT {
                let _ = flushers.now.try_send(());
            }
        }
        must_wait
    }

    /// Commits what has its turn now; says whether something waits then.
    #[cfg(test)]
    pub fn commit_ready(&self) -> bool {
        self.commit(self.turn.lock(), self.ready.take_now());
        if self.journals.lock().next.is_none() {
            self.make_next();
        }
        !self.ready.is_empty()
    }

    /// Ends [`run`](Self::run) and [`run_journals`](Self::run_journals).
    pub fn close(&self) {
        self.ready.waiting.lock().closed = true;
        self.ready.filled.notify_all();
        self.journals.lock().next_wanted = None;
    }

    /// Goes over to the next journal where the current one is full.
    fn turn_where_full(&self, journals: &mut Journals) {
        let bytes_max = self.environment.journal_bytes();
        let Some(current) = journals.current.as_ref().filter(|current| current.frame_bytes() >= bytes_max)
        else {
            return;
        };
        match journals.next.take() {
            Some(next) => {
                journals.current = Some(next.after(current));
                if let Some(wanted) = &journals.next_wanted {
                    // A full channel means that it is about to be made.
                    let _ = wanted.try_send(());
                }
            }
            // It goes on for a while; then the logs can't keep up, or one can't be written.
            None if current.frame_bytes() >= JOURNAL_LENGTHS_MAX * bytes_max => self.give_up(journals),
            None => {}
        }
    }

    /// Writes what the last journal holds to the logs, and makes the next in its place.
    fn make_next(&self) {
        // Each of them, whatever becomes of the others.
        let written = self.shards.iter().map(|shard| shard.write_journaled());
        if !written.fold(true, |all, written| all & written.is_ok()) {
            return;
        }
        let Some(number) = self.journals.lock().current.as_ref().map(|current| current.number() + 1) else {
            return;
        };
        let next = self.create(number);
        self.journals.lock().next = next;
    }

    /// Empties the journals, once all that they hold is in the logs. Call it when nobody
    /// commits any more.
    pub fn end_journals(&self) {
        let (number, is_used) = match &*self.journals.lock() {
            Journals { current: Some(current), next, .. } => (
                current.number().max(next.as_ref().map_or(0, JournalWriter::number)),
                current.frame_bytes() > 0 || next.is_none(),
            ),
            _ => return,
        };
        let written = self.shards.iter().map(|shard| shard.write_journaled());
        if is_used && written.fold(true, |all, written| all & written.is_ok()) {
            self.begin_journals(number);
        }
    }

    /// Every frame goes to its log at once from now on. The journals stay as they are.
    fn give_up(&self, journals: &mut Journals) {
        (journals.current, journals.next) = (None, None);
        self.ready.journal.store(0, Ordering::SeqCst);
    }

    fn begin_journals(&self, before: u64) {
        // Without a promise of every write there is nothing to share.
        if self.environment.options.durability != Durability::Always
            || u16::try_from(self.number + 1).is_err()
        {
            return;
        }
        let mut journals = self.journals.lock();
        journals.current = self.create(before + 1);
        journals.next = journals.current.as_ref().and_then(|_| self.create(before + 2));
        let has_both = journals.next.is_some();
        if has_both {
            self.ready.journal.store(self.number + 1, Ordering::SeqCst);
        } else {
            self.give_up(&mut journals);
        }
    }

    fn create(&self, number: u64) -> Option<JournalWriter> {
        let origin = self.shards.first().map(|shard| shard.origin)?;
        let made =
            JournalWriter::create(self.environment.vfs.as_ref(), &self.dir, self.number, number, origin);
        made.inspect_err(|error| {
            tracing::warn!(dir = %self.dir.display(), group = self.number, %error, "no journal; every shard syncs its own log");
        })
        .ok()
    }
}
