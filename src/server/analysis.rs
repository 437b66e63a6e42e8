//! Anomalies and motifs: from the points of a selection to the rows of a reply.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::base::{Deadline, Error, ErrorCode, Labels, Result, Rows};
use crate::engine::{Engine, Query};
use crate::mp::{self, Computation, Outcome, Progress, Selection, Sides, Stretches};
use crate::protocol::{Analysis, AnalysisSummary, AnomalyRow, MotifRow, Reply, WindowFlags, WindowRef};

/// Sequences of at most so many points are analysed side by side, by one thread each;
/// longer ones one after the other, by all threads.
const SHORT_POINTS: usize = 2048;

/// Answers `Anomaly`.
///
/// # Errors
/// Those of the contract.
pub(super) fn anomalies(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<Reply> {
    let (summary, mut anomalies) = analyze(engine, analysis, deadline, anomalies_of)?;
    // The order of equals is that of the sequences.
    anomalies.sort_by(|a, b| b.score.total_cmp(&a.score));
    anomalies.truncate(analysis.k);
    Ok(Reply::Anomalies { summary, anomalies })
}

/// Answers `Motif`.
///
/// # Errors
/// Those of the contract.
pub(super) fn motifs(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<Reply> {
    let (summary, mut motifs) = analyze(engine, analysis, deadline, motifs_of)?;
    motifs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    motifs.truncate(analysis.k);
    Ok(Reply::Motifs { summary, motifs })
}

/// What was found in one sequence.
type Part<R> = Result<(AnalysisSummary, Vec<R>)>;

fn analyze<R: Send>(
    engine: &Engine,
    analysis: &Analysis,
    deadline: &Deadline,
    find: impl Fn(&Job<'_>) -> Part<R> + Sync,
) -> Part<R> {
    let started = Instant::now();
    let soft = analysis.timeout_ms.map(|ms| deadline.within(Duration::from_millis(ms)));
    let sequences = select(engine, analysis, deadline)?;
    let window = match analysis.window {
        Some(window) => window,
        None => likely_window(&sequences, analysis, deadline)?,
    };
    let job = |rows| Job { analysis, rows, window, soft: soft.as_ref().unwrap_or(deadline), hard: deadline };
    let (enough, too_few) = split_off_short(&sequences, window);
    let (short, long): (Vec<_>, Vec<_>) =
        enough.into_iter().enumerate().partition(|(_, rows)| rows.len() <= SHORT_POINTS);
    let mut parts: Vec<(usize, Part<R>)> =
        long.into_iter().map(|(at, rows)| (at, find(&job(rows)))).collect();
    parts.par_extend(short.into_par_iter().map(|(at, rows)| (at, find(&job(rows)))));
    parts.sort_unstable_by_key(|(at, _)| *at);
    let (mut summary, found) = merge(parts.into_iter().map(|(_, part)| part), started)?;
    for rows in too_few {
        summary.n += rows.len();
        summary.skipped += (rows.len() + 1).saturating_sub(window) as u64;
    }
    Ok((summary, found))
}

/// The sequences that have two windows which may be neighbours, and the others; where
/// none has, the longest tells what is missing.
fn split_off_short(sequences: &[Rows], window: usize) -> (Vec<&Rows>, Vec<&Rows>) {
    let needed = window.saturating_add(window.div_ceil(4)).saturating_add(1);
    let (mut enough, mut too_few): (Vec<&Rows>, Vec<&Rows>) =
        sequences.iter().partition(|rows| rows.len() >= needed);
    if enough.is_empty() {
        too_few.sort_by_key(|rows| rows.len());
        enough.extend(too_few.pop());
    }
    (enough, too_few)
}

/// The answers of all sequences as one.
fn merge<R>(parts: impl Iterator<Item = Part<R>>, started: Instant) -> Part<R> {
    let mut all = AnalysisSummary { exact: true, ..AnalysisSummary::default() };
    let mut found = Vec::new();
    for part in parts {
        let (of, rows) = part?;
        found.extend(rows);
        all = AnalysisSummary {
            window: of.window,
            exclusion_zone: of.exclusion_zone,
            n: all.n + of.n,
            sequences: all.sequences + 1,
            max_gap_ns: all.max_gap_ns.max(of.max_gap_ns),
            windows: all.windows + of.windows,
            skipped: all.skipped + of.skipped,
            cells: all.cells + of.cells,
            cells_total: all.cells_total + of.cells_total,
            exact: all.exact && of.exact,
            elapsed: started.elapsed(),
            cached: false,
        };
    }
    Ok((all, found))
}

/// All points that are to be analysed, in sequences.
fn select(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<Vec<Rows>> {
    let Analysis { series, range, labels, .. } = analysis;
    let query = Query { series: series.clone(), range: *range, labels: labels.clone(), limit: usize::MAX };
    let rows = engine.query(&query, deadline)?.rows;
    let threads = rayon::current_num_threads() as u64;
    let work = mp::memory_bytes(rows.len() as u64, rows.dimension as u64, threads);
    // While label sets are taken apart they are there twice.
    let apart = !analysis.join_labels && !rows.label_ids.is_empty();
    let held = rows.memory_bytes() as u64 * if apart { 2 } else { 1 };
    let (bytes, bytes_max) = (work + held, engine.query_bytes_max());
    if bytes > bytes_max {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "the analysis of {} points needs about {bytes} bytes, more than the {bytes_max} that one query may take; \
                 narrow start_ns and end_ns or the labels, or raise TSDB_MEMORY_LIMIT",
                rows.len()
            ),
        ));
    }
    Ok(if apart { rows.by_label_set() } else { vec![rows] })
}

fn likely_window(sequences: &[Rows], analysis: &Analysis, deadline: &Deadline) -> Result<usize> {
    let series: Vec<Stretches<'_>> = sequences
        .iter()
        .map(|rows| {
            let times = &rows.timestamps_ns;
            let gap = analysis.max_gap_ns.or_else(|| mp::default_gap(times)).unwrap_or(u64::MAX);
            let stretches = mp::stretches(times, gap);
            Stretches { values: &rows.values, dimension: rows.dimension, stretches }
        })
        .collect();
    mp::likely_window(&series, deadline)
}

/// The gap that no window may cross, and the windows that cross none. Where the default
/// would leave out half of the windows or more, time has no usual step, and no limit.
fn gaps(times: &[i64], window: usize, asked: Option<u64>) -> (Option<u64>, Vec<bool>) {
    let whole = |gap| mp::windows_without_gaps(times, window, gap);
    if asked.is_some() {
        return (asked, asked.map(whole).unwrap_or_default());
    }
    if let Some(gap) = mp::default_gap(times) {
        let whole = whole(gap);
        if 2 * whole.iter().filter(|whole| **whole).count() > whole.len() {
            return (Some(gap), whole);
        }
    }
    (None, whole(u64::MAX))
}

/// One sequence of points, and what is to be done with it.
struct Job<'a> {
    analysis: &'a Analysis,
    rows: &'a Rows,
    window: usize,
    /// When the best so far is the answer.
    soft: &'a Deadline,
    /// When there is none.
    hard: &'a Deadline,
}

/// A computation that is over, and what its rows need.
struct Computed {
    computation: Computation,
    outcome: Outcome,
    summary: AnalysisSummary,
}

fn anomalies_of(job: &Job<'_>) -> Part<AnomalyRow> {
    let sides = if job.analysis.left { Sides::Left } else { Sides::Both };
    let computed = job.compute(|computation| computation.sides(sides))?;
    let rows = mp::discords_of(&computed.outcome.profile, job.window, job.analysis.k)
        .into_iter()
        .map(|discord| {
            let at = job.window_ref(discord.index);
            AnomalyRow {
                timestamp_ns: at.timestamp_ns,
                end_timestamp_ns: at.end_timestamp_ns,
                index: discord.index,
                score: discord.score,
                normalized_score: job.normalized(discord.score),
                flags: job.flags(discord.index, computed.computation.is_flat(discord.index), &computed),
                neighbor_timestamp_ns: job.rows.timestamps_ns[discord.neighbor],
                neighbor_index: discord.neighbor,
                labels: job.labels(),
            }
        })
        .collect();
    Ok((computed.summary, rows))
}

fn motifs_of(job: &Job<'_>) -> Part<MotifRow> {
    let flat = job.analysis.flat;
    let computed = job.compute(|computation| if flat { computation } else { computation.without_flat() })?;
    let Computed { computation, outcome, .. } = &computed;
    let (found, in_time) = mp::motifs_of(computation, &outcome.profile, job.analysis.k, job.soft);
    if !in_time {
        job.hard.check()?;
    }
    let rows = found
        .into_iter()
        .map(|motif| MotifRow {
            distance: motif.distance,
            normalized_score: job.normalized(motif.distance),
            flags: job.flags(motif.a, computation.is_flat(motif.a), &computed).or(job.flags(
                motif.b,
                computation.is_flat_of_other(motif.b),
                &computed,
            )),
            labels: job.labels(),
            a: job.window_ref(motif.a),
            b: job.window_ref(motif.b),
        })
        .collect();
    let exact = computed.summary.exact && in_time;
    Ok((AnalysisSummary { exact, ..computed.summary }, rows))
}

impl Job<'_> {
    fn compute(&self, set_up: impl FnOnce(Computation) -> Computation) -> Result<Computed> {
        let Self { rows, window, .. } = *self;
        let selection = Selection {
            values: &rows.values,
            dimension: rows.dimension,
            window,
            normalize: self.analysis.normalize,
        };
        let mut computation = Computation::self_join(&selection)?;
        let (max_gap_ns, whole) = gaps(&rows.timestamps_ns, window, self.analysis.max_gap_ns);
        if whole.contains(&false) {
            computation = computation.only(&whole);
        }
        let computation = set_up(computation);
        let outcome = computation.run(self.soft, &Progress::default());
        if !outcome.is_complete() {
            self.hard.check()?;
        }
        let windows = (0..computation.windows()).filter(|&at| computation.is_usable(at)).count();
        let summary = AnalysisSummary {
            window,
            n: rows.len(),
            exclusion_zone: selection.exclusion(),
            max_gap_ns,
            windows: windows as u64,
            skipped: (computation.windows() - windows) as u64,
            cells: outcome.cells,
            cells_total: outcome.cells_total,
            exact: outcome.is_complete(),
            ..AnalysisSummary::default()
        };
        Ok(Computed { computation, outcome, summary })
    }

    fn window_ref(&self, index: usize) -> WindowRef {
        WindowRef {
            timestamp_ns: self.rows.timestamps_ns[index],
            end_timestamp_ns: self.rows.timestamps_ns[index + self.window - 1],
            index,
        }
    }

    fn labels(&self) -> Option<Labels> {
        let joined = !self.rows.label_ids.is_empty();
        self.rows.labels_of(0).filter(|_| !joined).cloned()
    }

    /// 2√m is how far two z-normalised windows can be from each other.
    fn normalized(&self, distance: f64) -> Option<f64> {
        self.analysis.normalize.then(|| (distance / (2.0 * (self.window as f64).sqrt())).min(1.0))
    }

    fn flags(&self, index: usize, constant: bool, computed: &Computed) -> WindowFlags {
        let times = &self.rows.timestamps_ns;
        let around = index.saturating_sub(self.window)..(index + 2 * self.window).min(times.len());
        let is_gap = |gap: u64| times[around].windows(2).any(|pair| pair[1].abs_diff(pair[0]) > gap);
        WindowFlags { constant, near_gap: computed.summary.max_gap_ns.is_some_and(is_gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_gap_needs_a_usual_step() {
        let times: Vec<i64> = (0..20).map(|at| at * 10 + i64::from(at >= 10) * 500).collect();
        let (gap, whole) = gaps(&times, 4, None);
        assert_eq!(gap, Some(100));
        assert_eq!(whole.iter().filter(|whole| !**whole).count(), 3, "windows that begin at 7, 8 and 9");
        // Bursts that are shorter than a window.
        let bursts: Vec<i64> = (0..20).map(|at| at / 3 * 1_000_000 + at % 3).collect();
        assert_eq!(gaps(&bursts, 4, None), (None, vec![true; 17]));
        let (gap, whole) = gaps(&bursts, 4, Some(10));
        assert!(gap == Some(10) && whole == [false; 17], "but what is asked for is done");
        assert_eq!(gaps(&[5; 6], 4, None), (None, vec![true; 3]));
        assert_eq!(gaps(&[], 4, None), (None, vec![]));
    }
}
