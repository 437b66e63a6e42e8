//! Exact cosine search.

use crate::base::{Error, Labels, Result, Rows};

use super::{Direction, Top};

/// One match.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Its first point.
    pub timestamp_ns: i64,
    /// Its last point, where the match is a window.
    pub end_timestamp_ns: Option<i64>,
    /// The stored numbers, time-major.
    pub values: Vec<f64>,
    /// Labels of the first point.
    pub labels: Labels,
    /// −1 to 1.
    pub similarity: f64,
}

/// A search in progress.
pub struct Search {
    query: Direction,
    dimension: usize,
    /// Points of a match.
    window: usize,
    limit: usize,
    threshold: f64,
    top: Top<Match>,
    /// For windows: everything that was pushed, for matches overlap across blocks.
    kept: Rows,
    similarities: Vec<f64>,
}

impl Search {
    /// A search for the `limit` best matches of at least `threshold`. A query of
    /// `dimension` numbers is compared with points, one of m × `dimension` (m ≥ 2) with
    /// windows of m consecutive points; of windows that share points only the best is
    /// a match.
    ///
    /// # Errors
    /// `DIMENSION_MISMATCH` for any other length; `INVALID_ARGUMENT` for a zero query,
    /// numbers that are not finite, or a limit of 0.
    pub fn new(query: &[f64], dimension: usize, limit: usize, threshold: f64) -> Result<Self> {
        if limit == 0 {
            return Err(Error::invalid("limit is 0; ask for at least one match"));
        }
        Ok(Self::of(Direction::new(query, dimension)?, dimension, limit, threshold))
    }

    /// The same for a direction that was made for this dimension.
    pub(super) fn of(query: Direction, dimension: usize, limit: usize, threshold: f64) -> Self {
        let window = query.unit().len() / dimension;
        Self {
            query,
            dimension,
            window,
            limit,
            threshold,
            top: Top::new(limit),
            kept: Rows::new(dimension),
            similarities: Vec::new(),
        }
    }

    /// Looks at the next points, in the order of time.
    pub fn push(&mut self, rows: &Rows) {
        if self.window > 1 {
            self.push_windows(rows);
            return;
        }
        for row in 0..rows.len() {
            let values = rows.values_of(row);
            let similarity = self.query.similarity(values);
            if similarity >= self.threshold {
                self.top.offer(similarity, || Match {
                    timestamp_ns: rows.timestamps_ns[row],
                    end_timestamp_ns: None,
                    values: values.to_vec(),
                    labels: rows.labels_of(row).cloned().unwrap_or_else(Labels::empty),
                    similarity,
                });
            }
        }
    }

    fn push_windows(&mut self, rows: &Rows) {
        let sets = self.kept.label_sets.len() as u32;
        self.kept.label_sets.extend(rows.label_sets.iter().cloned());
        if rows.label_sets.is_empty() {
            self.kept.label_sets.push(Labels::empty());
        }
        for row in 0..rows.len() {
            self.kept.label_ids.push(sets + rows.label_ids.get(row).copied().unwrap_or_default());
        }
        self.kept.timestamps_ns.extend_from_slice(&rows.timestamps_ns);
        self.kept.values.extend_from_slice(&rows.values);
        while self.similarities.len() + self.window <= self.kept.len() {
            let start = self.similarities.len();
            let values = &self.kept.values[start * self.dimension..(start + self.window) * self.dimension];
            self.similarities.push(self.query.similarity(values));
        }
    }

    /// The matches, best first; of equals the older.
    pub fn finish(self) -> Vec<Match> {
        if self.window == 1 {
            return self.top.into_sorted().into_iter().map(|(_, found)| found).collect();
        }
        let mut order: Vec<usize> =
            (0..self.similarities.len()).filter(|&at| self.similarities[at] >= self.threshold).collect();
        order.sort_by(|&a, &b| self.similarities[b].total_cmp(&self.similarities[a]).then(a.cmp(&b)));
        let mut covered = vec![false; self.similarities.len()];
        let mut matches = Vec::new();
        for start in order {
            if matches.len() == self.limit {
                break;
            }
            if covered[start] {
                continue;
            }
            let end = start + self.window - 1;
            matches.push(Match {
                timestamp_ns: self.kept.timestamps_ns[start],
                end_timestamp_ns: Some(self.kept.timestamps_ns[end]),
                values: self.kept.values[start * self.dimension..(end + 1) * self.dimension].to_vec(),
                labels: self.kept.labels_of(start).cloned().unwrap_or_else(Labels::empty),
                similarity: self.similarities[start],
            });
            let from = (start + 1).saturating_sub(self.window);
            let to = (start + self.window).min(covered.len());
            covered[from..to].fill(true);
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorCode, Rng};

    fn rows(dimension: usize, values: &[f64]) -> Rows {
        Rows {
            dimension,
            timestamps_ns: (0..(values.len() / dimension) as i64).collect(),
            values: values.to_vec(),
            ..Rows::default()
        }
    }

    fn search(
        query: &[f64],
        dimension: usize,
        limit: usize,
        threshold: f64,
        values: &[f64],
    ) -> Vec<(usize, f64)> {
        let mut search = Search::new(query, dimension, limit, threshold).unwrap();
        search.push(&rows(dimension, values));
        search.finish().into_iter().map(|found| (found.timestamp_ns as usize, found.similarity)).collect()
    }

    #[test]
    fn points_by_direction() {
        let stored = [1.0, 0.0, 2.0, 2.0, 0.0, 0.0, -3.0, 0.0, 5.0, 0.0];
        let found = search(&[10.0, 0.0], 2, 10, -1.0, &stored);
        assert_eq!(found.iter().map(|m| m.0).collect::<Vec<_>>(), [0, 4, 1, 2, 3]);
        assert_eq!((found[0].1, found[3].1, found[4].1), (1.0, 0.0, -1.0));
        assert_eq!(search(&[1.0, 0.0], 2, 10, 0.5, &stored).len(), 3);
        assert_eq!(search(&[1.0, 0.0], 2, 1, -1.0, &stored), [(0, 1.0)]);
    }

    #[test]
    fn extremes_keep_their_direction() {
        let stored = [1e300, 1e300, 1e-300, 1e-300, 5e-324, 5e-324];
        for query in [[1e300, 1e300], [1e-300, 1e-300]] {
            let found = search(&query, 2, 3, -1.0, &stored);
            assert!(found.iter().all(|m| (m.1 - 1.0).abs() < 1e-12), "{found:?}");
        }
    }

    #[test]
    fn windows_agree_with_the_definition_however_they_are_pushed() {
        let mut rng = Rng::new(4);
        for round in 0..30 {
            let (dimension, m) = (1 + round % 2, 2 + round % 5);
            let values: Vec<f64> = (0..60 * dimension).map(|_| rng.unit_f64() - 0.5).collect();
            let query: Vec<f64> = (0..m * dimension).map(|_| rng.unit_f64() - 0.5).collect();
            let cosine = |start: usize| {
                let w = &values[start * dimension..(start + m) * dimension];
                let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                sum(w, &query) / (sum(w, w) * sum(&query, &query)).sqrt()
            };
            let mut all: Vec<(usize, f64)> = (0..=60 - m).map(|start| (start, cosine(start))).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut expected: Vec<(usize, f64)> = Vec::new();
            for (start, similarity) in all {
                if expected.len() < 4 && expected.iter().all(|e| e.0.abs_diff(start) >= m) {
                    expected.push((start, similarity));
                }
            }
            let mut search = Search::new(&query, dimension, 4, -1.0).unwrap();
            let all = rows(dimension, &values);
            for part in 0..6 {
                let mut block = rows(dimension, &values[part * 10 * dimension..(part + 1) * 10 * dimension]);
                block.timestamps_ns = all.timestamps_ns[part * 10..(part + 1) * 10].to_vec();
                search.push(&block);
            }
            let found = search.finish();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.timestamp_ns as usize, expected.0);
                assert!((found.similarity - expected.1).abs() < 1e-12);
                assert_eq!(found.end_timestamp_ns, Some((expected.0 + m - 1) as i64));
                assert_eq!(found.values.len(), m * dimension);
            }
        }
    }

    #[test]
    fn bad_queries_are_refused() {
        let code = |query: &[f64], limit| Search::new(query, 2, limit, 0.0).err().unwrap().code();
        assert_eq!(code(&[1.0], 1), ErrorCode::DimensionMismatch);
        assert_eq!(code(&[1.0, 2.0, 3.0], 1), ErrorCode::DimensionMismatch);
        assert_eq!(code(&[], 1), ErrorCode::DimensionMismatch);
        assert_eq!(code(&[0.0, 0.0], 1), ErrorCode::InvalidArgument);
        assert_eq!(code(&[1.0, f64::NAN], 1), ErrorCode::InvalidArgument);
        assert_eq!(code(&[1.0, 2.0], 0), ErrorCode::InvalidArgument);
    }
}
