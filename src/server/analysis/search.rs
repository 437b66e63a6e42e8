//! The points of an analysis, label set by label set, and what is found in all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Result, Rows, SeriesName};
use crate::engine::{Engine, Query};
use crate::mp::{self, Progress, Snippets, Stretches};
use crate::protocol::{Analysis, AnalysisKind, AnalysisSummary, Findings, MotifOptions, Resample};

use super::beside::Beside;
use super::job::Job;
use super::resample::resampled;

/// Sequences of at most so many points are analysed side by side, by one thread each;
/// longer ones one after the other, by all threads.
const SHORT_POINTS: usize = 2000;

/// What was found in one sequence.
pub(super) type Part<R> = Result<(AnalysisSummary, Vec<R>)>;

/// What is answered.
pub(super) type Found = Result<(AnalysisSummary, Findings)>;

/// The points of an analysis, to be searched with windows of any length.
pub(super) struct Search<'a> {
    pub analysis: &'a Analysis,
    pub sequences: Vec<Rows>,
    pub beside: Option<Vec<Rows>>,
    started: Instant,
    /// When there is no answer any more.
    pub hard: &'a Deadline,
    /// The gap that no window may cross, where it was asked for or follows from what was.
    pub gap_ns: Option<u64>,
    /// The longest stretch between two points that new ones were made of.
    bridged_ns: Option<u64>,
    bytes_max: u64,
    pub progress: &'a Arc<Progress>,
}

/// How much of a search is done.
pub(super) struct Effort {
    /// When the best so far is the answer.
    pub soft: Deadline,
    /// The part of all pairs that is looked at.
    pub share: f64,
}

impl<'a> Search<'a> {
    /// Reads the points.
    ///
    /// # Errors
    /// Those of a query; `DIMENSION_MISMATCH`; `LIMIT_EXCEEDED`.
    pub fn new(
        engine: &Engine,
        analysis: &'a Analysis,
        hard: &'a Deadline,
        progress: &'a Arc<Progress>,
    ) -> Result<Self> {
        let started = Instant::now();
        let (rows, beside) = select(engine, analysis, hard)?;
        let mut search = Self {
            analysis,
            sequences: sequences(rows, analysis),
            beside: beside.map(|rows| sequences(rows, analysis)),
            started,
            hard,
            gap_ns: analysis.max_gap_ns,
            bridged_ns: None,
            bytes_max: engine.query_bytes_max(),
            progress,
        };
        if let Some(resample) = analysis.resample {
            search.resample(resample)?;
        }
        Ok(search)
    }

    /// Puts points at regular times in the place of those there are.
    fn resample(&mut self, resample: Resample) -> Result<()> {
        let mut bytes_left = self.bytes_max;
        for rows in self.sequences.iter_mut().chain(self.beside.iter_mut().flatten()) {
            let (regular, bridged_ns) = resampled(rows, resample, self.analysis.max_gap_ns, bytes_left)?;
            bytes_left -= (regular.memory_bytes() as u64).min(bytes_left);
            *rows = regular;
            self.bridged_ns = self.bridged_ns.max(Some(bridged_ns));
        }
        // Where a point could not be made there is a gap.
        self.gap_ns = Some(resample.step_ns);
        self.check_bytes(self.analysis.window)
    }

    /// Whether there is memory for windows of so many points.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub fn check_bytes(&self, window: Option<usize>) -> Result<()> {
        let all = || self.sequences.iter().chain(self.beside.iter().flatten());
        let (points, held) = all()
            .fold((0, 0), |(points, held), rows| (points + rows.len(), held + rows.memory_bytes() as u64));
        let threads = rayon::current_num_threads() as u64;
        let dimension = self.sequences.first().map_or(1, |rows| rows.dimension) as u64;
        let analysis = Analysis { window, ..self.analysis.clone() };
        let work = work_bytes(&analysis, points as u64, dimension, threads);
        check_bytes(points, work.saturating_add(2 * held), self.bytes_max)
    }

    /// Says beforehand that windows of so many points will be compared with one another, so
    /// many times over.
    pub fn expect(&self, window: usize, times: f64) {
        self.progress.expect((times * self.cells(window)) as u64);
    }

    /// The pairs of windows of so many points, but for those that gaps leave out.
    pub fn cells(&self, window: usize) -> f64 {
        self.sequences.iter().map(|rows| self.cells_of(rows, window)).sum()
    }

    /// The same of one sequence.
    fn cells_of(&self, rows: &Rows, window: usize) -> f64 {
        let own = windows(rows, window) as f64;
        let apart = (own - window.div_ceil(4) as f64).max(0.0);
        match &self.beside {
            None => apart * (apart - 1.0).max(0.0) / 2.0,
            Some(beside) => own * beside.iter().map(|rows| windows(rows, window) as f64).sum::<f64>(),
        }
    }

    /// All pairs, as far as the time allows.
    pub fn whole_effort(&self) -> Effort {
        let soft = self.analysis.timeout_ms.map(|ms| {
            let left = Duration::from_millis(ms).saturating_sub(self.started.elapsed());
            self.hard.within(left)
        });
        Effort { soft: soft.unwrap_or_else(|| self.hard.clone()), share: 1.0 }
    }

    /// The length at which the points are most like themselves.
    pub fn likely_window(&self) -> Result<usize> {
        likely_window(&self.sequences, self.gap_ns, self.hard)
    }

    /// About so many pairs of values one search compares.
    pub fn cells_about(&self) -> f64 {
        let points = |rows: &Rows| rows.len() as f64;
        let dimension = self.sequences.first().map_or(1, |rows| rows.dimension);
        let beside = self.beside.as_ref().map(|beside| beside.iter().map(points).sum::<f64>());
        let of = |rows: &Rows| points(rows) * beside.unwrap_or(points(rows) / 2.0);
        (dimension as f64 * self.sequences.iter().map(of).sum::<f64>()).max(1.0)
    }

    /// What `find` finds in all sequences with windows of so many points.
    pub fn run<R: Send>(
        &self,
        window: usize,
        effort: &Effort,
        find: impl Fn(&Job<'_>) -> Part<R> + Sync,
    ) -> Part<R> {
        let beside = self.beside.as_ref().map(|beside| Beside::new(beside, window, self.gap_ns));
        let beside = beside.as_ref();
        let exclusion = if beside.is_some() { None } else { Some(window.div_ceil(4)) };
        let (enough, too_few) = split_off_short(&self.sequences, window, exclusion);
        // Each that is analysed beside others prepares these anew: one at a time has memory.
        let (short, long): (Vec<_>, Vec<_>) = enough
            .into_iter()
            .enumerate()
            .partition(|(_, rows)| beside.is_none() && rows.len() <= SHORT_POINTS);
        // The first in any case: it tells what is wrong with all.
        let part = |(at, rows): (usize, &Rows)| {
            let is_begun = at == 0 || !effort.soft.is_over();
            let found = if is_begun {
                find(&self.job(rows, beside, window, effort))
            } else {
                Ok((self.not_begun(window, &[rows], self.cells_of(rows, window)), Vec::new()))
            };
            (at, found)
        };
        let mut parts: Vec<(usize, Part<R>)> = long.into_iter().map(part).collect();
        parts.par_extend(short.into_par_iter().map(part));
        parts.sort_unstable_by_key(|(at, _)| *at);
        let parts = parts.into_iter().map(|(_, part)| part);
        let (mut summary, found) = self.merge(parts).map_err(|e| match (e.code(), self.sequences.len()) {
            (ErrorCode::NotEnoughData, 2..) => {
                e.context(format!("the longest of {} label sets", self.sequences.len()))
            }
            _ => e,
        })?;
        for rows in too_few {
            summary.n += rows.len();
            summary.skipped += windows(rows, window) as u64;
        }
        Ok((summary, found))
    }

    /// What is said of sequences for which there was no time, and so many pairs of windows.
    pub fn not_begun(&self, window: usize, rows: &[&Rows], cells: f64) -> AnalysisSummary {
        AnalysisSummary {
            window,
            exclusion_zone: if self.beside.is_some() { 0 } else { window.div_ceil(4) },
            n: rows.iter().map(|rows| rows.len()).sum(),
            windows: rows.iter().map(|rows| windows(rows, window) as u64).sum(),
            cells_total: cells as u64,
            exact: false,
            ..AnalysisSummary::default()
        }
    }

    /// What is to be done with one sequence.
    pub fn job<'b>(
        &'b self,
        rows: &'b Rows,
        beside: Option<&'b Beside>,
        window: usize,
        effort: &'b Effort,
    ) -> Job<'b> {
        let Self { analysis, hard, gap_ns, progress, .. } = *self;
        Job { analysis, rows, beside, window, effort, hard, gap_ns, progress }
    }

    /// The answers of all sequences as one.
    pub fn merge<R>(&self, parts: impl Iterator<Item = Part<R>>) -> Part<R> {
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
                max_gap_ns: self.bridged_ns.or(all.max_gap_ns.max(of.max_gap_ns)),
                windows: all.windows + of.windows,
                skipped: all.skipped + of.skipped,
                cells: all.cells + of.cells,
                cells_total: all.cells_total + of.cells_total,
                exact: all.exact && of.exact,
                elapsed: self.started.elapsed(),
                cached: false,
                step_ns: self.analysis.resample.map(|resample| resample.step_ns),
                sub_window: of.sub_window.or(all.sub_window),
            };
        }
        Ok((all, found))
    }
}

/// Windows of so many points, if none crosses a gap.
pub(super) fn windows(rows: &Rows, window: usize) -> usize {
    (rows.len() + 1).saturating_sub(window)
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
    let work = work_bytes(analysis, points as u64, rows.dimension as u64, threads);
    // While label sets are taken apart, or laid one behind the other, they are there twice.
    let copies = if is_apart(&rows, analysis) { 2 } else { 1 };
    let held = copies * rows.memory_bytes() + 2 * beside.as_ref().map_or(0, Rows::memory_bytes);
    check_bytes(points, work.saturating_add(held as u64), engine.query_bytes_max())?;
    Ok((rows, beside))
}

/// # Errors
/// `LIMIT_EXCEEDED`.
fn check_bytes(points: usize, bytes: u64, bytes_max: u64) -> Result<()> {
    if bytes > bytes_max {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "the analysis of {points} points needs about {bytes} bytes, more than the {bytes_max} that one query may \
                 take; narrow start_ns and end_ns or the labels, or raise TSDB_MEMORY_LIMIT"
            ),
        ));
    }
    Ok(())
}

/// What an answer takes while it is written, and each neighbour that it names.
const ROW_BYTES: u64 = 2 << 10;
const NEIGHBOR_BYTES: u64 = 1 << 10;

/// Bytes that the anomalies or the occurrences of motifs of so many points may take.
///
/// # Errors
/// `LIMIT_EXCEEDED` for more than so many.
pub(in super::super) fn answer_bytes(analysis: &Analysis, points: u64, bytes_max: u64) -> Result<u64> {
    let window = analysis.window.unwrap_or(4);
    // They don't overlap within their exclusion zones.
    let of_a_length = |window: usize| points / (window as u64).div_ceil(4).saturating_add(1) + 1;
    let k = analysis.k as u64;
    let (rows, bytes, less) = match &analysis.kind {
        AnalysisKind::Anomaly(options) => {
            let (least, greatest) = options.lengths.unwrap_or((window, window));
            let rows = of_a_length(least).saturating_mul((greatest - least) as u64 + 1).min(k);
            let bytes = ROW_BYTES + NEIGHBOR_BYTES * options.neighbors as u64;
            (rows, rows.saturating_mul(bytes), "lower k or neighbors")
        }
        AnalysisKind::Motif(MotifOptions { occurrences: true, .. }) => {
            let rows = of_a_length(window);
            (rows, rows.saturating_mul(NEIGHBOR_BYTES), "narrow the time range, or leave occurrences out")
        }
        _ => return Ok(0),
    };
    if bytes > bytes_max {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "up to {rows} answers may take {bytes} bytes, more than the {bytes_max} that one query may take; \
                 {less}, or raise TSDB_MEMORY_LIMIT"
            ),
        ));
    }
    Ok(bytes)
}

/// Bytes that the work on so many points takes, beside the points.
pub(in super::super) fn work_bytes(analysis: &Analysis, points: u64, dimension: u64, threads: u64) -> u64 {
    let more = match &analysis.kind {
        AnalysisKind::Anomaly(options) => points.saturating_mul(4 * options.neighbor as u64),
        AnalysisKind::Motif(_) => points.saturating_mul(8),
        // What there is for each point of a profile: a curve, links, another profile.
        AnalysisKind::Segment { .. } | AnalysisKind::Chains | AnalysisKind::MpDist => {
            points.saturating_mul(64)
        }
        AnalysisKind::Snippets { .. } => {
            // Where it is chosen, it is known later.
            Snippets::memory_bytes(points, analysis.window.unwrap_or(points as usize) as u64)
        }
    };
    mp::memory_bytes(points, dimension, threads).saturating_add(more)
}

/// Whether the label sets of a selection are sequences of their own.
fn is_apart(rows: &Rows, analysis: &Analysis) -> bool {
    !analysis.join_labels && !rows.label_ids.is_empty()
}

fn sequences(rows: Rows, analysis: &Analysis) -> Vec<Rows> {
    if is_apart(&rows, analysis) { rows.by_label_set() } else { vec![rows] }
}

fn likely_window(sequences: &[Rows], gap_ns: Option<u64>, deadline: &Deadline) -> Result<usize> {
    let series: Vec<Stretches<'_>> = sequences
        .iter()
        .map(|rows| {
            let times = &rows.timestamps_ns;
            let gap = gap_ns.or_else(|| mp::default_gap(times)).unwrap_or(u64::MAX);
            let stretches = mp::stretches(times, gap);
            Stretches { values: &rows.values, dimension: rows.dimension, stretches }
        })
        .collect();
    mp::likely_window(&series, deadline)
}
