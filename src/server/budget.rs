//! Memory that all connections share, in bounded parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::{Error, ErrorCode, Result};

/// Unit in which it is counted.
const UNIT_BYTES: u64 = 1 << 10;

/// A bounded amount of memory. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
    /// How many wait for a part.
    waiting: Arc<AtomicUsize>,
    /// What to say where there is none: why, and what to do.
    refusal: &'static str,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    permit: OwnedSemaphorePermit,
    waiting: Arc<AtomicUsize>,
}

impl Reserved {
    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT_BYTES as usize
    }

    /// Whether somebody waits for a part of the same budget.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let units = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        drop(self.permit.split(self.permit.num_permits().saturating_sub(units)));
    }

    /// Both shares as one.
    pub fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(mut one), Some(other)) => {
                one.permit.merge(other.permit);
                Some(one)
            }
            (one, other) => one.or(other),
        }
    }
}

/// One who waits, for as long as he does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Budget {
    pub fn new(bytes: u64, refusal: &'static str) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX >> 4).max(1);
        let permits = Arc::new(Semaphore::new(units as usize));
        Self { permits, units, waiting: Arc::default(), refusal }
    }

    /// All there is.
    pub fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT_BYTES
    }

    /// So much, if it is free; more than there is counts as all of it.
    pub fn reserve_now(&self, bytes: u64) -> Option<Reserved> {
        let units = self.units_of(bytes);
        let permit = self.permits.clone().try_acquire_many_owned(units).ok()?;
        Some(Reserved { permit, waiting: self.waiting.clone() })
    }

    /// Waits until so much is free; more than there is counts as all of it.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` where it is not in time.
    pub async fn reserve(&self, bytes: u64, wait: Duration) -> Result<Reserved> {
        if let Some(reserved) = self.reserve_now(bytes) {
            return Ok(reserved);
        }
        let units = self.units_of(bytes);
        let _waiting = Waiting::new(&self.waiting);
        match tokio::time::timeout(wait, self.permits.clone().acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(Reserved { permit, waiting: self.waiting.clone() }),
            Ok(Err(_)) | Err(_) => Err(Error::new(ErrorCode::LimitExceeded, self.refusal)),
        }
    }

    fn units_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_seen_by_those_who_have() {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let budget = Budget::new(100 << 10, "nothing is left; retry");
            let mut all = budget.reserve(1 << 30, Duration::ZERO).await.unwrap();
            assert_eq!((all.bytes(), all.is_wanted()), (100 << 10, false));
            let refused = budget.reserve(1, Duration::ZERO).await.unwrap_err();
            assert_eq!(
                (refused.code(), refused.message()),
                (ErrorCode::LimitExceeded, "nothing is left; retry")
            );
            assert!(!all.is_wanted(), "who was refused waits no more");
            let long = Duration::from_mins(10);
            let wait = async {
                let some = budget.reserve(40 << 10, long).await.unwrap();
                assert_eq!(some.bytes(), 40 << 10);
            };
            let give = async {
                while !all.is_wanted() {
                    tokio::task::yield_now().await;
                }
                all.shrink(60 << 10);
                assert_eq!(all.bytes(), 60 << 10);
            };
            tokio::join!(wait, give);
            assert!(!all.is_wanted());
        });
    }
}
