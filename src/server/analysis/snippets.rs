//! Snippets of all sequences.

use crate::base::{Error, ErrorCode};
use crate::mp::{Progress, Snippets};
use crate::protocol::{AnalysisSummary, Findings, SnippetRow};

use super::job::{Job, gaps};
use super::search::{Found, Part, Search};

impl Search<'_> {
    /// The k stretches that stand best for each label set; those that stand for most first.
    pub fn snippets(&self, sub_window: Option<usize>) -> Found {
        let window = self.analysis.window.map_or_else(|| self.likely_window(), Ok)?;
        self.check_bytes(Some(window))?;
        let sub_window = sub_window.unwrap_or((window / 2).max(3)).min(window);
        let (summary, mut snippets) = self.run(window, &self.whole_effort(), |job| of(job, sub_window))?;
        if summary.sequences > 1 {
            snippets.sort_by(|a, b| b.fraction.total_cmp(&a.fraction));
        }
        snippets.truncate(self.analysis.k);
        Ok((summary, Findings::Snippets(snippets)))
    }
}

/// The k snippets of one sequence.
fn of(job: &Job<'_>, sub_window: usize) -> Part<SnippetRow> {
    let n = job.rows.len();
    if n < job.window {
        return Err(Error::new(
            ErrorCode::NotEnoughData,
            format!(
                "a snippet of {} points needs as many, the selection has {n}; use a smaller window or a longer time range",
                job.window
            ),
        ));
    }
    let (max_gap_ns, whole) = gaps(&job.rows.timestamps_ns, job.window, job.gap_ns);
    let (computation, _) = job.computation(sub_window)?;
    let search = Snippets::new(&computation, job.window, &whole);
    job.progress.expect(search.cells());
    let found = search.find(job.analysis.k, &job.effort.soft, &Progress::part_of(job.progress));
    let exact = found.cells == search.cells();
    if !exact {
        job.hard.check()?;
    }
    let rows = found
        .snippets
        .iter()
        .map(|snippet| SnippetRow {
            at: job.window_ref(snippet.index),
            fraction: snippet.fraction,
            area: snippet.area,
            labels: job.labels(),
        })
        .collect();
    let windows = whole.iter().filter(|whole| **whole).count();
    let summary = AnalysisSummary {
        window: job.window,
        sub_window: Some(sub_window),
        n,
        max_gap_ns,
        windows: windows as u64,
        skipped: (whole.len() - windows) as u64,
        cells: found.cells,
        cells_total: search.cells(),
        exact,
        ..AnalysisSummary::default()
    };
    Ok((summary, rows))
}
