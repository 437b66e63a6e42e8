//! The server with an engine on the simulated disk, so that its threads can be made to
//! panic, through real sockets.

use std::io::{Read as _, Write as _};
use std::sync::Mutex;

use clap::Parser as _;

use super::*;
use crate::base::ManualClock;
use crate::engine::Options;
use crate::vfs::SimDisk;

/// What the log said, of all threads of all tests.
static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Logged;

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that listens, and the disk below it.
struct Served {
    disk: SimDisk,
    address: SocketAddr,
    engine: Engine,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Runtime,
}

/// `fanout` segments are merged.
fn open_on(disk: &SimDisk, fanout: usize) -> Engine {
    let compaction = crate::compaction::CompactionOptions { fanout, ..Default::default() };
    let options = Options { shards: 1, buffer_points: 6, compaction, ..Options::new("/data") };
    Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(5)), options).unwrap()
}

impl Served {
    fn start(fanout: usize) -> Self {
        let disk = SimDisk::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let settings = Settings::parse_from(["tsdb_server", "--port", "0", "--request-timeout", "60"]);
        let state = Arc::new(State::new(settings).unwrap());
        let engine = open_on(&disk, fanout);
        state.set_engine(engine.clone());
        let (stop, stopped) = watch::channel(false);
        let listener = runtime.block_on(bind("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(state.clone(), listener, Arc::new(Semaphore::new(16)), stopped));
        let served = Self { disk, address, engine, state, stop, runtime };
        assert!(served.ask("CREATE s 1").starts_with("OK"));
        served
    }

    /// Sends bytes and reads what comes until the server closes.
    fn exchange(&self, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer, and the end of it");
        reply
    }

    fn ask(&self, line: &str) -> String {
        self.exchange(&format!("{line}\n"))
    }

    fn ready(&self) -> String {
        self.exchange("GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    /// The panic that was planned has come, and everyone can hear of it; what was
    /// acknowledged is there after a restart.
    fn has_stopped_writing(self, acknowledged: usize) {
        let begun = std::time::Instant::now();
        while self.disk.will_panic() || self.engine.write_trouble().is_none() {
            assert!(begun.elapsed().as_secs() < 60, "no panic comes");
            std::thread::yield_now();
        }
        let refused = self.ask("INSERT s 1");
        assert!(refused.starts_with("ERR READ_ONLY") && refused.contains("simulated panic"), "{refused}");
        let ready = self.ready();
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("simulated panic"), "{ready}");
        let log = String::from_utf8_lossy(&LOGGED.lock().unwrap()).into_owned();
        assert!(log.contains("read-only from now on") && log.contains("simulated panic"), "{log}");
        let found = self.ask("QUERY s");
        assert!(found.starts_with("OK"), "reads go on: {found}");
        self.stop();
        let disk = self.disk.crash(crate::vfs::Crash::KeepNothing, 0);
        let again = open_on(&disk, 2);
        assert_eq!(again.write_trouble(), None);
        assert!(again.totals(&Deadline::none()).unwrap().points >= acknowledged as u64);
    }

    fn stop(&self) {
        self.stop.send(true).unwrap();
        self.state.stop_pools();
        // It says what stopped it.
        assert_eq!(self.engine.close().is_err(), self.engine.counters().read_only_shards > 0);
    }
}

fn log_everything() {
    let subscriber = tracing_subscriber::fmt().with_writer(|| Logged).with_ansi(false).finish();
    // The second test of this process finds it set.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Also where one connection writes, whose thread commits at once what it has read.
#[test]
fn who_waits_for_the_disk_holds_up_nobody_else() {
    let served = Served::start(2);
    let (state, runtime) = (served.state.clone(), served.runtime.handle().clone());
    std::thread::spawn(move || state.commits.watch(&runtime));
    let mut writer = std::net::TcpStream::connect(served.address).unwrap();
    writer.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut reply = [0; 256];
    for _ in 0..10 {
        writer.write_all(b"INSERT s 1\n").unwrap();
        assert!(writer.read(&mut reply).unwrap() > 0);
        let held = served.disk.hold();
        writer.write_all(b"INSERT s 2\n").unwrap();
        let begun = std::time::Instant::now();
        while !served.state.commits.is_under_way() {
            assert!(begun.elapsed().as_secs() < 60, "nobody commits");
            std::thread::yield_now();
        }
        assert!(served.ask("PING").contains("PONG"));
        drop(held);
        assert!(writer.read(&mut reply).unwrap() > 0 && reply.starts_with(b"OK"));
    }
    served.stop();
}

/// Single points are gathered with those of other connections, other writes are not.
#[test]
fn what_one_connection_writes_stays_in_its_order() {
    let served = Served::start(1000);
    let batch = |value: u8| {
        let data = format!("{{\"series\":\"s\",\"timestamps_ns\":[5],\"values\":[{value}]}}");
        format!("{{\"type\":\"BatchInsert\",\"data\":{data}}}\n")
    };
    let seen = || served.ask("QUERY_RANGE s 0 9");
    served.exchange(&format!("INSERT_AT s 5 1\n{}", batch(2)));
    assert!(seen().contains("5 2"), "{}", seen());
    served.exchange(&format!("{}INSERT_AT s 5 4\n", batch(3)));
    assert!(seen().contains("5 4"), "{}", seen());
    served.exchange(&format!("INSERT_AT s 5 1\n{}INSERT_AT s 5 6\nDROP s\n", batch(5)));
    assert!(seen().contains("SERIES_NOT_FOUND"), "{}", seen());
    served.stop();
}

#[test]
fn everyone_hears_of_their_own_points_however_they_are_gathered() {
    let served = Served::start(1000);
    assert!(served.ask("CREATE t 2").starts_with("OK"));
    let write = |whose: usize| {
        for round in 0..20 {
            // Of all kinds: to their own time, to the server's, and some that are refused.
            let line = |at: usize| match at % 4 {
                0 => (
                    format!("INSERT_AT s {whose}{round:02}{at:02} 1\n"),
                    format!("OK 0 {whose}{round:02}{at:02}"),
                ),
                1 => (
                    format!("INSERT_AT t {whose}{round:02}{at:02} 1,2\n"),
                    format!("OK 0 {whose}{round:02}{at:02}"),
                ),
                2 => ("INSERT s 1\n".to_owned(), "OK 0 ".to_owned()),
                _ => ("INSERT t 1\n".to_owned(), "ERR DIMENSION_MISMATCH".to_owned()),
            };
            let lines: Vec<(String, String)> = (0..40).map(line).collect();
            let replies = served.exchange(&lines.iter().map(|line| line.0.as_str()).collect::<String>());
            assert_eq!(replies.lines().count(), lines.len(), "{replies}");
            for (reply, (line, expected)) in replies.lines().zip(&lines) {
                assert!(reply.starts_with(expected), "{reply} for {line}");
            }
        }
    };
    std::thread::scope(|scope| {
        for whose in 1..5 {
            scope.spawn(move || write(whose));
        }
    });
    let counted = served.engine.totals(&Deadline::none()).unwrap().points;
    assert_eq!(counted, 4 * 20 * 30);
    served.stop();
}

#[test]
fn a_panic_in_a_background_thread_is_told_to_writers_ready_and_the_log() {
    log_everything();
    for thread in ["tsdb-commit", "tsdb-flush", "tsdb-compact"] {
        let served = Served::start(2);
        served.disk.panic_in(thread, 3);
        // Enough for a memtable each time.
        let lines = "INSERT s 1\n".repeat(8);
        let begun = std::time::Instant::now();
        let mut acknowledged = 0;
        while served.disk.will_panic() {
            assert!(begun.elapsed().as_secs() < 60, "no panic comes to {thread}");
            let replies = served.exchange(&lines);
            let refused = replies.matches("ERR READ_ONLY").count();
            assert_eq!(replies.matches("OK").count() + refused, 8, "everyone gets an answer: {replies}");
            acknowledged += replies.matches("OK").count();
        }
        served.has_stopped_writing(acknowledged);
    }
}

#[test]
fn a_panic_in_maintenance_that_changes_the_database_stops_writing() {
    log_everything();
    let served = Served::start(2);
    assert!(served.ask("INSERT s 1").starts_with("OK"));
    served.disk.panic_in("maintenance", 2);
    let failed = served.ask("FLUSH");
    assert!(failed.starts_with("ERR READ_ONLY") && failed.contains("simulated panic"), "{failed}");
    served.has_stopped_writing(1);
}

#[test]
fn a_panic_of_a_reader_is_its_own_answer_and_writing_goes_on() {
    // No compaction reads the blocks first, so that they would be in the cache.
    let served = Served::start(1000);
    let lines: String = (0..200).map(|value| format!("INSERT s {}\n", value % 7)).collect();
    assert_eq!(served.exchange(&lines).matches("OK").count(), 200);
    for (thread, request) in
        [("analytics", "ANOMALY s 16 1"), ("maintenance", "SAVE x"), ("tokio", "QUERY s")]
    {
        assert!(served.ask("FLUSH").starts_with("OK"));
        served.disk.panic_in(thread, 0);
        let failed = served.ask(request);
        assert!(
            failed.starts_with("ERR INTERNAL") && failed.contains("simulated panic"),
            "{request}: {failed}"
        );
        assert!(!served.disk.will_panic());
        assert!(served.ask(request).starts_with("OK"), "{request} works the next time");
        assert!(served.ready().starts_with("HTTP/1.1 200"));
        assert!(served.ask("INSERT s 1").starts_with("OK"));
    }
    served.stop();
}
