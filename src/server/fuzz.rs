//! What the fuzzer does with a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::connection;
use super::settings::Settings;
use super::state::State;
use crate::base::ManualClock;
use crate::engine::{Engine, Options};
use crate::vfs::SimDisk;

/// With a thread of its own, as exports want it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});

/// A client that sends the input and ends: every byte of it is answered for, the
/// connection ends, and how the bytes were cut into pieces makes no difference to the
/// answer. The first byte chooses the pieces.
pub fn connection(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let whole = answer(input, usize::MAX);
    let pieces = answer(input, usize::from(choice).max(1));
    // What tells of time or of the connection itself may differ.
    let differs = ["stats", "metrics", "expect"];
    let text = String::from_utf8_lossy(input).to_ascii_lowercase();
    if !differs.iter().any(|word| text.contains(word)) {
        let (whole, pieces) = (without_dates(&whole), without_dates(&pieces));
        // Hyper takes the end of what a client sends for the end of the client, and leaves
        // requests that wait without an answer.
        let is_http = whole.starts_with("HTTP/1.") || pieces.starts_with("HTTP/1.");
        let same = whole == pieces || is_http && (whole.starts_with(&pieces) || pieces.starts_with(&whole));
        assert!(same, "{pieces:?} in pieces of {choice} bytes, {whole:?} at once");
    }
}

fn without_dates(answer: &[u8]) -> String {
    let text = String::from_utf8(answer.to_vec()).expect("an answer is UTF-8");
    text.lines().filter(|line| !line.starts_with("date: ")).map(|line| format!("{line}\n")).collect()
}

/// All that a fresh server answers.
fn answer(input: &[u8], piece: usize) -> Vec<u8> {
    let settings = Settings::parse_from(["tsdb_server", "--analytics-threads", "1"]);
    let state = Arc::new(State::new(settings).unwrap());
    let options = Options { shards: 1, background: false, ..Options::new("/data") };
    let engine = Engine::open_with(Arc::new(SimDisk::new()), Arc::new(ManualClock::new(7)), options).unwrap();
    state.set_engine(engine);
    let mut out = Vec::new();
    RUNTIME.block_on(async {
        let (client, server) = duplex(64 << 10);
        let (mut reader, mut writer) = tokio::io::split(client);
        let (_stop, stopped) = watch::channel(false);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let serve = connection::serve(state.clone(), server, peer, stopped);
        let send = async {
            for part in input.chunks(piece) {
                // A server that has heard enough closes.
                if writer.write_all(part).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let receive = reader.read_to_end(&mut out);
        let ((), (), received) = tokio::join!(serve, send, receive);
        received.expect("the answer ends");
    });
    state.stop_pools();
    out
}

/// Sessions in every dialect.
pub fn seeds() -> Vec<Vec<u8>> {
    let post =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{\"type\":\"Ping\"}\r\n0\r\n\r\n";
    let create = r#"{"type":"CreateSeries","data":{"name":"a","dimension":1}}"#;
    let insert = r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1,2],"values":[5,-6]}}"#;
    let query = r#"{"type":"Query","id":7,"timestamps":"string","data":{"series":"a"}}"#;
    let sessions = [
        "CREATE a 2\nINSERT_AT a 5 1,2 k=v\nINSERT a 3,4\nQUERY_RANGE a 0 9\nSIMILAR a 1,2 3\nDELETE_RANGE a 0 9\nDROP a\nLIST\n"
            .to_owned(),
        "CREATE a 1\r\nINSERT_AT a 1 1\r\nFLUSH\r\nSAVE x\r\nLOAD x\r\nEXPORT a\r\nSTATS a\r\nANOMALY a 3 1\r\nQUIT\r\nPING\r\n".into(),
        format!("{create}\n{insert}\n{query}\nPING"),
        [post(create), post(insert), post(query)].concat(),
        format!("{chunked}GET /ready HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n"),
        "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text\r\n\r\n".into(),
        "POST / HTTP/1.1\r\nOrigin: http://x\r\nContent-Length: 2\r\n\r\n{}".into(),
        "\u{16}\u{3}\u{1}\0".into(),
        "GET /heal".into(),
    ];
    sessions.iter().enumerate().map(|(at, text)| [&[at as u8 + 3], text.as_bytes()].concat()).collect()
}
