//! Commands passed on to the server, and their replies printed.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::protocol::{Command, json_request, parse_json, parse_text};

use super::connection::{Connection, TextReply, error_text};
use super::failure::{Failure, Result, on_file};
use super::options::Connect;
use super::show::show;

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the text dialect has them.
    Text,
    /// As the JSON dialect has them.
    Json,
    /// As tables.
    Table,
}

/// A line for the server, and what its reply is.
pub(super) struct Request {
    pub line: String,
    answer: Answer,
    /// Whether it may run though a command before it failed.
    pub is_harmless: bool,
    pub ends: Ends,
}

/// The dialect of a reply.
enum Answer {
    Text,
    /// With the request's type where it may become a table.
    Json(Option<String>),
}

/// Whether a command is the last of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    Not,
    Quits,
    Listens,
}

/// A connection and how to print what it says.
pub(super) struct Session {
    pub connect: Connect,
    connection: Connection,
    form: Form,
    /// Whether the last command was to end it.
    pub over: bool,
}

impl Session {
    pub fn open(connect: &Connect, json: bool, table: bool) -> Result<Self> {
        let form = match (json, table || std::io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Table,
            (false, false) => Form::Text,
        };
        Ok(Self { connect: connect.clone(), connection: Connection::open(connect)?, form, over: false })
    }

    /// Connects anew, for instance after the server was started again.
    pub fn reconnect(&mut self) -> Result<()> {
        self.connection = Connection::open(&self.connect)?;
        Ok(())
    }

    /// Runs a command given as words of a shell, which has taken the quotes away.
    pub fn run_words(&mut self, words: &[String]) -> Result<()> {
        const OPTIONS: [&str; 5] = ["--json", "--table", "--host", "--port", "--token"];
        if let Some(option) = words.iter().skip(1).find(|word| OPTIONS.contains(&word.as_str())) {
            let command = &words[0];
            return Err(Failure::Usage(format!(
                "options stand before the command: tsdb_client {option} … {command}"
            )));
        }
        match words {
            [line] => self.run(line),
            words => self.run(&words.iter().map(|word| requote(word)).collect::<Vec<_>>().join(" ")),
        }
    }

    /// Runs one line and prints its reply.
    ///
    /// # Errors
    /// `Refused` where the server refuses it.
    pub fn run(&mut self, line: &str) -> Result<()> {
        let Some(request) = self.request(line)? else { return Ok(()) };
        self.send(&request.line)?;
        self.answer(&request)
    }

    /// What a line asks of the server; nothing where it is blank.
    pub fn request(&self, line: &str) -> Result<Option<Request>> {
        if line.contains(['\n', '\r']) {
            return Err(Failure::Usage("a command is one line".into()));
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        if line.starts_with('{') {
            let changes_nothing =
                parse_json(line.as_bytes()).command.is_ok_and(|command| is_harmless(&command));
            let answer = Answer::Json(None);
            return Ok(Some(Request {
                line: line.to_owned(),
                answer,
                is_harmless: changes_nothing,
                ends: Ends::Not,
            }));
        }
        // What is no command is the server's to say.
        let command = parse_text(line).ok();
        let ends = match command {
            Some(Command::Quit) => Ends::Quits,
            Some(Command::Subscribe { .. }) => Ends::Listens,
            _ => Ends::Not,
        };
        let is_harmless = command.as_ref().is_some_and(is_harmless);
        let json = command.as_ref().map(json_request).filter(|_| self.form != Form::Text);
        let (line, answer) = match json {
            Some(request) => (request.to_string(), Answer::Json(request["type"].as_str().map(str::to_owned))),
            None => (line.to_owned(), Answer::Text),
        };
        Ok(Some(Request { line, answer, is_harmless, ends }))
    }

    /// Sends a line, or several.
    pub fn send(&mut self, lines: &str) -> Result<()> {
        self.connection.send(lines)
    }

    /// Prints the reply to a request that was sent.
    pub fn answer(&mut self, request: &Request) -> Result<()> {
        self.over = request.ends == Ends::Quits;
        let answered = match &request.answer {
            Answer::Text => self.answer_text(),
            Answer::Json(kind) => self.answer_json(kind.as_deref()),
        };
        if request.ends == Ends::Listens && answered.is_ok() {
            return self.show_alerts();
        }
        answered
    }

    /// Shows alerts as they come, until the connection or the program ends.
    fn show_alerts(&mut self) -> Result<()> {
        if std::io::stderr().is_terminal() {
            eprintln!("Alerts follow as they come. Ctrl-C ends this program.");
        }
        loop {
            let line = self.connection.line()?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush()).map_err(on_file("standard output"))?;
        }
    }

    fn answer_text(&mut self) -> Result<()> {
        match self.connection.text_reply()? {
            TextReply::Ok(head, rows) => {
                let mut out = std::io::stdout().lock();
                let mut write = || {
                    writeln!(out, "{head}")?;
                    rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
                    out.flush()
                };
                write().map_err(on_file("standard output"))
            }
            TextReply::Err(error) => Err(Failure::Refused(error.replacen(' ', ": ", 1))),
        }
    }

    /// `kind` is the request's type where the reply may become a table.
    fn answer_json(&mut self, kind: Option<&str>) -> Result<()> {
        let (raw, reply) = self.connection.json_reply()?;
        if reply["ok"] != true && self.form != Form::Json {
            return Err(Failure::Refused(error_text(&reply)));
        }
        let shown = match (self.form, kind) {
            (Form::Table, Some(kind)) => show(kind, &reply["data"]),
            _ => raw,
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{shown}").and_then(|()| out.flush()).map_err(on_file("standard output"))?;
        if reply["ok"] == true { Ok(()) } else { Err(Failure::Refused(error_text(&reply))) }
    }

    /// Whether replies are printed as JSON.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Names of the series, for completion; none where they can't be had.
    pub fn series_names(&mut self) -> Vec<String> {
        let list = self.connection.json(r#"{"type":"ListSeries"}"#).unwrap_or(Value::Null);
        let names = list["series"].as_array().into_iter().flatten();
        names.filter_map(|series| Some(series["name"].as_str()?.to_owned())).collect()
    }
}

/// Whether it may run though a command before it failed: it reads, or stores points at times
/// of their own, which may be stored again.
fn is_harmless(command: &Command) -> bool {
    match command {
        Command::Insert { points, .. } | Command::BatchInsert { points, .. } => points.unassigned.is_empty(),
        Command::Query { .. }
        | Command::FindSimilar(_)
        | Command::Analyze(_)
        | Command::Watches
        | Command::Stats { .. }
        | Command::List
        | Command::Export { .. }
        | Command::Ping
        | Command::Help { .. } => true,
        _ => false,
    }
}

/// A word of a shell as a word of the text dialect.
fn requote(word: &str) -> String {
    if !word.contains(char::is_whitespace) || word.contains('"') {
        return word.to_owned();
    }
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\"));
    match word.split_once('=') {
        // k=a b,k2=c: each value by itself.
        Some(_) => {
            let pairs = word.split(',').map(|pair| match pair.split_once('=') {
                Some((key, value)) if value.contains(char::is_whitespace) => {
                    format!("{key}={}", quoted(value))
                }
                _ => pair.to_owned(),
            });
            pairs.collect::<Vec<_>>().join(",")
        }
        None => quoted(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_keep_their_blanks() {
        assert_eq!(requote("a=b"), "a=b");
        assert_eq!(requote("room=living room,floor=2"), "room=\"living room\",floor=2");
        assert_eq!(requote("open sesame"), "\"open sesame\"");
        assert_eq!(requote("a=\"b c\""), "a=\"b c\"");
    }
}
