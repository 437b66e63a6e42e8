//! Labels with ever new values: refused with the limit's name, in time to keep the rest
//! going.

use std::fmt::Write;

use serde_json::json;

use crate::support::{Server, Text, get};

#[test]
fn an_explosion_of_labels_is_refused_and_what_is_known_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let start = || {
        Server::start_in(temp.path(), |command| {
            command.args(["--max-label-sets-per-series", "100", "--max-series", "5"]);
            command.env("TSDB_MAX_LABEL_SETS", "250");
        })
    };
    let server = start();
    let mut lines = server.connect();
    for series in ["a", "b", "c", "d", "e"] {
        lines.text(&format!("CREATE {series} 1")).rows();
    }
    match lines.text("CREATE f 1") {
        Text::Err { code, message } => {
            assert_eq!(code, "LIMIT_EXCEEDED");
            assert!(message.contains("TSDB_MAX_SERIES=5"), "{message}");
        }
        other @ Text::Ok { .. } => panic!("{other:?}"),
    }
    // Many connections at once, each with new values all the time.
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = ["a", "a", "b", "c"]
            .iter()
            .enumerate()
            .map(|(thread, series)| {
                let mut lines = server.connect();
                scope.spawn(move || {
                    let mut requests = String::new();
                    for at in 0..300 {
                        writeln!(requests, "INSERT_AT {series} {at} 1 request={thread}-{at}").unwrap();
                    }
                    lines.send(requests);
                    (0..300)
                        .filter(|at| match lines.reply() {
                            Text::Ok { .. } => true,
                            Text::Err { code, message } => {
                                assert_eq!(code, "LIMIT_EXCEEDED", "{at}");
                                assert!(message.contains("TSDB_MAX_LABEL_SETS"), "{message}");
                                false
                            }
                        })
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 250);
    let check = |server: &Server| {
        let mut lines = server.connect();
        let stats = lines.data("GetStats", json!({"series": "all"}));
        assert_eq!((&stats["label_sets"], &stats["series"]), (&json!(250), &json!(5)));
        let (_, _, metrics) = get(server.address, "/metrics", "");
        assert!(metrics.contains("tsdb_label_sets 250") && metrics.contains("tsdb_series 5"), "{metrics}");
        let known = lines.text("QUERY_RANGE a 0 999").rows()[0].split(' ').nth(2).unwrap().to_owned();
        assert_eq!(lines.text(&format!("INSERT_AT a 5000 1 {known}")).summary(), "5000");
        let points = json!([
            {"timestamp_ns": 1, "values": [1], "labels": {"new": "1"}},
            {"timestamp_ns": 6000, "values": [1]}
        ]);
        assert_eq!(lines.code("BatchInsert", json!({"series": "d", "points": points})), "LIMIT_EXCEEDED");
        assert!(lines.text("QUERY_RANGE d 0 9999").rows().is_empty(), "all or nothing");
    };
    check(&server);
    server.connect().text("FLUSH").rows();
    check(&server);
    assert!(server.stop().success());
    let server = start();
    check(&server);
    let mut lines = server.connect();
    lines.text("DROP b").rows();
    assert_eq!(lines.text("INSERT_AT d 1 1 new=1").summary(), "1");
}
