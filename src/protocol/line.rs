//! Lines out of a byte stream.

use crate::base::{Error, ErrorCode};

use super::{Envelope, Parsed, parse_json, parse_text};

/// What stands at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its end, and how many bytes it took with it.
    Complete(&'a [u8], usize),
    /// No line end yet.
    NeedMore,
    /// A line above the limit.
    TooLong,
}

/// Finds the first line of `buffer`; lines end with `\n` or `\r\n` and have at most
/// `bytes_max` bytes. `searched` bytes are known to hold no line end.
pub fn next_line(buffer: &[u8], searched: usize, bytes_max: usize) -> Line<'_> {
    let rest = buffer.get(searched..).unwrap_or_default();
    match memchr::memchr(b'\n', rest).map(|at| searched + at) {
        Some(end) => {
            let line = buffer.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > bytes_max { Line::TooLong } else { Line::Complete(line, end + 1) }
        }
        None if buffer.len() > bytes_max => Line::TooLong,
        None => Line::NeedMore,
    }
}

/// Understands a line of either dialect; `None` where it is blank.
pub fn parse_line(line: &[u8]) -> Option<Parsed> {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
    if line.get(start) == Some(&b'{') {
        return Some(parse_json(line));
    }
    let command = match std::str::from_utf8(line) {
        Ok(text) => parse_text(text),
        Err(e) => Err(Error::new(
            ErrorCode::ParseError,
            format!("the line is not UTF-8 (byte {}); send UTF-8 text", e.valid_up_to()),
        )),
    };
    Some(Parsed { envelope: Envelope::default(), command })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Command;

    #[test]
    fn lines_end_with_either_end() {
        assert_eq!(next_line(b"PING\r\nX", 0, 10), Line::Complete(b"PING", 6));
        assert_eq!(next_line(b"PING\nX", 3, 10), Line::Complete(b"PING", 5));
        assert_eq!(next_line(b"PIN", 0, 10), Line::NeedMore);
        assert_eq!(next_line(b"0123456789A", 0, 10), Line::TooLong);
        assert_eq!(next_line(b"0123456789A\n", 0, 10), Line::TooLong);
        assert_eq!(next_line(b"0123456789\n", 0, 10), Line::Complete(b"0123456789", 11));
    }

    #[test]
    fn the_first_byte_tells_the_dialect() {
        assert_eq!(parse_line(b"  \t"), None);
        assert!(parse_line(b" {\"type\":\"Ping\"}").unwrap().envelope.json);
        assert_eq!(parse_line(b" ping ").unwrap().command, Ok(Command::Ping));
        let bad = parse_line(b"QUERY \xff").unwrap();
        assert_eq!(bad.command.unwrap_err().code(), ErrorCode::ParseError);
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes: Vec<u8>) {
            let _ = parse_line(&bytes);
            let _ = super::super::sniff(&bytes);
        }

        #[test]
        fn any_text_is_understood_or_refused(line in "(INSERT|QUERY|insert_at|\\{\"type\":\"[A-Z][a-z]+\")? ?.{0,60}") {
            let _ = parse_line(line.as_bytes());
        }
    }
}
