//! Rows out of a file, CSV or JSON lines, each with the number of its line.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::rc::Rc;

use csv::StringRecord;
use serde::Deserialize;

use crate::base::Labels;
use crate::protocol::parse_labels;

use super::failure::{Failure, Result, on_file};
use super::options::Import;
use super::times::TimeFormat;

/// Most lines into which the quotes of one record may reach. A quote that is not closed must not
/// have the whole file read for what closes it.
const RECORD_LINES: usize = 100;

/// One point of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub timestamp_ns: i64,
    pub values: Vec<f64>,
    pub labels: Labels,
}

/// What a line held, or why it could not be read.
pub(super) type ReadRow = std::result::Result<Row, String>;

/// Gets every line's number and what it held; an error ends the reading.
type Take<'a> = dyn FnMut(u64, ReadRow) -> Result<()> + 'a;

/// Reads a file that is not empty to its end; its first bytes tell what it is. Says how many
/// values the points have where it is an export without any.
pub(super) fn read_rows(
    mut reader: impl BufRead,
    options: &Import,
    take: &mut Take<'_>,
) -> Result<Option<usize>> {
    let start = reader.fill_buf().map_err(on_file(options.file.display()))?;
    if start.starts_with(b"\x1f\x8b") {
        return Err(Failure::Refused(format!(
            "{0}: the file is compressed (gzip); unpack it first: gzip -dc {0} | tsdb_client import {1} -",
            options.file.display(),
            options.series
        )));
    }
    // Files start with a byte order mark where they come from spreadsheets.
    let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let (is_json, delimiter) = (start.get(mark) == Some(&b'{'), delimiter(&start[mark..]));
    reader.consume(mark);
    if is_json {
        return read_json(reader, options, take).map(|()| None);
    }
    read_csv(reader, delimiter, options, take)
}

/// What is wrong with a line.
pub(super) fn at_line(options: &Import, line: u64, message: &str) -> Failure {
    Failure::Refused(message.to_owned()).at(&place(options, line))
}

fn place(options: &Import, line: u64) -> String {
    format!("{} line {line}", options.file.display())
}

#[derive(Deserialize)]
struct JsonRow {
    timestamp_ns: i64,
    values: Vec<f64>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

fn read_json(reader: impl BufRead, options: &Import, take: &mut Take<'_>) -> Result<()> {
    for (at, line) in reader.lines().enumerate() {
        let number = at as u64 + 1;
        let line = line.map_err(on_file(options.file.display()))?;
        if number < options.from_line || line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str::<JsonRow>(&line)
            .map_err(|e| format!("{e}; a line is {{\"timestamp_ns\":…,\"values\":[…],\"labels\":{{…}}}}"))
            .and_then(|row| {
                let labels = Labels::new(&row.labels).map_err(|e| e.to_string())?;
                Ok(Row { timestamp_ns: row.timestamp_ns, values: row.values, labels })
            });
        take(number, row)?;
    }
    Ok(())
}

/// Which column is what.
struct Columns {
    time: usize,
    format: TimeFormat,
    values: Vec<usize>,
    labels: Vec<usize>,
    /// The column of our own exports that holds all labels.
    label_set: Option<usize>,
    names: Vec<String>,
}

/// What separates the fields of a file that starts with `start`: a comma, or, where the
/// first line has none, what it has of the other usual ones.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    *b",;\t|".iter().find(|&separator| line.contains(separator)).unwrap_or(&b',')
}

/// A line without its end, with its number.
type Line = (u64, Vec<u8>);

/// Lines of a file, as an editor counts them.
struct Lines<R> {
    inner: R,
    number: u64,
    /// Those that were read and not asked for yet, or given back.
    pending: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> std::io::Result<Option<Line>> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        if self.inner.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        line.truncate(line.len() - usize::from(line.ends_with(b"\n")));
        line.truncate(line.len() - usize::from(line.ends_with(b"\r")));
        if memchr::memchr(b'\r', &line).is_none() {
            return Ok(Some((self.number, line)));
        }
        // Rows of old end with this alone.
        let rows = line.split(|&byte| byte == b'\r');
        self.pending.extend(rows.map(|row| (self.number, row.to_vec())));
        Ok(self.pending.pop_front())
    }

    /// The next record: a line, and those after it into which its quotes reach.
    fn record(&mut self, delimiter: u8) -> std::io::Result<Option<Record>> {
        let Some(first) = self.next()? else { return Ok(None) };
        let mut record = Record { lines: vec![first], is_closed: true };
        let mut quotes = Quotes::Start;
        quotes = quotes.after(&record.lines[0].1, delimiter);
        while quotes == Quotes::Inside {
            let next = if record.lines.len() < RECORD_LINES { self.next()? } else { None };
            let Some(line) = next else { break };
            quotes = quotes.after(&line.1, delimiter);
            record.lines.push(line);
        }
        record.is_closed = !matches!(quotes, Quotes::Inside | Quotes::Stray);
        Ok(Some(record))
    }

    /// Takes back all lines of a record but its first, which is no record alone.
    fn give_back(&mut self, record: Record) {
        for line in record.lines.into_iter().skip(1).rev() {
            self.pending.push_front(line);
        }
    }
}

/// Lines that one record has.
struct Record {
    lines: Vec<Line>,
    /// Whether each quote that opens in it is closed where a field ends.
    is_closed: bool,
}

impl Record {
    fn line(&self) -> u64 {
        self.lines.first().map_or(0, |(line, _)| *line)
    }

    fn is_blank(&self) -> bool {
        self.lines.iter().all(|(_, text)| text.trim_ascii().is_empty())
    }

    fn is_long(&self) -> bool {
        self.lines.len() > 1
    }
}

/// Where in a record its quotes have led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// At the start of a field.
    Start,
    /// In a field without quotes.
    Plain,
    /// In one with quotes.
    Inside,
    /// At a quote that closes the field unless another follows.
    Closing,
    /// Something stood behind a quote that closed a field of several lines.
    Stray,
}

impl Quotes {
    /// Where they are at the end of a line that begins so.
    fn after(self, line: &[u8], delimiter: u8) -> Self {
        if self == Self::Start && memchr::memchr(b'"', line).is_none() {
            return self;
        }
        let mut at = self;
        let mut goes_on = self == Self::Inside;
        for &byte in line {
            at = match at {
                Self::Inside if byte == b'"' => Self::Closing,
                Self::Inside => at,
                Self::Start | Self::Closing if byte == b'"' => Self::Inside,
                Self::Closing if byte != delimiter && goes_on => return Self::Stray,
                _ if byte == delimiter => {
                    goes_on = false;
                    Self::Start
                }
                _ => Self::Plain,
            };
        }
        if at == Self::Inside { at } else { Self::Start }
    }
}

/// What the reader of CSV gets: one record at a time.
#[derive(Clone, Default)]
struct Feed(Rc<RefCell<VecDeque<u8>>>);

impl Feed {
    fn push(&self, record: &Record) {
        let mut bytes = self.0.borrow_mut();
        for (_, text) in &record.lines {
            bytes.extend(text);
            bytes.push_back(b'\n');
        }
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

/// What is wrong with a quote that is not closed where a field ends.
const UNCLOSED: &str = "a quote that opens in it is never closed, or not within 100 lines; close it, or write a quote \
                        inside of a quoted field twice";

fn read_csv(
    reader: impl BufRead,
    delimiter: u8,
    options: &Import,
    take: &mut Take<'_>,
) -> Result<Option<usize>> {
    let mut lines = Lines { inner: reader, number: 0, pending: VecDeque::new() };
    let feed = Feed::default();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(feed.clone());
    let mut fields = StringRecord::new();
    let mut columns: Option<Columns> = None;
    let mut header: Option<(u64, StringRecord)> = None;
    let mut last_line = 0;
    while let Some(record) = lines.record(delimiter).map_err(on_file(options.file.display()))? {
        if record.is_blank() {
            continue;
        }
        let line = record.line();
        let parsed = if record.is_closed {
            feed.push(&record);
            parse(&mut reader, &mut fields)
        } else {
            Err(UNCLOSED.to_owned())
        };
        if columns.is_none() && parsed.is_ok() {
            if header.is_none()
                && !options.no_header
                && !fields.iter().any(|field| field.trim().parse::<f64>().is_ok())
            {
                header = Some((line, fields.clone()));
                continue;
            }
            let names_line = header.as_ref().map_or(line, |(line, _)| *line);
            columns = Some(
                Columns::find(options, header.as_ref().map(|(_, header)| header), &fields)
                    .map_err(|failure| failure.at(&place(options, names_line)))?,
            );
        }
        let read = match (parsed, &columns) {
            (Ok(()), Some(columns)) => columns.read(&fields),
            // Names that can't be read are no row to skip.
            (Err(message), None) if header.is_none() && !options.no_header => {
                return Err(at_line(options, line, &message));
            }
            (parsed, _) => Err(parsed.err().unwrap_or_default()),
        };
        last_line = line;
        let read = read.map_err(|message| match (record.is_long(), record.is_closed) {
            (true, true) => {
                let message = message.replace('\n', "\\n");
                format!("a field in quotes goes on in the next line, and {message}")
            }
            _ => message,
        });
        if read.is_err() {
            // A quote too many may have swallowed whole lines.
            lines.give_back(record);
        }
        if line >= options.from_line {
            take(line, read)?;
        }
    }
    if last_line < options.from_line && options.from_line > 1 {
        return Err(Failure::Usage(format!(
            "--from-line {}: the last row of {} is in line {last_line}",
            options.from_line,
            options.file.display()
        )));
    }
    if columns.is_some() {
        return Ok(None);
    }
    header
        .and_then(|(_, names)| exported_dimension(&names))
        .map(Some)
        .ok_or_else(|| Failure::Refused(format!("{}: there is no data in the file", options.file.display())))
}

/// How many values points have whose export has this header.
fn exported_dimension(names: &StringRecord) -> Option<usize> {
    let dimension = names.len().checked_sub(2)?;
    let values = (0..dimension).map(|at| format!("v{at}"));
    let ours = std::iter::once("timestamp_ns".to_owned()).chain(values).chain(["labels".to_owned()]);
    names.iter().eq(ours).then_some(dimension).filter(|dimension| *dimension > 0)
}

/// Reads the record that was fed.
fn parse(reader: &mut csv::Reader<Feed>, fields: &mut StringRecord) -> std::result::Result<(), String> {
    match reader.read_record(fields) {
        Ok(true) => Ok(()),
        Ok(false) => Err(UNCLOSED.to_owned()),
        Err(e) => Err(match e.kind() {
            csv::ErrorKind::Utf8 { .. } => {
                "it is not UTF-8 text; convert the file, for instance with `iconv -f latin1 -t utf8`".into()
            }
            _ => e.to_string(),
        }),
    }
}

impl Columns {
    fn find(options: &Import, header: Option<&StringRecord>, first: &StringRecord) -> Result<Self> {
        let names: Vec<String> = match header {
            Some(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            None => (1..=first.len()).map(|at| at.to_string()).collect(),
        };
        let index = |wanted: &str| -> Result<usize> {
            let by_name = names.iter().position(|name| name == wanted);
            let by_number =
                wanted.parse::<usize>().ok().filter(|at| (1..=names.len()).contains(at)).map(|at| at - 1);
            by_name.or(by_number).ok_or_else(|| {
                Failure::Usage(format!("there is no column '{wanted}'; there are: {}", names.join(", ")))
            })
        };
        let time = if let Some(column) = &options.time_column {
            index(column)?
        } else {
            let known = ["timestamp_ns", "timestamp", "time", "date", "datetime", "ts"];
            let by_name = |known: &&str| names.iter().position(|name| name.eq_ignore_ascii_case(known));
            known.iter().find_map(by_name).unwrap_or(0)
        };
        let labels = options.label_columns.iter().map(|column| index(column)).collect::<Result<Vec<_>>>()?;
        let ours = names.first().is_some_and(|name| name == "timestamp_ns")
            && names.last().is_some_and(|name| name == "labels");
        let label_set = (ours && labels.is_empty()).then(|| names.len() - 1);
        let values = if options.value_columns.is_empty() {
            (0..names.len())
                .filter(|at| *at != time && Some(*at) != label_set && !labels.contains(at))
                .collect()
        } else {
            options.value_columns.iter().map(|column| index(column)).collect::<Result<Vec<_>>>()?
        };
        if values.is_empty() {
            return Err(Failure::Refused("there is no value column; fields are separated by a comma, a semicolon, a tab or a |, and --value-columns names those of values".into()));
        }
        let format = TimeFormat::parse(&options.time_format)
            .map_err(Failure::Usage)?
            .detect(names.get(time).map_or("", String::as_str), first.get(time).unwrap_or_default());
        Ok(Self { time, format, values, labels, label_set, names })
    }

    fn read(&self, record: &StringRecord) -> std::result::Result<Row, String> {
        if record.iter().skip(self.names.len()).any(|field| !field.trim().is_empty()) {
            return Err(format!(
                "the row has {} fields, but there are {} columns; a field that holds the separator needs quotes",
                record.len(),
                self.names.len()
            ));
        }
        let field = |at: usize| {
            record.get(at).ok_or_else(|| {
                format!(
                    "the row has {} fields; column '{}' is number {}",
                    record.len(),
                    self.names[at],
                    at + 1
                )
            })
        };
        let timestamp_ns = self.format.read(field(self.time)?).map_err(|message| {
            let column = &self.names[self.time];
            format!("the time in column '{column}': {message}; --time-column names another column")
        })?;
        let mut values = Vec::with_capacity(self.values.len());
        for &at in &self.values {
            let text = field(at)?.trim();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => {
                    let advice = if text.replacen(',', ".", 1).parse::<f64>().is_ok() && text.contains(',') {
                        "decimals have a point, not a comma"
                    } else if text.parse::<f64>().is_err() && TimeFormat::Iso.read(text).is_ok() {
                        "if it is the time, name the column with --time-column, else leave it out with --value-columns"
                    } else {
                        "choose columns with --value-columns and --label-columns, or skip such rows with --skip-invalid"
                    };
                    return Err(format!(
                        "'{text}' in column '{}' is not a finite number; {advice}",
                        self.names[at]
                    ));
                }
            }
        }
        let labels = if let Some(at) = self.label_set {
            parse_labels(record.get(at).unwrap_or_default())
        } else {
            let mut pairs = Vec::new();
            for &at in &self.labels {
                let value = field(at)?;
                if !value.is_empty() {
                    pairs.push((self.names[at].as_str(), value));
                }
            }
            Labels::new(pairs)
        };
        Ok(Row { timestamp_ns, values, labels: labels.map_err(|e| e.message().to_owned())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the records of a text begin, how many lines they have, and whether their quotes close.
    fn records(text: &str) -> Vec<(u64, usize, bool)> {
        let mut lines = Lines { inner: text.as_bytes(), number: 0, pending: VecDeque::new() };
        let mut found = Vec::new();
        while let Some(record) = lines.record(b',').unwrap() {
            found.push((record.line(), record.lines.len(), record.is_closed));
            if !record.is_closed {
                lines.give_back(record);
            }
        }
        found
    }

    #[test]
    fn quotes_may_reach_into_the_next_line_but_must_close() {
        assert_eq!(records("a,b\r\n1,2"), [(1, 1, true), (2, 1, true)]);
        assert_eq!(records("1,\"a\n\"\"b\"\"\n\",3\n4"), [(1, 3, true), (4, 1, true)]);
        assert_eq!(
            records("1,5\" pipe\n2,\"a\"\"\"\n3,\"\"x\"\n"),
            [(1, 1, true), (2, 1, true), (3, 1, true)]
        );
        assert_eq!(records("1,\"a\n2,b\n3,c"), [(1, 3, false), (2, 1, true), (3, 1, true)]);
        assert_eq!(records("1,\"a\n2,\"b\"\n3,\"c"), [(1, 2, false), (2, 1, true), (3, 1, false)]);
        let far = format!("\"a\n{}\"", "b\n".repeat(RECORD_LINES));
        assert_eq!(records(&far)[0], (1, RECORD_LINES, false));
    }
}
