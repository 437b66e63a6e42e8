//! Clients that mean harm: what they try is refused or cut off, and the others are
//! served meanwhile.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Lines, Server, clear_environment, get, http, post_as};

/// Until a connection ends; fails where it does not in a minute.
fn until_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut sink = vec![0; 1 << 16];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(e) => panic!("the connection is still open: {e}"),
        }
    }
}

#[test]
fn a_text_session_that_sees_http_ends() {
    let server = Server::start();
    let head = |path: &str| format!("POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n");
    let long = head(&"x".repeat(9000));
    for bad in
        [long.as_str(), "\r\nPOST / HTTP/1.1\r\n", "PING\nHost: evil\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n"]
    {
        let mut lines = server.connect();
        lines.send(format!("{bad}CREATE stolen 1\nCREATE stolen 1"));
        let mut last = String::new();
        while let Some(line) = lines.line() {
            last = line;
        }
        assert!(last.starts_with("ERR PARSE_ERROR this is a line of HTTP"), "{last}");
    }
    assert!(server.connect().text("LIST").rows().is_empty());
}

#[test]
fn who_sends_slowly_or_not_at_all_is_cut_off() {
    let temp = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (temp.path().join("cert.pem"), temp.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Server::start_with(|command| {
        command.args(["--request-timeout", "1", "--idle-timeout", "1"]);
        command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    });
    let head = "POST / HTTP/1.1\r\nHost: x\r\n";
    std::thread::scope(|scope| {
        for (start, drip) in [
            // Nothing, ever.
            (String::new(), ""),
            // What may become a request line of HTTP, a text command, JSON.
            ("GET /".to_owned(), "a"),
            ("INSERT ".to_owned(), "a"),
            ("{".to_owned(), " "),
            // A head, a body by its length, a body in chunks.
            (head.to_owned(), "a"),
            (format!("{head}Content-Length: 100000\r\n\r\n"), " "),
            (format!("{head}Transfer-Encoding: chunked\r\n\r\n"), "1\r\n \r\n"),
            // A handshake.
            ("\u{16}\u{3}\u{1}\u{2}".to_owned(), "\u{1}"),
        ] {
            let mut stream = TcpStream::connect(server.address).unwrap();
            scope.spawn(move || {
                let began = Instant::now();
                let mut sent = stream.write_all(start.as_bytes());
                // A byte now and then would put off a deadline of each read for ever.
                while sent.is_ok() && !drip.is_empty() {
                    assert!(began.elapsed().as_secs() < 60, "{start:?} is still open");
                    std::thread::sleep(Duration::from_millis(100));
                    sent = stream.write_all(drip.as_bytes());
                }
                until_closed(&mut stream);
            });
        }
    });
    assert_eq!(server.connect().text("PING").summary(), "PONG");
}

#[test]
fn who_does_not_read_is_left_and_takes_no_memory_meanwhile() {
    let server = Server::start_with(|command| {
        command.args(["--request-timeout", "1"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE big 1");
    let times: Vec<i64> = (0..200_000).collect();
    lines.data("BatchInsert", json!({"series": "big", "timestamps_ns": times, "values": times}));
    let body = r#"{"type":"QueryRange","data":{"series":"big","start_ns":0,"end_ns":999999}}"#;
    let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let before = resident_bytes(&server);
    std::thread::scope(|scope| {
        for requests in ["EXPORT big\n".repeat(20), format!("{body}\n").repeat(20), request.repeat(20)] {
            let mut stream = TcpStream::connect(server.address).unwrap();
            scope.spawn(move || {
                // The replies are 80 MB that nobody reads.
                stream.write_all(requests.as_bytes()).unwrap();
                let began = Instant::now();
                while stream.write_all(b"\n").is_ok() {
                    assert!(began.elapsed().as_secs() < 60, "the connection is still open");
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for at in 0..100 {
            assert_eq!(lines.text(&format!("INSERT_AT big {at} 1")).summary(), at.to_string());
        }
    });
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 150 << 20, "{grown} bytes");
}

fn resident_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn ten_thousand_connections_come_and_go() {
    let server = Server::start_with(|command| {
        command.args(["--max-connections", "200"]);
    });
    let mut other = server.connect();
    other.text("CREATE a 1");
    for burst in 0..100 {
        let mut streams: Vec<TcpStream> =
            (0..100).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        for (stream, bytes) in
            streams.iter_mut().zip(["", "PING\n", "INSERT a", "{\"type\"", "GET / H", "\u{16}\u{3}"])
        {
            // It may have been refused already.
            let _ = stream.write_all(bytes.as_bytes());
        }
        assert_eq!(other.text(&format!("INSERT_AT a {burst} 1")).summary(), burst.to_string());
    }
    // Once their ends are seen, nothing is left of them.
    loop {
        let mut lines = Lines::new(TcpStream::connect(server.address).unwrap());
        lines.send("PING\n");
        if lines.line().is_some_and(|line| line == "OK 0 PONG") {
            break;
        }
    }
    while !get(server.address, "/metrics", "").2.contains("tsdb_connections 2") {
        std::thread::yield_now();
    }
    assert_eq!(other.text("QUERY_RANGE a 0 1000").rows().len(), 100);
}

/// A server that may open so many files.
fn with_files(temp: &Path, files: u32, shards: &str) -> Server {
    let mut command = Command::new("sh");
    clear_environment(&mut command);
    command.env("TSDB_METRICS_PORT", "0").env("TSDB_PORT", "0").env("TSDB_SHARDS", shards);
    command.env("TSDB_DATA_DIR", temp);
    command.args(["-c", &format!("ulimit -n {files}; exec {}", env!("CARGO_BIN_EXE_tsdb_server"))]);
    Server::start_by(command, temp)
}

#[test]
fn connections_leave_files_to_the_database_and_the_last_descriptor_refuses() {
    let temp = tempfile::tempdir().unwrap();
    let server = with_files(&temp.path().join("few"), 64, "2");
    let kept: Vec<Lines> = (0..32)
        .map(|_| {
            let mut lines = server.connect();
            assert_eq!(lines.text("PING").summary(), "PONG");
            lines
        })
        .collect();
    assert_eq!(server.connect().text("PING").code(), "LIMIT_EXCEEDED");
    drop(kept);

    // Here logs and connections together are more than there may be.
    let server = with_files(&temp.path().join("fewer"), 86, "32");
    let mut lines = server.connect();
    for at in 0..300 {
        lines.text(&format!("CREATE s{at} 1")).rows();
    }
    let mut streams: Vec<Lines> = Vec::new();
    let refused = loop {
        assert!(streams.len() < 40, "half of the descriptors are for connections");
        let mut next = server.connect();
        next.send("PING\n");
        match next.line() {
            Some(line) if line == "OK 0 PONG" => streams.push(next),
            Some(line) => break line,
            None => panic!("closed without a word"),
        }
    };
    assert!(refused.starts_with("ERR LIMIT_EXCEEDED") && refused.contains("descriptor"), "{refused}");
    assert_eq!(lines.text("INSERT_AT s1 1 1").summary(), "1", "those that are there go on");
    drop(streams);
    loop {
        let mut next = server.connect();
        next.send("PING\n");
        if next.line().is_some_and(|line| line == "OK 0 PONG") {
            break;
        }
    }
}

#[test]
fn deep_wide_and_huge_values_are_refused_one_by_one() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let insert = |values: &str| {
        format!(
            "{{\"type\":\"InsertAt\",\"data\":{{\"series\":\"a\",\"timestamp_ns\":1,\"values\":{values}}}}}"
        )
    };
    let labelled = |labels: String| {
        format!(
            "{{\"type\":\"InsertAtWithLabels\",\"data\":{{\"series\":\"a\",\"timestamp_ns\":1,\"values\":[1],\"labels\":{labels}}}}}"
        )
    };
    let pairs = |n: usize| (0..n).map(|at| format!("\"k{at}\":\"v\"")).collect::<Vec<_>>().join(",");
    for bad in [
        format!("{{\"type\":\"Ping\",\"data\":{}}}", deep(1_000_000)),
        format!("{{\"type\":\"Ping\",\"x\":{}}}", deep(100_000)),
        "[".repeat(3_000_000).replacen('[', "{\"type\":", 1),
        "{\"a\":".repeat(500_000),
        insert(&deep(100_000)),
        insert("[1e999]"),
        insert("[-1e400]"),
        insert(&format!("[{}]", "9".repeat(100_000))),
        insert("[NaN]"),
        insert("[null]"),
        insert(&format!("[{}1]", "1,".repeat(3_000_000))),
        insert("[1]").replace("\"timestamp_ns\":1", "\"timestamp_ns\":9223372036854775808"),
        insert("[1]").replace("\"timestamp_ns\":1", "\"timestamp_ns\":1e30"),
        insert("[1]")
            .replace("\"timestamp_ns\":1", &format!("\"timestamp_ns\":\"{}\"", "9".repeat(1_000_000))),
        labelled(format!("{{\"k\":\"{}\"}}", "v".repeat(1025))),
        labelled(format!("{{\"{}\":\"v\"}}", "k".repeat(5_000_000))),
        labelled(format!("{{{}}}", pairs(65))),
        labelled(format!("{{{}}}", pairs(500_000))),
        format!("{{{},\"type\":\"Ping\"}}", pairs(800_000)),
        format!("{{\"type\":\"Ping\",\"data\":{{{}}}}}", pairs(800_000)),
        "{\"type\":\"CreateSeries\",\"data\":{\"name\":\"b\",\"dimension\":4294967297}}".to_owned(),
        "{\"type\":\"QueryRange\",\"data\":{\"series\":\"a\",\"start_ns\":0,\"end_ns\":1,\"limit\":1e99}}"
            .to_owned(),
    ] {
        lines.send(format!("{bad}\n"));
        let reply = lines.line().unwrap();
        let shown: String = bad.chars().take(60).collect();
        assert!(reply.starts_with("{\"ok\":false"), "{shown}: {reply:.200}");
        assert!(reply.len() < 20_000, "{shown} is answered with {} bytes", reply.len());
    }
    for bad in [
        format!("INSERT_AT a 1 {}1", "1,".repeat(1_000_000)),
        "INSERT_AT a 99999999999999999999 1".to_owned(),
        "INSERT_AT a 1 1e999".to_owned(),
        format!("INSERT_AT a 1 1 k={}", "v".repeat(1025)),
        format!("INSERT_AT a 1 1 {}", (0..65).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",")),
        format!("CREATE {} 1", "x".repeat(256)),
        format!("QUERY {}", "x".repeat(10_000_000)),
        "a ".repeat(5_000_000),
        "\"".repeat(5_000_001),
    ] {
        lines.send(format!("{bad}\n"));
        let reply = lines.line().unwrap();
        let shown: String = bad.chars().take(40).collect();
        assert!(reply.starts_with("ERR ") && reply.len() < 20_000, "{shown}: {reply:.200}");
    }
    // An id may be anything, and comes back.
    lines.send(format!("{{\"type\":\"Ping\",\"id\":{}}}\n", deep(100)));
    assert_eq!(lines.json_reply()["ok"], true);
    assert!(lines.text("QUERY_RANGE a 0 9").rows().is_empty());
}

#[test]
fn snapshots_stay_in_their_directory_and_are_files() {
    let server = Server::start();
    let mut lines = server.connect();
    lines.text("CREATE a 1");
    lines.text("SAVE good").summary();
    let dir = server.data_dir.join("snapshots");
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    std::fs::create_dir(dir.join("folder")).unwrap();
    let made = Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, dir.join(name)).unwrap();
    link(Path::new("/dev/zero"), "zero");
    link(outside.path(), "elsewhere");
    link(&outside.path().join("secret"), "secret");
    link(&outside.path().join("new"), "dangling");
    link(Path::new("loop"), "loop");
    for command in ["SAVE", "LOAD"] {
        for (path, codes) in [
            ("../a", "PATH_NOT_ALLOWED"),
            ("x/../../a", "PATH_NOT_ALLOWED"),
            ("/etc/passwd", "PATH_NOT_ALLOWED"),
            ("/dev/zero", "PATH_NOT_ALLOWED"),
            ("/proc/self/mem", "PATH_NOT_ALLOWED"),
            ("zero", "PATH_NOT_ALLOWED"),
            ("secret", "PATH_NOT_ALLOWED"),
            ("elsewhere/secret", "PATH_NOT_ALLOWED"),
            ("elsewhere/new/x", "PATH_NOT_ALLOWED"),
            ("folder", "INVALID_ARGUMENT"),
            ("fifo", "INVALID_ARGUMENT"),
            ("socket", "INVALID_ARGUMENT"),
            ("good/x", "INVALID_ARGUMENT"),
            ("loop", "READ_ONLY FILE_NOT_FOUND INVALID_ARGUMENT PATH_NOT_ALLOWED"),
        ] {
            let code = lines.text(&format!("{command} {path}")).code();
            assert!(codes.contains(&code), "{command} {path}: {code}");
        }
        let long = "x".repeat(5000);
        assert_ne!(lines.text(&format!("{command} {long}")).code(), "INTERNAL");
    }
    // A link that leads nowhere is replaced, or refused, but never followed.
    let _ = lines.text("SAVE dangling");
    assert!(!outside.path().join("new").exists());
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(lines.text("LOAD good").rows().len(), 0);
    assert_eq!(lines.text("LIST").rows(), ["a 1 0"]);
}

/// A chunk of a binary snapshot.
fn chunk(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_snapshot_that_would_swell_is_refused_and_nothing_is_switched() {
    let server = Server::start_with(|command| {
        command.args(["--memory-limit", "32MiB", "--shards", "2"]);
    });
    let mut lines = server.connect();
    lines.text("CREATE kept 1");
    lines.text("INSERT_AT kept 1 1").summary();
    lines.text("SAVE good").summary();
    let dir = server.data_dir.join("snapshots");
    let good = std::fs::read(dir.join("good")).unwrap();
    let head = &good[..40];
    // Name, dimension, type, whether assigned, assigned, number of label sets.
    let series = |sets: &[u8]| [b"\x01s\x01\x00\x00\x00".as_slice(), sets].concat();
    let varint = |mut n: u64| {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    let many_sets = |set: &dyn Fn(u32) -> Vec<u8>, n: u32| {
        let mut sets = varint(u64::from(n));
        (0..n).for_each(|at| sets.extend(set(at)));
        chunk(1, &series(&sets))
    };
    let distinct = |at: u32| [b"\x01\x01k\x08".as_slice(), format!("{at:08}").as_bytes()].concat();
    let json = "{\"snapshot\":{\"format\":\"tsdb-vector-snapshot\",\"version\":1}}\n";
    for (what, bytes, codes) in [
        ("a length of 4 GiB", [head, &[1, 255, 255, 255, 255]].concat(), "CORRUPT_DATA"),
        ("a length of 255 MiB", [head, &[1, 0, 0, 0xF0, 0x0F]].concat(), "LIMIT_EXCEEDED"),
        ("16 MiB of chunk", [head, &chunk(2, &vec![0; 16 << 20])].concat(), "LIMIT_EXCEEDED"),
        ("many equal label sets", [head, &many_sets(&|_| vec![0], 5_000_000)].concat(), "CORRUPT_DATA"),
        ("many label sets", [head, &many_sets(&distinct, 400_000)].concat(), "LIMIT_EXCEEDED"),
        (
            "a number of sets that are not there",
            [head, &chunk(1, &series(&varint(1 << 60)))].concat(),
            "CORRUPT_DATA",
        ),
        (
            "a line without an end",
            format!("{json}{{\"timestamp_ns\":1,\"values\":[{}", "1,".repeat(8 << 20)).into_bytes(),
            "CORRUPT_DATA",
        ),
        ("a deep line", format!("{json}{}", "[".repeat(1 << 20)).into_bytes(), "CORRUPT_DATA"),
        ("zeros", vec![0; 64 << 20], "CORRUPT_DATA"),
    ] {
        std::fs::write(dir.join("bomb"), bytes).unwrap();
        let code = lines.text("LOAD bomb").code();
        assert!(codes.contains(&code), "{what}: {code}");
        assert_eq!(lines.text("QUERY_RANGE kept 0 9").rows(), ["1 1"], "{what}");
    }
    // Ten million points that compress to nearly nothing take their turns in memory.
    let mut big = server.connect();
    big.text("CREATE flat 1");
    for start in (0..4_000_000_i64).step_by(500_000) {
        let times: Vec<i64> = (start..start + 500_000).collect();
        big.data(
            "BatchInsert",
            json!({"series": "flat", "timestamps_ns": times, "values": vec![0; 500_000]}),
        );
    }
    let saved = big.data("Save", json!({"path": "flat"}));
    assert!(saved["bytes"].as_u64().unwrap() < 1 << 20, "{saved}");
    assert_eq!(big.data("Load", json!({"path": "flat"}))["points"], 4_000_001);
    assert!(resident_bytes(&server) < 200 << 20, "{} bytes", resident_bytes(&server));
}

#[test]
fn guessing_tokens_slows_the_guesser_alone() {
    let server = Server::start_with(|command| {
        command.env("TSDB_AUTH_TOKEN", "a-token-of-sixteen-bytes");
    });
    let mut guessers: Vec<Lines> = (0..100).map(|_| server.connect()).collect();
    for guesser in &mut guessers {
        guesser.send("AUTH wrong\n".repeat(3));
    }
    // Who knows the token does not wait, from the same address.
    for _ in 0..20 {
        let mut lines = server.connect();
        assert!(lines.text("AUTH a-token-of-sixteen-bytes").rows().is_empty());
        assert!(lines.text("LIST").rows().is_empty());
    }
    // Of a hundred that wait, those are closed that are too many.
    let closed = guessers
        .iter_mut()
        .filter_map(|guesser| {
            let reply = guesser.line()?;
            assert!(reply.starts_with("ERR UNAUTHORIZED"), "{reply}");
            guesser.stream.set_nonblocking(true).unwrap();
            let mut byte = [0];
            let ended = matches!(guesser.stream.peek(&mut byte), Ok(0));
            guesser.stream.set_nonblocking(false).unwrap();
            ended.then_some(())
        })
        .count();
    assert!(closed >= 20, "{closed}");
    let (_, _, metrics) =
        get(server.address, "/metrics", "Authorization: Bearer a-token-of-sixteen-bytes\r\n");
    let counted = metrics.lines().find_map(|line| line.strip_prefix("tsdb_auth_failures_total ")).unwrap();
    assert!(counted.parse::<u32>().unwrap() >= 100, "{counted}");
}

#[test]
fn half_a_request_at_the_end_of_a_connection_is_nobodys() {
    let server = Server::start();
    server.connect().text("CREATE a 1");
    for half in [
        "{\"type\":\"InsertAt\",\"data\":{\"series\":\"a\",\"timestamp_ns\":1,\"values\":[1",
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"type\":\"DropSeries\",\"data\":{\"name\":\"a\"}}",
    ] {
        let mut lines = server.connect();
        lines.send(half);
        lines.stream.shutdown(Shutdown::Write).unwrap();
        while lines.line().is_some() {}
    }
    let mut lines = server.connect();
    assert!(lines.text("QUERY_RANGE a 0 9").rows().is_empty());
    assert_eq!(lines.text("LIST").rows(), ["a 1 0"]);
    // An absurd length is refused before a byte of it is waited for.
    let huge =
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 999999999999999999\r\n\r\n";
    assert_eq!(http(server.address, huge).0, 413);
    assert_eq!(post_as(server.address, "", r#"{"type":"Ping"}"#).0, 200);
}
