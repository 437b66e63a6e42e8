//! SIGKILL under load: what was acknowledged is there, what was never sent is not, and
//! a batch is whole or absent.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::json;

use crate::support::Server;

const WRITERS: u64 = 4;
const BATCH: i64 = 7;
/// Kills in an ordinary run; `TSDB_TEST_KILLS` asks for more.
const KILLS: u64 = 5;

/// Points acknowledged before each kill.
const POINTS_A_KILL: i64 = 8000;

/// A value that tells who wrote it.
fn value(writer: u64, timestamp: i64) -> f64 {
    writer as f64 * 1e9 + timestamp as f64 + 0.5
}

#[test]
fn nothing_acknowledged_is_lost() {
    let temp = tempfile::tempdir().unwrap();
    // By writer: the first timestamp that was not acknowledged, the first not sent.
    let progress = Mutex::new(BTreeMap::<u64, (i64, i64)>::new());
    let mut checked = BTreeMap::<u64, i64>::new();
    let kills = std::env::var("TSDB_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    for round in 0..=kills {
        let mut server = Server::start_in(temp.path(), |command| {
            command.args(["--buffer-size", "500", "--shards", "4"]);
        });
        let mut lines = server.connect();
        for writer in 0..WRITERS {
            lines.text(&format!("CREATE w{writer} 1 IF NOT EXISTS")).rows();
            let (acknowledged, sent) = progress.lock().unwrap().get(&writer).copied().unwrap_or_default();
            let count =
                lines.data("GetStats", json!({"series": format!("w{writer}")}))["count"].as_i64().unwrap();
            assert!(
                (acknowledged..=sent).contains(&count),
                "round {round}, writer {writer}: {count} points, {acknowledged} acknowledged, {sent} sent"
            );
            // What was read after the kill before is only counted, but for the last time.
            let read_before = checked.insert(writer, count).unwrap_or(0);
            let mut next = if round == kills { 0 } else { read_before };
            while next < count {
                let page = json!({
                    "series": format!("w{writer}"), "start_ns": next, "end_ns": i64::MAX, "limit": 100_000
                });
                let points = lines.data("QueryRange", page)["points"].take();
                for point in points.as_array().unwrap() {
                    assert_eq!(point["timestamp_ns"], next);
                    assert_eq!(point["values"][0], value(writer, next));
                    next += 1;
                }
            }
            if writer % 2 == 1 {
                assert_eq!(count % BATCH, 0, "a part of a batch");
            }
            // Go on after what is there.
            progress.lock().unwrap().insert(writer, (count, count));
        }
        if round == kills {
            break;
        }
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (server, progress) = (&server, &progress);
                let address = server.address;
                scope.spawn(move || write(address, writer, progress));
            }
            // Killed once there has been enough to lose.
            let total =
                || progress.lock().unwrap().values().map(|(acknowledged, _)| acknowledged).sum::<i64>();
            let enough = total() + POINTS_A_KILL;
            while total() < enough {
                std::thread::yield_now();
            }
            server.signal("KILL");
        });
        server.kill();
    }
    println!("kills: {kills}");
}

/// Frames of several mebibytes, one the first of its log and one not.
#[test]
fn batches_larger_than_any_buffer_survive_a_kill() {
    const ROWS: i64 = 200_000;
    let temp = tempfile::tempdir().unwrap();
    for batches in 0..=2 {
        let mut server = Server::start_in(temp.path(), |command| {
            command.args(["--buffer-size", "10000000", "--shards", "1"]);
        });
        let mut lines = server.connect();
        lines.text("CREATE s 1 IF NOT EXISTS").rows();
        let count = lines.data("GetStats", json!({"series": "s"}))["count"].as_i64().unwrap();
        assert_eq!(count, batches * ROWS);
        let times: Vec<i64> = (count..count + ROWS).collect();
        let values: Vec<f64> = times.iter().map(|&at| value(1, at)).collect();
        lines.data("BatchInsert", json!({"series": "s", "timestamps_ns": times, "values": values}));
        server.signal("KILL");
        server.kill();
    }
}

/// Writes until the server is gone.
fn write(address: std::net::SocketAddr, writer: u64, progress: &Mutex<BTreeMap<u64, (i64, i64)>>) {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let per_request = if writer % 2 == 1 { BATCH } else { 1 };
    loop {
        let mut request = String::new();
        let (_, mut next) = progress.lock().unwrap()[&writer];
        let from = next;
        for _ in 0..10 {
            if per_request == 1 {
                request += &format!("INSERT_AT w{writer} {next} {}\n", value(writer, next));
            } else {
                let times: Vec<i64> = (next..next + BATCH).collect();
                let values: Vec<f64> = times.iter().map(|&at| value(writer, at)).collect();
                let data = json!({"series": format!("w{writer}"), "timestamps_ns": times, "values": values});
                request += &json!({"type": "BatchInsert", "data": data}).to_string();
                request.push('\n');
            }
            next += per_request;
        }
        progress.lock().unwrap().insert(writer, (from, next));
        if stream.write_all(request.as_bytes()).is_err() {
            return;
        }
        for _ in 0..10 {
            let mut line = String::new();
            match replies.read_line(&mut line) {
                Ok(read) if read > 0 && line.ends_with('\n') => {}
                _ => return,
            }
            assert!(line.starts_with("OK") || line.starts_with("{\"ok\":true"), "{line}");
            progress.lock().unwrap().get_mut(&writer).unwrap().0 += per_request;
        }
    }
}
