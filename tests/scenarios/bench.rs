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
    for title in ["A: ", "B: ", "C: ", "D: ", "E: ", "F: ", "G: "] {
        assert!(text.contains(&format!("### {title}")), "{title} is missing: {text}");
    }
    let rows = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(rows("| ingest | TSDB Vector JSON |"), 1, "{text}");
    assert_eq!(rows("| 64 × 128 | TSDB Vector INSERT |"), 1, "{text}");
    assert_eq!(rows("| 10 rows, 64 connections | TSDB Vector"), 2, "{text}");
    assert_eq!(rows("| 1 series of CSV | TSDB Vector | 2 |"), 1, "{text}");
    let restart = text.lines().find(|line| line.starts_with("| TSDB Vector | ")).unwrap();
    assert_eq!(restart.split(" | ").nth(2), Some("0"), "points were lost: {restart}");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let output = bench(temp.path(), &["ingest", "--server", "/no/such/server"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/no/such/server") && text.contains("--server"), "{text}");
}
