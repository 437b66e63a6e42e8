//! Replies as bytes, in pieces: a reply of a million rows or matches is never held as text.
//! What a piece is like is known here, what it says in its dialect.

mod csv;
mod json;
mod text;

use crate::base::{Error, Result, Rows};

use super::decimal::Decimals;
use super::{Envelope, Pages, Reply};

pub use csv::csv_field;
pub(super) use json::labels_value;
pub(super) use text::float;

use csv::csv_row;
use json::{Column, json_escape, json_row};
use text::text_row;

/// Rows rendered between two looks at the size of the output.
const ROWS_PER_STEP: usize = 256;

/// Renders one reply.
pub struct Renderer {
    envelope: Envelope,
    state: State,
    decimals: Decimals,
}

enum State {
    Start(Result<Reply>),
    /// Head written; rows from here on.
    Rows {
        rows: Rows,
        next: usize,
        form: RowForm,
        tail: &'static str,
        more: Option<Pages>,
        /// Rows that are left to come, which the head has promised.
        left: u64,
        /// Whether a row was written.
        begun: bool,
    },
    /// Head and begin of a column written.
    Columns {
        rows: Rows,
        column: Column,
        next: usize,
        more: Option<Pages>,
        /// Rows of all pages, and those that are left to come of this column.
        count: u64,
        left: u64,
        begun: bool,
    },
    /// Head written; elements of a list from here on.
    List {
        elements: Elements,
        separator: &'static str,
        tail: Vec<u8>,
        begun: bool,
    },
    Done,
}

/// Elements of a list, as they are written.
type Elements = Box<dyn Iterator<Item = Vec<u8>> + Send>;

#[derive(Clone, Copy, PartialEq)]
enum RowForm {
    Text,
    TextCsv,
    Json,
    /// CSV inside of a JSON string.
    JsonCsv,
}

impl State {
    fn rows(rows: Rows, form: RowForm, tail: &'static str) -> Self {
        Self::Rows { rows, next: 0, form, tail, more: None, left: 0, begun: false }
    }

    fn columns(rows: Rows, more: Option<Pages>, count: u64) -> Self {
        Self::Columns { rows, column: Column::Timestamps, next: 0, more, count, left: count, begun: false }
    }

    fn pages(pages: Pages, dimension: usize, count: u64, form: RowForm, tail: &'static str) -> Self {
        Self::Rows {
            rows: Rows::new(dimension),
            next: 0,
            form,
            tail,
            more: Some(pages),
            left: count,
            begun: false,
        }
    }
}

/// Puts the next page in the place of the rows that are written; false at the end, when
/// all that were promised have come.
fn turn_page(more: &mut Option<Pages>, rows: &mut Rows, left: &mut u64) -> Result<bool> {
    let miscounted = || Error::internal("a reply has another number of points than were counted");
    let Some(pages) = more else { return Ok(false) };
    match pages.next_page()? {
        Some(page) => {
            *left = left.checked_sub(page.len() as u64).ok_or_else(miscounted)?;
            *rows = page;
            Ok(true)
        }
        None if *left > 0 => Err(miscounted()),
        None => Ok(false),
    }
}

impl Renderer {
    /// Prepares the reply to a request.
    pub fn new(envelope: Envelope, reply: Result<Reply>) -> Self {
        Self { envelope, state: State::Start(reply), decimals: Decimals::default() }
    }

    /// Appends to `out` until it has about `bytes_max` bytes or the reply is complete;
    /// says whether it is.
    ///
    /// # Errors
    /// Where rows that were promised can't be read: the reply can't be completed, so
    /// that its connection must end.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<bool> {
        loop {
            match &mut self.state {
                State::Start(_) => self.start(out),
                State::Done => return Ok(true),
                State::Columns { rows, column, next, more, count, left, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    if *next == rows.len() {
                        if turn_page(more, rows, left)? {
                            *next = 0;
                            continue;
                        }
                        let Some(following) = column.begin_next(rows, out) else {
                            self.state = State::Done;
                            continue;
                        };
                        (*column, *next, *begun) = (following, 0, false);
                        if let Some(pages) = more {
                            // Each column reads the pages for itself.
                            pages.rewind();
                            (*next, *left) = (rows.len(), *count);
                            continue;
                        }
                    }
                    let end = (*next + ROWS_PER_STEP).min(rows.len());
                    let as_strings = self.envelope.timestamps_as_strings;
                    column.push(rows, *next..end, as_strings, begun, &mut self.decimals, out);
                    *next = end;
                }
                State::List { elements, separator, tail, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    let Some(element) = elements.next() else {
                        out.append(tail);
                        self.state = State::Done;
                        continue;
                    };
                    if std::mem::replace(begun, true) {
                        out.extend_from_slice(separator.as_bytes());
                    }
                    out.extend_from_slice(&element);
                }
                State::Rows { rows, next, form, tail, more, left, begun } => {
                    if out.len() >= bytes_max {
                        return Ok(false);
                    }
                    if *next == rows.len() && more.is_some() {
                        if turn_page(more, rows, left)? {
                            *next = 0;
                            continue;
                        }
                        *more = None;
                    }
                    let end = (*next + ROWS_PER_STEP).min(rows.len());
                    for row in *next..end {
                        match form {
                            RowForm::Text => text_row(rows, row, &mut self.decimals, out),
                            RowForm::TextCsv => {
                                csv_row(rows, row, &mut self.decimals, out);
                                out.push(b'\n');
                            }
                            RowForm::Json => {
                                if *begun {
                                    out.push(b',');
                                }
                                *begun = true;
                                let as_strings = self.envelope.timestamps_as_strings;
                                json_row(rows, row, as_strings, &mut self.decimals, out);
                            }
                            RowForm::JsonCsv => {
                                let mut line = Vec::new();
                                csv_row(rows, row, &mut self.decimals, &mut line);
                                line.push(b'\n');
                                json_escape(&line, out);
                            }
                        }
                    }
                    *next = end;
                    if end == rows.len() && more.is_none() {
                        out.extend_from_slice(tail.as_bytes());
                        self.state = State::Done;
                    }
                }
            }
        }
    }

    /// Gives back the memory of what can be read again: the reader takes its time.
    pub fn let_go(&mut self) {
        if let State::Rows { more: Some(pages), .. } | State::Columns { more: Some(pages), .. } =
            &mut self.state
        {
            pages.let_go();
        }
    }

    /// The whole reply.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn render(mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.fill(&mut out, usize::MAX)?;
        Ok(out)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        let State::Start(reply) = std::mem::replace(&mut self.state, State::Done) else { return };
        if let Ok(Reply::Inserted { timestamp_ns }) = reply {
            return self.point_written(timestamp_ns, out);
        }
        if self.envelope.json {
            self.start_json(reply, out);
        } else {
            self.start_text(reply, out);
        }
    }

    /// The reply that is sent most often.
    fn point_written(&self, timestamp_ns: i64, out: &mut Vec<u8>) {
        if !self.envelope.json {
            return push_point_written(timestamp_ns, out);
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(timestamp_ns).as_bytes();
        self.json_start(true, out);
        let quote: &[u8] = if self.envelope.timestamps_as_strings { b"\"" } else { b"" };
        let name: &[u8] = b",\"data\":{\"timestamp_ns\":";
        for piece in [name, quote, digits, quote, b"}}\n"] {
            out.extend_from_slice(piece);
        }
    }
}

/// The reply to `INSERT` and `INSERT_AT` as text.
pub fn push_point_written(timestamp_ns: i64, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"OK 0 ");
    out.extend_from_slice(digits.format(timestamp_ns).as_bytes());
    out.push(b'\n');
}

/// JSON keeps the `.0` of whole numbers, by which many readers know that a number is no
/// integer.
fn push_values(values: &[f64], json: bool, decimals: &mut Decimals, out: &mut Vec<u8>) {
    for (at, &value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        decimals.push(value, json, out);
    }
}

fn push_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests;
