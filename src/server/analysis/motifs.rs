//! Motifs of all sequences.

use crate::mp::{self, Motif, Radius};
use crate::protocol::{AnalysisSummary, Findings, MotifOptions, MotifRow, WindowFlags};

use super::job::{Computed, Job};
use super::search::{Found, Part, Search};

impl Search<'_> {
    /// The k closest pairs of windows.
    pub fn motifs(&self, options: &MotifOptions) -> Found {
        let window = self.analysis.window.map_or_else(|| self.likely_window(), Ok)?;
        self.expect(window, 1.0);
        let (summary, mut motifs) = self.run(window, &self.whole_effort(), |job| of(job, options))?;
        motifs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        motifs.truncate(self.analysis.k);
        Ok((summary, Findings::Motifs(motifs)))
    }
}

/// The k motifs of one sequence.
fn of(job: &Job<'_>, options: &MotifOptions) -> Part<MotifRow> {
    let Computed { computation, outcome, summary } =
        job.compute(|computation| if options.flat { computation } else { computation.without_flat() })?;
    let radius = options
        .occurrences
        .then(|| options.radius.map_or(Radius::TwiceThePair, |radius| Radius::Distance(radius.get())));
    let (found, in_time) =
        mp::motifs_of(&computation, &outcome.profile, job.analysis.k, radius, &job.effort.soft);
    if !in_time {
        job.hard.check()?;
    }
    let gap = summary.max_gap_ns;
    let row = |motif: Motif| {
        let b = job.neighbor(motif.b, motif.distance);
        MotifRow {
            distance: motif.distance,
            normalized_score: job.normalized(motif.distance),
            flags: WindowFlags {
                constant: computation.is_flat(motif.a) || computation.is_flat_of_other(motif.b),
                near_gap: job.is_near_gap(motif.a, gap) || job.is_neighbor_near_gap(motif.b, gap),
                no_neighbor: false,
            },
            labels: job.labels(),
            a: job.window_ref(motif.a),
            neighbor_labels: b.labels,
            b: b.at,
            radius: motif.radius,
            dimensions: job.dimensions(&computation, motif.a, motif.b),
            occurrences: motif
                .occurrences
                .iter()
                .map(|near| job.neighbor(near.index, near.distance))
                .collect(),
        }
    };
    let rows = found.into_iter().map(row).collect();
    Ok((AnalysisSummary { exact: summary.exact && in_time, ..summary }, rows))
}
