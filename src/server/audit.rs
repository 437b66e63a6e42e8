//! The audit log: who changed or was refused what, one JSON line each, appended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::base::{Error, ErrorCode, Result};
use crate::protocol::{Command, Place};
use crate::vfs::{File, RealDisk, Vfs};

use super::auth::Caller;

/// Refusals that are written down in one second; more are counted.
const REFUSALS_PER_SECOND: u64 = 100;
/// More of a path or a name is not written down.
const TARGET_CHARS_MAX: usize = 1024;

/// Where entries go, where an audit is wanted.
pub(super) struct AuditLog {
    path: Option<PathBuf>,
    file: Mutex<Option<Arc<dyn File>>>,
    refusals: Mutex<Refusals>,
}

/// How many refusals there were in the second that is under way.
struct Refusals {
    since: Instant,
    count: u64,
}

/// One line. There is never a token in it.
#[derive(Debug, Clone, Serialize)]
struct Line<'a> {
    time: String,
    peer: Option<String>,
    user: Option<&'a str>,
    role: Option<&'a str>,
    action: &'a str,
    target: Option<&'a str>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// An administrative action whose outcome is not known yet. Dropped without one, for
/// its client has gone, it is written down so.
pub(super) struct Entry {
    /// None once it is written.
    log: Option<Arc<AuditLog>>,
    peer: String,
    user: Option<(String, &'static str)>,
    action: &'static str,
    target: Option<String>,
}

fn target(command: &Command) -> Option<String> {
    let whole = match command {
        Command::Save { path } | Command::Load { path } => path.as_str(),
        Command::Drop { name } | Command::Create { name, .. } => name.as_str(),
        Command::Insert { series, .. }
        | Command::BatchInsert { series, .. }
        | Command::Query { series, .. }
        | Command::DeleteRange { series, .. }
        | Command::Export { series, .. } => series.as_str(),
        Command::FindSimilar(similar) => match &similar.place {
            Place::Series(series) => series.as_str(),
            Place::Pattern(pattern) => pattern.as_str(),
        },
        _ => return None,
    };
    Some(whole.chars().take(TARGET_CHARS_MAX).collect())
}

impl AuditLog {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming it.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let log = Self {
            path: path.map(Path::to_owned),
            file: Mutex::default(),
            refusals: Mutex::new(Refusals { since: Instant::now(), count: 0 }),
        };
        log.reopen()?;
        Ok(log)
    }

    /// Opens the file again, which may have been moved away meanwhile.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming it; entries go on to the file that was open.
    pub fn reopen(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let opened = match RealDisk.open_write(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => RealDisk.create_private(path),
            opened => opened,
        };
        let file = opened.map_err(|e| {
            Error::invalid(format!("TSDB_AUDIT_LOG {}: {e}; give a file that can be written", path.display()))
        })?;
        *self.file.lock() = Some(file);
        Ok(())
    }

    /// Begins the entry of an administrative action; `None` for other commands, and
    /// where no audit is wanted.
    pub fn begin(self: &Arc<Self>, caller: &Caller, command: &Command) -> Option<Box<Entry>> {
        let administrative = matches!(
            command,
            Command::Save { .. } | Command::Load { .. } | Command::Drop { .. } | Command::Flush
        );
        let wanted = administrative && self.path.is_some();
        wanted.then(|| {
            let mut entry = Entry::new(caller, command);
            entry.log = Some(self.clone());
            Box::new(entry)
        })
    }

    /// Writes down that a command was refused.
    pub fn refused(&self, caller: &Caller, command: &Command, error: &Error) {
        if self.path.is_none() || error.code() != ErrorCode::Unauthorized {
            return;
        }
        let before = {
            let mut refusals = self.refusals.lock();
            let mut unwritten = 0;
            if refusals.since.elapsed() >= Duration::from_secs(1) {
                unwritten = refusals.count.saturating_sub(REFUSALS_PER_SECOND);
                *refusals = Refusals { since: Instant::now(), count: 0 };
            }
            refusals.count += 1;
            if refusals.count > REFUSALS_PER_SECOND {
                return;
            }
            unwritten
        };
        if before > 0 {
            let message = format!("{before} further refusals");
            self.write(Line { message: Some(&message), ..Line::of_server("refusals", "UNAUTHORIZED") });
        }
        self.write(Entry::new(caller, command).line(Some(error)));
    }

    /// Writes down what the server itself did.
    pub fn server<T>(&self, action: &str, result: &Result<T>) {
        let error = result.as_ref().err();
        let outcome = error.map_or("OK", |e| e.code().as_str());
        self.write(Line { message: error.map(Error::message), ..Line::of_server(action, outcome) });
    }

    fn write(&self, line: Line<'_>) {
        let file = self.file.lock();
        let Some(file) = &*file else { return };
        let written = serde_json::to_vec(&line).map_err(io::Error::other).and_then(|mut bytes| {
            bytes.push(b'\n');
            // At its end as it is now: it may have been cut by whoever rotates it.
            file.write_all_at(&bytes, file.len()?)
        });
        if let Err(e) = written {
            tracing::error!(error = %e, action = line.action, "an entry of the audit log could not be written");
        }
    }
}

impl Entry {
    /// Writes an action down with what became of it.
    pub fn end<T>(entry: Option<Box<Self>>, result: &Result<T>) {
        if let Some(mut entry) = entry
            && let Some(log) = entry.log.take()
        {
            log.write(entry.line(result.as_ref().err()));
        }
    }

    fn new(caller: &Caller, command: &Command) -> Self {
        Self {
            log: None,
            peer: caller.peer.to_string(),
            user: caller.user().map(|user| (user.name.clone(), user.role.as_str())),
            action: command.name(),
            target: target(command),
        }
    }

    fn line<'a>(&'a self, error: Option<&'a Error>) -> Line<'a> {
        Line {
            peer: Some(self.peer.clone()),
            user: self.user.as_ref().map(|(name, _)| name.as_str()),
            role: self.user.as_ref().map(|(_, role)| *role),
            target: self.target.as_deref(),
            message: error.map(Error::message),
            ..Line::of_server(self.action, error.map_or("OK", |e| e.code().as_str()))
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            let message = Some("the client left before the outcome was known");
            log.write(Line { outcome: "UNKNOWN", message, ..self.line(None) });
        }
    }
}

impl<'a> Line<'a> {
    fn of_server(action: &'a str, outcome: &'a str) -> Self {
        let time = jiff::Timestamp::now().to_string();
        Self { time, peer: None, user: None, role: None, action, target: None, outcome, message: None }
    }
}
