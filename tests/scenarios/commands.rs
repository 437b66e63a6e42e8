//! Every command of both line dialects, with its reply and its errors.

use serde_json::json;

use crate::support::{Lines, Server, Text};

#[test]
fn a_tour_of_the_text_dialect() {
    let server = Server::start();
    let mut lines = server.connect();
    assert_eq!(lines.text("PING"), Text::Ok { summary: "PONG".into(), rows: vec![] });
    assert!(lines.text("create ecg 1").rows().is_empty());
    assert_eq!(lines.text("CREATE ecg 1").code(), "SERIES_EXISTS");
    assert!(lines.text("CREATE ecg 1 IF NOT EXISTS").rows().is_empty());
    assert_eq!(lines.text("CREATE ecg 2 if not exists").code(), "DIMENSION_MISMATCH");
    assert_eq!(lines.text("INSERT_AT ecg 1000 72.5").summary(), "1000");
    assert_eq!(lines.text("INSERT_AT ecg -5 -0.0 room=a").summary(), "-5");
    assert_eq!(lines.text(r#"INSERT_AT ecg 1000 1e300 z=1,a="b c, \"d\" = \\""#).summary(), "1000");
    let before: i64 = lines.text("INSERT ecg 1").summary().parse().unwrap();
    let after: i64 = lines.text("INSERT ecg 2").summary().parse().unwrap();
    assert!(before < after);
    assert_eq!(
        lines.text("QUERY_RANGE ecg -5 1000").rows(),
        ["-5 -0 room=a", "1000 72.5", r#"1000 1e300 a="b c, \"d\" = \\",z=1"#]
    );
    assert_eq!(lines.text("QUERY ecg").rows().len(), 2);
    assert_eq!(lines.text("QUERY ecg 0.5").rows().len(), 2);
    assert_eq!(lines.text("QUERY_RANGE ecg 5 4").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("QUERY_RANGE ecg five 6").code(), "PARSE_ERROR");
    let rows = lines.text("SIMILAR ecg 1 2").rows();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], "1 1000 72.5");
    assert_eq!(lines.text("SIMILAR ecg 1 5 2").rows().len(), 0);
    assert_eq!(lines.text("SIMILAR ecg 0 5").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("SIMILAR ecg 1 0").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("ANOMALY ecg 2 1").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("ANOMALY ecg 50 1").code(), "NOT_ENOUGH_DATA");
    assert_eq!(lines.text("MOTIF ecg 50 0").code(), "INVALID_ARGUMENT");
    let stats = lines.text("STATS ecg").rows();
    assert!(stats.contains(&"count 5".to_owned()), "{stats:?}");
    assert!(lines.text("STATS all").rows().contains(&"points 5".to_owned()));
    assert_eq!(lines.text("LIST").rows(), ["ecg 1 5"]);
    let export = lines.text("EXPORT ecg").rows();
    assert_eq!(export[..2], ["timestamp_ns,v0,labels", "-5,-0,room=a"]);
    assert_eq!(export.len(), 6);
    assert_eq!(lines.text("DELETE_RANGE ecg -5 1000").rows().len(), 0);
    assert_eq!(lines.text("LIST").rows(), ["ecg 1 2"]);
    assert!(lines.text("FLUSH").rows().is_empty());
    assert!(lines.text("SAVE a.snap").rows().is_empty());
    assert!(lines.text("DROP ecg").rows().is_empty());
    assert_eq!(lines.text("DROP ecg").code(), "SERIES_NOT_FOUND");
    assert_eq!(lines.text("LOAD b.snap").code(), "FILE_NOT_FOUND");
    assert_eq!(lines.text("LOAD ../a.snap").code(), "PATH_NOT_ALLOWED");
    assert_eq!(lines.text("SAVE /etc/a.snap").code(), "PATH_NOT_ALLOWED");
    assert!(lines.text("LOAD a.snap").rows().is_empty());
    assert_eq!(lines.text("LIST").rows(), ["ecg 1 2"]);
    assert!(lines.text("HELP").rows().len() > 20);
    assert!(lines.text("HELP insert").rows().iter().any(|row| row.contains("INSERT <name>")));
    assert_eq!(lines.text("HELP nonsense").code(), "UNKNOWN_COMMAND");
    assert_eq!(lines.text("AUTH x").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("SELECT 1").code(), "UNKNOWN_COMMAND");
    assert!(lines.text("QUIT").rows().is_empty());
    assert_eq!(lines.line(), None);
}

#[test]
fn a_tour_of_the_json_dialect() {
    let server = Server::start();
    let mut lines = server.connect();
    let created = lines.data("CreateSeries", json!({"name": "v", "dimension": 2, "value_type": "f32"}));
    assert_eq!(created, json!({"series": "v", "dimension": 2, "value_type": "f32", "created": true}));
    let again = json!({"name": "v", "dimension": 2, "value_type": "f32", "if_not_exists": true});
    assert_eq!(lines.data("CreateSeries", again)["created"], false);
    assert_eq!(lines.code("CreateSeries", json!({"name": "all", "dimension": 2})), "INVALID_ARGUMENT");
    assert_eq!(lines.code("CreateSeries", json!({"name": "w", "dimension": 0})), "INVALID_ARGUMENT");
    assert_eq!(
        lines.code("CreateSeries", json!({"name": "w", "dimension": 2, "typ": 1})),
        "INVALID_ARGUMENT"
    );

    let now =
        lines.data("Insert", json!({"series": "v", "values": [0.1, 2]}))["timestamp_ns"].as_i64().unwrap();
    let labelled = json!({"series": "v", "values": [1, 2], "labels": {"k": "x"}});
    assert!(lines.data("InsertWithLabels", labelled)["timestamp_ns"].as_i64().unwrap() > now);
    let at = json!({"series": "v", "timestamp": "7", "values": [3, 4]});
    assert_eq!(lines.data("InsertAt", at)["timestamp_ns"], 7);
    let at = json!({"series": "v", "timestamp_ns": 8, "values": [5, 6], "labels": {"k": "y"}});
    assert_eq!(lines.data("InsertAtWithLabels", at)["timestamp_ns"], 8);
    let batch = json!({"series": "v", "points": [
        {"timestamp_ns": 10, "values": [1, 0]}, {"timestamp_ns": 9, "values": [0, 1], "labels": {"k": "x"}},
        {"timestamp_ns": 10, "values": [2, 0]}]});
    let inserted = lines.data("BatchInsert", batch);
    assert_eq!(inserted, json!({"inserted": 3, "first_timestamp_ns": 9, "last_timestamp_ns": 10}));
    let columns =
        json!({"series": "v", "timestamps_ns": [11, 12], "values": [[1, 1], [2, 2]], "labels": {"k": "x"}});
    assert_eq!(lines.data("BatchInsert", columns)["inserted"], 2);
    for (data, code) in [
        (json!({"series": "v", "points": []}), "INVALID_ARGUMENT"),
        (json!({"series": "v", "points": [{"values": [1]}]}), "DIMENSION_MISMATCH"),
        (json!({"series": "v", "points": [{"values": [1, 1]}, {"values": [1, 1e39]}]}), "INVALID_ARGUMENT"),
        (json!({"series": "none", "points": [{"values": [1]}]}), "SERIES_NOT_FOUND"),
        (json!({"series": "v", "timestamps_ns": [1], "values": [[1, 1], [2, 2]]}), "INVALID_ARGUMENT"),
        (json!({"series": "v"}), "INVALID_ARGUMENT"),
    ] {
        assert_eq!(lines.code("BatchInsert", data.clone()), code, "{data}");
    }

    let range = lines.data("QueryRange", json!({"series": "v", "start_ns": 7, "end_ns": "10"}));
    assert_eq!(
        range,
        json!({"series": "v", "dimension": 2, "count": 4, "truncated": false, "points": [
            {"timestamp_ns": 7, "values": [3.0, 4.0]},
            {"timestamp_ns": 8, "values": [5.0, 6.0], "labels": {"k": "y"}},
            {"timestamp_ns": 9, "values": [0.0, 1.0], "labels": {"k": "x"}},
            {"timestamp_ns": 10, "values": [2.0, 0.0]}]})
    );
    let recent = lines.data("Query", json!({"series": "v", "labels": {"k": "x"}}));
    assert_eq!(recent["count"], 1);
    let first = json!({"series": "v", "hours_back": 1.0, "limit": 1});
    let first = lines.data("Query", first);
    assert_eq!(
        first["points"][0]["values"],
        json!([f64::from(0.1_f32), 2.0]),
        "an f32 comes back as it is stored"
    );
    assert!(first["truncated"] == true && first["next_start_ns"].as_i64().unwrap() > now);

    let found =
        lines.data("FindSimilar", json!({"series": "v", "query_vector": [0, 2], "limit": 1, "end_ns": 20}));
    assert_eq!(found["matches"][0]["timestamp_ns"], 9);
    assert_eq!(found["matches"][0]["labels"], json!({"k": "x"}));
    assert_eq!(found["matches"][0]["similarity"], 1.0);
    let windows = json!({"series": "v", "vector": [1, 1, 2, 2], "limit": 9, "end_ns": 20, "threshold": 0.99});
    let windows = lines.data("FindSimilar", windows);
    assert_eq!(windows["matches"][0]["timestamp_ns"], 11);
    assert_eq!(windows["matches"][0]["end_timestamp_ns"], 12);
    assert_eq!(lines.code("FindSimilar", json!({"series": "v", "vector": [1, 1, 2]})), "DIMENSION_MISMATCH");

    let stats = lines.data("GetStats", json!({"series": "v"}));
    assert_eq!(stats["count"], 8);
    assert_eq!(stats["label_sets"], 3);
    assert_eq!(stats["per_dimension"].as_array().unwrap().len(), 2);
    let all = lines.data("GetStats", json!({"series": "all"}));
    assert_eq!((&all["series"], &all["points"], &all["shards"]), (&json!(1), &json!(8), &json!(64)));
    let list = lines.data("ListSeries", json!(null));
    assert_eq!(list, json!({"series": [{"name": "v", "dimension": 2, "value_type": "f32", "count": 8}]}));

    let gone = json!({"series": "v", "start_ns": 0, "end_ns": 20, "labels": {"k": "x"}});
    assert_eq!(lines.data("DeleteRange", gone), json!({"deleted": 3}));
    let flushed = lines.data("Flush", json!({}));
    assert!(
        flushed["flushed_points"].as_u64().unwrap() >= 5 && flushed["segments_written"] == 1,
        "{flushed}"
    );
    let csv = lines.data("ExportSeries", json!({"series": "v", "format": "csv", "end_ns": 8}));
    assert_eq!(csv["csv"], "timestamp_ns,v0,v1,labels\n7,3,4,\n8,5,6,k=y\n");
    assert_eq!(lines.data("ExportSeries", json!({"series": "v"}))["count"], 5);

    for path in ["all.snap", "all.json"] {
        let saved = lines.data("Save", json!({"path": path}));
        assert_eq!((&saved["series"], &saved["points"]), (&json!(1), &json!(5)));
        assert_eq!(lines.data("DropSeries", json!({"name": "v"})), json!({"dropped": true}));
        let loaded = lines.data("Load", json!({"path": path}));
        assert_eq!((&loaded["series"], &loaded["points"]), (&json!(1), &json!(5)));
    }
    assert_eq!(lines.data("GetStats", json!({"series": "v"}))["value_type"], "f32");
    assert_eq!(lines.data("Ping", json!(null))["message"], "PONG");
    let help = lines.data("Help", json!({"command": "QueryRange"}));
    assert_eq!(help["commands"][0]["name"], "QUERY_RANGE");
    assert_eq!(lines.code("Help", json!({"command": "x"})), "UNKNOWN_COMMAND");
    assert_eq!(lines.code("Nonsense", json!(null)), "UNKNOWN_COMMAND");
}

fn sine_with_a_bump(lines: &mut Lines, series: &str) {
    lines.text(&format!("CREATE {series} 1"));
    let mut values: Vec<f64> = (0..400).map(|at| (f64::from(at) / 8.0).sin()).collect();
    values[200..210].fill(0.3);
    let times: Vec<i64> = (0..400).map(|at| at * 1000).collect();
    lines.data("BatchInsert", json!({"series": series, "timestamps_ns": times, "values": values}));
}

#[test]
fn analytics_find_what_was_planted() {
    let server = Server::start();
    let mut lines = server.connect();
    sine_with_a_bump(&mut lines, "s");
    let rows = lines.text("ANOMALY s 20 2").rows();
    let row: Vec<&str> = rows[0].split(' ').collect();
    let start: i64 = row[1].parse().unwrap();
    assert!((181_000..210_000).contains(&start) && row[2] == (start + 19_000).to_string(), "{rows:?}");
    let json = lines.data("Anomaly", json!({"series": "s", "window": 20, "k": 2}));
    assert_eq!((&json["window"], &json["n"]), (&json!(20), &json!(400)));
    assert_eq!(json["anomalies"][0]["score"].to_string(), row[0]);
    assert_eq!(json["anomalies"][0]["index"].as_i64().unwrap() * 1000, start);
    let part = json!({"series": "s", "window": 20, "start_ns": 0, "end_ns": 150_000, "normalize": false});
    let part = lines.data("Anomaly", part);
    assert_eq!(part["n"], 151);
    let motifs = lines.data("Motif", json!({"series": "s", "window": 20, "k": 2}));
    let motifs = motifs["motifs"].as_array().unwrap();
    assert_eq!(motifs.len(), 2);
    assert!(motifs[0]["distance"].as_f64().unwrap() <= motifs[1]["distance"].as_f64().unwrap());
    let rows = lines.text("MOTIF s 20 1").rows();
    assert_eq!(rows[0].split(' ').count(), 5);
    assert_eq!(lines.code("Anomaly", json!({"series": "s", "window": 380})), "NOT_ENOUGH_DATA");
}

#[test]
fn a_reply_can_carry_strings_for_timestamps_and_any_id() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE s 1");
    lines.send("{\"type\":\"InsertAt\",\"data\":{\"series\":\"s\",\"timestamp_ns\":\"9007199254740993\",\"values\":[1]},\"timestamps\":\"string\",\"id\":{\"a\":[1]}}\n");
    let reply = lines.json_reply();
    assert_eq!(reply["id"], json!({"a": [1]}));
    assert_eq!(reply["data"]["timestamp_ns"], "9007199254740993");
    let code = lines.json("Query", json!({"series": "none"}));
    assert_eq!(code["error"]["code"], "SERIES_NOT_FOUND");
    assert!(code["error"]["message"].as_str().unwrap().contains("none"));
}
