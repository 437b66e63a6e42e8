//! Neighbours of anomalies beyond the nearest, and occurrences of motifs, over the wire
//! against the oracle.

use serde_json::{Value, json};
use tsdb_vector::base::{Dimensions, Rng};
use tsdb_vector::mp::{self, Selection, oracle};

use crate::support::{Lines, Server};

fn wave(points: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    (0..points).map(|at| (at as f64 * std::f64::consts::TAU / 23.0).sin() + 0.4 * rng.unit_f64()).collect()
}

fn store(lines: &mut Lines, series: &str, times: &[i64], values: &[f64]) {
    lines.data("CreateSeries", json!({"name": series, "dimension": 1}));
    lines.data("BatchInsert", json!({"series": series, "timestamps_ns": times, "values": values}));
}

fn selection(values: &[f64]) -> Selection<'_> {
    Selection { values, dimension: 1, window: 16, normalize: true }
}

fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} instead of {expected}");
}

#[test]
fn an_answer_that_would_not_fit_is_refused_before_it_is_computed() {
    let server = Server::start_with(|command| {
        command.args(["--memory-limit", "96MiB"]);
    });
    let mut lines = server.connect();
    let values = wave(6000, 5);
    store(&mut lines, "s", &(0..6000).collect::<Vec<i64>>(), &values);
    for more in [json!({"window": 4}), json!({"windows": [4, 60]})] {
        let mut asked = json!({"series": "s", "k": 1_000_000, "neighbors": 100});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(lines.code("Anomaly", asked), "LIMIT_EXCEEDED", "{more}");
    }
    let all = lines.data("Anomaly", json!({"series": "s", "window": 50, "k": 1_000_000}));
    assert!(all["anomalies"].as_array().unwrap().len() > 50);
}

#[test]
fn the_score_may_be_that_of_a_later_neighbour() {
    let server = Server::start();
    let mut lines = server.connect();
    let values = wave(400, 3);
    let times: Vec<i64> = (0..400).collect();
    store(&mut lines, "s", &times, &values);
    let of = selection(&values);
    for k in 1..=3 {
        let asked = json!({"series": "s", "window": 16, "k": 4, "neighbor": k, "neighbors": 3});
        let found = lines.data("Anomaly", asked);
        let profile = oracle::kth_nearest(&of, &of, k, Dimensions::All, |i, j| i.abs_diff(j) > 4);
        let expected = mp::discords_of(&profile, 16, 4, |_| false);
        assert_eq!(found["cells"], k as u64 * 381 * 380 / 2);
        for (row, expected) in found["anomalies"].as_array().unwrap().iter().zip(&expected) {
            assert_eq!(
                (&row["index"], &row["neighbor_index"]),
                (&json!(expected.index), &json!(expected.neighbor))
            );
            close(&row["score"], expected.score);
            let neighbors = row["neighbors"].as_array().unwrap();
            assert_eq!(neighbors.len(), 3);
            assert_eq!(neighbors[k - 1]["index"], expected.neighbor);
            for (at, neighbor) in neighbors.iter().enumerate() {
                let index = neighbor["index"].as_u64().unwrap();
                close(&neighbor["distance"], oracle::distance(&of, expected.index, index as usize));
                assert_eq!(
                    (&neighbor["timestamp_ns"], &neighbor["end_timestamp_ns"]),
                    (&json!(index), &json!(index + 15))
                );
                assert!(
                    neighbors[..at].iter().all(|other| other["index"].as_u64().unwrap().abs_diff(index) > 4)
                );
            }
        }
    }
}

#[test]
fn a_window_that_may_have_no_neighbour_is_flagged() {
    let server = Server::start();
    let mut lines = server.connect();
    // Between two gaps there is room for one window: what is like it is beyond them, or nowhere.
    let values = wave(56, 4);
    let mut times: Vec<i64> = (0..56).collect();
    times[20..].iter_mut().for_each(|time| *time += 1000);
    times[36..].iter_mut().for_each(|time| *time += 1000);
    store(&mut lines, "s", &times, &values);
    let asked = |more: Value| {
        let mut asked = json!({"series": "s", "window": 16, "k": 9, "max_gap": 10});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    // 5 + 1 + 5 windows take part: each has a neighbour in another stretch, but not three of them.
    let with = lines.data("Anomaly", asked(json!({})));
    assert!(with["anomalies"].as_array().unwrap().iter().all(|row| row["score"].is_number()), "{with}");
    let found = lines.data("Anomaly", asked(json!({"neighbor": 3})));
    let rows = found["anomalies"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 20, 36]);
    for row in rows {
        assert_eq!(row["flags"], json!(["near_gap", "no_neighbor"]), "{row}");
        for name in ["score", "neighbor_timestamp_ns", "neighbor_index"] {
            assert_eq!(row[name], Value::Null);
        }
        assert_eq!(row.get("normalized_score"), None);
    }
    // What has nothing before it is no anomaly.
    let left = lines.data("Anomaly", asked(json!({"left": true})));
    let first = |row: &Value| row["index"].as_u64().unwrap() >= 20 && row["score"].is_number();
    assert!(left["anomalies"].as_array().unwrap().iter().all(first), "{left}");
}

#[test]
fn all_occurrences_of_a_motif_are_named() {
    let server = Server::start();
    let mut lines = server.connect();
    let values = wave(300, 5);
    let times: Vec<i64> = (0..300).map(|at| at * 10).collect();
    store(&mut lines, "s", &times, &values);
    let plain = lines.data("Motif", json!({"series": "s", "window": 16, "k": 1}));
    assert_eq!((plain["motifs"][0].get("radius"), plain["motifs"][0].get("occurrences")), (None, None));
    let found = lines.data("Motif", json!({"series": "s", "window": 16, "k": 3, "occurrences": true}));
    let expected = oracle::motif_sets(&selection(&values), 3);
    assert!(expected[0].occurrences.len() > 2 && found["motifs"].as_array().unwrap().len() == expected.len());
    for (row, expected) in found["motifs"].as_array().unwrap().iter().zip(&expected) {
        close(&row["radius"], 2.0 * expected.distance);
        let occurrences = row["occurrences"].as_array().unwrap();
        assert_eq!(occurrences.len(), expected.occurrences.len());
        for (found, expected) in occurrences.iter().zip(&expected.occurrences) {
            assert_eq!(found["index"], expected.index);
            assert_eq!(found["end_timestamp_ns"], (expected.index + 15) * 10);
            close(&found["distance"], expected.distance);
        }
    }
    let distances = |data: &Value| -> Vec<f64> {
        let rows = data["motifs"][0]["occurrences"].as_array().unwrap().iter();
        rows.map(|row| row["distance"].as_f64().unwrap()).collect()
    };
    let mut within =
        |radius: f64| distances(&lines.data("Motif", json!({"series": "s", "window": 16, "radius": radius})));
    let (near, far) = (within(2.0 * expected[0].distance), within(4.0 * expected[0].distance));
    assert_eq!(near, distances(&found), "twice the distance is what is asked for where nothing is");
    assert!(far.len() > near.len() && far[..near.len()] == near, "{near:?} {far:?}");
    assert!(far.iter().all(|distance| *distance <= 4.0 * expected[0].distance) && far.is_sorted());

    // In another series: neither window of it is the motif's own.
    store(&mut lines, "other", &times, &wave(300, 6));
    let with = json!({"series": "s", "window": 16, "k": 1, "with": "other", "radius": 3.0});
    let row = lines.data("Motif", with)["motifs"][0].take();
    assert_eq!(row["occurrences"][0]["index"], row["b"]["index"]);
    assert_eq!(row["occurrences"][0]["distance"], row["distance"]);
    assert!(row["occurrences"].as_array().unwrap().len() > 2, "{row}");
}
