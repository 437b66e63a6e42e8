//! What a server does with a directory that is damaged, or newer than it is.

use std::path::Path;
use std::process::Stdio;

use crate::support::{Server, server_command};

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
