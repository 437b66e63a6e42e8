//! Single points that arrive together: those of one series become one write.
//!
//! Only points that a write of their own would accept are taken, so that each of them
//! shares the fate of its neighbours and nothing else: the series is there, the
//! dimension fits, the values fit the type, and the labels are the same.

use std::collections::HashMap;

use crate::base::{Labels, Points, SeriesName, ValueType};
use crate::engine::Engine;

/// Most points of one write.
const POINTS_MAX: usize = 4096;

/// Which point of which write: the answer is found there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The write, counted from the first of the burst.
    pub write: usize,
    /// The point of it, where the server assigns the timestamp: how many before it are
    /// such points too.
    pub assigned: Option<usize>,
}

struct Part {
    series: SeriesName,
    value_type: ValueType,
    points: Points,
}

/// Points that wait to be submitted.
#[derive(Default)]
pub(super) struct Burst {
    parts: Vec<Part>,
    /// The newest part of each series.
    newest: HashMap<SeriesName, usize>,
    last: usize,
}

impl Burst {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes a point, unless it has to be a write of its own.
    pub fn push(
        &mut self,
        engine: &Engine,
        series: &str,
        timestamp_ns: Option<i64>,
        values: &[f64],
        labels: &Labels,
    ) -> Option<Place> {
        let at = self.part(engine, series, values, labels)?;
        let points = &mut self.parts[at].points;
        let row = points.timestamps_ns.len() as u32;
        points.timestamps_ns.push(timestamp_ns.unwrap_or_default());
        points.values.extend_from_slice(values);
        let assigned = timestamp_ns.is_none().then_some(points.unassigned.len());
        if assigned.is_some() {
            points.unassigned.push(row);
        }
        Some(Place { write: at, assigned })
    }

    fn part(&mut self, engine: &Engine, series: &str, values: &[f64], labels: &Labels) -> Option<usize> {
        let dimension = values.len();
        let admits = |value_type: ValueType| values.iter().all(|&value| value_type.admit(value).is_ok());
        let fits = |part: &Part| {
            let same = part.points.label_sets.first().map_or(labels.is_empty(), |set| set == labels);
            same && part.points.len() < POINTS_MAX
        };
        let known = match self.parts.get(self.last) {
            Some(part) if part.series.as_str() == series => Some(self.last),
            _ => self.newest.get(series).copied(),
        };
        if let Some(at) = known {
            let part = &self.parts[at];
            if part.points.dimension != dimension || !admits(part.value_type) {
                return None;
            }
            self.last = at;
            if fits(part) {
                return Some(at);
            }
        }
        let name = match known {
            Some(at) => self.parts[at].series.clone(),
            None => SeriesName::new(series).ok()?,
        };
        let (found, value_type) = engine.describe(&name).ok()?;
        if found as usize != dimension || !admits(value_type) {
            return None;
        }
        let label_sets = if labels.is_empty() { Vec::new() } else { vec![labels.clone()] };
        let points = Points { dimension, label_sets, ..Points::default() };
        self.last = self.parts.len();
        self.newest.insert(name.clone(), self.last);
        self.parts.push(Part { series: name, value_type, points });
        Some(self.last)
    }

    /// The writes, in the order of [`Place::write`].
    pub fn take(&mut self) -> impl Iterator<Item = (SeriesName, Points)> + use<> {
        self.newest.clear();
        self.last = 0;
        std::mem::take(&mut self.parts).into_iter().map(|part| (part.series, part.points))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::SystemClock;
    use crate::engine::{Options, Write};
    use crate::vfs::SimDisk;

    #[test]
    fn points_of_a_series_go_together_unless_they_differ_in_fate() {
        let options = Options { background: false, ..Options::new("/db") };
        let engine = Engine::open_with(Arc::new(SimDisk::default()), Arc::new(SystemClock), options).unwrap();
        for (name, dimension, value_type) in [("a", 1, ValueType::F64), ("b", 2, ValueType::F32)] {
            let name = SeriesName::new(name).unwrap();
            engine.write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
        }
        let none = Labels::empty();
        let north = Labels::new([("mast", "north")]).unwrap();
        let mut burst = Burst::default();
        let mut push = |series, time, values: &[f64], labels| {
            burst.push(&engine, series, time, values, labels).map(|place| (place.write, place.assigned))
        };
        assert_eq!(push("a", Some(5), &[1.0], &none), Some((0, None)));
        assert_eq!(push("b", None, &[1.0, 2.0], &none), Some((1, Some(0))));
        assert_eq!(push("a", None, &[2.0], &none), Some((0, Some(0))));
        assert_eq!(push("a", None, &[3.0], &none), Some((0, Some(1))));
        assert_eq!(push("a", Some(6), &[3.0], &north), Some((2, None)));
        // Each of these has an answer of its own.
        assert_eq!(push("a", Some(5), &[1.0, 2.0], &none), None);
        assert_eq!(push("a", Some(5), &[f64::NAN], &none), None);
        assert_eq!(push("b", Some(5), &[1e300, 0.0], &none), None);
        assert_eq!(push("missing", Some(5), &[1.0], &none), None);
        assert_eq!(push("all", Some(5), &[1.0], &none), None);
        let sent: Vec<_> = burst.take().map(|(series, points)| (series.to_string(), points.len())).collect();
        assert_eq!(sent, [("a".to_owned(), 3), ("b".to_owned(), 1), ("a".to_owned(), 1)]);
        assert!(burst.is_empty());
    }
}
