//! The thread that takes what has changed into the kept profiles.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::base::{Background, Deadline, Error, ErrorCode, Result, SeriesName, TimeRange, caught};
use crate::engine::{Engine, Page, Query, Scan, Watch};
use crate::mp::{Nearest, Upkeep};
use crate::protocol::Alert;

use super::{Shared, Status, is_same};

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Points that are read in one go.
const PAGE_ROWS: usize = 16 << 10;
/// Points between two looks whether to stop.
const TOGETHER: usize = 64;
/// Where fewer windows fit into the history, it says little of what is usual.
const HISTORY_WINDOWS: usize = 4;
/// Of so many points, a change of more than one is looked at by the tiles instead of one by
/// one.
const REBUILD_PART: usize = 64;

/// The thread.
pub(super) struct Follower {
    engine: Arc<OnceLock<Engine>>,
    workers: Arc<rayon::ThreadPool>,
    shared: Arc<Shared>,
    pub(super) kept: Vec<Kept>,
}

/// A profile, and the times of its points.
pub(super) struct Kept {
    pub watch: Watch,
    pub upkeep: Upkeep,
    pub times: Vec<i64>,
    /// Points before this time are none of it; they left, or were never looked at.
    pub begins_ns: i64,
    /// The latest point that was ever seen: later ones are new.
    pub seen_ns: Option<i64>,
    pub score: Option<f64>,
    /// Whether all points of the series were looked at.
    pub is_whole: bool,
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
    pub fn new(engine: Arc<OnceLock<Engine>>, workers: Arc<rayon::ThreadPool>, shared: Arc<Shared>) -> Self {
        Self { engine, workers, shared, kept: Vec::new() }
    }

    /// Looks again and again, until it is stopped.
    pub fn run(mut self) {
        Background::Soon.stand_back();
        while !self.shared.stop.is_over() {
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
            let mut nothing = self.shared.nothing.lock();
            self.shared.wake.wait_for(&mut nothing, LOOK_EVERY);
        }
    }

    /// One look at everything.
    pub fn look(&mut self, engine: &Engine) {
        let round = Deadline::none();
        *self.shared.round.lock() = round.clone();
        // Whoever has stopped before did not see this round.
        if self.shared.stop.is_over() {
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
    pub fn take_over(&mut self, mut watches: Vec<Watch>) {
        watches.sort_by(|a, b| a.series.cmp(&b.series));
        if self.kept.iter().map(|kept| &kept.watch).eq(&watches) {
            return;
        }
        let mut before = std::mem::take(&mut self.kept);
        let mut known = self.shared.known.lock();
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
        let mut status = self.shared.status.lock();
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
        let mut status = self.shared.status.lock();
        if let Some((_, status)) = status.iter_mut().find(|(other, _)| other == watch) {
            change(status);
        }
    }

    pub fn look_at(&mut self, engine: &Engine, series: &SeriesName, which: Range<usize>, round: &Deadline) {
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
                        let _ = self.shared.alerts.send(Arc::new(alert));
                    }
                }
                Err(e) => self.give_up(index..index + 1, &e),
            }
        }
    }

    /// Says why some watches do not go on; they begin anew when they can.
    fn give_up(&mut self, which: Range<usize>, error: &Error) {
        if self.shared.stop.is_over() {
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
            // Of a series that was dropped, whatever comes is new.
            let is_another = matches!(error.code(), ErrorCode::SeriesNotFound | ErrorCode::DimensionMismatch);
            let seen_ns = if is_another { Some(i64::MIN) } else { seen_ns };
            self.kept[at] = Kept { seen_ns, ..Kept::new(watch) };
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
pub(super) fn normalized(distance: f64, window: usize) -> f64 {
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
    for (times, values) in times.chunks(TOGETHER).zip(values.chunks(TOGETHER)) {
        if stop.is_over() {
            // Half of it is worse than none.
            kept.is_whole = false;
            stop.check()?;
        }
        let before = kept.times.len();
        let found = kept.upkeep.extend(values);
        kept.times.extend_from_slice(times);
        let newest = found.last().copied().flatten();
        kept.score = newest.map(|nearest| normalized(nearest.distance, kept.watch.window));
        for (at, nearest) in found.iter().enumerate() {
            let Kept { watch, upkeep, seen_ns, times, .. } = &mut *kept;
            let times = &times[..=before + at];
            let kept_times = &times[times.len().saturating_sub(upkeep.points_max())..];
            let is_new = seen_ns.is_none_or(|seen_ns| times[before + at] > seen_ns);
            if is_new {
                *seen_ns = Some(times[before + at]);
                alerts.extend(nearest.and_then(|nearest| alert(watch, kept_times, nearest)));
            }
        }
        let left = kept.times.len() - kept.upkeep.points();
        if left > 0 {
            kept.begins_ns = kept.times[left];
            kept.times.drain(..left);
        }
    }
    Ok(())
}

/// The alert of the newest window of the points that are kept, if it is one.
fn alert(watch: &Watch, times: &[i64], nearest: Nearest) -> Option<Alert> {
    let Watch { series, labels, window, threshold, .. } = watch;
    if times.len() < HISTORY_WINDOWS * window {
        return None;
    }
    let normalized_score = normalized(nearest.distance, *window);
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
