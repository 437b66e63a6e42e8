//! As much of HTTP/1.1 as the peers need: requests as bytes, and the bodies of answers.

use std::net::SocketAddr;

use crate::Result;
use crate::driver::exchange;
use crate::framing::Framing;

/// Appends a POST.
pub fn push_post(out: &mut Vec<u8>, path: &str, body: &[u8]) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// Appends a GET.
pub fn push_get(out: &mut Vec<u8>, path: &str) {
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes());
}

/// The body of the answer to a GET.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut request = Vec::new();
    push_get(&mut request, path);
    body(&exchange(address, Framing::Http, &request, 1)?)
}

/// The body of the answer to a POST.
pub fn post(address: SocketAddr, path: &str, content: &[u8]) -> Result<String> {
    let mut request = Vec::new();
    push_post(&mut request, path, content);
    body(&exchange(address, Framing::Http, &request, 1)?)
}

/// The body of a whole answer.
pub fn body(answer: &[u8]) -> Result<String> {
    let answer = std::str::from_utf8(answer)?;
    let (head, mut rest) = answer.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Ok(rest.to_owned());
    }
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").ok_or("a chunk has no size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).ok_or("a chunk is cut")?);
        rest = after.get(size + 2..).ok_or("a chunk has no end")?;
    }
}

/// A text as part of a query string.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
