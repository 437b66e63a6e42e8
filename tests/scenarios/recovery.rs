//! What a server does with a directory that is damaged, or newer than it is.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Server, get, server_command};

/// Starts a server that must refuse, and returns what it says.
fn refusal(data_dir: &Path, recover: &str) -> String {
    let output = server_command(data_dir).args(["--recover", recover]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_the_directory_is_follows_from_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_in(temp.path(), |command| {
        command.args(["--shards", "3"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    lines.text("INSERT_AT a 1 1").summary();
    assert_eq!(server.stop().code(), Some(0));
    for name in ["CURRENT", "DATABASE"] {
        let path = temp.path().join(name);
        std::fs::write(&path, b"nonsense").unwrap();
        let message = refusal(temp.path(), "strict");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains("--recover=degraded"), "{message}");
    }
    // Strict or not from now on: nothing is missing.
    for recover in ["degraded", "strict"] {
        let server = Server::start_in(temp.path(), |command| {
            command.args(["--recover", recover]);
        });
        let mut lines = server.connect();
        assert_eq!(lines.text("QUERY_RANGE a 0 9").rows(), ["1 1"]);
        assert_eq!(server.stop().code(), Some(0));
    }
    for name in ["CURRENT", "DATABASE"] {
        let kept = temp.path().join("quarantine").join(name);
        assert_eq!(std::fs::read(&kept).unwrap(), b"nonsense");
        let reason = std::fs::read_to_string(kept.with_extension("reason")).unwrap();
        assert!(reason.contains(name), "{reason}");
    }
}

#[test]
fn a_newest_log_that_was_removed_is_missed() {
    let temp = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(temp.path(), |command| {
        command.args(["--shards", "1"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    lines.text("INSERT_AT a 1 1").summary();
    server.kill();
    let shard = temp.path().join("gen-0000000001/shard-0000");
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let log = std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path()).find(|path| is_log(path));
    let log = log.unwrap();
    std::fs::remove_file(&log).unwrap();
    let message = refusal(temp.path(), "strict");
    assert!(message.contains(log.to_str().unwrap()) && message.contains("missing"), "{message}");
    let server = Server::start_in(temp.path(), |command| {
        command.args(["--recover", "degraded"]);
    });
    let mut lines = server.connect();
    assert_eq!(lines.text("QUERY_RANGE a 0 9").code(), "CORRUPT_DATA");
}

#[test]
fn known_damage_is_counted_and_told_by_ready() {
    let temp = tempfile::tempdir().unwrap();
    let ready = |server: &Server| {
        let (status, _, body) = get(server.address, "/ready", "");
        assert_eq!(status, 200);
        body
    };
    let start = || {
        Server::start_in(temp.path(), |command| {
            command.args(["--shards", "1", "--recover", "degraded"]);
        })
    };
    let server = start();
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    lines.text("INSERT_AT a 1 1").summary();
    lines.text("FLUSH").summary();
    assert_eq!(ready(&server), "ready\n");
    assert_eq!(server.stop().code(), Some(0));
    let shard = temp.path().join("gen-0000000001/shard-0000");
    let mut files = std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|extension| extension == "seg")).unwrap();
    let whole = std::fs::read(&segment).unwrap();
    // The first block stands behind the header; a start does not read it.
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
    };
    flip(40);
    let server = start();
    assert_eq!(ready(&server), "ready\n");
    assert_eq!(server.connect().text("QUERY_RANGE a 0 9").code(), "CORRUPT_DATA");
    let body = ready(&server);
    assert!(body.starts_with("ready\ndegraded: ") && body.contains("1 block"), "{body}");
    let metrics = get(server.address, "/metrics", "").2;
    assert!(metrics.contains("tsdb_damaged_blocks 1\n"), "{metrics}");
    assert_eq!(server.stop().code(), Some(0));
    // A loss of an earlier start.
    flip(whole.len() - 5);
    drop(start());
    let body = ready(&start());
    assert!(body.starts_with("ready\ndegraded: ") && body.contains("1 file"), "{body}");
}

#[test]
fn another_number_of_shards_is_warned_of() {
    let temp = tempfile::tempdir().unwrap();
    drop(Server::start_in(temp.path(), |command| {
        command.args(["--shards", "3"]);
    }));
    for (shards, warned) in [(None, false), (Some("3"), false), (Some("5"), true)] {
        let mut server = Server::start_in(temp.path(), |command| {
            command.args(shards.map(|shards| format!("--shards={shards}"))).stderr(Stdio::piped());
        });
        let mut log = server.take_stderr();
        assert_eq!(server.connect().data("GetStats", json!({"series": "all"}))["shards"], 3);
        server.kill();
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        assert_eq!(text.contains("--shards 5"), warned, "{text}");
    }
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start_in(temp.path(), |command| {
        command.args(["--shards", "1"]);
    });
    assert_eq!(server.stop().code(), Some(0));
    let path = temp.path().join("gen-0000000001/shard-0000/MANIFEST");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] += 1;
    let crc = crc32fast::hash(&bytes[..36]);
    bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    for recover in ["strict", "degraded"] {
        let message = refusal(temp.path(), recover);
        assert!(message.contains(path.to_str().unwrap()) && message.contains("newer"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn one_start_gives_up_a_block_that_rotted() {
    let temp = tempfile::tempdir().unwrap();
    let start = |recover: &str| {
        Server::start_in(temp.path(), |command| {
            command.args(["--shards", "1", "--recover", recover]);
        })
    };
    let server = start("strict");
    let mut lines = server.connect();
    for series in ["a", "b"] {
        lines.text(&format!("CREATE {series} 1"));
        lines.text(&format!("INSERT_AT {series} 1 1")).summary();
    }
    lines.text("FLUSH").summary();
    assert_eq!(server.stop().code(), Some(0));
    let shard = temp.path().join("gen-0000000001/shard-0000");
    let mut files = std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|extension| extension == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let server = start("strict");
    let mut lines = server.connect();
    assert_eq!(lines.text("QUERY_RANGE a 0 9").code(), "CORRUPT_DATA");
    assert_eq!(lines.text("QUERY_RANGE b 0 9").rows(), ["1 1"]);
    drop(server);
    for recover in ["accept-loss", "strict"] {
        let server = start(recover);
        let mut lines = server.connect();
        assert!(lines.text("QUERY_RANGE a 0 9").rows().is_empty());
        assert_eq!(lines.text("QUERY_RANGE b 0 9").rows(), ["1 1"]);
        assert_eq!(get(server.address, "/ready", "").2, "ready\n");
    }
    let name = format!("gen-0000000001.shard-0000.{}", segment.file_name().unwrap().to_str().unwrap());
    let kept = temp.path().join("quarantine").join(name);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    let reason = std::fs::read_to_string(kept.with_added_extension("reason")).unwrap();
    assert!(reason.contains("of 1 points") && reason.contains("byte 40"), "{reason}");
}
