//! Commands as JSON requests, for clients that want the JSON reply to what a person
//! typed as text.

use serde_json::{Map, Value, json};

use crate::base::{LabelFilter, Labels, Points, TimeRange};

use super::{Command, ExportFormat, Like, Place, PointsForm, Similar, TimeSelection};

/// The JSON request that asks for `command`.
pub fn json_request(command: &Command) -> Value {
    let (kind, data) = match command {
        Command::Create { name, dimension, value_type, if_not_exists } => (
            "CreateSeries",
            json!({
                "name": name.as_str(), "dimension": dimension, "value_type": value_type.as_str(),
                "if_not_exists": if_not_exists,
            }),
        ),
        Command::Insert { series, points } => return insert(series.as_str(), points),
        Command::BatchInsert { series, points } => {
            let points: Vec<Value> = (0..points.len()).map(|row| point(points, row)).collect();
            ("BatchInsert", json!({ "series": series.as_str(), "points": points }))
        }
        Command::Query { series, time, labels, limit, form } => {
            let mut data = json!({ "series": series.as_str() });
            let kind = match time {
                TimeSelection::HoursBack(hours) => {
                    data["hours_back"] = json!(hours);
                    "Query"
                }
                TimeSelection::Range(range) => {
                    data["start_ns"] = json!(range.start_ns);
                    data["end_ns"] = json!(range.end_ns);
                    "QueryRange"
                }
            };
            if let Some(limit) = limit {
                data["limit"] = json!(limit);
            }
            if *form == PointsForm::Columns {
                data["form"] = json!("columns");
            }
            (kind, with_labels(data, labels))
        }
        Command::FindSimilar(of) => ("FindSimilar", similar(of)),
        Command::Analyze(of) => (of.kind.json_type(), of.json()),
        Command::Watch(watch) => ("WatchProfile", watch.json()),
        Command::Unwatch { series, window } => {
            let mut data = json!({ "series": series.as_str() });
            if let Some(window) = window {
                data["window"] = json!(window);
            }
            ("UnwatchProfile", data)
        }
        Command::Watches => ("ListWatches", json!({})),
        Command::Subscribe { series } => match series {
            Some(series) => ("Subscribe", json!({ "series": series.as_str() })),
            None => ("Subscribe", json!({})),
        },
        Command::Unsubscribe => ("Unsubscribe", json!({})),
        Command::Stats { series } => {
            ("GetStats", json!({ "series": series.as_ref().map_or("all", |series| series.as_str()) }))
        }
        Command::List => ("ListSeries", json!({})),
        Command::DeleteRange { series, range, labels } => {
            let data =
                json!({ "series": series.as_str(), "start_ns": range.start_ns, "end_ns": range.end_ns });
            ("DeleteRange", with_labels(data, labels))
        }
        Command::Drop { name } => ("DropSeries", json!({ "name": name.as_str() })),
        Command::Save { path } => ("Save", json!({ "path": path })),
        Command::Load { path } => ("Load", json!({ "path": path })),
        Command::Flush => ("Flush", json!({})),
        Command::Export { series, format, range, labels } => {
            let format = match format {
                ExportFormat::Json => "json",
                ExportFormat::Csv => "csv",
            };
            let data = json!({ "series": series.as_str(), "format": format });
            ("ExportSeries", with_labels(with_range(data, *range), labels))
        }
        Command::Auth { token } => ("Auth", json!({ "token": token })),
        Command::Ping => ("Ping", json!({})),
        Command::Help { command } => match command {
            Some(command) => ("Help", json!({ "command": command })),
            None => ("Help", json!({})),
        },
        Command::Quit => ("Quit", json!({})),
    };
    json!({ "type": kind, "data": data })
}

fn similar(of: &Similar) -> Value {
    let mut data = json!({
        "limit": of.limit, "exact": of.exact, "recall_target": of.recall_target, "metric": of.metric.as_str(),
        "normalize": of.normalize, "include_values": of.include_values,
    });
    match &of.place {
        Place::Series(series) => data["series"] = json!(series.as_str()),
        Place::Pattern(pattern) => data["series_pattern"] = json!(pattern),
    }
    match &of.like {
        Like::Vector(vector) => data["query_vector"] = json!(vector),
        Like::Then { series, timestamp_ns, window, labels } => {
            let then = json!({"series": series.as_str(), "timestamp_ns": timestamp_ns, "window": window});
            data["query"] = with_labels(then, labels);
        }
    }
    if let Some(threshold) = of.threshold {
        data["threshold"] = json!(threshold);
    }
    with_labels(with_range(data, of.range), &of.labels)
}

pub(super) fn labels_value(labels: &Labels) -> Value {
    labels.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect::<Map<_, _>>().into()
}

pub(super) fn with_labels(mut data: Value, labels: &LabelFilter) -> Value {
    if !labels.is_any() {
        data["labels"] = labels_value(labels.pairs());
    }
    data
}

pub(super) fn with_range(mut data: Value, range: TimeRange) -> Value {
    if range.start_ns != TimeRange::ALL.start_ns {
        data["start_ns"] = json!(range.start_ns);
    }
    if range.end_ns != TimeRange::ALL.end_ns {
        data["end_ns"] = json!(range.end_ns);
    }
    data
}

fn point(points: &Points, row: usize) -> Value {
    let values = &points.values[row * points.dimension..][..points.dimension];
    let mut point = json!({ "values": values });
    if !points.unassigned.contains(&(row as u32)) {
        point["timestamp_ns"] = json!(points.timestamps_ns[row]);
    }
    let labels = points.labels_of(row);
    if !labels.is_empty() {
        point["labels"] = labels_value(&labels);
    }
    point
}

fn insert(series: &str, points: &Points) -> Value {
    let mut data = point(points, 0);
    data["series"] = json!(series);
    let kind = match (data.get("timestamp_ns").is_some(), data.get("labels").is_some()) {
        (false, false) => "Insert",
        (false, true) => "InsertWithLabels",
        (true, false) => "InsertAt",
        (true, true) => "InsertAtWithLabels",
    };
    json!({ "type": kind, "data": data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{parse_json, parse_text};

    #[test]
    fn all_that_an_analysis_has_is_in_its_request() {
        for text in [
            r#"{"type":"FindSimilar","data":{"series":"a","vector":[1,2],"limit":3,"threshold":0.5,"exact":false,
                "recall_target":0.9,"metric":"dot","include_values":false,"start_ns":4,"labels":{"k":"v"}}}"#,
            r#"{"type":"FindSimilar","data":{"series_pattern":"a*","metric":"euclidean","normalize":true,
                "query":{"series":"b","timestamp_ns":-5,"window":7,"labels":{"k":"v"}}}}"#,
            r#"{"type":"Anomaly","data":{"series":"a","window":"auto","left":true,"max_gap":"5m","timeout_ms":7}}"#,
            r#"{"type":"Anomaly","data":{"series":"a","windows":[5,9],"neighbor":2,"neighbors":3}}"#,
            r#"{"type":"Motif","data":{"series":"a","window":9,"occurrences":true}}"#,
            r#"{"type":"Motif","data":{"series":"a","window":9,"radius":1.25}}"#,
            r#"{"type":"Segment","data":{"series":"a","window":9,"curve":true,"dimensions":"any"}}"#,
            r#"{"type":"Chains","data":{"series":"a","window":"auto","dimensions":2,"step":"1m","resample":"linear"}}"#,
            r#"{"type":"MpDist","data":{"series":"a","window":9,"with":"b","with_labels":{"k":"v"},"step":"1m"}}"#,
            r#"{"type":"Snippets","data":{"series":"a","window":9,"sub_window":4}}"#,
            r#"{"type":"Motif","data":{"series":"a","window":9,"flat":true,"join_labels":true,"labels":{"k":"v"}}}"#,
            r#"{"type":"Motif","data":{"series":"a","window":9,"with":"b","with_labels":{"k":"v"},
                "with_start_ns":1,"with_end_ns":2,"start_ns":3,"normalize":false}}"#,
        ] {
            let command = parse_json(text.as_bytes()).command.unwrap();
            let again = json_request(&command).to_string();
            assert_eq!(parse_json(again.as_bytes()).command.unwrap(), command, "{again}");
        }
    }

    #[test]
    fn a_text_command_and_its_json_request_mean_the_same() {
        for text in [
            "CREATE a 3",
            "CREATE a 1 IF NOT EXISTS",
            "INSERT a 1,2.5,-0",
            "INSERT a 1 k=v,w=\"x y\"",
            "INSERT_AT a -5 1e300",
            "INSERT_AT a 5 1 k=v",
            "QUERY a",
            "QUERY a 0.25",
            "QUERY_RANGE a -9223372036854775808 9223372036854775807",
            "SIMILAR a 1,2,3 4",
            "SIMILAR a 1,2,3 4 -0.5",
            "ANOMALY a 50 3",
            "MOTIF a 50 3",
            "SEGMENT a 50 1",
            "CHAINS a 50 3",
            "MPDIST a b 50",
            "SNIPPETS a 50 2",
            "STATS a",
            "STATS all",
            "LIST",
            "DELETE_RANGE a 1 2",
            "DROP a",
            "SAVE x/y",
            "LOAD x",
            "FLUSH",
            "EXPORT a",
            "AUTH t",
            "PING",
            "HELP",
            "HELP save",
            "QUIT",
        ] {
            let command = parse_text(text).unwrap();
            let request = json_request(&command).to_string();
            assert_eq!(parse_json(request.as_bytes()).command, Ok(command), "{text}: {request}");
        }
        let batch = r#"{"type":"BatchInsert","data":{"series":"a","points":[{"values":[1]},{"timestamp_ns":2,"values":[3],"labels":{"k":"v"}}]}}"#;
        let command = parse_json(batch.as_bytes()).command.unwrap();
        let request = json_request(&command).to_string();
        assert_eq!(parse_json(request.as_bytes()).command, Ok(command));
    }
}
