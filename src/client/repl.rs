//! A session on a terminal, or commands from a pipe.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::protocol::COMMANDS;

use super::failure::{Failure, Result, on_file};
use super::session::Session;

/// Runs commands until there are no more.
pub(super) fn run(session: Session, keep_going: bool) -> Result<()> {
    if std::io::stdin().is_terminal() { interactive(session) } else { piped(session, keep_going) }
}

fn piped(mut session: Session, keep_going: bool) -> Result<()> {
    let mut failed = false;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(on_file("standard input"))?;
        match session.run(&line) {
            Err(Failure::Refused(message)) if keep_going => {
                eprintln!("{message}");
                failed = true;
            }
            result => result?,
        }
        if session.over {
            break;
        }
    }
    if failed { Err(Failure::Printed) } else { Ok(()) }
}

struct Completion {
    series: Vec<String>,
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line.get(..position).unwrap_or(line)))
    }
}

impl Completion {
    /// Where the word begins that is typed, and what it may become: a command first,
    /// then a series.
    fn candidates(&self, typed: &str) -> (usize, Vec<String>) {
        let start = typed.rfind(' ').map_or(0, |at| at + 1);
        let word = typed.get(start..).unwrap_or_default();
        let first = typed.split_whitespace().next().unwrap_or_default();
        let mut found: Vec<String> = if start == 0 || first.eq_ignore_ascii_case("help") {
            let names = COMMANDS.iter().map(|command| command.name);
            names
                .filter(|name| name.starts_with(&word.to_ascii_uppercase()))
                .map(|name| format!("{name} "))
                .collect()
        } else if typed.split(' ').count() == 2 {
            let names = self.series.iter().filter(|name| name.starts_with(word));
            names.map(|name| format!("{name} ")).collect()
        } else {
            Vec::new()
        };
        found.dedup();
        (start, found)
    }
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".tsdb_client_history"))
}

fn interactive(mut session: Session) -> Result<()> {
    let wrong = |e: ReadlineError| Failure::Refused(format!("the terminal: {e}"));
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(wrong)?;
    editor.set_helper(Some(Completion { series: session.series_names() }));
    if let Some(path) = history_file() {
        // The first session has none.
        let _ = editor.load_history(&path);
    }
    println!("HELP names the commands, Tab completes them and the names of series, QUIT or Ctrl-D leaves.");
    loop {
        let line = match editor.readline("tsdb> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(wrong(e)),
        };
        let result = match session.run(&line) {
            // Servers are restarted; reads and most writes can be sent again, but what
            // the first did is not known.
            Err(Failure::Unreachable(message)) => {
                eprintln!("{message}");
                session
                    .reconnect()
                    .map(|()| eprintln!("(connected again; the command may or may not have run)"))
            }
            result => result,
        };
        if let Err(failure) = result {
            failure.print();
        }
        if session.over {
            break;
        }
        if let Some(helper) = editor.helper_mut()
            && line.trim_start().to_ascii_uppercase().starts_with("CREATE")
        {
            helper.series = session.series_names();
        }
    }
    if let Some(path) = history_file()
        && let Err(e) = editor.save_history(&path)
    {
        eprintln!("the history was not saved to {}: {e}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_first_and_series_second() {
        let completion = Completion { series: vec!["demand".into(), "ecg".into()] };
        assert_eq!(completion.candidates("ano"), (0, vec!["ANOMALY ".to_owned()]));
        assert_eq!(completion.candidates("ANOMALY d"), (8, vec!["demand ".to_owned()]));
        assert_eq!(completion.candidates("ANOMALY ").1.len(), 2);
        assert!(completion.candidates("ANOMALY demand 3").1.is_empty());
        assert_eq!(completion.candidates("help mo"), (5, vec!["MOTIF ".to_owned()]));
    }
}
