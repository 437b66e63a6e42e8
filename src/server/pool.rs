//! Threads for work that takes a while, apart from the ones that serve sockets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Sender, TrySendError, bounded};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::{Background, Deadline, Error, ErrorCode, Result, caught};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads and a bounded queue before them.
pub(super) struct Pool {
    name: &'static str,
    jobs: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Deadlines of what waits and runs, to cancel all at a stop.
    running: Arc<Mutex<HashMap<u64, Deadline>>>,
    next: AtomicU64,
}

/// Cancels the work when nobody waits for its answer any more.
struct CancelOnDrop(Deadline);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Pool {
    /// Starts `threads` threads; at most `queue` jobs wait for one.
    pub fn start(
        name: &'static str,
        priority: Background,
        threads: usize,
        queue: usize,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = bounded::<Job>(queue);
        let threads = (0..threads)
            .map(|_| {
                let receiver = receiver.clone();
                std::thread::Builder::new().name(name.into()).spawn(move || {
                    priority.stand_back();
                    for job in receiver {
                        job();
                    }
                })
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self {
            name,
            jobs: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
            running: Arc::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Runs `work` on one of the threads. When the returned future is dropped, the
    /// work is cancelled through its deadline; a panic in it becomes `INTERNAL`. (What
    /// changes the database guards itself, and stops acknowledgements then.)
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` where the queue is full, and what `work` answers.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&Deadline) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let running = self.running.clone();
        running.lock().insert(id, deadline.clone());
        let guard = CancelOnDrop(deadline.clone());
        let job: Job = Box::new(move || {
            // What the connection is told must not depend on how far a job got that
            // waited past its deadline.
            let result = deadline.check().and_then(|()| caught("the computation", || work(&deadline)));
            running.lock().remove(&id);
            // Nobody waits for a cancelled job.
            let _ = sender.send(result);
        });
        let sent = match &*self.jobs.lock() {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        if let Err(e) = sent {
            self.running.lock().remove(&id);
            return Err(match e {
                TrySendError::Full(_) => Error::new(
                    ErrorCode::LimitExceeded,
                    format!("too many requests wait for the {} threads; retry later", self.name),
                ),
                TrySendError::Disconnected(_) => {
                    Error::new(ErrorCode::Timeout, "the server is stopping; connect again and retry")
                }
            });
        }
        let result = receiver.await.unwrap_or_else(|_| Err(Error::internal("a job ended without an answer")));
        drop(guard);
        result
    }

    /// Cancels everything, and waits for the threads to end.
    pub fn stop(&self) {
        *self.jobs.lock() = None;
        self.running.lock().values().for_each(Deadline::cancel);
        for thread in self.threads.lock().drain(..) {
            // A job's panic was caught; the thread itself has none.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_goes_on() {
        let pool = Pool::start("test", Background::Soon, 1, 4).unwrap();
        let failed = block_on(pool.run(Deadline::none(), |_| -> Result<()> { panic!("on purpose") }));
        assert_eq!(failed.unwrap_err().code(), ErrorCode::Internal);
        assert_eq!(block_on(pool.run(Deadline::none(), |_| Ok(7))), Ok(7));
    }

    #[test]
    fn a_full_queue_refuses_and_a_stop_cancels() {
        let pool = Pool::start("test", Background::Soon, 1, 1).unwrap();
        let until_cancelled = |deadline: &Deadline| -> Result<()> {
            while !deadline.is_over() {
                std::thread::yield_now();
            }
            deadline.check()
        };
        block_on(async {
            let (started, begun) = oneshot::channel();
            let running = pool.run(Deadline::none(), move |deadline| {
                started.send(()).unwrap();
                until_cancelled(deadline)
            });
            let check = async {
                begun.await.unwrap();
                let waiting = pool.run(Deadline::none(), |_| Ok(()));
                let refused = async {
                    let refused = pool.run(Deadline::none(), |_| Ok(())).await.unwrap_err();
                    assert_eq!(refused.code(), ErrorCode::LimitExceeded);
                    pool.stop();
                };
                let (waiting, ()) = tokio::join!(waiting, refused);
                assert_eq!(waiting.unwrap_err().code(), ErrorCode::Timeout);
            };
            let (running, ()) = tokio::join!(running, check);
            assert_eq!(running.unwrap_err().code(), ErrorCode::Timeout);
            let late = pool.run(Deadline::none(), |_| Ok(())).await;
            assert_eq!(late.unwrap_err().code(), ErrorCode::Timeout);
        });
    }
}
