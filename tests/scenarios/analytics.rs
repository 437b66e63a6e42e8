//! Anomalies and motifs with everything that can be asked of them, against the oracle.

use serde_json::{Value, json};
use tsdb_vector::base::Rng;
use tsdb_vector::mp::{self, Selection, oracle};

use crate::support::{Lines, Server};

fn noisy_wave(points: usize, period: f64, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    (0..points).map(|at| (at as f64 * std::f64::consts::TAU / period).sin() + 0.3 * rng.unit_f64()).collect()
}

fn store(lines: &mut Lines, series: &str, times: &[i64], values: &[f64]) {
    lines.data("CreateSeries", json!({"name": series, "dimension": 1, "if_not_exists": true}));
    lines.data("BatchInsert", json!({"series": series, "timestamps_ns": times, "values": values}));
}

fn seconds(points: usize) -> Vec<i64> {
    (0..points as i64).map(|at| at * 1_000_000_000).collect()
}

fn selection(values: &[f64], window: usize) -> Selection<'_> {
    Selection { values, dimension: 1, window, normalize: true }
}

fn anomalies(data: &Value) -> Vec<(u64, f64)> {
    let row = |row: &Value| (row["index"].as_u64().unwrap(), row["score"].as_f64().unwrap());
    data["anomalies"].as_array().unwrap().iter().map(row).collect()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} instead of {expected}");
}

/// The discords of the windows and neighbours that may be.
fn expected(
    values: &[f64],
    window: usize,
    k: usize,
    may_match: impl Fn(usize, usize) -> bool,
) -> Vec<(u64, f64)> {
    let of = selection(values, window);
    let profile = oracle::nearest(&of, &of, may_match);
    mp::discords_of(&profile, window, k, |_| false)
        .iter()
        .map(|found| (found.index as u64, found.score))
        .collect()
}

fn assert_same(found: &[(u64, f64)], expected: &[(u64, f64)]) {
    assert_eq!(found.len(), expected.len(), "{found:?} instead of {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.0, expected.0);
        close(found.1, expected.1);
    }
}

#[test]
fn earlier_neighbours_and_gaps_are_the_oracles() {
    let server = Server::start();
    let mut lines = server.connect();
    let (n, window) = (500, 20);
    let values = noisy_wave(n, 25.0, 1);
    store(&mut lines, "regular", &seconds(n), &values);
    let far = |i: usize, j: usize| i.abs_diff(j) > 5;

    let both = lines.data("Anomaly", json!({"series": "regular", "window": window, "k": 4}));
    assert_same(&anomalies(&both), &expected(&values, window, 4, far));
    let figures = json!({
        "window": 20, "n": 500, "exclusion_zone": 5, "max_gap_ns": 10_000_000_000_i64, "windows": 481, "skipped": 0,
        "coverage": 1.0, "exact": true, "cached": false,
    });
    for (name, value) in figures.as_object().unwrap() {
        assert_eq!(&both[name], value, "{name} of {both}");
    }
    assert_eq!(both["cells"], 476 * 475 / 2);
    assert!(both["elapsed_ms"].as_f64().unwrap() > 0.0);
    let row = &both["anomalies"][0];
    close(row["normalized_score"].as_f64().unwrap(), row["score"].as_f64().unwrap() / (2.0 * 20_f64.sqrt()));
    assert_eq!(row.get("flags"), None);
    let plain = json!({"series": "regular", "window": window, "normalize": false});
    assert_eq!(lines.data("Anomaly", plain)["anomalies"][0].get("normalized_score"), None);

    let left = lines.data("Anomaly", json!({"series": "regular", "window": window, "k": 4, "left": true}));
    assert_same(&anomalies(&left), &expected(&values, window, 4, |i, j| far(i, j) && j < i));
    for row in left["anomalies"].as_array().unwrap() {
        assert!(row["neighbor_index"].as_u64() < row["index"].as_u64(), "{row}");
    }

    // A minute is missing after point 249.
    let mut times = seconds(n);
    times[250..].iter_mut().for_each(|time| *time += 60_000_000_000);
    store(&mut lines, "gap", &times, &values);
    let crosses = |at: usize| (231..=249).contains(&at);
    let gap = |max_gap: Value| json!({"series": "gap", "window": window, "k": 9, "max_gap": max_gap});
    let whole = expected(&values, window, 9, |i, j| far(i, j) && !crosses(i) && !crosses(j));
    for max_gap in [json!(null), json!("59s"), json!(1_000_000_000), json!("0.5m")] {
        let found = lines.data("Anomaly", gap(max_gap));
        assert_same(&anomalies(&found), &whole);
        assert_eq!((&found["windows"], &found["skipped"]), (&json!(462), &json!(19)));
        for row in found["anomalies"].as_array().unwrap() {
            let index = row["index"].as_u64().unwrap();
            let near = row.get("flags") == Some(&json!(["near_gap"]));
            assert_eq!(near, index + 40 > 250 && index < 270, "{row}");
        }
    }
    let found = lines.data("Anomaly", gap(json!("1h")));
    assert_same(&anomalies(&found), &expected(&values, window, 9, far));
    assert_eq!((&found["skipped"], &found["max_gap_ns"]), (&json!(0), &json!(3_600_000_000_000_i64)));
    let found = lines.data("Anomaly", gap(json!(1)));
    assert_eq!((&found["anomalies"], &found["skipped"]), (&json!([]), &json!(481)));
    assert!(lines.text("ANOMALY gap 20 1").rows()[0].starts_with(&float(whole[0].1)));

    // What has no usual step has no gap.
    let bursts: Vec<i64> = (0..n as i64).map(|at| at / 7 * 1_000_000_000 + at % 7).collect();
    store(&mut lines, "bursts", &bursts, &values);
    let found = lines.data("Anomaly", json!({"series": "bursts", "window": window, "k": 4}));
    assert_same(&anomalies(&found), &expected(&values, window, 4, far));
    assert_eq!((&found["skipped"], &found["max_gap_ns"]), (&json!(0), &json!(null)));
}

/// The first digits of a number, as the server prints them.
fn float(value: f64) -> String {
    value.to_string().chars().take(10).collect()
}

#[test]
fn flat_windows_are_a_motif_only_where_asked_for() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut values = noisy_wave(400, 25.0, 2);
    values[100..130].fill(1.0);
    values[300..330].fill(2.0);
    store(&mut lines, "s", &seconds(400), &values);
    let plain = lines.data("Motif", json!({"series": "s", "window": 20, "k": 2}));
    let expected = oracle::motifs(&selection(&values, 20), 2);
    for (row, expected) in plain["motifs"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(row["a"]["index"], expected.a);
        assert_eq!(row["b"]["index"], expected.b);
        close(row["distance"].as_f64().unwrap(), expected.distance);
        close(row["normalized_score"].as_f64().unwrap(), expected.distance / (2.0 * 20_f64.sqrt()));
        assert_eq!(row.get("flags"), None);
    }
    assert_eq!(plain["skipped"], 22, "constant windows");
    let flat = lines.data("Motif", json!({"series": "s", "window": 20, "k": 1, "flat": true}));
    let row = &flat["motifs"][0];
    assert_eq!((&row["distance"], &row["flags"]), (&json!(0.0), &json!(["constant"])));
    assert_eq!((&row["a"]["index"], &row["b"]["index"]), (&json!(100), &json!(106)));
    assert_eq!(flat["skipped"], 0);
}

#[test]
fn windows_of_many_lengths_are_one_list() {
    let server = Server::start();
    let mut lines = server.connect();
    let (n, least, greatest, k) = (300, 12_usize, 31, 4);
    let values = noisy_wave(n, 19.0, 8);
    store(&mut lines, "s", &seconds(n), &values);
    let found = lines.data("Anomaly", json!({"series": "s", "windows": [least, greatest], "k": k}));
    assert_eq!(
        (&found["window"], &found["lengths"], &found["exact"]),
        (&json!(31), &json!([12, 31]), &json!(true))
    );
    // The k discords of each length, and of those the greatest by 2√m that share no point.
    let mut all: Vec<(usize, usize, f64)> = Vec::new();
    for window in least..=greatest {
        let far = |i: usize, j: usize| i.abs_diff(j) > window.div_ceil(4);
        let rows = expected(&values, window, k, far).into_iter();
        all.extend(rows.map(|(at, score)| (window, at as usize, score / (2.0 * (window as f64).sqrt()))));
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut taken: Vec<(usize, usize, f64)> = Vec::new();
    for (window, at, score) in all {
        if taken.len() < k && taken.iter().all(|(m, other, _)| at + window <= *other || other + m <= at) {
            taken.push((window, at, score));
        }
    }
    let rows = found["anomalies"].as_array().unwrap();
    assert_eq!(rows.len(), taken.len());
    for (row, (window, at, score)) in rows.iter().zip(&taken) {
        assert_eq!((&row["window"], &row["index"]), (&json!(window), &json!(at)));
        close(row["normalized_score"].as_f64().unwrap(), *score);
        assert_eq!(row["end_timestamp_ns"], (at + window - 1) as i64 * 1_000_000_000);
    }
    // Lengths that the points do not suffice for have no windows.
    let few = lines.data("Anomaly", json!({"series": "s", "windows": [200, 400], "k": 1}));
    assert!(few["anomalies"][0]["window"].as_u64().unwrap() < 241, "{few}");
    assert_eq!(lines.code("Anomaly", json!({"series": "s", "windows": [300, 400]})), "NOT_ENOUGH_DATA");
}

#[test]
fn the_window_may_be_left_to_the_server() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut values = noisy_wave(900, 37.0, 3);
    // Half a beat comes upside down.
    values[500..518].iter_mut().for_each(|value| *value = -*value);
    store(&mut lines, "s", &seconds(900), &values);
    let auto = lines.data("Anomaly", json!({"series": "s", "window": "auto", "k": 3}));
    let window = auto["window"].as_u64().unwrap();
    assert!((12..=112).contains(&window), "{auto}");
    let first = auto["anomalies"][0]["index"].as_u64().unwrap();
    assert!(first < 518 && first + window > 500, "{auto}");
    let given = lines.data("Anomaly", json!({"series": "s", "window": window, "k": 3}));
    assert_eq!(auto["anomalies"], given["anomalies"]);
    // The rule, word by word.
    let standouts: Vec<(usize, usize, f64)> = mp::lengths(37, 112)
        .into_iter()
        .map(|window| {
            let far = |i: usize, j: usize| i.abs_diff(j) > window.div_ceil(4);
            let found = expected(&values, window, 5, far);
            let scores: Vec<f64> = found.iter().map(|(_, score)| *score).collect();
            (window, found[0].0 as usize, mp::standout(&scores))
        })
        .collect();
    let tried: Vec<mp::Tried<()>> = standouts
        .into_iter()
        .map(|(length, index, standout)| mp::Tried { length, sequence: (), index, standout })
        .collect();
    assert_eq!(mp::most_outstanding(&tried), Some(window as usize));
    assert_eq!(lines.data("Motif", json!({"series": "s", "window": "auto"}))["window"], 37);
    let hurried = lines.data("Anomaly", json!({"series": "s", "window": "auto", "timeout_ms": 1}));
    assert!(hurried["window"].as_u64().unwrap() >= 10, "{hurried}");
    let few = json!({"series": "s", "window": "auto", "end_ns": 30_000_000_000_i64});
    assert_eq!(lines.code("Anomaly", few), "NOT_ENOUGH_DATA");
    for window in [json!("some"), json!(null), json!(2)] {
        assert_eq!(lines.code("Anomaly", json!({"series": "s", "window": window})), "INVALID_ARGUMENT");
    }
}

#[test]
fn what_was_found_in_time_is_the_answer() {
    let server = Server::start();
    let mut lines = server.connect();
    let n = 60_000;
    let values = noisy_wave(n, 97.3, 4);
    store(&mut lines, "s", &seconds(n), &values);
    let asked = json!({"series": "s", "window": 100, "k": 3, "timeout_ms": 1});
    let found = lines.data("Anomaly", asked.clone());
    let coverage = found["coverage"].as_f64().unwrap();
    assert!(found["exact"] == false && (0.0..1.0).contains(&coverage), "{found}");
    let total = (n as u64 - 99 - 25) * (n as u64 - 99 - 26) / 2;
    close(found["cells"].as_u64().unwrap() as f64 / total as f64, coverage);
    for row in found["anomalies"].as_array().unwrap() {
        let [a, b] = ["index", "neighbor_index"].map(|name| row[name].as_u64().unwrap() as usize);
        close(row["score"].as_f64().unwrap(), oracle::distance(&selection(&values, 100), a, b));
    }
    assert_eq!(lines.data("Motif", asked)["exact"], false);
    // Of lengths and label sets that were not begun the pairs are known too.
    let pairs = |n: u64, window: u64| {
        let apart = n + 1 - window - window.div_ceil(4);
        apart * (apart - 1) / 2
    };
    let asked = json!({"series": "s", "windows": [100, 119], "timeout_ms": 1});
    let found = lines.data("Anomaly", asked);
    let total: u64 = (100..=119).map(|window| pairs(n as u64, window)).sum();
    assert_eq!(found["exact"], false);
    close(found["cells"].as_u64().unwrap() as f64 / total as f64, found["coverage"].as_f64().unwrap());
    lines.data("CreateSeries", json!({"name": "sets", "dimension": 1}));
    let sets = 400;
    for set in 0..sets {
        let labels = json!({"set": set.to_string()});
        let batch = json!({"series": "sets", "timestamps_ns": seconds(60), "values": noisy_wave(60, 9.0, set), "labels": labels});
        lines.data("BatchInsert", batch);
    }
    let many = 53 * 53 * sets * sets;
    for (kind, total) in [("MpDist", 2 * many), ("Anomaly", many)] {
        let asked = json!({"series": "sets", "window": 8, "timeout_ms": 1, "with": "sets"});
        let found = lines.data(kind, asked);
        assert_eq!(found["exact"], false, "{kind}");
        close(found["cells"].as_u64().unwrap() as f64 / total as f64, found["coverage"].as_f64().unwrap());
    }
    let patient =
        json!({"series": "s", "window": 100, "end_ns": 999_000_000_000_i64, "timeout_ms": 3_600_000});
    let found = lines.data("Anomaly", patient);
    assert_eq!((&found["exact"], &found["coverage"]), (&json!(true), &json!(1.0)));
}

#[test]
fn label_sets_are_analysed_each_by_itself() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.data("CreateSeries", json!({"name": "s", "dimension": 1}));
    let hosts: Vec<Vec<f64>> = (0..3).map(|host| noisy_wave(300, 25.0, 10 + host)).collect();
    for (host, values) in hosts.iter().enumerate() {
        let labels = json!({"host": format!("h{host}")});
        let times = seconds(300);
        lines.data(
            "BatchInsert",
            json!({"series": "s", "timestamps_ns": times, "values": values, "labels": labels}),
        );
    }
    // Too few for a window and a neighbour.
    lines.data("BatchInsert", json!({"series": "s", "timestamps_ns": seconds(22), "values": vec![5.0; 22]}));
    let far = |i: usize, j: usize| i.abs_diff(j) > 5;
    let mut all: Vec<(usize, u64, f64)> = Vec::new();
    for (host, values) in hosts.iter().enumerate() {
        all.extend(expected(values, 20, 5, far).iter().map(|&(index, score)| (host, index, score)));
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2));
    let found = lines.data("Anomaly", json!({"series": "s", "window": 20, "k": 5}));
    for (row, (host, index, score)) in found["anomalies"].as_array().unwrap().iter().zip(&all) {
        assert_eq!(row["labels"], json!({"host": format!("h{host}")}), "{row}");
        assert_eq!(row["index"], *index);
        assert_eq!(row["timestamp_ns"], index * 1_000_000_000);
        close(row["score"].as_f64().unwrap(), *score);
    }
    assert_eq!(found["anomalies"].as_array().unwrap().len(), 5);
    for (name, value) in [("n", 922), ("sequences", 3), ("windows", 843), ("skipped", 3)] {
        assert_eq!(found[name], value, "{name} of {found}");
    }
    let motifs = lines.data("Motif", json!({"series": "s", "window": 20, "k": 4}));
    let mut all: Vec<(usize, f64)> = Vec::new();
    for (host, values) in hosts.iter().enumerate() {
        all.extend(oracle::motifs(&selection(values, 20), 4).iter().map(|motif| (host, motif.distance)));
    }
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (row, (host, distance)) in motifs["motifs"].as_array().unwrap().iter().zip(&all) {
        assert_eq!(row["labels"], json!({"host": format!("h{host}")}));
        close(row["distance"].as_f64().unwrap(), *distance);
    }
    let one = json!({"series": "s", "window": 20, "k": 2, "labels": {"host": "h1"}});
    let one = lines.data("Anomaly", one);
    assert_same(&anomalies(&one), &expected(&hosts[1], 20, 2, far));
    assert_eq!(one["anomalies"][0]["labels"], json!({"host": "h1"}));
    assert_eq!(lines.code("Anomaly", json!({"series": "s", "window": 250})), "NOT_ENOUGH_DATA");

    // One sequence: by time, and at one time by label set.
    let mut joined = Vec::new();
    for at in 0..300 {
        joined.extend((at < 22).then_some(5.0));
        joined.extend(hosts.iter().map(|values| values[at]));
    }
    let found = lines.data("Anomaly", json!({"series": "s", "window": 20, "k": 3, "join_labels": true}));
    assert_same(&anomalies(&found), &expected(&joined, 20, 3, far));
    assert_eq!((&found["sequences"], &found["n"], &found["skipped"]), (&json!(1), &json!(922), &json!(0)));
    assert!(found["anomalies"].as_array().unwrap().iter().all(|row| row.get("labels").is_none()));
}

#[test]
fn a_known_answer_is_that_of_now() {
    let seed = 7;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let server = Server::start();
    let mut lines = server.connect();
    let mut values = noisy_wave(150, 12.0, seed);
    let create = json!({"name": "s", "dimension": 1});
    lines.data("CreateSeries", create.clone());
    store(&mut lines, "s", &seconds(150), &values);
    lines.data("Save", json!({"path": "then"}));
    let saved = values.clone();
    let mut cached = 0;
    for round in 0..60 {
        match rng.below(8) {
            0 | 1 => {
                let at = rng.below(values.len() as u64) as usize;
                values[at] = 3.0 * rng.unit_f64();
                let point =
                    json!({"series": "s", "timestamp_ns": seconds(values.len())[at], "values": [values[at]]});
                lines.data("InsertAt", point);
            }
            2 if values.len() > 100 => {
                values.pop();
                let gone = seconds(values.len() + 1)[values.len()];
                lines.data("DeleteRange", json!({"series": "s", "start_ns": gone, "end_ns": gone}));
            }
            3 => {
                lines.data("DropSeries", json!({"name": "s"}));
                lines.data("CreateSeries", create.clone());
                assert_eq!(lines.code("Anomaly", json!({"series": "s", "window": 12})), "NOT_ENOUGH_DATA");
                values = noisy_wave(150, 12.0, 100 + round);
                store(&mut lines, "s", &seconds(150), &values);
            }
            4 => {
                lines.data("Load", json!({"path": "then"}));
                values.clone_from(&saved);
            }
            5 => {
                lines.data("Flush", json!({}));
            }
            _ => {}
        }
        for _ in 0..2 {
            let found = lines.data("Anomaly", json!({"series": "s", "window": 12, "k": 3}));
            cached += u32::from(found["cached"] == true);
            assert_same(&anomalies(&found), &expected(&values, 12, 3, |i, j| i.abs_diff(j) > 3));
        }
        let found = lines.data("Anomaly", json!({"series": "s", "window": 12, "k": 3}));
        assert_eq!(found["cached"], true, "asked a moment ago");
    }
    assert!(cached >= 60, "{cached}");
    // The text dialect asks the same, and other options are other questions.
    let first = lines.data("Motif", json!({"series": "s", "window": 12, "k": 2}));
    let again = lines.data("Motif", json!({"series": "s", "window": 12, "k": 2, "timeout_ms": 60_000}));
    assert_eq!((&first["cached"], &again["cached"]), (&json!(false), &json!(true)));
    assert_eq!(first["motifs"], again["motifs"]);
    assert!(lines.text("MOTIF s 12 2").rows()[0].starts_with(&first["motifs"][0]["distance"].to_string()));
    let other = lines.data("Motif", json!({"series": "s", "window": 12, "k": 2, "flat": true}));
    assert_eq!(other["cached"], false);
}

#[test]
fn a_series_beside_another_is_the_oracles() {
    let server = Server::start();
    let mut lines = server.connect();
    let values = noisy_wave(200, 25.0, 20);
    store(&mut lines, "s", &seconds(200), &values);
    lines.data("CreateSeries", json!({"name": "healthy", "dimension": 1}));
    let machines: Vec<Vec<f64>> = (0..2).map(|at| noisy_wave(150, 25.0, 30 + at)).collect();
    for (at, values) in machines.iter().enumerate() {
        let (labels, times) = (json!({"machine": format!("m{at}")}), seconds(150));
        lines.data(
            "BatchInsert",
            json!({"series": "healthy", "timestamps_ns": times, "values": values, "labels": labels}),
        );
    }
    let window = 20;
    let of = selection(&values, window);
    let profiles: Vec<mp::Profile> = machines
        .iter()
        .map(|machine| oracle::nearest(&of, &selection(machine, window), |_, _| true))
        .collect();
    // Of both machines the nearer window.
    let nearer = |at: usize| usize::from(profiles[1].distances[at] < profiles[0].distances[at]);
    let nearest = mp::Profile {
        distances: (0..of.windows()).map(|at| profiles[nearer(at)].distances[at]).collect(),
        neighbors: (0..of.windows()).map(|at| profiles[nearer(at)].neighbors[at]).collect(),
    };
    let expected = mp::discords_of(&nearest, window, 4, |_| false);
    let found = lines.data("Anomaly", json!({"series": "s", "with": "healthy", "window": window, "k": 4}));
    assert_eq!(found["anomalies"].as_array().unwrap().len(), 4);
    for (row, expected) in found["anomalies"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(row["index"], expected.index, "{row}");
        close(row["score"].as_f64().unwrap(), expected.score);
        assert_eq!(row["neighbor_index"], expected.neighbor, "{row}");
        assert_eq!(row["neighbor_timestamp_ns"], expected.neighbor as i64 * 1_000_000_000);
        assert_eq!(row["neighbor_labels"], json!({"machine": format!("m{}", nearer(expected.index))}));
        assert_eq!(row.get("labels"), None);
    }
    let cells = 181 * (300 - 19);
    assert_eq!((&found["exclusion_zone"], &found["cells"]), (&json!(0), &json!(cells)));
    assert_eq!((&found["n"], &found["exact"]), (&json!(200), &json!(true)));

    let one =
        json!({"series": "s", "with": "healthy", "with_labels": {"machine": "m1"}, "window": window, "k": 1});
    let motif = lines.data("Motif", one.clone())["motifs"][0].take();
    let closest = profiles[1].distances.iter().copied().fold(f64::INFINITY, f64::min);
    close(motif["distance"].as_f64().unwrap(), closest);
    assert_eq!(motif["neighbor_labels"], json!({"machine": "m1"}));
    let [a, b] = ["a", "b"].map(|side| motif[side]["index"].as_u64().unwrap() as usize);
    close(oracle::distance_between(&of, a, &selection(&machines[1], window), b), closest);

    // A part of a series beside another part of it; and what changes in either is seen.
    let halves = json!({"series": "s", "end_ns": 99_000_000_000_i64, "with": "s", "with_start_ns": 100_000_000_000_i64,
        "window": window, "k": 2});
    let [first, second] = [&values[..100], &values[100..]].map(|half| selection(half, window));
    let profile = oracle::nearest(&first, &second, |_, _| true);
    let expected = mp::discords_of(&profile, window, 2, |_| false);
    for cached in [false, true] {
        let found = lines.data("Anomaly", halves.clone());
        assert_eq!(found["cached"], cached);
        for (row, expected) in found["anomalies"].as_array().unwrap().iter().zip(&expected) {
            assert_eq!(row["index"], expected.index);
            close(row["score"].as_f64().unwrap(), expected.score);
        }
    }
    assert_eq!(lines.data("Motif", one.clone())["cached"], true);
    lines.data("InsertAt", json!({"series": "healthy", "timestamp_ns": 0, "values": [9]}));
    assert_eq!(lines.data("Motif", one)["cached"], false);

    lines.data("CreateSeries", json!({"name": "wide", "dimension": 2}));
    for (with, window, code) in [
        ("wide", 20, "DIMENSION_MISMATCH"),
        ("none", 20, "SERIES_NOT_FOUND"),
        ("healthy", 190, "NOT_ENOUGH_DATA"),
    ] {
        let asked = json!({"series": "s", "with": with, "with_labels": {"machine": "m0"}, "window": window});
        assert_eq!(lines.code("Anomaly", asked), code);
    }
}
