//! The forms in which most points come, read without a tree and without an allocation
//! for each point. What is not exactly of these forms is left to the parsers, and so
//! is every error: they have the last word.

use memchr::memchr;

use crate::base::{BATCH_POINTS_MAX, DIMENSION_MAX, Labels, Points, SeriesName};

use super::{Command, Envelope, Parsed};

/// A point, as a text line names it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointLine<'a> {
    /// The series, not checked.
    pub series: &'a str,
    /// When; `None` for now.
    pub timestamp_ns: Option<i64>,
}

/// Reads `INSERT` or `INSERT_AT` in ASCII, words one blank apart, no labels. The values
/// are appended to `values`, also some of a line that turns out to be of another form.
pub fn scan_point<'a>(line: &'a [u8], values: &mut Vec<f64>) -> Option<PointLine<'a>> {
    if !line.is_ascii() {
        return None;
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let command = words.next()?;
    let at = command.eq_ignore_ascii_case("INSERT_AT");
    if !at && !command.eq_ignore_ascii_case("INSERT") {
        return None;
    }
    let series = words.next()?;
    let timestamp_ns = if at { Some(words.next()?.parse().ok()?) } else { None };
    for word in words.next()?.split(',') {
        let value: f64 = word.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        values.push(value);
    }
    if words.next().is_some() {
        return None;
    }
    Some(PointLine { series, timestamp_ns })
}

/// Reads `Insert`, `InsertAt`, and `BatchInsert` in columns, with `type` first, an `id`
/// or none, no labels and no escapes.
pub(super) fn scan_json(line: &[u8]) -> Option<Parsed> {
    let mut json = Json { bytes: line, at: 0 };
    json.byte(b'{')?;
    (json.string()? == "type").then_some(())?;
    json.byte(b':')?;
    let (batch, timed) = match json.string()? {
        "Insert" => (false, false),
        "InsertAt" => (false, true),
        "BatchInsert" => (true, true),
        _ => return None,
    };
    let (mut id, mut data) = (None, None);
    while json.next_is(b',') {
        let key = json.string()?;
        json.byte(b':')?;
        match key {
            "id" if id.is_none() => id = Some(json.id()?),
            "data" if data.is_none() => data = Some(json.data(batch)?),
            _ => return None,
        }
    }
    json.byte(b'}')?;
    json.end()?;
    let Data { series, timestamp_ns, timestamps_ns, values, flat, width } = data?;
    let series = SeriesName::new(series).ok()?;
    let command = if batch {
        let rows = timestamps_ns.len();
        let fits = (1..=BATCH_POINTS_MAX).contains(&rows) && values.len() == rows * width;
        let points = Points { dimension: width, timestamps_ns, values, ..Points::default() };
        fits.then_some(Command::BatchInsert { series, points })
    } else {
        let whole = flat && timestamp_ns.is_some() == timed;
        whole.then(|| Command::Insert { series, points: Points::one(timestamp_ns, values, Labels::empty()) })
    }?;
    let envelope = Envelope { json: true, id: id.map(str::to_owned), timestamps_as_strings: false };
    Some(Parsed { envelope, command: Ok(command) })
}

struct Data<'a> {
    series: &'a str,
    timestamp_ns: Option<i64>,
    timestamps_ns: Vec<i64>,
    values: Vec<f64>,
    /// Numbers, not lists of them.
    flat: bool,
    /// Values a point has.
    width: usize,
}

struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Takes a byte if it comes next, blanks before it included.
    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }

    fn end(&mut self) -> Option<()> {
        self.skip_blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    /// A string of printable ASCII without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let inner = rest.get(..memchr(b'"', rest)?)?;
        if inner.iter().any(|&byte| byte == b'\\' || !(b' '..=b'~').contains(&byte)) {
            return None;
        }
        self.at += inner.len() + 1;
        std::str::from_utf8(inner).ok()
    }

    /// An integer or a plain string, as it is written.
    fn id(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        let start = self.at;
        if self.peek()? == b'"' {
            self.string()?;
        } else {
            self.integer()?;
        }
        std::str::from_utf8(self.bytes.get(start..self.at)?).ok()
    }

    /// The object of the request.
    fn data(&mut self, batch: bool) -> Option<Data<'a>> {
        self.byte(b'{')?;
        let (mut series, mut timestamp_ns, mut timestamps_ns, mut shape) = (None, None, None, None);
        let mut values = Vec::new();
        loop {
            let key = self.string()?;
            self.byte(b':')?;
            match key {
                "series" if series.is_none() => series = Some(self.string()?),
                "timestamp_ns" if !batch && timestamp_ns.is_none() => {
                    self.skip_blanks();
                    timestamp_ns = Some(self.integer()?);
                }
                "timestamps_ns" if batch && timestamps_ns.is_none() => timestamps_ns = Some(self.integers()?),
                "values" if shape.is_none() => {
                    let rows = match &timestamps_ns {
                        Some(timestamps) => timestamps.len(),
                        None if batch => return None,
                        None => 1,
                    };
                    values.reserve(rows);
                    shape = Some(self.values(rows, &mut values)?);
                }
                _ => return None,
            }
            if !self.next_is(b',') {
                break;
            }
        }
        self.byte(b'}')?;
        let (flat, width) = shape?;
        let timestamps_ns = timestamps_ns.unwrap_or_default();
        Some(Data { series: series?, timestamp_ns, timestamps_ns, values, flat, width })
    }

    fn integers(&mut self) -> Option<Vec<i64>> {
        self.byte(b'[')?;
        // About as many as there can be, so that the column rarely moves.
        let mut out = Vec::with_capacity(((self.bytes.len() - self.at) / 32).min(BATCH_POINTS_MAX));
        loop {
            self.skip_blanks();
            out.push(self.integer()?);
            if !self.next_is(b',') {
                break;
            }
        }
        self.byte(b']')?;
        Some(out)
    }

    /// A list of numbers, or of lists of equally many numbers, for at most so many rows;
    /// says which, and how many values a point has.
    fn values(&mut self, rows: usize, out: &mut Vec<f64>) -> Option<(bool, usize)> {
        self.byte(b'[')?;
        self.skip_blanks();
        if self.peek()? != b'[' {
            // A single point has as many as it likes.
            self.numbers(rows.max(DIMENSION_MAX as usize), out)?;
            return Some((true, 1));
        }
        let mut width = None;
        loop {
            let before = out.len();
            self.byte(b'[')?;
            self.numbers(DIMENSION_MAX as usize, out)?;
            if *width.get_or_insert(out.len() - before) != out.len() - before {
                return None;
            }
            if !self.next_is(b',') {
                break;
            }
        }
        self.byte(b']')?;
        Some((false, width?))
    }

    /// Numbers up to the end of their list, which has at most so many.
    fn numbers(&mut self, most: usize, out: &mut Vec<f64>) -> Option<()> {
        let most = out.len() + most;
        loop {
            if out.len() == most {
                return None;
            }
            self.skip_blanks();
            out.push(self.number()?);
            if !self.next_is(b',') {
                break;
            }
        }
        self.byte(b']')
    }

    /// Decimal digits, and how many; their number wraps beyond 19 of them.
    fn digits(&mut self, mut value: u64) -> (u64, usize) {
        let start = self.at;
        while let Some(digit) = self.peek().map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        (value, self.at - start)
    }

    /// An integer without a sign or zeros that JSON does not know.
    fn integer(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let zero = self.peek()? == b'0';
        let (value, digits) = self.digits(0);
        if !(1..=18).contains(&digits) && digits != 19 || (zero && (digits > 1 || negative)) {
            return None;
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        // Nineteen digits fit an u64.
        if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
    }

    /// A finite number of JSON's grammar, correctly rounded.
    fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let zero = self.peek()? == b'0';
        let (mut mantissa, mut digits) = self.digits(0);
        if digits == 0 || (zero && digits > 1) {
            return None;
        }
        let mut decimals = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            (mantissa, decimals) = self.digits(mantissa);
            if decimals == 0 {
                return None;
            }
            digits += decimals;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        // Both exact, so that their quotient is rounded once (Clinger 1990).
        if !exponent && digits <= 15 && decimals < POWERS_OF_TEN.len() {
            let value = mantissa as f64 / POWERS_OF_TEN[decimals];
            return Some(if negative { -value } else { value });
        }
        if exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits(0).1 == 0 {
                return None;
            }
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        text.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

/// The powers of ten that fifteen digits can have behind the point.
const POWERS_OF_TEN: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::json::parse_tree;
    use crate::protocol::parse_text;

    /// Whether a line is scanned; where it is, it is parsed to the same.
    fn agrees(line: &str) -> bool {
        if line.starts_with('{') {
            let Some(scanned) = scan_json(line.as_bytes()) else { return false };
            // As text, for a zero has a sign.
            assert_eq!(format!("{scanned:?}"), format!("{:?}", parse_tree(line.as_bytes())), "{line}");
            return true;
        }
        let mut values = vec![9.0];
        let Some(PointLine { series, timestamp_ns }) = scan_point(line.as_bytes(), &mut values) else {
            return false;
        };
        assert_eq!(values.remove(0), 9.0, "what was there stays");
        let command = parse_text(line);
        // The name is checked where it is used.
        let Ok(series) = SeriesName::new(series) else {
            assert!(command.is_err(), "{line}");
            return true;
        };
        let points = Points::one(timestamp_ns, values, Labels::empty());
        assert_eq!(
            format!("{command:?}"),
            format!("{:?}", Ok::<_, ()>(Command::Insert { series, points })),
            "{line}"
        );
        true
    }

    #[test]
    fn the_common_forms_are_scanned() {
        for line in [
            "INSERT a 1",
            "insert_at a -5 1.5,2e3,-0",
            "Insert a.b/c 1e-300",
            "INSERT_AT a +7 .5",
            r#"{"type":"Insert","data":{"series":"ecg","values":[72.5]},"id":7}"#,
            r#"{"type":"Insert","id":"x-1","data":{"values":[72.5,-0.0,1e3],"series":"ecg"}}"#,
            r#"{"type":"InsertAt","data":{"series":"ecg","timestamp_ns":-9223372036854775808,"values":[0.1]}}"#,
            r#"{"type": "BatchInsert", "data": {"series": "a", "timestamps_ns": [1, 2], "values": [0.25, -3]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1,2],"values":[[1,2],[3,4]]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1],"values":[[1]]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1],"values":[123456789012345678901]}}"#,
        ] {
            assert!(agrees(line), "{line}");
        }
    }

    #[test]
    fn all_else_is_left_to_the_parsers() {
        for line in [
            "INSERT",
            "INSERT a",
            "INSERT a 1 k=v",
            "INSERT  a 1",
            "INSERT a 1 ",
            "INSERT a nan",
            "INSERT a 1e999",
            "INSERT a 1,,2",
            "INSERT_AT a 1",
            "INSERT_AT a 99999999999999999999 1",
            "INSERT_AT a 1.0 1",
            "INSERT\ta\t1",
            "INSERT gr\u{f6}\u{df}e 1",
            "PING",
            "{}",
            r#"{"type":"Ping"}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[01]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[.5]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1.]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[+1]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1e999]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1,]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[[1]]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1],"values":[2]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1],"timestamp_ns":5}}"#,
            r#"{"type":"Insert","data":{"series":"\u0061","values":[1]}}"#,
            r#"{"type":"Insert","data":{"series":"a","values":[1]}} x"#,
            r#"{"type":"InsertAt","data":{"series":"a","values":[1]}}"#,
            r#"{"type":"InsertAt","data":{"series":"a","values":[1],"timestamp_ns":-0}}"#,
            r#"{"type":"InsertAt","data":{"series":"a","values":[1],"timestamp_ns":9223372036854775808}}"#,
            r#"{"type":"InsertAt","data":{"series":"a","values":[1],"timestamp_ns":1e3}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1,2],"values":[1]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[1,2],"values":[[1,2],[3]]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","timestamps_ns":[],"values":[]}}"#,
            r#"{"type":"BatchInsert","data":{"series":"a","points":[{"values":[1]}]}}"#,
        ] {
            assert!(!agrees(line), "{line}");
        }
    }

    /// Numbers near every limit of the short way.
    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<f64>().prop_map(|value| format!("{value:e}")),
            any::<f64>().prop_map(|value| format!("{value}")),
            any::<i64>().prop_map(|value| value.to_string()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
        ]
    }

    proptest! {
        #[test]
        fn a_scanned_text_line_is_parsed_to_the_same(
            line in "(INSERT|insert_at) [a-z\"=,]{1,3}( [-+]?[0-9]{1,20})?( [-+0-9.,einf]{1,12}){0,2}"
        ) {
            agrees(&line);
        }

        #[test]
        fn a_scanned_point_is_parsed_to_the_same(value in number(), time in "-?[0-9]{1,20}", blank in " ?") {
            agrees(&format!("{{\"type\":\"InsertAt\",\"data\":{{\"series\":\"a\",{blank}\"timestamp_ns\":{time},\"values\":[{value}{blank}]}}}}"));
        }

        #[test]
        fn a_scanned_batch_is_parsed_to_the_same(points in prop::collection::vec((any::<i64>(), number()), 1..9)) {
            let times: Vec<String> = points.iter().map(|point| point.0.to_string()).collect();
            let values: Vec<&str> = points.iter().map(|point| point.1.as_str()).collect();
            agrees(&format!(
                "{{\"type\":\"BatchInsert\",\"data\":{{\"series\":\"a\",\"timestamps_ns\":[{}],\"values\":[{}]}}}}",
                times.join(","), values.join(", ")
            ));
        }
    }
}
