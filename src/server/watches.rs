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

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use crate::base::{Background, Deadline, Error, ErrorCode, Result, SeriesName, TimeRange, caught};
use crate::engine::{Engine, Page, Query, Scan, Watch};
use crate::mp::{Nearest, Upkeep};
use crate::protocol::{Alert, Notice, WatchRequest, WatchRow};

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Points that are read in one go.
const PAGE_ROWS: usize = 16 << 10;
/// Watches there may be.
const WATCHES_MAX: usize = 1024;
/// Alerts that wait for those who subscribed.
const ALERTS_WAITING: usize = 4096;
/// Where fewer windows fit into the history, it says little of what is usual.
const HISTORY_WINDOWS: usize = 4;
/// Of so many points, a change of more than one is looked at by the tiles instead of one by
/// one.
const REBUILD_PART: usize = 64;

/// All that is watched, and those who listen.
pub(super) struct Watches {
    /// By watch, in the order of the engine's list.
    status: Arc<Mutex<Vec<(Watch, Status)>>>,
    /// Up to which time a series had points when it was watched.
    known: Arc<Mutex<Vec<(Watch, i64)>>>,
    alerts: broadcast::Sender<Arc<Alert>>,
    stop: Deadline,
    /// Ends what the thread is about, which then begins again.
    round: Arc<Mutex<Deadline>>,
    wake: Arc<(Mutex<()>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
    memory_max: u64,
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
        Self {
            status: Arc::default(),
            known: Arc::default(),
            alerts: broadcast::channel(ALERTS_WAITING).0,
            stop: Deadline::none(),
            round: Arc::default(),
            wake: Arc::default(),
            thread: Mutex::default(),
            memory_max,
        }
    }

    /// Starts the thread; where much is to be computed, it is done by `workers`.
    ///
    /// # Errors
    /// `INTERNAL` where there is no thread.
    pub fn start(&self, engine: &Arc<OnceLock<Engine>>, workers: &Arc<rayon::ThreadPool>) -> Result<()> {
        let follower = Follower {
            engine: engine.clone(),
            workers: workers.clone(),
            status: self.status.clone(),
            known: self.known.clone(),
            alerts: self.alerts.clone(),
            stop: self.stop.clone(),
            round: self.round.clone(),
            kept: Vec::new(),
        };
        let wake = self.wake.clone();
        let thread = std::thread::Builder::new().name("watches".into()).spawn(move || follower.run(&wake));
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
        *self.known.lock() = engine.watches().into_iter().map(of).collect();
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.stop.cancel();
        self.round.lock().cancel();
        self.wake.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }

    /// Alerts from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.alerts.subscribe()
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
            let mut known = self.known.lock();
            known.retain(|(watch, _)| watches.contains(watch));
            known.push((watch, known_ns));
            Ok(())
        })?;
        self.wake.1.notify_all();
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
                0 => Err(Error::invalid(format!(
                    "nothing is watched in '{series}' with such a window; WATCHES names what is"
                ))),
                removed => Ok(removed),
            }
        })?;
        // It may be computing what nobody wants any more.
        self.round.lock().cancel();
        Ok(removed)
    }

    /// Everything that is watched, and how far it is.
    pub fn rows(&self, engine: &Engine) -> Vec<WatchRow> {
        let status = self.status.lock();
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
        let status = self.status.lock();
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

/// The thread.
struct Follower {
    engine: Arc<OnceLock<Engine>>,
    workers: Arc<rayon::ThreadPool>,
    status: Arc<Mutex<Vec<(Watch, Status)>>>,
    known: Arc<Mutex<Vec<(Watch, i64)>>>,
    alerts: broadcast::Sender<Arc<Alert>>,
    stop: Deadline,
    round: Arc<Mutex<Deadline>>,
    kept: Vec<Kept>,
}

/// A profile, and the times of its points.
struct Kept {
    watch: Watch,
    upkeep: Upkeep,
    times: Vec<i64>,
    /// Points before this time are none of it; they left, or were never looked at.
    begins_ns: i64,
    /// The latest point that was ever seen: later ones are new.
    seen_ns: Option<i64>,
    score: Option<f64>,
    /// Whether all points of the series were looked at.
    is_whole: bool,
}

impl Kept {
    fn new(watch: Watch) -> Self {
        let upkeep = Upkeep::new(watch.window, watch.points_max);
        Self {
            watch,
            upkeep,
            times: Vec::new(),
            begins_ns: i64::MIN,
            seen_ns: None,
            score: None,
            is_whole: false,
        }
    }
}

impl Follower {
    fn run(mut self, wake: &(Mutex<()>, Condvar)) {
        Background::Soon.stand_back();
        while !self.stop.is_over() {
            if let Some(engine) = self.engine.get().cloned() {
                let round = caught("a round of the watches", || {
                    self.look(&engine);
                    Ok(())
                });
                if let Err(e) = round {
                    tracing::error!(error = %e, "the kept profiles are made anew");
                    self.kept.clear();
                }
            }
            let mut nothing = wake.0.lock();
            wake.1.wait_for(&mut nothing, LOOK_EVERY);
        }
    }

    /// One look at everything.
    fn look(&mut self, engine: &Engine) {
        let round = Deadline::none();
        *self.round.lock() = round.clone();
        // Whoever has stopped before did not see this round.
        if self.stop.is_over() {
            return;
        }
        self.take_over(engine.watches());
        let mut at = 0;
        // Those of one series stand together: what has changed is told only once.
        while at < self.kept.len() && !round.is_over() {
            let series = self.kept[at].watch.series.clone();
            let end = at + self.kept[at..].iter().take_while(|kept| kept.watch.series == series).count();
            self.look_at(engine, &series, at..end, &round);
            at = end;
        }
    }

    /// Begins what is newly watched, and ends what is not any more.
    fn take_over(&mut self, mut watches: Vec<Watch>) {
        watches.sort_by(|a, b| a.series.cmp(&b.series));
        if self.kept.iter().map(|kept| &kept.watch).eq(&watches) {
            return;
        }
        let mut before = std::mem::take(&mut self.kept);
        let mut known = self.known.lock();
        for watch in watches {
            let same = before.iter().position(|kept| is_same(&kept.watch, &watch));
            let same = same.map(|at| before.swap_remove(at));
            let seen = known.iter().position(|(other, _)| *other == watch);
            let seen_ns = seen.map(|at| known.swap_remove(at).1);
            self.kept.push(match same {
                Some(kept) if kept.watch.points_max == watch.points_max => Kept { watch, ..kept },
                Some(Kept { seen_ns, .. }) => Kept { seen_ns, ..Kept::new(watch) },
                None => Kept { seen_ns, ..Kept::new(watch) },
            });
        }
        drop(known);
        let mut status = self.status.lock();
        let old = std::mem::take(&mut *status);
        *status = self
            .kept
            .iter()
            .map(|kept| {
                let of = old.iter().find(|(watch, _)| is_same(watch, &kept.watch));
                (kept.watch.clone(), of.map(|(_, status)| status.clone()).unwrap_or_default())
            })
            .collect();
    }

    fn set(&self, watch: &Watch, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock();
        if let Some((_, status)) = status.iter_mut().find(|(other, _)| other == watch) {
            change(status);
        }
    }

    fn look_at(&mut self, engine: &Engine, series: &SeriesName, which: Range<usize>, round: &Deadline) {
        let changes = match engine.changes(series) {
            Ok(changes) => changes,
            Err(e) => return self.give_up(which, &e),
        };
        let from_ns = changes.from_ns();
        if from_ns.is_none() && self.kept[which.clone()].iter().all(|kept| kept.is_whole) {
            return;
        }
        for kept in which.clone() {
            let is_behind = from_ns.is_some() || !self.kept[kept].is_whole;
            if is_behind {
                self.set(&self.kept[kept].watch, |status| {
                    status.behind_since.get_or_insert_with(Instant::now);
                });
            }
        }
        // Dropped and made again, with another dimension.
        if engine.describe(series).is_ok_and(|(dimension, _)| dimension != 1) {
            let error = Error::new(ErrorCode::DimensionMismatch, "its points have several values");
            return self.give_up(which, &error);
        }
        for index in which {
            let kept = &self.kept[index];
            let from_ns = if kept.is_whole { from_ns } else { Some(i64::MIN) };
            let Some(from_ns) = from_ns else { continue };
            let range = range_to_read(kept, from_ns);
            let (labels, watch) = (kept.watch.labels.clone(), kept.watch.clone());
            let scan = changes.scan(range, labels.clone(), PAGE_ROWS).map_or_else(
                || {
                    let query = Query { series: series.clone(), range, labels, limit: PAGE_ROWS };
                    engine.scan(query)
                },
                Ok,
            );
            let (kept, workers) = (&mut self.kept[index], &self.workers);
            let taken = scan.and_then(|scan| take(kept, scan, range, from_ns, workers, round));
            match taken {
                Ok(alerts) => {
                    let kept = &self.kept[index];
                    let (points, score) = (kept.times.len(), kept.score);
                    let (first, last) = (kept.times.first().copied(), kept.times.last().copied());
                    self.set(&watch, |status| {
                        *status = Status {
                            points,
                            first_ns: first,
                            last_ns: last,
                            score,
                            alerts: status.alerts + alerts.len() as u64,
                            behind_since: None,
                            problem: None,
                        };
                    });
                    for alert in alerts {
                        // Nobody may listen.
                        let _ = self.alerts.send(Arc::new(alert));
                    }
                }
                Err(e) => self.give_up(index..index + 1, &e),
            }
        }
    }

    /// Says why some watches do not go on; they begin anew when they can.
    fn give_up(&mut self, which: Range<usize>, error: &Error) {
        if self.stop.is_over() {
            return;
        }
        for at in which {
            let Kept { watch, seen_ns, .. } = &self.kept[at];
            let (watch, seen_ns) = (watch.clone(), *seen_ns);
            if error.code() == ErrorCode::Timeout {
                // Something else was stopped; it goes on where it was.
                self.kept[at] = Kept { seen_ns, ..Kept::new(watch) };
                continue;
            }
            let problem = format!("{}: {}", error.code(), error.message());
            self.set(&watch, |status| {
                let alerts = status.alerts;
                *status = Status { alerts, problem: Some(problem), ..Status::default() };
            });
            self.kept[at] = Kept::new(watch);
        }
    }
}

/// What must be read of a series in which something has changed from `from_ns` on.
fn range_to_read(kept: &Kept, from_ns: i64) -> TimeRange {
    match kept.times.last() {
        Some(&last) if from_ns > last => TimeRange { start_ns: last + 1, end_ns: i64::MAX },
        _ if kept.is_whole => TimeRange { start_ns: kept.begins_ns, end_ns: i64::MAX },
        _ => TimeRange::ALL,
    }
}

/// Takes the points of a range, which nothing follows, into a profile; the alerts of what
/// is new in it.
fn take(
    kept: &mut Kept,
    mut scan: Scan,
    range: TimeRange,
    from_ns: i64,
    workers: &rayon::ThreadPool,
    stop: &Deadline,
) -> Result<Vec<Alert>> {
    let mut alerts = Vec::new();
    let appends = kept.times.last().is_some_and(|&last| range.start_ns > last) && kept.is_whole;
    if appends {
        while let Some(Page { rows, .. }) = scan.next_page(stop)? {
            push(kept, &rows.timestamps_ns, &rows.values, stop, &mut alerts)?;
        }
        return Ok(alerts);
    }
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let points_max = kept.watch.points_max;
    let mut begins_ns = range.start_ns;
    while let Some(Page { rows, .. }) = scan.next_page(stop)? {
        times.extend(rows.timestamps_ns);
        values.extend(rows.values);
        if times.len() > 2 * points_max + PAGE_ROWS {
            let left = times.len() - points_max;
            times.drain(..left);
            values.drain(..left);
            begins_ns = times[0];
        }
    }
    // What is before the first difference, and before the change, stays.
    let same_times = kept.times.iter().zip(&times).take_while(|(a, b)| a == b && **a < from_ns).count();
    let bits = |(a, b): &(&f64, &f64)| a.to_bits() == b.to_bits();
    let same = kept.upkeep.values().iter().zip(&values).take(same_times).take_while(bits).count();
    let few = times.len().saturating_sub(same) <= points_max / REBUILD_PART;
    if kept.is_whole && same > 0 && few {
        kept.upkeep.keep_first(same);
        kept.times.truncate(same);
        kept.score = newest_score(kept);
        push(kept, &times[same..], &values[same..], stop, &mut alerts)?;
        return Ok(alerts);
    }
    // The points that are new may cause alerts.
    let new_from = kept.seen_ns.map_or(times.len(), |seen_ns| times.partition_point(|&time| time <= seen_ns));
    let first = new_from.saturating_sub(points_max);
    let (old_times, old_values) = (&times[first..new_from], &values[first..new_from]);
    kept.is_whole = false;
    workers.install(|| kept.upkeep.rebuild(old_values, stop))?;
    kept.times = old_times.to_vec();
    kept.begins_ns = if first > 0 { times[first] } else { begins_ns };
    // What comes into an empty series is new.
    kept.seen_ns = kept.seen_ns.max(kept.times.last().copied()).or(Some(i64::MIN));
    kept.score = newest_score(kept);
    kept.is_whole = true;
    push(kept, &times[new_from..], &values[new_from..], stop, &mut alerts)?;
    Ok(alerts)
}

fn newest_score(kept: &mut Kept) -> Option<f64> {
    kept.upkeep.newest().map(|nearest| normalized(nearest.distance, kept.watch.window))
}

/// 2√m is how far two windows can be from each other.
fn normalized(distance: f64, window: usize) -> f64 {
    (distance / (2.0 * (window as f64).sqrt())).min(1.0)
}

/// Adds points behind all others.
fn push(
    kept: &mut Kept,
    times: &[i64],
    values: &[f64],
    stop: &Deadline,
    alerts: &mut Vec<Alert>,
) -> Result<()> {
    for (at, (&time, &value)) in times.iter().zip(values).enumerate() {
        if at % 64 == 0 && stop.is_over() {
            // Half of it is worse than none.
            kept.is_whole = false;
            stop.check()?;
        }
        let nearest = kept.upkeep.push(value);
        kept.times.push(time);
        let left = kept.times.len() - kept.upkeep.points();
        if left > 0 {
            // Rarely, for all behind it move.
            kept.begins_ns = kept.times[left];
            if left > kept.watch.points_max / 4 || at + 1 == times.len() {
                kept.times.drain(..left);
            }
        }
        let window = kept.watch.window;
        kept.score = nearest.map(|nearest| normalized(nearest.distance, window));
        if kept.seen_ns.is_none_or(|seen_ns| time > seen_ns) {
            kept.seen_ns = Some(time);
            alerts.extend(nearest.and_then(|nearest| alert(kept, nearest)));
        }
    }
    Ok(())
}

/// The alert of the newest window, if it is one.
fn alert(kept: &Kept, nearest: Nearest) -> Option<Alert> {
    let Watch { series, labels, window, threshold, .. } = &kept.watch;
    if kept.upkeep.points() < HISTORY_WINDOWS * window {
        return None;
    }
    let normalized_score = normalized(nearest.distance, *window);
    let times = &kept.times[kept.times.len() - kept.upkeep.points()..];
    (normalized_score >= *threshold).then(|| Alert {
        series: series.clone(),
        labels: labels.clone(),
        window: *window,
        threshold: *threshold,
        timestamp_ns: times[times.len() - window],
        end_timestamp_ns: times[times.len() - 1],
        score: nearest.distance,
        normalized_score,
        neighbor_timestamp_ns: times[nearest.index],
    })
}

/// Alerts for one connection.
pub(super) struct Subscription {
    receiver: broadcast::Receiver<Arc<Alert>>,
    series: Option<SeriesName>,
    timestamps_as_strings: bool,
}

impl Subscription {
    /// Alerts of a series, or of all, from now on.
    pub fn new(watches: &Watches, series: Option<SeriesName>, timestamps_as_strings: bool) -> Self {
        Self { receiver: watches.subscribe(), series, timestamps_as_strings }
    }

    fn render(&self, notice: Notice, out: &mut Vec<u8>) {
        notice.render(self.timestamps_as_strings, out);
    }

    fn is_wanted(&self, alert: &Alert) -> bool {
        self.series.as_ref().is_none_or(|series| *series == alert.series)
    }

    /// Appends all alerts that have come.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        use broadcast::error::TryRecvError;
        for _ in 0..ALERTS_WAITING {
            match self.receiver.try_recv() {
                Ok(alert) if self.is_wanted(&alert) => {
                    self.render(Notice::Alert(Alert::clone(&alert)), out);
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(missed)) => self.render(Notice::Missed(missed), out),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Waits for an alert that is wanted, and appends it.
    pub async fn wait(&mut self, out: &mut Vec<u8>) {
        use broadcast::error::RecvError;
        loop {
            match self.receiver.recv().await {
                Ok(alert) if self.is_wanted(&alert) => {
                    return self.render(Notice::Alert(Alert::clone(&alert)), out);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return self.render(Notice::Missed(missed), out),
                // The server stops; its connections are told so otherwise.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LabelFilter, Labels, ManualClock, Points, Rng, Rows, ValueType};
    use crate::engine::{Options, Write};
    use crate::mp::{Selection, oracle};
    use crate::vfs::SimDisk;

    fn name(name: &str) -> SeriesName {
        SeriesName::new(name).unwrap()
    }

    struct Scene {
        disk: SimDisk,
        engine: Arc<OnceLock<Engine>>,
        follower: Follower,
        alerts: broadcast::Receiver<Arc<Alert>>,
        watches: Watches,
    }

    fn open_on(disk: &SimDisk) -> Engine {
        let options = Options { shards: 1, background: false, buffer_points: 40, ..Options::new("/data") };
        Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap()
    }

    impl Scene {
        fn on(disk: SimDisk) -> Self {
            let engine = Arc::new(OnceLock::from(open_on(&disk)));
            let watches = Watches::new(1 << 30);
            let follower = Follower {
                engine: engine.clone(),
                workers: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
                status: watches.status.clone(),
                known: watches.known.clone(),
                alerts: watches.alerts.clone(),
                stop: watches.stop.clone(),
                round: watches.round.clone(),
                kept: Vec::new(),
            };
            Self { disk, engine, follower, alerts: watches.subscribe(), watches }
        }

        fn engine(&self) -> Engine {
            self.engine.get().unwrap().clone()
        }

        fn create(&self, series: &str, dimension: u32) {
            let (name, value_type) = (name(series), ValueType::F64);
            self.engine().write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
        }

        fn insert(&self, series: &str, points: &[(i64, f64)], labels: &Labels) {
            for (time, value) in points {
                let points = Points::one(Some(*time), vec![*value], labels.clone());
                self.engine().write(Write::Insert { series: name(series), points }).unwrap();
            }
        }

        fn delete(&self, series: &str, start_ns: i64, end_ns: i64) {
            let (range, labels) = (TimeRange { start_ns, end_ns }, LabelFilter::any());
            self.engine().write(Write::DeleteRange { series: name(series), range, labels }).unwrap();
        }

        fn watch(
            &self,
            series: &str,
            window: usize,
            points_max: usize,
            labels: &LabelFilter,
        ) -> Result<WatchRequest> {
            let (series, labels) = (name(series), labels.clone());
            let request = WatchRequest { series, labels, window, threshold: 0.4, points_max };
            self.watches.watch(&self.engine(), request)
        }

        fn look(&mut self) {
            let engine = self.engine();
            self.follower.look(&engine);
        }

        fn all(&self, series: &str, labels: &LabelFilter) -> Rows {
            let (series, labels) = (name(series), labels.clone());
            let query = Query { series, range: TimeRange::ALL, labels, limit: usize::MAX };
            self.engine().query(&query, &Deadline::none()).unwrap().rows
        }

        /// What is kept is the left profile of the stored points of its time.
        fn check(&mut self, what: &str) {
            for at in 0..self.follower.kept.len() {
                let watch = self.follower.kept[at].watch.clone();
                let all = self.all(watch.series.as_str(), &watch.labels);
                let kept = &mut self.follower.kept[at];
                let first = all.timestamps_ns.partition_point(|&time| time < kept.begins_ns);
                let first = first.max(all.len().saturating_sub(watch.points_max));
                assert_eq!(kept.times, all.timestamps_ns[first..], "{what}");
                assert!(kept.times.len() <= watch.points_max, "{what}");
                let selection = Selection {
                    values: &all.values[first..],
                    dimension: 1,
                    window: watch.window,
                    normalize: true,
                };
                let zone = watch.window.div_ceil(4);
                let expected = oracle::nearest(&selection, &selection, |i, j| j + zone < i);
                let found = kept.upkeep.profile(&Deadline::none()).unwrap();
                assert_eq!(found.distances.len(), expected.distances.len(), "{what}");
                for (found, expected) in found.distances.iter().zip(&expected.distances) {
                    assert!(
                        found == expected || (found - expected).abs() < 1e-9,
                        "{what}: {found} {expected}"
                    );
                }
                let newest = expected.distances.last().filter(|distance| distance.is_finite());
                let score = newest.map(|distance| normalized(*distance, watch.window));
                assert!((kept.score.unwrap_or(2.0) - score.unwrap_or(2.0)).abs() < 1e-9, "{what}");
                let rows = self.watches.rows(&self.engine.get().unwrap().clone());
                let row = rows.iter().find(|row| watch_of(row.watch.clone()) == watch).unwrap();
                let kept = &self.follower.kept[at];
                assert_eq!(
                    (row.points, row.score, row.behind_ms),
                    (kept.times.len(), kept.score, 0),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn what_is_kept_is_the_batch_profile_whatever_happens() {
        for seed in 0..12 {
            let mut rng = Rng::new(seed);
            let mut scene = Scene::on(SimDisk::new());
            let labels = Labels::new([("k", "v")]).unwrap();
            let (any, some) = (LabelFilter::any(), LabelFilter::new(labels.clone()));
            scene.create("s", 1);
            let points_max = 60 + 40 * (seed as usize % 3);
            scene.watch("s", 8, points_max, &any).unwrap();
            scene.watch("s", 5, 1000, &some).unwrap();
            let mut time = 0;
            for step in 0..60 {
                match rng.below(9) {
                    0..5 => {
                        for _ in 0..=rng.below(12) {
                            time += 1 + rng.below(3) as i64;
                            let of = if rng.below(2) == 0 { labels.clone() } else { Labels::empty() };
                            scene.insert("s", &[(time, rng.unit_f64())], &of);
                        }
                    }
                    5 => {
                        let late = rng.below(time as u64 + 1) as i64;
                        scene.insert("s", &[(late, 3.0 * rng.unit_f64())], &labels);
                    }
                    6 => {
                        let start = rng.below(time as u64 + 1) as i64;
                        scene.delete("s", start, start + rng.below(20) as i64);
                    }
                    7 if rng.below(4) == 0 => {
                        scene.follower.kept.clear();
                        scene.engine().close().unwrap();
                        scene = Scene::on(scene.disk);
                    }
                    _ => drop(scene.engine().flush().unwrap()),
                }
                if rng.below(3) > 0 {
                    scene.look();
                    scene.check(&format!("seed {seed}, step {step}"));
                }
            }
            assert_eq!(scene.follower.kept.len(), 2, "seed {seed}");
        }
    }

    #[test]
    fn each_new_window_unlike_all_before_it_is_one_alert() {
        let mut scene = Scene::on(SimDisk::new());
        scene.create("s", 1);
        scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
        let wave = |at: i64| (at as f64 * 0.7).sin();
        let point = |at: i64| (at * 10, if (300..305).contains(&at) { 5.0 } else { wave(at) });
        let points: Vec<(i64, f64)> = (0..350).map(point).collect();
        scene.look();
        scene.insert("s", &points[..250], &Labels::empty());
        scene.look();
        // What is late, and what is written again, changes no window that was new.
        scene.insert("s", &[(5, 9.0), (1000, 9.0)], &Labels::empty());
        scene.look();
        for part in points[250..].chunks(7) {
            scene.insert("s", part, &Labels::empty());
            scene.look();
        }
        scene.check("alerts");
        let mut found = Vec::new();
        while let Ok(alert) = scene.alerts.try_recv() {
            found.push(Alert::clone(&alert));
        }
        let of_the_step: Vec<&Alert> = found.iter().filter(|alert| alert.end_timestamp_ns >= 2500).collect();
        assert!(!of_the_step.is_empty() && of_the_step.len() <= 14, "{found:?}");
        for alert in &of_the_step {
            assert!((3000..3140).contains(&alert.end_timestamp_ns), "{alert:?}");
            assert!(alert.normalized_score >= 0.4 && alert.timestamp_ns == alert.end_timestamp_ns - 90);
            assert!(alert.neighbor_timestamp_ns < alert.timestamp_ns);
        }
        assert_eq!(scene.watches.rows(&scene.engine())[0].alerts, found.len() as u64);
    }

    #[test]
    fn what_comes_after_the_watch_is_new_however_late_the_thread_looks() {
        let mut scene = Scene::on(SimDisk::new());
        scene.create("s", 1);
        let value = |at: i64| match at {
            300..305 => 5.0,
            500..510 => {
                if at % 2 == 0 {
                    9.0
                } else {
                    -9.0
                }
            }
            _ => (at as f64 * 0.7).sin(),
        };
        let points: Vec<(i64, f64)> = (0..600).map(|at| (at, value(at))).collect();
        scene.insert("s", &points[..200], &Labels::empty());
        let ends = |scene: &mut Scene| {
            scene.look();
            let found = std::iter::from_fn(|| scene.alerts.try_recv().ok());
            found.map(|alert| alert.end_timestamp_ns).collect::<Vec<i64>>()
        };
        scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
        scene.insert("s", &points[200..400], &Labels::empty());
        let found = ends(&mut scene);
        assert!(!found.is_empty() && found.iter().all(|end| (300..314).contains(end)), "{found:?}");
        // Neither is what was there when a server starts, but what comes then is.
        scene.follower.kept.clear();
        scene.engine().close().unwrap();
        let mut scene = Scene::on(scene.disk);
        scene.watches.opened(&scene.engine());
        scene.insert("s", &points[400..], &Labels::empty());
        let found = ends(&mut scene);
        assert!(!found.is_empty() && found.iter().all(|end| (500..519).contains(end)), "{found:?}");
    }

    #[test]
    fn a_stop_and_an_unwatch_end_what_is_under_way() {
        let mut scene = Scene::on(SimDisk::new());
        scene.create("s", 1);
        let points: Vec<(i64, f64)> = (0..300).map(|at| (at, (at as f64 * 0.7).sin())).collect();
        scene.insert("s", &points, &Labels::empty());
        scene.watch("s", 10, 400, &LabelFilter::any()).unwrap();
        scene.watch("s", 20, 400, &LabelFilter::any()).unwrap();
        let engine = scene.engine();
        scene.follower.take_over(engine.watches());
        let round = Deadline::none();
        *scene.watches.round.lock() = round.clone();
        scene.watches.unwatch(&engine, &name("s"), Some(20)).unwrap();
        scene.follower.look_at(&engine, &name("s"), 0..2, &round);
        assert!(scene.follower.kept.iter().all(|kept| !kept.is_whole && kept.seen_ns == Some(299)));
        scene.look();
        scene.check("goes on");
        assert_eq!((scene.follower.kept.len(), scene.follower.kept[0].times.len()), (1, 300));
        scene.follower.kept.clear();
        scene.watches.stop();
        scene.look();
        assert!(scene.follower.kept.is_empty());
    }

    #[test]
    fn what_can_not_be_watched_says_why() {
        let mut scene = Scene::on(SimDisk::new());
        let any = LabelFilter::any();
        scene.create("pair", 2);
        scene.create("s", 1);
        let code = |result: Result<WatchRequest>| result.unwrap_err().code();
        assert_eq!(code(scene.watch("nowhere", 5, 100, &any)), ErrorCode::SeriesNotFound);
        assert_eq!(code(scene.watch("pair", 5, 100, &any)), ErrorCode::DimensionMismatch);
        scene.watches.memory_max = 1_000_000;
        assert_eq!(code(scene.watch("s", 5, 10_000, &any)), ErrorCode::LimitExceeded);
        scene.watch("s", 5, 100, &any).unwrap();
        scene.watch("s", 5, 200, &any).unwrap();
        scene.watch("s", 6, 100, &any).unwrap();
        let engine = scene.engine();
        assert_eq!(scene.watches.rows(&engine).len(), 2, "the first was replaced");
        scene.insert("s", &[(1, 1.0)], &Labels::empty());
        scene.look();
        engine.write(Write::Drop { name: name("s") }).unwrap();
        scene.look();
        let problem = |scene: &Scene| scene.watches.rows(&engine)[0].problem.clone().unwrap_or_default();
        assert!(problem(&scene).starts_with("SERIES_NOT_FOUND"), "{}", problem(&scene));
        scene.create("s", 3);
        scene.look();
        assert!(problem(&scene).starts_with("DIMENSION_MISMATCH"), "{}", problem(&scene));
        engine.write(Write::Drop { name: name("s") }).unwrap();
        scene.create("s", 1);
        scene.insert("s", &[(7, 1.0)], &Labels::empty());
        scene.look();
        scene.check("made again");
        assert_eq!(problem(&scene), "");
        assert_eq!(scene.watches.unwatch(&engine, &name("s"), Some(6)), Ok(1));
        assert_eq!(scene.watches.unwatch(&engine, &name("s"), None), Ok(1));
        assert_eq!(
            scene.watches.unwatch(&engine, &name("s"), None).unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
        scene.look();
        assert!(scene.follower.kept.is_empty());
    }
}
