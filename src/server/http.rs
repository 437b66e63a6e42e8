//! A connection that speaks HTTP/1.1: the JSON dialect as `POST /`, and the routes
//! that orchestrators and Prometheus ask for.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};

use crate::base::{Error, ErrorCode, Result};
use crate::protocol::{Command, Envelope, Renderer, Reply, http_status, parse_json};

use super::auth::{Caller, Role};
use super::budget::Reserved;
use super::metrics::as_prometheus;
use super::sending::{PIECE_BYTES, Rest, Sending};
use super::state::State;
use super::strict::Strict;
use super::write::{is_write, memory_bytes};

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Which routes a port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routes {
    /// All.
    All,
    /// Those for orchestrators and Prometheus.
    Monitoring,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(
    state: Arc<State>,
    stream: S,
    caller: Caller,
    routes: Routes,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // Requests of a connection come one after the other.
    let caller = Arc::new(Mutex::new(caller));
    let rest = Rest::default();
    let service = service_fn(|request| {
        let (state, rest, caller) = (state.clone(), rest.clone(), caller.clone());
        async move {
            let mut caller = caller.lock().await;
            let mut answer = route(&state, &rest, &mut caller, request, routes).await;
            if caller.is_hopeless() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    // Who has sent everything and says so still wants its answers.
    builder.half_close(true);
    // What is rendered ahead of the reader, and the longest head.
    builder.max_buf_size(PIECE_BYTES);
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT.min(state.request_timeout()));
    let stream = Strict::new(stream, state.clone(), rest.clone());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A broken connection has nobody to tell.
        _ = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A reply, rendered as fast as it is read.
struct ReplyBody {
    first: Vec<u8>,
    rest: Rest,
    state: Arc<State>,
    /// The wait for the next turn.
    turn: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        *self.rest.lock() = None;
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first).into()))));
        }
        let this = &mut *self;
        if this.rest.lock().is_none() {
            return Poll::Ready(None);
        }
        let turn = this.turn.get_or_insert_with(|| Box::pin(this.state.turn()));
        let _turn = ready!(turn.as_mut().poll(cx));
        this.turn = None;
        let mut chunk = Vec::new();
        let mut rest = this.rest.lock();
        let Some(sending) = &mut *rest else { return Poll::Ready(None) };
        match sending.renderer.fill(&mut chunk, PIECE_BYTES) {
            Ok(true) => *rest = None,
            Ok(false) => {}
            Err(e) => {
                tracing::error!(error = %e, "a reply broke off");
                *rest = None;
                return Poll::Ready(Some(Err(e)));
            }
        }
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk.into()))))
    }
}

type Answer = Response<Either<ReplyBody, Full<Bytes>>>;

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Right(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Answers with what a request came to; what is not rendered at once is in `rest`.
fn reply(
    state: &Arc<State>,
    rest: &Rest,
    envelope: Envelope,
    result: Result<Reply>,
    reserved: Option<Reserved>,
) -> Answer {
    let status = match &result {
        Ok(_) => StatusCode::OK,
        Err(e) => StatusCode::from_u16(http_status(e.code())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let mut renderer = Renderer::new(Envelope { json: true, ..envelope.clone() }, result);
    let mut first = Vec::new();
    // A short reply has a length; a long one is streamed.
    let body = match renderer.fill(&mut first, PIECE_BYTES) {
        Ok(true) => Either::Right(Full::new(first.into())),
        Ok(false) => {
            *rest.lock() = Some(Sending { renderer, reserved });
            Either::Left(ReplyBody { first, rest: rest.clone(), state: state.clone(), turn: None })
        }
        // Nothing was sent yet.
        Err(e) => return reply(state, rest, envelope, Err(e), None),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn refuse(state: &Arc<State>, error: Error) -> Answer {
    reply(state, &Rest::default(), Envelope::default(), Err(error), None)
}

/// Refuses a method that a path has no use for, and names those that it has.
fn not_allowed(state: &Arc<State>, message: String, allowed: &'static str) -> Answer {
    let mut answer = refuse(state, Error::invalid(message));
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The token of the request, if it has one.
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn has_header<B>(request: &Request<B>, name: hyper::header::HeaderName, part: &str) -> bool {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.to_ascii_lowercase().contains(part))
}

/// Whether the body is said to be JSON, and nothing else.
fn is_json<B>(request: &Request<B>) -> bool {
    let mut types = request.headers().get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(JSON)
}

/// Whether the request was sent to an address or to localhost: names that nobody's name
/// server can give to another machine.
fn is_host_literal<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host().to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

/// What a request with a token does before its own work.
async fn log_in<B>(state: &State, caller: &mut Caller, request: &Request<B>) -> Result<()> {
    // Each request shows its own token or none.
    caller.log_out();
    let Some(token) = bearer(request).filter(|_| state.auth.is_on()) else { return Ok(()) };
    let command = Command::Auth { token: token.to_owned() };
    state.log_in(caller, token, &command).await.map(drop)
}

async fn route(
    state: &Arc<State>,
    rest: &Rest,
    caller: &mut Caller,
    request: Request<Incoming>,
    routes: Routes,
) -> Answer {
    let path = request.uri().path();
    let readable = matches!(*request.method(), Method::GET | Method::POST | Method::HEAD);
    let open = matches!(path, "/health" | "/ready");
    if !open && let Err(e) = log_in(state, caller, &request).await {
        return refuse(state, e);
    }
    match path {
        "/health" | "/ready" | "/metrics" if !readable => {
            not_allowed(state, format!("{} {path}: use GET or POST", request.method()), "GET, HEAD, POST")
        }
        "/health" => text(StatusCode::OK, TEXT, "ok\n"),
        "/ready" => match state.trouble() {
            None => {
                let damage = state.damage().map_or_else(String::new, |damage| format!("{damage}\n"));
                text(StatusCode::OK, TEXT, format!("ready\n{damage}"))
            }
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
        },
        "/metrics" => {
            if let Err(e) = caller.require(&state.auth, Role::Read, "/metrics") {
                return refuse(state, e);
            }
            let wants_open = has_header(&request, ACCEPT, "application/openmetrics-text");
            let content_type = if wants_open { OPENMETRICS } else { PROMETHEUS };
            let metrics = state.render_metrics();
            text(StatusCode::OK, content_type, if wants_open { metrics } else { as_prometheus(&metrics) })
        }
        "/" if routes == Routes::All && request.method() == Method::POST => {
            post(state, rest, caller, request).await
        }
        "/" if routes == Routes::All => {
            let message = format!("{} /: send one JSON request as the body of POST /", request.method());
            not_allowed(state, message, "POST")
        }
        _ => {
            let known = match routes {
                Routes::All => "POST /, GET /health, GET /ready and GET /metrics",
                Routes::Monitoring => "GET /metrics, GET /health and GET /ready",
            };
            let mut answer =
                refuse(state, Error::invalid(format!("there is nothing at {path}; there are {known}")));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    }
}

async fn post(state: &Arc<State>, rest: &Rest, caller: &mut Caller, request: Request<Incoming>) -> Answer {
    let has_token = bearer(&request).is_some();
    // A page of another site can make a browser send any text, but it can't call it
    // JSON without asking first.
    let from_page =
        request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site");
    let trusted = has_token || is_json(&request);
    // A name in the Host header may have been made to lead here by the page's own server,
    // which makes its scripts no strangers to the browser.
    if from_page && !(has_token || is_json(&request) && is_host_literal(&request)) {
        return refuse(
            state,
            Error::invalid(
                "a request from a web page must have a token; or Content-Type: application/json, and an address or \
             localhost as its host",
            ),
        );
    }
    let bytes_max = state.settings.max_line_bytes as usize;
    let too_large = || {
        refuse(
            state,
            Error::new(
                ErrorCode::TooLarge,
                format!(
                    "the body has more than {bytes_max} bytes; send smaller batches, or raise TSDB_MAX_LINE_BYTES"
                ),
            ),
        )
    };
    let announced = request.body().size_hint();
    if announced.lower() > bytes_max as u64 {
        return too_large();
    }
    let expected = announced.upper().unwrap_or(bytes_max as u64);
    let reserved = match state.reserve_request(expected).await {
        Ok(reserved) => reserved,
        Err(e) => return refuse(state, e),
    };
    let body = Limited::new(request.into_body(), bytes_max).collect();
    let body = match tokio::time::timeout(state.request_timeout(), body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => return too_large(),
        Ok(Err(e)) => {
            return refuse(
                state,
                Error::new(ErrorCode::ParseError, format!("the body could not be read: {e}")),
            );
        }
        Err(_) => {
            return refuse(
                state,
                Error::new(ErrorCode::Timeout, "the body did not arrive in time; send it faster"),
            );
        }
    };
    state.metrics.received_bytes.inc_by(body.len() as u64);
    let parsed = parse_json(&body);
    drop((body, reserved));
    let command = match parsed.command.and_then(|command| {
        state.admit(caller, &command)?;
        if !trusted && Role::needed_for(&command).is_some_and(|role| role > Role::Read) {
            return Err(Error::invalid(format!(
                "{} over HTTP must have Content-Type: application/json or a token, so that no web page can send it \
                 unasked; with curl: -H 'Content-Type: application/json'",
                command.name()
            )));
        }
        Ok(command)
    }) {
        Ok(command) => command,
        Err(e) => {
            state.metrics.observe_unparsed(e.code());
            return reply(state, rest, parsed.envelope, Err(e), None);
        }
    };
    if is_write(&command) {
        // For as long as it waits for its commit.
        let _reserved = match state.reserve_request(memory_bytes(&command) as u64).await {
            Ok(reserved) => reserved,
            Err(e) => return reply(state, rest, parsed.envelope, Err(e), None),
        };
        let result = state.write(caller, command).await;
        return reply(state, rest, parsed.envelope, result, None);
    }
    let (result, reserved) = state.answer(caller, command).await;
    reply(state, rest, parsed.envelope, result, reserved)
}
