//! The offline tool, on what a server left.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;

fn dump(args: &[&str], path: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tsdb_dump")).args(args).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_directory_is_shown_and_checked_and_damage_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(temp.path(), |command| {
        command.args(["--shards", "2"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE a 2").rows();
    for at in 0..10 {
        lines.text(&format!("INSERT_AT a {} {at},0.5 k=v", at % 8)).summary();
    }
    lines.text("FLUSH").rows();
    lines.text("DELETE_RANGE a 7 7").rows();
    lines.text("INSERT_AT a 1 9,0.5 k=v").summary();
    let (code, text) = dump(&["verify"], temp.path());
    assert!(code == 1 && text.contains("LOCK"), "a server runs: {text}");
    lines.text("FLUSH").rows();
    lines.text("INSERT_AT a 100 1,2").summary();
    server.kill();

    assert_eq!(dump(&["verify"], temp.path()).1.lines().last(), Some("ok: 9 files, 8 points"));
    let segments = files(temp.path(), "seg");
    assert_eq!(segments.len(), 2);
    let mut objects: Vec<Value> = Vec::new();
    for segment in &segments {
        let (code, text) = dump(&["segment", "--rows", "--json"], segment);
        assert_eq!(code, 0);
        objects.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let segment = &segments[0];
    let rows: Vec<&Value> = objects.iter().filter(|object| object.get("timestamp_ns").is_some()).collect();
    assert_eq!(rows.len(), 9);
    let newest =
        rows.iter().filter(|row| row["timestamp_ns"] == 1).max_by_key(|row| row["seq"].as_u64()).unwrap();
    assert_eq!(
        (&newest["series"], &newest["values"], &newest["labels"]),
        (&json!("a"), &json!([9.0, 0.5]), &json!({"k": "v"}))
    );
    let deletes: Vec<&Value> = objects.iter().filter(|object| object.get("delete").is_some()).collect();
    assert_eq!(
        deletes.first().expect("a tombstone")["delete"],
        json!({"start_ns": 7, "end_ns": 7, "labels": {}})
    );
    let (code, text) = dump(&["segment"], segment);
    assert!(code == 0 && text.contains("series a (id ") && text.contains("bytes a point"), "{text}");

    let log = files(temp.path(), "log").into_iter().max_by_key(|path| dump(&["wal"], path).1.len()).unwrap();
    let (code, text) = dump(&["wal", "--json"], &log);
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 0);
    assert!(records.iter().any(|record| record["kind"] == "insert" && record["state"] == "ok"), "{text}");
    assert_eq!(records.last().unwrap()["state"], "end");
    let (code, text) = dump(&["manifest", "--json"], temp.path());
    assert!(code == 0 && text.lines().count() == 3 && text.contains("\"name\":\"a\""), "{text}");
    let (code, text) = dump(&["tree"], temp.path());
    assert!(code == 0 && text.contains("MANIFEST") && text.contains("(live, "), "{text}");

    // A torn tail is shown and is no damage; a flipped bit in a segment is.
    let mut bytes = std::fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end - 20] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let (code, text) = dump(&["wal"], &log);
    assert!(code == 0 && text.contains("torn at byte"), "{text}");
    let mut bytes = std::fs::read(segment).unwrap();
    bytes[60] ^= 1;
    std::fs::write(segment, &bytes).unwrap();
    let (code, text) = dump(&["verify"], temp.path());
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(code == 1 && text.contains(name), "{text}");
    let (code, text) = dump(&["segment", "--rows"], segment);
    assert!(code == 1 && text.contains("DAMAGED block at byte 40"), "{text}");
    std::fs::write(segment, &bytes[..50]).unwrap();
    assert_eq!(dump(&["segment"], segment).0, 1);
    assert_eq!(dump(&["verify"], Path::new("/nonexistent")).0, 1);
}
