//! The memory limit is kept, whatever the server is asked for: by default 96 MiB with 2.4 million points; 256 MiB with as
//! many points as `TSDB_TEST_POINTS` says, for instance 50,000,000.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::{Lines, Server, Text};

const SERIES: u64 = 8;
const BATCH: u64 = 2500;

/// Points of a series that are read at a time.
const PAGE: u64 = 300_000;

fn start(dir: &std::path::Path, limit_mib: u64) -> Server {
    Server::start_in(dir, |command| {
        command.env("TSDB_MEMORY_LIMIT", format!("{limit_mib}MiB")).args(["--max-line-bytes", "1MiB"]);
        // Few flushes by number, so that memory decides.
        command.args(["--buffer-size", "10000000"]);
    })
}

/// The most that was ever resident.
fn peak_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() >> 10
}

#[test]
fn more_points_than_memory_are_written_recovered_and_read_within_the_limit() {
    let asked = std::env::var("TSDB_TEST_POINTS").ok().map(|points| points.parse::<u64>().unwrap());
    let limit_mib = if asked.is_some() { 256 } else { 96 };
    // Replies to eight batches are read together.
    let batches = (asked.unwrap_or(2_400_000) / (SERIES * BATCH)).next_multiple_of(8);
    let series_points = batches * BATCH;
    let assert_within = |server: &Server, what: &str| {
        let peak = peak_mib(server);
        println!("{what}: at most {peak} MiB of {limit_mib} resident, {} points", SERIES * series_points);
        assert!(peak <= limit_mib * 11 / 10, "{what}: {peak} MiB of {limit_mib}");
    };
    let temp = tempfile::tempdir().unwrap();
    let mut server = start(temp.path(), limit_mib);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut lines = server.connect();
                for series in (writer..SERIES).step_by(4) {
                    lines.text(&format!("CREATE s{series} 1")).summary();
                    for batch in 0..batches {
                        let mut times = String::new();
                        let mut values = String::new();
                        for point in batch * BATCH..(batch + 1) * BATCH {
                            let comma = if point % BATCH == 0 { "" } else { "," };
                            write!(times, "{comma}{}", point * 1_000_000).unwrap();
                            write!(values, "{comma}{}.{}", point % 977, series).unwrap();
                        }
                        lines.send(format!(
                            "{{\"type\":\"BatchInsert\",\"data\":{{\"series\":\"s{series}\",\"timestamps_ns\":[{times}],\
                             \"values\":[{values}]}}}}\n"
                        ));
                        // A few in flight.
                        if batch % 8 == 7 {
                            for _ in 0..8 {
                                assert_eq!(lines.json_reply()["data"]["inserted"], BATCH);
                            }
                        }
                    }
                }
            });
        }
    });
    assert_within(&server, "writing");
    server.kill();
    let server = start(temp.path(), limit_mib);
    let mut lines = server.connect();
    assert_eq!(lines.data("GetStats", json!({"series": "all"}))["points"], SERIES * series_points);
    assert_within(&server, "recovery");
    std::thread::scope(|scope| {
        for series in 0..SERIES {
            let server = &server;
            scope.spawn(move || {
                let mut lines = server.connect();
                for first in (0..series_points).step_by(PAGE as usize) {
                    let end = (first + PAGE).min(series_points);
                    let (start_ns, end_ns) = (first * 1_000_000, end * 1_000_000 - 1);
                    let page = lines.text(&format!("QUERY_RANGE s{series} {start_ns} {end_ns}")).rows();
                    assert_eq!(page.len() as u64, end - first);
                }
                assert_eq!(lines.text(&format!("EXPORT s{series}")).rows().len() as u64, 1 + series_points);
            });
        }
    });
    assert_within(&server, "queries");
    // A profile of all points needs more than a query may have.
    match lines.text("ANOMALY s0 50 1") {
        Text::Err { code, message } => {
            assert!(code == "LIMIT_EXCEEDED" && message.contains("TSDB_MEMORY_LIMIT"), "{message}");
        }
        Text::Ok { .. } => panic!("it was answered"),
    }
    // Nobody reads these.
    let silent: Vec<Lines> = (0..48)
        .map(|at| {
            let series = at % SERIES;
            let mut lines = server.connect();
            lines.send(match at % 4 {
                0 => format!("QUERY_RANGE s{series} 0 9000000000000000000\n").repeat(20),
                1 => format!("EXPORT s{series}\n").repeat(20),
                2 => format!("SIMILAR s{series} 1 20000\n").repeat(20),
                _ => format!(
                    "{{\"type\":\"QueryRange\",\"data\":{{\"series\":\"s{series}\",\"start_ns\":0,\
                     \"end_ns\":9000000000000000000,\"form\":\"columns\"}}}}\n"
                ),
            });
            lines
        })
        .collect();
    for series in 0..SERIES {
        assert_eq!(lines.data("GetStats", json!({"series": format!("s{series}")}))["count"], series_points);
    }
    assert_within(&server, "queries that nobody reads");
    drop(silent);
    lines.text("SAVE all.bin").summary();
    lines.text("LOAD all.bin").summary();
    assert_eq!(lines.data("GetStats", json!({"series": "all"}))["points"], SERIES * series_points);
    assert_within(&server, "all");
}

/// Each run of a merge takes memory, and there is one for each label set.
#[test]
fn very_many_label_sets_are_read_within_the_limit() {
    const SETS: usize = 30_000;
    let limit_mib = 96;
    let temp = tempfile::tempdir().unwrap();
    let server = start(temp.path(), limit_mib);
    let mut lines = server.connect();
    lines.text("CREATE l 1").summary();
    for first in (0..SETS).step_by(1000) {
        let points: Vec<_> = (first..first + 1000)
            .map(|at| json!({"timestamp_ns": at, "values": [at], "labels": {"host": format!("machine-{at:08}")}}))
            .collect();
        assert_eq!(lines.data("BatchInsert", json!({"series": "l", "points": points}))["inserted"], 1000);
    }
    for is_stored in [false, true] {
        let answered: usize = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..24)
                .map(|at| {
                    let server = &server;
                    scope.spawn(move || {
                        let command = ["EXPORT l", "QUERY_RANGE l 0 100000", "STATS l"][at % 3];
                        match server.connect().text(command) {
                            Text::Ok { rows, .. } => {
                                let expected = [1 + SETS, SETS, rows.len()][at % 3];
                                assert_eq!(rows.len(), expected, "{command}");
                                1
                            }
                            Text::Err { code, message } => {
                                assert_eq!(code, "LIMIT_EXCEEDED", "{command}: {message}");
                                0
                            }
                        }
                    })
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).sum()
        });
        assert!(answered > 0);
        let peak = peak_mib(&server);
        println!("{SETS} label sets: at most {peak} MiB of {limit_mib} resident, {answered} of 24 answered");
        assert!(peak <= limit_mib * 11 / 10, "{peak} MiB of {limit_mib}");
        if !is_stored {
            lines.text("FLUSH").summary();
        }
    }
}
