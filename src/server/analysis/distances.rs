//! Distances between the sequences of two selections.

use std::slice;

use crate::base::{ErrorCode, Rows};
use crate::mp::{self, MPDIST_PART};
use crate::protocol::{AnalysisSummary, DistanceRow, Findings};

use super::beside::{Beside, labels_of};
use super::search::{Effort, Found, Part, Search, windows};

impl Search<'_> {
    /// Of each label set of the series and each of the other the distance; the k nearest.
    pub fn distances(&self) -> Found {
        let window = self.analysis.window.map_or_else(|| self.likely_window(), Ok)?;
        // Each is compared with the other, and the other with it.
        self.expect(window, 2.0);
        let effort = self.whole_effort();
        let others = self.beside.as_deref().unwrap_or_default();
        let mut parts: Vec<Part<DistanceRow>> = Vec::new();
        // Of very many pairs: what is said of those for which there is no time.
        let (mut not_begun, mut cells) = (Vec::new(), 0.0);
        let mut too_short = None;
        for own in &self.sequences {
            for other in others {
                if effort.soft.is_over() && !parts.is_empty() {
                    let of = [own, other].map(|rows| windows(rows, window) as f64);
                    cells += 2.0 * of[0] * of[1];
                    not_begun.extend([own, other]);
                    continue;
                }
                match self.distance(own, other, window, &effort) {
                    Err(e) if e.code() == ErrorCode::NotEnoughData => too_short = Some(e),
                    part => parts.push(part),
                }
            }
        }
        if parts.is_empty()
            && let Some(reason) = too_short
        {
            return Err(reason);
        }
        let pairs = not_begun.len() / 2;
        if pairs > 0 {
            parts.push(Ok((self.not_begun(window, &not_begun, cells), Vec::new())));
        }
        let (mut summary, mut rows) = self.merge(parts.into_iter())?;
        summary.sequences += pairs.saturating_sub(1);
        rows.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        rows.truncate(self.analysis.k);
        Ok((summary, Findings::Distances(rows)))
    }

    fn distance(&self, own: &Rows, other: &Rows, window: usize, effort: &Effort) -> Part<DistanceRow> {
        let beside = |rows: &Rows| Beside::new(slice::from_ref(rows), window, self.gap_ns);
        let (beside_own, beside_other) = (beside(own), beside(other));
        // Half of the time for each direction.
        let half = Effort { soft: effort.soft.part(0.5), share: effort.share };
        let there = self.job(own, Some(&beside_other), window, &half);
        let (first, back) = (there.compute(|computation| computation)?, {
            let back = self.job(other, Some(&beside_own), window, effort);
            back.compute(|computation| computation)?
        });
        let profiles = [&first.outcome.profile, &back.outcome.profile];
        let distance = mp::mpdist_of(profiles, own.len() + other.len(), MPDIST_PART);
        let row = distance.map(|distance| DistanceRow {
            distance,
            normalized_score: there.normalized(distance),
            labels: labels_of(own),
            neighbor_labels: labels_of(other),
        });
        let (a, b) = (first.summary, back.summary);
        let summary = AnalysisSummary {
            n: a.n + b.n,
            max_gap_ns: a.max_gap_ns.max(b.max_gap_ns),
            windows: a.windows + b.windows,
            skipped: a.skipped + b.skipped,
            cells: a.cells + b.cells,
            cells_total: a.cells_total + b.cells_total,
            exact: a.exact && b.exact,
            ..a
        };
        Ok((summary, row.into_iter().collect()))
    }
}
