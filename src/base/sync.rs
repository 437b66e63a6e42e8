//! Locks, channels and threads, for everything from the engine down. Nothing there
//! names them elsewhere.
//!
//! Under `--cfg shuttle` the same names lead to those of the model checker, which
//! decides at each of them who goes on; a test then runs the engine itself under
//! thousands of schedules (docs/testing.md). Otherwise they are re-exports.

pub use imp::*;

#[cfg(not(shuttle))]
mod imp {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::prelude::*;

    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::sync::{atomic, mpsc};
    pub use std::thread;

    /// Runs `work` on a thread that is there anyway; nobody waits for it.
    pub fn run_elsewhere(work: impl FnOnce() + Send + 'static) {
        // A panic that reaches the pool would end the process.
        rayon::spawn(|| drop(catch_unwind(AssertUnwindSafe(work))));
    }

    /// What `work` makes of each item, in their order, on as many threads as there are.
    ///
    /// # Errors
    /// One of those that `work` answers; the rest may not have been tried.
    pub fn in_parallel<T: Send, R: Send, E: Send>(
        items: Vec<T>,
        work: impl Fn(T) -> Result<R, E> + Send + Sync,
    ) -> Result<Vec<R>, E> {
        items.into_par_iter().map(work).collect()
    }
}

/// Adapters from `parking_lot`'s locks, which know no poisoning, to `shuttle`'s.
#[cfg(shuttle)]
mod imp {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;
    use std::time::Duration;

    pub use shuttle::sync::atomic;
    pub use shuttle::thread;

    /// As `parking_lot::Mutex`.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Holds a [`Mutex`].
    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` while it waits at a [`Condvar`].
        held: Option<shuttle::sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        /// An open lock around a value.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
        }

        /// The lock, if it is open.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = match self.0.try_lock() {
                Ok(held) => held,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => return None,
            };
            Some(MutexGuard { mutex: self, held: Some(held) })
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.held.as_deref().expect("only a waiting guard is empty")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_deref_mut().expect("only a waiting guard is empty")
        }
    }

    /// As `parking_lot::Condvar`.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        /// Nobody waits.
        pub fn new() -> Self {
            Self::default()
        }

        /// Waits for a notification.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().expect("only a waiting guard is empty");
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        /// Waits until the scheduler thinks that the time is over: whenever it likes.
        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
            guard.held = None;
            thread::yield_now();
            guard.held = guard.mutex.lock().held.take();
        }

        /// Wakes one who waits.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Wakes all who wait.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// As `parking_lot::RwLock`.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// An open lock around a value.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        /// Waits until nobody writes.
        pub fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until nobody reads or writes.
        pub fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// As `std::sync::mpsc`, with timeouts.
    pub mod mpsc {
        use std::time::Duration;

        pub use shuttle::sync::mpsc::{RecvTimeoutError, SyncSender, TryRecvError};

        /// The receiving end of a channel.
        pub struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

        /// A channel in which `bound` messages can wait.
        pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
            let (sender, receiver) = shuttle::sync::mpsc::sync_channel(bound);
            (sender, Receiver(receiver))
        }

        impl<T> Receiver<T> {
            /// Waits for a message.
            pub fn recv(&self) -> Result<T, shuttle::sync::mpsc::RecvError> {
                self.0.recv()
            }

            /// Waits until the scheduler thinks that the time is over.
            pub fn recv_timeout(&self, _: Duration) -> Result<T, RecvTimeoutError> {
                shuttle::thread::yield_now();
                self.0.try_recv().map_err(|e| match e {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            }
        }
    }

    /// Runs `work` on a thread of its own; nobody waits for it.
    pub fn run_elsewhere(work: impl FnOnce() + Send + 'static) {
        thread::spawn(work);
    }

    /// What `work` makes of each item, one after another.
    ///
    /// # Errors
    /// The first of those that `work` answers.
    pub fn in_parallel<T, R, E>(items: Vec<T>, work: impl Fn(T) -> Result<R, E>) -> Result<Vec<R>, E> {
        items.into_iter().map(work).collect()
    }
}
