//! Requests sent without waiting, and the edges of lines.

use std::fmt::Write as _;
use std::net::Shutdown;

use serde_json::json;

use crate::support::Server;

#[test]
fn replies_come_in_order_and_reads_see_the_writes_before_them() {
    let server = Server::start();
    let mut lines = server.connect();
    let mut requests = String::from("CREATE a 1\nCREATE b 1\n");
    for at in 0..2000 {
        writeln!(requests, "INSERT_AT a {at} {at}\n{{\"type\":\"InsertAt\",\"data\":{{\"series\":\"b\",\"timestamp_ns\":{at},\"values\":[1]}},\"id\":{at}}}").unwrap();
        if at % 500 == 0 {
            writeln!(requests, "LIST\nNONSENSE\nPING").unwrap();
        }
    }
    lines.send(requests);
    lines.reply().rows();
    lines.reply().rows();
    for at in 0..2000 {
        assert_eq!(lines.reply().summary(), at.to_string());
        assert_eq!(lines.json_reply()["id"], at);
        if at % 500 == 0 {
            assert_eq!(lines.reply().rows(), [format!("a 1 {}", at + 1), format!("b 1 {}", at + 1)]);
            assert_eq!(lines.reply().code(), "UNKNOWN_COMMAND");
            assert_eq!(lines.reply().summary(), "PONG");
        }
    }
}

#[test]
fn what_arrives_while_replies_are_waited_for_is_answered() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    let times: Vec<i64> = (0..20_000).collect();
    let values: Vec<f64> = times.iter().map(|&at| at as f64 + 0.25).collect();
    let batch =
        json!({"type": "BatchInsert", "data": {"series": "a", "timestamps_ns": times, "values": values}});
    // More than a socket's buffers hold, so that a part arrives during the commits.
    lines.send(format!("{batch}\n").repeat(12));
    for _ in 0..12 {
        assert_eq!(lines.json_reply()["data"]["inserted"], 20_000);
    }
}

#[test]
fn lines_end_as_they_like() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.send(b"\r\n\n  \nPING\r\n  ping  \nQUERY \xff\xfe\nCREATE s\xc3\xa9rie 1\n");
    assert_eq!(lines.reply().summary(), "PONG");
    assert_eq!(lines.reply().summary(), "PONG");
    assert_eq!(lines.reply().code(), "PARSE_ERROR");
    assert!(lines.reply().rows().is_empty());
    lines.send("{not json\n");
    assert_eq!(lines.json_reply()["error"]["code"], "PARSE_ERROR");
    // One byte at a time.
    for byte in b"PING\n" {
        lines.send([*byte]);
    }
    assert_eq!(lines.reply().summary(), "PONG");
    // The last line has no end, and the sender has closed its half.
    lines.send("INSERT_AT s\u{e9}rie 1 2");
    lines.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lines.reply().summary(), "1");
    assert_eq!(lines.line(), None);
}

#[test]
fn quit_answers_what_came_before_and_nothing_after() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.send("CREATE q 1\nINSERT_AT q 1 1\nQUIT\nINSERT_AT q 2 2\n");
    lines.reply().rows();
    assert_eq!(lines.reply().summary(), "1");
    lines.reply().rows();
    assert_eq!(lines.line(), None);
    assert_eq!(server.connect().text("LIST").rows(), ["q 1 1"]);
}

#[test]
fn a_long_computation_holds_up_nobody() {
    let server = Server::start();
    let mut busy = server.connect();
    busy.text("CREATE walk 1");
    let mut state = 1_u64;
    let mut level = 0.0;
    let values: Vec<f64> = (0..60_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level += (state >> 40) as f64 / f64::from(1 << 23) - 1.0;
            level
        })
        .collect();
    let times: Vec<i64> = (0..60_000).collect();
    busy.data("BatchInsert", json!({"series": "walk", "timestamps_ns": times, "values": values}));
    busy.send("ANOMALY walk 100 1\nPING\n");
    busy.stream.set_nonblocking(true).unwrap();
    let mut other = server.connect();
    for at in 0..50 {
        assert_eq!(other.text("PING").summary(), "PONG");
        assert_eq!(
            other.text(&format!("INSERT_AT walk {} 1", 1_000_000 + at)).summary(),
            (1_000_000 + at).to_string()
        );
        assert_eq!(other.text("QUERY_RANGE walk 0 9").rows().len(), 10);
    }
    // The computation was still running when the others had been answered.
    let mut peek = [0; 1];
    let unanswered = busy.stream.peek(&mut peek).unwrap_err();
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock);
    busy.stream.set_nonblocking(false).unwrap();
    assert_eq!(busy.reply().rows().len(), 1);
    assert_eq!(busy.reply().summary(), "PONG");
}
