//! Clients that send a small request every millisecond while something else goes on, and
//! say how long the answers took.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::latency::Latency;

/// From an answer to the next request.
const PAUSE: Duration = Duration::from_millis(1);

/// The series that [`INSERT`] writes to; it must exist.
pub const WATCHED: &str = "watched";
/// A durable write of a point.
pub const INSERT: &str = "INSERT watched 1\n";
/// Nothing but the way there and back.
pub const PING: &str = "PING\n";

/// Does something while each of some requests (one line, answered by one line) is sent again
/// and again on a connection of its own.
pub fn watched<T, const N: usize>(
    address: SocketAddr,
    requests: [&str; N],
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, [Latency; N])> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watches = requests.map(|request| scope.spawn(|| watch(address, request, &done)));
        let result = work();
        done.store(true, Ordering::Relaxed);
        let latencies = watches.into_iter().map(|watch| watch.join().map_err(|_| "a watch failed")?);
        let latencies: Vec<Latency> = latencies.collect::<Result<_>>()?;
        Ok((result?, latencies.try_into().map_err(|_| "as many watches as requests")?))
    })
}

fn watch(address: SocketAddr, request: &str, done: &AtomicBool) -> Result<Latency> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut latency, mut line) = (Latency::new(), String::new());
    while !done.load(Ordering::Relaxed) {
        let sent = Instant::now();
        stream.write_all(request.as_bytes())?;
        line.clear();
        reader.read_line(&mut line)?;
        latency.record(sent.elapsed());
        if !(line.starts_with("OK ") || line.starts_with("PONG")) {
            return Err(format!("the server answered '{}'", line.trim_end()).into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(latency)
}
