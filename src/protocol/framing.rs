//! Where HTTP/1.1 requests begin and end in a stream of bytes, in the strictest reading.
//!
//! Whoever lets a proxy and a server disagree about the end of a request can hide one
//! request in another's body. So what has two readings is refused, before anything
//! that reads more leniently sees it: both lengths, a length twice, folded headers,
//! line ends without a carriage return, extensions and trailers of chunks.

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most hexadecimal digits of a chunk's size.
const CHUNK_DIGITS_MAX: usize = 15;
/// Most decimal digits of a content length.
const LENGTH_DIGITS_MAX: usize = 18;

/// What is wrong with a request.
pub type Violation = &'static str;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line of a chunk's size: the size and how many digits there were.
    ChunkSize(u64, usize),
    /// The line feed of that line.
    ChunkSizeEnd(u64),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// What ends a chunk: a carriage return, a line feed.
    ChunkEnd(u8),
    /// What ends the last one.
    LastEnd(u8),
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// The head that is not whole yet.
    head: Vec<u8>,
}

impl Default for Framing {
    fn default() -> Self {
        Self { state: State::Head, head: Vec::new() }
    }
}

impl Framing {
    /// Takes what came, and adds to `passed` what is beyond doubt: whole heads, and
    /// bodies as they come.
    ///
    /// # Errors
    /// What is wrong; nothing after it may be read as requests.
    pub fn pass(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) -> Result<(), Violation> {
        while let Some((&first, after)) = bytes.split_first() {
            match self.state {
                State::Head => {
                    bytes = self.take_head(bytes, passed)?;
                    continue;
                }
                State::Body(left) | State::Chunk(left) => {
                    let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (part, rest) = bytes.split_at(n);
                    passed.extend_from_slice(part);
                    bytes = rest;
                    let left = left - n as u64;
                    self.state = match self.state {
                        State::Body(_) if left == 0 => State::Head,
                        State::Body(_) => State::Body(left),
                        _ if left == 0 => State::ChunkEnd(b'\r'),
                        _ => State::Chunk(left),
                    };
                    continue;
                }
                State::ChunkSize(size, digits) => {
                    self.state = match (first as char).to_digit(16) {
                        Some(_) if digits == CHUNK_DIGITS_MAX => {
                            return Err("the size of a chunk is too large");
                        }
                        Some(digit) => State::ChunkSize(size << 4 | u64::from(digit), digits + 1),
                        None if first == b'\r' && digits > 0 => State::ChunkSizeEnd(size),
                        None => return Err("the size of a chunk is not a hexadecimal number alone"),
                    };
                }
                State::ChunkSizeEnd(size) => {
                    self.state = match size {
                        _ if first != b'\n' => return Err("the size of a chunk does not end with CR LF"),
                        0 => State::LastEnd(b'\r'),
                        size => State::Chunk(size),
                    };
                }
                State::ChunkEnd(expected) | State::LastEnd(expected) if first != expected => {
                    return Err("a chunk does not end with CR LF, or trailers follow the last one");
                }
                State::ChunkEnd(b'\r') => self.state = State::ChunkEnd(b'\n'),
                State::ChunkEnd(_) => self.state = State::ChunkSize(0, 0),
                State::LastEnd(b'\r') => self.state = State::LastEnd(b'\n'),
                State::LastEnd(_) => self.state = State::Head,
            }
            passed.push(first);
            bytes = after;
        }
        Ok(())
    }

    /// Whether the next byte begins a request or belongs to its head.
    pub fn is_in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Takes bytes up to the end of the head; returns those after it.
    fn take_head<'a>(&mut self, bytes: &'a [u8], passed: &mut Vec<u8>) -> Result<&'a [u8], Violation> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            self.head.extend_from_slice(line);
            rest = after;
            if self.head.len() > HEAD_BYTES_MAX {
                return Err("the head of a request is too large");
            }
            if !self.head.ends_with(b"\r\n") {
                return Err("a line of a head does not end with CR LF");
            }
            // Empty lines before a request are skipped (RFC 9112, section 2.2).
            if self.head == b"\r\n" {
                self.head.clear();
                continue;
            }
            if self.head.ends_with(b"\r\n\r\n") {
                self.state = judge(&self.head)?;
                passed.append(&mut self.head);
                return Ok(rest);
            }
        }
        if self.head.len() + rest.len() > HEAD_BYTES_MAX {
            return Err("the head of a request is too large");
        }
        self.head.extend_from_slice(rest);
        Ok(&[])
    }
}

/// What follows a whole head.
fn judge(head: &[u8]) -> Result<State, Violation> {
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = lines.next().unwrap_or_default();
    if request.starts_with(b"CONNECT ") {
        return Err("CONNECT makes a tunnel of a connection");
    }
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for line in lines.filter(|line| !line.is_empty()) {
        if line.contains(&b'\r') || line.contains(&0) {
            return Err("a header holds a carriage return or a zero");
        }
        let colon = memchr::memchr(b':', line).ok_or("a header has no colon")?;
        let (name, value) = line.split_at(colon);
        let is_token = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // A folded header begins with a blank, which is none of these.
        if name.is_empty() || !name.iter().all(is_token) {
            return Err("the name of a header is none, or the header before it is folded");
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).unwrap_or_default();
            let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            if length.is_some() || !is_number || digits.len() > LENGTH_DIGITS_MAX {
                return Err("Content-Length is there twice, or is no number");
            }
            length = digits.parse::<u64>().ok();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is there twice, or is not chunked alone");
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        }
    }
    match (length, chunked) {
        _ if hosts > 1 => Err("Host is there twice"),
        (Some(_), true) => Err("Content-Length and Transfer-Encoding exclude each other"),
        (_, true) if !request.ends_with(b" HTTP/1.1") => Err("HTTP/1.0 has no Transfer-Encoding"),
        (_, true) => Ok(State::ChunkSize(0, 0)),
        (None | Some(0), false) => Ok(State::Head),
        (Some(length), false) => Ok(State::Body(length)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(parts: &[&[u8]]) -> (Vec<u8>, Result<(), Violation>) {
        let (mut framing, mut passed) = (Framing::default(), Vec::new());
        let result = parts.iter().try_for_each(|part| framing.pass(part, &mut passed));
        (passed, result)
    }

    #[test]
    fn what_has_one_reading_passes_however_it_is_cut() {
        let good = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\n\r\n!\
            POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        assert_eq!(pass(&[good]), (good.to_vec(), Ok(())));
        for cut in 0..good.len() {
            let (first, second) = good.split_at(cut);
            assert_eq!(pass(&[first, second]), (good.to_vec(), Ok(())), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = good.chunks(1).collect();
        assert_eq!(pass(&bytes), (good.to_vec(), Ok(())));
        // Empty lines before a request.
        assert_eq!(pass(&[b"\r\n\r", b"\nGET / HTTP/1.1\r\n\r\n"]).0, b"GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn what_has_two_readings_is_refused_and_nothing_after_it_passes() {
        let before: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        for head in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: -1",
            "Content-Length: 0x5",
            "Content-Length: ",
            "Content-Length: 5 5",
            "Content-Length: 99999999999999999999999",
            "Content-Length : 5",
            "Content-Length\t: 5",
            " Content-Length: 5",
            "X: y\r\n folded",
            "X: y\r\n\tContent-Length: 5",
            "X: y\rContent-Length: 5",
            "X: y\nContent-Length: 5",
            "X: \0",
            "no colon",
            ": no name",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Host: a\r\nHost: b",
        ] {
            let bad = format!("POST / HTTP/1.1\r\n{head}\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n");
            let (passed, result) = pass(&[before, bad.as_bytes()]);
            assert!(result.is_err(), "{head:?}");
            assert_eq!(passed, before, "{head:?}");
        }
        for chunks in [
            "5;extension\r\nabcde\r\n",
            "5 \r\nabcde\r\n",
            "5\nabcde\r\n",
            "-5\r\n",
            "\r\n",
            "0x5\r\nabcde\r\n",
            "10000000000000005\r\nabcde\r\n",
            "5\r\nabcdefg\r\n",
            "5\r\nabcde\n",
            "0\r\nTrailer: x\r\n\r\n",
        ] {
            let bad = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert!(pass(&[bad.as_bytes()]).1.is_err(), "{chunks:?}");
        }
        assert!(pass(&[b"CONNECT a:1 HTTP/1.1\r\n\r\n"]).1.is_err());
        assert!(pass(&[b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"]).1.is_err());
        let endless = "X: y\r\n".repeat(20_000);
        assert!(pass(&[b"GET / HTTP/1.1\r\n", endless.as_bytes()]).1.is_err());
        assert!(pass(&[&vec![b'x'; 70_000]]).1.is_err());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in "(POST / HTTP/1.1\r\n(Content-Length: [0-9]{1,2}|Transfer-Encoding: chunked|\r|\n|X: y)(\r\n){1,2}[0-9a-f\r\n]{0,20}){1,3}", cut in 0_usize..100) {
            let bytes = bytes.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(pass(&[first, second]), pass(&[bytes]));
        }
    }
}
