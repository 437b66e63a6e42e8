//! The HTTP dialect.

use serde_json::json;

use crate::support::{Server, get, http, post, post_as};

#[test]
fn one_request_a_body_and_a_status_by_error() {
    let server = Server::start();
    let at = server.address;
    let ok = |body: &str| {
        let (status, reply) = post(at, "", body);
        assert_eq!(status, 200, "{reply}");
        reply
    };
    let reply = ok("{\"type\":\"CreateSeries\",\n \"data\":{\"name\":\"h\",\"dimension\":1},\n \"id\":1}");
    assert_eq!((&reply["id"], &reply["data"]["created"]), (&json!(1), &json!(true)));
    ok(r#"{"type":"InsertAt","data":{"series":"h","timestamp_ns":5,"values":[1.5]}}"#);
    assert_eq!(
        ok(r#"{"type":"QueryRange","data":{"series":"h","start_ns":0,"end_ns":9}}"#)["data"]["count"],
        1
    );
    for (body, status, code) in [
        ("{", 400, "PARSE_ERROR"),
        ("", 400, "PARSE_ERROR"),
        (r#"{"type":"X"}"#, 400, "UNKNOWN_COMMAND"),
        (r#"{"type":"Insert","data":{"series":"h"}}"#, 400, "INVALID_ARGUMENT"),
        (r#"{"type":"Insert","data":{"series":"h","values":[1,2]}}"#, 400, "DIMENSION_MISMATCH"),
        (r#"{"type":"Query","data":{"series":"x"}}"#, 404, "SERIES_NOT_FOUND"),
        (r#"{"type":"CreateSeries","data":{"name":"h","dimension":1}}"#, 409, "SERIES_EXISTS"),
        (r#"{"type":"Load","data":{"path":"none"}}"#, 404, "FILE_NOT_FOUND"),
        (r#"{"type":"Anomaly","data":{"series":"h","window":9}}"#, 400, "NOT_ENOUGH_DATA"),
    ] {
        let (found, reply) = post(at, "", body);
        assert_eq!((found, &reply["error"]["code"]), (status, &json!(code)), "{body}");
        assert_eq!(reply["ok"], false);
    }
}

#[test]
fn a_connection_is_kept_and_a_long_reply_is_streamed() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE big 1");
    let times: Vec<i64> = (0..50_000).collect();
    let values: Vec<f64> = (0..50_000).map(f64::from).collect();
    lines.data("BatchInsert", json!({"series": "big", "timestamps_ns": times, "values": values}));
    let (status, reply) = {
        let body = r#"{"type":"Ping"}"#;
        let first = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let second = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let (status, _, rest) = http(server.address, &format!("{first}{second}"));
        (status, rest)
    };
    assert_eq!(status, 200);
    assert!(reply.contains("PONG") && reply.ends_with("ok\n"), "{reply}");
    let body = r#"{"type":"ExportSeries","data":{"series":"big"}}"#;
    // HTTP/1.0 knows no chunks, so that the body is the plain JSON.
    let request = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (status, _, body) = http(server.address, &request);
    let reply: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &reply["data"]["count"]), (200, &json!(50_000)));
    assert_eq!(reply["data"]["points"][49_999], json!({"timestamp_ns": 49_999, "values": [49_999.0]}));
}

#[test]
fn the_monitoring_routes() {
    let server = Server::start();
    server.connect().text("CREATE a 1").rows();
    for path in ["/health", "/ready"] {
        let (status, _, body) = get(server.address, path, "");
        assert_eq!(status, 200, "{path}: {body}");
    }
    let request = "POST /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(http(server.address, request).0, 200);
    let (status, head, body) = get(server.address, "/metrics", "");
    assert_eq!(status, 200);
    assert!(head.contains("text/plain"), "{head}");
    assert!(body.contains("tsdb_requests_total{command=\"create\",outcome=\"OK\"} 1"), "{body}");
    for name in [
        "tsdb_connections",
        "tsdb_wal_syncs_total",
        "tsdb_memory_bytes",
        "tsdb_request_duration_seconds_bucket",
    ] {
        assert!(body.contains(name), "{name}");
    }
    assert_eq!(get(server.address, "/nothing", "").0, 404);
    for (request, allowed) in [("GET /", "POST"), ("DELETE /health", "GET, HEAD, POST")] {
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (status, head, _) = http(server.address, &request);
        let allow = format!("allow: {allowed}\r\n");
        assert!(status == 405 && head.to_ascii_lowercase().contains(&allow.to_ascii_lowercase()), "{head}");
    }
}

#[test]
fn a_web_page_can_not_write_behind_its_readers_back() {
    let server = Server::start();
    let at = server.address;
    let create = r#"{"type":"CreateSeries","data":{"name":"h","dimension":1}}"#;
    for headers in [
        "Origin: http://evil.example\r\nContent-Type: text/plain\r\n",
        "Origin: null\r\nContent-Type: text/plain; charset=application/json\r\n",
        "Sec-Fetch-Site: cross-site\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        "Origin: http://evil.example\r\nContent-Type: multipart/form-data; boundary=application/json\r\n",
        "Origin: http://evil.example\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\n",
        // Old browsers say less.
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "",
    ] {
        let (status, reply) = post_as(at, headers, create);
        assert_eq!((status, &reply["error"]["code"]), (400, &json!("INVALID_ARGUMENT")), "{headers}");
    }
    for admin in [r#"{"type":"Flush"}"#, r#"{"type":"Save","data":{"path":"x"}}"#] {
        assert_eq!(post_as(at, "", admin).0, 400, "{admin}");
    }
    assert!(server.connect().text("LIST").rows().is_empty());
    // What only reads needs nothing, and a token stands for the header.
    assert_eq!(post_as(at, "", r#"{"type":"ListSeries"}"#).0, 200);
    assert_eq!(post_as(at, "Authorization: Bearer x\r\n", create).0, 200);
}

#[test]
fn a_name_that_was_made_to_lead_here_does_not_help_a_page() {
    let server = Server::start();
    let list = r#"{"type":"ListSeries"}"#;
    let ask = |host: &str, headers: &str| {
        let (length, json) = (list.len(), "Content-Type: application/json");
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n");
        http(server.address, &format!("{head}{json}\r\n{headers}\r\n{list}")).0
    };
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "db.localhost", "[::1]"] {
        assert_eq!(ask(&format!("{host}:{port}"), "Origin: http://page.example\r\n"), 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "x@127.0.0.1 x"] {
        assert_eq!(ask(host, "Origin: http://evil.example\r\n"), 400, "{host}");
    }
    assert_eq!(ask("evil.example", "Origin: http://a\r\nAuthorization: Bearer x\r\n"), 200);
    assert_eq!(ask("tsdb.internal", ""), 200, "programs use any name");
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused_and_end_the_connection() {
    let server = Server::start();
    let create = r#"{"type":"CreateSeries","data":{"name":"h","dimension":1}}"#;
    let hidden = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{create}",
        create.len()
    );
    let good = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for bad in [
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        format!("{post}Content-Length: 0\r\nContent-Length: 9\r\n\r\n"),
        format!("{post}Content-Length: +0\r\n\r\n"),
        format!("{post}Content-Length: 0,0\r\n\r\n"),
        format!("{post}Content-Length : 0\r\n\r\n"),
        format!("{post}X: y\r\n folded\r\n\r\n"),
        format!("{post}X: y\nContent-Length: 0\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{{}}\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}X\r\n0\r\n\r\n"),
        format!("{post}Host: y\r\n\r\n"),
        "\0\r\n\r\n".to_owned(),
    ] {
        let mut lines = server.connect();
        lines.send(format!("{good}{bad}{hidden}"));
        let mut answer = String::new();
        while let Some(line) = lines.line() {
            answer.push_str(&line);
            answer.push('\n');
        }
        // The connection has ended: nothing stands behind the refusal.
        let statuses: Vec<&str> = answer.matches("HTTP/1.1 ").collect();
        assert_eq!(statuses.len(), 2, "{bad:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("HTTP/1.1 400"), "{bad:?}: {answer}");
    }
    assert!(server.connect().text("LIST").rows().is_empty());
    // The same in plain words is served.
    let body = r#"{"type":"Ping"}"#;
    let whole = format!(
        "{post}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}\r\nb\r\n{}\r\n0\r\n\r\n",
        &body[..4],
        &body[4..]
    );
    let (status, _, reply) = http(server.address, &whole);
    assert!(status == 200 && reply.contains("PONG"), "{reply}");
}
