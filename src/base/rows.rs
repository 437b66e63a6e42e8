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

    /// The points of each label set by themselves, in the order of the label sets. What
    /// has one label set stays as it is, also where it has no points.
    pub fn by_label_set(self) -> Vec<Self> {
        if self.label_ids.is_empty() {
            return vec![self];
        }
        let mut parts: Vec<Self> = self
            .label_sets
            .iter()
            .map(|labels| Self { label_sets: vec![labels.clone()], ..Self::new(self.dimension) })
            .collect();
        for (row, &id) in self.label_ids.iter().enumerate() {
            if let Some(part) = parts.get_mut(id as usize) {
                part.timestamps_ns.push(self.timestamps_ns[row]);
                part.values.extend_from_slice(self.values_of(row));
            }
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Bytes that the columns hold.
    pub fn memory_bytes(&self) -> usize {
        self.timestamps_ns.len() * 8 + self.values.len() * 8 + self.label_ids.len() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_come_apart_in_order() {
        let [a, b, unused] = ["a", "b", "c"].map(|value| Labels::new([("k", value)]).unwrap());
        let rows = Rows {
            dimension: 2,
            timestamps_ns: vec![1, 1, 2],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            label_ids: vec![1, 0, 1],
            label_sets: vec![a.clone(), b.clone(), unused],
        };
        let parts = rows.by_label_set();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].labels_of(0), &parts[0].timestamps_ns), (Some(&a), &vec![1]));
        assert_eq!((parts[1].labels_of(1), &parts[1].timestamps_ns), (Some(&b), &vec![1, 2]));
        assert_eq!(parts[1].values, [1.0, 2.0, 5.0, 6.0]);
        assert_eq!(Rows::new(3).by_label_set(), [Rows::new(3)]);
    }
}
