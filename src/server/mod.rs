//! The server: sockets in front of the engine.
//!
//! `connection` looks at the first bytes of a socket and hands it to `lines` (text
//! and JSON) or `http`, inside TLS or not. Both turn requests into commands with
//! `protocol` and have `state` answer them: writes go to the engine's group commits
//! (`write`, `commit`, `plan`), small reads are answered in place, big reads, analytics and
//! maintenance each by a bounded pool of their own (`read`, `pool`), so that a long
//! computation never holds up an insert. `watches` keeps profiles while points come.

mod analysis;
mod answers;
mod audit;
mod auth;
mod budget;
mod burst;
mod commit;
mod connection;
mod data_file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod lines;
mod metrics;
mod plan;
mod pool;
mod read;
mod rewind;
mod running;
mod sending;
mod settings;
mod similar;
mod state;
mod strict;
mod tls;
mod watches;
mod write;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::base::{Deadline, Error, ErrorCode, Result};
use crate::engine::Engine;

use auth::Caller;
pub use settings::{RecoverSetting, Settings};
use state::State;
use tls::Tls;

/// The server's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Default of the port, for servers and clients.
const PORT_DEFAULT: u16 = 6380;
/// Default of the second port, for monitoring.
const METRICS_PORT_DEFAULT: u16 = 9091;
/// How long connections may take to finish at a stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long the listener waits where a connection could not be accepted.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Connections that may be told at a time that there are too many.
const REFUSALS_MAX: usize = 64;

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or a log that could not be synced at the end.
pub fn run(mut settings: Settings) -> Result<()> {
    // The other half is for logs and segments, which must never lack one.
    let connections_max = usize::try_from(raise_file_limit() / 2).unwrap_or(usize::MAX).max(1);
    if settings.max_connections > connections_max {
        tracing::warn!(
            "TSDB_MAX_CONNECTIONS={} is more than half of the files that this process may open; it is {connections_max} \
             now: raise the limit of open files (`ulimit -n`)",
            settings.max_connections
        );
        settings.max_connections = connections_max;
    }
    // One waits for the disk at times, another looks after the sockets then.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|e| Error::internal(format!("the server could not start: {e}")))?;
    let state = Arc::new(State::new(settings)?);
    let (watched, handle) = (state.clone(), runtime.handle().clone());
    std::thread::Builder::new()
        .name("sockets".to_owned())
        .spawn(move || watched.commits.watch(&handle))
        .map_err(|e| Error::internal(format!("the server could not start: {e}")))?;
    let result = runtime.block_on(serve(state));
    // What is still at work was told to stop; it does not hold up the exit.
    runtime.shutdown_background();
    result
}

/// Segments are kept open, connections are many: take all descriptors there are, and
/// say how many.
fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %e, "the limit of open files could not be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

async fn bind(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut last = None;
    for address in lookup_host((host, port)).await? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("the name has no address")))
}

async fn serve(state: Arc<State>) -> Result<()> {
    let settings = &state.settings;
    let cannot = |what: &str, e: &dyn std::fmt::Display| Error::internal(format!("{what}: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| cannot("SIGTERM", &e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| cannot("SIGINT", &e))?;
    let hang_up = signal(SignalKind::hangup()).map_err(|e| cannot("SIGHUP", &e))?;

    let mut opening = open(state.clone())?;
    let listener = match bind(&settings.host, settings.port).await {
        Ok(listener) => listener,
        Err(e) => {
            // A second server on one directory should hear of the directory first.
            if let Ok(Ok(Err(locked))) = timeout(Duration::from_secs(1), &mut opening).await {
                return Err(locked);
            }
            return Err(Error::invalid(format!(
                "can't listen on {}:{}: {e}; choose another --host or --port",
                settings.host, settings.port
            )));
        }
    };
    let address = listener.local_addr().map_err(|e| cannot("the socket", &e))?;
    let (stop, stopped) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(settings.max_connections));
    tokio::spawn(accept(state.clone(), listener, connections.clone(), stopped.clone()));
    tokio::spawn(reload(state.clone(), hang_up));

    let engine = tokio::select! {
        opened = &mut opening => opened.unwrap_or_else(|_| Err(Error::internal("opening the database failed")))?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    state.set_engine(engine.clone());
    state.start_watches()?;
    let metrics = monitor(&state, stopped).await?;
    let auto_save = tokio::spawn(data_file::keep(state.clone()));
    announce(&state, &engine, address, metrics);
    state.audit.server("start", &Ok(()));

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    auto_save.abort();
    // Everyone who listens has a receiver; nobody may be left.
    let _ = stop.send(true);
    let all = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
    let finished = timeout(STOP_GRACE, connections.acquire_many(all)).await.is_ok();
    let closing = tokio::task::spawn_blocking({
        let state = state.clone();
        move || {
            state.stop_pools();
            if let Some(path) = &state.settings.data_file {
                data_file::save(&engine, path, &state.data_file_is_unread, &Deadline::none());
            }
            engine.close()
        }
    });
    tokio::select! {
        closed = closing => closed.unwrap_or_else(|_| Err(Error::internal("closing the database failed")))?,
        // Whoever asks twice wants out: what is acknowledged is in the logs.
        _ = terminate.recv() => return Err(Error::internal("stopped twice; not waiting for the end")),
        _ = interrupt.recv() => return Err(Error::internal("stopped twice; not waiting for the end")),
    }
    state.audit.server("stop", &Ok(()));
    tracing::info!(connections_finished = finished, "stopped");
    Ok(())
}

/// Opens the database, on a thread of its own, for it takes what it takes.
fn open(state: Arc<State>) -> Result<oneshot::Receiver<Result<Engine>>> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let settings = &state.settings;
        let opened = Engine::open(settings.engine_options()).and_then(|engine| {
            if let Some(path) = &settings.data_file {
                data_file::load(&engine, path, &state.data_file_is_unread)?;
            }
            Ok(engine)
        });
        // The server may have been stopped meanwhile.
        let _ = sender.send(opened);
    };
    std::thread::Builder::new()
        .name("open".into())
        .spawn(work)
        .map_err(|e| Error::internal(format!("no thread to open the database: {e}")))?;
    Ok(receiver)
}

/// Reads tokens and certificates again at every SIGHUP.
async fn reload(state: Arc<State>, mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        let state = state.clone();
        // Files are read on a thread that may wait; a panic there is logged.
        let _ = tokio::task::spawn_blocking(move || state.reload()).await;
    }
}

async fn accept(
    state: Arc<State>,
    listener: TcpListener,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let refuse = |stream: TcpStream, reason: String| {
        state.metrics.refused_connections.inc();
        if let Ok(permit) = refusals.clone().try_acquire_owned() {
            tokio::spawn(async move {
                connection::refuse(stream, reason).await;
                drop(permit);
            });
        }
    };
    let mut reserve = None;
    let mut told = false;
    loop {
        // Given up where there is no other descriptor left to refuse a connection with,
        // and taken again once one is free.
        reserve = reserve.or_else(reserve_descriptor);
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of descriptors, as a rule: closing connections will free some.
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error = %e, "connections can't be accepted; raise the limit of open files");
                    }
                    if reserve.take().is_some()
                        && let Ok(Ok((stream, _))) = timeout(ACCEPT_AGAIN_AFTER, listener.accept()).await
                    {
                        refuse(stream, "the server has no file descriptor left; retry later".into());
                    } else {
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                    continue;
                }
            },
            _ = stop.changed() => return,
        };
        told = false;
        prepare(&stream);
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            let connections_max = state.settings.max_connections;
            refuse(
                stream,
                format!(
                    "the server has its {connections_max} connections; close some, retry later, or raise \
                     TSDB_MAX_CONNECTIONS"
                ),
            );
            continue;
        };
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            state.metrics.connections.inc();
            let metrics = Gauged(&state);
            connection::serve(state.clone(), stream, peer, stop).await;
            drop((metrics, permit));
        });
    }
}

/// A descriptor that is kept for the time when there is no other.
fn reserve_descriptor() -> Option<OwnedFd> {
    std::io::stderr().as_fd().try_clone_to_owned().ok()
}

/// Counts a connection for as long as it lives, through a panic too.
struct Gauged<'a>(&'a State);

impl Drop for Gauged<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

fn prepare(stream: &TcpStream) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "TCP_NODELAY could not be set");
    }
}

/// Opens the second port, for monitoring. The default port may be taken; one that was
/// asked for may not.
async fn monitor(state: &Arc<State>, stop: watch::Receiver<bool>) -> Result<Option<SocketAddr>> {
    let port = state.settings.metrics_port.unwrap_or(METRICS_PORT_DEFAULT);
    if port == 0 {
        return Ok(None);
    }
    let host = &state.settings.host;
    let listener = match bind(host, port).await {
        Ok(listener) => listener,
        Err(e) if state.settings.metrics_port.is_none() => {
            tracing::warn!(port, error = %e, "no second port for metrics; set TSDB_METRICS_PORT to another one or to 0");
            return Ok(None);
        }
        Err(e) => {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "can't listen on {host}:{port} for metrics: {e}; choose another TSDB_METRICS_PORT, or 0"
                ),
            ));
        }
    };
    let address = listener.local_addr().ok();
    let state = state.clone();
    tokio::spawn(async move {
        let scrapes = Arc::new(Semaphore::new(REFUSALS_MAX));
        let mut stopping = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.changed() => return,
            };
            let (Ok((stream, peer)), Ok(permit)) = (accepted, scrapes.clone().try_acquire_owned()) else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            prepare(&stream);
            let (state, stop) = (state.clone(), stop.clone());
            tokio::spawn(async move {
                http::serve(state, stream, Caller::new(peer), http::Routes::Monitoring, stop).await;
                drop(permit);
            });
        }
    });
    Ok(address)
}

/// Tells people where everything is, and programs where the port is.
fn announce(state: &State, engine: &Engine, address: SocketAddr, metrics: Option<SocketAddr>) {
    let settings = &state.settings;
    let guarded = state.auth.is_on() || state.tls.as_ref().is_some_and(Tls::is_mutual);
    if !address.ip().is_loopback() && !guarded {
        tracing::warn!(
            "anyone who reaches {address} can read and change everything; set TSDB_AUTH_TOKEN or TSDB_AUTH_FILE"
        );
    }
    if let Some(asked) = settings.shards
        && asked != engine.shard_count()
    {
        tracing::warn!(
            "--shards {asked} (TSDB_SHARDS) has no effect: the data directory was made with {}, and keeps them; to change \
             them, SAVE, and LOAD into a new directory",
            engine.shard_count()
        );
    }
    let data_dir = std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
    let metrics = metrics.map_or_else(|| "off".to_owned(), |at| format!("http://{at}/metrics"));
    let tls = match &state.tls {
        None => "",
        Some(tls) if tls.is_mutual() => ", with TLS and a client's certificate only",
        Some(_) => ", with or without TLS",
    };
    let (shards, durability) = (engine.shard_count(), settings.durability);
    // Standard error is the log's; whoever wants only its warnings wants no banner.
    if tracing::enabled!(tracing::Level::INFO) {
        // On a full disk nobody reads it.
        let _ = writeln!(
            std::io::stderr(),
            "\nTSDB Vector {VERSION}\n  data     {} ({shards} shards, durability {durability})\n  listens  {address} \
             (text, JSON lines and HTTP{tls})\n  metrics  {metrics}\n\nIn a second terminal, for instance:\n  \
             {client} CREATE demo 1\n  {client} INSERT demo 21.5\n  {client}          (a session: HELP names all \
             commands)\n  {curl}\n",
            data_dir.display(),
            client = client_command(state, address),
            curl = curl_command(state, address),
        );
    }
    let mut out = std::io::stdout().lock();
    // Where nobody reads standard output, nobody misses the line.
    let _ = writeln!(out, "listening on {address}").and_then(|()| out.flush());
}

/// How to call the client from where the server was started.
fn client_command(state: &State, address: SocketAddr) -> String {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("tsdb_client"));
    let program = match beside.filter(|program| program.exists()) {
        Some(program) => program.display().to_string(),
        // `cargo run` builds the server alone.
        None => "cargo run --release --bin tsdb_client --".to_owned(),
    };
    let mut command = program;
    if state.auth.is_on() {
        // No token is ever written anywhere.
        command = format!("TSDB_AUTH_TOKEN=<token> {command}");
    }
    if !address.ip().is_loopback() && !address.ip().is_unspecified() {
        command.push_str(&format!(" --host {}", address.ip()));
    }
    if address.port() != PORT_DEFAULT {
        command.push_str(&format!(" --port {}", address.port()));
    }
    if state.tls.as_ref().is_some_and(Tls::is_mutual) {
        command.push_str(" --tls-ca <authority.pem> --tls-cert <yours.pem> --tls-key <yours.key>");
    } else if state.tls.is_some() {
        command.push_str(" --tls-ca <authority.pem>");
    }
    command
}

/// How to ask whether it is ready.
fn curl_command(state: &State, address: SocketAddr) -> String {
    if state.tls.as_ref().is_some_and(Tls::is_mutual) {
        format!("curl --cacert <authority.pem> --cert <yours.pem> --key <yours.key> https://{address}/ready")
    } else {
        format!("curl http://{address}/ready")
    }
}
