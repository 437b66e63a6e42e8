//! What all connections share, and how a command is answered.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::base::{Background, Deadline, Error, ErrorCode, MemoryShares, Result, SeriesName, caught};
use crate::engine::{Engine, Write};
use crate::protocol::{Command, Reply, Similar, find_help};

use super::answers::{Answers, Question};
use super::audit::{AuditLog, Entry};
use super::auth::{Auth, Caller, Role};
use super::budget::{Budget, Reserved};
use super::metrics::Metrics;
use super::plan::Plan;
use super::pool::Pool;
use super::read::Effort;
use super::running::Running;
use super::similar::{Desk, Order};
use super::tls::Tls;
use super::watches::Watches;
use super::{Settings, analysis, read, write};

/// What of the memory for what is kept is for answers; the rest is for profiles.
const ANSWERS_PART: u64 = 8;

/// Threads for what takes little, so that it never stands behind what takes long.
const SHORT_THREADS: usize = 2;

/// How long work waits for memory before it is refused.
const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// What all connections share.
pub(super) struct State {
    /// Whether a data file may be there that was not read, and is not to be lost.
    pub data_file_is_unread: AtomicBool,
    pub settings: Settings,
    pub auth: Auth,
    pub tls: Option<Tls>,
    pub audit: Arc<AuditLog>,
    pub metrics: Metrics,
    engine: Arc<OnceLock<Engine>>,
    opened: Notify,
    /// When what connections have queued is committed.
    pub commits: Plan,
    started: Instant,
    /// For what takes little.
    short: Pool,
    queries: Pool,
    analytics: Pool,
    /// The threads of one analytics job.
    workers: Arc<rayon::ThreadPool>,
    maintenance: Pool,
    /// Searches that wait for each other's company.
    desk: Desk,
    /// Answers of analyses, in a part of the memory for queries.
    answers: Answers,
    /// Analyses that are running.
    running: Arc<Running>,
    /// Profiles that are kept.
    pub watches: Watches,
    /// Memory of requests that wait for their end or their commit.
    requests: Budget,
    /// Memory of what is computed, and of its answer until it is sent.
    computations: Budget,
    /// Memory of other long replies that are being sent.
    pub replies: Budget,
    /// Turns of parsing and rendering what is long: fewer than there are threads that
    /// serve sockets, so that short requests always find one.
    turns: Arc<Semaphore>,
}

impl State {
    /// Reads the files that the settings name, and starts the threads.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a setting or its file; `INTERNAL` for a missing thread.
    pub fn new(settings: Settings) -> Result<Self> {
        let no_thread =
            |e: &dyn std::fmt::Display| Error::internal(format!("the server could not start: {e}"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let engine = Arc::new(OnceLock::new());
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.analytics_threads.unwrap_or(cores))
            .thread_name(|at| format!("analytics-{at}"))
            .start_handler(|_| Background::Whenever.stand_back())
            .build()
            .map_err(|e| no_thread(&e))?;
        let memory = MemoryShares::of(settings.memory_limit);
        let answers_bytes = memory.kept / ANSWERS_PART;
        let requests =
            "the server's memory for requests is taken; send less at a time, or raise TSDB_MEMORY_LIMIT";
        let computations = "other searches and analyses have the memory that this one needs; narrow the time range or \
                            the labels, lower the limit, retry later, or raise TSDB_MEMORY_LIMIT";
        let replies = "too many long replies are being sent; ask for less with a limit, retry later, or raise \
                       TSDB_MEMORY_LIMIT";
        let running = Arc::new(Running::default());
        Ok(Self {
            data_file_is_unread: AtomicBool::new(false),
            auth: Auth::open(settings.auth_token.as_deref(), settings.auth_file.as_deref())?,
            tls: Tls::open(&settings)?,
            audit: Arc::new(AuditLog::open(settings.audit_log.as_deref())?),
            metrics: Metrics::new(engine.clone(), running.clone()),
            running,
            engine,
            opened: Notify::new(),
            commits: Plan::default(),
            started: Instant::now(),
            short: Pool::start("short", Background::Soon, SHORT_THREADS, 1024).map_err(|e| no_thread(&e))?,
            queries: Pool::start("queries", Background::Soon, cores, 1024).map_err(|e| no_thread(&e))?,
            // Two, so that a short computation is not stuck behind a long one.
            analytics: Pool::start("analytics", Background::Whenever, 2, 256).map_err(|e| no_thread(&e))?,
            workers: Arc::new(workers),
            maintenance: Pool::start("maintenance", Background::Soon, 1, 16).map_err(|e| no_thread(&e))?,
            desk: Desk::default(),
            requests: Budget::new(memory.requests.max(settings.max_line_bytes * 2), requests),
            answers: Answers::new(answers_bytes as usize),
            watches: Watches::new(memory.kept - answers_bytes),
            computations: Budget::new(memory.queries, computations),
            replies: Budget::new(memory.replies, replies),
            turns: Arc::new(Semaphore::new((cores / 2).max(1))),
            settings,
        })
    }

    /// Tells everyone that the engine is open.
    pub fn set_engine(&self, engine: Engine) {
        self.watches.opened(&engine);
        // Set once, by the one who opened it.
        let _ = self.engine.set(engine);
        self.opened.notify_waiters();
    }

    /// The engine, if it is open.
    pub fn engine_now(&self) -> Option<&Engine> {
        self.engine.get()
    }

    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.settings.request_timeout)
    }

    /// The engine, once it has recovered.
    pub fn engine_if_open(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// The engine, once it is open.
    ///
    /// # Errors
    /// `TIMEOUT`.
    pub async fn engine(&self) -> Result<&Engine> {
        if let Some(engine) = self.engine_if_open() {
            return Ok(engine);
        }
        let opened = self.opened.notified();
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        // Whoever is late for the notification looks again after a while.
        let _ = tokio::time::timeout(self.request_timeout(), opened).await;
        self.engine.get().ok_or_else(|| {
            Error::new(
                ErrorCode::Timeout,
                "the server is still recovering its data; retry when /ready answers 200",
            )
        })
    }

    /// The text exposition.
    pub fn render_metrics(&self) -> String {
        let behind_ms = self.watches.behind().as_millis();
        self.metrics.watches_behind_ms.set(i64::try_from(behind_ms).unwrap_or(i64::MAX));
        self.metrics.render()
    }

    /// Why the server is not ready for reads and writes, if it is not.
    pub fn trouble(&self) -> Option<String> {
        match self.engine.get() {
            None => Some("recovering the data directory".into()),
            Some(engine) => engine.write_trouble(),
        }
    }

    /// What is damaged, while the rest is served.
    pub fn damage(&self) -> Option<String> {
        let counters = self.engine.get()?.counters();
        let (files, blocks) = (counters.damaged_files, counters.damaged_blocks);
        (files + blocks > 0).then(|| {
            format!(
                "degraded: damage is known of {files} files and of {blocks} blocks in others; queries of what they held \
                 answer CORRUPT_DATA, naming the file: LOAD a snapshot, or start once with --recover=accept-loss; docs/operating.md \
                 tells what else helps with a block"
            )
        })
    }

    /// Waits for memory to hold a request.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub async fn reserve_request(&self, bytes: u64) -> Result<Reserved> {
        self.requests.reserve(bytes, MEMORY_WAIT).await
    }

    /// Waits for a turn of work on something long; it should take a few milliseconds.
    pub fn turn(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
        let turns = self.turns.clone();
        // They are never closed.
        async move { turns.acquire_owned().await.ok() }
    }

    /// Answers any command that is not a write; also says what memory the reply takes,
    /// to be kept until it is sent.
    pub async fn answer(
        self: &Arc<Self>,
        caller: &mut Caller,
        command: Command,
    ) -> (Result<Reply>, Option<Reserved>) {
        let started = Instant::now();
        let label = command.name();
        let mut reserved = None;
        let entry = self.audit.begin(caller, &command);
        let result = match &command {
            Command::Auth { token } => {
                let role = self.log_in(caller, token, &command).await;
                role.map(|role| Reply::Authenticated { role: role.as_str().into() })
            }
            _ => self.run(command, &mut reserved).await,
        };
        Entry::end(entry, &result);
        self.metrics.observe(label, &result, started.elapsed());
        if let Err(e) = &result
            && e.code() == ErrorCode::Internal
        {
            tracing::error!(command = label, error = e.message(), "a request failed unexpectedly");
        }
        (result, reserved)
    }

    /// Takes a caller's token.
    ///
    /// # Errors
    /// As [`Caller::log_in`].
    pub async fn log_in(&self, caller: &mut Caller, token: &str, command: &Command) -> Result<Role> {
        let role = caller.log_in(&self.auth, token);
        if let Err(e) = &role
            && e.code() == ErrorCode::Unauthorized
        {
            self.metrics.auth_failures.inc();
            self.audit.refused(caller, command, e);
            caller.slow_down(&self.auth.failures).await;
        }
        role
    }

    /// Whether a caller may run a command.
    ///
    /// # Errors
    /// `UNAUTHORIZED`.
    pub fn admit(&self, caller: &mut Caller, command: &Command) -> Result<()> {
        caller.admit(&self.auth, command).inspect_err(|e| self.audit.refused(caller, command, e))
    }

    /// Reads tokens and certificates again, and opens the audit log again.
    pub fn reload(&self) {
        // The new log tells that all the rest is done.
        let tokens = self.auth.reload();
        let tls = self.tls.as_ref().map(Tls::reload);
        let audit = self.settings.audit_log.is_some().then(|| self.audit.reopen());
        for (what, reloaded) in
            [("tokens", Some(tokens)), ("TLS certificate and key", tls), ("audit log", audit)]
        {
            let Some(reloaded) = reloaded else { continue };
            self.audit.server(&format!("reload {what}"), &reloaded);
            match reloaded {
                Ok(()) => tracing::info!("SIGHUP: read again: {what}"),
                Err(e) => tracing::error!(error = e.message(), "SIGHUP: unchanged: {what}"),
            }
        }
    }

    /// Runs a write and waits until it is durable.
    pub async fn write(&self, caller: &Caller, command: Command) -> Result<Reply> {
        let started = Instant::now();
        let label = command.name();
        let entry = self.audit.begin(caller, &command);
        let result = async {
            let engine = self.engine().await?;
            let (change, shape) = write::plan(command)?;
            let change = self.check_deletion(change).await?;
            let (sender, receiver) = oneshot::channel();
            engine.submit(change, move |done| {
                // A client that left does not wait.
                let _ = sender.send(done);
            });
            let done = receiver.await.unwrap_or_else(|_| Err(write::lost()));
            done.map(|written| shape.reply(&written, write::assigned_ns(&written, 0)))
        }
        .await;
        Entry::end(entry, &result);
        self.metrics.observe(label, &result, started.elapsed());
        result
    }

    /// Refuses a deletion of points that can't be read.
    ///
    /// # Errors
    /// `CORRUPT_DATA`, `TIMEOUT`; `LIMIT_EXCEEDED` where too many requests wait.
    pub async fn check_deletion(&self, write: Write) -> Result<Write> {
        if !matches!(write, Write::DeleteRange { .. }) {
            return Ok(write);
        }
        let engine = self.engine().await?.clone();
        let deadline = Deadline::after(self.request_timeout());
        let check = move |deadline: &Deadline| engine.check_deletion(&write, deadline).map(|()| write);
        self.queries.run(deadline, check).await
    }

    async fn run(self: &Arc<Self>, command: Command, reserved: &mut Option<Reserved>) -> Result<Reply> {
        match command {
            Command::Ping => Ok(Reply::Pong { version: super::VERSION.into() }),
            Command::Help { command } => find_help(command.as_deref()).map(Reply::Help),
            Command::Quit => Ok(Reply::Bye),
            Command::Save { path } => {
                self.maintain(move |engine, deadline| {
                    let saved = engine.save(&path, deadline)?;
                    Ok(Reply::Saved {
                        path: saved.path.display().to_string(),
                        bytes: saved.bytes,
                        series: saved.series,
                        points: saved.points,
                    })
                })
                .await
            }
            Command::Load { path } => {
                self.maintain(move |engine, deadline| {
                    let loaded = engine.load(&path, deadline)?;
                    Ok(Reply::Loaded {
                        path: loaded.path.display().to_string(),
                        series: loaded.series,
                        points: loaded.points,
                    })
                })
                .await
            }
            Command::Flush => {
                self.maintain(|engine, _| {
                    let flushed = engine.flush()?;
                    Ok(Reply::Flushed {
                        flushed_points: flushed.flushed_points,
                        segments_written: flushed.segments_written,
                    })
                })
                .await
            }
            Command::Watch(request) => {
                let state = self.clone();
                self.maintain(move |engine, _| state.watches.watch(engine, request).map(Reply::Watching))
                    .await
            }
            Command::Unwatch { series, window } => {
                let state = self.clone();
                self.maintain(move |engine, _| {
                    let removed = state.watches.unwatch(engine, &series, window)?;
                    Ok(Reply::Unwatched { removed })
                })
                .await
            }
            Command::Watches => Ok(Reply::Watches(self.watches.rows(self.engine().await?))),
            Command::Subscribe { .. } | Command::Unsubscribe => Err(Error::invalid(
                "alerts are sent on connections that speak lines; connect to the same port without HTTP",
            )),
            command => self.read(command, reserved).await,
        }
    }

    async fn read(self: &Arc<Self>, command: Command, reserved: &mut Option<Reserved>) -> Result<Reply> {
        let engine = self.engine().await?;
        if let Command::FindSimilar(similar) = &command
            && let Some(reply) = self.similar(engine, similar, reserved).await?
        {
            return Ok(reply);
        }
        let question = Question::of(engine, &command)?;
        if let Some(known) = question.as_ref().and_then(|question| self.answers.find(question)) {
            return Ok(known);
        }
        let threads = self.workers.current_num_threads() as u64;
        // It may decode a block.
        let cost =
            caught("the query", || read::cost(engine, &command, self.settings.max_result_points, threads))?;
        let deadline = Deadline::after(self.request_timeout());
        if cost.effort == Effort::Least {
            return caught("the query", || self.execute(engine, command, &deadline));
        }
        // What takes little must not wait for what takes long.
        let is_long = cost.computes && cost.effort == Effort::Much;
        let budget = if is_long || cost.is_wide() { &self.computations } else { &self.replies };
        // What may well be a short reply waits for none of the long ones: there are few threads
        // for it, and a page for each.
        let may_be_short = cost.is_paged && cost.effort == Effort::Little;
        if cost.bytes > 0 && !may_be_short {
            *reserved = Some(budget.reserve(cost.bytes, MEMORY_WAIT).await?);
        }
        let pool = match cost.effort {
            Effort::Least | Effort::Little => &self.short,
            Effort::Much if is_long => &self.analytics,
            Effort::Much => &self.queries,
        };
        let state = self.clone();
        let workers = cost.computes.then(|| self.workers.clone());
        let answer = pool.run(deadline, move |deadline| {
            let engine = state.engine.get().ok_or_else(|| Error::internal("the engine has gone"))?;
            let work = || state.execute(engine, command, deadline);
            match workers {
                Some(workers) => workers.install(work),
                None => work(),
            }
        });
        let reply = answer.await?;
        // What it was computed with is free again.
        let held = read::held_bytes(&reply);
        match reserved {
            Some(reserved) => reserved.shrink(held),
            None if held > 0 && may_be_short => {
                *reserved = Some(self.replies.reserve(held, MEMORY_WAIT).await?);
            }
            None => {}
        }
        if let Some(question) = question {
            self.answers.keep(question, &reply);
        }
        Ok(reply)
    }

    /// Answers a search for points together with others that come meanwhile; `None` where
    /// it is of another kind.
    async fn similar(
        self: &Arc<Self>,
        engine: &Engine,
        similar: &Similar,
        reserved: &mut Option<Reserved>,
    ) -> Result<Option<Reply>> {
        let result_points_max = self.settings.max_result_points;
        let wait = self.request_timeout();
        let Some(order) = Order::of(engine, similar, result_points_max)? else { return Ok(None) };
        if order.kept_bytes > read::SHORT_BYTES_MAX {
            *reserved = Some(self.replies.reserve(order.kept_bytes, MEMORY_WAIT).await?);
        }
        let series = order.series.clone();
        let (receiver, is_first) = self.desk.put(order);
        if is_first {
            let state = self.clone();
            tokio::spawn(async move { state.serve_desk(series).await });
        }
        match tokio::time::timeout(wait, receiver).await {
            Ok(answer) => {
                answer.unwrap_or_else(|_| Err(Error::internal("a search ended without an answer"))).map(Some)
            }
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                "the search ran out of time; narrow the time range or the labels, or raise TSDB_REQUEST_TIMEOUT",
            )),
        }
    }

    async fn serve_desk(self: &Arc<Self>, series: SeriesName) {
        let deadline = Deadline::after(self.request_timeout());
        let (state, name) = (self.clone(), series.clone());
        let work = move |deadline: &Deadline| {
            let engine = state.engine.get().ok_or_else(|| Error::internal("the engine has gone"))?;
            state.desk.serve(engine, &name, deadline, &|work| state.workers.install(work));
            Ok(())
        };
        if let Err(reason) = self.queries.run(deadline, work).await {
            self.desk.refuse(&series, &reason);
        }
    }

    fn execute(&self, engine: &Engine, command: Command, deadline: &Deadline) -> Result<Reply> {
        if let Command::Analyze(analysis) = &command {
            let running = self.running.begin(analysis);
            return analysis::answer(engine, analysis, deadline, &running.progress);
        }
        let mut reply =
            read::execute(engine, command, (&self.settings, &self.replies), self.started, deadline)?;
        if let Reply::DatabaseStats(stats) = &mut reply {
            stats.watches = engine.watches().len() as u64;
            stats.watches_behind_ms = self.watches.behind().as_millis() as u64;
            stats.analyses = self.running.list();
        }
        Ok(reply)
    }

    /// Work that takes what it takes, one after the other, and goes on when its client
    /// leaves.
    pub async fn maintain(
        self: &Arc<Self>,
        work: impl FnOnce(&Engine, &Deadline) -> Result<Reply> + Send + 'static,
    ) -> Result<Reply> {
        self.engine().await?;
        let (state, engine) = (self.clone(), self.engine.clone());
        let job = async move {
            let work = move |deadline: &Deadline| {
                let engine = engine.get().ok_or_else(|| Error::internal("the engine has gone"))?;
                work(engine, deadline)
            };
            state.maintenance.run(Deadline::none(), work).await
        };
        tokio::spawn(job).await.unwrap_or_else(|_| Err(Error::internal("a job ended without an answer")))
    }

    /// Goes on with what was watched.
    ///
    /// # Errors
    /// `INTERNAL` where there is no thread.
    pub fn start_watches(&self) -> Result<()> {
        self.watches.start(&self.engine, &self.workers)
    }

    /// Cancels what computes and waits for its threads.
    pub fn stop_pools(&self) {
        self.watches.stop();
        for pool in [&self.short, &self.queries, &self.analytics, &self.maintenance] {
            pool.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::base::{ManualClock, Points, ValueType};
    use crate::engine::{Options, Write};
    use crate::protocol::parse_line;
    use crate::vfs::SimDisk;

    #[test]
    fn a_short_reply_waits_for_no_long_one() {
        let options = Options { shards: 1, background: false, ..Options::new("/data") };
        let engine =
            Engine::open_with(Arc::new(SimDisk::new()), Arc::new(ManualClock::new(5)), options).unwrap();
        let name = SeriesName::new("s").unwrap();
        let create = Write::Create {
            name: name.clone(),
            dimension: 1,
            value_type: ValueType::F64,
            if_not_exists: false,
        };
        engine.write(create).unwrap();
        let timestamps_ns: Vec<i64> = (0..20_000).collect();
        let values = timestamps_ns.iter().map(|&at| at as f64).collect();
        let points = Points { dimension: 1, timestamps_ns, values, ..Points::default() };
        engine.write(Write::Insert { series: name, points }).unwrap();
        let state = Arc::new(State::new(Settings::parse_from(["tsdb_server"])).unwrap());
        state.set_engine(engine);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let _all = state.replies.reserve_now(u64::MAX).unwrap();
            // What it will be is not known before: the memtable has many more points.
            let command = parse_line(b"QUERY_RANGE s 0 9").unwrap().command.unwrap();
            let cost = read::cost(state.engine_now().unwrap(), &command, usize::MAX, 1).unwrap();
            assert!(cost.bytes > 0 && cost.effort == Effort::Little);
            match state.read(command, &mut None).await {
                Ok(Reply::Points { rows, .. }) => assert_eq!(rows.len(), 10),
                other => panic!("{other:?}"),
            }
        });
    }
}
