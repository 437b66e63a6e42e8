//! A connection that speaks lines, text and JSON.
//!
//! Everything that has arrived is parsed at once; consecutive writes are submitted
//! together and share group commits; any other command first waits for the writes
//! before it, so that it sees them. Replies go out in the order of the requests, in
//! as few writes as their size allows.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::base::{Error, ErrorCode, Labels, Result};
use crate::engine::{Engine, Write};
use crate::protocol::{
    Command, Envelope, Line, Parsed, PointLine, Renderer, Reply, is_http_line, next_line, parse_line,
    push_point_written, scan_point,
};

use super::audit::Entry;
use super::auth::{Caller, Role};
use super::budget::Reserved;
use super::burst::Point;
use super::commit::{Commit, Place, Rounds};
use super::sending::{PIECE_BYTES, STANDSTILL, Sending, goes_on, next_look};
use super::state::State;
use super::watches::Subscription;
use super::write::{Shape, is_write, memory_bytes, plan};

/// Bytes asked from the socket at once: few from a connection that sends little, so that
/// thousands of them cost little; more from one that fills what it was given.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of input that are held without a share of the common memory.
const FREE_BYTES: usize = 256 << 10;
/// Bytes of a reply before it counts as a long one.
const FIRST_BYTES: usize = 16 << 10;
/// Most writes that wait for their commit together.
const WRITES_MAX: usize = 8192;
/// Most bytes of them, unless one alone has more.
const WRITES_BYTES_MAX: usize = 4 << 20;
/// What a single point that waits takes beside its values.
const POINT_BYTES: usize = 64;
/// Room that is made for single points at a time.
const POINTS_ROOM_BYTES: usize = 16 << 10;
/// Bytes of writes that wait without a share of the common memory.
const FREE_WRITES_BYTES: usize = 64 << 10;
/// How long a connection that is to close may take to read its last reply.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a connection ends without a word.
struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// A reply whose turn comes when those before it are out.
enum Slot {
    Ready(Box<(Envelope, Result<Reply>)>),
    /// A point that came as text; its timestamp, unless the server assigns one.
    Point(Place, i64),
    Write(Box<Submitted>),
}

struct Submitted {
    envelope: Envelope,
    place: Place,
    shape: Shape,
    label: &'static str,
    audit: Option<Box<Entry>>,
    started: Instant,
}

struct Session<S> {
    state: Arc<State>,
    /// Tells connections apart.
    number: u64,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: Vec<u8>,
    /// Bytes of `input` that are dealt with.
    consumed: usize,
    /// Bytes after `consumed` that hold no line end.
    searched: usize,
    /// The rest of a line that was refused is skipped.
    skipping: bool,
    /// When the line began of which only a part is here.
    line_began: Option<Instant>,
    /// Since when nothing was asked; blank lines ask nothing.
    idle_since: Instant,
    /// Share of the common memory, where `input` is large.
    reserved: Option<(usize, Reserved)>,
    eof: bool,
    read_bytes: usize,
    out: Vec<u8>,
    slots: VecDeque<Slot>,
    commit: Option<Commit>,
    /// The values of the points that were read last.
    values: Vec<f64>,
    /// When the lines began to be run that are run now.
    began: Instant,
    /// What is left of the room that was made for points ahead of them.
    points_room: usize,
    /// Bytes of the writes in `commit`, and their share of the common memory.
    in_flight: usize,
    in_flight_reserved: Option<Reserved>,
    caller: Caller,
    /// Alerts that this connection wants.
    subscription: Option<Subscription>,
    closing: bool,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(
    state: Arc<State>,
    stream: S,
    caller: Caller,
    first: Vec<u8>,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut session = Session {
        caller,
        number: state.commits.number(),
        state,
        reader,
        writer,
        input: first,
        consumed: 0,
        searched: 0,
        skipping: false,
        line_began: None,
        idle_since: Instant::now(),
        reserved: None,
        eof: false,
        read_bytes: READ_BYTES_MIN,
        out: Vec::new(),
        slots: VecDeque::new(),
        commit: None,
        values: Vec::new(),
        began: Instant::now(),
        points_room: 0,
        in_flight: 0,
        in_flight_reserved: None,
        subscription: None,
        closing: false,
    };
    // The other end has gone, or does not read: there is nobody to tell.
    let _ = session.run(stop).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), Gone> {
        loop {
            let asked = self.run_lines().await?;
            self.settle().await?;
            if let Some(subscription) = &mut self.subscription {
                subscription.take(&mut self.out);
            }
            self.send(None).await?;
            if asked {
                self.idle_since = Instant::now();
            }
            if self.closing || *stop.borrow() {
                return self.goodbye().await;
            }
            // More came in while replies were waited for.
            if self.input.len() > self.searched || self.eof && !self.input.is_empty() {
                continue;
            }
            if self.eof {
                self.writer.shutdown().await?;
                return Ok(());
            }
            let (mut subscription, mut alert) = (self.subscription.take(), Vec::new());
            let listens = subscription.is_some();
            let alerted = async {
                match &mut subscription {
                    Some(subscription) => subscription.wait(&mut alert).await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                read = self.read_more(listens) => read,
                _ = stop.changed() => Ok(()),
                () = alerted => Ok(()),
            };
            self.subscription = subscription;
            self.out.extend_from_slice(&alert);
            read?;
        }
    }

    /// Runs every whole line of the input; says whether any was more than blank.
    async fn run_lines(&mut self) -> Result<bool, Gone> {
        let mut asked = false;
        let line_max = self.state.settings.max_line_bytes as usize;
        self.began = Instant::now();
        while !self.closing {
            asked |= self.take_points(line_max).await?;
            let is_long = self.input.len() - self.consumed > FREE_BYTES;
            let turn = if is_long { self.state.turn().await } else { None };
            let rest = &self.input[self.consumed..];
            let parsed = match next_line(rest, self.searched, line_max) {
                Line::Complete(line, taken) => {
                    let parsed = if self.skipping { None } else { understand(line) };
                    self.skipping = false;
                    self.consumed += taken;
                    self.searched = 0;
                    self.line_began = None;
                    parsed
                }
                Line::NeedMore if self.eof => {
                    // The last line may lack its end.
                    let parsed = if self.skipping { None } else { understand(rest) };
                    self.consumed = self.input.len();
                    self.searched = 0;
                    if parsed.is_none() {
                        break;
                    }
                    parsed
                }
                Line::NeedMore => {
                    self.searched = rest.len();
                    break;
                }
                Line::TooLong if self.skipping => {
                    self.consumed = self.input.len();
                    self.searched = 0;
                    break;
                }
                Line::TooLong => {
                    self.closing = true;
                    let envelope = envelope_of(rest);
                    self.refuse(
                        envelope,
                        Error::new(
                            ErrorCode::TooLarge,
                            format!(
                                "a line has more than {line_max} bytes; send smaller batches, or raise \
                                 TSDB_MAX_LINE_BYTES; the connection is closed"
                            ),
                        ),
                    );
                    return Ok(true);
                }
            };
            drop(turn);
            if let Some(parsed) = parsed {
                asked = true;
                self.run_request(parsed).await?;
                tokio::task::coop::consume_budget().await;
            }
        }
        self.input.drain(..self.consumed);
        self.consumed = 0;
        if self.input.is_empty() && self.input.capacity() > FREE_BYTES {
            self.input = Vec::new();
            self.reserved = None;
        }
        Ok(asked)
    }

    /// Runs the lines that are points like most, up to the first that is not; says whether
    /// there were any.
    async fn take_points(&mut self, line_max: usize) -> Result<bool, Gone> {
        let start = self.consumed;
        while self.input.get(self.consumed).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'I')) {
            // Without room each point asks for its own, and says so where it gets none.
            if self.points_room < POINTS_ROOM_BYTES / 2 && self.take_off(POINTS_ROOM_BYTES).await?.is_ok() {
                self.points_room += POINTS_ROOM_BYTES;
            }
            if !self.gather_points(line_max) {
                break;
            }
            if self.slots.len() >= WRITES_MAX {
                self.settle().await?;
            }
        }
        Ok(self.consumed > start)
    }

    /// Runs the next lines that are points like most, as many as there is room for; says
    /// whether there were any.
    fn gather_points(&mut self, line_max: usize) -> bool {
        let allowed = !self.skipping && self.caller.require(&self.state.auth, Role::Write, "insert").is_ok();
        let Some(engine) = self.state.engine_if_open().filter(|_| allowed) else { return false };
        let (mut at, mut searched, mut room) = (self.consumed, self.searched, self.points_room);
        // Each with where its line ends, its first value, and the room that is left after it.
        let mut points: Vec<(PointLine<'_>, usize, usize, usize)> = Vec::new();
        self.values.clear();
        while self.slots.len() + points.len() < WRITES_MAX {
            let Line::Complete(line, taken) = next_line(&self.input[at..], searched, line_max) else { break };
            let first = self.values.len();
            let Some(point) = scan_point(line, &mut self.values) else {
                self.values.truncate(first);
                break;
            };
            let bytes = POINT_BYTES + (self.values.len() - first) * size_of::<f64>();
            let Some(left) = room.checked_sub(bytes) else {
                self.values.truncate(first);
                break;
            };
            (at, searched, room) = (at + taken, 0, left);
            points.push((point, at, first, room));
        }
        if points.is_empty() {
            return false;
        }
        let ends = points.iter().skip(1).map(|next| next.2).chain([self.values.len()]);
        let told = points.iter().zip(ends).map(|((line, _, first, _), end)| Point {
            series: line.series,
            timestamp_ns: line.timestamp_ns,
            values: &self.values[*first..end],
        });
        let commit = self.commit.get_or_insert_with(|| Commit::new(&self.state, self.number));
        let mut taken = 0;
        commit.gather(engine, told, &Labels::empty(), |place| {
            let timestamp_ns = points[taken].0.timestamp_ns.unwrap_or_default();
            self.slots.push_back(Slot::Point(place, timestamp_ns));
            taken += 1;
        });
        let Some(&(_, end, _, room)) = taken.checked_sub(1).and_then(|last| points.get(last)) else {
            return false;
        };
        (self.consumed, self.searched, self.points_room) = (end, 0, room);
        self.line_began = None;
        true
    }

    fn refuse(&mut self, envelope: Envelope, error: Error) {
        self.state.metrics.observe_unparsed(error.code());
        self.slots.push_back(Slot::Ready(Box::new((envelope, Err(error)))));
    }

    async fn run_request(&mut self, request: Request) -> Result<(), Gone> {
        let (envelope, command) = match request {
            Request::Lines(Parsed { envelope, command: Ok(command) }) => (envelope, command),
            Request::Lines(Parsed { envelope, command: Err(e) }) => {
                self.refuse(envelope, e);
                return Ok(());
            }
            Request::Http => {
                self.closing = true;
                self.refuse(
                    Envelope::default(),
                    Error::new(
                        ErrorCode::ParseError,
                        "this is a line of HTTP, which must begin a connection with a method, a path below 8 KiB and \
                         HTTP/1.1; the connection is closed",
                    ),
                );
                return Ok(());
            }
        };
        if let Err(e) = self.state.admit(&mut self.caller, &command) {
            self.refuse(envelope, e);
            return Ok(());
        }
        if is_write(&command) {
            return self.submit(envelope, command).await;
        }
        if let Command::Quit = command {
            self.closing = true;
        }
        if let Command::Subscribe { .. } | Command::Unsubscribe = command {
            return self.listen(envelope, command).await;
        }
        let is_auth = matches!(command, Command::Auth { .. });
        if !matches!(command, Command::Ping | Command::Help { .. } | Command::Quit) {
            // What was written before is to be seen.
            self.settle().await?;
        }
        let state = self.state.clone();
        let mut caller = self.caller.clone();
        let answer = async move {
            let answer = state.answer(&mut caller, command).await;
            (answer, caller)
        };
        let ((reply, reserved), caller) = self.while_reading(answer).await?;
        self.caller = caller;
        self.closing |= is_auth && self.caller.is_hopeless();
        if self.slots.is_empty() {
            self.render_held(envelope, reply, reserved).await?;
        } else {
            // What need not be settled first is short, and holds nothing.
            self.slots.push_back(Slot::Ready(Box::new((envelope, reply))));
        }
        Ok(())
    }

    /// Begins or ends to send alerts, each after the replies to what came before.
    async fn listen(&mut self, envelope: Envelope, command: Command) -> Result<(), Gone> {
        let (label, started) = (command.name(), Instant::now());
        self.settle().await?;
        let reply = if let Command::Subscribe { series } = command {
            let strings = envelope.timestamps_as_strings;
            let known = match &series {
                Some(series) => {
                    self.state.engine().await.and_then(|engine| engine.describe(series).map(drop))
                }
                None => Ok(()),
            };
            known.map(|()| {
                self.subscription = Some(Subscription::new(&self.state.watches, series.clone(), strings));
                Reply::Subscribed { series }
            })
        } else {
            self.subscription = None;
            Ok(Reply::Unsubscribed)
        };
        self.state.metrics.observe(label, &reply, started.elapsed());
        self.render(envelope, reply).await
    }

    async fn submit(&mut self, envelope: Envelope, command: Command) -> Result<(), Gone> {
        let (label, started) = (command.name(), Instant::now());
        let audit = self.state.audit.begin(&self.caller, &command);
        if let Err(e) = self.take_off(memory_bytes(&command)).await? {
            self.refuse(envelope, e);
            return Ok(());
        }
        let state = self.state.clone();
        let checked = if let Command::DeleteRange { series, range, labels } = &command {
            let delete = Write::DeleteRange { series: series.clone(), range: *range, labels: labels.clone() };
            self.while_reading(state.check_deletion(delete)).await?.map(drop)
        } else {
            Ok(())
        };
        let planned = match checked {
            Ok(()) => state.engine().await.and_then(|engine| self.submit_to(engine, command)),
            Err(e) => Err(e),
        };
        self.slots.push_back(match planned {
            Ok((place, shape)) => {
                Slot::Write(Box::new(Submitted { envelope, place, shape, label, audit, started }))
            }
            Err(e) => {
                let refused = Err(e);
                Entry::end(audit, &refused);
                self.state.metrics.observe(label, &refused, started.elapsed());
                Slot::Ready(Box::new((envelope, refused)))
            }
        });
        if self.slots.len() >= WRITES_MAX {
            self.settle().await?;
        }
        Ok(())
    }

    /// Submits a write, gathered with others where it is a point like most.
    fn submit_to(&mut self, engine: &Engine, command: Command) -> Result<(Place, Shape)> {
        let commit = self.commit.get_or_insert_with(|| Commit::new(&self.state, self.number));
        if let Command::Insert { series, points } = &command {
            let timestamp_ns = points.unassigned.is_empty().then(|| points.timestamps_ns[0]);
            let point = Point { series: series.as_str(), timestamp_ns, values: &points.values };
            let mut found = None;
            commit.gather(engine, std::iter::once(point), &points.labels_of(0), |place| found = Some(place));
            if let Some(place) = found {
                return Ok((place, Shape::Insert { timestamp_ns: timestamp_ns.unwrap_or_default() }));
            }
        }
        let (write, shape) = plan(command)?;
        Ok((commit.submit(engine, write), shape))
    }

    /// Makes room for a write of so many bytes among those that wait.
    async fn take_off(&mut self, bytes: usize) -> Result<Result<()>, Gone> {
        if self.in_flight > 0 && self.in_flight + bytes > WRITES_BYTES_MAX {
            self.settle().await?;
        }
        let needed = self.in_flight + bytes;
        if needed > FREE_WRITES_BYTES {
            // The share of a long line goes over to what was read from it.
            let from_input = self.reserved.take().map(|(_, reserved)| reserved);
            let held = Reserved::join(self.in_flight_reserved.take(), from_input);
            let missing = needed.saturating_sub(held.as_ref().map_or(0, Reserved::bytes));
            let more = match missing {
                0 => None,
                _ => match self.state.reserve_request(missing as u64).await {
                    Ok(more) => Some(more),
                    Err(e) => return Ok(Err(e)),
                },
            };
            self.in_flight_reserved = Reserved::join(held, more);
        }
        self.in_flight = needed;
        Ok(Ok(()))
    }

    /// Waits for the writes, and renders all replies that wait.
    async fn settle(&mut self) -> Result<(), Gone> {
        let rounds = match self.commit.take() {
            Some(commit) => self.while_reading(commit.finish()).await?,
            None => Rounds::default(),
        };
        self.in_flight = 0;
        self.points_room = 0;
        self.in_flight_reserved = None;
        let mut points = 0;
        while let Some(slot) = self.slots.pop_front() {
            match slot {
                Slot::Ready(ready) => self.render(ready.0, ready.1).await?,
                Slot::Point(place, timestamp_ns) if matches!(rounds.result(place), Some(Ok(_))) => {
                    points += 1;
                    let timestamp_ns = rounds.assigned_ns(place).unwrap_or(timestamp_ns);
                    push_point_written(timestamp_ns, &mut self.out);
                    if self.out.len() >= PIECE_BYTES {
                        self.send(None).await?;
                    }
                }
                Slot::Point(place, _) => {
                    let refused = Err(rounds.error(place));
                    self.state.metrics.observe("insert", &refused, self.began.elapsed());
                    self.render(Envelope::default(), refused).await?;
                }
                Slot::Write(submitted) => {
                    let Submitted { envelope, place, shape, label, audit, started } = *submitted;
                    let reply = match rounds.result(place) {
                        Some(Ok(written)) => Ok(shape.reply(written, rounds.assigned_ns(place))),
                        _ => Err(rounds.error(place)),
                    };
                    Entry::end(audit, &reply);
                    if matches!(reply, Ok(Reply::Inserted { .. })) {
                        points += 1;
                    } else {
                        self.state.metrics.observe(label, &reply, started.elapsed());
                    }
                    self.render(envelope, reply).await?;
                }
            }
        }
        if points > 0 {
            self.state.metrics.observe_points(points, self.began.elapsed());
        }
        Ok(())
    }

    async fn render(&mut self, envelope: Envelope, reply: Result<Reply>) -> Result<(), Gone> {
        self.render_held(envelope, reply, None).await
    }

    /// Renders a reply that holds some of the memory that all share.
    async fn render_held(
        &mut self,
        envelope: Envelope,
        reply: Result<Reply>,
        reserved: Option<Reserved>,
    ) -> Result<(), Gone> {
        let mut reply = Sending { renderer: Renderer::new(envelope, reply), reserved };
        let mut bytes_max = self.out.len() + FIRST_BYTES;
        loop {
            // What goes on after its first piece takes turns with others like it.
            let turn = if bytes_max == PIECE_BYTES { self.state.turn().await } else { None };
            let filled = reply.renderer.fill(&mut self.out, bytes_max);
            drop(turn);
            bytes_max = PIECE_BYTES;
            match filled {
                Ok(true) => break,
                Ok(false) => self.send(Some(&mut reply)).await?,
                Err(e) => {
                    tracing::error!(error = %e, "a reply broke off");
                    return Err(Gone);
                }
            }
            tokio::task::coop::consume_budget().await;
        }
        drop(reply);
        if self.out.len() >= PIECE_BYTES {
            self.send(None).await?;
        }
        Ok(())
    }

    /// Sends what was rendered, `rest` being what is not yet; a client that takes too long
    /// to read it is left.
    async fn send(&mut self, mut rest: Option<&mut Sending>) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let patience = self.state.request_timeout();
        let mut sending = pin!(async {
            self.writer.write_all(&self.out).await?;
            self.writer.flush().await
        });
        let (began, mut reserved) = (Instant::now(), None);
        loop {
            let wait = next_look(began.elapsed(), patience);
            if let Ok(sent) = timeout(wait, &mut sending).await {
                break sent?;
            }
            let rest = rest.as_deref_mut();
            if !goes_on(began.elapsed(), patience, &self.state.replies, rest, &mut reserved) {
                return Err(Gone);
            }
        }
        self.state.metrics.sent_bytes.inc_by(self.out.len() as u64);
        self.out.clear();
        if self.out.capacity() > 2 * PIECE_BYTES {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Awaits `work`, and meanwhile takes what arrives, so that a broken connection
    /// ends the work and a client can send ahead.
    async fn while_reading<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Gone> {
        let mut work = pin!(work);
        loop {
            if self.eof || self.input.len() >= FREE_BYTES {
                return Ok(work.await);
            }
            self.input.reserve(self.read_bytes);
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                read = self.reader.read_buf(&mut self.input) => self.took(read?),
            }
        }
    }

    fn took(&mut self, bytes: usize) {
        self.eof = bytes == 0;
        if bytes >= self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
        }
        self.state.metrics.received_bytes.inc_by(bytes as u64);
    }

    /// Waits for more input: long for a new request, less long for the rest of one. Who
    /// listens to alerts may be silent.
    async fn read_more(&mut self, listens: bool) -> Result<(), Gone> {
        self.make_room().await;
        let blank = self.input.len() <= READ_BYTES_MIN && self.input.trim_ascii().is_empty();
        let idle = blank && !self.skipping;
        let wait = if !idle {
            // The whole line has one deadline, however often a byte of it comes.
            let began = *self.line_began.get_or_insert_with(Instant::now);
            self.state.request_timeout().saturating_sub(began.elapsed())
        } else if self.state.settings.idle_timeout == 0 || listens {
            Duration::MAX
        } else {
            // However many blank lines come.
            Duration::from_secs(self.state.settings.idle_timeout).saturating_sub(self.idle_since.elapsed())
        };
        let is_held = self.reserved.is_some();
        let look = if is_held { STANDSTILL.min(wait) } else { wait };
        match timeout(look, self.reader.read_buf(&mut self.input)).await {
            Ok(read) => self.took(read?),
            Err(_) if look == wait => return Err(Gone),
            Err(_) if self.reserved.as_ref().is_some_and(|(_, held)| held.is_wanted()) => {
                self.skip(Error::new(
                    ErrorCode::LimitExceeded,
                    "the rest of the request did not come, and another needs the memory that is held for it; send it \
                     faster, or in smaller batches",
                ));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Refuses the line of which only a part is here, and skips the rest of it.
    fn skip(&mut self, reason: Error) {
        let envelope = envelope_of(&self.input);
        self.refuse(envelope, reason);
        self.skipping = true;
        self.input = Vec::new();
        self.searched = 0;
        self.reserved = None;
    }

    /// Room for the next read. A long line needs a share of the memory that all
    /// connections have for requests; without it the line is refused and skipped.
    async fn make_room(&mut self) {
        self.input.reserve(self.read_bytes);
        let (needed, held) = (self.input.capacity(), self.reserved.as_ref().map_or(0, |(bytes, _)| *bytes));
        if needed <= FREE_BYTES.max(held) {
            return;
        }
        match self.state.reserve_request((needed - held) as u64).await {
            // Shares add up in one permit each; the first is kept inside the second.
            Ok(more) => {
                let before = self.reserved.take().map(|(_, before)| before);
                self.reserved = Reserved::join(before, Some(more)).map(|all| (needed, all));
            }
            Err(e) => self.skip(e),
        }
    }

    /// Closes so that the last reply arrives: a socket closed with unread input would
    /// take it back.
    async fn goodbye(&mut self) -> Result<(), Gone> {
        self.settle().await?;
        self.send(None).await?;
        self.writer.shutdown().await?;
        let mut sink = vec![0; READ_BYTES_MAX];
        if !self.closing {
            // The server stops: who has sent nothing more has nothing to lose.
            tokio::select! {
                biased;
                _ = self.reader.read(&mut sink) => {}
                () = std::future::ready(()) => return Ok(()),
            }
        }
        let drain = async {
            while self.reader.read(&mut sink).await? > 0 {}
            Ok::<(), Gone>(())
        };
        timeout(GOODBYE, drain).await.map_err(|_| Gone)?
    }
}

/// A line that is not blank.
enum Request {
    Lines(Parsed),
    /// Nothing on this connection can be trusted to be meant for this program.
    Http,
}

fn understand(line: &[u8]) -> Option<Request> {
    let parsed = parse_line(line)?;
    let is_text = parsed.command.is_err() && !parsed.envelope.json;
    Some(if is_text && is_http_line(line) { Request::Http } else { Request::Lines(parsed) })
}

/// How to answer a request that was not read to its end.
fn envelope_of(start: &[u8]) -> Envelope {
    let json = start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    Envelope { json, ..Envelope::default() }
}
