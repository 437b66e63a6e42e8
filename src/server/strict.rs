//! The stream below HTTP: only requests with one reading go up, and a client that does
//! not read what it asked for is left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::protocol::Framing;

use super::budget::Reserved;
use super::sending::{Rest, goes_on, next_look};
use super::state::State;

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;
/// What stands in for a head that is refused: no HTTP at all, so that it is answered
/// with 400 and the connection closed.
const NO_HEAD: &[u8] = b"?\r\n\r\n";
/// What stands in for a chunk that is refused.
const NO_CHUNK: &[u8] = b"?";

/// A stream of requests without doubt, which must also be read in time.
pub(super) struct Strict<S> {
    inner: S,
    framing: Framing,
    read: Box<[u8]>,
    passed: Vec<u8>,
    taken: usize,
    is_broken: bool,
    state: Arc<State>,
    /// What is not rendered yet of the reply that is sent.
    rest: Rest,
    /// Runs from when the other end reads too little until all that waits is sent.
    stalled: Option<Stalled>,
}

/// Nothing is read.
struct Stalled {
    since: Instant,
    next_look: Pin<Box<Sleep>>,
    reserved: Option<Reserved>,
}

impl<S> Strict<S> {
    /// What waits to be sent, before `rest`, has as long as a request until it is taken.
    pub fn new(inner: S, state: Arc<State>, rest: Rest) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            read: vec![0; READ_BYTES].into_boxed_slice(),
            passed: Vec::new(),
            taken: 0,
            is_broken: false,
            state,
            rest,
            stalled: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let rest = this.passed.get(this.taken..).unwrap_or_default();
            if !rest.is_empty() {
                let n = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..n]);
                this.taken += n;
                return Poll::Ready(Ok(()));
            }
            this.passed.clear();
            this.taken = 0;
            if this.is_broken {
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Err(violation) = this.framing.pass(read.filled(), &mut this.passed) {
                tracing::debug!(violation, "an HTTP request was refused");
                this.is_broken = true;
                let stand_in = if this.framing.is_in_head() { NO_HEAD } else { NO_CHUNK };
                this.passed.extend_from_slice(stand_in);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Strict<S> {
    /// The same, or an error where the other end takes too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_pending() {
            let patience = self.state.request_timeout();
            let sleep = |stalled| Box::pin(tokio::time::sleep(next_look(stalled, patience)));
            let stalled = self.stalled.get_or_insert_with(|| Stalled {
                since: Instant::now(),
                next_look: sleep(Duration::ZERO),
                reserved: None,
            });
            while stalled.next_look.as_mut().poll(cx).is_ready() {
                let since = stalled.since.elapsed();
                let mut rest = self.rest.lock();
                let (replies, reserved) = (&self.state.replies, &mut stalled.reserved);
                if !goes_on(since, patience, replies, rest.as_mut(), reserved) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                stalled.next_look = sleep(since);
            }
        }
        sent
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.in_time(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_flush(cx);
        if sent.is_ready() {
            self.stalled = None;
        }
        self.in_time(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.in_time(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.in_time(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
