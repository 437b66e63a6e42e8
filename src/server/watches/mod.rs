//! Profiles that are kept while points come.
//!
//! One thread looks a hundred times a second at what has changed in the series that are
//! watched ([`Engine::changes`]), reads it and takes it into the kept profiles: writers do
//! not know of it. A change of old points is compared with what was known, and the profile told
//! again from the first difference on. Who subscribed gets an alert for each new window that
//! is unlike all before it; who reads too slowly misses some, and is told how many.
//!
//! What is watched is stored by the engine; the profiles are made anew from the points at
//! the start. What a series has when it is watched, and when the server starts, causes no alerts.

mod follower;
mod subscription;

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use crate::base::{Deadline, Error, ErrorCode, Result, SeriesName};
use crate::engine::{Engine, Watch};
use crate::mp::Upkeep;
use crate::protocol::{Alert, WatchRequest, WatchRow};

use follower::Follower;
pub(super) use subscription::Subscription;

/// Watches there may be.
const WATCHES_MAX: usize = 1024;
/// Alerts that wait for those who subscribed.
const ALERTS_WAITING: usize = 4096;

/// All that is watched, and those who listen.
pub(super) struct Watches {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    memory_max: u64,
}

/// What the thread shares with everyone else.
struct Shared {
    /// By watch, in the order of the engine's list.
    status: Mutex<Vec<(Watch, Status)>>,
    /// Up to which time a series had points when it was watched.
    known: Mutex<Vec<(Watch, i64)>>,
    alerts: broadcast::Sender<Arc<Alert>>,
    stop: Deadline,
    /// Ends what the thread is about, which then begins again.
    round: Mutex<Deadline>,
    nothing: Mutex<()>,
    wake: Condvar,
}

/// How far a watch is.
#[derive(Debug, Clone, Default)]
struct Status {
    points: usize,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
    score: Option<f64>,
    alerts: u64,
    behind_since: Option<Instant>,
    problem: Option<String>,
}

fn watch_of(request: WatchRequest) -> Watch {
    let WatchRequest { series, labels, window, threshold, points_max } = request;
    Watch { series, labels, window, points_max, threshold }
}

fn request_of(watch: Watch) -> WatchRequest {
    let Watch { series, labels, window, points_max, threshold } = watch;
    WatchRequest { series, labels, window, threshold, points_max }
}

impl Watches {
    /// Nothing is watched yet; profiles may take so many bytes.
    pub fn new(memory_max: u64) -> Self {
        let shared = Shared {
            status: Mutex::default(),
            known: Mutex::default(),
            alerts: broadcast::channel(ALERTS_WAITING).0,
            stop: Deadline::none(),
            round: Mutex::default(),
            nothing: Mutex::default(),
            wake: Condvar::new(),
        };
        Self { shared: Arc::new(shared), thread: Mutex::default(), memory_max }
    }

    /// Starts the thread; where much is to be computed, it is done by `workers`.
    ///
    /// # Errors
    /// `INTERNAL` where there is no thread.
    pub fn start(&self, engine: &Arc<OnceLock<Engine>>, workers: &Arc<rayon::ThreadPool>) -> Result<()> {
        let follower = Follower::new(engine.clone(), workers.clone(), self.shared.clone());
        let thread = std::thread::Builder::new().name("watches".into()).spawn(move || follower.run());
        let thread = thread.map_err(|e| Error::internal(format!("no thread for watches: {e}")))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Notes what there is when an engine opens, before anybody else uses it.
    pub fn opened(&self, engine: &Engine) {
        let of = |watch: Watch| {
            let known_ns = last_ns(engine, &watch.series);
            (watch, known_ns)
        };
        *self.shared.known.lock() = engine.watches().into_iter().map(of).collect();
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.round.lock().cancel();
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }

    /// Alerts from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.shared.alerts.subscribe()
    }

    /// Watches something, or changes the threshold and the number of points of what is watched.
    ///
    /// # Errors
    /// `SERIES_NOT_FOUND`, `DIMENSION_MISMATCH`, `LIMIT_EXCEEDED`, `READ_ONLY`.
    pub fn watch(&self, engine: &Engine, request: WatchRequest) -> Result<WatchRequest> {
        let (dimension, _) = engine.describe(&request.series)?;
        if dimension != 1 {
            return Err(Error::new(
                ErrorCode::DimensionMismatch,
                format!(
                    "points of '{}' have {dimension} values; only series of one value can be watched",
                    request.series
                ),
            ));
        }
        let watch = watch_of(request.clone());
        let known_ns = last_ns(engine, &watch.series);
        engine.change_watches(|watches| {
            watches.retain(|other| !is_same(other, &watch));
            watches.push(watch.clone());
            let bytes: u64 = watches.iter().map(|watch| Upkeep::memory_bytes(watch.points_max)).sum();
            if watches.len() > WATCHES_MAX || bytes > self.memory_max {
                return Err(Error::new(
                    ErrorCode::LimitExceeded,
                    format!(
                        "{} watches that look back at {} points would take about {bytes} bytes; at most {WATCHES_MAX} \
                         watches and {} bytes are allowed: lower max_points, UNWATCH something, or raise \
                         TSDB_MEMORY_LIMIT",
                        watches.len(),
                        watches.iter().map(|watch| watch.points_max).sum::<usize>(),
                        self.memory_max
                    ),
                ));
            }
            // Before the thread can see the watch.
            let mut known = self.shared.known.lock();
            known.retain(|(other, _)| *other != watch && watches.contains(other));
            known.push((watch, known_ns));
            Ok(())
        })?;
        self.shared.wake.notify_all();
        Ok(request)
    }

    /// Ends the watches of a series, or that of a window; how many there were.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where there is none; `READ_ONLY`.
    pub fn unwatch(&self, engine: &Engine, series: &SeriesName, window: Option<usize>) -> Result<usize> {
        let is_meant =
            |watch: &Watch| watch.series == *series && window.is_none_or(|window| window == watch.window);
        let removed = engine.change_watches(|watches| {
            let before = watches.len();
            watches.retain(|watch| !is_meant(watch));
            match before - watches.len() {
                0 => {
                    let such =
                        window.map_or_else(String::new, |window| format!(" with windows of {window} points"));
                    Err(Error::invalid(format!("'{series}' is not watched{such}; WATCHES names what is")))
                }
                removed => Ok(removed),
            }
        })?;
        // It may be computing what nobody wants any more.
        self.shared.round.lock().cancel();
        Ok(removed)
    }

    /// Everything that is watched, and how far it is.
    pub fn rows(&self, engine: &Engine) -> Vec<WatchRow> {
        let status = self.shared.status.lock();
        let row = |watch: Watch| {
            let found = status.iter().find(|(other, _)| *other == watch);
            let of = found.map(|(_, status)| status.clone()).unwrap_or_default();
            WatchRow {
                watch: request_of(watch),
                points: of.points,
                first_timestamp_ns: of.first_ns,
                last_timestamp_ns: of.last_ns,
                score: of.score,
                alerts: of.alerts,
                behind_ms: of.behind_since.map_or(0, |since| since.elapsed().as_millis() as u64),
                problem: of.problem,
            }
        };
        engine.watches().into_iter().map(row).collect()
    }

    /// For how long the slowest watch has had points that it has not seen.
    pub fn behind(&self) -> Duration {
        let status = self.shared.status.lock();
        let since = status.iter().filter_map(|(_, status)| status.behind_since);
        since.map(|since| since.elapsed()).max().unwrap_or_default()
    }
}

/// Whether two watches keep the same profile, but for how long and with which threshold.
fn is_same(one: &Watch, other: &Watch) -> bool {
    one.series == other.series && one.labels == other.labels && one.window == other.window
}

/// Up to which time a series has had points.
fn last_ns(engine: &Engine, series: &SeriesName) -> i64 {
    engine.extent(series).ok().flatten().map_or(i64::MIN, |extent| extent.end_ns)
}

#[cfg(test)]
mod tests;
