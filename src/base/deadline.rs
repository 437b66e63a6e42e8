//! When a long computation must give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Error, ErrorCode, Result};

/// A point in time after which work is pointless, and a flag that ends it
/// earlier because nobody waits for the answer any more. Cheap to clone; all
/// clones share the flag. Long loops call [`Deadline::check`] now and then.
#[derive(Debug, Clone, Default)]
pub struct Deadline {
    at: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Deadline {
    /// No time limit; can still be cancelled.
    pub fn none() -> Self {
        Self::default()
    }

    /// Expires `after` from now.
    pub fn after(after: Duration) -> Self {
        Self { at: Instant::now().checked_add(after), cancelled: Arc::default() }
    }

    /// The same, but over after `after` from now at the latest.
    #[must_use]
    pub fn within(&self, after: Duration) -> Self {
        let sooner = Instant::now().checked_add(after);
        let at = [self.at, sooner].into_iter().flatten().min();
        Self { at, cancelled: self.cancelled.clone() }
    }

    /// The same, but over when this part, 0 to 1, of the time that is left has passed.
    #[must_use]
    pub fn part(&self, part: f64) -> Self {
        match self.at {
            Some(at) => self.within(at.saturating_duration_since(Instant::now()).mul_f64(part)),
            None => self.clone(),
        }
    }

    /// Ends the work of every clone at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the time is over or the work was cancelled.
    pub fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// `TIMEOUT` once the deadline is over.
    pub fn check(&self) -> Result<()> {
        if !self.is_over() {
            return Ok(());
        }
        let reason = if self.cancelled.load(Ordering::Relaxed) {
            "the request was ended before it was done, since the server stops or its client left; send it again"
        } else {
            "the request ran out of time; narrow the time range or the selection, or raise the server's request timeout"
        };
        Err(Error::new(ErrorCode::Timeout, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_one_clone_ends_all() {
        let deadline = Deadline::none();
        let other = deadline.clone();
        assert!(other.check().is_ok());
        deadline.cancel();
        let ended = other.check().unwrap_err();
        assert!(ended.code() == ErrorCode::Timeout && ended.message().contains("ended before"), "{ended}");
        let late = Deadline::after(Duration::ZERO).check().unwrap_err();
        assert!(late.code() == ErrorCode::Timeout && late.message().contains("out of time"), "{late}");
    }

    #[test]
    fn a_sooner_deadline_leaves_the_later_one_as_it_is() {
        let later = Deadline::none();
        assert!(later.within(Duration::ZERO).is_over() && !later.is_over());
        let sooner = later.within(Duration::from_hours(1));
        assert!(!sooner.is_over());
        assert!(Deadline::after(Duration::ZERO).within(Duration::from_hours(1)).is_over());
        let half = Deadline::after(Duration::from_hours(2)).part(0.5);
        assert!(!half.is_over() && half.at < Deadline::after(Duration::from_mins(61)).at);
        assert_eq!(later.part(0.5).at, None);
        later.cancel();
        assert!(sooner.is_over());
    }

    #[test]
    fn an_elapsed_deadline_is_over() {
        assert!(Deadline::after(Duration::ZERO).is_over());
        assert!(!Deadline::after(Duration::from_hours(1)).is_over());
    }
}
