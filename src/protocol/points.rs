//! Batches of points in JSON, read straight into columns.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::{BATCH_POINTS_MAX, DIMENSION_MAX, Error, ErrorCode, Labels, Points, Result};

/// Nanoseconds since the epoch: an integer, or a string of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp(pub i64);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TimestampVisitor;
        impl Visitor<'_> for TimestampVisitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of nanoseconds, or a string of one")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<Timestamp, E> {
                Ok(Timestamp(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<Timestamp, E> {
                i64::try_from(value)
                    .map(Timestamp)
                    .map_err(|_| E::custom(format!("timestamp {value} is out of range")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Timestamp, E> {
                text.parse()
                    .map(Timestamp)
                    .map_err(|_| E::custom(format!("timestamp '{text}' is not a 64-bit integer")))
            }
        }
        deserializer.deserialize_any(TimestampVisitor)
    }
}

/// An object of strings.
pub(super) struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// Appends an array of numbers to a column, or a single number; says how many.
struct NumbersInto<'a> {
    out: &'a mut Vec<f64>,
    single: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for NumbersInto<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumbersInto<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("finite numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<usize, E> {
        *self.single = true;
        self.out.push(value);
        Ok(1)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<usize, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<usize, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<usize, A::Error> {
        let before = self.out.len();
        while let Some(value) = seq.next_element::<f64>()? {
            if self.out.len() - before == DIMENSION_MAX as usize {
                return Err(A::Error::custom(format!(
                    "a point has at most {DIMENSION_MAX} values; send it to several series"
                )));
            }
            self.out.push(value);
        }
        Ok(self.out.len() - before)
    }
}

/// Columns under construction.
#[derive(Default)]
struct Batch {
    points: Points,
    /// Set where the error is one of dimension rather than of form.
    mismatch: bool,
    too_many: bool,
}

impl Batch {
    fn note_width<E: serde::de::Error>(&mut self, row: usize, width: usize) -> std::result::Result<(), E> {
        if row == 0 {
            self.points.dimension = width;
        } else if self.points.dimension != width {
            self.mismatch = true;
            return Err(E::custom(format!(
                "point {row} and point 0 differ in their number of values ({width} and {}); give each point \
                 as many as the series has dimensions",
                self.points.dimension
            )));
        }
        if row >= BATCH_POINTS_MAX {
            self.too_many = true;
            return Err(E::custom(format!("a batch has at most {BATCH_POINTS_MAX} points; send several")));
        }
        Ok(())
    }

    fn fail(&self, what: &str, e: &serde_json::Error) -> Error {
        let code = match (self.mismatch, self.too_many) {
            (true, _) => ErrorCode::DimensionMismatch,
            (_, true) => ErrorCode::LimitExceeded,
            _ => ErrorCode::InvalidArgument,
        };
        // The place that serde names counts from the start of the field, on one line.
        let message = e.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        Error::new(code, format!("field '{what}': {message}"))
    }
}

/// The row form: an array of points.
struct PointsInto<'a>(&'a mut Batch);

impl<'de> DeserializeSeed<'de> for PointsInto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PointsInto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of points {\"timestamp_ns\"?, \"values\", \"labels\"?}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        while seq.next_element_seed(PointInto(self.0))?.is_some() {}
        Ok(())
    }
}

struct PointInto<'a>(&'a mut Batch);

impl<'de> DeserializeSeed<'de> for PointInto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PointInto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point {\"timestamp_ns\"?, \"values\", \"labels\"?}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let batch = self.0;
        let row = batch.points.len();
        let (mut timestamp, mut width, mut labels): (Option<Timestamp>, Option<usize>, Option<Pairs>) =
            (None, None, None);
        let twice = |field: &str| A::Error::custom(format!("point {row} has '{field}' twice"));
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "timestamp_ns" | "timestamp" => {
                    if timestamp.replace(map.next_value()?).is_some() {
                        return Err(twice("timestamp_ns"));
                    }
                }
                "values" => {
                    if width.is_some() {
                        return Err(twice("values"));
                    }
                    let mut single = false;
                    let into = NumbersInto { out: &mut batch.points.values, single: &mut single };
                    width = Some(map.next_value_seed(into)?);
                    if single {
                        return Err(A::Error::custom(format!("the values of point {row} are not an array")));
                    }
                }
                "labels" => {
                    if labels.replace(map.next_value()?).is_some() {
                        return Err(twice("labels"));
                    }
                }
                other => {
                    return Err(A::Error::custom(format!("point {row} has the unknown field '{other}'")));
                }
            }
        }
        let width = width.ok_or_else(|| A::Error::custom(format!("point {row} has no 'values'")))?;
        batch.note_width(row, width)?;
        let points = &mut batch.points;
        let labels = labels.map_or(Ok(Labels::empty()), |pairs| Labels::new(pairs.0));
        let labels = labels.map_err(|e| A::Error::custom(format!("point {row}: {}", e.message())))?;
        if timestamp.is_none() {
            points.unassigned.push(row as u32);
        }
        points.timestamps_ns.push(timestamp.map_or(0, |timestamp| timestamp.0));
        note_labels(points, labels);
        Ok(())
    }
}

/// Gives the newest point its label set; label columns exist only where they are
/// needed.
fn note_labels(points: &mut Points, labels: Labels) {
    let row = points.len() - 1;
    let last_id = points.label_ids.last().copied().unwrap_or_default();
    let last = points.label_sets.get(last_id as usize);
    if row > 0 && last.map_or(labels.is_empty(), |last| *last == labels) {
        if !points.label_ids.is_empty() {
            points.label_ids.push(last_id);
        }
        return;
    }
    if row == 0 {
        if !labels.is_empty() {
            points.label_sets.push(labels);
        }
        return;
    }
    if points.label_sets.is_empty() {
        points.label_sets.push(Labels::empty());
    }
    if points.label_ids.is_empty() {
        points.label_ids = vec![0; row];
    }
    // Looks back a little: batches often take turns between a few sets.
    let known =
        points.label_sets.iter().rposition(|set| *set == labels).filter(|_| points.label_sets.len() < 64);
    let id = known.unwrap_or_else(|| {
        points.label_sets.push(labels);
        points.label_sets.len() - 1
    });
    points.label_ids.push(id as u32);
}

/// The values column: an array of arrays, or a flat array where points have one value.
struct ValuesInto<'a>(&'a mut Batch);

impl<'de> DeserializeSeed<'de> for ValuesInto<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ValuesInto<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arrays of numbers, or of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<usize, A::Error> {
        let mut rows = 0;
        let mut flat = None;
        loop {
            let mut single = false;
            let into = NumbersInto { out: &mut self.0.points.values, single: &mut single };
            let Some(width) = seq.next_element_seed(into)? else { return Ok(rows) };
            if *flat.get_or_insert(single) != single {
                return Err(A::Error::custom(format!("row {rows} is of another form than row 0")));
            }
            self.0.note_width(rows, width)?;
            rows += 1;
        }
    }
}

/// Reads either form of a batch.
///
/// # Errors
/// `INVALID_ARGUMENT` where the form is wrong, `DIMENSION_MISMATCH` where points
/// differ in length, `LIMIT_EXCEEDED` where there are too many.
pub(super) fn parse_batch(
    points: Option<&RawValue>,
    timestamps: Option<&RawValue>,
    values: Option<&RawValue>,
    labels: Labels,
) -> Result<Points> {
    let mut batch = Batch::default();
    match (points, timestamps, values) {
        (Some(points), None, None) => {
            let mut json = serde_json::Deserializer::from_str(points.get());
            PointsInto(&mut batch).deserialize(&mut json).map_err(|e| batch.fail("points", &e))?;
            if !labels.is_empty() {
                return Err(Error::invalid(
                    "field 'labels' of the batch goes with columns; give each point its own labels",
                ));
            }
        }
        (None, Some(timestamps), Some(values)) => {
            let parsed: Vec<Timestamp> =
                serde_json::from_str(timestamps.get()).map_err(|e| batch.fail("timestamps_ns", &e))?;
            let mut json = serde_json::Deserializer::from_str(values.get());
            let rows = ValuesInto(&mut batch).deserialize(&mut json).map_err(|e| batch.fail("values", &e))?;
            if rows != parsed.len() {
                return Err(Error::invalid(format!(
                    "{} timestamps_ns for {rows} values; give one a point",
                    parsed.len()
                )));
            }
            batch.points.timestamps_ns = parsed.into_iter().map(|timestamp| timestamp.0).collect();
            if !labels.is_empty() {
                batch.points.label_sets = vec![labels];
            }
        }
        (None, None, None) => {
            return Err(Error::invalid(
                "field 'points', or 'timestamps_ns' and 'values', of BatchInsert is missing; give one of the two forms",
            ));
        }
        (None, None, Some(_)) => {
            return Err(Error::invalid(
                "field 'timestamps_ns' of BatchInsert is missing; give one of the two forms",
            ));
        }
        (None, Some(_), None) => {
            return Err(Error::invalid(
                "field 'values' of BatchInsert is missing; give one of the two forms",
            ));
        }
        _ => {
            return Err(Error::invalid(
                "fields 'points' and 'timestamps_ns'/'values' of BatchInsert exclude each other; give one form",
            ));
        }
    }
    if batch.points.is_empty() {
        return Err(Error::invalid("the batch has no points; send at least one"));
    }
    if batch.points.dimension == 0 {
        return Err(Error::new(ErrorCode::DimensionMismatch, "the points have no values"));
    }
    Ok(batch.points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, parse_json};

    fn parse(data: &str) -> Result<Points> {
        let text = format!(r#"{{"type":"BatchInsert","data":{{"series":"a",{data}}}}}"#);
        parse_json(text.as_bytes()).command.map(|command| match command {
            Command::BatchInsert { points, .. } => points,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn both_forms_give_the_same_columns() {
        let rows =
            parse(r#""points":[{"timestamp_ns":1,"values":[1,2.5]},{"values":[3,4],"timestamp":"2"}]"#)
                .unwrap();
        let columns = parse(r#""timestamps_ns":["1",2],"values":[[1.0,2.5],[3,4]]"#).unwrap();
        assert_eq!(rows, columns);
        let flat = parse(r#""timestamps_ns":[1,2],"values":[5,-6]"#).unwrap();
        assert_eq!((flat.dimension, flat.values), (1, vec![5.0, -6.0]));
    }

    #[test]
    fn labels_and_missing_timestamps_are_kept_by_row() {
        let points = parse(
            r#""points":[{"values":[1]},{"timestamp_ns":5,"values":[2],"labels":{"k":"v"}},{"values":[3]},
               {"values":[4],"labels":{"k":"v"}}]"#,
        )
        .unwrap();
        assert_eq!(points.unassigned, [0, 2, 3]);
        let labels: Vec<String> = (0..4).map(|row| points.labels_of(row).to_string()).collect();
        assert_eq!(labels, ["", "k=v", "", "k=v"]);
        let all = parse(r#""timestamps_ns":[1],"values":[1],"labels":{"k":"v"}"#).unwrap();
        assert_eq!(all.labels_of(0).to_string(), "k=v");
        let same = parse(r#""points":[{"values":[1],"labels":{"k":"v"}},{"values":[3],"labels":{"k":"v"}}]"#)
            .unwrap();
        assert!(same.label_ids.is_empty() && same.label_sets.len() == 1);
    }

    #[test]
    fn wrong_batches_are_told_apart() {
        for (data, code, part) in [
            (r#""points":[]"#, ErrorCode::InvalidArgument, "no points"),
            (r#""points":[{"values":[1]},{"values":[1,2]}]"#, ErrorCode::DimensionMismatch, "point 1"),
            (r#""points":[{"values":[]}]"#, ErrorCode::DimensionMismatch, "no values"),
            (r#""points":[{"values":[1],"x":2}]"#, ErrorCode::InvalidArgument, "'x'"),
            (r#""points":[{"timestamp_ns":1}]"#, ErrorCode::InvalidArgument, "values"),
            (r#""points":[{"values":["1"]}]"#, ErrorCode::InvalidArgument, "points"),
            (r#""points":[{"values":5}]"#, ErrorCode::InvalidArgument, "array"),
            (r#""points":[{"values":[1e400]}]"#, ErrorCode::InvalidArgument, "range"),
            (r#""points":[{"values":[1],"labels":{"a b":"c"}}]"#, ErrorCode::InvalidArgument, "point 0"),
            (r#""points":7"#, ErrorCode::InvalidArgument, "points"),
            (r#""timestamps_ns":[1,2],"values":[1]"#, ErrorCode::InvalidArgument, "2 timestamps_ns"),
            (r#""timestamps_ns":[1,2],"values":[1,[2]]"#, ErrorCode::InvalidArgument, "row 1"),
            (r#""timestamps_ns":[1,2],"values":[[1],[2,3]]"#, ErrorCode::DimensionMismatch, "point 1"),
            (r#""timestamps_ns":[1.5],"values":[1]"#, ErrorCode::InvalidArgument, "timestamps_ns"),
            (r#""timestamps_ns":[1]"#, ErrorCode::InvalidArgument, "values"),
            (r#""values":[1]"#, ErrorCode::InvalidArgument, "timestamps_ns"),
            (r#""points":[{"values":[1]}],"values":[1]"#, ErrorCode::InvalidArgument, "exclude"),
            (r#""x":1"#, ErrorCode::InvalidArgument, "points"),
        ] {
            let error = parse(data).expect_err(data);
            assert_eq!(error.code(), code, "{data}: {error}");
            assert!(error.message().contains(part), "{data}: {error}");
        }
    }
}
