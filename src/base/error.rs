//! The one error type. Its code is what the wire shows; its blame says who has
//! to act.

use std::fmt;

/// Result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The codes of the wire contract. A client branches on these; messages may
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The bytes are not a request of any dialect.
    ParseError,
    /// No command of that name.
    UnknownCommand,
    /// A field is missing, unknown or out of its range.
    InvalidArgument,
    /// No series of that name.
    SeriesNotFound,
    /// The name is taken.
    SeriesExists,
    /// A wrong number of values, or another dimension or type than stored.
    DimensionMismatch,
    /// Fewer points than the computation needs.
    NotEnoughData,
    /// A path leads out of the snapshot directory.
    PathNotAllowed,
    /// No such file in the snapshot directory.
    FileNotFound,
    /// Stored bytes fail their checks.
    CorruptData,
    /// A line or body above the size limit.
    TooLarge,
    /// A configured limit other than size.
    LimitExceeded,
    /// Writes are refused because the disk is full or failed.
    ReadOnly,
    /// No or a wrong token.
    Unauthorized,
    /// The deadline passed.
    Timeout,
    /// A fault of the server.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 16] = [
        Self::ParseError,
        Self::UnknownCommand,
        Self::InvalidArgument,
        Self::SeriesNotFound,
        Self::SeriesExists,
        Self::DimensionMismatch,
        Self::NotEnoughData,
        Self::PathNotAllowed,
        Self::FileNotFound,
        Self::CorruptData,
        Self::TooLarge,
        Self::LimitExceeded,
        Self::ReadOnly,
        Self::Unauthorized,
        Self::Timeout,
        Self::Internal,
    ];

    /// The code as the wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ParseError => "PARSE_ERROR",
            Self::UnknownCommand => "UNKNOWN_COMMAND",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::SeriesNotFound => "SERIES_NOT_FOUND",
            Self::SeriesExists => "SERIES_EXISTS",
            Self::DimensionMismatch => "DIMENSION_MISMATCH",
            Self::NotEnoughData => "NOT_ENOUGH_DATA",
            Self::PathNotAllowed => "PATH_NOT_ALLOWED",
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::CorruptData => "CORRUPT_DATA",
            Self::TooLarge => "TOO_LARGE",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::ReadOnly => "READ_ONLY",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Timeout => "TIMEOUT",
            Self::Internal => "INTERNAL",
        }
    }

    /// The code that the wire spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Who has to act.
    pub const fn blame(self) -> Blame {
        match self {
            Self::ParseError
            | Self::UnknownCommand
            | Self::InvalidArgument
            | Self::SeriesNotFound
            | Self::SeriesExists
            | Self::DimensionMismatch
            | Self::NotEnoughData
            | Self::PathNotAllowed
            | Self::FileNotFound
            | Self::Unauthorized => Blame::Request,
            Self::TooLarge | Self::LimitExceeded | Self::Timeout => Blame::Limit,
            Self::ReadOnly => Blame::Disk,
            Self::CorruptData => Blame::Data,
            Self::Internal => Blame::Server,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The sender of the request.
    Request,
    /// Whoever set a limit.
    Limit,
    /// Whoever keeps the disk.
    Disk,
    /// Whoever keeps the backups.
    Data,
    /// Us.
    Server,
}

/// What went wrong: a code for programs and a message for people, which names
/// the offending value and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: Box<str>,
}

impl Error {
    /// An error of any code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into().into_boxed_str() }
    }

    /// `INVALID_ARGUMENT`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// `CORRUPT_DATA`; the message names file and offset.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::CorruptData, message)
    }

    /// Why a stored file can't be read: `CORRUPT_DATA`, unless the process lacks something
    /// and the file may be whole.
    pub fn unreadable(e: &std::io::Error) -> Self {
        // ENOMEM, ENFILE and EMFILE, by Linux's numbers.
        match (e.raw_os_error(), e.kind()) {
            (Some(12 | 23 | 24), _) => Self::new(
                ErrorCode::LimitExceeded,
                format!(
                    "can't be read now: {e}; raise the limit of open files (`ulimit -n`) or of memory, and start again"
                ),
            ),
            (_, std::io::ErrorKind::PermissionDenied) => Self::new(
                ErrorCode::ReadOnly,
                format!(
                    "can't be read: {e}; give the user that the server runs as the right to read and write it"
                ),
            ),
            _ => Self::corrupt(format!("can't be read: {e}")),
        }
    }

    /// `INTERNAL`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// `SERIES_NOT_FOUND` for `name`.
    pub fn series_not_found(name: &str) -> Self {
        Self::new(
            ErrorCode::SeriesNotFound,
            format!("series '{name}' does not exist; create it with CREATE {name} <dimension>, or see LIST"),
        )
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message, without the code.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with `context` before its message.
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self::new(self.code, format!("{context}: {}", self.message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_lacks_is_no_damage() {
        let code = |number| Error::unreadable(&std::io::Error::from_raw_os_error(number)).code();
        assert_eq!(
            [24, 13, 5].map(code),
            [ErrorCode::LimitExceeded, ErrorCode::ReadOnly, ErrorCode::CorruptData]
        );
    }

    #[test]
    fn every_code_reads_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::parse("NO_SUCH_CODE"), None);
    }
}
