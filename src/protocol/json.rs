//! The JSON dialect: one request object a line, or in an HTTP body.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::{
    Error, ErrorCode, LabelFilter, Labels, Metric, Points, Result, SeriesName, TimeRange, ValueType,
};

use super::help::unknown_command;
use super::points::{Pairs, Timestamp, parse_batch};
use super::scan::scan_json;
use super::text::{checked_dimension, checked_hours, checked_watch};
use super::{
    Analysis, Command, Envelope, ExportFormat, Like, Parsed, Place, PointsForm, Similar, TimeSelection,
    WATCH_POINTS_DEFAULT, WATCH_THRESHOLD_DEFAULT, WatchRequest,
};

/// Understands one JSON request.
pub fn parse_json(bytes: &[u8]) -> Parsed {
    scan_json(bytes).unwrap_or_else(|| parse_tree(bytes))
}

/// The same for every request, and slower for those that bring most points.
pub(super) fn parse_tree(bytes: &[u8]) -> Parsed {
    let mut envelope = Envelope { json: true, ..Envelope::default() };
    let command = parse_request(bytes, &mut envelope);
    Parsed { envelope, command }
}

fn parse_request(bytes: &[u8], envelope: &mut Envelope) -> Result<Command> {
    let not_json = |e: &dyn std::fmt::Display| {
        Error::new(ErrorCode::ParseError, format!("the request is not a JSON object: {e}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::new(ErrorCode::ParseError, format!("the request is not UTF-8 (byte {})", e.valid_up_to()))
    })?;
    let entries: Entries<'_> = serde_json::from_str(text).map_err(|e| not_json(&e))?;
    let mut fields = Fields { of: "the request", entries: entries.0, taken: 0 };
    // First what the reply needs, so that even a bad request is answered as it asks.
    if let Some(id) = fields.find("id") {
        envelope.id = Some(one_line(id.get()));
    }
    if let Some(form) = fields.optional::<String>("timestamps", "\"string\" or \"integer\"")? {
        envelope.timestamps_as_strings = match form.as_str() {
            "string" => true,
            "integer" => false,
            _ => {
                return Err(Error::invalid(format!(
                    "timestamps is \"{form}\"; use \"string\" or \"integer\""
                )));
            }
        };
    }
    let command_type: String = fields.required("type", "a string")?;
    let data = fields.find("data");
    fields.finish()?;
    let entries = match data {
        None => Vec::new(),
        Some(raw) if raw.get() == "null" => Vec::new(),
        Some(raw) => {
            serde_json::from_str::<Entries<'_>>(raw.get())
                .map_err(|_| Error::invalid(format!("data is {}; use an object", shown(raw.get()))))?
                .0
        }
    };
    parse_command(&command_type, Fields { of: &command_type, entries, taken: 0 })
}

/// JSON that may have been spread over lines.
fn one_line(raw: &str) -> String {
    if !raw.contains(['\n', '\r']) {
        return raw.to_owned();
    }
    // Newlines in JSON stand between tokens only; strings hold them escaped.
    raw.replace(['\n', '\r'], " ")
}

fn shown(raw: &str) -> String {
    let mut start: String = raw.chars().take(40).collect();
    if start.len() < raw.len() {
        start.push('…');
    }
    start
}

/// Fields of one object that are looked at, one a bit of [`Fields`].
const FIELDS_MAX: usize = 64;

/// The fields of an object, not yet understood.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((Cow::Owned(key), map.next_value::<&RawValue>()?));
                    // One more than any request has is enough to be refused.
                    if entries.len() > FIELDS_MAX {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        break;
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

pub(super) struct Fields<'a> {
    of: &'a str,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// One bit an entry that was asked for; objects with more than 64 fields have
    /// unknown ones.
    taken: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn find(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        self.taken |= 1_u64.checked_shl(at as u32).unwrap_or(0);
        self.entries.get(at).map(|entry| entry.1)
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        let given: Vec<String> = self.entries.iter().map(|(key, _)| format!("'{}'", shown(key))).collect();
        let given = if given.is_empty() {
            "there are no fields".into()
        } else {
            format!("given: {}", given.join(", "))
        };
        Error::invalid(format!("field '{name}' of {} is missing ({given}); add it", self.of))
    }

    /// `null` counts as absent.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>> {
        match self.find(name) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map(Some).map_err(|_| {
                Error::invalid(format!("field '{name}' is {}; use {expected}", shown(raw.get())))
            }),
        }
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<T> {
        self.optional(name, expected)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn name(&mut self, field: &str) -> Result<SeriesName> {
        let text: String = self.required(field, "a string")?;
        SeriesName::new(&text)
    }

    fn timestamp(&mut self, name: &str) -> Result<Option<i64>> {
        let found: Option<Timestamp> =
            self.optional(name, "an integer of nanoseconds, or a string of one, within 64 bits")?;
        Ok(found.map(|timestamp| timestamp.0))
    }

    /// One of two names for the same field.
    fn either(&mut self, name: &'static str, alias: &'static str) -> Result<&'static str> {
        match (self.find(name).is_some(), self.find(alias).is_some()) {
            (true, true) => {
                Err(Error::invalid(format!("fields '{name}' and '{alias}' mean the same; give one")))
            }
            (false, true) => Ok(alias),
            _ => Ok(name),
        }
    }

    pub(super) fn count(&mut self, name: &str, least: u64) -> Result<Option<usize>> {
        self.count_or(name, least, "")
    }

    /// The same where other values may stand, which the caller has looked for.
    pub(super) fn count_or(&mut self, name: &str, least: u64, others: &str) -> Result<Option<usize>> {
        let expected = format!("an integer of {least} or more{others}");
        let found: Option<i128> = self.optional(name, &expected)?;
        match found {
            None => Ok(None),
            // More than there can be is all that there is.
            Some(count) if count >= i128::from(least) => {
                Ok(Some(usize::try_from(count).unwrap_or(usize::MAX)))
            }
            Some(count) => Err(Error::invalid(format!("field '{name}' is {count}; use {expected}"))),
        }
    }

    fn floats(&mut self, name: &str) -> Result<Vec<f64>> {
        self.required(name, "an array of finite numbers")
    }

    pub(super) fn float(&mut self, name: &str) -> Result<Option<f64>> {
        self.optional(name, "a finite number")
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        Ok(self.optional(name, "true or false")?.unwrap_or(default))
    }

    fn form(&mut self) -> Result<PointsForm> {
        let form: Option<String> = self.optional("form", "\"rows\" or \"columns\"")?;
        match form.as_deref() {
            None | Some("rows") => Ok(PointsForm::Rows),
            Some("columns") => Ok(PointsForm::Columns),
            Some(other) => Err(Error::invalid(format!(
                "field 'form' is \"{}\"; use \"rows\" or \"columns\"",
                shown(other)
            ))),
        }
    }

    fn labels(&mut self) -> Result<Labels> {
        self.labels_in("labels")
    }

    pub(super) fn labels_in(&mut self, name: &str) -> Result<Labels> {
        let pairs: Option<Pairs> = self.optional(name, "an object of strings")?;
        pairs.map_or(Ok(Labels::empty()), |pairs| Labels::new(pairs.0))
    }

    pub(super) fn filter(&mut self) -> Result<LabelFilter> {
        self.labels().map(LabelFilter::new)
    }

    /// All of time, where a bound is absent.
    pub(super) fn open_range(&mut self) -> Result<TimeRange> {
        self.open_range_in("start_ns", "end_ns")
    }

    pub(super) fn open_range_in(&mut self, start: &str, end: &str) -> Result<TimeRange> {
        let start_ns = self.timestamp(start)?.unwrap_or(i64::MIN);
        let end_ns = self.timestamp(end)?.unwrap_or(i64::MAX);
        TimeRange::new(start_ns, end_ns)
    }

    fn range(&mut self) -> Result<TimeRange> {
        let start_ns = self.timestamp("start_ns")?.ok_or_else(|| self.missing("start_ns"))?;
        let end_ns = self.timestamp("end_ns")?.ok_or_else(|| self.missing("end_ns"))?;
        TimeRange::new(start_ns, end_ns)
    }

    /// One series, or all of a pattern.
    fn place(&mut self) -> Result<Place> {
        let pattern: Option<String> = self.optional("series_pattern", "a string")?;
        let series = self.find("series").filter(|raw| raw.get() != "null");
        match (pattern, series) {
            (Some(_), Some(_)) => Err(Error::invalid(
                "fields 'series' and 'series_pattern' can't be together; give one, or the other for all series of a pattern",
            )),
            (Some(pattern), None) if pattern.is_empty() => {
                Err(Error::invalid("field 'series_pattern' is empty; use \"*\" for all series"))
            }
            (Some(pattern), None) => Ok(Place::Pattern(pattern)),
            (None, _) => self.name("series").map(Place::Series),
        }
    }

    /// A vector, or a reference to what happened.
    fn like(&mut self) -> Result<Like> {
        let name = self.either("query_vector", "vector")?;
        let query = self.find("query").filter(|raw| raw.get() != "null");
        match (query, self.find(name)) {
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("fields 'query' and '{name}' can't be together; give one")))
            }
            (Some(raw), None) => {
                let entries = serde_json::from_str::<Entries<'_>>(raw.get()).map_err(|_| {
                    Error::invalid(format!(
                        "field 'query' is {}; use an object of series, timestamp_ns and window",
                        shown(raw.get())
                    ))
                })?;
                let mut of = Fields { of: "field 'query'", entries: entries.0, taken: 0 };
                let like = Like::Then {
                    series: of.name("series")?,
                    timestamp_ns: of.timestamp("timestamp_ns")?.ok_or_else(|| of.missing("timestamp_ns"))?,
                    window: of.count("window", 1)?.unwrap_or(1),
                    labels: of.filter()?,
                };
                of.finish().map(|()| like)
            }
            (None, _) => self.floats(name).map(Like::Vector),
        }
    }

    /// Refuses fields that nobody asked for, and fields that come twice.
    fn finish(self) -> Result<()> {
        for (at, (key, _)) in self.entries.iter().enumerate() {
            if self.entries.iter().take(at).any(|(earlier, _)| earlier == key) {
                return Err(Error::invalid(format!("field '{}' of {} comes twice", shown(key), self.of)));
            }
            if 1_u64.checked_shl(at as u32).is_none_or(|bit| self.taken & bit == 0) {
                return Err(Error::invalid(format!(
                    "field '{}' of {} is unknown; correct or remove it (docs/protocol.md lists the fields)",
                    shown(key),
                    self.of
                )));
            }
        }
        Ok(())
    }
}

fn parse_command(command_type: &str, mut fields: Fields<'_>) -> Result<Command> {
    if let Some(analysis) = Analysis::parse(command_type, &mut fields)? {
        return fields.finish().map(|()| Command::Analyze(Box::new(analysis)));
    }
    let command = match command_type {
        "CreateSeries" => {
            let name = fields.name("name")?;
            let dimension: i64 = fields.required("dimension", "an integer from 1 to 65536")?;
            let value_type: Option<String> = fields.optional("value_type", "\"f64\" or \"f32\"")?;
            Command::Create {
                name,
                dimension: checked_dimension(dimension)?,
                value_type: value_type.map_or(Ok(ValueType::F64), |text| ValueType::parse(&text))?,
                if_not_exists: fields.flag("if_not_exists", false)?,
            }
        }
        "Insert" | "InsertWithLabels" | "InsertAt" | "InsertAtWithLabels" => {
            let series = fields.name("series")?;
            let timestamp = if command_type.starts_with("InsertAt") {
                let name = fields.either("timestamp_ns", "timestamp")?;
                Some(fields.timestamp(name)?.ok_or_else(|| fields.missing("timestamp_ns"))?)
            } else {
                None
            };
            let values = fields.floats("values")?;
            let labels = if command_type.ends_with("WithLabels") {
                if fields.find("labels").is_none() {
                    return Err(fields.missing("labels"));
                }
                fields.labels()?
            } else {
                Labels::empty()
            };
            Command::Insert { series, points: Points::one(timestamp, values, labels) }
        }
        "BatchInsert" => {
            let series = fields.name("series")?;
            let (points, timestamps, values) =
                (fields.find("points"), fields.find("timestamps_ns"), fields.find("values"));
            let labels = fields.labels()?;
            let points = parse_batch(points, timestamps, values, labels)?;
            Command::BatchInsert { series, points }
        }
        "Query" => Command::Query {
            series: fields.name("series")?,
            time: checked_hours(fields.float("hours_back")?.unwrap_or(24.0))?,
            labels: fields.filter()?,
            limit: fields.count("limit", 1)?,
            form: fields.form()?,
        },
        "QueryRange" => Command::Query {
            series: fields.name("series")?,
            time: TimeSelection::Range(fields.range()?),
            labels: fields.filter()?,
            limit: fields.count("limit", 1)?,
            form: fields.form()?,
        },
        "FindSimilar" => {
            let defaults = Similar::new(fields.place()?, fields.like()?);
            let metric: Option<String> = fields.optional("metric", "\"cosine\", \"dot\" or \"euclidean\"")?;
            let recall_target = fields.float("recall_target")?.unwrap_or(defaults.recall_target);
            if !(recall_target > 0.0 && recall_target <= 1.0) {
                return Err(Error::invalid(format!(
                    "field 'recall_target' is {recall_target}; use a number above 0, up to 1"
                )));
            }
            Command::FindSimilar(Box::new(Similar {
                limit: fields.count("limit", 1)?.unwrap_or(defaults.limit),
                threshold: fields.float("threshold")?,
                range: fields.open_range()?,
                labels: fields.filter()?,
                exact: fields.flag("exact", defaults.exact)?,
                recall_target,
                metric: metric.map_or(Ok(defaults.metric), |text| Metric::parse(&text))?,
                normalize: fields.flag("normalize", defaults.normalize)?,
                include_values: fields.flag("include_values", defaults.include_values)?,
                ..defaults
            }))
        }
        "WatchProfile" => {
            let series = fields.name("series")?;
            let window = fields.count("window", 3)?.ok_or_else(|| fields.missing("window"))?;
            let default = WATCH_POINTS_DEFAULT.max(window.saturating_mul(4));
            Command::Watch(checked_watch(WatchRequest {
                series,
                window,
                labels: fields.filter()?,
                threshold: fields.float("threshold")?.unwrap_or(WATCH_THRESHOLD_DEFAULT),
                points_max: fields.count("max_points", 1)?.unwrap_or(default),
            })?)
        }
        "UnwatchProfile" => {
            Command::Unwatch { series: fields.name("series")?, window: fields.count("window", 3)? }
        }
        "ListWatches" => Command::Watches,
        "Subscribe" => {
            let name: Option<String> = fields.optional("series", "the name of a series")?;
            Command::Subscribe { series: name.as_deref().map(SeriesName::new).transpose()? }
        }
        "Unsubscribe" => Command::Unsubscribe,
        "GetStats" => {
            let text: String = fields.required("series", "a series name or \"all\"")?;
            Command::Stats { series: if text == "all" { None } else { Some(SeriesName::new(&text)?) } }
        }
        "ListSeries" => Command::List,
        "DeleteRange" => Command::DeleteRange {
            series: fields.name("series")?,
            range: fields.range()?,
            labels: fields.filter()?,
        },
        "DropSeries" => Command::Drop { name: fields.name("name")? },
        "Save" => Command::Save { path: fields.required("path", "a string")? },
        "Load" => Command::Load { path: fields.required("path", "a string")? },
        "Flush" => Command::Flush,
        "ExportSeries" => {
            let series = fields.name("series")?;
            let format: Option<String> = fields.optional("format", "\"json\" or \"csv\"")?;
            let format = match format.as_deref() {
                None | Some("json") => ExportFormat::Json,
                Some("csv") => ExportFormat::Csv,
                Some(other) => {
                    return Err(Error::invalid(format!("format is \"{other}\"; use \"json\" or \"csv\"")));
                }
            };
            Command::Export { series, format, range: fields.open_range()?, labels: fields.filter()? }
        }
        "Auth" => Command::Auth { token: fields.required("token", "a string")? },
        "Ping" => Command::Ping,
        "Help" => Command::Help { command: fields.optional("command", "a string")? },
        "Quit" => Command::Quit,
        other => return Err(unknown_command(other)),
    };
    fields.finish()?;
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{AnalysisKind, AnomalyOptions, Distance, MotifOptions};

    fn parse(text: &str) -> Result<Command> {
        parse_json(text.as_bytes()).command
    }

    fn ok(command_type: &str, data: &str) -> Command {
        let text = format!(r#"{{"type":"{command_type}","data":{data}}}"#);
        parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn code(command_type: &str, data: &str) -> (ErrorCode, String) {
        let text = format!(r#"{{"type":"{command_type}","data":{data}}}"#);
        let error = parse(&text).expect_err(&text);
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn every_type_is_understood() {
        assert!(matches!(
            ok("CreateSeries", r#"{"name":"a","dimension":2,"value_type":"f32","if_not_exists":true}"#),
            Command::Create { dimension: 2, value_type: ValueType::F32, if_not_exists: true, .. }
        ));
        let labels = Labels::new([("k", "v")]).unwrap();
        let insert = |timestamp, labels: &Labels| Points::one(timestamp, vec![1.5, -0.0], labels.clone());
        for (command_type, data, points) in [
            ("Insert", r#"{"series":"a","values":[1.5,-0.0]}"#, insert(None, &Labels::empty())),
            (
                "InsertWithLabels",
                r#"{"series":"a","values":[1.5,-0.0],"labels":{"k":"v"}}"#,
                insert(None, &labels),
            ),
            (
                "InsertAt",
                r#"{"series":"a","values":[1.5,-0.0],"timestamp":"-7"}"#,
                insert(Some(-7), &Labels::empty()),
            ),
            (
                "InsertAtWithLabels",
                r#"{"series":"a","values":[1.5,-0.0],"timestamp_ns":9223372036854775807,"labels":{"k":"v"}}"#,
                insert(Some(i64::MAX), &labels),
            ),
        ] {
            let Command::Insert { points: found, .. } = ok(command_type, data) else {
                panic!("{command_type}")
            };
            assert_eq!(found, points, "{command_type}");
        }
        assert!(matches!(
            ok("Query", r#"{"series":"a","hours_back":1.5,"labels":{"k":"v"},"limit":5}"#),
            Command::Query { limit: Some(5), .. }
        ));
        assert!(matches!(
            ok("QueryRange", r#"{"series":"a","start_ns":"1","end_ns":2}"#),
            Command::Query { .. }
        ));
        assert!(matches!(
            ok("FindSimilar", r#"{"series":"a","vector":[1,2]}"#),
            Command::FindSimilar(similar)
                if *similar == Similar::new(Place::Series(SeriesName::new("a").unwrap()), Like::Vector(vec![1.0, 2.0]))
        ));
        let analysis = |command_type: &str, data: &str| match ok(command_type, data) {
            Command::Analyze(analysis) => *analysis,
            other => panic!("{other:?}"),
        };
        let a = || SeriesName::new("a").unwrap();
        assert_eq!(
            analysis("Anomaly", r#"{"series":"a","window":3}"#),
            Analysis::new(AnalysisKind::anomaly(), a(), Some(3), 3)
        );
        let kind =
            AnalysisKind::Anomaly(AnomalyOptions { left: true, neighbor: 2, neighbors: 5, lengths: None });
        assert_eq!(
            analysis(
                "Anomaly",
                r#"{"series":"a","window":"auto","left":true,"neighbor":2,"neighbors":5,"max_gap":"5m","timeout_ms":250}"#
            ),
            Analysis {
                max_gap_ns: Some(300_000_000_000),
                timeout_ms: Some(250),
                ..Analysis::new(kind, a(), None, 3)
            }
        );
        let range = TimeRange { start_ns: 5, ..TimeRange::ALL };
        assert_eq!(
            analysis("Motif", r#"{"series":"a","window":3,"k":1,"normalize":false,"start_ns":5}"#),
            Analysis { normalize: false, range, ..Analysis::new(AnalysisKind::motif(), a(), Some(3), 1) }
        );
        let kind = |radius| AnalysisKind::Motif(MotifOptions { flat: true, occurrences: true, radius });
        assert_eq!(
            analysis(
                "Motif",
                r#"{"series":"a","window":3,"flat":true,"max_gap":7,"join_labels":true,"radius":2.5}"#
            ),
            Analysis {
                max_gap_ns: Some(7),
                join_labels: true,
                ..Analysis::new(kind(Distance::new(2.5)), a(), Some(3), 3)
            }
        );
        assert_eq!(
            analysis("Motif", r#"{"series":"a","window":3,"flat":true,"occurrences":true}"#).kind,
            kind(None)
        );
        let with = analysis(
            "Motif",
            r#"{"series":"a","window":3,"with":"b","with_labels":{"k":"v"},"with_start_ns":"5"}"#,
        )
        .with
        .unwrap();
        assert_eq!((with.series.as_str(), with.range.start_ns), ("b", 5));
        assert_eq!(with.labels, LabelFilter::new(labels.clone()));
        assert_eq!(ok("GetStats", r#"{"series":"all"}"#), Command::Stats { series: None });
        assert!(matches!(
            ok("DeleteRange", r#"{"series":"a","start_ns":1,"end_ns":1}"#),
            Command::DeleteRange { .. }
        ));
        assert!(matches!(
            ok("ExportSeries", r#"{"series":"a","format":"csv"}"#),
            Command::Export { format: ExportFormat::Csv, .. }
        ));
        assert_eq!(ok("Save", r#"{"path":"x"}"#), Command::Save { path: "x".into() });
        for (command_type, command) in
            [("ListSeries", Command::List), ("Flush", Command::Flush), ("Ping", Command::Ping)]
        {
            for data in ["null", "{}"] {
                assert_eq!(ok(command_type, data), command);
            }
            assert_eq!(parse(&format!(r#"{{"type":"{command_type}"}}"#)).unwrap(), command);
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (command_type, data, field) in [
            ("CreateSeries", r#"{"name":"a","dimension":2,"dimensions":3}"#, "dimensions"),
            ("CreateSeries", r#"{"name":"a"}"#, "dimension"),
            ("CreateSeries", r#"{"name":"a","dimension":"2"}"#, "dimension"),
            ("CreateSeries", r#"{"name":7,"dimension":2}"#, "name"),
            ("CreateSeries", r#"{"name":"a","dimension":65537}"#, "65537"),
            ("Insert", r#"{"series":"a","values":[1,null]}"#, "values"),
            ("Insert", r#"{"series":"a","values":[1e999]}"#, "values"),
            ("Insert", r#"{"series":"a","values":[1],"labels":{}}"#, "labels"),
            ("InsertAt", r#"{"series":"a","values":[1],"timestamp":1,"timestamp_ns":1}"#, "timestamp"),
            ("InsertAt", r#"{"series":"a","values":[1],"timestamp_ns":1.5}"#, "timestamp_ns"),
            ("InsertAt", r#"{"series":"a","values":[1],"timestamp_ns":1e18}"#, "timestamp_ns"),
            ("InsertAt", r#"{"series":"a","values":[1],"timestamp_ns":9223372036854775808}"#, "timestamp_ns"),
            ("InsertAt", r#"{"series":"a","values":[1]}"#, "timestamp_ns"),
            ("Ping", r#"{"x":1}"#, "x"),
            ("Query", r#"{"series":"a","limit":0}"#, "limit"),
            ("Query", r#"{"series":"a","limit":-1}"#, "limit"),
            ("Anomaly", r#"{"series":"a","window":2}"#, "window"),
            ("Anomaly", r#"{"series":"a","window":5,"k":0}"#, "k"),
            ("Anomaly", r#"{"series":"a"}"#, "window"),
            ("Anomaly", r#"{"series":"a","window":5,"windows":[5,9]}"#, "windows"),
            ("Anomaly", r#"{"series":"a","windows":[9,5]}"#, "windows"),
            ("Anomaly", r#"{"series":"a","windows":[2,5]}"#, "windows"),
            ("Anomaly", r#"{"series":"a","windows":[5,1005]}"#, "windows"),
            ("Anomaly", r#"{"series":"a","windows":[5]}"#, "windows"),
            ("Anomaly", r#"{"series":"a","windows":[5,9],"normalize":false}"#, "windows"),
            ("Motif", r#"{"series":"a","windows":[5,9]}"#, "window"),
            ("Anomaly", r#"{"series":"a","window":5,"neighbor":0}"#, "neighbor"),
            ("Anomaly", r#"{"series":"a","window":5,"neighbors":101}"#, "neighbors"),
            ("Motif", r#"{"series":"a","window":5,"neighbor":2}"#, "neighbor"),
            ("Motif", r#"{"series":"a","window":5,"radius":-1}"#, "radius"),
            ("Motif", r#"{"series":"a","window":5,"dimensions":0}"#, "dimensions"),
            ("Motif", r#"{"series":"a","window":5,"dimensions":"best"}"#, "1 or more, \"all\" or \"any\""),
            ("Motif", r#"{"series":"a","window":"48"}"#, "3 or more, or \"auto\""),
            ("Anomaly", r#"{"series":"a","window":5,"step":0}"#, "step"),
            ("Anomaly", r#"{"series":"a","window":5,"step":9223372036854775808}"#, "step"),
            ("Anomaly", r#"{"series":"a","window":5,"resample":"last"}"#, "step"),
            ("Anomaly", r#"{"series":"a","window":5,"step":"1s","resample":"sum"}"#, "resample"),
            ("Anomaly", r#"{"series":"a","window":5,"step":"1s","max_gap":"1ms"}"#, "max_gap"),
            ("Segment", r#"{"series":"a","window":5,"with":"b"}"#, "with"),
            ("Chains", r#"{"series":"a","window":5,"left":true}"#, "left"),
            ("MpDist", r#"{"series":"a","window":5}"#, "with"),
            ("Snippets", r#"{"series":"a","window":5,"sub_window":6}"#, "sub_window"),
            ("Motif", r#"{"series":"a","window":5,"radius":1,"occurrences":false}"#, "occurrences"),
            ("Anomaly", r#"{"series":"a","window":null}"#, "window"),
            ("Anomaly", r#"{"series":"a","window":"some"}"#, "window"),
            ("Anomaly", r#"{"series":"a","window":5,"flat":true}"#, "flat"),
            ("Motif", r#"{"series":"a","window":5,"left":true}"#, "left"),
            ("Motif", r#"{"series":"a","window":5,"max_gap":0}"#, "max_gap"),
            ("Motif", r#"{"series":"a","window":5,"with_end_ns":0}"#, "with_end_ns"),
            ("Motif", r#"{"series":"a","window":5,"with":"a b"}"#, "a b"),
            ("Anomaly", r#"{"series":"a","window":5,"with":"b","left":true}"#, "left"),
            ("Motif", r#"{"series":"a","window":5,"max_gap":"5x"}"#, "max_gap"),
            ("Motif", r#"{"series":"a","window":5,"timeout_ms":0}"#, "timeout_ms"),
            ("Query", r#"{"series":"a","series":"b"}"#, "series"),
            ("Query", r#"{"series":"a","labels":{"k":1}}"#, "labels"),
            ("QueryRange", r#"{"series":"a","start_ns":1}"#, "end_ns"),
            ("QueryRange", r#"{"series":"a","start_ns":2,"end_ns":1}"#, "start_ns"),
            ("Ping", "[]", "data"),
        ] {
            let (found, message) = code(command_type, data);
            assert_eq!(found, ErrorCode::InvalidArgument, "{data}: {message}");
            assert!(message.contains(field), "{data}: {message}");
        }
        for data in [
            r#"{"series":"a","limit":18446744073709551616}"#,
            r#"{"series":"a","limit":18446744073709551615}"#,
        ] {
            assert!(matches!(ok("Query", data), Command::Query { limit: Some(usize::MAX), .. }), "{data}");
        }
        assert_eq!(parse(r#"{"type":"Ping","extra":1}"#).unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(parse(r#"{"data":null}"#).unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(parse(r#"{"type":"Nope"}"#).unwrap_err().code(), ErrorCode::UnknownCommand);
        for bad in ["{", r#"{"type":"Ping"} x"#, r#"{"type":}"#, "{\"type\":\"\u{1}\"}"] {
            assert_eq!(parse(bad).unwrap_err().code(), ErrorCode::ParseError, "{bad}");
        }
        let deep = format!("{}{}", r#"{"type":"Ping","id":"#, "[".repeat(100_000));
        assert_eq!(parse(&deep).unwrap_err().code(), ErrorCode::ParseError);
    }

    #[test]
    fn the_id_comes_back_as_it_was_written_even_with_an_error() {
        for id in ["7", "\"a\\u0041\"", "null", "{\"x\": [1, 2]}", "1e400"] {
            let parsed =
                parse_json(format!(r#"{{"type":"Nope","id":{id},"timestamps":"string"}}"#).as_bytes());
            assert_eq!(parsed.envelope.id.as_deref(), Some(id));
            assert!(parsed.envelope.json && parsed.envelope.timestamps_as_strings);
        }
        assert_eq!(parse_json(br#"{"type":"Ping"}"#).envelope.id, None);
    }
}
