//! The HTTP dialect.

use serde_json::json;

use crate::support::{Server, get, http, post};

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
    assert_eq!(get(server.address, "/", "").0, 405);
    assert_eq!(
        http(server.address, "DELETE /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").0,
        405
    );
}

#[test]
fn a_web_page_can_not_write_behind_its_readers_back() {
    let server = Server::start();
    let create = r#"{"type":"CreateSeries","data":{"name":"h","dimension":1}}"#;
    let plain = "Origin: http://evil.example\r\nContent-Type: text/plain\r\n";
    assert_eq!(post(server.address, plain, create).0, 400);
    assert!(server.connect().text("LIST").rows().is_empty());
    let asked = "Origin: http://good.example\r\nContent-Type: application/json\r\n";
    assert_eq!(post(server.address, asked, create).0, 200);
}
