//! Points on their way in.

use super::Labels;

/// Points to be written, in columns; values are time-major. One point or a
/// whole batch: there is no second form.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// Values each point has, as the sender gave them; the engine compares it
    /// with the series' dimension.
    pub dimension: usize,
    /// One timestamp a point; what stands at a row of `unassigned` is ignored.
    pub timestamps_ns: Vec<i64>,
    /// Rows, ascending, whose timestamp the server assigns.
    pub unassigned: Vec<u32>,
    /// `dimension` values a point.
    pub values: Vec<f64>,
    /// One index into `label_sets` a point; empty where every point has
    /// `label_sets[0]`, or no labels.
    pub label_ids: Vec<u32>,
    /// The label sets that the points use.
    pub label_sets: Vec<Labels>,
}

impl Points {
    /// One point; the server assigns the timestamp where there is none.
    pub fn one(timestamp_ns: Option<i64>, values: Vec<f64>, labels: Labels) -> Self {
        Self {
            dimension: values.len(),
            timestamps_ns: vec![timestamp_ns.unwrap_or_default()],
            unassigned: if timestamp_ns.is_some() { Vec::new() } else { vec![0] },
            values,
            label_ids: Vec::new(),
            label_sets: if labels.is_empty() { Vec::new() } else { vec![labels] },
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.timestamps_ns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps_ns.is_empty()
    }

    /// The labels of point `row`.
    pub fn labels_of(&self, row: usize) -> Labels {
        let id = if self.label_ids.is_empty() { 0 } else { self.label_ids[row] as usize };
        self.label_sets.get(id).cloned().unwrap_or_else(Labels::empty)
    }

    /// Roughly the heap bytes that the columns take.
    pub fn memory_bytes(&self) -> usize {
        self.timestamps_ns.len() * 8
            + self.values.len() * 8
            + (self.label_ids.len() + self.unassigned.len()) * 4
            + self.label_sets.iter().map(Labels::memory_bytes).sum::<usize>()
    }
}
