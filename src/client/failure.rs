//! Why the program ends otherwise than well.

use std::io;
use std::process::ExitCode;

use super::interrupt::EXIT_CODE;

/// What went wrong, by what the exit code says of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with an error, or a file could not be read, understood or written.
    Refused(String),
    /// The program was called wrongly, also where only the file shows it.
    Usage(String),
    /// No connection, or one that broke.
    Unreachable(String),
    /// Ctrl-C ended it early.
    Interrupted(String),
    /// Was printed already.
    Printed,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The same, and where it happened.
    pub fn at(self, place: &str) -> Self {
        let at = |message: String| format!("{place}: {message}");
        match self {
            Self::Refused(message) => Self::Refused(at(message)),
            Self::Usage(message) => Self::Usage(at(message)),
            Self::Unreachable(message) => Self::Unreachable(at(message)),
            Self::Interrupted(message) => Self::Interrupted(at(message)),
            Self::Printed => Self::Printed,
        }
    }

    pub fn print(&self) {
        match self {
            Self::Refused(message) | Self::Unreachable(message) | Self::Interrupted(message) => {
                eprintln!("{message}");
            }
            Self::Usage(message) => eprintln!("{message}\n\nFor more information, try '--help'."),
            Self::Printed => {}
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) | Self::Printed => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Interrupted(_) => EXIT_CODE,
        })
    }
}

/// Trouble with a file or with standard output. A closed pipe is no trouble: whoever
/// reads has seen enough.
pub(super) fn on_file(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |e| {
        if e.kind() == io::ErrorKind::BrokenPipe {
            Failure::Printed
        } else {
            Failure::Refused(format!("{what}: {e}"))
        }
    }
}
