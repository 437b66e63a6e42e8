//! Commands passed on to the server, and their replies printed.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::protocol::{Command, json_request, parse_text};

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
        if line.contains(['\n', '\r']) {
            return Err(Failure::Usage("a command is one line".into()));
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with('{') {
            return self.run_json(line, None);
        }
        let command = parse_text(line);
        self.over = matches!(command, Ok(Command::Quit));
        let listens = matches!(command, Ok(Command::Subscribe { .. }));
        // What is no command is the server's to say.
        let answered = match command.ok().as_ref().map(json_request).filter(|_| self.form != Form::Text) {
            Some(request) => self.run_json(&request.to_string(), request["type"].as_str()),
            None => self.run_text(line),
        };
        if listens && answered.is_ok() {
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

    fn run_text(&mut self, line: &str) -> Result<()> {
        self.connection.send(line)?;
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
    fn run_json(&mut self, line: &str, kind: Option<&str>) -> Result<()> {
        self.connection.send(line)?;
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

    /// Names of the series, for completion; none where they can't be had.
    pub fn series_names(&mut self) -> Vec<String> {
        let list = self.connection.json(r#"{"type":"ListSeries"}"#).unwrap_or(Value::Null);
        let names = list["series"].as_array().into_iter().flatten();
        names.filter_map(|series| Some(series["name"].as_str()?.to_owned())).collect()
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
