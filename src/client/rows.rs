//! Rows out of a file, CSV or JSON lines, each with the number of its line.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, Read};

use csv::StringRecord;
use serde::Deserialize;

use crate::base::Labels;
use crate::protocol::parse_labels;

use super::failure::{Failure, Result, on_file};
use super::options::Import;
use super::times::TimeFormat;

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

/// Reads a file that is not empty to its end; its first bytes tell what it is.
pub(super) fn read_rows(mut reader: impl BufRead, options: &Import, take: &mut Take<'_>) -> Result<()> {
    let start = reader.fill_buf().map_err(on_file(options.file.display()))?;
    // Files start with a byte order mark where they come from spreadsheets.
    let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let (is_json, delimiter) = (start.get(mark) == Some(&b'{'), delimiter(&start[mark..]));
    reader.consume(mark);
    if is_json { read_json(reader, options, take) } else { read_csv(reader, delimiter, options, take) }
}

/// What is wrong with a line.
pub(super) fn at_line(options: &Import, line: u64, message: &str) -> Failure {
    Failure::Refused(format!("{} line {line}: {message}", options.file.display()))
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

/// Passes bytes on and remembers where the lines begin that are not blank: the reader of
/// CSV takes the end of the line before, and blank ones, for a part of a record.
struct LineStarts<'a, R> {
    inner: R,
    /// Offset and number of each such line that is not behind a record that was asked for.
    starts: &'a RefCell<VecDeque<(u64, u64)>>,
    offset: u64,
    line: u64,
    at_start: bool,
}

impl<R: Read> Read for LineStarts<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut rest = &buffer[..read];
        while let Some(&first) = rest.first() {
            if self.at_start && !matches!(first, b'\r' | b'\n') {
                self.starts.borrow_mut().push_back((self.offset, self.line));
            }
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            (self.line, self.at_start) = (self.line + u64::from(end.is_some()), end.is_some());
            let taken = end.unwrap_or(rest.len());
            self.offset += taken as u64;
            rest = &rest[taken..];
        }
        Ok(read)
    }
}

/// The line of the first record at this offset or behind it.
fn line_of(starts: &RefCell<VecDeque<(u64, u64)>>, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let mut starts = starts.borrow_mut();
    while starts.front().is_some_and(|(offset, _)| *offset < position.byte()) {
        starts.pop_front();
    }
    starts.front().map_or_else(|| position.line(), |(_, line)| *line)
}

fn read_csv(reader: impl Read, delimiter: u8, options: &Import, take: &mut Take<'_>) -> Result<()> {
    let starts = RefCell::default();
    let reader = LineStarts { inner: reader, starts: &starts, offset: 0, line: 1, at_start: true };
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(reader);
    let mut record = StringRecord::new();
    let mut columns: Option<Columns> = None;
    let mut header: Option<(u64, StringRecord)> = None;
    let mut last_line = 0;
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                let line = line_of(&starts, Some(e.position().unwrap_or(reader.position())));
                let message = match e.kind() {
                    csv::ErrorKind::Utf8 { .. } => {
                        "it is not UTF-8 text; convert the file, for instance with `iconv -f latin1 -t utf8`"
                            .into()
                    }
                    _ => e.to_string(),
                };
                take(line, Err(message))?;
                if matches!(e.kind(), csv::ErrorKind::Io(_)) {
                    break;
                }
                continue;
            }
        }
        let line = line_of(&starts, record.position());
        if record.len() == 1 && record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if columns.is_none() {
            if header.is_none()
                && !options.no_header
                && !record.iter().any(|field| field.trim().parse::<f64>().is_ok())
            {
                header = Some((line, record.clone()));
                continue;
            }
            let names_line = header.as_ref().map_or(line, |(line, _)| *line);
            columns = Some(
                Columns::find(options, header.as_ref().map(|(_, header)| header), &record)
                    .map_err(|message| at_line(options, names_line, &message))?,
            );
        }
        last_line = line;
        if let Some(columns) = columns.as_ref().filter(|_| line >= options.from_line) {
            take(line, columns.read(&record))?;
        }
    }
    if last_line < options.from_line && options.from_line > 1 {
        return Err(Failure::Usage(format!(
            "--from-line {}: the last row of {} is in line {last_line}",
            options.from_line,
            options.file.display()
        )));
    }
    if columns.is_none() {
        return Err(Failure::Refused(format!("{}: there is no data in the file", options.file.display())));
    }
    Ok(())
}

impl Columns {
    fn find(
        options: &Import,
        header: Option<&StringRecord>,
        first: &StringRecord,
    ) -> std::result::Result<Self, String> {
        let names: Vec<String> = match header {
            Some(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            None => (1..=first.len()).map(|at| at.to_string()).collect(),
        };
        let index = |wanted: &str| -> std::result::Result<usize, String> {
            let by_name = names.iter().position(|name| name == wanted);
            let by_number =
                wanted.parse::<usize>().ok().filter(|at| (1..=names.len()).contains(at)).map(|at| at - 1);
            by_name
                .or(by_number)
                .ok_or_else(|| format!("there is no column '{wanted}'; there are: {}", names.join(", ")))
        };
        let time = if let Some(column) = &options.time_column {
            index(column)?
        } else {
            let known = ["timestamp_ns", "timestamp", "time", "date", "datetime", "ts"];
            let by_name = |known: &&str| names.iter().position(|name| name.eq_ignore_ascii_case(known));
            known.iter().find_map(by_name).unwrap_or(0)
        };
        let labels = options
            .label_columns
            .iter()
            .map(|column| index(column))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let ours = names.first().is_some_and(|name| name == "timestamp_ns")
            && names.last().is_some_and(|name| name == "labels");
        let label_set = (ours && labels.is_empty()).then(|| names.len() - 1);
        let values = if options.value_columns.is_empty() {
            (0..names.len())
                .filter(|at| *at != time && Some(*at) != label_set && !labels.contains(at))
                .collect()
        } else {
            options
                .value_columns
                .iter()
                .map(|column| index(column))
                .collect::<std::result::Result<Vec<_>, _>>()?
        };
        if values.is_empty() {
            return Err("there is no value column; fields are separated by a comma, a semicolon, a tab or a |, and --value-columns names those of values".into());
        }
        let format = TimeFormat::parse(&options.time_format)?
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
        let timestamp_ns = self.format.read(field(self.time)?)?;
        let mut values = Vec::with_capacity(self.values.len());
        for &at in &self.values {
            let text = field(at)?.trim();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => {
                    let advice = if text.contains(',') {
                        "decimals have a point, not a comma"
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
