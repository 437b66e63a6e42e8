//! Targets that understand what clients send.

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::{ErrorCode, Labels, Points};
use crate::protocol::{
    Command, Line, Sniff, json_request, next_line, parse_json, parse_labels, parse_line, parse_text, sniff,
    split_words,
};

/// A line limit that inputs reach.
const LINE_BYTES_MAX: usize = 64;
/// Before so many bytes a connection's dialect may still be open.
const SNIFFED_BYTES_MAX: usize = 8192;

/// What a connection says first, line by line. What is decided about the beginning of
/// the bytes stays so when more of them come.
pub(super) fn text(input: &[u8]) {
    if let Some(short) = input.get(..input.len().min(SNIFFED_BYTES_MAX - 1)) {
        let whole = sniff(short);
        for len in 0..short.len().min(LINE_BYTES_MAX) {
            let part = sniff(&short[..len]);
            assert!(part == Sniff::NeedMore || part == whole, "{part:?} after {len} bytes, then {whole:?}");
        }
    }
    lines(input);
    for line in input.split(|&byte| byte == b'\n') {
        one_line(line);
    }
}

/// Where a line ends does not depend on how far the buffer was searched before.
fn lines(input: &[u8]) {
    let mut rest = input;
    loop {
        let line = next_line(rest, 0, LINE_BYTES_MAX);
        let known = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        assert_eq!(next_line(rest, known, LINE_BYTES_MAX), line);
        let Line::Complete(line, taken) = line else { return };
        assert!(line.len() <= LINE_BYTES_MAX && !line.contains(&b'\n') && taken > line.len());
        rest = &rest[taken..];
    }
}

fn one_line(line: &[u8]) {
    let Some(parsed) = parse_line(line) else {
        return assert!(line.trim_ascii().is_empty(), "a line that is not blank says nothing");
    };
    if parsed.envelope.json {
        return json(line);
    }
    if let Ok(command) = &parsed.command {
        means_the_same(command);
    }
    let Ok(text) = std::str::from_utf8(line) else { return };
    if let Ok(words) = split_words(text) {
        // How many blanks there are says nothing.
        assert_eq!(parse_text(&words.join(" \t")), parsed.command, "{text}");
    }
    if let Ok(labels) = parse_labels(text) {
        assert_eq!(parse_labels(&labels.to_string()), Ok(labels), "{text}");
    }
}

/// A command's JSON request means the command.
fn means_the_same(command: &Command) {
    let request = json_request(command).to_string();
    assert_eq!(parse_json(request.as_bytes()).command.as_ref(), Ok(command), "{request}");
}

/// A JSON request. However it is spelled, it means the same; its points are those that
/// the JSON holds; its id can be given back.
pub(super) fn json(input: &[u8]) {
    let parsed = parse_json(input);
    for spelled in [with_blanks(input), with_escapes(input)] {
        let again = parse_json(&spelled).command;
        let (again, first) = (again.as_ref(), parsed.command.as_ref());
        match (again, first) {
            (Ok(again), Ok(first)) => assert_eq!(again, first, "{}", String::from_utf8_lossy(&spelled)),
            _ => assert_eq!(
                again.map(Command::name).map_err(crate::base::Error::code),
                first.map(Command::name).map_err(crate::base::Error::code),
                "{}",
                String::from_utf8_lossy(&spelled)
            ),
        }
    }
    if let Some(id) = &parsed.envelope.id {
        assert!(!id.contains(['\n', '\r']), "{id:?} breaks the line");
        assert!(serde_json::from_str::<&RawValue>(id).is_ok(), "{id:?} is no JSON");
    }
    match &parsed.command {
        Ok(command) => {
            let json: Value = serde_json::from_slice(input).expect("a request is JSON");
            match command {
                Command::Insert { points, .. } => has_points(points, &json["data"], true),
                Command::BatchInsert { points, .. } => has_points(points, &json["data"], false),
                _ => {}
            }
            means_the_same(command);
        }
        Err(e) => {
            let is_json =
                std::str::from_utf8(input).is_ok() && serde_json::from_slice::<IgnoredAny>(input).is_ok();
            assert!(is_json || e.code() == ErrorCode::ParseError, "{e}");
        }
    }
}

/// Blanks around everything that stands between the tokens.
fn with_blanks(input: &[u8]) -> Vec<u8> {
    respell(
        input,
        |byte, out| match byte {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => out.extend_from_slice(&[b' ', byte, b'\t']),
            _ => out.push(byte),
        },
        |byte, out| out.push(byte),
    )
}

/// The first letter of each string as an escape.
fn with_escapes(input: &[u8]) -> Vec<u8> {
    respell(
        input,
        |byte, out| out.push(byte),
        |byte, out| {
            if byte.is_ascii_alphanumeric() {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            } else {
                out.push(byte);
            }
        },
    )
}

/// Copies JSON; what stands outside of strings, and the first byte of each string, are
/// the callers' affair.
fn respell(input: &[u8], outside: impl Fn(u8, &mut Vec<u8>), first: impl Fn(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len() * 2);
    let (mut quoted, mut escaped, mut begins) = (false, false, false);
    for &byte in input {
        if !quoted {
            outside(byte, &mut out);
            (quoted, begins) = (byte == b'"', byte == b'"');
            continue;
        }
        if begins && byte != b'"' && byte != b'\\' {
            first(byte, &mut out);
        } else {
            out.push(byte);
        }
        begins = false;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = false,
            _ => {}
        }
    }
    out
}

/// Compares with the plainest possible reading of the same JSON.
fn has_points(points: &Points, data: &Value, single: bool) {
    let number = |value: &Value| value.as_f64().expect("a number");
    let row = |value: &Value| match value {
        Value::Array(values) => values.iter().map(number).collect(),
        value => vec![number(value)],
    };
    let time = |value: &Value| match value {
        Value::String(text) => text.parse().expect("an integer"),
        value => value.as_i64().expect("an integer"),
    };
    let labels = |value: &Value| match value {
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key, value.as_str().expect("a string")));
            Labels::new(pairs).expect("labels")
        }
        _ => Labels::empty(),
    };
    let stamp = |point: &Value| {
        let found = ["timestamp_ns", "timestamp"].iter().find_map(|name| point.get(name));
        found.filter(|value| !value.is_null()).map(time)
    };
    let mut expected: Vec<(Option<i64>, Vec<f64>, Labels)> = Vec::new();
    if single {
        expected.push((stamp(data), row(&data["values"]), labels(&data["labels"])));
    } else if let Some(rows) = data.get("points") {
        for point in rows.as_array().expect("points") {
            expected.push((stamp(point), row(&point["values"]), labels(&point["labels"])));
        }
    } else {
        let times = data["timestamps_ns"].as_array().expect("times");
        for (timestamp, values) in times.iter().zip(data["values"].as_array().expect("values")) {
            expected.push((Some(time(timestamp)), row(values), labels(&data["labels"])));
        }
    }
    assert_eq!(points.len(), expected.len());
    for (at, (timestamp, values, labels)) in expected.iter().enumerate() {
        let assigned = points.unassigned.contains(&(at as u32));
        assert_eq!((!assigned).then(|| points.timestamps_ns[at]), *timestamp, "point {at}");
        let found = &points.values[at * points.dimension..][..points.dimension];
        assert!(found.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())), "point {at}");
        assert_eq!(points.labels_of(at), *labels, "point {at}");
    }
}

const TEXTS: [&str; 20] = [
    "CREATE a 3 IF NOT EXISTS\nCREATE b 1",
    "INSERT a 1,2.5,-0 k=v,w=\"x \\\" y\"",
    "INSERT_AT a -5 1e300\r\nINSERT_AT a 5 1 k=v",
    "QUERY a\nQUERY a 0.25",
    "QUERY_RANGE a -9223372036854775808 9223372036854775807",
    "SIMILAR a 1,2,3 4 -0.5",
    "ANOMALY a 50 3\nMOTIF a 50 3",
    "STATS a\nSTATS all\nLIST\nFLUSH\nPING\nQUIT",
    "DELETE_RANGE a 1 2\nDROP a",
    "SAVE \"x y\"\nLOAD x",
    "EXPORT a",
    "AUTH t\nHELP save",
    "k=v,k2=\"two, words\"",
    "GET /health HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"type\":\"Ping\"}",
    "{\"type\":\"Ping\",\"id\":{\"x\":[1,2]}}",
    "DELETE /x HTTP/1.0\n",
    "\u{16}\u{3}\u{1}",
    "  \t",
    "insert größe 1e400",
];

pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn json_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = TEXTS
        .iter()
        .flat_map(|texts| texts.lines())
        .filter_map(|line| parse_text(line).ok())
        .map(|command| json_request(&command).to_string().into_bytes())
        .collect();
    for more in [
        r#"{"type":"BatchInsert","data":{"series":"a","points":[{"values":[1]},{"timestamp_ns":"2","values":[3],"labels":{"k":"v"}}]}}"#,
        r#"{"type":"BatchInsert","id":7,"data":{"series":"a","timestamps_ns":["1",2],"values":[[1.5,2],[3,-4e-3]],"labels":{"k":"v"}}}"#,
        r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1,2],"values":[5,-6]}}"#,
        r#"{"timestamps":"string","type":"FindSimilar","data":{"series":"a","vector":[1],"limit":9,"start_ns":0,"labels":{"k":"v"},"exact":false}}"#,
        r#"{"type":"QueryRange","data":{"series":"a","start_ns":"0","end_ns":9,"limit":99999999999999999999}}"#,
    ] {
        seeds.push(more.as_bytes().to_vec());
    }
    seeds
}
