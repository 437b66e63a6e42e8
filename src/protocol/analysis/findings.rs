//! What analyses find.

use std::time::Duration;

use crate::base::Labels;

/// What an analysis looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalysisSummary {
    /// Points a window has; the greatest of several lengths.
    pub window: usize,
    /// The least and the greatest length, where several were asked for.
    pub lengths: Option<(usize, usize)>,
    /// Points that were searched.
    pub n: usize,
    /// Label sets that were analysed, each by itself; 1 where they are joined.
    pub sequences: usize,
    /// Neighbours are more than this many points away.
    pub exclusion_zone: usize,
    /// The longest gap that a window may cross; `None` where no limit was applied.
    pub max_gap_ns: Option<u64>,
    /// Windows that took part.
    pub windows: u64,
    /// Windows that did not.
    pub skipped: u64,
    /// Pairs of windows that were looked at.
    pub cells: u64,
    /// Pairs of windows there are.
    pub cells_total: u64,
    /// Whether the time sufficed for the whole answer.
    pub exact: bool,
    /// From the start of the work to its end.
    pub elapsed: Duration,
    /// Whether it was known from an earlier request.
    pub cached: bool,
    /// Nanoseconds between the points that were made of those there are.
    pub step_ns: Option<u64>,
    /// Points of the windows by which longer ones were compared.
    pub sub_window: Option<usize>,
}

impl AnalysisSummary {
    /// The part of all pairs that was looked at, 0 to 1.
    pub fn coverage(&self) -> f64 {
        if self.cells == self.cells_total { 1.0 } else { self.cells as f64 / self.cells_total as f64 }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Findings {
    /// Worst first.
    Anomalies(Vec<AnomalyRow>),
    /// Closest first.
    Motifs(Vec<MotifRow>),
    /// The clearest first.
    Changes {
        /// Of all sequences.
        changes: Vec<ChangeRow>,
        /// One a sequence, where they were asked for.
        curves: Vec<Curve>,
    },
    /// The longest first.
    Chains(Vec<ChainRow>),
    /// The nearest first.
    Distances(Vec<DistanceRow>),
    /// The one that stands for most first.
    Snippets(Vec<SnippetRow>),
}

/// What is particular about a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowFlags {
    /// One value in every dimension.
    pub constant: bool,
    /// A gap is less than a window's length away.
    pub near_gap: bool,
    /// No window may be its neighbour, or fewer than the one that was asked for.
    pub no_neighbor: bool,
}

impl WindowFlags {
    /// The names of those that hold.
    pub fn names(self) -> Vec<&'static str> {
        [(self.constant, "constant"), (self.near_gap, "near_gap"), (self.no_neighbor, "no_neighbor")]
            .into_iter()
            .filter_map(|(holds, name)| holds.then_some(name))
            .collect()
    }
}

/// One window. Indexes count from the first point of its sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRef {
    /// First point.
    pub timestamp_ns: i64,
    /// Last point.
    pub end_timestamp_ns: i64,
    /// The first point within the selection.
    pub index: usize,
}

/// A window that another one is like.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighborRow {
    /// Where it is.
    pub at: WindowRef,
    /// From the other one.
    pub distance: f64,
    /// Those of its points, where it is in another selection.
    pub labels: Option<Labels>,
}

/// One discord.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyRow {
    /// Where it is.
    pub at: WindowRef,
    /// Its points, where several lengths were asked for.
    pub window: Option<usize>,
    /// Distance to the neighbour; infinite where it has none.
    pub score: f64,
    /// The same as a part of the greatest there can be; z-normalised windows only.
    pub normalized_score: Option<f64>,
    /// What is particular about the window.
    pub flags: WindowFlags,
    /// Those of the window's points, where all of its sequence have the same.
    pub labels: Option<Labels>,
    /// The nearest window, or the one that was asked for.
    pub neighbor: Option<NeighborRow>,
    /// As many of the nearest as were asked for.
    pub neighbors: Vec<NeighborRow>,
    /// What makes the score, where points have several values.
    pub dimensions: Vec<DimensionDistance>,
}

/// How far two windows are from each other in one dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DimensionDistance {
    /// Counted from 0.
    pub dimension: usize,
    /// The distance.
    pub distance: f64,
}

/// The first window of another regime.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    /// Where it is.
    pub at: WindowRef,
    /// Neighbours across it, as a part of those there would be without regimes.
    pub score: f64,
    /// What is particular about the window.
    pub flags: WindowFlags,
    /// Those of its points, where all of its sequence have the same.
    pub labels: Option<Labels>,
}

/// The corrected arc curve of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// One value a window, 0 to 1.
    pub values: Vec<f64>,
    /// Those of its points, where all of the sequence have the same.
    pub labels: Option<Labels>,
}

/// One chain.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainRow {
    /// In order of time.
    pub windows: Vec<WindowRef>,
    /// From each window to the next.
    pub distances: Vec<f64>,
    /// Those of its points, where all of its sequence have the same.
    pub labels: Option<Labels>,
}

/// How far two sequences are from each other.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceRow {
    /// The distance.
    pub distance: f64,
    /// The same as a part of the greatest there can be; z-normalised windows only.
    pub normalized_score: Option<f64>,
    /// Those of the first.
    pub labels: Option<Labels>,
    /// Those of the second.
    pub neighbor_labels: Option<Labels>,
}

/// One snippet.
#[derive(Debug, Clone, PartialEq)]
pub struct SnippetRow {
    /// Where it is.
    pub at: WindowRef,
    /// The part of the sequence's windows that it stands for.
    pub fraction: f64,
    /// How far all windows are from it and those before it.
    pub area: f64,
    /// Those of its points, where all of its sequence have the same.
    pub labels: Option<Labels>,
}

/// One motif: a pair of windows, `a` the earlier, or that of the series.
#[derive(Debug, Clone, PartialEq)]
pub struct MotifRow {
    /// Between the two windows.
    pub distance: f64,
    /// The same as a part of the greatest there can be; z-normalised windows only.
    pub normalized_score: Option<f64>,
    /// What is particular about either window.
    pub flags: WindowFlags,
    /// Those of the windows' points, where all of their sequence have the same.
    pub labels: Option<Labels>,
    /// Those of the points of `b`, where it is in another selection.
    pub neighbor_labels: Option<Labels>,
    /// The earlier window.
    pub a: WindowRef,
    /// The later window.
    pub b: WindowRef,
    /// How far an occurrence may be from `a`, where they were asked for.
    pub radius: Option<f64>,
    /// All windows like `a`, with their distances from it.
    pub occurrences: Vec<NeighborRow>,
    /// What makes the distance, where points have several values.
    pub dimensions: Vec<DimensionDistance>,
}

impl Findings {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Anomalies(rows) => rows.len(),
            Self::Motifs(rows) => rows.len(),
            Self::Changes { changes, .. } => changes.len(),
            Self::Chains(rows) => rows.len(),
            Self::Distances(rows) => rows.len(),
            Self::Snippets(rows) => rows.len(),
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the rows hold.
    pub fn memory_bytes(&self) -> usize {
        let labels = |of: &Option<Labels>| of.as_ref().map_or(0, Labels::memory_bytes);
        let neighbor = |of: &NeighborRow| size_of_val(of) + labels(&of.labels);
        let neighbors = |of: &[NeighborRow]| of.iter().map(neighbor).sum::<usize>();
        match self {
            Self::Anomalies(rows) => rows
                .iter()
                .map(|row| {
                    let nearest = row.neighbor.as_ref().map_or(0, |of| labels(&of.labels));
                    let dimensions = size_of_val(&*row.dimensions);
                    size_of_val(row) + labels(&row.labels) + nearest + neighbors(&row.neighbors) + dimensions
                })
                .sum(),
            Self::Motifs(rows) => rows
                .iter()
                .map(|row| {
                    let labels = labels(&row.labels) + labels(&row.neighbor_labels);
                    size_of_val(row) + labels + neighbors(&row.occurrences) + size_of_val(&*row.dimensions)
                })
                .sum(),
            Self::Changes { changes, curves } => {
                let change = |row: &ChangeRow| size_of_val(row) + labels(&row.labels);
                let curve = |of: &Curve| size_of_val(of) + size_of_val(&*of.values) + labels(&of.labels);
                changes.iter().map(change).sum::<usize>() + curves.iter().map(curve).sum::<usize>()
            }
            Self::Chains(rows) => rows
                .iter()
                .map(|row| {
                    let links = size_of_val(&*row.windows) + size_of_val(&*row.distances);
                    size_of_val(row) + links + labels(&row.labels)
                })
                .sum(),
            Self::Distances(rows) => rows
                .iter()
                .map(|row| size_of_val(row) + labels(&row.labels) + labels(&row.neighbor_labels))
                .sum(),
            Self::Snippets(rows) => rows.iter().map(|row| size_of_val(row) + labels(&row.labels)).sum(),
        }
    }
}
