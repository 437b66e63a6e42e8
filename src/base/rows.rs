//! Points in columns: how they travel from the engine to whoever asked.

use super::Labels;

/// Points of one series in columns. Values are time-major: the values of point
/// `i` are `values[i * dimension..][..dimension]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Values a point has.
    pub dimension: usize,
    /// One timestamp a point.
    pub timestamps_ns: Vec<i64>,
    /// `dimension` values a point.
    pub values: Vec<f64>,
    /// One index into `label_sets` a point; empty where every point has
    /// `label_sets[0]`, or no labels.
    pub label_ids: Vec<u32>,
    /// The label sets that the points use.
    pub label_sets: Vec<Labels>,
}

impl Rows {
    /// No points of `dimension` values.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, ..Self::default() }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.timestamps_ns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps_ns.is_empty()
    }

    /// The values of point `row`.
    pub fn values_of(&self, row: usize) -> &[f64] {
        &self.values[row * self.dimension..][..self.dimension]
    }

    /// The labels of point `row`; `None` where it has none.
    pub fn labels_of(&self, row: usize) -> Option<&Labels> {
        let id = match self.label_ids.get(row) {
            Some(&id) => id as usize,
            None => 0,
        };
        self.label_sets.get(id).filter(|labels| !labels.is_empty())
    }

    /// Bytes that the columns hold.
    pub fn memory_bytes(&self) -> usize {
        self.timestamps_ns.len() * 8 + self.values.len() * 8 + self.label_ids.len() * 4
    }
}
