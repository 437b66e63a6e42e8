//! How many points a series has, and what they are like.

use crate::base::{Deadline, LabelFilter, Result, TimeRange};
use crate::merge::{MergeOrder, SeriesView};

/// What the values of one dimension are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DimensionSummary {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub stddev: f64,
}

/// What a series is like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesFigures {
    /// Points.
    pub count: u64,
    /// Oldest point.
    pub first_ns: Option<i64>,
    /// Newest point.
    pub last_ns: Option<i64>,
    /// Distinct label sets, the empty one included, of points that exist.
    pub label_sets: u64,
    /// Segments that hold points of it.
    pub segments: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in segments.
    pub disk_bytes: u64,
    /// One entry a dimension; empty where there are no points.
    pub per_dimension: Vec<DimensionSummary>,
}

/// Points that a reader would see. Stretches of time in which only one segment has
/// points, and no tombstone bears, are counted from metadata; the rest is merged.
pub fn count_points(view: &SeriesView, deadline: &Deadline) -> Result<u64> {
    // Sources with the time that they span; memory is always merged, for it may hold
    // a point twice.
    let mut sources: Vec<(TimeRange, Option<u64>)> = Vec::new();
    for memory in &view.memory {
        sources.extend(memory.range().map(|range| (range, None)));
    }
    for (_, _, series) in view.stored() {
        sources.extend(series.range().map(|range| (range, Some(series.rows()))));
    }
    sources.sort_unstable_by_key(|(range, _)| range.start_ns);
    let mut count = 0;
    let mut at = 0;
    while let Some(&(mut range, rows)) = sources.get(at) {
        let first = at;
        at += 1;
        while let Some((next, _)) = sources.get(at).filter(|(next, _)| next.start_ns <= range.end_ns) {
            range = range.union(*next);
            at += 1;
        }
        count += match rows {
            Some(rows) if at - first == 1 && !view.has_tombstones(range) => rows,
            _ => count_range(view, range, &LabelFilter::any(), deadline)?,
        };
    }
    Ok(count)
}

/// As many points as there can be, from metadata alone: what was overwritten or deleted counts too.
pub fn count_at_most(view: &SeriesView) -> u64 {
    let in_memory: u64 = view.memory.iter().map(|memory| memory.points() as u64).sum();
    in_memory + view.stored().map(|(_, _, series)| series.rows()).sum::<u64>()
}

/// Points in a range that the filter matches, by merging all of them.
pub fn count_range(
    view: &SeriesView,
    range: TimeRange,
    filter: &LabelFilter,
    deadline: &Deadline,
) -> Result<u64> {
    let sets = view.label_sets(|labels| filter.matches(labels));
    let mut merger = view.merge(range, &sets, MergeOrder::LabelSet);
    let mut count = 0;
    while let Some(slice) = merger.next_slice()? {
        count += slice.rows.len() as u64;
        deadline.check()?;
    }
    Ok(count)
}

/// Running mean and sum of squared deviations (Welford, "Note on a method for
/// calculating corrected sums of squares and products", 1962), of the differences to
/// the first value.
#[derive(Clone, Copy)]
struct Welford {
    scale: f64,
    origin: f64,
    count: f64,
    mean: f64,
    squares: f64,
}

impl Welford {
    fn new(scale: f64) -> Self {
        Self { scale, origin: 0.0, count: 0.0, mean: 0.0, squares: 0.0 }
    }

    fn add(&mut self, value: f64) {
        let value = value * self.scale;
        if self.count == 0.0 {
            self.origin = value;
        }
        let value = value - self.origin;
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn mean(&self) -> f64 {
        (self.origin + self.mean) / self.scale
    }

    fn stddev(&self) -> f64 {
        (self.squares / self.count).max(0.0).sqrt() / self.scale
    }
}

#[derive(Clone, Copy)]
struct Summing {
    min: f64,
    max: f64,
    plain: Welford,
    /// Takes over where squares of the values overflow.
    scaled: Welford,
}

impl Summing {
    fn new() -> Self {
        let tiny = f64::from_bits((1023 - 560) << 52); // 2^-560, so scaling is exact
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            plain: Welford::new(1.0),
            scaled: Welford::new(tiny),
        }
    }

    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.plain.add(value);
        if self.min.abs().max(self.max.abs()) > 1e100 || self.scaled.count == 0.0 {
            // Small values before the first huge one are nothing beside it, but they
            // count.
            while self.scaled.count + 1.0 < self.plain.count {
                self.scaled.add(0.0);
            }
            self.scaled.add(value);
        }
    }

    fn summary(self) -> DimensionSummary {
        let (mean, stddev) = (self.plain.mean(), self.plain.stddev());
        let from = if mean.is_finite() && stddev.is_finite() { self.plain } else { self.scaled };
        DimensionSummary { min: self.min, max: self.max, mean: from.mean(), stddev: from.stddev() }
    }
}

/// Everything about a series; reads all of it.
///
/// # Errors
/// `TIMEOUT`; `CORRUPT_DATA` where a block fails its checks.
pub fn series_figures(view: &SeriesView, deadline: &Deadline) -> Result<SeriesFigures> {
    let mut figures = SeriesFigures {
        segments: view.stored().count() as u64,
        memory_bytes: view.memory.iter().map(|memory| memory.memory_bytes() as u64).sum(),
        disk_bytes: view.stored().map(|(_, _, series)| series.bytes()).sum(),
        ..SeriesFigures::default()
    };
    let sets = view.label_sets(|_| true);
    let mut seen = vec![false; sets.len()];
    let mut dimensions = vec![Summing::new(); view.dimension];
    let mut values = Vec::new();
    let mut merger = view.merge(TimeRange::ALL, &sets, MergeOrder::LabelSet);
    while let Some(slice) = merger.next_slice()? {
        deadline.check()?;
        let rows = slice.rows;
        figures.count += rows.len() as u64;
        let times = &slice.columns.timestamps[rows.clone()];
        if let (Some(&first), Some(&last)) = (times.first(), times.last()) {
            figures.first_ns = Some(figures.first_ns.map_or(first, |found| found.min(first)));
            figures.last_ns = Some(figures.last_ns.map_or(last, |found| found.max(last)));
        }
        if let Some(seen) = seen.get_mut(slice.rank as usize) {
            *seen = true;
        }
        values.clear();
        slice.columns.values.copy_to_f64(rows.start * view.dimension..rows.end * view.dimension, &mut values);
        for point in values.chunks_exact(view.dimension) {
            for (dimension, &value) in dimensions.iter_mut().zip(point) {
                dimension.add(value);
            }
        }
    }
    figures.label_sets = seen.iter().filter(|&&seen| seen).count() as u64;
    if figures.count > 0 {
        figures.per_dimension = dimensions.into_iter().map(Summing::summary).collect();
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_the_populations_and_stands_an_offset() {
        let mut sum = Summing::new();
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            sum.add(1e9 + value);
        }
        let summary = sum.summary();
        assert!((summary.mean - (1e9 + 5.0)).abs() < 1e-6);
        assert!((summary.stddev - 2.0).abs() < 1e-9);
        assert_eq!((summary.min, summary.max), (1e9 + 2.0, 1e9 + 9.0));
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let mut sum = Summing::new();
        for value in [1.0, 1e300, -1e300, 1e300, -1e300, 1.0] {
            sum.add(value);
        }
        let summary = sum.summary();
        assert!(summary.mean.abs() < 1e290, "{}", summary.mean);
        let expected = 1e300 * (4.0_f64 / 6.0).sqrt();
        assert!((summary.stddev / expected - 1.0).abs() < 1e-12, "{}", summary.stddev);
    }
}
