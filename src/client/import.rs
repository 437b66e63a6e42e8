//! Files into a series, in batches.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::base::Labels;
use crate::vfs::{FileReader, RealDisk, Vfs};

use super::connection::Connection;
use super::failure::{Failure, Result, on_file};
use super::interrupt::Interruptible;
use super::options::{Connect, Import};
use super::rows::{ReadRow, Row, at_line, read_rows};
use super::times::TimeFormat;

/// Batches sent before the first must be answered.
const IN_FLIGHT: usize = 4;
/// Times that a broken connection is made anew before the import gives up.
const RETRIES: u32 = 8;
/// Bytes of a batch's JSON after which it is sent though it has few points.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of the file read at once; the first of them show what it is.
const READ_BYTES: usize = 64 << 10;

/// Runs the import; `json` has it print what came of it as the server prints its replies.
pub(super) fn run(connect: &Connect, options: &Import, json: bool) -> Result<()> {
    let started = Instant::now();
    TimeFormat::parse(&options.time_format).map_err(Failure::Usage)?;
    let (reader, bytes) = open(&options.file)?;
    let progress = progress_bar(bytes);
    let mut reader = BufReader::with_capacity(READ_BYTES, progress.wrap_read(reader));
    let start = reader.fill_buf().map_err(on_file(options.file.display()))?;
    if start.is_empty() {
        return Err(Failure::Refused(format!(
            "{}: the file is empty; a series without points is made by CREATE, or exported as CSV",
            options.file.display()
        )));
    }
    let mut sink = Sink::new(connect, options)?;
    let read = read_rows(reader, options, &mut |line, row| sink.push(line, row));
    let read = read.and_then(|exported| exported.map_or(Ok(()), |dimension| sink.create(dimension)));
    let result = match read.and_then(|()| sink.finish()) {
        // What is under way may be stored anyway, and is told to be.
        Err(Failure::Interrupted(message)) => sink.take_replies().and(Err(Failure::Interrupted(message))),
        result => result,
    };
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
    if json {
        let first = sink.first_skipped.as_ref().map(|(line, why)| json!({ "line": line, "message": why }));
        let data = json!({ "series": options.series, "imported": sink.acknowledged, "skipped": sink.skipped,
            "first_skipped": first });
        println!("{}", json!({ "ok": true, "data": data }));
        return Ok(());
    }
    let skipped = match &sink.first_skipped {
        Some((first, why)) => format!(", skipped {} lines (the first: line {first}, {why})", sink.skipped),
        None => String::new(),
    };
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
    interrupts: Interruptible,
    created: bool,
    rows: Vec<Row>,
    /// The line of each row.
    lines: Vec<u64>,
    row_bytes: usize,
    /// Rows that were sent and have no answer, with their lines.
    in_flight: VecDeque<(Vec<Row>, Vec<u64>)>,
    /// How many values no row may have, as the server said, and what it said.
    wrong_widths: HashMap<usize, String>,
    acknowledged: u64,
    acknowledged_line: u64,
    skipped: u64,
    /// The first of them, and why.
    first_skipped: Option<(u64, String)>,
}

impl<'a> Sink<'a> {
    fn new(connect: &'a Connect, options: &'a Import) -> Result<Self> {
        Ok(Self {
            connect,
            options,
            connection: Connection::open(connect)?,
            interrupts: Interruptible::new(),
            created: !options.create,
            rows: Vec::new(),
            lines: Vec::new(),
            row_bytes: 0,
            in_flight: VecDeque::new(),
            wrong_widths: HashMap::new(),
            acknowledged: 0,
            acknowledged_line: 0,
            skipped: 0,
            first_skipped: None,
        })
    }

    /// Takes what a line held; a line that could not be read ends the import, or is
    /// skipped where that was asked for.
    fn push(&mut self, line: u64, row: ReadRow) -> Result<()> {
        self.stop_where_asked_to()?;
        let row = row.and_then(|row| match self.wrong_widths.get(&row.values.len()) {
            Some(message) => Err(message.clone()),
            None => Ok(row),
        });
        let row = match row {
            Ok(row) => row,
            Err(message) => {
                if !self.options.skip_invalid {
                    self.finish()?;
                }
                return self.leave_out(line, &message);
            }
        };
        self.create(row.values.len())?;
        self.lines.push(line);
        self.row_bytes += 24 * (row.values.len() + 1) + row.labels.memory_bytes();
        self.rows.push(row);
        if self.rows.len() >= self.options.batch as usize || self.row_bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// Makes the series where that was asked for and not done yet.
    fn create(&mut self, dimension: usize) -> Result<()> {
        if !self.created {
            let request = json!({ "type": "CreateSeries", "data": {
                "name": self.options.series, "dimension": dimension, "value_type": self.options.value_type,
                "if_not_exists": true } });
            self.connection.json(&request.to_string())?;
            self.created = true;
        }
        Ok(())
    }

    /// # Errors
    /// `Interrupted` after a Ctrl-C.
    fn stop_where_asked_to(&self) -> Result<()> {
        if self.interrupts.is_asked_to_stop() {
            return Err(Failure::Interrupted(format!("{}: interrupted", self.options.file.display())));
        }
        Ok(())
    }

    /// Counts a line that is left out, where that was asked for.
    fn leave_out(&mut self, line: u64, message: &str) -> Result<()> {
        if !self.options.skip_invalid {
            return Err(at_line(self.options, line, message));
        }
        self.skipped += 1;
        // Lines that the server refuses are known later than those that can't be read.
        if self.first_skipped.as_ref().is_none_or(|(first, _)| line < *first) {
            self.first_skipped = Some((line, message.to_owned()));
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let request = batch(&self.options.series, &self.rows);
        self.in_flight.push_back((std::mem::take(&mut self.rows), std::mem::take(&mut self.lines)));
        self.row_bytes = 0;
        match self.connection.send(&request) {
            Ok(()) => {}
            Err(Failure::Unreachable(reason)) => self.again(&reason)?,
            Err(other) => return Err(other),
        }
        if self.in_flight.len() >= IN_FLIGHT {
            self.take_reply()?;
        }
        Ok(())
    }

    /// Takes the answer to the first request that has none.
    fn take_reply(&mut self) -> Result<()> {
        let reply = self.reply();
        let Some((rows, lines)) = self.in_flight.pop_front() else { return Ok(()) };
        match reply {
            Ok(_) => {
                self.note_stored(&lines);
                Ok(())
            }
            Err(Failure::Refused(message)) if is_of_a_row(&message) => {
                // The later ones are sent again, for of a point given twice the last wins.
                // Whatever is said of them now is said again then.
                let later = std::mem::take(&mut self.in_flight);
                for _ in &later {
                    if let Err(Failure::Unreachable(reason)) = self.connection.json_data() {
                        self.again(&reason)?;
                        break;
                    }
                }
                self.store_parts(rows, lines)?;
                for (rows, lines) in later {
                    self.store(rows, lines)?;
                }
                Ok(())
            }
            Err(Failure::Refused(message)) => Err(self.refused(&lines, &message)),
            Err(other) => Err(other),
        }
    }

    fn reply(&mut self) -> Result<Value> {
        loop {
            match self.connection.json_data() {
                Err(Failure::Unreachable(reason)) => self.again(&reason)?,
                reply => return reply,
            }
        }
    }

    /// Sends rows while nothing else is under way, and their parts where a row among them is
    /// refused.
    fn store(&mut self, rows: Vec<Row>, lines: Vec<u64>) -> Result<()> {
        let (rows, lines) = self.without_wrong_widths(rows, lines)?;
        if rows.is_empty() {
            return Ok(());
        }
        let request = batch(&self.options.series, &rows);
        self.in_flight.push_back((rows, lines));
        let reply = match self.connection.send(&request) {
            Ok(()) => self.reply(),
            Err(Failure::Unreachable(reason)) => self.again(&reason).and_then(|()| self.reply()),
            Err(other) => Err(other),
        };
        let Some((rows, lines)) = self.in_flight.pop_back() else { return Ok(()) };
        let message = match reply {
            Ok(_) => {
                self.note_stored(&lines);
                return Ok(());
            }
            Err(Failure::Refused(message)) => message,
            Err(other) => return Err(other),
        };
        let width = rows.first().map_or(0, |row| row.values.len());
        let same_width = rows.iter().all(|row| row.values.len() == width);
        if !is_of_a_row(&message) {
            Err(self.refused(&lines, &message))
        } else if rows.len() == 1 || (same_width && message.starts_with("DIMENSION_MISMATCH")) {
            // What is wrong with one of them is wrong with all.
            if same_width && message.starts_with("DIMENSION_MISMATCH") {
                self.wrong_widths.insert(width, message.clone());
            }
            lines.iter().try_for_each(|&line| self.leave_out(line, &message))
        } else {
            self.store_parts(rows, lines)
        }
    }

    /// Stores rows of which one was refused in two parts: the first with as many values, and the
    /// others, or halves.
    fn store_parts(&mut self, mut rows: Vec<Row>, mut lines: Vec<u64>) -> Result<()> {
        let width = rows.first().map_or(0, |row| row.values.len());
        let alike = rows.iter().take_while(|row| row.values.len() == width).count();
        let part = if alike == rows.len() { alike.div_ceil(2) } else { alike };
        let (later, later_lines) = (rows.split_off(part), lines.split_off(part));
        self.store(rows, lines)?;
        self.store(later, later_lines)
    }

    /// Leaves out rows with as many values as were refused before.
    fn without_wrong_widths(&mut self, rows: Vec<Row>, lines: Vec<u64>) -> Result<(Vec<Row>, Vec<u64>)> {
        let mut left = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (row, line) in rows.into_iter().zip(lines) {
            match self.wrong_widths.get(&row.values.len()).cloned() {
                None => {
                    left.0.push(row);
                    left.1.push(line);
                }
                Some(message) => self.leave_out(line, &message)?,
            }
        }
        Ok(left)
    }

    fn note_stored(&mut self, lines: &[u64]) {
        self.acknowledged += lines.len() as u64;
        self.acknowledged_line = lines.last().copied().unwrap_or(self.acknowledged_line);
    }

    fn refused(&self, lines: &[u64], message: &str) -> Failure {
        let hint = if message.starts_with("SERIES_NOT_FOUND") { " (or import with --create)" } else { "" };
        let lines = match lines {
            [first, .., last] => format!("lines {first} to {last}"),
            [line] => format!("line {line}"),
            [] => String::new(),
        };
        Failure::Refused(format!("{} {lines}: {message}{hint}", self.options.file.display()))
    }

    /// Connects anew and sends again what was not answered: the same points at the same
    /// times, so that none is stored twice.
    fn again(&mut self, reason: &str) -> Result<()> {
        eprintln!("{reason}; connecting again");
        let mut wait = Duration::from_millis(100);
        for attempt in 1..=RETRIES {
            self.stop_where_asked_to()?;
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_secs(5));
            let sent = Connection::open(self.connect).and_then(|connection| {
                self.connection = connection;
                let mut requests = self.in_flight.iter().map(|(rows, _)| batch(&self.options.series, rows));
                requests.try_for_each(|request| self.connection.send(&request))
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
        // Whoever filled a pipe ended by the same Ctrl-C, maybe in the middle of a line.
        self.stop_where_asked_to()?;
        self.send()?;
        self.take_replies()
    }

    fn take_replies(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.take_reply()?;
        }
        Ok(())
    }
}

/// Whether the server refused a row for what it holds, rather than all of them.
fn is_of_a_row(message: &str) -> bool {
    ["DIMENSION_MISMATCH: ", "INVALID_ARGUMENT: "].iter().any(|code| message.starts_with(code))
}

/// The request that stores `rows`: columns where they share their labels.
pub(super) fn batch(series: &str, rows: &[Row]) -> String {
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
