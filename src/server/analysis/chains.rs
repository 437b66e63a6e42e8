//! Chains of all sequences.

use crate::mp::{self, Sides};
use crate::protocol::{AnalysisSummary, ChainRow, Findings};

use super::job::{Computed, Job};
use super::search::{Effort, Found, Part, Search};

impl Search<'_> {
    /// The k longest chains.
    pub fn chains(&self) -> Found {
        let window = self.analysis.window.map_or_else(|| self.likely_window(), Ok)?;
        self.expect(window, 2.0);
        let (summary, mut chains) = self.run(window, &self.whole_effort(), of)?;
        chains.sort_by_key(|chain| std::cmp::Reverse(chain.windows.len()));
        chains.truncate(self.analysis.k);
        Ok((summary, Findings::Chains(chains)))
    }
}

/// The k chains of one sequence.
fn of(job: &Job<'_>) -> Part<ChainRow> {
    // Half of the time for the neighbours on each side.
    let effort = Effort { soft: job.effort.soft.part(0.5), share: job.effort.share };
    let first = Job { effort: &effort, ..*job };
    let Computed { computation, outcome: left, summary } = first.compute(|c| c.sides(Sides::Left))?;
    let computation = computation.sides(Sides::Right);
    let right = job.run(&computation, &job.effort.soft)?;
    let chains = mp::all_chains(&left.profile.neighbors, &right.profile.neighbors);
    let rows = mp::longest_chains(chains, job.window, job.analysis.k)
        .into_iter()
        .map(|chain| ChainRow {
            windows: chain.iter().map(|&index| job.window_ref(index)).collect(),
            distances: chain.windows(2).map(|pair| computation.distance(pair[0], pair[1])).collect(),
            labels: job.labels(),
        })
        .collect();
    let summary = AnalysisSummary {
        cells: summary.cells + right.cells,
        cells_total: summary.cells_total + right.cells_total,
        exact: summary.exact && right.is_complete(),
        ..summary
    };
    Ok((summary, rows))
}
