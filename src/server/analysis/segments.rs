//! Changes of regime in all sequences.

use crate::mp;
use crate::protocol::{ChangeRow, Curve, Findings, WindowFlags};

use super::job::{Computed, Job};
use super::search::{Found, Part, Search};

impl Search<'_> {
    /// The k clearest changes, and the curves that they are the lowest places of.
    pub fn changes(&self, with_curve: bool) -> Found {
        let window = self.analysis.window.map_or_else(|| self.likely_window(), Ok)?;
        self.expect(window, 1.0);
        let (summary, found) = self.run(window, &self.whole_effort(), |job| of(job, with_curve))?;
        let (changes, curves): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let mut changes: Vec<ChangeRow> = changes.into_iter().flatten().collect();
        changes.sort_by(|a, b| a.score.total_cmp(&b.score));
        changes.truncate(self.analysis.k);
        Ok((summary, Findings::Changes { changes, curves: curves.into_iter().flatten().collect() }))
    }
}

/// The k changes of one sequence, and its curve.
fn of(job: &Job<'_>, with_curve: bool) -> Part<(Vec<ChangeRow>, Option<Curve>)> {
    let Computed { computation, outcome, summary } = job.compute(|computation| computation)?;
    let takes_part = |at: usize| computation.is_usable(at);
    let curve = mp::corrected_arc_curve(&outcome.profile, job.window, takes_part);
    let changes = mp::changes_of(&curve, job.window, job.analysis.k)
        .into_iter()
        .map(|change| ChangeRow {
            at: job.window_ref(change.index),
            score: change.score,
            flags: WindowFlags {
                constant: computation.is_flat(change.index),
                near_gap: job.is_near_gap(change.index, summary.max_gap_ns),
                no_neighbor: outcome.is_complete() && outcome.profile.neighbors[change.index] == usize::MAX,
            },
            labels: job.labels(),
        })
        .collect();
    let curve = with_curve.then(|| Curve { values: curve, labels: job.labels() });
    Ok((summary, vec![(changes, curve)]))
}
