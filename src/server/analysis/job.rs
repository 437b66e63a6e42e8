//! One sequence of points, and what is computed of it.

use std::sync::Arc;

use crate::base::{Deadline, Dimensions, Labels, Result, Rows};
use crate::mp::{self, Computation, Outcome, Progress, Selection};
use crate::protocol::{Analysis, AnalysisSummary, DimensionDistance, NeighborRow, WindowRef};

use super::beside::{Beside, BesideSequence, labels_of};
use super::search::Effort;

/// Dimensions that a row names at the most.
const DIMENSIONS_NAMED_MAX: usize = 16;

/// The gap that no window may cross, and the windows that cross none. Where the default
/// would leave out half of the windows or more, time has no usual step, and no limit.
pub(super) fn gaps(times: &[i64], window: usize, asked: Option<u64>) -> (Option<u64>, Vec<bool>) {
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
pub(super) struct Job<'a> {
    pub analysis: &'a Analysis,
    pub rows: &'a Rows,
    pub beside: Option<&'a Beside>,
    pub window: usize,
    pub effort: &'a Effort,
    /// When there is no answer any more.
    pub hard: &'a Deadline,
    /// The gap that was asked for.
    pub gap_ns: Option<u64>,
    /// Of the whole analysis.
    pub progress: &'a Arc<Progress>,
}

/// A computation that is over, and what its rows need.
pub(super) struct Computed {
    pub computation: Computation,
    pub outcome: Outcome,
    pub summary: AnalysisSummary,
}

impl<'a> Job<'a> {
    /// Computes the profile.
    pub fn compute(&self, set_up: impl FnOnce(Computation) -> Computation) -> Result<Computed> {
        let (computation, max_gap_ns) = self.computation(self.window)?;
        let computation = set_up(computation).sample(self.effort.share);
        let outcome = self.run(&computation, &self.effort.soft)?;
        let windows = (0..computation.windows()).filter(|&at| computation.is_usable(at)).count();
        let summary = AnalysisSummary {
            window: self.window,
            n: self.rows.len(),
            exclusion_zone: if self.beside.is_some() { 0 } else { self.window.div_ceil(4) },
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

    /// Windows of so many points, to be compared; and the gap that they may not cross.
    pub fn computation(&self, window: usize) -> Result<(Computation, Option<u64>)> {
        let rows = self.rows;
        let normalize = self.analysis.normalize;
        let selection =
            |rows: &'a Rows| Selection { values: &rows.values, dimension: rows.dimension, window, normalize };
        let mut computation = match self.beside {
            None => Computation::self_join(&selection(rows))?,
            Some(beside) => {
                Computation::join(&selection(rows), &selection(&beside.rows))?.only_of_other(&beside.whole)
            }
        };
        let (max_gap_ns, whole) = gaps(&rows.timestamps_ns, window, self.gap_ns);
        if whole.contains(&false) {
            computation = computation.only(&whole);
        }
        Ok((computation.dimensions(self.analysis.dimensions)?, max_gap_ns))
    }

    /// Runs it, as far as the time suffices.
    pub fn run(&self, computation: &Computation, soft: &Deadline) -> Result<Outcome> {
        let outcome = computation.run(soft, &Progress::part_of(self.progress));
        if !outcome.is_complete() {
            self.hard.check()?;
        }
        Ok(outcome)
    }

    /// What makes the distance of two windows, where points have several values: the
    /// dimensions that count, those that say most first.
    pub fn dimensions(
        &self,
        computation: &Computation,
        window: usize,
        other: usize,
    ) -> Vec<DimensionDistance> {
        if self.rows.dimension == 1 {
            return Vec::new();
        }
        let distances = computation.distances_by_dimension(window, other);
        let mut all: Vec<DimensionDistance> = distances
            .into_iter()
            .enumerate()
            .map(|(dimension, distance)| DimensionDistance { dimension, distance })
            .collect();
        let most = match self.analysis.dimensions {
            Dimensions::Best(best) => {
                all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
                best
            }
            Dimensions::All | Dimensions::Any => {
                all.sort_by(|a, b| b.distance.total_cmp(&a.distance));
                all.len()
            }
        };
        all.truncate(most.min(DIMENSIONS_NAMED_MAX));
        all
    }

    /// A window of the sequence.
    pub fn window_ref(&self, index: usize) -> WindowRef {
        window_ref(&self.rows.timestamps_ns, index, self.window)
    }

    /// A window where neighbours are sought, so far from another one.
    pub fn neighbor(&self, index: usize, distance: f64) -> NeighborRow {
        match self.sequence_beside(index) {
            None => NeighborRow { at: self.window_ref(index), distance, labels: None },
            Some((sequence, times)) => {
                let at = window_ref(times, index - sequence.points.start, self.window);
                NeighborRow { at, distance, labels: sequence.labels.clone() }
            }
        }
    }

    /// The labels of a sequence whose points have the same.
    pub fn labels(&self) -> Option<Labels> {
        labels_of(self.rows)
    }

    fn sequence_beside(&self, index: usize) -> Option<(&BesideSequence, &[i64])> {
        let beside = self.beside?;
        let sequence = beside.sequence(index)?;
        Some((sequence, &beside.rows.timestamps_ns[sequence.points.clone()]))
    }

    /// 2√m is how far two z-normalised windows can be from each other.
    pub fn normalized(&self, distance: f64) -> Option<f64> {
        self.analysis.normalize.then(|| (distance / (2.0 * (self.window as f64).sqrt())).min(1.0))
    }

    /// Whether a gap is less than a window away.
    pub fn is_near_gap(&self, index: usize, max_gap_ns: Option<u64>) -> bool {
        is_near_gap(&self.rows.timestamps_ns, index, self.window, max_gap_ns)
    }

    /// The same of a window where neighbours are sought.
    pub fn is_neighbor_near_gap(&self, index: usize, own_gap_ns: Option<u64>) -> bool {
        match self.sequence_beside(index) {
            None => self.is_near_gap(index, own_gap_ns),
            Some((sequence, times)) => {
                is_near_gap(times, index - sequence.points.start, self.window, sequence.max_gap_ns)
            }
        }
    }
}

fn is_near_gap(times: &[i64], index: usize, window: usize, max_gap_ns: Option<u64>) -> bool {
    let around = index.saturating_sub(window)..(index + 2 * window).min(times.len());
    let is_gap = |gap: u64| times[around].windows(2).any(|pair| pair[1].abs_diff(pair[0]) > gap);
    max_gap_ns.is_some_and(is_gap)
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
