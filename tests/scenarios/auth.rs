//! A server that wants a token.

use serde_json::json;

use crate::support::{Server, get, post};

fn guarded() -> Server {
    Server::start_with(|command| {
        command.env("TSDB_AUTH_TOKEN", "open sesame");
    })
}

#[test]
fn lines_need_the_token_first() {
    let server = guarded();
    let mut lines = server.connect();
    assert_eq!(lines.text("PING").summary(), "PONG");
    assert!(lines.text("HELP").rows().len() > 20);
    for command in ["LIST", "CREATE a 1", "INSERT a 1", "SAVE x", "STATS all"] {
        assert_eq!(lines.text(command).code(), "UNAUTHORIZED", "{command}");
    }
    assert_eq!(lines.code("ListSeries", json!(null)), "UNAUTHORIZED");
    assert_eq!(lines.text("AUTH nonsense").code(), "UNAUTHORIZED");
    assert_eq!(lines.data("Auth", json!({"token": "open sesame"}))["role"], "admin");
    assert!(lines.text("CREATE a 1").rows().is_empty());
    // Another connection starts anew.
    let mut other = server.connect();
    assert_eq!(other.text("LIST").code(), "UNAUTHORIZED");
    assert!(other.text("AUTH \"open sesame\"").rows().len() <= 1);
    assert_eq!(other.text("LIST").rows().len(), 1);
}

#[test]
fn the_tenth_failure_closes() {
    let server = guarded();
    let mut lines = server.connect();
    lines.send("AUTH wrong\n".repeat(12));
    for _ in 0..10 {
        assert_eq!(lines.reply().code(), "UNAUTHORIZED");
    }
    assert_eq!(lines.line(), None);
    assert_eq!(server.connect().text("PING").summary(), "PONG");
}

#[test]
fn http_takes_a_bearer_token() {
    let server = guarded();
    let list = r#"{"type":"ListSeries"}"#;
    let (status, reply) = post(server.address, "", list);
    assert_eq!((status, &reply["error"]["code"]), (401, &json!("UNAUTHORIZED")));
    assert_eq!(post(server.address, "Authorization: Bearer wrong\r\n", list).0, 401);
    assert_eq!(post(server.address, "Authorization: Basic b3Blbg==\r\n", list).0, 401);
    assert_eq!(post(server.address, "Authorization: bearer open sesame\r\n", list).0, 200);
    assert_eq!(post(server.address, "", r#"{"type":"Ping"}"#).0, 200);
    assert_eq!(get(server.address, "/health", "").0, 200);
    assert_eq!(get(server.address, "/ready", "").0, 200);
    assert_eq!(get(server.address, "/metrics", "").0, 401);
    assert_eq!(get(server.address, "/metrics", "Authorization: Bearer open sesame\r\n").0, 200);
}
