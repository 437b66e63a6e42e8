//! What a picture of a series shows, before it is drawn: scales, ticks, and the line
//! reduced to what the columns of the picture can show.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan, Unit};

use super::times::readable;

/// A window that is marked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    pub start_ns: i64,
    pub end_ns: i64,
    /// Counted from 0; the two windows of a motif share one.
    pub rank: usize,
}

/// A series and what is marked in it.
pub(super) struct Chart {
    pub title: String,
    /// Not empty.
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub marks: Vec<Mark>,
    /// What a mark is called.
    pub what: &'static str,
}

/// A colour as red, green and blue.
pub(super) type Color = [u8; 3];

pub(super) const BACKGROUND: Color = [255, 255, 255];
const INK: Color = [40, 44, 52];
const FAINT: Color = [225, 228, 232];
const LINE: Color = [31, 95, 166];
const MARKED: Color = [200, 40, 40];
const MARK_FILLS: [Color; 6] =
    [[253, 216, 214], [254, 229, 200], [252, 243, 196], [220, 240, 211], [210, 231, 247], [231, 220, 245]];

/// Something to draw; units are pixels from the top left corner.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Rectangle {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        color: Color,
    },
    /// Connected points.
    Path {
        points: Vec<(f64, f64)>,
        color: Color,
    },
    /// `x` is where the text begins, ends (`anchor` 1), or has its middle (0.5).
    Text {
        x: f64,
        y: f64,
        text: String,
        anchor: f64,
        color: Color,
        large: bool,
    },
}

/// All shapes of a picture, in the order of drawing.
pub(super) struct Scene {
    pub width: usize,
    pub height: usize,
    pub title: String,
    pub shapes: Vec<Shape>,
}

/// Least and greatest value of each column, and where in the column they are.
struct Column {
    min: f64,
    max: f64,
}

impl Chart {
    fn span(&self) -> (i64, f64) {
        let first = self.times.first().copied().unwrap_or_default();
        let last = self.times.last().copied().unwrap_or_default();
        (first, (last as f64 - first as f64).max(1.0))
    }

    /// Where a time is, from 0 to 1.
    fn place(&self, ns: i64) -> f64 {
        let (first, span) = self.span();
        ((ns as f64 - first as f64) / span).clamp(0.0, 1.0)
    }

    /// The range of values, with some air.
    fn value_range(&self) -> (f64, f64) {
        let (min, max) = self
            .values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), &value| (min.min(value), max.max(value)));
        let air = if max > min { (max - min) * 0.05 } else { min.abs().max(1.0) * 0.1 };
        ((min - air).max(f64::MIN), (max + air).min(f64::MAX))
    }

    fn columns(&self, count: usize) -> Vec<Option<Column>> {
        let mut columns: Vec<Option<Column>> = (0..count).map(|_| None).collect();
        for (&time, &value) in self.times.iter().zip(&self.values) {
            let at = ((self.place(time) * count as f64) as usize).min(count - 1);
            let column = columns[at].get_or_insert(Column { min: value, max: value });
            column.min = column.min.min(value);
            column.max = column.max.max(value);
        }
        columns
    }

    /// One line a mark, by rank.
    pub fn legend(&self) -> Vec<String> {
        let ranks = self.marks.iter().map(|mark| mark.rank + 1).max().unwrap_or_default();
        (0..ranks)
            .map(|rank| {
                let windows = self.marks.iter().filter(|mark| mark.rank == rank);
                let windows =
                    windows.map(|mark| format!("{} to {}", readable(mark.start_ns), readable(mark.end_ns)));
                windows.collect::<Vec<_>>().join(" and ")
            })
            .collect()
    }

    /// The chart in characters of 2 × 4 dots.
    pub fn terminal(&self, width: usize, height: usize) -> String {
        let (min, max) = self.value_range();
        let labels = [number(max), number(f64::midpoint(min, max)), number(min)];
        let margin = labels.iter().map(String::len).max().unwrap_or_default();
        let inner = width.saturating_sub(margin + 1).max(10);
        let mut dots = vec![0_u8; inner * height];
        let rows = height * 4;
        let row = |value: f64| {
            let place = (value - min) / (max - min);
            ((1.0 - place) * (rows - 1) as f64).round().clamp(0.0, (rows - 1) as f64) as usize
        };
        let mut before: Option<(usize, usize)> = None;
        for (x, column) in self.columns(inner * 2).iter().enumerate() {
            let Some(column) = column else { continue };
            let (mut top, mut bottom) = (row(column.max), row(column.min));
            let own = (top, bottom);
            // Neighbouring columns are joined.
            if let Some((t, b)) = before {
                top = top.min(b);
                bottom = bottom.max(t);
            }
            before = Some(own);
            for y in top..=bottom {
                const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
                dots[(y / 4) * inner + x / 2] |= BITS[y % 4][x % 2];
            }
        }
        let mut out = format!("{:margin$} {}\n", "", self.title);
        for y in 0..height {
            let label = match y {
                0 => &labels[0],
                y if y == height / 2 => &labels[1],
                y if y == height - 1 => &labels[2],
                _ => "",
            };
            let line: String = dots[y * inner..(y + 1) * inner]
                .iter()
                .map(|&bits| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' '))
                .collect();
            out.push_str(&format!("{label:>margin$} {line}\n"));
        }
        if !self.marks.is_empty() {
            let mut marks = vec![' '; inner];
            for mark in &self.marks {
                let at = |ns: i64| ((self.place(ns) * inner as f64) as usize).min(inner - 1);
                let (start, end) = (at(mark.start_ns), at(mark.end_ns));
                marks[start..=end].fill('▔');
                marks[usize::midpoint(start, end)] =
                    char::from_digit((mark.rank + 1) as u32, 36).unwrap_or('*');
            }
            out.push_str(&format!("{:margin$} {}\n", "", marks.iter().collect::<String>().trim_end()));
        }
        let (first, last) = (self.times.first().copied(), self.times.last().copied());
        let (first, last) = (readable(first.unwrap_or_default()), readable(last.unwrap_or_default()));
        let gap = inner.saturating_sub(first.len() + last.len()).max(1);
        out.push_str(&format!("{:margin$} {first}{:gap$}{last}", "", ""));
        for (at, line) in self.legend().iter().enumerate() {
            out.push_str(&format!("\n{:margin$} {} {}: {line}", "", self.what, at + 1));
        }
        out
    }

    /// The chart as shapes.
    pub fn scene(&self, width: usize, height: usize) -> Scene {
        let (left, right, top, bottom) = (78.0, 20.0, 44.0, 34.0);
        let (inner_width, inner_height) = (width as f64 - left - right, height as f64 - top - bottom);
        let (min, max) = self.value_range();
        let x = |place: f64| left + place * inner_width;
        let y = |value: f64| top + (1.0 - (value - min) / (max - min)) * inner_height;
        let mut shapes = vec![Shape::Rectangle {
            x: 0.0,
            y: 0.0,
            width: width as f64,
            height: height as f64,
            color: BACKGROUND,
        }];
        for mark in &self.marks {
            let (from, to) = (x(self.place(mark.start_ns)), x(self.place(mark.end_ns)));
            let color = MARK_FILLS[mark.rank % MARK_FILLS.len()];
            let width = (to - from).max(2.0);
            shapes.push(Shape::Rectangle { x: from, y: top, width, height: inner_height, color });
        }
        for value in value_ticks(min, max) {
            shapes.push(Shape::Path {
                points: vec![(left, y(value)), (left + inner_width, y(value))],
                color: FAINT,
            });
            shapes.push(text(left - 8.0, y(value) + 4.0, number(value), 1.0, INK));
        }
        let (first, span) = self.span();
        let mut free_from = 0.0;
        for (ns, label) in time_ticks(first, first.saturating_add(span as i64)) {
            let at = x(self.place(ns));
            let half = label.len() as f64 * 4.0;
            shapes.push(Shape::Path {
                points: vec![(at, top + inner_height), (at, top + inner_height + 5.0)],
                color: INK,
            });
            if at - half >= free_from && at + half <= width as f64 {
                free_from = at + half + 8.0;
                shapes.push(text(at, height as f64 - 12.0, label, 0.5, INK));
            }
        }
        // Each pixel column shows its whole range, and joins its neighbour's.
        let columns = (inner_width as usize).max(2);
        let mut points = Vec::new();
        if self.times.len() <= columns {
            points.extend(
                self.times.iter().zip(&self.values).map(|(&time, &value)| (x(self.place(time)), y(value))),
            );
        } else {
            for (at, column) in self.columns(columns).iter().enumerate() {
                let Some(column) = column else { continue };
                let at = left + at as f64 + 0.5;
                let (low, high) = (y(column.min), y(column.max));
                // From where the line is, first the nearer end.
                let near_low =
                    points.last().is_none_or(|&(_, y): &(f64, f64)| (y - low).abs() < (y - high).abs());
                points.extend(if near_low { [(at, low), (at, high)] } else { [(at, high), (at, low)] });
            }
        }
        shapes.push(Shape::Path { points, color: LINE });
        for mark in &self.marks {
            let middle = f64::midpoint(x(self.place(mark.start_ns)), x(self.place(mark.end_ns)));
            shapes.push(text(middle, top + 14.0, (mark.rank + 1).to_string(), 0.5, MARKED));
        }
        shapes.push(Shape::Path {
            points: vec![(left, top), (left, top + inner_height), (left + inner_width, top + inner_height)],
            color: INK,
        });
        shapes.push(Shape::Text {
            x: left,
            y: 26.0,
            text: self.title.clone(),
            anchor: 0.0,
            color: INK,
            large: true,
        });
        Scene { width, height, title: self.title.clone(), shapes }
    }
}

fn text(x: f64, y: f64, text: String, anchor: f64, color: Color) -> Shape {
    Shape::Text { x, y, text, anchor, color, large: false }
}

/// A value for an axis: four digits that matter.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs().log10();
    if !(-4.0..7.0).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - size.floor() as i32).clamp(0, 8) as usize;
    let shown = format!("{value:.digits$}");
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

/// Round values between `min` and `max`.
fn value_ticks(min: f64, max: f64) -> Vec<f64> {
    let raw = (max - min) / 5.0;
    if !raw.is_finite() || raw <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| step >= raw);
    let step = step.unwrap_or(10.0 * power);
    let first = (min / step).ceil();
    (0..20).map(|at| (first + f64::from(at)) * step).take_while(|&value| value <= max).collect()
}

/// Round times of a range, with what to write at them.
fn time_ticks(first_ns: i64, last_ns: i64) -> Vec<(i64, String)> {
    let civil = |ns: i64| {
        Timestamp::from_nanosecond(i128::from(ns)).ok().map(|timestamp| Offset::UTC.to_datetime(timestamp))
    };
    let nanoseconds =
        |time: DateTime| i64::try_from(Offset::UTC.to_timestamp(time).ok()?.as_nanosecond()).ok();
    let (Some(first), span) = (civil(first_ns), last_ns as f64 - first_ns as f64) else { return Vec::new() };
    let hours = span / 3.6e12;
    let (step, start, format) = if hours > 24.0 * 365.0 * 4.0 {
        (Some(1.year()), first.with().month(1).day(1).build().ok(), "%Y")
    } else if hours > 24.0 * 60.0 {
        (Some(1.month()), first.with().day(1).build().ok(), "%b %Y")
    } else if hours > 48.0 {
        (Some(1.day()), Some(first), "%b %-d")
    } else if hours > 2.0 {
        (Some(1.hour()), first.with().minute(0).build().ok(), "%H:%M")
    } else if hours > 1.0 / 30.0 {
        (Some(1.minute()), first.with().minute(first.minute()).second(0).build().ok(), "%H:%M")
    } else {
        (None, None, "")
    };
    let (Some(step), Some(start)) = (step, start) else {
        // Too short for round times: its ends, and seconds since the first.
        let parts = 5;
        return (0..=parts)
            .map(|at| {
                let offset = span * f64::from(at) / f64::from(parts);
                (first_ns.saturating_add(offset as i64), format!("+{}s", number(offset / 1e9)))
            })
            .collect();
    };
    let unit = if hours > 48.0 { Unit::Day } else { Unit::Minute };
    let mut at = start.round(unit).unwrap_or(start);
    let mut ticks = Vec::new();
    while ticks.len() < 200 {
        let Some(ns) = nanoseconds(at).filter(|&ns| ns <= last_ns) else { break };
        if ns >= first_ns {
            ticks.push((ns, at.strftime(format).to_string()));
        }
        let Ok(next) = at.checked_add(step) else { break };
        at = next;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: usize) -> Chart {
        Chart {
            title: "a < b".into(),
            times: (0..points as i64).map(|at| at * 3_600_000_000_000).collect(),
            values: (0..points).map(|at| (at as f64 / 10.0).sin()).collect(),
            marks: vec![Mark { start_ns: 0, end_ns: 36_000_000_000_000, rank: 0 }],
            what: "anomaly",
        }
    }

    #[test]
    fn a_terminal_chart_has_its_size_and_its_marks() {
        let shown = chart(1000).terminal(80, 10);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 1 + 10 + 1 + 1 + 1);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("1970-01-01 00:00:00") && shown.contains("anomaly 1: "), "{shown}");
        assert!(lines[11].contains('1'));
    }

    #[test]
    fn extreme_charts_are_drawn() {
        for (times, values) in [
            (vec![5], vec![1.0]),
            (vec![i64::MIN, i64::MAX], vec![f64::MIN, f64::MAX]),
            (vec![0, 1], vec![3.0, 3.0]),
            (vec![0, 1, 1], vec![-1e-300, 0.0, 1e-300]),
        ] {
            let chart = Chart { title: String::new(), times, values, marks: Vec::new(), what: "motif" };
            assert!(!chart.terminal(30, 4).is_empty());
            let scene = chart.scene(300, 150);
            assert!(scene.shapes.len() > 3);
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(value_ticks(0.3, 5.1), [1.0, 2.0, 3.0, 4.0, 5.0]);
        let year = 365 * 86_400 * 1_000_000_000;
        let ticks = time_ticks(0, year);
        assert_eq!(ticks.len(), 13);
        assert_eq!(ticks[1].1, "Feb 1970");
        assert_eq!(number(4.0), "4");
        assert_eq!(number(0.000_012), "1.20e-5");
    }
}
