//! Where replies end, without parsing them: the load generator shares the processors
//! with what it measures.

use std::fmt;

use crate::Result;

/// Enough of a line to see what it says.
const LINE_KEPT_BYTES: usize = 1024;

/// How a peer marks the end of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Our JSON dialect: a line.
    Json,
    /// Our text dialect: `OK <n> …` and n lines.
    Text,
    /// Redis: a status, number or string; or a list of stream entries with one field,
    /// each of which takes eight lines.
    Resp,
    /// HTTP/1.1 with keep-alive.
    Http,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The first line of a reply is to come.
    First,
    /// Lines of which only the number matters.
    Lines(u64),
    /// Header fields; what they said about the body.
    Fields {
        length: u64,
        chunked: bool,
    },
    /// Bytes of a body.
    Body(u64),
    ChunkSize,
    /// Bytes of a chunk and the end of its line.
    Chunk(u64),
    /// The empty line after the last chunk.
    ChunksEnd,
}

/// What was complete in the bytes so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub replies: u64,
    /// Rows that the replies announced; 0 where the framing doesn't tell.
    pub rows: u64,
}

/// Finds the ends of replies in a stream of bytes.
#[derive(Debug)]
pub struct Framer {
    framing: Framing,
    state: State,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
}

impl Framer {
    pub fn new(framing: Framing) -> Self {
        Self { framing, state: State::First, partial: Vec::new() }
    }

    /// Goes on with the next bytes.
    ///
    /// # Errors
    /// Where a reply reports an error; the message is the reply's line.
    pub fn feed(&mut self, mut bytes: &[u8], found: &mut Found) -> Result<()> {
        while !bytes.is_empty() {
            self.state = match self.state {
                State::Lines(left) => {
                    let skipped = skip_lines(&mut bytes, left);
                    found.replies += u64::from(skipped == left);
                    if skipped == left { State::First } else { State::Lines(left - skipped) }
                }
                State::Body(left) => {
                    let skipped = skip(&mut bytes, left);
                    found.replies += u64::from(skipped == left);
                    if skipped == left { State::First } else { State::Body(left - skipped) }
                }
                State::Chunk(left) => {
                    let skipped = skip(&mut bytes, left);
                    if skipped == left { State::ChunkSize } else { State::Chunk(left - skipped) }
                }
                line_wise => {
                    let Some(line) = take_line(&mut self.partial, &mut bytes) else { return Ok(()) };
                    match line_wise {
                        State::Fields { length, chunked } => after_field(line, length, chunked, found)?,
                        State::ChunkSize => {
                            let digits = std::str::from_utf8(line.trim_ascii())?;
                            match u64::from_str_radix(digits, 16)? {
                                0 => State::ChunksEnd,
                                size => State::Chunk(size + 2),
                            }
                        }
                        State::ChunksEnd => {
                            found.replies += 1;
                            State::First
                        }
                        _ => after_first(self.framing, line, found)?,
                    }
                }
            };
        }
        Ok(())
    }
}

fn after_first(framing: Framing, line: &[u8], found: &mut Found) -> Result<State> {
    let refused = || Err(format!("the server answered {}", Shown(line)).into());
    let lines = match framing {
        Framing::Json => {
            if !line.starts_with(b"{\"ok\":true") {
                return refused();
            }
            0
        }
        Framing::Text => {
            let Some(rest) = line.strip_prefix(b"OK ") else { return refused() };
            let rows = leading_number(rest);
            found.rows += rows;
            rows
        }
        Framing::Resp => match line[0] {
            b'+' | b':' => 0,
            b'$' if line[1] == b'-' => 0,
            b'$' => return Ok(State::Body(leading_number(&line[1..]) + 2)),
            b'*' => {
                let entries = leading_number(&line[1..]);
                found.rows += entries;
                8 * entries
            }
            _ => return refused(),
        },
        Framing::Http => {
            if !line.starts_with(b"HTTP/1.1 2") {
                return refused();
            }
            return Ok(State::Fields { length: 0, chunked: false });
        }
    };
    if lines > 0 {
        return Ok(State::Lines(lines));
    }
    found.replies += 1;
    Ok(State::First)
}

fn after_field(line: &[u8], length: u64, chunked: bool, found: &mut Found) -> Result<State> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(if chunked {
            State::ChunkSize
        } else if length > 0 {
            State::Body(length)
        } else {
            found.replies += 1;
            State::First
        });
    }
    let field = std::str::from_utf8(line)?.to_ascii_lowercase();
    Ok(match field.split_once(':') {
        Some(("content-length", value)) => State::Fields { length: value.trim().parse()?, chunked },
        Some(("transfer-encoding", value)) => State::Fields { length, chunked: value.trim() == "chunked" },
        _ => State::Fields { length, chunked },
    })
}

/// The next line with its end, and steps over it; `None` where its end is to come.
fn take_line<'line, 'bytes: 'line>(
    partial: &'line mut Vec<u8>,
    bytes: &mut &'bytes [u8],
) -> Option<&'line [u8]> {
    if partial.last() == Some(&b'\n') {
        partial.clear();
    }
    let end = memchr::memchr(b'\n', bytes);
    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
    *bytes = rest;
    if end.is_some() && partial.is_empty() {
        return Some(line);
    }
    let room = LINE_KEPT_BYTES.saturating_sub(partial.len());
    partial.extend_from_slice(&line[..line.len().min(room)]);
    end?;
    if partial.last() != Some(&b'\n') {
        partial.push(b'\n');
    }
    Some(partial)
}

fn skip(bytes: &mut &[u8], count: u64) -> u64 {
    let skipped = bytes.len().min(count as usize);
    *bytes = &bytes[skipped..];
    skipped as u64
}

/// Steps over at most `count` lines, and says over how many.
fn skip_lines(bytes: &mut &[u8], count: u64) -> u64 {
    // Counting is much faster than finding, and most often all is one reply's.
    let there = memchr::memchr_iter(b'\n', bytes).count() as u64;
    if there < count || (there == count && bytes.last() == Some(&b'\n')) {
        *bytes = &[];
        return there;
    }
    let last = memchr::memchr_iter(b'\n', bytes).nth(count as usize - 1).unwrap_or(bytes.len() - 1);
    *bytes = &bytes[last + 1..];
    count
}

fn leading_number(text: &[u8]) -> u64 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// A line for an error message.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", String::from_utf8_lossy(self.0).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(framing: Framing, bytes: &[u8]) -> Found {
        let mut whole = Found::default();
        Framer::new(framing).feed(bytes, &mut whole).unwrap();
        for size in 1..bytes.len() {
            let (mut framer, mut found) = (Framer::new(framing), Found::default());
            for piece in bytes.chunks(size) {
                framer.feed(piece, &mut found).unwrap();
            }
            assert_eq!(found, whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn replies_end_where_they_end_however_they_are_cut() {
        let text = b"OK 2 points\n1 2\n3 4\nOK 0 5\nOK 1 points\n1 2\n";
        assert_eq!(found(Framing::Text, text), Found { replies: 3, rows: 3 });
        let json = b"{\"ok\":true,\"data\":{}}\n{\"ok\":true}\n{\"ok\":true";
        assert_eq!(found(Framing::Json, json), Found { replies: 2, rows: 0 });
        let entry = "*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nv\r\n$1\r\n5\r\n";
        let resp = format!("+OK\r\n$3\r\n1-0\r\n*2\r\n{entry}{entry}:7\r\n$-1\r\n*0\r\n");
        assert_eq!(found(Framing::Resp, resp.as_bytes()), Found { replies: 6, rows: 2 });
        let http =
            b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\nb\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(found(Framing::Http, http), Found { replies: 3, rows: 0 });
    }

    #[test]
    fn an_error_is_an_error() {
        for (framing, line) in [
            (Framing::Text, "ERR PARSE_ERROR what\n"),
            (Framing::Json, "{\"ok\":false}\n"),
            (Framing::Resp, "-ERR what\r\n"),
            (Framing::Http, "HTTP/1.1 503 Busy\r\n"),
        ] {
            let e = Framer::new(framing).feed(line.as_bytes(), &mut Found::default()).unwrap_err();
            assert!(e.to_string().contains(line.trim_end()), "{e}");
        }
    }
}
