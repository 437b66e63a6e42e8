//! A server that wants a token.

use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Lines, Server, Text, get, post, server_command};

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

const TOKENS: &str = "# name role token\n\
    grafana read reader-000000000001\n\
    plant write writer-000000000001\n\
    root admin admin-0000000000001\n";

fn logged_in(server: &Server, token: &str) -> Lines {
    let mut lines = server.connect();
    assert_eq!(lines.text(&format!("AUTH {token}")).rows().len(), 0);
    lines
}

#[test]
fn roles_allow_what_they_say() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("tokens");
    std::fs::write(&file, TOKENS).unwrap();
    let server = Server::start_with(|command| {
        command.arg("--auth-file").arg(&file);
    });
    let reads = ["LIST", "QUERY_RANGE a 0 9", "STATS a", "EXPORT a", "SIMILAR a 1 1"];
    let writes = ["INSERT a 1", "INSERT_AT a 5 1", "DELETE_RANGE a 0 1", "CREATE b 1 IF NOT EXISTS"];
    let administers = ["FLUSH", "SAVE s", "LOAD s", "DROP b"];
    for (token, allowed) in
        [("admin-0000000000001", 3), ("writer-000000000001", 2), ("reader-000000000001", 1)]
    {
        let mut lines = logged_in(&server, token);
        if allowed == 3 {
            lines.text("CREATE a 1").rows();
        }
        for (at, commands) in [&reads[..], &writes, &administers].into_iter().enumerate() {
            for command in commands {
                match lines.text(command) {
                    Text::Err { code, message } if at >= allowed => {
                        assert_eq!(code, "UNAUTHORIZED", "{command}");
                        assert!(message.contains("role"), "{message}");
                    }
                    Text::Ok { .. } => assert!(at < allowed, "{command} was allowed"),
                    other @ Text::Err { .. } => panic!("{command}: {other:?}"),
                }
            }
        }
    }
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let flush = r#"{"type":"Flush"}"#;
    assert_eq!(post(server.address, &bearer("writer-000000000001"), flush).0, 401);
    assert_eq!(post(server.address, &bearer("admin-0000000000001"), flush).0, 200);
    assert_eq!(get(server.address, "/metrics", &bearer("reader-000000000001")).0, 200);
    let mut lines = server.connect();
    assert_eq!(lines.data("Auth", json!({"token": "writer-000000000001"}))["role"], "write");
}

/// The lines of an audit log that are there once `wanted` of them are.
fn audit(path: &Path, wanted: usize) -> Vec<Value> {
    let begun = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.len() >= wanted {
            return lines;
        }
        assert!(begun.elapsed().as_secs() < 60, "{} of {wanted} lines come: {lines:?}", lines.len());
        std::thread::yield_now();
    }
}

#[test]
fn a_hangup_reads_the_tokens_again_and_the_audit_tells_all_but_tokens() {
    let temp = tempfile::tempdir().unwrap();
    let (file, log) = (temp.path().join("tokens"), temp.path().join("audit.jsonl"));
    std::fs::write(&file, TOKENS).unwrap();
    let data_dir = temp.path().join("data");
    let mut command = server_command(&data_dir);
    command.env("RUST_LOG", "trace").env("TSDB_AUTH_FILE", &file).env("TSDB_AUDIT_LOG", &log);
    command.env("TSDB_AUTH_TOKEN", "fixed-00000000000001").stderr(Stdio::piped());
    let mut server = Server::start_by(command, &data_dir);
    let mut errors = server.take_stderr();
    let logged = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    });

    let mut root = logged_in(&server, "admin-0000000000001");
    root.text("CREATE a 1").rows();
    root.text("DROP a").rows();
    assert_eq!(root.text("SAVE ../x").code(), "PATH_NOT_ALLOWED");
    let mut reader = logged_in(&server, "reader-000000000001");
    assert_eq!(reader.text("DROP b").code(), "UNAUTHORIZED");
    assert_eq!(server.connect().text("AUTH guess-0000000000001").code(), "UNAUTHORIZED");
    let bearer = "Authorization: Bearer guess-0000000000002\r\n";
    assert_eq!(post(server.address, bearer, r#"{"type":"Ping"}"#).0, 401);
    let lines = audit(&log, 6);
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    let told = |line: &Value| {
        let field = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        ["user", "role", "action", "target", "outcome"].map(field).join(" ")
    };
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            "- - start - OK",
            "root admin drop a OK",
            "root admin save ../x PATH_NOT_ALLOWED",
            "grafana read drop b UNAUTHORIZED",
            "- - auth - UNAUTHORIZED",
            "- - auth - UNAUTHORIZED"
        ]
    );
    assert!(lines[1]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));

    // A bad file changes nothing; the next one does.
    std::fs::write(&file, "grafana king x\n").unwrap();
    server.signal("HUP");
    // Tokens and audit log; there is no certificate.
    audit(&log, 8);
    assert_eq!(reader.text("LIST").rows().len(), 0);
    std::fs::write(&file, "grafana write reader-000000000001\nnew admin newer-0000000000001\n").unwrap();
    std::fs::rename(&log, temp.path().join("audit.1")).unwrap();
    server.signal("HUP");
    while !log.exists() {
        std::thread::yield_now();
    }
    reader.text("CREATE c 1").rows();
    assert_eq!(root.text("LIST").code(), "UNAUTHORIZED");
    logged_in(&server, "newer-0000000000001").text("FLUSH").rows();
    logged_in(&server, "fixed-00000000000001").text("FLUSH").rows();
    assert!(std::fs::read_to_string(&log).unwrap().contains("\"user\":\"new\""));
    let (_, _, metrics) = get(server.address, "/metrics", "Authorization: Bearer fixed-00000000000001\r\n");
    assert!(metrics.contains("tsdb_auth_failures_total 2"), "{metrics}");

    assert!(server.stop().success());
    let everything = [
        logged.join().unwrap(),
        std::fs::read_to_string(&log).unwrap(),
        std::fs::read_to_string(temp.path().join("audit.1")).unwrap(),
    ]
    .concat();
    assert!(everything.contains("a wrong token"));
    for token in ["reader-0", "writer-0", "admin-0", "newer-0", "fixed-0", "guess-0"] {
        assert!(!everything.contains(token), "{token} was logged");
    }
}

#[test]
fn a_token_file_that_lets_nobody_in_is_refused_at_the_start() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("tokens");
    std::fs::write(&file, "grafana read secret-token-of-grafana\nsecret-token-of-grafana\n").unwrap();
    let output = server_command(&temp.path().join("data")).arg("--auth-file").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("tokens: line 2") && !said.contains("secret"), "{said}");
}

#[test]
fn an_address_that_others_reach_without_a_token_is_warned_of() {
    let temp = tempfile::tempdir().unwrap();
    for (token, warned) in [(None, true), (Some("a-token-of-16-bytes"), false)] {
        let data_dir = temp.path().join("data");
        let mut command = server_command(&data_dir);
        command.args(["--host", "0.0.0.0"]).stderr(Stdio::piped());
        command.envs(token.map(|token| ("TSDB_AUTH_TOKEN", token)));
        let mut server = Server::start_by(command, &data_dir);
        let mut errors = server.take_stderr();
        assert!(server.stop().success());
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(said.contains("can read and change everything"), warned, "{said}");
    }
}
