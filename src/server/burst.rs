//! Single points that arrive together, from all connections: those of one series become one
//! write.
//!
//! Only points that a write of their own would accept are taken, so that each of them
//! shares the fate of its neighbours and nothing else: the series is there, the
//! dimension fits, the values fit any type, for the series may be made anew with another
//! before they are written, and the labels are the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::{Labels, Points, SeriesName, ValueType};
use crate::engine::{Engine, Write};
use crate::format::name_hash;

use super::commit::{Round, Ticket, Waiting};

/// Most points of one write, and most values, unless one point has more.
const POINTS_MAX: usize = 4096;
const VALUES_MAX: usize = 128 << 10;

/// A point, as its sender gave it; labels apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    /// Not checked.
    pub series: &'a str,
    /// `None` for now.
    pub timestamp_ns: Option<i64>,
    /// At least one.
    pub values: &'a [f64],
}

/// Which point of which write of a round: the answer is found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// The write.
    pub write: u32,
    /// The point of it, where the server assigns the timestamp: how many before it are
    /// such points too.
    pub assigned: Option<u32>,
}

struct Part {
    series: SeriesName,
    points: Points,
    /// The connections that they came from.
    waiting: Vec<Arc<Waiting>>,
}

/// Points that wait to be submitted.
#[derive(Default)]
pub(super) struct Burst {
    parts: Vec<Part>,
    /// The newest part of each series, by the hash of its name. Of two with one hash the second
    /// is not taken.
    newest: HashMap<u64, usize>,
    last: usize,
    round: Arc<Round>,
}

impl Burst {
    /// The round of what is pushed now.
    pub fn round(&self) -> &Arc<Round> {
        &self.round
    }

    /// Takes a point for which a connection waits, unless it has to be a write of its own.
    pub fn push(
        &mut self,
        engine: &Engine,
        point: &Point<'_>,
        labels: &Labels,
        waiting: &Arc<Waiting>,
    ) -> Option<Row> {
        let at = self.part(engine, point, labels)?;
        let Part { points, waiting: all, .. } = &mut self.parts[at];
        if !all.last().is_some_and(|last| Arc::ptr_eq(last, waiting)) {
            waiting.open_one();
            all.push(waiting.clone());
        }
        let row = points.timestamps_ns.len() as u32;
        points.timestamps_ns.push(point.timestamp_ns.unwrap_or_default());
        points.values.extend_from_slice(point.values);
        let assigned = point.timestamp_ns.is_none().then_some(points.unassigned.len() as u32);
        if assigned.is_some() {
            points.unassigned.push(row);
        }
        Some(Row { write: at as u32, assigned })
    }

    fn part(&mut self, engine: &Engine, point: &Point<'_>, labels: &Labels) -> Option<usize> {
        let dimension = point.values.len();
        if point.values.iter().any(|&value| ValueType::F32.admit(value).is_err()) {
            return None;
        }
        let fits = |part: &Part| {
            let same = part.points.label_sets.first().map_or(labels.is_empty(), |set| set == labels);
            same && part.points.len() < POINTS_MAX && part.points.values.len() + dimension <= VALUES_MAX
        };
        let hash = name_hash(point.series);
        let known = match self.parts.get(self.last) {
            Some(part) if part.series.as_str() == point.series => Some(self.last),
            _ => self.newest.get(&hash).copied(),
        };
        if let Some(at) = known {
            let part = &self.parts[at];
            let is_it = part.series.as_str() == point.series;
            if !is_it || part.points.dimension != dimension {
                return None;
            }
            self.last = at;
            if fits(part) {
                return Some(at);
            }
        }
        let name = match known {
            Some(at) => self.parts[at].series.clone(),
            None => SeriesName::new(point.series).ok()?,
        };
        if engine.describe(&name).ok()?.0 as usize != dimension {
            return None;
        }
        let label_sets = if labels.is_empty() { Vec::new() } else { vec![labels.clone()] };
        let points = Points { dimension, label_sets, ..Points::default() };
        self.last = self.parts.len();
        self.newest.insert(hash, self.last);
        self.parts.push(Part { series: name, points, waiting: Vec::new() });
        Some(self.last)
    }

    /// Queues the writes, and begins the next round.
    pub fn submit(&mut self, engine: &Engine) {
        if self.parts.is_empty() {
            return;
        }
        let Self { parts, round, .. } = std::mem::take(self);
        round.begin(parts.len());
        let ticket = |(write, Part { series, points, waiting, .. })| {
            (Write::Insert { series, points }, Ticket::new(&round, write, waiting))
        };
        // All of them first: each is answered, whatever happens to one.
        let writes: Vec<(Write, Ticket)> = parts.into_iter().enumerate().map(ticket).collect();
        for (write, ticket) in writes {
            engine.queue(write, move |result| ticket.answer(result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Deadline, LabelFilter, SystemClock, TimeRange};
    use crate::engine::{Options, Query, Written};
    use crate::vfs::SimDisk;

    fn engine() -> Engine {
        let options = Options { background: false, ..Options::new("/db") };
        let engine = Engine::open_with(Arc::new(SimDisk::default()), Arc::new(SystemClock), options).unwrap();
        for (name, dimension, value_type) in [("a", 1, ValueType::F64), ("b", 2, ValueType::F32)] {
            let name = SeriesName::new(name).unwrap();
            engine.write(Write::Create { name, dimension, value_type, if_not_exists: false }).unwrap();
        }
        engine
    }

    #[test]
    fn points_of_a_series_go_together_unless_they_differ_in_fate() {
        let engine = engine();
        let none = Labels::empty();
        let north = Labels::new([("mast", "north")]).unwrap();
        let mut burst = Burst::default();
        let waiting = Arc::default();
        let mut push = |series, timestamp_ns, values: &[f64], labels| {
            let row = burst.push(&engine, &Point { series, timestamp_ns, values }, labels, &waiting);
            row.map(|row| (row.write, row.assigned))
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
        assert_eq!(push("a", Some(5), &[1e300], &none), None, "by then it may be a series of f32");
        assert_eq!(push("missing", Some(5), &[1.0], &none), None);
        assert_eq!(push("all", Some(5), &[1.0], &none), None);
        let sent: Vec<_> =
            burst.parts.iter().map(|part| (part.series.to_string(), part.points.len())).collect();
        assert_eq!(sent, [("a".to_owned(), 3), ("b".to_owned(), 1), ("a".to_owned(), 1)]);
    }

    #[test]
    fn a_write_has_at_most_so_many_points_and_values() {
        let engine = engine();
        let name = SeriesName::new("wide").unwrap();
        let dimension = 1000;
        let wide = Write::Create { name, dimension, value_type: ValueType::F64, if_not_exists: false };
        engine.write(wide).unwrap();
        let (mut burst, waiting, none) = (Burst::default(), Arc::default(), Labels::empty());
        let values = [1.0; 1000];
        let mut writes = |series, values, points: usize| {
            let point = Point { series, timestamp_ns: Some(1), values };
            let rows = (0..points).map(|_| burst.push(&engine, &point, &none, &waiting).unwrap().write);
            let mut rows: Vec<u32> = rows.collect();
            rows.dedup();
            rows.len()
        };
        assert_eq!(writes("a", &values[..1], 2 * POINTS_MAX + 1), 3);
        assert_eq!(writes("wide", &values, 2 * (VALUES_MAX / 1000) + 1), 3);
    }

    #[test]
    fn who_gives_points_together_hears_of_their_own() {
        let engine = engine();
        let none = Labels::empty();
        let mut burst = Burst::default();
        let waiting: [Arc<Waiting>; 2] = Default::default();
        let mut push = |series, timestamp_ns, values: &[f64], whose: usize| {
            burst.push(&engine, &Point { series, timestamp_ns, values }, &none, &waiting[whose]).unwrap()
        };
        let rows = [
            push("a", Some(5), &[1.0], 0),
            push("a", None, &[2.0], 1),
            push("a", None, &[3.0], 0),
            push("b", Some(7), &[3.0, 4.0], 1),
            push("a", Some(5), &[4.0], 1),
        ];
        assert_eq!(waiting.each_ref().map(|waiting| waiting.is_open()), [true, true]);
        let round = burst.round().clone();
        // Meanwhile one of the series goes, and one is made anew with another type.
        let name = |name| SeriesName::new(name).unwrap();
        engine.write(Write::Drop { name: name("b") }).unwrap();
        engine.write(Write::Drop { name: name("a") }).unwrap();
        let anew =
            Write::Create { name: name("a"), dimension: 1, value_type: ValueType::F32, if_not_exists: false };
        engine.write(anew).unwrap();
        burst.submit(&engine);
        assert!(!Arc::ptr_eq(&round, burst.round()));
        assert!(!engine.commit());
        assert_eq!(waiting.each_ref().map(|waiting| waiting.is_open()), [false, false]);
        let result = |row: Row| round.result(row.write as usize).unwrap();
        let Ok(Written::Inserted { inserted: 4, assigned_ns, .. }) = result(rows[0]) else {
            panic!("{:?}", result(rows[0]));
        };
        assert_eq!([rows[1].assigned, rows[2].assigned], [Some(0), Some(1)]);
        assert!(assigned_ns[0] < assigned_ns[1]);
        assert!(result(rows[3]).as_ref().unwrap_err().to_string().contains("'b'"));
        // The last of one time is the one that is seen.
        let query = Query {
            series: SeriesName::new("a").unwrap(),
            range: TimeRange { start_ns: 0, end_ns: 10 },
            labels: LabelFilter::default(),
            limit: 9,
        };
        let page = engine.query(&query, &Deadline::none()).unwrap();
        assert_eq!(format!("{:?}", page.rows.values), "[4.0]");
    }
}
