//! Profiles that are kept while points come, and alerts, over the wire.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tsdb_vector::base::Rng;
use tsdb_vector::mp::{Selection, oracle};

use crate::support::{Lines, Server, get, post};

const SECOND: i64 = 1_000_000_000;

fn wave(at: usize) -> f64 {
    (at as f64 * 0.4).sin() + 0.05 * Rng::new(at as u64).unit_f64()
}

fn store(lines: &mut Lines, series: &str, first: usize, values: &[f64]) {
    let times: Vec<i64> = (first..first + values.len()).map(|at| at as i64 * SECOND).collect();
    lines.data("BatchInsert", json!({"series": series, "timestamps_ns": times, "values": values}));
}

/// Asks until the only watch has seen a point and is not behind.
fn seen(lines: &mut Lines, last_ns: i64) -> Value {
    let started = Instant::now();
    loop {
        let row = lines.data("ListWatches", json!({}))["watches"][0].take();
        if row["last_timestamp_ns"] == last_ns && row["behind_ms"] == 0 {
            return row;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{row}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The score of the newest window, by the definition.
fn newest_score(values: &[f64], window: usize) -> f64 {
    let of = Selection { values, dimension: 1, window, normalize: true };
    let profile = oracle::nearest(&of, &of, |i, j| j + window.div_ceil(4) < i);
    profile.distances.last().unwrap() / (2.0 * (window as f64).sqrt())
}

#[test]
fn what_is_watched_is_told_to_those_who_subscribed_and_outlives_a_kill() {
    let mut server = Server::start();
    let (mut writer, mut listener, mut other) = (server.connect(), server.connect(), server.connect());
    writer.text("CREATE s 1").rows();
    writer.text("CREATE elsewhere 1").rows();
    let values: Vec<f64> = (0..400).map(wave).collect();
    store(&mut writer, "s", 0, &values);
    let watching = writer.text("WATCH s 20 0.35").summary();
    assert_eq!(watching, "watching s window=20 threshold=0.35 max_points=65536");
    let row = seen(&mut writer, 399 * SECOND);
    assert_eq!((&row["points"], &row["window"], &row["alerts"]), (&json!(400), &json!(20), &json!(0)));
    assert!((row["normalized_score"].as_f64().unwrap() - newest_score(&values, 20)).abs() < 1e-9);

    assert_eq!(listener.text("SUBSCRIBE s").summary(), "subscribed to alerts of s");
    assert_eq!(other.data("Subscribe", json!({"series": "elsewhere"})), json!({"series": "elsewhere"}));
    let broken: Vec<f64> =
        (400..410).map(|at| if at < 406 { 3.0 - 6.0 * (at % 2) as f64 } else { wave(at) }).collect();
    store(&mut writer, "s", 400, &broken);
    let alert = listener.json_reply()["alert"].take();
    assert_eq!((&alert["series"], &alert["window"]), (&json!("s"), &json!(20)));
    let end_ns = alert["end_timestamp_ns"].as_i64().unwrap();
    assert!((400 * SECOND..410 * SECOND).contains(&end_ns), "{alert}");
    let all: Vec<f64> = values.iter().chain(&broken).copied().collect();
    let known = &all[..=(end_ns / SECOND) as usize];
    assert!((alert["normalized_score"].as_f64().unwrap() - newest_score(known, 20)).abs() < 1e-9, "{alert}");
    // Requests go on between alerts, and other series' listeners hear nothing.
    let alerts = seen(&mut writer, 409 * SECOND)["alerts"].as_u64().unwrap();
    for _ in 1..alerts {
        assert!(listener.json_reply()["alert"].is_object());
    }
    assert_eq!(listener.text("PING").summary(), "PONG");
    assert_eq!(other.text("PING").summary(), "PONG");
    assert_eq!(listener.text("UNSUBSCRIBE").summary(), "unsubscribed");

    // Late, written again and deleted.
    let mut all = all;
    writer.data("InsertAt", json!({"series": "s", "timestamp_ns": 395 * SECOND, "values": [1.5]}));
    all[395] = 1.5;
    writer.data("DeleteRange", json!({"series": "s", "start_ns": 0, "end_ns": 9 * SECOND}));
    store(&mut writer, "s", 410, &[0.5]);
    all.push(0.5);
    let row = seen(&mut writer, 410 * SECOND);
    assert_eq!(row["points"], 401);
    assert!((row["normalized_score"].as_f64().unwrap() - newest_score(&all[10..], 20)).abs() < 1e-9);
    assert_eq!(writer.data("GetStats", json!({"series": "all"}))["watches"], 1);
    assert!(get(server.address, "/metrics", "").2.contains("tsdb_watches 1"));

    server.kill();
    let server = Server::start_in(&server.data_dir, |_| {});
    let mut writer = server.connect();
    let row = seen(&mut writer, 410 * SECOND);
    assert_eq!((&row["points"], &row["threshold"], &row["alerts"]), (&json!(401), &json!(0.35), &json!(0)));
    assert!((row["normalized_score"].as_f64().unwrap() - newest_score(&all[10..], 20)).abs() < 1e-9);
    assert_eq!(writer.text("UNWATCH s").summary(), "1 watches removed");
    assert_eq!(writer.text("WATCHES").rows(), Vec::<String>::new());
    assert_eq!(writer.text("UNWATCH s").code(), "INVALID_ARGUMENT");
}

#[test]
fn what_can_not_be_watched_is_refused() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE s 1").rows();
    lines.text("CREATE pair 2").rows();
    assert_eq!(lines.text("WATCH nowhere 20").code(), "SERIES_NOT_FOUND");
    assert_eq!(lines.text("SUBSCRIBE nowhere").code(), "SERIES_NOT_FOUND");
    assert_eq!(lines.text("WATCH pair 20").code(), "DIMENSION_MISMATCH");
    assert_eq!(lines.text("WATCH s 20 1.5").code(), "INVALID_ARGUMENT");
    assert_eq!(lines.text("WATCH s").code(), "PARSE_ERROR");
    for data in [
        json!({"series": "s", "window": 2}),
        json!({"series": "s", "window": 20, "max_points": 79}),
        json!({"series": "s", "window": 20, "max_points": 1 << 21}),
        json!({"series": "s", "window": 20, "threshold": -0.1}),
        json!({"series": "s"}),
    ] {
        assert_eq!(lines.code("WatchProfile", data), "INVALID_ARGUMENT");
    }
    let (status, reply) = post(server.address, "", r#"{"type":"Subscribe"}"#);
    assert_eq!((status, &reply["error"]["code"]), (400, &json!("INVALID_ARGUMENT")));
}

#[test]
fn the_client_shows_alerts_as_they_come() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE s 1").rows();
    lines.text("WATCH s 10 0.3").rows();
    let mut client = server.client().arg("SUBSCRIBE").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("all"), "{line}");
    let values: Vec<f64> = (0..200).map(|at| if (150..155).contains(&at) { 9.0 } else { wave(at) }).collect();
    store(&mut lines, "s", 0, &values);
    line.clear();
    out.read_line(&mut line).unwrap();
    let alert: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(alert["alert"]["series"], "s", "{line}");
    client.kill().unwrap();
    client.wait().unwrap();
}
