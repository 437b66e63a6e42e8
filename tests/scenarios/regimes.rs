//! Regimes, chains, snippets and distances of series, several dimensions and regular times,
//! over the wire against the oracle or the definition; and the progress of what runs.

use std::time::Duration;

use serde_json::{Value, json};
use tsdb_vector::base::{Deadline, Dimensions, Rng};
use tsdb_vector::mp::{self, Computation, Progress, Selection, oracle};

use crate::support::{Lines, Server, get};

/// A wave that becomes another one.
fn two_regimes(points: usize, change: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    (0..points)
        .map(|at| {
            let turn = at as f64 * std::f64::consts::TAU / 20.0;
            let shape = if at < change { turn.sin() } else { (3.0 * turn.sin()).tanh() + (2.0 * turn).cos() };
            shape + 0.3 * rng.unit_f64()
        })
        .collect()
}

fn store(lines: &mut Lines, series: &str, times: &[i64], values: &Value, labels: &Value) {
    let dimension = values[0].as_array().map_or(1, Vec::len);
    lines.data("CreateSeries", json!({"name": series, "dimension": dimension, "if_not_exists": true}));
    let batch = json!({"series": series, "timestamps_ns": times, "values": values, "labels": labels});
    lines.data("BatchInsert", batch);
}

fn times(points: usize) -> Vec<i64> {
    (0..points as i64).map(|at| at * 1_000).collect()
}

fn selection(values: &[f64], window: usize) -> Selection<'_> {
    Selection { values, dimension: 1, window, normalize: true }
}

fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} instead of {expected}");
}

fn indexes(rows: &Value) -> Vec<usize> {
    rows.as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap() as usize).collect()
}

#[test]
fn changes_are_the_lowest_places_of_the_curve() {
    let server = Server::start();
    let mut lines = server.connect();
    let values = two_regimes(600, 260, 1);
    store(&mut lines, "s", &times(600), &json!(values), &json!({}));
    let found = lines.data("Segment", json!({"series": "s", "window": 20, "k": 2, "curve": true}));
    let of = selection(&values, 20);
    let curve = mp::corrected_arc_curve(&oracle::profile(&of), 20, |_| true);
    let expected = mp::changes_of(&curve, 20, 2);
    assert_eq!(indexes(&found["changes"]), expected.iter().map(|change| change.index).collect::<Vec<_>>());
    for (row, expected) in found["changes"].as_array().unwrap().iter().zip(&expected) {
        close(&row["score"], expected.score);
        assert_eq!(row["timestamp_ns"], expected.index * 1_000);
    }
    assert!(expected[0].index.abs_diff(260) < 25, "{expected:?}");
    let served = found["curves"][0]["values"].as_array().unwrap();
    assert_eq!(served.len(), 581);
    for (found, expected) in served.iter().zip(&curve) {
        close(found, *expected);
    }
    let again = lines.data("Segment", json!({"series": "s", "window": 20, "k": 2, "curve": true}));
    assert_eq!((&again["cached"], &again["changes"]), (&json!(true), &found["changes"]));
    let text = lines.text("SEGMENT s 20 1");
    assert_eq!(text.rows()[0].split(' ').nth(1), Some(&*(expected[0].index * 1_000).to_string()));
    // Each label set by itself: the other one changes later, and less.
    store(&mut lines, "s", &times(600), &json!(two_regimes(600, 400, 2)), &json!({"host": "b"}));
    let both = lines.data("Segment", json!({"series": "s", "window": 20, "k": 2, "curve": true}));
    assert_eq!((&both["sequences"], both["curves"].as_array().unwrap().len()), (&json!(2), 2));
    let late = both["changes"].as_array().unwrap().iter().find(|row| row["labels"]["host"] == "b").unwrap();
    assert!(late["index"].as_u64().unwrap().abs_diff(400) < 25, "{both}");
    assert_eq!(lines.code("Segment", json!({"series": "s", "window": 600})), "NOT_ENOUGH_DATA");
}

#[test]
fn chains_are_made_of_neighbours_on_both_sides() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut rng = Rng::new(6);
    let mut values: Vec<f64> = (0..400).map(|_| 0.4 * rng.unit_f64()).collect();
    for beat in 0..9_usize {
        for at in 0..20 {
            values[10 + 40 * beat + at] +=
                3.0 * (-(at as f64 - 10.0 - 0.4 * beat as f64).powi(2) / 6.0).exp();
        }
    }
    store(&mut lines, "s", &times(400), &json!(values), &json!({}));
    let found = lines.data("Chains", json!({"series": "s", "window": 16, "k": 2}));
    let of = selection(&values, 16);
    let [left, right] = [true, false]
        .map(|left| oracle::nearest(&of, &of, |i, j| i.abs_diff(j) > 4 && (j < i) == left).neighbors);
    let expected = mp::longest_chains(mp::all_chains(&left, &right), 16, 2);
    assert!(expected[0].len() >= 4, "{expected:?}");
    for (row, expected) in found["chains"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!((&indexes(&row["windows"]), &row["length"]), (expected, &json!(expected.len())));
        for (distance, pair) in row["distances"].as_array().unwrap().iter().zip(expected.windows(2)) {
            close(distance, oracle::distance(&of, pair[0], pair[1]));
        }
    }
    assert_eq!(found["cells"], 380 * 381, "both sides of all pairs");
    let starts: Vec<String> = expected[0].iter().map(|at| (at * 1_000).to_string()).collect();
    assert_eq!(lines.text("CHAINS s 16 1").rows(), [format!("{} {}", starts.len(), starts.join(","))]);
}

#[test]
fn series_are_as_far_apart_as_what_they_share() {
    let server = Server::start();
    let mut lines = server.connect();
    let own = two_regimes(200, 90, 3);
    let (alike, unlike) = (two_regimes(150, 60, 4), two_regimes(150, 0, 5));
    store(&mut lines, "s", &times(200), &json!(own), &json!({}));
    store(&mut lines, "other", &times(150), &json!(alike), &json!({"host": "a"}));
    store(&mut lines, "other", &times(150), &json!(unlike), &json!({"host": "b"}));
    store(&mut lines, "other", &times(5), &json!([1, 2, 3, 4, 5]), &json!({"host": "short"}));
    let found = lines.data("MpDist", json!({"series": "s", "window": 16, "with": "other", "k": 9}));
    let rows = found["distances"].as_array().unwrap();
    let hosts: Vec<&Value> = rows.iter().map(|row| &row["neighbor_labels"]["host"]).collect();
    assert_eq!(hosts, [&json!("a"), &json!("b")]);
    for (row, other) in rows.iter().zip([&alike, &unlike]) {
        let (a, b) = (selection(&own, 16), selection(other, 16));
        let mut all = oracle::nearest(&a, &b, |_, _| true).distances;
        all.extend(oracle::nearest(&b, &a, |_, _| true).distances);
        all.sort_by(f64::total_cmp);
        close(&row["distance"], all[350_usize.div_ceil(20)]);
        close(&row["normalized_score"], all[350_usize.div_ceil(20)] / 8.0);
    }
    assert_eq!(found["cells"], 4 * 185 * 135);
    let nearest = lines.text("MPDIST s other 16");
    assert_eq!(nearest.rows(), [rows[0]["distance"].to_string()]);
    assert_eq!(
        lines.code("MpDist", json!({"series": "s", "window": 300, "with": "other"})),
        "NOT_ENOUGH_DATA"
    );
    assert_eq!(lines.code("MpDist", json!({"series": "s", "window": 16})), "INVALID_ARGUMENT");
}

#[test]
fn snippets_stand_for_regimes() {
    let server = Server::start();
    let mut lines = server.connect();
    let values = two_regimes(600, 400, 7);
    store(&mut lines, "s", &times(600), &json!(values), &json!({}));
    let found = lines.data("Snippets", json!({"series": "s", "window": 40, "k": 2, "sub_window": 20}));
    let of = selection(&values, 20);
    let computation = Computation::self_join(&of).unwrap();
    let whole = vec![true; 561];
    let search = mp::Snippets::new(&computation, 40, &whole);
    let expected = search.find(2, &Deadline::none(), &Progress::default()).snippets;
    let rows = found["snippets"].as_array().unwrap();
    assert_eq!(indexes(&found["snippets"]), [expected[0].index, expected[1].index]);
    for (row, expected) in rows.iter().zip(&expected) {
        close(&row["fraction"], expected.fraction);
        close(&row["area"], expected.area);
        assert_eq!(row["end_timestamp_ns"], (expected.index + 39) * 1_000);
    }
    // One for each regime, and for about as much as there is of it.
    let first = rows[0]["fraction"].as_f64().unwrap();
    assert!(expected[0].index < 400 && expected[1].index >= 360 && (0.55..0.8).contains(&first), "{found}");
    for (name, value) in [("window", 40), ("sub_window", 20), ("windows", 561)] {
        assert_eq!(found[name], value);
    }
    assert_eq!(lines.text("SNIPPETS s 40 1").rows().len(), 1);
    assert_eq!(lines.code("Snippets", json!({"series": "s", "window": 601})), "NOT_ENOUGH_DATA");
}

#[test]
fn answers_name_the_dimensions_that_make_them() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut rng = Rng::new(9);
    let rows: Vec<[f64; 3]> = (0..300)
        .map(|at| {
            [10.0, 14.0, 17.0]
                .map(|period| (f64::from(at) / period * std::f64::consts::TAU).sin() + 0.02 * rng.unit_f64())
        })
        .collect();
    let mut rows = rows;
    rows[150..162].iter_mut().for_each(|row| row[1] = 0.02 * rng.unit_f64());
    store(&mut lines, "s", &times(300), &json!(rows), &json!({}));
    let values: Vec<f64> = rows.iter().flatten().copied().collect();
    let of = Selection { values: &values, dimension: 3, window: 14, normalize: true };
    let far = |i: usize, j: usize| i.abs_diff(j) > 4;
    for (asked, counted) in [
        (json!("any"), Dimensions::Any),
        (json!("all"), Dimensions::All),
        (json!(1), Dimensions::Best(1)),
        (json!(2), Dimensions::Best(2)),
    ] {
        let profile = oracle::kth_nearest(&of, &of, 1, counted, far);
        let expected = mp::discords_of(&profile, 14, 2, |_| false);
        let found = lines.data("Anomaly", json!({"series": "s", "window": 14, "k": 2, "dimensions": asked}));
        for (row, expected) in found["anomalies"].as_array().unwrap().iter().zip(&expected) {
            assert_eq!(row["index"], expected.index, "{asked}");
            close(&row["score"], expected.score);
            let mut by = oracle::distances_by_dimension(&of, expected.index, &of, expected.neighbor);
            let named = row["dimensions"].as_array().unwrap();
            for of in named {
                close(&of["distance"], by[of["dimension"].as_u64().unwrap() as usize]);
            }
            by.sort_by(f64::total_cmp);
            let (most, first) = if let Dimensions::Best(best) = counted { (best, by[0]) } else { (3, by[2]) };
            assert_eq!(named.len(), most);
            close(&named[0]["distance"], first);
        }
    }
    let any = lines.data("Anomaly", json!({"series": "s", "window": 14, "k": 1, "dimensions": "any"}));
    assert!((137..162).contains(&any["anomalies"][0]["index"].as_u64().unwrap()), "{any}");
    assert_eq!(any["anomalies"][0]["dimensions"][0]["dimension"], 1, "{any}");
    let motif = lines.data("Motif", json!({"series": "s", "window": 14, "k": 1, "dimensions": 2}));
    assert_eq!(motif["motifs"][0]["dimensions"].as_array().unwrap().len(), 2);
    for kind in ["Anomaly", "Motif", "Segment", "Chains", "Snippets"] {
        let asked = json!({"series": "s", "window": 14, "dimensions": 4});
        assert_eq!(lines.code(kind, asked), "INVALID_ARGUMENT", "{kind}");
    }
}

#[test]
fn points_at_regular_times_are_made_of_irregular_ones() {
    let server = Server::start();
    let mut lines = server.connect();
    let regular = two_regimes(300, 150, 11);
    // Each second's point comes somewhat late, and a minute is missing.
    let mut rng = Rng::new(12);
    let second = 1_000_000_000_i64;
    let times: Vec<i64> = (0..300)
        .map(|at| at * second + rng.below(900_000_000) as i64 + if at >= 200 { 60 * second } else { 0 })
        .collect();
    store(&mut lines, "s", &times, &json!(regular), &json!({}));
    let asked = json!({"series": "s", "window": 16, "k": 3, "step": "1s", "resample": "mean"});
    let found = lines.data("Anomaly", asked.clone());
    let crosses = |at: usize| (185..200).contains(&at);
    let of = selection(&regular, 16);
    let profile = oracle::nearest(&of, &of, |i, j| i.abs_diff(j) > 4 && !crosses(i) && !crosses(j));
    let expected = mp::discords_of(&profile, 16, 3, |_| false);
    for (row, expected) in found["anomalies"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(row["index"], expected.index);
        close(&row["score"], expected.score);
        let late = if expected.index >= 200 { 60 } else { 0 };
        assert_eq!(row["timestamp_ns"], (expected.index as i64 + late) * second);
    }
    for (name, value) in [("n", json!(300)), ("skipped", json!(15)), ("step_ns", json!(second))] {
        assert_eq!(found[name], value, "{name} of {found}");
    }
    // The missing minute is made up where that is asked for.
    let whole = lines.data("Anomaly", json!({"series": "s", "window": 16, "step": "1s", "max_gap": "2m"}));
    assert_eq!((&whole["n"], &whole["skipped"]), (&json!(360), &json!(0)));
    for (by, n) in [("last", 299), ("linear", 299)] {
        let other = json!({"series": "s", "window": 16, "step": "1s", "resample": by});
        let other = lines.data("Segment", other);
        assert!(other["n"].as_u64().unwrap().abs_diff(n) <= 1, "{other}");
    }
    let with = json!({"series": "s", "window": 16, "with": "s", "step": "2s"});
    close(&lines.data("MpDist", with)["distances"][0]["distance"], 0.0);
    assert_eq!(lines.code("Anomaly", json!({"series": "s", "window": 16, "step": 1})), "LIMIT_EXCEEDED");
    assert_eq!(lines.data("Anomaly", asked)["cached"], true);
}

#[test]
fn what_runs_is_seen_with_its_progress() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut rng = Rng::new(13);
    let values: Vec<f64> = (0..200_000).map(|_| (rng.unit_f64() * 1e3).round()).collect();
    for (part, values) in values.chunks(20_000).enumerate() {
        let times: Vec<i64> = (0..values.len()).map(|at| (part * 20_000 + at) as i64).collect();
        store(&mut lines, "s", &times, &json!(values), &json!({}));
    }
    let asked = json!({"type": "Anomaly", "data": {"series": "s", "window": 100, "timeout_ms": 60_000}});
    let mut other = server.connect();
    other.send(format!("{asked}\n"));
    let total = (200_000_u64 - 99 - 25) * (200_000 - 99 - 26) / 2;
    let running = loop {
        let stats = lines.data("GetStats", json!({"series": "all"}));
        let running = stats["analyses"][0].clone();
        if running["cells"].as_u64().is_some_and(|cells| cells > 0) {
            break running;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((&running["type"], &running["series"]), (&json!("Anomaly"), &json!("s")));
    assert_eq!(running["cells_total"], total);
    assert!(running["cells"].as_u64().unwrap() <= total);
    let figures = lines.text("STATS all").rows();
    assert!(figures.iter().any(|row| row.starts_with("analyses ")), "{figures:?}");
    // It ends when its client leaves.
    drop(other);
    while lines.data("GetStats", json!({"series": "all"}))["analyses"] != json!([]) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (_, _, metrics) = get(server.address, "/metrics", "");
    assert!(metrics.contains("tsdb_analyses_running 0"), "{metrics}");
    assert!(!metrics.contains("tsdb_analysis_cells_total 0\n"), "{metrics}");
}
