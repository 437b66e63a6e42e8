//! Who may write to a log at a time.

use crate::base::sync::{Condvar, Mutex};

/// So many group commits run at once; the others wait their turn. Meanwhile their queues
/// fill, so that a frame carries more and a device that is busy anyway has fewer frames
/// to sync.
pub(super) struct Turns {
    left: Mutex<usize>,
    given_back: Condvar,
}

/// One of them; it ends where this is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub fn new(at_once: usize) -> Self {
        Self { left: Mutex::new(at_once), given_back: Condvar::new() }
    }

    /// Waits for a turn. Who has one must not wait for another.
    pub fn take(&self) -> Turn<'_> {
        let mut left = self.left.lock();
        while *left == 0 {
            self.given_back.wait(&mut left);
        }
        *left -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.left.lock() += 1;
        self.0.given_back.notify_one();
    }
}
