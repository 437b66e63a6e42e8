//! Analyses of windows of points: how they are asked for, and how what they find is
//! written.
//!
//! `request` holds what an analysis is and writes its JSON request, `parse` reads one,
//! `findings` holds the answers, `render` writes them as JSON and as text.

mod findings;
mod parse;
mod render;
mod request;

pub use findings::{
    AnalysisSummary, AnomalyRow, ChainRow, ChangeRow, Curve, DimensionDistance, DistanceRow, Findings,
    MotifRow, NeighborRow, SnippetRow, WindowFlags, WindowRef,
};
pub use request::{
    Analysis, AnalysisKind, AnomalyOptions, Distance, LENGTHS_MAX, MotifOptions, NEIGHBORS_MAX, Resample,
    Sampling, With,
};

pub(super) use render::{data, lines};
