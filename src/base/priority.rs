//! Which threads stand back where the processors are busy.
//!
//! A sync of the log that takes 0.1 ms on an idle processor took 4 ms, a tick of the
//! scheduler, behind a thread that computes there. So whatever nobody waits for within
//! milliseconds runs at a lower priority than the threads that answer and commit. No
//! rights are needed for that, and without contention it changes nothing.

/// How far a thread stands back: steps of `nice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Others wait for it in the end: flushes, large queries.
    Soon,
    /// Compaction and analytics.
    Whenever,
}

impl Background {
    /// Lowers the priority of this thread, for good.
    pub fn stand_back(self) {
        let nice = match self {
            Self::Soon => 5,
            Self::Whenever => 10,
        };
        // On Linux this concerns the thread that calls it. Where it is refused, all are equal.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, nice);
        #[cfg(not(target_os = "linux"))]
        let _ = nice;
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn it_concerns_only_the_thread_that_asks() {
        use super::Background;
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let other = std::thread::spawn(move || {
            Background::Whenever.stand_back();
            nice()
        });
        assert_eq!(other.join().unwrap(), before.max(10));
        assert_eq!(nice(), before);
    }
}
