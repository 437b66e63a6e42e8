//! What HTTP needs beside the JSON dialect: which connections speak it, and which
//! status an error has.

use crate::base::ErrorCode;

/// Longest first line that is waited for before a connection counts as lines.
const REQUEST_LINE_BYTES_MAX: usize = 8192;

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniff {
    /// A TLS handshake.
    Tls,
    /// An HTTP/1.x request line.
    Http,
    /// Text or JSON lines.
    Lines,
    /// Too few bytes to tell.
    NeedMore,
}

/// Looks at the first bytes of a connection. HTTP is what has a whole request line:
/// a known method, a target, and `HTTP/1.`; a text command never has that.
pub fn sniff(bytes: &[u8]) -> Sniff {
    match bytes.first() {
        None => return Sniff::NeedMore,
        Some(0x16) => return Sniff::Tls,
        Some(_) => {}
    }
    let line_end = memchr::memchr(b'\n', bytes);
    let line = bytes.get(..line_end.unwrap_or(bytes.len())).unwrap_or_default();
    let may_be = METHODS.iter().any(|method| {
        let method = method.as_bytes();
        let shared = line.len().min(method.len());
        line.get(..shared) == method.get(..shared) && line.get(method.len()).is_none_or(|&byte| byte == b' ')
    });
    if !may_be {
        return Sniff::Lines;
    }
    if line_end.is_none() {
        return if bytes.len() < REQUEST_LINE_BYTES_MAX { Sniff::NeedMore } else { Sniff::Lines };
    }
    let line = line.trim_ascii_end();
    let last_word = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    if last_word.starts_with(b"HTTP/1.") { Sniff::Http } else { Sniff::Lines }
}

/// Whether a line that is no command is one of an HTTP request: its first, or a header.
/// Whoever sent it has no lines to say, and what follows may be chosen by a web page.
pub fn is_http_line(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (first, more) = (words.next().unwrap_or_default(), words.next().is_some());
    let last = words.next_back().unwrap_or_default();
    first.ends_with(b":") || more && last.starts_with(b"HTTP/")
}

/// The status of a reply with this error.
pub fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::ParseError
        | ErrorCode::UnknownCommand
        | ErrorCode::InvalidArgument
        | ErrorCode::DimensionMismatch
        | ErrorCode::NotEnoughData
        | ErrorCode::PathNotAllowed => 400,
        ErrorCode::Unauthorized => 401,
        ErrorCode::SeriesNotFound | ErrorCode::FileNotFound => 404,
        ErrorCode::SeriesExists => 409,
        ErrorCode::TooLarge => 413,
        ErrorCode::LimitExceeded | ErrorCode::ReadOnly | ErrorCode::Timeout => 503,
        ErrorCode::CorruptData | ErrorCode::Internal => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_known_in_the_midst_of_lines() {
        for http in ["POST / HTTP/1.1", "  get /a b HTTP/1.0\t", "PRI * HTTP/2.0", "Host: x", "Origin:"] {
            assert!(is_http_line(http.as_bytes()), "{http}");
        }
        for line in ["", "DROP HTTP/1.1", "QUERY HTTP/1.1 24", "INSERT a 1 proto=HTTP/1.1", "PING"] {
            assert!(!is_http_line(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn request_lines_are_told_from_commands() {
        for http in ["GET /health HTTP/1.1\r\n", "POST / HTTP/1.0\n", "DELETE /x HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(sniff(http.as_bytes()), Sniff::Http, "{http}");
        }
        for lines in [
            "PING\n",
            "DELETE_RANGE a 1 2\n",
            "GET foo\n",
            "{\"type\":\"Ping\"}\n",
            "GETX",
            "get / HTTP/1.1\n",
            "\n",
        ] {
            assert_eq!(sniff(lines.as_bytes()), Sniff::Lines, "{lines}");
        }
        for part in ["", "G", "GET", "GET /heal", "DELETE"] {
            assert_eq!(sniff(part.as_bytes()), Sniff::NeedMore, "{part}");
        }
        assert_eq!(sniff(&[0x16, 3, 1]), Sniff::Tls);
        let mut long = b"GET /".to_vec();
        long.resize(10_000, b'x');
        assert_eq!(sniff(&long), Sniff::Lines);
    }
}
