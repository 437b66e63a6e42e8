//! Similarity over the wire: metrics, references, patterns of names, and the index.

use serde_json::{Value, json};

use crate::support::{Lines, Server};

fn times(found: &Value) -> Vec<i64> {
    found["matches"].as_array().unwrap().iter().map(|row| row["timestamp_ns"].as_i64().unwrap()).collect()
}

fn close(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-12
}

#[test]
fn metrics_and_what_a_reply_carries() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.data("CreateSeries", json!({"name": "v", "dimension": 2}));
    let values = json!([[1, 0], [10, 10], [0, 2], [-3, 0]]);
    lines.data("BatchInsert", json!({"series": "v", "timestamps_ns": [1, 2, 3, 4], "values": values}));
    let mut ask = |more: Value| {
        let mut data = json!({"series": "v", "query_vector": [2, 1], "limit": 2});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lines.data("FindSimilar", data)
    };
    let cosine = ask(json!({}));
    assert_eq!(times(&cosine), [2, 1]);
    assert_eq!(
        (&cosine["exact"], &cosine["scanned"], &cosine["index"]),
        (&json!(true), &json!(4), &json!(null))
    );
    assert_eq!(cosine["matches"][0]["values"], json!([10.0, 10.0]));
    let short = ask(json!({"include_values": false, "metric": "dot"}));
    assert_eq!(times(&short), [2, 1]);
    assert!(short["matches"][0].get("values").is_none());
    assert!(close(&short["matches"][0]["similarity"], 30.0));
    let near = ask(json!({"metric": "euclidean"}));
    assert_eq!(times(&near), [1, 3]);
    assert!(close(&near["matches"][0]["distance"], 2_f64.sqrt()));
    assert!(close(&near["matches"][0]["similarity"], 1.0 / (1.0 + 2_f64.sqrt())));
    assert_eq!(times(&ask(json!({"metric": "euclidean", "threshold": 0.4}))), [1]);
    // Of two numbers only the order is left.
    let ordered = ask(json!({"normalize": true}));
    assert_eq!(times(&ordered), [1, 2]);
    assert!(close(&ordered["matches"][0]["similarity"], 1.0));
    for (bad, code) in [
        (json!({"metric": "manhattan"}), "INVALID_ARGUMENT"),
        (json!({"metric": "dot", "normalize": true}), "INVALID_ARGUMENT"),
        (json!({"recall_target": 0}), "INVALID_ARGUMENT"),
        (json!({"recall_target": 1.5}), "INVALID_ARGUMENT"),
        (json!({"query": {"series": "v", "timestamp_ns": 1}}), "INVALID_ARGUMENT"),
        (json!({"series_pattern": "*"}), "INVALID_ARGUMENT"),
    ] {
        let mut data = json!({"series": "v", "query_vector": [2, 1]});
        data.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        assert_eq!(lines.code("FindSimilar", data), code, "{bad}");
    }
}

fn wave(lines: &mut Lines, series: &str, phase: f64, scale: f64) {
    lines.data("CreateSeries", json!({"name": series, "dimension": 1}));
    let times: Vec<i64> = (0..400).collect();
    let values: Vec<f64> =
        times.iter().map(|&t| scale * (phase + t as f64 / 7.0).sin() + scale * 3.0).collect();
    lines.data("BatchInsert", json!({"series": series, "timestamps_ns": times, "values": values}));
}

#[test]
fn what_happened_then_is_found_in_all_series_of_a_pattern() {
    let server = Server::start();
    let mut lines = server.connect();
    wave(&mut lines, "machine.a", 0.0, 1.0);
    wave(&mut lines, "machine.b", 1.0, 100.0);
    wave(&mut lines, "other", 0.0, 1.0);
    lines.data("CreateSeries", json!({"name": "machine.plane", "dimension": 2}));
    let query = json!({"series": "machine.a", "timestamp_ns": 100, "window": 44});
    let found = lines.data(
        "FindSimilar",
        json!({"series_pattern": "machine.*", "query": query, "normalize": true, "limit": 4}),
    );
    let matches = found["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 4);
    let mut both = [false, false];
    for row in matches {
        assert!(row["similarity"].as_f64().unwrap() > 0.999, "{row}");
        let (start, end) = (row["timestamp_ns"].as_i64().unwrap(), row["end_timestamp_ns"].as_i64().unwrap());
        assert_eq!((end - start, row["values"].as_array().unwrap().len()), (43, 44));
        match row["series"].as_str().unwrap() {
            "machine.a" => {
                assert!(end < 100 || start > 143, "what is sought is no match: {row}");
                both[0] = true;
            }
            "machine.b" => both[1] = true,
            other => panic!("{other} was not asked for"),
        }
    }
    assert_eq!(both, [true, true]);
    // The same numbers at the same times, with other labels, are not what is sought itself.
    lines.data("CreateSeries", json!({"name": "pair", "dimension": 1}));
    let numbers: Vec<f64> = (0..60).map(|at| f64::from((at * at * 7 % 53) as u8)).collect();
    for side in ["n", "s"] {
        let labels = json!({"side": side});
        let times: Vec<i64> = (0..60).collect();
        lines.data(
            "BatchInsert",
            json!({"series": "pair", "timestamps_ns": times, "values": numbers, "labels": labels}),
        );
    }
    let query = json!({"series": "pair", "timestamp_ns": 20, "window": 10, "labels": {"side": "n"}});
    let asked = |side: &str| json!({"series": "pair", "query": query, "labels": {"side": side}, "limit": 9, "metric": "euclidean"});
    let other = lines.data("FindSimilar", asked("s"));
    assert_eq!((times(&other)[0], &other["matches"][0]["distance"]), (20, &json!(0.0)), "{other}");
    let same = lines.data("FindSimilar", asked("n"));
    assert!(times(&same).iter().all(|time| time.abs_diff(20) >= 10), "{same}");
    let alone = json!({"series": "other", "query": {"series": "machine.a", "timestamp_ns": 100}});
    assert_eq!(lines.data("FindSimilar", alone)["matches"][0]["similarity"], 1.0);
    let late =
        json!({"series": "other", "query": {"series": "machine.a", "timestamp_ns": 390, "window": 44}});
    assert_eq!(lines.code("FindSimilar", late), "NOT_ENOUGH_DATA");
    let nobody = json!({"series_pattern": "nobody*", "vector": [1]});
    assert_eq!(lines.code("FindSimilar", nobody), "SERIES_NOT_FOUND");
    let misfit = json!({"series_pattern": "machine.pl*", "vector": [1, 2, 3]});
    assert_eq!(lines.code("FindSimilar", misfit), "DIMENSION_MISMATCH");
}

/// A large series gets an index by itself, which answers where that is allowed.
#[test]
fn an_index_is_made_and_used() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.data("CreateSeries", json!({"name": "v", "dimension": 8, "value_type": "f32"}));
    let points = 12_000;
    let value = |at: i64, of: i64| {
        ((at % 300 * (of + 3) * 7919 % 1000) as f64 - 500.0) + (at / 300 * (of + 1) % 40) as f64
    };
    for start in (0..points).step_by(3000) {
        let times: Vec<i64> = (start..start + 3000).collect();
        let values: Vec<Vec<f64>> =
            times.iter().map(|&at| (0..8).map(|of| value(at, of)).collect()).collect();
        lines.data("BatchInsert", json!({"series": "v", "timestamps_ns": times, "values": values}));
    }
    lines.data("Flush", json!({}));
    let mut ask_like = |at: i64, exact: bool| {
        let vector: Vec<f64> = (0..8).map(|of| value(at, of) + 1.0).collect();
        let data =
            json!({"series": "v", "vector": vector, "limit": 5, "exact": exact, "include_values": false});
        lines.data("FindSimilar", data)
    };
    let mut ask = |exact: bool| ask_like(77, exact);
    let exact = ask(true);
    assert_eq!((&exact["exact"], &exact["scanned"]), (&json!(true), &json!(points)));
    // The background takes the time that it takes.
    let quick = loop {
        let quick = ask(false);
        if quick["index"] == "ivf" {
            break quick;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(quick["scanned"].as_i64().unwrap() < points / 2, "{quick}");
    // An exact answer leaves out only what can't be in it.
    let scanned = exact["matches"].clone();
    let exact = ask(true);
    assert_eq!((&exact["exact"], &exact["index"]), (&json!(true), &json!("ivf")));
    assert!(exact["scanned"].as_i64().unwrap() < points / 2, "{exact}");
    assert_eq!(exact["matches"], scanned);
    // The other one finds as much as it promises, over many queries.
    let (mut found, mut all) = (0, 0);
    for at in (0..points).step_by(29) {
        let (quick, exact) = (ask_like(at, false), ask_like(at, true));
        let (quick, exact) = (quick["matches"].as_array().unwrap(), exact["matches"].as_array().unwrap());
        assert_eq!((quick.len(), exact.len()), (5, 5));
        found += quick.iter().filter(|row| exact.contains(row)).count();
        all += exact.len();
    }
    assert!(found * 100 >= all * 99, "{found} of {all}");
    // It is counted after it can be used.
    let stats = loop {
        let stats = lines.data("GetStats", json!({"series": "all"}));
        if stats["vector_rows_indexed"] != 0 {
            break stats;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!((&stats["vector_rows"], &stats["vector_rows_indexed"]), (&json!(points), &json!(points)));
    assert!(stats["vector_index_bytes"].as_u64().unwrap() > 0);
    assert!(stats["vectors_scanned"].as_i64().unwrap() >= points);
}
