//! Analyses: from the points of a selection to the rows of a reply.
//!
//! `search` reads the points, takes label sets apart and merges what is found in them; `job` is
//! one sequence and what is computed of it, `beside` the points in which neighbours are
//! sought, where these are others; `resample` makes points at regular times. A file for each kind of analysis makes rows of what
//! [`crate::mp`] finds.

mod anomalies;
mod beside;
mod chains;
mod distances;
mod job;
mod motifs;
mod resample;
mod search;
mod segments;
mod snippets;

use std::sync::Arc;

use crate::base::{Deadline, Result};
use crate::engine::Engine;
use crate::mp::Progress;
use crate::protocol::{Analysis, AnalysisKind, Reply};

use search::Search;

pub(super) use resample::NEW_POINTS_MAX;
pub(super) use search::{answer_bytes, work_bytes};

/// Answers an analysis.
///
/// # Errors
/// Those of the contract.
pub(super) fn answer(
    engine: &Engine,
    analysis: &Analysis,
    deadline: &Deadline,
    progress: &Arc<Progress>,
) -> Result<Reply> {
    let search = Search::new(engine, analysis, deadline, progress)?;
    let (summary, findings) = match &analysis.kind {
        AnalysisKind::Anomaly(options) => search.anomalies(options),
        AnalysisKind::Motif(options) => search.motifs(options),
        AnalysisKind::Segment { curve } => search.changes(*curve),
        AnalysisKind::Chains => search.chains(),
        AnalysisKind::MpDist => search.distances(),
        AnalysisKind::Snippets { sub_window } => search.snippets(*sub_window),
    }?;
    Ok(Reply::Analysis { summary, findings })
}
