//! The points in which neighbours are sought, where these are others.

use std::ops::Range;

use crate::base::{Labels, Rows};

use super::job::gaps;

/// The points in which neighbours are sought where these are others: its sequences one
/// behind the other, and no window in two of them.
pub(super) struct Beside {
    pub rows: Rows,
    /// Windows that lie in one sequence and cross no gap.
    pub whole: Vec<bool>,
    sequences: Vec<BesideSequence>,
}

pub(super) struct BesideSequence {
    pub points: Range<usize>,
    pub labels: Option<Labels>,
    pub max_gap_ns: Option<u64>,
}

impl Beside {
    pub fn new(sequences: &[Rows], window: usize, gap_ns: Option<u64>) -> Self {
        let mut all = Rows::new(sequences.first().map_or(1, |rows| rows.dimension));
        let mut sequences_of = Vec::new();
        let mut whole = Vec::new();
        for rows in sequences {
            let (max_gap_ns, whole_here) = gaps(&rows.timestamps_ns, window, gap_ns);
            let points = all.len()..all.len() + rows.len();
            whole.extend(whole_here);
            // Windows that begin here and end in the next sequence; the last are none.
            whole.resize(points.end, false);
            sequences_of.push(BesideSequence { points, labels: labels_of(rows), max_gap_ns });
            all.timestamps_ns.extend(&rows.timestamps_ns);
            all.values.extend(&rows.values);
        }
        whole.truncate((all.len() + 1).saturating_sub(window));
        Self { rows: all, whole, sequences: sequences_of }
    }

    pub fn sequence(&self, index: usize) -> Option<&BesideSequence> {
        self.sequences.iter().find(|sequence| sequence.points.contains(&index))
    }
}

/// The labels of a sequence whose points have the same.
pub(super) fn labels_of(rows: &Rows) -> Option<Labels> {
    let joined = !rows.label_ids.is_empty();
    rows.labels_of(0).filter(|_| !joined).cloned()
}
