//! Exact search over points and windows that are pushed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::base::{Error, Labels, Result, Rows, TimeRange};

use super::windows::score_bounds;
use super::{Target, Top};

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
    /// See [`Target::similarity`]; −1 to 1 for a cosine.
    pub similarity: f64,
    /// See [`Target::distance`].
    pub distance: Option<f64>,
}

/// A search in progress.
pub struct Search {
    query: Target,
    dimension: usize,
    /// Points of a match.
    window: usize,
    limit: usize,
    threshold: f64,
    top: Top<Match>,
    /// For windows: everything that was pushed, for matches overlap across blocks.
    kept: Rows,
    /// Points that are sought themselves, in the order of time, and in no match.
    own: Vec<(i64, Labels)>,
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
        Ok(Self::of(Target::direction(query, dimension)?, dimension, limit, threshold))
    }

    /// The same for a target that was made for this dimension.
    pub fn of(query: Target, dimension: usize, limit: usize, threshold: f64) -> Self {
        let window = query.len() / dimension;
        Self {
            query,
            dimension,
            window,
            limit,
            threshold,
            top: Top::new(limit),
            kept: Rows::new(dimension),
            own: Vec::new(),
        }
    }

    /// The same without windows that have one of these points, which are in the order of time.
    #[must_use]
    pub fn without(self, own: Vec<(i64, Labels)>) -> Self {
        Self { own, ..self }
    }

    /// Whether one of these points is sought itself.
    fn is_own(&self, start: usize, end: usize) -> bool {
        let times = &self.kept.timestamps_ns;
        let (Some(first), Some(last)) = (self.own.first(), self.own.last()) else { return false };
        if times[end] < first.0 || times[start] > last.0 {
            return false;
        }
        (start..=end).any(|at| {
            let time = times[at];
            let of_time = self.own.partition_point(|own| own.0 < time)..;
            let mut of_time = self.own[of_time].iter().take_while(|own| own.0 == time);
            of_time.any(|(_, labels)| self.kept.labels_of(at).map_or(labels.is_empty(), |of| of == labels))
        })
    }

    /// Looks at the next points, in the order of time.
    pub fn push(&mut self, rows: &Rows) {
        if self.window > 1 {
            self.push_windows(rows);
            return;
        }
        for row in 0..rows.len() {
            let values = rows.values_of(row);
            let score = self.query.score(values);
            let similarity = self.query.similarity(score);
            if similarity >= self.threshold {
                self.top.offer(score, || Match {
                    timestamp_ns: rows.timestamps_ns[row],
                    end_timestamp_ns: None,
                    values: values.to_vec(),
                    labels: rows.labels_of(row).cloned().unwrap_or_else(Labels::empty),
                    similarity,
                    distance: self.query.distance(score),
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
    }

    /// The matches, best first; of equals the older.
    pub fn finish(self) -> Vec<Match> {
        if self.window == 1 {
            return self.top.into_sorted().into_iter().map(|(_, found)| found).collect();
        }
        let score = |start: usize| {
            let values = &self.kept.values[start * self.dimension..(start + self.window) * self.dimension];
            self.query.score(values)
        };
        let windows = (self.kept.len() + 1).saturating_sub(self.window);
        let bounds = score_bounds(&self.query, &self.kept.values, self.dimension);
        let bounded = |start: usize| match &bounds {
            Some(bounds) => Window { score: bounds[start], is_exact: false, start },
            None => Window { score: score(start), is_exact: true, start },
        };
        let is_wanted = |window: &Window| self.query.similarity(window.score) >= self.threshold;
        let mut best: BinaryHeap<Window> = (0..windows).map(bounded).filter(is_wanted).collect();
        let mut covered = vec![false; windows];
        let mut matches: Vec<Match> = Vec::new();
        while matches.len() < self.limit {
            let Some(window) = best.pop() else { break };
            let (start, end) = (window.start, window.start + self.window - 1);
            if covered[start] {
                continue;
            }
            let times =
                TimeRange { start_ns: self.kept.timestamps_ns[start], end_ns: self.kept.timestamps_ns[end] };
            if self.is_own(start, end) {
                continue;
            }
            if !window.is_exact {
                let exact = Window { score: score(start), is_exact: true, start };
                debug_assert!(
                    exact.score <= window.score,
                    "{} above its bound {}",
                    exact.score,
                    window.score
                );
                best.extend(Some(exact).filter(is_wanted));
                continue;
            }
            matches.push(Match {
                timestamp_ns: times.start_ns,
                end_timestamp_ns: Some(times.end_ns),
                values: self.kept.values[start * self.dimension..(end + 1) * self.dimension].to_vec(),
                labels: self.kept.labels_of(start).cloned().unwrap_or_else(Labels::empty),
                similarity: self.query.similarity(window.score),
                distance: self.query.distance(window.score),
            });
            let from = (start + 1).saturating_sub(self.window);
            let to = (start + self.window).min(covered.len());
            covered[from..to].fill(true);
        }
        matches
    }
}

/// A window and its score, or the most that this can be.
#[derive(PartialEq)]
struct Window {
    score: f64,
    is_exact: bool,
    start: usize,
}

impl Eq for Window {}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> Ordering {
        // Of equals first what may turn out to be as good, then the older.
        self.score
            .total_cmp(&other.score)
            .then(other.is_exact.cmp(&self.is_exact))
            .then(other.start.cmp(&self.start))
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorCode, Metric, Rng};

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

    /// Each window scored, the best taken that shares no point with one already taken.
    fn by_definition(search: &Search, values: &[f64], wanted: usize) -> Vec<(usize, f64)> {
        let size = search.window * search.dimension;
        let windows = (values.len() + search.dimension).saturating_sub(size) / search.dimension;
        let mut all: Vec<(usize, f64)> = (0..windows)
            .map(|start| (start, search.query.score(&values[start * search.dimension..][..size])))
            .filter(|window| search.query.similarity(window.1) >= search.threshold)
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut taken: Vec<(usize, f64)> = Vec::new();
        for (start, score) in all {
            let times = start as i64..(start + search.window) as i64;
            let is_own = search.own.iter().any(|own| times.contains(&own.0));
            if taken.len() < wanted && !is_own && taken.iter().all(|e| e.0.abs_diff(start) >= search.window) {
                taken.push((start, score));
            }
        }
        taken
    }

    #[test]
    fn windows_are_those_of_the_definition_bit_by_bit() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let dimension = 1 + rng.below(3) as usize;
            let points = if seed % 50 == 0 { 9000 } else { 20 + rng.below(300) as usize };
            // Long ones are multiplied another way.
            let m = if seed % 50 == 0 { 1100 } else { 2 + rng.below(30) as usize };
            let offset = [0.0, 1e6, -1e12][rng.below(3) as usize];
            let mut level = 0.0;
            let kind = rng.below(6);
            let mut values: Vec<f64> = (0..points * dimension)
                .map(|_| {
                    level += rng.unit_f64() - 0.5;
                    match kind {
                        0 => rng.below(3) as f64,
                        1 => offset + level,
                        2 => level * 1e300,
                        3 => level * 5e-320,
                        4 => [1e300, 1.0, 1e-300, 0.0][rng.below(4) as usize] * level,
                        _ => level,
                    }
                })
                .collect();
            if rng.one_in(3) {
                let (start, end) = (points / 4 * dimension, points / 2 * dimension);
                let value = values[start];
                values[start..end].fill(value);
            }
            let from = rng.below((points - m.min(points) + 1) as u64) as usize * dimension;
            let mut query = values[from..(from + m * dimension).min(values.len())].to_vec();
            for value in &mut query {
                *value *= 1.0 + 0.01 * rng.unit_f64();
            }
            let metric = [Metric::Cosine, Metric::Dot, Metric::Euclidean][rng.below(3) as usize];
            let Ok(target) = Target::new(&query, dimension, metric, rng.one_in(2)) else { continue };
            if target.len() == dimension {
                continue;
            }
            let wanted = 1 + rng.below(5) as usize;
            let threshold = if rng.one_in(2) { 0.5 } else { f64::NEG_INFINITY };
            let mut search = Search::of(target, dimension, wanted, threshold);
            if rng.one_in(3) {
                search = search.without((5..=25).map(|time| (time, Labels::empty())).collect());
            }
            search.push(&rows(dimension, &values));
            let expected = by_definition(&search, &values, wanted);
            let query = search.query.clone();
            let found = search.finish();
            let places: Vec<usize> = found.iter().map(|found| found.timestamp_ns as usize).collect();
            assert_eq!(places, expected.iter().map(|window| window.0).collect::<Vec<_>>(), "seed {seed}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.similarity.to_bits(), query.similarity(expected.1).to_bits(), "seed {seed}");
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
