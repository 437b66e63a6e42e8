//! Files into a series, in batches, with a line number in each error.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use csv::StringRecord;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::Labels;
use crate::protocol::parse_labels;
use crate::vfs::{FileReader, RealDisk, Vfs};

use super::connection::Connection;
use super::failure::{Failure, Result, on_file};
use super::options::{Connect, Import};
use super::times::TimeFormat;

/// Batches sent before the first must be answered.
const IN_FLIGHT: usize = 4;
/// Times that a broken connection is made anew before the import gives up.
const RETRIES: u32 = 8;
/// Bytes of a batch's JSON after which it is sent though it has few points.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of the file read at once; the first of them show what it is.
const READ_BYTES: usize = 64 << 10;

/// One point of the file.
struct Row {
    timestamp_ns: i64,
    values: Vec<f64>,
    labels: Labels,
}

/// Runs the import.
pub(super) fn run(connect: &Connect, options: &Import) -> Result<()> {
    let started = Instant::now();
    let (reader, bytes) = open(&options.file)?;
    let progress = progress_bar(bytes);
    let mut reader = BufReader::with_capacity(READ_BYTES, progress.wrap_read(reader));
    let start = reader.fill_buf().map_err(on_file(options.file.display()))?;
    if start.is_empty() {
        return Err(Failure::Refused(format!("{}: the file is empty", options.file.display())));
    }
    // Files start with a byte order mark where they come from spreadsheets.
    let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let (is_json, delimiter) = (start.get(mark) == Some(&b'{'), delimiter(&start[mark..]));
    reader.consume(mark);
    let mut sink = Sink::new(connect, options)?;
    let read = if is_json {
        read_json(reader, options, &mut sink)
    } else {
        read_csv(reader, delimiter, options, &mut sink)
    };
    let result = read.and_then(|()| sink.finish());
    progress.finish_and_clear();
    if let Err(failure) = result {
        if sink.acknowledged > 0 {
            eprintln!(
                "{} points up to line {} are stored; go on with --from-line {} (storing a point again changes nothing)",
                sink.acknowledged,
                sink.acknowledged_line,
                sink.acknowledged_line + 1
            );
        }
        return Err(failure);
    }
    let seconds = started.elapsed().as_secs_f64();
    let skipped = if sink.skipped > 0 { format!(", skipped {} lines", sink.skipped) } else { String::new() };
    println!("imported {} points into {}{skipped} in {seconds:.1} s", sink.acknowledged, options.series);
    Ok(())
}

fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin().lock()), None));
    }
    let file = RealDisk.open(path).map_err(on_file(path.display()))?;
    let bytes = file.len().map_err(on_file(path.display()))?;
    Ok((Box::new(FileReader::new(file, 0)), Some(bytes)))
}

fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => {
            (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left")
        }
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Batches on their way to the server.
struct Sink<'a> {
    connect: &'a Connect,
    options: &'a Import,
    connection: Connection,
    created: bool,
    rows: Vec<Row>,
    row_bytes: usize,
    /// Requests without an answer: text, points, first and last line.
    in_flight: VecDeque<(String, u64, u64, u64)>,
    first_line: u64,
    last_line: u64,
    acknowledged: u64,
    acknowledged_line: u64,
    skipped: u64,
}

impl<'a> Sink<'a> {
    fn new(connect: &'a Connect, options: &'a Import) -> Result<Self> {
        Ok(Self {
            connect,
            options,
            connection: Connection::open(connect)?,
            created: !options.create,
            rows: Vec::new(),
            row_bytes: 0,
            in_flight: VecDeque::new(),
            first_line: 0,
            last_line: 0,
            acknowledged: 0,
            acknowledged_line: 0,
            skipped: 0,
        })
    }

    /// Takes what a line held; a line that could not be read ends the import, or is
    /// skipped where that was asked for.
    fn push(&mut self, line: u64, row: std::result::Result<Row, String>) -> Result<()> {
        let row = match row {
            Ok(row) => row,
            Err(_) if self.options.skip_invalid => {
                self.skipped += 1;
                return Ok(());
            }
            Err(message) => {
                self.finish()?;
                return Err(self.at(line, &message));
            }
        };
        if !self.created {
            let request = json!({ "type": "CreateSeries", "data": {
                "name": self.options.series, "dimension": row.values.len(), "value_type": self.options.value_type,
                "if_not_exists": true } });
            self.connection.json(&request.to_string())?;
            self.created = true;
        }
        if self.rows.is_empty() {
            self.first_line = line;
        }
        self.last_line = line;
        self.row_bytes += 24 * (row.values.len() + 1) + row.labels.memory_bytes();
        self.rows.push(row);
        if self.rows.len() >= self.options.batch as usize || self.row_bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn at(&self, line: u64, message: &str) -> Failure {
        Failure::Refused(format!("{} line {line}: {message}", self.options.file.display()))
    }

    fn send(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let request = batch(&self.options.series, &self.rows);
        self.in_flight.push_back((request, self.rows.len() as u64, self.first_line, self.last_line));
        self.rows.clear();
        self.row_bytes = 0;
        let sent = self.in_flight.back().map_or(Ok(()), |(request, ..)| self.connection.send(request));
        match sent {
            Ok(()) => {}
            Err(Failure::Unreachable(reason)) => self.again(&reason)?,
            Err(other) => return Err(other),
        }
        if self.in_flight.len() >= IN_FLIGHT {
            self.take_reply()?;
        }
        Ok(())
    }

    fn take_reply(&mut self) -> Result<()> {
        let reply = loop {
            match self.connection.json_data() {
                Err(Failure::Unreachable(reason)) => self.again(&reason)?,
                reply => break reply,
            }
        };
        let Some((_, points, first, last)) = self.in_flight.pop_front() else { return Ok(()) };
        match reply {
            Ok(_) => {
                self.acknowledged += points;
                self.acknowledged_line = last;
                Ok(())
            }
            Err(Failure::Refused(message)) => {
                let hint =
                    if message.starts_with("SERIES_NOT_FOUND") { " (or import with --create)" } else { "" };
                Err(Failure::Refused(format!(
                    "{} lines {first} to {last}: {message}{hint}",
                    self.options.file.display()
                )))
            }
            Err(other) => Err(other),
        }
    }

    /// Connects anew and sends again what was not answered: the same points at the same
    /// times, so that none is stored twice.
    fn again(&mut self, reason: &str) -> Result<()> {
        eprintln!("{reason}; connecting again");
        let mut wait = Duration::from_millis(100);
        for attempt in 1..=RETRIES {
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_secs(5));
            let sent = Connection::open(self.connect).and_then(|connection| {
                self.connection = connection;
                self.in_flight.iter().try_for_each(|(request, ..)| self.connection.send(request))
            });
            match sent {
                Ok(()) => return Ok(()),
                Err(Failure::Unreachable(_)) if attempt < RETRIES => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Sends what is left and waits for every answer.
    fn finish(&mut self) -> Result<()> {
        self.send()?;
        while !self.in_flight.is_empty() {
            self.take_reply()?;
        }
        Ok(())
    }
}

/// The request that stores `rows`: columns where they share their labels.
fn batch(series: &str, rows: &[Row]) -> String {
    let name = Value::from(series);
    let mut request = format!("{{\"type\":\"BatchInsert\",\"data\":{{\"series\":{name}");
    let mut buffer = ryu::Buffer::new();
    let mut push_values = |request: &mut String, values: &[f64]| {
        request.push('[');
        for (at, &value) in values.iter().enumerate() {
            if at > 0 {
                request.push(',');
            }
            request.push_str(buffer.format(value));
        }
        request.push(']');
    };
    let shared = rows.first().map(|row| &row.labels);
    // Writing to a string can't fail.
    if rows.iter().all(|row| Some(&row.labels) == shared) {
        if let Some(labels) = shared.filter(|labels| !labels.is_empty()) {
            let _ = write!(request, ",\"labels\":{}", labels_json(labels));
        }
        request.push_str(",\"timestamps_ns\":[");
        for (at, row) in rows.iter().enumerate() {
            let _ = write!(request, "{}{}", if at > 0 { "," } else { "" }, row.timestamp_ns);
        }
        request.push_str("],\"values\":[");
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                request.push(',');
            }
            push_values(&mut request, &row.values);
        }
        request.push_str("]}}");
        return request;
    }
    request.push_str(",\"points\":[");
    for (at, row) in rows.iter().enumerate() {
        let _ = write!(
            request,
            "{}{{\"timestamp_ns\":{},\"values\":",
            if at > 0 { "," } else { "" },
            row.timestamp_ns
        );
        push_values(&mut request, &row.values);
        if !row.labels.is_empty() {
            let _ = write!(request, ",\"labels\":{}", labels_json(&row.labels));
        }
        request.push('}');
    }
    request.push_str("]}}");
    request
}

fn labels_json(labels: &Labels) -> Value {
    labels.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect::<Map<_, _>>().into()
}

#[derive(Deserialize)]
struct JsonRow {
    timestamp_ns: i64,
    values: Vec<f64>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

fn read_json(reader: impl BufRead, options: &Import, sink: &mut Sink<'_>) -> Result<()> {
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
        sink.push(number, row)?;
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
    *b",;\t".iter().find(|&separator| line.contains(separator)).unwrap_or(&b',')
}

fn read_csv(reader: impl Read, delimiter: u8, options: &Import, sink: &mut Sink<'_>) -> Result<()> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(reader);
    let mut record = StringRecord::new();
    let mut columns: Option<Columns> = None;
    let mut header: Option<StringRecord> = None;
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                let line = e.position().map_or_else(|| reader.position().line(), csv::Position::line);
                sink.push(line, Err(e.to_string()))?;
                if matches!(e.kind(), csv::ErrorKind::Io(_)) {
                    break;
                }
                continue;
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        if columns.is_none() {
            if header.is_none()
                && !options.no_header
                && !record.iter().any(|field| field.trim().parse::<f64>().is_ok())
            {
                header = Some(record.clone());
                continue;
            }
            let names_line = header.as_ref().unwrap_or(&record).position().map_or(line, csv::Position::line);
            columns = Some(
                Columns::find(options, header.as_ref(), &record)
                    .map_err(|message| sink.at(names_line, &message))?,
            );
        }
        if let Some(columns) = columns.as_ref().filter(|_| line >= options.from_line) {
            sink.push(line, columns.read(&record))?;
        }
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
            return Err("there is no value column; name some with --value-columns".into());
        }
        let format = TimeFormat::parse(&options.time_format)?
            .detect(names.get(time).map_or("", String::as_str), first.get(time).unwrap_or_default());
        Ok(Self { time, format, values, labels, label_set, names })
    }

    fn read(&self, record: &StringRecord) -> std::result::Result<Row, String> {
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
                    return Err(format!(
                        "'{text}' in column '{}' is not a finite number; choose columns with --value-columns and \
                         --label-columns, or skip such rows with --skip-invalid",
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
