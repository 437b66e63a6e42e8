//! Anomalies and motifs: from the points of a selection to the rows of a reply.

use std::cmp::Ordering;
use std::ops::Range;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Labels, Result, Rows, SeriesName};
use crate::engine::{Engine, Query};
use crate::mp::{self, Computation, Outcome, Progress, Selection, Sides, Stretches, Tried};
use crate::protocol::{Analysis, AnalysisSummary, AnomalyRow, MotifRow, Reply, WindowFlags, WindowRef};

/// Sequences of at most so many points are analysed side by side, by one thread each;
/// longer ones one after the other, by all threads.
const SHORT_POINTS: usize = 2000;

/// Pairs of windows, over all lengths, that the choice of a length looks at: a second or
/// two of one core.
const CHOICE_CELLS: f64 = 6e9;
/// Where that is a smaller part of all pairs, it would say little.
const CHOICE_SHARE_MIN: f64 = 0.02;

/// Answers `Anomaly`.
///
/// # Errors
/// Those of the contract.
pub(super) fn anomalies(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<Reply> {
    let search = Search::new(engine, analysis, deadline)?;
    let effort = search.whole_effort();
    if let Some(lengths) = analysis.lengths {
        let (summary, anomalies) = search.run_lengths(lengths, &effort)?;
        return Ok(Reply::Anomalies { summary, anomalies });
    }
    let window = analysis.window.map_or_else(|| search.outstanding_window(&effort), Ok)?;
    let (summary, mut anomalies) = search.run(window, &effort, |job| anomalies_of(job, analysis.k))?;
    worst_first(&mut anomalies);
    anomalies.truncate(analysis.k);
    Ok(Reply::Anomalies { summary, anomalies })
}

/// The order of equals is that of the sequences.
fn worst_first(anomalies: &mut [AnomalyRow]) {
    anomalies.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// Answers `Motif`.
///
/// # Errors
/// Those of the contract.
pub(super) fn motifs(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<Reply> {
    let search = Search::new(engine, analysis, deadline)?;
    let window = analysis.window.map_or_else(|| search.likely_window(), Ok)?;
    let (summary, mut motifs) = search.run(window, &search.whole_effort(), motifs_of)?;
    motifs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    motifs.truncate(analysis.k);
    Ok(Reply::Motifs { summary, motifs })
}

/// What was found in one sequence.
type Part<R> = Result<(AnalysisSummary, Vec<R>)>;

/// The points of an analysis, to be searched with windows of any length.
struct Search<'a> {
    analysis: &'a Analysis,
    sequences: Vec<Rows>,
    beside: Option<Vec<Rows>>,
    started: Instant,
    /// When there is no answer any more.
    hard: &'a Deadline,
}

/// How much of a search is done.
struct Effort {
    /// When the best so far is the answer.
    soft: Deadline,
    /// The part of all pairs that is looked at.
    share: f64,
}

impl<'a> Search<'a> {
    fn new(engine: &Engine, analysis: &'a Analysis, hard: &'a Deadline) -> Result<Self> {
        let started = Instant::now();
        let (rows, beside) = select(engine, analysis, hard)?;
        let beside = beside.map(|rows| sequences(rows, analysis));
        Ok(Self { analysis, sequences: sequences(rows, analysis), beside, started, hard })
    }

    fn whole_effort(&self) -> Effort {
        let soft = self.analysis.timeout_ms.map(|ms| {
            let left = Duration::from_millis(ms).saturating_sub(self.started.elapsed());
            self.hard.within(left)
        });
        Effort { soft: soft.unwrap_or_else(|| self.hard.clone()), share: 1.0 }
    }

    /// The length at which the points are most like themselves.
    fn likely_window(&self) -> Result<usize> {
        likely_window(&self.sequences, self.analysis, self.hard)
    }

    /// The length at which the first anomaly stands out most, as far as there is time to try
    /// some; else the one above.
    fn outstanding_window(&self, effort: &Effort) -> Result<usize> {
        let period = self.likely_window()?;
        let points = self.sequences.iter().map(Rows::len).max().unwrap_or(0);
        let lengths = mp::lengths(period, mp::likely_window_max(points));
        let share = CHOICE_CELLS / (self.cells_about() * lengths.len() as f64);
        if share < CHOICE_SHARE_MIN {
            return Ok(period);
        }
        // The rest of the time is for the answer itself.
        let half = self.analysis.timeout_ms.map(|ms| effort.soft.within(Duration::from_millis(ms / 2)));
        let effort = Effort { soft: half.unwrap_or_else(|| effort.soft.clone()), share };
        let mut tried = Vec::new();
        for length in lengths {
            let found = self.run(length, &effort, |job| anomalies_of(job, mp::DISCORDS));
            self.hard.check()?;
            if effort.soft.is_over() {
                break;
            }
            let mut anomalies = match found {
                Ok((_, anomalies)) => anomalies,
                Err(e) if e.code() == ErrorCode::NotEnoughData => continue,
                Err(e) => return Err(e),
            };
            worst_first(&mut anomalies);
            let scores: Vec<f64> = anomalies.iter().map(|anomaly| anomaly.score).collect();
            if let Some(AnomalyRow { index, labels, .. }) = anomalies.into_iter().next() {
                tried.push(Tried { length, sequence: labels, index, standout: mp::standout(&scores) });
            }
        }
        Ok(mp::most_outstanding(&tried).unwrap_or(period))
    }

    /// Of windows of each length the k discords, and of all of these the k greatest scores by
    /// 2√m that share no point; of equals the shorter.
    fn run_lengths(&self, (least, greatest): (usize, usize), effort: &Effort) -> Part<AnomalyRow> {
        let mut all: Option<AnalysisSummary> = None;
        let mut candidates: Vec<(usize, AnomalyRow)> = Vec::new();
        for length in least..=greatest {
            let found = self.run(length, effort, |job| anomalies_of(job, self.analysis.k));
            let (summary, rows) = match found {
                // Longer ones have no answer either.
                Err(e) if e.code() == ErrorCode::NotEnoughData && all.is_some() => break,
                found => found?,
            };
            candidates.extend(rows.into_iter().map(|row| (length, row)));
            let over = effort.soft.is_over() && length < greatest;
            let before = all.unwrap_or(AnalysisSummary { exact: true, ..AnalysisSummary::default() });
            all = Some(AnalysisSummary {
                lengths: Some((least, greatest)),
                windows: before.windows + summary.windows,
                skipped: before.skipped + summary.skipped,
                cells: before.cells + summary.cells,
                cells_total: before.cells_total + summary.cells_total,
                exact: before.exact && summary.exact && !over,
                ..summary
            });
            if over {
                break;
            }
        }
        candidates.sort_by(|(_, a), (_, b)| {
            b.normalized_score.partial_cmp(&a.normalized_score).unwrap_or(Ordering::Equal)
        });
        let mut taken: Vec<(usize, AnomalyRow)> = Vec::new();
        for (length, row) in candidates {
            let shares = |(other_length, other): &(usize, AnomalyRow)| {
                other.labels == row.labels
                    && row.index < other.index + other_length
                    && other.index < row.index + length
            };
            if taken.len() < self.analysis.k && !taken.iter().any(shares) {
                taken.push((length, AnomalyRow { window: Some(length), ..row }));
            }
        }
        Ok((all.unwrap_or_default(), taken.into_iter().map(|(_, row)| row).collect()))
    }

    /// About so many pairs of values one search compares.
    fn cells_about(&self) -> f64 {
        let points = |rows: &Rows| rows.len() as f64;
        let dimension = self.sequences.first().map_or(1, |rows| rows.dimension);
        let beside = self.beside.as_ref().map(|beside| beside.iter().map(points).sum::<f64>());
        let of = |rows: &Rows| points(rows) * beside.unwrap_or(points(rows) / 2.0);
        (dimension as f64 * self.sequences.iter().map(of).sum::<f64>()).max(1.0)
    }

    /// What `find` finds in all sequences with windows of so many points.
    fn run<R: Send>(
        &self,
        window: usize,
        effort: &Effort,
        find: impl Fn(&Job<'_>) -> Part<R> + Sync,
    ) -> Part<R> {
        let beside = self.beside.as_ref().map(|beside| Beside::new(beside, window, self.analysis));
        let beside = beside.as_ref();
        let job = |rows| Job { analysis: self.analysis, rows, beside, window, effort, hard: self.hard };
        let exclusion = if beside.is_some() { None } else { Some(window.div_ceil(4)) };
        let (enough, too_few) = split_off_short(&self.sequences, window, exclusion);
        // Each that is analysed beside others prepares these anew: one at a time has memory.
        let (short, long): (Vec<_>, Vec<_>) = enough
            .into_iter()
            .enumerate()
            .partition(|(_, rows)| beside.is_none() && rows.len() <= SHORT_POINTS);
        let mut parts: Vec<(usize, Part<R>)> =
            long.into_iter().map(|(at, rows)| (at, find(&job(rows)))).collect();
        parts.par_extend(short.into_par_iter().map(|(at, rows)| (at, find(&job(rows)))));
        parts.sort_unstable_by_key(|(at, _)| *at);
        let parts = parts.into_iter().map(|(_, part)| part);
        let (mut summary, found) =
            merge(parts, self.started).map_err(|e| match (e.code(), self.sequences.len()) {
                (ErrorCode::NotEnoughData, 2..) => {
                    e.context(format!("the longest of {} label sets", self.sequences.len()))
                }
                _ => e,
            })?;
        for rows in too_few {
            summary.n += rows.len();
            summary.skipped += (rows.len() + 1).saturating_sub(window) as u64;
        }
        Ok((summary, found))
    }
}

/// The sequences that have two windows which may be neighbours (one, where there is no
/// exclusion zone), and the others; where none has, the longest tells what is missing.
fn split_off_short(sequences: &[Rows], window: usize, exclusion: Option<usize>) -> (Vec<&Rows>, Vec<&Rows>) {
    let needed = exclusion.map_or(window, |zone| window.saturating_add(zone).saturating_add(1));
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
            lengths: None,
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

/// All points that are to be analysed, and those beside them.
fn select(engine: &Engine, analysis: &Analysis, deadline: &Deadline) -> Result<(Rows, Option<Rows>)> {
    let read = |series: &SeriesName, range, labels: &LabelFilter| -> Result<Rows> {
        let query = Query { series: series.clone(), range, labels: labels.clone(), limit: usize::MAX };
        Ok(engine.query(&query, deadline)?.rows)
    };
    let rows = read(&analysis.series, analysis.range, &analysis.labels)?;
    let beside =
        analysis.with.as_ref().map(|with| read(&with.series, with.range, &with.labels)).transpose()?;
    if let Some(beside) = &beside
        && beside.dimension != rows.dimension
    {
        return Err(Error::new(
            ErrorCode::DimensionMismatch,
            format!(
                "points of '{}' have {} values, those of with {}; analyse a series beside one of its dimension",
                analysis.series, rows.dimension, beside.dimension
            ),
        ));
    }
    let threads = rayon::current_num_threads() as u64;
    let points = rows.len() + beside.as_ref().map_or(0, Rows::len);
    let work = mp::memory_bytes(points as u64, rows.dimension as u64, threads);
    // While label sets are taken apart, or laid one behind the other, they are there twice.
    let copies = if is_apart(&rows, analysis) { 2 } else { 1 };
    let held = copies * rows.memory_bytes() + 2 * beside.as_ref().map_or(0, Rows::memory_bytes);
    let (bytes, bytes_max) = (work + held as u64, engine.query_bytes_max());
    if bytes > bytes_max {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "the analysis of {points} points needs about {bytes} bytes, more than the {bytes_max} that one query may \
                 take; narrow start_ns and end_ns or the labels, or raise TSDB_MEMORY_LIMIT"
            ),
        ));
    }
    Ok((rows, beside))
}

/// Whether the label sets of a selection are sequences of their own.
fn is_apart(rows: &Rows, analysis: &Analysis) -> bool {
    !analysis.join_labels && !rows.label_ids.is_empty()
}

fn sequences(rows: Rows, analysis: &Analysis) -> Vec<Rows> {
    if is_apart(&rows, analysis) { rows.by_label_set() } else { vec![rows] }
}

/// The points in which neighbours are sought where these are others: its sequences one
/// behind the other, and no window in two of them.
struct Beside {
    rows: Rows,
    /// Windows that lie in one sequence and cross no gap.
    whole: Vec<bool>,
    sequences: Vec<BesideSequence>,
}

struct BesideSequence {
    points: Range<usize>,
    labels: Option<Labels>,
    max_gap_ns: Option<u64>,
}

impl Beside {
    fn new(sequences: &[Rows], window: usize, analysis: &Analysis) -> Self {
        let mut all = Rows::new(sequences.first().map_or(1, |rows| rows.dimension));
        let mut sequences_of = Vec::new();
        let mut whole = Vec::new();
        for rows in sequences {
            let (max_gap_ns, whole_here) = gaps(&rows.timestamps_ns, window, analysis.max_gap_ns);
            let points = all.len()..all.len() + rows.len();
            whole.extend(whole_here);
            // Windows that begin here and end in the next sequence; the last are none.
            whole.resize(points.end, false);
            sequences_of.push(BesideSequence { points, labels: labels_of(rows), max_gap_ns });
            all.timestamps_ns.extend(&rows.timestamps_ns);
            all.values.extend(&rows.values);
        }
        whole.truncate((all.len() + 1).saturating_sub(window));
        Self { rows: all, whole, sequences: sequences_of }
    }

    fn sequence(&self, index: usize) -> Option<&BesideSequence> {
        self.sequences.iter().find(|sequence| sequence.points.contains(&index))
    }
}

/// The labels of a sequence whose points have the same.
fn labels_of(rows: &Rows) -> Option<Labels> {
    let joined = !rows.label_ids.is_empty();
    rows.labels_of(0).filter(|_| !joined).cloned()
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
    beside: Option<&'a Beside>,
    window: usize,
    effort: &'a Effort,
    /// When there is no answer any more.
    hard: &'a Deadline,
}

/// A computation that is over, and what its rows need.
struct Computed {
    computation: Computation,
    outcome: Outcome,
    summary: AnalysisSummary,
}

fn anomalies_of(job: &Job<'_>, k: usize) -> Part<AnomalyRow> {
    let sides = if job.analysis.left { Sides::Left } else { Sides::Both };
    let Computed { computation, outcome, summary } = job.compute(|computation| computation.sides(sides))?;
    let gap = summary.max_gap_ns;
    let rows = mp::discords_of(&outcome.profile, job.window, k)
        .into_iter()
        .map(|discord| {
            let at = job.window_ref(discord.index);
            let (neighbor, neighbor_labels, _) = job.neighbor(discord.neighbor, gap);
            AnomalyRow {
                window: None,
                timestamp_ns: at.timestamp_ns,
                end_timestamp_ns: at.end_timestamp_ns,
                index: discord.index,
                score: discord.score,
                normalized_score: job.normalized(discord.score),
                flags: WindowFlags {
                    constant: computation.is_flat(discord.index),
                    near_gap: job.is_near_gap(&job.rows.timestamps_ns, discord.index, gap),
                },
                neighbor_timestamp_ns: neighbor.timestamp_ns,
                neighbor_index: neighbor.index,
                labels: labels_of(job.rows),
                neighbor_labels,
            }
        })
        .collect();
    Ok((summary, rows))
}

fn motifs_of(job: &Job<'_>) -> Part<MotifRow> {
    let flat = job.analysis.flat;
    let Computed { computation, outcome, summary } =
        job.compute(|computation| if flat { computation } else { computation.without_flat() })?;
    let (found, in_time) = mp::motifs_of(&computation, &outcome.profile, job.analysis.k, &job.effort.soft);
    if !in_time {
        job.hard.check()?;
    }
    let gap = summary.max_gap_ns;
    let rows = found
        .into_iter()
        .map(|motif| {
            let (b, neighbor_labels, near_gap) = job.neighbor(motif.b, gap);
            MotifRow {
                distance: motif.distance,
                normalized_score: job.normalized(motif.distance),
                flags: WindowFlags {
                    constant: computation.is_flat(motif.a) || computation.is_flat_of_other(motif.b),
                    near_gap: near_gap || job.is_near_gap(&job.rows.timestamps_ns, motif.a, gap),
                },
                labels: labels_of(job.rows),
                neighbor_labels,
                a: job.window_ref(motif.a),
                b,
            }
        })
        .collect();
    Ok((AnalysisSummary { exact: summary.exact && in_time, ..summary }, rows))
}

impl<'a> Job<'a> {
    fn compute(&self, set_up: impl FnOnce(Computation) -> Computation) -> Result<Computed> {
        let Self { rows, window, .. } = *self;
        let normalize = self.analysis.normalize;
        let selection =
            |rows: &'a Rows| Selection { values: &rows.values, dimension: rows.dimension, window, normalize };
        let own = selection(rows);
        let mut computation = match self.beside {
            None => Computation::self_join(&own)?,
            Some(beside) => Computation::join(&own, &selection(&beside.rows))?.only_of_other(&beside.whole),
        };
        let (max_gap_ns, whole) = gaps(&rows.timestamps_ns, window, self.analysis.max_gap_ns);
        if whole.contains(&false) {
            computation = computation.only(&whole);
        }
        let computation = set_up(computation).sample(self.effort.share);
        let outcome = computation.run(&self.effort.soft, &Progress::default());
        if !outcome.is_complete() {
            self.hard.check()?;
        }
        let windows = (0..computation.windows()).filter(|&at| computation.is_usable(at)).count();
        let summary = AnalysisSummary {
            window,
            n: rows.len(),
            exclusion_zone: if self.beside.is_some() { 0 } else { own.exclusion() },
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
        window_ref(&self.rows.timestamps_ns, index, self.window)
    }

    /// A window where neighbours are sought, its labels where these are other points, and
    /// whether a gap is near.
    fn neighbor(&self, index: usize, own_gap: Option<u64>) -> (WindowRef, Option<Labels>, bool) {
        match self.beside.and_then(|beside| Some((beside, beside.sequence(index)?))) {
            None => {
                (self.window_ref(index), None, self.is_near_gap(&self.rows.timestamps_ns, index, own_gap))
            }
            Some((beside, sequence)) => {
                let times = &beside.rows.timestamps_ns[sequence.points.clone()];
                let index = index - sequence.points.start;
                let near_gap = self.is_near_gap(times, index, sequence.max_gap_ns);
                (window_ref(times, index, self.window), sequence.labels.clone(), near_gap)
            }
        }
    }

    /// 2√m is how far two z-normalised windows can be from each other.
    fn normalized(&self, distance: f64) -> Option<f64> {
        self.analysis.normalize.then(|| (distance / (2.0 * (self.window as f64).sqrt())).min(1.0))
    }

    fn is_near_gap(&self, times: &[i64], index: usize, max_gap_ns: Option<u64>) -> bool {
        let around = index.saturating_sub(self.window)..(index + 2 * self.window).min(times.len());
        let is_gap = |gap: u64| times[around].windows(2).any(|pair| pair[1].abs_diff(pair[0]) > gap);
        max_gap_ns.is_some_and(is_gap)
    }
}

fn window_ref(times: &[i64], index: usize, window: usize) -> WindowRef {
    WindowRef { timestamp_ns: times[index], end_timestamp_ns: times[index + window - 1], index }
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
