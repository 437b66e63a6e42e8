//! What is written: the synthetic random walks, and series from CSV files.

use std::path::{Path, PathBuf};

use tsdb_vector::base::Rng;

use crate::Result;

/// Of the first point, in milliseconds since the Unix epoch.
pub const START_MS: i64 = 1_700_000_000_000;
/// From one point to the next, but for the jitter.
pub const STEP_MS: i64 = 10_000;
/// Most that a point is early or late; less than half a step, so that ranges between
/// steps have a known number of points.
const JITTER_MS: u64 = 1_000;

/// A point; whole milliseconds, since not every peer stores more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub time_ms: i64,
    pub value: f64,
}

/// The endless series number `series`: a random walk with two decimals, every 10 s with
/// a jitter of a second. The same each time.
#[derive(Debug, Clone)]
pub struct Walk {
    random: Rng,
    at: i64,
    hundredths: i64,
}

impl Walk {
    pub fn new(series: usize) -> Self {
        Self { random: Rng::new(series as u64 + 1), at: 0, hundredths: 0 }
    }
}

impl Iterator for Walk {
    type Item = Point;

    fn next(&mut self) -> Option<Point> {
        let jitter = self.random.below(2 * JITTER_MS + 1) as i64 - JITTER_MS as i64;
        self.hundredths += self.random.below(201) as i64 - 100;
        let time_ms = START_MS + self.at * STEP_MS + jitter;
        self.at += 1;
        Some(Point { time_ms, value: self.hundredths as f64 / 100.0 })
    }
}

/// The range that holds exactly the points `first..first + rows` of a walk, both ends
/// inclusive.
pub fn range_ms(first: u64, rows: u64) -> (i64, i64) {
    let start = START_MS + first as i64 * STEP_MS - STEP_MS / 2;
    (start, start + rows as i64 * STEP_MS - 1)
}

/// The name of synthetic series number `series`.
pub fn name(series: usize) -> String {
    format!("bench_{series}")
}

/// The names of the first `count` synthetic series.
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(name).collect()
}

/// All series of a folder of CSV files whose lines are `<date and time>,<value>`, such as
/// the Numenta Anomaly Benchmark's; of points at one time, the last.
pub fn csv_series(dir: &Path) -> Result<Vec<Vec<Point>>> {
    let mut found = Vec::new();
    for path in csv_files(dir)? {
        found.extend(csv_points(&path)?);
    }
    if found.is_empty() {
        return Err(format!("no CSV file below {} starts with 'timestamp,value'", dir.display()).into());
    }
    Ok(found)
}

/// The points of such a file; none where it is of another kind.
pub fn csv_points(path: &Path) -> Result<Option<Vec<Point>>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("timestamp,value") {
        return Ok(None);
    }
    let mut points = Vec::new();
    for line in lines {
        let point = csv_point(line).ok_or_else(|| format!("{}: '{line}' is no point", path.display()))?;
        points.push(point);
    }
    points.sort_by_key(|point| point.time_ms);
    points.dedup_by(|later, earlier| {
        let same = later.time_ms == earlier.time_ms;
        if same {
            earlier.value = later.value;
        }
        same
    });
    Ok(Some(points))
}

fn csv_point(line: &str) -> Option<Point> {
    let (time, value) = line.split_once(',')?;
    Some(Point { time_ms: time_ms(time).ok()?, value: value.trim().parse().ok()? })
}

/// A date and time as milliseconds since the Unix epoch.
pub fn time_ms(text: &str) -> Result<i64> {
    let time: jiff::civil::DateTime = text.trim().parse()?;
    Ok(jiff::tz::Offset::UTC.to_timestamp(time)?.as_millisecond())
}

fn csv_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(csv_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_exactly_its_points() {
        let points: Vec<Point> = Walk::new(3).take(5000).collect();
        for (first, rows) in [(0, 1), (0, 5000), (17, 1000), (4990, 10)] {
            let (start, end) = range_ms(first, rows);
            let inside: Vec<&Point> =
                points.iter().filter(|point| (start..=end).contains(&point.time_ms)).collect();
            assert_eq!(inside.len(), rows as usize);
            assert_eq!(*inside[0], points[first as usize]);
        }
    }

    #[test]
    fn lines_of_csv_are_points() {
        let point = Point { time_ms: 1_404_172_800_000, value: 10_844.0 };
        assert_eq!(csv_point("2014-07-01 00:00:00,10844"), Some(point));
        assert_eq!(csv_point("yesterday,1"), None);
    }
}
