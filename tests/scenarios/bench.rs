//! The benchmark program, in small, so that it goes on working.

use std::path::Path;
use std::process::{Command, Output};

fn bench(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsdb_bench"));
    command.args(["--peer", "none", "--rounds", "1", "--seconds", "0.01", "--idle", "0", "--markdown"]);
    command.args(["--points", "2000", "--series", "10", "--batch", "100"]);
    command.args(["--growth-points", "6000", "--growth-series", "100", "--dir"]).arg(dir).args(args);
    command.output().unwrap()
}

#[test]
fn every_workload_is_measured_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, csv) = (temp.path().join("data"), temp.path().join("csv"));
    std::fs::create_dir_all(csv.join("inner")).unwrap();
    let text = "timestamp,value\n2014-07-01 00:00:00,1.5\n2014-07-01 00:05:00,2\n2014-07-01 00:05:00,3\n";
    std::fs::write(csv.join("inner/series.csv"), text).unwrap();
    let output = bench(&dir, &["all", "--nab", csv.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    for title in ["A: ", "B: ", "C: ", "D: ", "E: ", "F: ", "G: ", "H: "] {
        assert!(text.contains(&format!("### {title}")), "{title} is missing: {text}");
    }
    let rows = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(rows("| ingest | TSDB Vector JSON |"), 1, "{text}");
    assert_eq!(rows("| 64 × 128 | TSDB Vector INSERT |"), 1, "{text}");
    assert_eq!(rows("| 10 rows, 64 connections | TSDB Vector"), 2, "{text}");
    assert_eq!(rows("| 1 series of CSV | TSDB Vector | 2 |"), 1, "{text}");
    for work in ["computed anew", "known answers"] {
        assert_eq!(rows(&format!("| {work}, 8 connections | TSDB Vector |")), 1, "{text}");
    }
    let restart = text.lines().find(|line| line.starts_with("| TSDB Vector | ")).unwrap();
    assert_eq!(restart.split(" | ").nth(2), Some("0"), "points were lost: {restart}");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn labelled_anomalies_are_looked_for() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, ucr, nab) = (temp.path().join("data"), temp.path().join("ucr"), temp.path().join("nab"));
    std::fs::create_dir_all(&ucr).unwrap();
    std::fs::create_dir_all(&nab).unwrap();
    // A wave with one beat that is missing.
    let wave = |at: usize| if (800..840).contains(&at) { 0.0 } else { (at as f64 / 6.0).sin() };
    let values: Vec<f64> = (0..1500).map(|at| wave(at) + 0.01 * ((at * at) % 17) as f64).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(ucr.join("wave.f64"), bytes).unwrap();
    let index = "name,points,train_points,anomaly_first,anomaly_last\nwave,1500,700,800,839\n";
    std::fs::write(ucr.join("index.csv"), index).unwrap();
    let lines: String = values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            format!("2014-07-{:02} {:02}:{:02}:00,{value}\n", 1 + at / 1440, at / 60 % 24, at % 60)
        })
        .collect();
    std::fs::write(nab.join("wave.csv"), format!("timestamp,value\n{lines}")).unwrap();
    let windows =
        r#"{"wave.csv": [["2014-07-01 13:00:00.000000", "2014-07-01 14:20:00.000000"]], "none.csv": []}"#;
    std::fs::write(nab.join("anomaly_windows.json"), windows).unwrap();
    for (workload, folder, expected) in [
        ("ucr", &ucr, "1 of 1 found"),
        ("nab", &nab, "1 of 1 labelled windows found, 100.0 %, with normalised windows; 1, 100.0 %"),
    ] {
        let output = bench(&dir, &[workload, folder.to_str().unwrap()]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(expected), "{text}");
    }
    let output = bench(&dir, &["ucr", temp.path().to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("index.csv"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let output = bench(temp.path(), &["ingest", "--server", "/no/such/server"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/no/such/server") && text.contains("--server"), "{text}");
}
