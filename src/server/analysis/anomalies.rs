//! Anomalies of all sequences.

use std::cmp::Ordering;
use std::time::Duration;

use crate::base::{ErrorCode, Result, Rows};
use crate::mp::{self, Discord, Sides, Tried};
use crate::protocol::{AnalysisSummary, AnomalyOptions, AnomalyRow, Findings, WindowFlags};

use super::job::{Computed, Job};
use super::search::{Effort, Found, Part, Search};

/// Pairs of windows, over all lengths, that the choice of a length looks at: a second or
/// two of one core.
const CHOICE_CELLS: f64 = 6e9;
/// Where that is a smaller part of all pairs, it would say little.
const CHOICE_SHARE_MIN: f64 = 0.02;

/// The order of equals is that of the sequences. What has no neighbour comes last.
fn worst_first(anomalies: &mut [AnomalyRow]) {
    let key = |row: &AnomalyRow| if row.flags.no_neighbor { f64::NEG_INFINITY } else { row.score };
    anomalies.sort_by(|a, b| key(b).total_cmp(&key(a)));
}

impl Search<'_> {
    /// The k worst windows.
    pub fn anomalies(&self, options: &AnomalyOptions) -> Found {
        let effort = self.whole_effort();
        let k = self.analysis.k;
        if let Some(lengths) = options.lengths {
            let (summary, anomalies) = self.of_lengths(lengths, options, &effort)?;
            return Ok((summary, Findings::Anomalies(anomalies)));
        }
        let window = self.analysis.window.map_or_else(|| self.outstanding_window(options, &effort), Ok)?;
        self.expect(window, options.neighbor as f64);
        let (summary, mut anomalies) = self.run(window, &effort, |job| of(job, options, k))?;
        worst_first(&mut anomalies);
        anomalies.truncate(k);
        Ok((summary, Findings::Anomalies(anomalies)))
    }

    /// The length at which the first anomaly stands out most, as far as there is time to try
    /// some; else the one at which the points are most like themselves.
    fn outstanding_window(&self, options: &AnomalyOptions, effort: &Effort) -> Result<usize> {
        let period = self.likely_window()?;
        let points = self.sequences.iter().map(Rows::len).max().unwrap_or(0);
        let lengths = mp::lengths(period, mp::likely_window_max(points));
        let cells = self.cells_about() * options.neighbor as f64;
        let share = CHOICE_CELLS / (cells * lengths.len() as f64);
        if share < CHOICE_SHARE_MIN {
            return Ok(period);
        }
        // The rest of the time is for the answer itself.
        let half = self.analysis.timeout_ms.map(|ms| effort.soft.within(Duration::from_millis(ms / 2)));
        let effort = Effort { soft: half.unwrap_or_else(|| effort.soft.clone()), share };
        // Neighbours would be named for nothing.
        let options = AnomalyOptions { neighbors: 0, ..options.clone() };
        for &length in &lengths {
            self.expect(length, share.min(1.0) * options.neighbor as f64);
        }
        let mut tried = Vec::new();
        for length in lengths {
            let found = self.run(length, &effort, |job| of(job, &options, mp::DISCORDS));
            self.hard.check()?;
            if effort.soft.is_over() {
                break;
            }
            let mut anomalies = match found {
                Ok((_, anomalies)) => anomalies,
                Err(e) if e.code() == ErrorCode::NotEnoughData => continue,
                Err(e) => return Err(e),
            };
            anomalies.retain(|anomaly| !anomaly.flags.no_neighbor);
            worst_first(&mut anomalies);
            let scores: Vec<f64> = anomalies.iter().map(|anomaly| anomaly.score).collect();
            if let Some(AnomalyRow { at, labels, .. }) = anomalies.into_iter().next() {
                let standout = mp::standout(&scores);
                tried.push(Tried { length, sequence: labels, index: at.index, standout });
            }
        }
        Ok(mp::most_outstanding(&tried).unwrap_or(period))
    }

    /// Of windows of each length the k discords, and of all of these the k greatest scores by
    /// 2√m that share no point; of equals the shorter.
    fn of_lengths(
        &self,
        (least, greatest): (usize, usize),
        options: &AnomalyOptions,
        effort: &Effort,
    ) -> Part<AnomalyRow> {
        let k = self.analysis.k;
        for length in least..=greatest {
            self.expect(length, options.neighbor as f64);
        }
        let mut all: Option<AnalysisSummary> = None;
        let mut candidates: Vec<(usize, AnomalyRow)> = Vec::new();
        for length in least..=greatest {
            let (summary, rows) = match self.run(length, effort, |job| of(job, options, k)) {
                // Longer ones have no answer either.
                Err(e) if e.code() == ErrorCode::NotEnoughData && all.is_some() => break,
                found => found?,
            };
            candidates.extend(rows.into_iter().map(|row| (length, row)));
            let over = effort.soft.is_over() && length < greatest;
            let rest = (length + 1..=greatest).filter(|_| over);
            let not_begun: f64 = rest.map(|length| self.cells(length) * options.neighbor as f64).sum();
            let before = all.unwrap_or(AnalysisSummary { exact: true, ..AnalysisSummary::default() });
            all = Some(AnalysisSummary {
                lengths: Some((least, greatest)),
                windows: before.windows + summary.windows,
                skipped: before.skipped + summary.skipped,
                cells: before.cells + summary.cells,
                cells_total: before.cells_total + summary.cells_total + not_begun as u64,
                exact: before.exact && summary.exact && !over,
                ..summary
            });
            if over {
                break;
            }
        }
        // What has no neighbour has no score, and is less than any.
        candidates.sort_by(|(_, a), (_, b)| {
            b.normalized_score.partial_cmp(&a.normalized_score).unwrap_or(Ordering::Equal)
        });
        let mut taken: Vec<(usize, AnomalyRow)> = Vec::new();
        for (length, row) in candidates {
            let shares = |(other_length, other): &(usize, AnomalyRow)| {
                other.labels == row.labels
                    && row.at.index < other.at.index + other_length
                    && other.at.index < row.at.index + length
            };
            if taken.len() < k && !taken.iter().any(shares) {
                taken.push((length, AnomalyRow { window: Some(length), ..row }));
            }
        }
        Ok((all.unwrap_or_default(), taken.into_iter().map(|(_, row)| row).collect()))
    }
}

/// The k discords of one sequence.
fn of(job: &Job<'_>, options: &AnomalyOptions, k: usize) -> Part<AnomalyRow> {
    let sides = if options.left { Sides::Left } else { Sides::Both };
    let Computed { computation, outcome, summary } =
        job.compute(|computation| computation.sides(sides).neighbor(options.neighbor))?;
    let gap = summary.max_gap_ns;
    // What has nothing before it is not unusual, and what was not looked at may have neighbours.
    let alone = |at: usize| outcome.is_complete() && !options.left && computation.is_usable(at);
    let row = |discord: Discord| {
        let Discord { index, score, .. } = discord;
        let has_neighbor = discord.neighbor != usize::MAX;
        let neighbors = computation.nearest_of(index, options.neighbors);
        AnomalyRow {
            at: job.window_ref(index),
            window: None,
            score,
            normalized_score: job.normalized(score).filter(|_| has_neighbor),
            flags: WindowFlags {
                constant: computation.is_flat(index),
                near_gap: job.is_near_gap(index, gap),
                no_neighbor: !has_neighbor,
            },
            dimensions: if has_neighbor {
                job.dimensions(&computation, index, discord.neighbor)
            } else {
                Vec::new()
            },
            neighbor: has_neighbor.then(|| job.neighbor(discord.neighbor, score)),
            neighbors: neighbors.iter().map(|near| job.neighbor(near.index, near.distance)).collect(),
            labels: job.labels(),
        }
    };
    let rows = mp::discords_of(&outcome.profile, job.window, k, alone).into_iter().map(row).collect();
    Ok((summary, rows))
}
