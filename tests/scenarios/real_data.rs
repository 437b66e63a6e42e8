//! The series that come with the project, through the server.

use serde_json::json;

use crate::support::Server;

#[test]
fn the_unusual_weeks_of_a_year_of_demand() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/electricity_victoria_2014.csv");
    let server = Server::start();
    let imported = server
        .client()
        .args(["import", "demand", path, "--value-columns", "demand_gw", "--create"])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let found = server.connect().data("Anomaly", json!({"series": "demand", "window": 336, "k": 6}));
    assert_eq!(found["n"], 17_520);
    let starts: Vec<i64> = found["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["timestamp_ns"].as_i64().unwrap())
        .collect();
    assert_eq!(starts.len(), 6);
    for (at, a) in starts.iter().enumerate() {
        assert!(starts[..at].iter().all(|b| a.abs_diff(*b) >= 336 * 1_800_000_000_000), "{starts:?} overlap");
    }
    // The end of the New Year holidays, the heat waves of January, Melbourne Cup day and
    // Christmas Day, each in a week of its own. Times are local, without a zone.
    let noon = |day_of_year: i64| (1_388_534_400 + (day_of_year - 1) * 86_400 + 43_200) * 1_000_000_000_i64;
    for day in [noon(8), noon(17), noon(29), noon(308), noon(359)] {
        let week = 7 * 86_400 * 1_000_000_000;
        assert!(starts.iter().any(|&start| (start..start + week).contains(&day)), "{day} in {starts:?}");
    }
}
