//! Real series, through the server and the client.

use std::path::{Path, PathBuf};

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

/// What the client exports it imports again, to the same export.
fn goes_round(server: &Server, file: &Path, import: &[&str]) {
    let scratch = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let done = server.client().args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let file_name = file.to_str().unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    run(&[&["import", name, file_name, "--create"], import].concat());
    let rows = std::fs::read_to_string(file).unwrap().lines().count() - 1;
    let stored =
        server.connect().data("GetStats", json!({"series": name}))["count"].as_u64().unwrap() as usize;
    // Some of the files have a time twice.
    assert!(stored <= rows && stored + 20 > rows, "{name}: {stored} of {rows}");
    for format in ["csv", "json"] {
        let [first, second] = ["first", "second"].map(|part| scratch.path().join(format!("{part}.{format}")));
        let [first, second] = [&first, &second].map(|path| path.to_str().unwrap());
        let again = format!("{name}_from_{format}");
        run(&["export", name, "--format", format, "-o", first]);
        run(&["import", &again, first, "--create"]);
        run(&["export", &again, "--format", format, "-o", second]);
        let read = |path| std::fs::read_to_string(path).unwrap().replace(&again, name);
        assert_eq!(read(first), read(second), "{name} as {format}");
        let lines = read(first).lines().count();
        assert!(format == "json" || lines == stored + 1, "{name}: {lines} lines of {stored} points");
    }
}

#[test]
fn import_and_export_go_round() {
    let server = Server::start();
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data"));
    goes_round(&server, &examples.join("electricity_victoria_2014.csv"), &[]);
    goes_round(&server, &examples.join("ecg_mitbih_208.csv"), &[]);
}

#[test]
fn labelled_benchmark_series_go_round() {
    let folder = std::env::var_os("TSDB_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let Ok(files) = std::fs::read_dir(folder.join("nab")) else {
        println!(
            "SKIPPED: no {}; TSDB_TEST_DATA names the folder of test data",
            folder.join("nab").display()
        );
        return;
    };
    let server = Server::start();
    let mut tried = 0;
    for file in
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "csv"))
    {
        goes_round(&server, &file, &[]);
        tried += 1;
    }
    assert!(tried > 0, "{} has no CSV files", folder.display());
}
