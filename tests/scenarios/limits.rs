//! What is too much is refused with the limit's name, and hurts nobody else.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Lines, Server, get, post};

#[test]
fn a_line_too_long_is_answered_and_closes_its_connection_alone() {
    let server = Server::start_with(|command| {
        command.args(["--max-line-bytes", "64KiB"]);
    });
    let mut other = server.connect();
    other.text("CREATE a 1").rows();
    let mut lines = server.connect();
    lines.send("INSERT_AT a 1 1\n");
    lines.send(format!("{{\"type\":\"{}\"}}\n", "x".repeat(3 << 20)));
    assert_eq!(lines.reply().summary(), "1");
    let reply = lines.json_reply();
    assert_eq!(reply["error"]["code"], "TOO_LARGE");
    assert_eq!(lines.line(), None);
    assert_eq!(other.text("LIST").rows(), ["a 1 1"]);
    let (status, reply) = post(server.address, "", &"x".repeat(70 << 10));
    assert_eq!((status, &reply["error"]["code"]), (413, &json!("TOO_LARGE")));
    // What is just short enough works.
    let help = format!("{{\"type\":\"Ping\"{}}}", " ".repeat(60 << 10));
    assert_eq!(post(server.address, "", &help).0, 200);
}

#[test]
fn one_connection_too_many_is_told_so_in_its_dialect() {
    let server = Server::start_with(|command| {
        command.env("TSDB_MAX_CONNECTIONS", "2");
    });
    let mut first = server.connect();
    let mut second = server.connect();
    first.text("PING").summary();
    second.text("PING").summary();
    assert_eq!(server.connect().text("PING").code(), "LIMIT_EXCEEDED");
    assert_eq!(server.connect().code("Ping", json!(null)), "LIMIT_EXCEEDED");
    let (status, _, body) = get(server.address, "/health", "");
    assert_eq!(status, 503, "{body}");
    drop(first);
    // The place is free once the server has seen the end of the first.
    let mut lines = loop {
        let mut lines = Lines::new(TcpStream::connect(server.address).unwrap());
        lines.send("PING\n");
        match lines.line() {
            Some(line) if line == "OK 0 PONG" => break lines,
            _ => std::thread::yield_now(),
        }
    };
    assert_eq!(second.text("PING").summary(), "PONG");
    assert_eq!(lines.text("PING").summary(), "PONG");
}

#[test]
fn results_come_in_pages_that_never_split_a_timestamp() {
    let server = Server::start_with(|command| {
        command.args(["--max-result-points", "100"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE p 1");
    let points: Vec<_> = (0..1000)
        .map(|at| json!({"timestamp_ns": at / 30, "values": [at], "labels": {"n": format!("{:04}", at)}}))
        .collect();
    lines.data("BatchInsert", json!({"series": "p", "points": points}));
    for limit in [1, 29, 31, 64, 5000] {
        let mut start = json!(0);
        let mut seen = Vec::new();
        loop {
            let page = json!({"series": "p", "start_ns": start, "end_ns": 10_000, "limit": limit});
            let page = lines.data("QueryRange", page);
            let points = page["points"].as_array().unwrap();
            assert_eq!(page["count"], points.len());
            assert!(points.len() < 130);
            seen.extend(points.iter().map(|point| point["values"][0].as_f64().unwrap() as i64));
            if page["truncated"] == false {
                assert!(page.get("next_start_ns").is_none());
                break;
            }
            start = page["next_start_ns"].clone();
        }
        assert_eq!(seen, (0..1000).collect::<Vec<_>>(), "limit {limit}");
    }
    assert_eq!(lines.text("EXPORT p").rows().len(), 1001, "an export is never cut");
}

#[test]
fn exports_and_queries_are_whole_however_long_and_show_one_instant() {
    let server = Server::start_with(|command| {
        // The series takes about as much as the whole limit.
        command.args(["--memory-limit", "16MiB", "--shards", "1"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE long 1");
    let total = 600_000;
    for start in (0..total).step_by(50_000) {
        let times: Vec<i64> = (start..start + 50_000).collect();
        let values: Vec<f64> = times.iter().map(|&at| at as f64).collect();
        lines.data("BatchInsert", json!({"series": "long", "timestamps_ns": times, "values": values}));
    }
    let query = format!("QUERY_RANGE long 0 {total}");
    let form = json!({"series": "long", "start_ns": 0, "end_ns": total, "form": "columns"});
    let (mut rows, mut columns) = (server.connect(), server.connect());
    rows.send(format!("{query}\n"));
    columns.send(format!("{}\n", json!({"type": "QueryRange", "data": form})));
    assert_eq!(rows.line().unwrap(), format!("OK {total} points"));
    assert!(columns.stream.peek(&mut [0]).is_ok());
    lines.send("EXPORT long\n");
    let head = lines.line().unwrap();
    assert!(head.starts_with(&format!("OK {} ", total + 1)), "{head}");
    // Written after they began: not a part of them.
    assert_eq!(server.connect().text("DELETE_RANGE long 0 999999").rows().len(), 0);
    for at in 0..total {
        assert_eq!(rows.line().unwrap(), format!("{at} {at}"));
    }
    let data = columns.json_reply()["data"].take();
    assert_eq!(data["count"], total);
    for (name, number) in [("timestamps_ns", json!(total - 1)), ("values", json!((total - 1) as f64))] {
        let column = data[name].as_array().unwrap();
        assert_eq!((column.len() as i64, column.last()), (total, Some(&number)), "{name}");
    }
    assert_eq!(lines.line().unwrap(), "timestamp_ns,v0,labels");
    for at in 0..total {
        assert_eq!(lines.line().unwrap(), format!("{at},{at},"));
    }
    assert_eq!(lines.text("LIST").rows(), ["long 1 0"]);
}

#[test]
fn a_line_that_trickles_in_has_one_deadline() {
    let server = Server::start_with(|command| {
        command.args(["--request-timeout", "1"]);
    });
    let mut trickle = std::net::TcpStream::connect(server.address).unwrap();
    let began = std::time::Instant::now();
    // A byte now and then would keep a deadline for each read away for ever.
    while trickle.write_all(b"P").is_ok() {
        assert!(began.elapsed().as_secs() < 60, "the connection is still open");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(server.connect().text("PING").summary(), "PONG");
}
