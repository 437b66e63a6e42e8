//! How a server is set up, and how it ends.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Server, get, server_command};

#[test]
fn a_second_server_on_a_directory_says_why_it_can_not() {
    let server = Server::start();
    let output = server_command(&server.data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(server.data_dir.to_str().unwrap()) && message.contains("LOCK"), "{message}");
}

#[test]
fn a_graceful_stop_keeps_everything_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let temp = tempfile::tempdir().unwrap();
        let server = Server::start_in(temp.path(), |command| {
            command.args(["--durability", "none"]);
        });
        let mut lines = server.connect();
        lines.text("CREATE a 1");
        assert_eq!(lines.text("INSERT_AT a 1 1").summary(), "1");
        let status = server.stop_by(signal);
        assert_eq!(status.code(), Some(0), "SIG{signal}");
        assert_eq!(lines.line(), None, "the connection is closed");
        let server = Server::start_in(temp.path(), |_| {});
        assert_eq!(server.connect().text("QUERY_RANGE a 0 9").rows(), ["1 1"]);
    }
}

#[test]
fn what_save_names_load_takes_also_where_the_data_directory_is_relative() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_in(std::path::Path::new("tsdb-data"), |command| {
        command.current_dir(temp.path());
    });
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    let saved = lines.data("Save", json!({"path": "sub/a.snap"}));
    assert!(std::path::Path::new(saved["path"].as_str().unwrap()).is_absolute(), "{saved}");
    assert_eq!(lines.data("Load", json!({"path": saved["path"]}))["series"], 1);
}

#[test]
fn flags_beat_the_environment() {
    let temp = tempfile::tempdir().unwrap();
    let elsewhere = temp.path().join("elsewhere");
    let server = Server::start_in(&temp.path().join("data"), |command| {
        command.env("TSDB_DATA_DIR", &elsewhere).env("TSDB_PORT", "1").env("TSDB_SHARDS", "3");
    });
    let stats = server.connect().data("GetStats", json!({"series": "all"}));
    assert_eq!(stats["shards"], 3);
    assert!(!elsewhere.exists());
    for bad in [["--durability", "maybe"], ["--port", "x"], ["--auth-token", ""], ["--tls-cert", "/none"]] {
        let status =
            server_command(&elsewhere).args(bad).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert_ne!(status.unwrap().code(), Some(0), "{bad:?}");
    }
}

#[test]
fn metrics_have_a_port_of_their_own() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _server = Server::start_with(|command| {
        command.env("TSDB_METRICS_PORT", free.port().to_string());
    });
    assert!(get(free, "/metrics", "").2.contains("tsdb_wal_syncs_total"));
    assert_eq!(get(free, "/ready", "").0, 200);
    assert_eq!(get(free, "/", "").0, 404);
}

#[test]
fn the_data_file_is_written_at_a_stop_and_loaded_where_there_is_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("all.json");
    let with_file = |command: &mut std::process::Command| {
        command.env("TSDB_DATA_FILE", &file);
    };
    let server = Server::start_in(&temp.path().join("first"), with_file);
    let mut lines = server.connect();
    lines.text("CREATE a 2");
    lines.text("INSERT_AT a 7 1,2 k=v");
    assert!(server.stop().success());
    assert!(file.exists());
    let server = Server::start_in(&temp.path().join("second"), with_file);
    assert_eq!(server.connect().text("QUERY_RANGE a 0 9").rows(), ["7 1,2 k=v"]);
    // What is there is not replaced, and the file of before is kept.
    server.connect().text("INSERT_AT a 8 3,4").summary();
    drop(server);
    let before = std::fs::read(&file).unwrap();
    let server = Server::start_in(&temp.path().join("second"), with_file);
    assert_eq!(server.connect().text("QUERY_RANGE a 0 9").rows().len(), 2);
    assert_eq!(std::fs::read(&file).unwrap(), before, "until there is another");
    assert!(server.stop().success());
    assert_ne!(std::fs::read(&file).unwrap(), before);
    // The next start does not keep its own file in the place of that one.
    let server = Server::start_in(&temp.path().join("second"), with_file);
    server.connect().text("INSERT_AT a 9 5,6").summary();
    assert!(server.stop().success());
    assert_eq!(std::fs::read(file.with_added_extension("previous")).unwrap(), before);
}

#[test]
fn a_data_file_in_no_directory_is_refused_at_a_start() {
    let temp = tempfile::tempdir().unwrap();
    let output = server_command(temp.path()).args(["--data-file", "/nowhere/at/all.snap"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/at does not exist"), "{said}");
}

#[test]
fn a_damaged_manifest_costs_its_shard_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_in(temp.path(), |_| {});
    let mut lines = server.connect();
    for at in 0..20 {
        lines.text(&format!("CREATE s{at} 1"));
        lines.text(&format!("INSERT_AT s{at} 1 {at}")).summary();
    }
    server.stop();
    let mut shards = std::fs::read_dir(temp.path().join("gen-0000000001")).unwrap();
    let has_data = |dir: &std::path::Path| std::fs::read_dir(dir).is_ok_and(|files| files.count() > 1);
    let hit = shards.find_map(|shard| Some(shard.unwrap().path()).filter(|dir| has_data(dir))).unwrap();
    let manifest = hit.join("MANIFEST");
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    assert_eq!(server_command(temp.path()).output().unwrap().status.code(), Some(1));

    let server = Server::start_in(temp.path(), |command| {
        command.args(["--recover", "degraded"]);
    });
    let mut lines = server.connect();
    let (mut served, mut lost) = (0, 0);
    for at in 0..20 {
        let series = format!("s{at}");
        let all = json!({"series": series, "start_ns": 0, "end_ns": 9});
        let reply = lines.json("QueryRange", all);
        if reply["ok"] == true {
            assert_eq!(reply["data"]["points"][0]["values"][0], f64::from(at));
            assert_eq!(
                lines.json("InsertAt", json!({"series": series, "timestamp_ns": 2, "values": [1]}))["ok"],
                true
            );
            served += 1;
        } else {
            assert_eq!(reply["error"]["code"], "CORRUPT_DATA", "{reply}");
            assert_eq!(
                lines.code("InsertAt", json!({"series": series, "timestamp_ns": 2, "values": [1]})),
                "CORRUPT_DATA"
            );
            assert_eq!(lines.code("GetStats", json!({"series": series})), "CORRUPT_DATA");
            lost += 1;
        }
    }
    assert!(served > 0 && lost > 0, "{served} served, {lost} lost");
    let (status, _, reason) = get(server.address, "/ready", "");
    assert!(status == 503 && reason.contains("MANIFEST"), "{status} {reason}");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_damaged_directory_is_refused_or_served_around() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_in(temp.path(), |_| {});
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    lines.text("INSERT_AT a 1 1");
    lines.text("FLUSH");
    assert!(server.stop().success());
    let segment = find(temp.path(), "seg").expect("a segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let refused = server_command(temp.path()).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains(segment.file_name().unwrap().to_str().unwrap()), "{message}");
    let server = Server::start_in(temp.path(), |command| {
        command.arg("--recover=degraded");
    });
    assert_eq!(server.connect().text("QUERY_RANGE a 0 9").code(), "CORRUPT_DATA");
}

fn find(dir: &std::path::Path, extension: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { find(&path, extension) } else { (path.extension()? == extension).then_some(path) }
    })
}
