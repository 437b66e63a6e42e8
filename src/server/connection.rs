//! From an accepted socket to the dialect that it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::base::{Error, ErrorCode};
use crate::protocol::{Envelope, Renderer, Sniff, sniff};

use super::auth::Caller;
use super::http::{self, Routes};
use super::lines;
use super::rewind::Rewind;
use super::state::State;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that is refused may take to show what it speaks.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
/// First byte of every version of TLS.
const TLS_MAJOR: u8 = 3;
/// The alert `handshake_failure` of TLS (RFC 8446, section 6).
const TLS_REFUSAL: [u8; 7] = [0x15, TLS_MAJOR, 3, 0, 2, 2, 40];

/// Serves one connection until it ends.
pub(super) async fn serve<S>(state: Arc<State>, stream: S, peer: SocketAddr, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut stream = stream;
    let caller = Caller::new(peer);
    let Some((first, kind)) = look(&state, &mut stream, stop.clone()).await else { return };
    match (kind, &state.tls) {
        (Sniff::Tls, Some(tls)) => {
            let handshake = tls.acceptor().accept(Rewind::new(first, stream));
            let mut stream = match timeout(HANDSHAKE_TIMEOUT.min(state.request_timeout()), handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => return tracing::info!(%peer, error = %e, "a TLS handshake failed"),
                Err(_) => return tracing::info!(%peer, "a TLS handshake took too long"),
            };
            let Some((first, kind)) = look(&state, &mut stream, stop.clone()).await else { return };
            dispatch(state, stream, caller, first, kind, stop).await;
        }
        (_, Some(tls)) if tls.is_mutual() => {
            let error = Error::new(
                ErrorCode::Unauthorized,
                "this server wants TLS and a certificate of its clients; connect with TLS",
            );
            tell(stream, &first, 401, error).await;
        }
        // As text, a greeting without a line's end would wait for ever.
        (Sniff::Tls, None) if first.get(1) == Some(&TLS_MAJOR) => {
            let told = async {
                stream.write_all(&TLS_REFUSAL).await?;
                stream.shutdown().await
            };
            // The connection ends either way.
            let _ = timeout(REFUSAL_TIMEOUT, told).await;
            tracing::debug!(
                "a client spoke TLS, which is not configured; set TSDB_TLS_CERT and TSDB_TLS_KEY"
            );
        }
        _ => dispatch(state, stream, caller, first, kind, stop).await,
    }
}

async fn dispatch<S>(
    state: Arc<State>,
    stream: S,
    caller: Caller,
    first: Vec<u8>,
    kind: Sniff,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match kind {
        Sniff::Http => http::serve(state, Rewind::new(first, stream), caller, Routes::All, stop).await,
        _ => lines::serve(state, stream, caller, first, stop).await,
    }
}

/// Reads until the dialect is clear; `None` where the connection ends before.
async fn look<S: AsyncRead + Unpin>(
    state: &State,
    stream: &mut S,
    mut stop: watch::Receiver<bool>,
) -> Option<(Vec<u8>, Sniff)> {
    let mut first = Vec::with_capacity(4 << 10);
    let mut began = None;
    loop {
        match sniff(&first) {
            Sniff::NeedMore => {}
            kind => return Some((first, kind)),
        }
        let wait = match (first.is_empty(), state.settings.idle_timeout) {
            // The first line has one deadline, however slowly it comes.
            (false, _) => {
                let began: Instant = *began.get_or_insert_with(Instant::now);
                state.request_timeout().saturating_sub(began.elapsed())
            }
            (true, 0) => Duration::MAX,
            (true, seconds) => Duration::from_secs(seconds),
        };
        let read = tokio::select! {
            read = timeout(wait, stream.read_buf(&mut first)) => read.ok()?.ok()?,
            _ = stop.changed() => return None,
        };
        if read == 0 {
            // A short line without its end may be all there is.
            return (!first.is_empty()).then_some((first, Sniff::Lines));
        }
        state.metrics.received_bytes.inc_by(read as u64);
    }
}

/// Tells a connection, in its own dialect, why it is not served.
pub(super) async fn refuse(mut stream: TcpStream, reason: String) {
    let mut first = Vec::with_capacity(1 << 10);
    // Who stays silent is answered in text.
    let _ = timeout(REFUSAL_TIMEOUT, stream.read_buf(&mut first)).await;
    tell(stream, &first, 503, Error::new(ErrorCode::LimitExceeded, reason)).await;
}

/// Answers, in the dialect of its first bytes, a connection that is then closed.
async fn tell(mut stream: impl AsyncWrite + Unpin, first: &[u8], status: u16, error: Error) {
    let kind = sniff(first);
    let json = kind == Sniff::Http || first.trim_ascii_start().first() == Some(&b'{');
    let body =
        Renderer::new(Envelope { json, ..Envelope::default() }, Err(error)).render().unwrap_or_default();
    let mut answer = Vec::new();
    if kind == Sniff::Http {
        let length = body.len();
        answer.extend_from_slice(
            format!(
                "HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            )
            .as_bytes(),
        );
    }
    answer.extend_from_slice(&body);
    // The connection ends either way.
    let _ = timeout(REFUSAL_TIMEOUT, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    })
    .await;
}
