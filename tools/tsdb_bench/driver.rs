//! The load: connections × requests in flight, the same for every subject.
//!
//! All bytes are made before the clock starts. A connection is refilled, with one write,
//! when half of its window is free; or, in bursts, when the last reply has come.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Result;
use crate::framing::{Found, Framer, Framing};
use crate::latency::Latency;

/// Longer than any reply takes.
const PATIENCE: Duration = Duration::from_mins(2);
const READ_BYTES: usize = 256 << 10;

/// Requests of one connection, back to back.
#[derive(Debug, Default)]
pub struct Requests {
    pub bytes: Vec<u8>,
    /// Where each request ends.
    pub ends: Vec<usize>,
}

impl Requests {
    /// Appends the request that `encode` writes.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn range(&self, requests: Range<usize>) -> Range<usize> {
        let end = |request: usize| if request == 0 { 0 } else { self.ends[request - 1] };
        end(requests.start)..end(requests.end)
    }
}

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Each request once.
    Sent,
    /// All over again until then.
    Elapsed(Duration),
}

/// What to send, and how.
#[derive(Debug)]
pub struct Load<'a> {
    pub address: SocketAddr,
    pub framing: Framing,
    /// Replies to one request.
    pub replies_each: u64,
    /// One a connection.
    pub requests: &'a [Requests],
    /// Most requests in flight on a connection.
    pub pipeline: usize,
    /// Whether all replies are waited for before the next requests.
    pub bursts: bool,
    pub threads: usize,
    pub until: Until,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub elapsed: Duration,
    pub requests: u64,
    pub rows: u64,
    pub latency: Latency,
}

/// Drives the load to its end.
///
/// # Errors
/// Where a connection breaks, a reply is an error, or none comes.
pub fn drive(load: &Load) -> Result<Outcome> {
    let threads = load.threads.clamp(1, load.requests.len());
    let mut links: Vec<Vec<Link>> = (0..threads).map(|_| Vec::new()).collect();
    for (at, requests) in load.requests.iter().enumerate() {
        links[at % threads].push(Link::open(load, requests)?);
    }
    let barrier = Barrier::new(threads);
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = links
            .into_iter()
            .map(|links| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    drive_some(load, links)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread of the load generator failed")?)
            .collect::<Result<Vec<Outcome>>>()
    })?;
    let mut all = Outcome { elapsed: Duration::ZERO, requests: 0, rows: 0, latency: Latency::new() };
    for outcome in outcomes {
        all.elapsed = all.elapsed.max(outcome.elapsed);
        all.requests += outcome.requests;
        all.rows += outcome.rows;
        all.latency.add(&outcome.latency);
    }
    Ok(all)
}

/// One connection.
struct Link<'a> {
    stream: TcpStream,
    requests: &'a Requests,
    framer: Framer,
    /// Requests given to the connection so far.
    begun: usize,
    /// Bytes of them that the socket did not take yet.
    unwritten: Range<usize>,
    /// When those without an answer were sent.
    in_flight: VecDeque<Instant>,
    /// Replies to the oldest of them that have come.
    replies: u64,
}

impl<'a> Link<'a> {
    fn open(load: &Load, requests: &'a Requests) -> Result<Self> {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            requests,
            framer: Framer::new(load.framing),
            begun: 0,
            unwritten: 0..0,
            in_flight: VecDeque::with_capacity(load.pipeline),
            replies: 0,
        })
    }

    /// Fills the window where half of it is free, and writes what the socket takes.
    fn send(&mut self, load: &Load, stopped: bool) -> Result<()> {
        let count = self.requests.ends.len();
        let low_water = if load.bursts { 0 } else { load.pipeline / 2 };
        while self.unwritten.is_empty() && !stopped && self.in_flight.len() <= low_water {
            let first = match load.until {
                Until::Sent => self.begun,
                Until::Elapsed(_) => self.begun % count,
            };
            let more = (load.pipeline - self.in_flight.len()).min(count - first);
            if more == 0 {
                break;
            }
            self.unwritten = self.requests.range(first..first + more);
            let now = Instant::now();
            self.in_flight.extend(std::iter::repeat_n(now, more));
            self.begun += more;
            self.write()?;
        }
        if !self.unwritten.is_empty() {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.requests.bytes[self.unwritten.clone()]) {
                Ok(written) => self.unwritten.start += written,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn read(&mut self, load: &Load, buffer: &mut [u8], outcome: &mut Outcome) -> Result<()> {
        let length = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let mut found = Found::default();
        self.framer.feed(&buffer[..length], &mut found)?;
        outcome.rows += found.rows;
        self.replies += found.replies;
        let now = Instant::now();
        while self.replies >= load.replies_each {
            self.replies -= load.replies_each;
            let sent = self.in_flight.pop_front().ok_or("a reply came without a request")?;
            outcome.latency.record(now - sent);
            outcome.requests += 1;
        }
        Ok(())
    }

    fn is_idle(&self, load: &Load, stopped: bool) -> bool {
        let all_begun = match load.until {
            Until::Sent => self.begun == self.requests.ends.len(),
            Until::Elapsed(_) => stopped,
        };
        all_begun && self.in_flight.is_empty()
    }

    fn interest(&self) -> PollFlags {
        if self.unwritten.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }
}

fn drive_some(load: &Load, mut links: Vec<Link>) -> Result<Outcome> {
    let mut buffer = vec![0; READ_BYTES];
    let mut outcome = Outcome { elapsed: Duration::ZERO, requests: 0, rows: 0, latency: Latency::new() };
    let mut ready = Vec::with_capacity(links.len());
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let started = Instant::now();
    let mut stopped = false;
    for link in &mut links {
        link.send(load, stopped)?;
    }
    while !links.iter().all(|link| link.is_idle(load, stopped)) {
        let mut waiting: Vec<PollFd> =
            links.iter().map(|link| PollFd::new(&link.stream, link.interest())).collect();
        if poll(&mut waiting, Some(&patience))? == 0 {
            return Err(format!("no reply came for {PATIENCE:?}").into());
        }
        ready.clear();
        ready.extend(waiting.iter().map(PollFd::revents));
        if let Until::Elapsed(time) = load.until {
            stopped = started.elapsed() >= time;
        }
        for (link, flags) in links.iter_mut().zip(&ready) {
            if flags.is_empty() {
                continue;
            }
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                link.read(load, &mut buffer, &mut outcome)?;
            }
            link.send(load, stopped)?;
        }
    }
    outcome.elapsed = started.elapsed();
    Ok(outcome)
}

/// Sends bytes on a connection of their own, and gives back those of `replies` replies.
pub fn exchange(address: SocketAddr, framing: Framing, request: &[u8], replies: u64) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    let (mut framer, mut found) = (Framer::new(framing), Found::default());
    while found.replies < replies {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("the server closed the connection before its reply".into());
        }
        framer.feed(&buffer[..length], &mut found)?;
        answer.extend_from_slice(&buffer[..length]);
    }
    Ok(answer)
}
