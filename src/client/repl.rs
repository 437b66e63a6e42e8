//! A session on a terminal, or commands from a pipe.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::protocol::COMMANDS;

use super::failure::{Failure, Result, on_file};
use super::options::{Options, Task};
use super::session::{Ends, Request, Session};

/// Commands of this program rather than of the server, which has an `EXPORT` of its own.
const OWN: [&str; 3] = ["import", "export", "plot"];

/// Runs commands until there are no more.
pub(super) fn run(session: Session, keep_going: bool) -> Result<()> {
    if std::io::stdin().is_terminal() { interactive(session) } else { piped(session, keep_going) }
}

/// Bytes of commands that are sent before the first must be answered. They fit what the system
/// keeps for a connection, so that neither end waits for the other to read.
const AHEAD_BYTES: usize = 32 << 10;

fn piped(session: Session, keep_going: bool) -> Result<()> {
    let mut input = BufReader::with_capacity(AHEAD_BYTES, std::io::stdin().lock());
    let mut pipe = Pipe { session, keep_going, ahead: Vec::new(), unsent: String::new(), failed: false };
    let mut line = String::new();
    for number in 1_u64.. {
        // Whoever waits for an answer before the next command gets it.
        if !input.buffer().contains(&b'\n') {
            pipe.answer()?;
        }
        line.clear();
        if pipe.session.over || input.read_line(&mut line).map_err(on_file("standard input"))? == 0 {
            break;
        }
        pipe.take(number, line.trim())?;
    }
    pipe.answer()?;
    if pipe.failed { Err(Failure::Printed) } else { Ok(()) }
}

/// Commands of a pipe on their way to the server.
struct Pipe {
    session: Session,
    keep_going: bool,
    /// Those that have no answer, and where each stands.
    ahead: Vec<(String, Request)>,
    /// Their lines.
    unsent: String,
    failed: bool,
}

impl Pipe {
    fn take(&mut self, number: u64, line: &str) -> Result<()> {
        let place = place(number, line);
        if let Some(task) = own_task(line) {
            self.answer()?;
            let done = task.and_then(|(json, task)| match &task {
                Task::Import(import) if import.file == Path::new("-") => Err(Failure::Usage(
                    "standard input has the commands; name a file, or pipe it into tsdb_client import".into(),
                )),
                _ => run_own(&self.session, json, &task),
            });
            return self.note(&place, done);
        }
        let request = match self.session.request(line) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(failure) => return self.note(&place, Err(failure)),
        };
        // After an error nothing else may have run, unless that was asked for.
        let waits = !self.keep_going && !request.is_harmless;
        if waits || self.unsent.len() + request.line.len() > AHEAD_BYTES {
            self.answer()?;
        }
        if !self.unsent.is_empty() {
            self.unsent.push('\n');
        }
        self.unsent.push_str(&request.line);
        let ends = request.ends != Ends::Not;
        self.ahead.push((place, request));
        if waits || ends { self.answer() } else { Ok(()) }
    }

    /// Sends what was taken and prints every answer.
    fn answer(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        self.session.send(&std::mem::take(&mut self.unsent))?;
        for (place, request) in std::mem::take(&mut self.ahead) {
            let answered = self.session.answer(&request);
            self.note(&place, answered)?;
        }
        Ok(())
    }

    /// An error ends the program, or is told before it goes on.
    fn note(&mut self, place: &str, result: Result<()>) -> Result<()> {
        match result {
            Err(Failure::Refused(message)) if self.keep_going => {
                eprintln!("{place}: {message}");
                self.failed = true;
                Ok(())
            }
            result => result.map_err(|failure| failure.at(place)),
        }
    }
}

/// Where a command stands in a pipe, and how it begins; a token is not shown.
fn place(number: u64, line: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = if holds_a_token(line) {
        line.split_whitespace().take(1).map(|word| word.chars().take(5).collect::<String>() + " …").collect()
    } else {
        line.chars().take(SHOWN).chain((line.chars().count() > SHOWN).then_some('…')).collect()
    };
    format!("line {number}, {shown}")
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
            let of_server = names.filter(|name| name.starts_with(&word.to_ascii_uppercase()));
            let own = OWN.into_iter().filter(|name| !word.is_empty() && name.starts_with(word));
            of_server.chain(own).map(|name| format!("{name} ")).collect()
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

/// Tokens are not for the history's file.
fn holds_a_token(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    line.starts_with("auth") || line.contains("\"auth\"") || line.contains("--token")
}

/// What a line asks of this program rather than of the server, and whether JSON shall answer.
fn own_task(line: &str) -> Option<Result<(bool, Task)>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if !words.first().is_some_and(|word| OWN.contains(word)) {
        return None;
    }
    Some(match Options::try_parse_from(std::iter::once("tsdb_client").chain(words)) {
        Ok(options) => options.task.map(|task| (options.json, task)).ok_or(Failure::Printed),
        Err(e) => {
            // Also how clap answers --help. A terminal that can't be written to shows nothing.
            let _ = e.print();
            Err(Failure::Printed)
        }
    })
}

/// What the session says of commands of its own: their help for `help import`.
fn own_help(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [help, name] = words[..] else { return None };
    let mut program = Options::command();
    let found = own_commands(&mut program).find(|command| command.get_name() == name)?;
    help.eq_ignore_ascii_case("help").then(|| found.render_long_help().to_string())
}

/// What follows the server's list of commands.
fn own_summary() -> String {
    let mut program = Options::command();
    let lines = own_commands(&mut program).map(|command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("{0} … (this program's; help {0})\n    {about}.", command.get_name())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn own_commands(program: &mut clap::Command) -> impl Iterator<Item = &mut clap::Command> {
    program.get_subcommands_mut().filter(|command| OWN.contains(&command.get_name()))
}

/// Runs such a task; what has a JSON reply gives it where all others are JSON too.
fn run_own(session: &Session, json: bool, task: &Task) -> Result<()> {
    let json = json || (session.is_json() && matches!(task, Task::Import(_)));
    super::run_task(&session.connect, json, false, task)
}

fn refresh_series(editor: &mut Editor<Completion, FileHistory>, session: &mut Session) {
    if let Some(helper) = editor.helper_mut() {
        helper.series = session.series_names();
    }
}

fn interactive(mut session: Session) -> Result<()> {
    let wrong = |e: ReadlineError| Failure::Refused(format!("the terminal: {e}"));
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(wrong)?;
    editor.set_helper(Some(Completion { series: session.series_names() }));
    if let Some(path) = history_file() {
        // The first session has none.
        let _ = editor.load_history(&path);
    }
    println!(
        "HELP names the commands, Tab completes them and the names of series, QUIT or Ctrl-D leaves.\n\
         import, export and plot work here as they do on the command line (plot --help)."
    );
    loop {
        let line = match editor.readline("tsdb> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(wrong(e)),
        };
        if !line.trim().is_empty() && !holds_a_token(&line) {
            // A line that can't be kept is only missing from the history.
            let _ = editor.add_history_entry(&line);
        }
        if let Some(task) = own_task(&line) {
            if let Err(failure) = task.and_then(|(json, task)| run_own(&session, json, &task)) {
                failure.print();
            }
            refresh_series(&mut editor, &mut session);
            continue;
        }
        if let Some(help) = own_help(&line) {
            println!("{help}");
            continue;
        }
        // As shells have it.
        let line = if line.trim().eq_ignore_ascii_case("exit") { "QUIT".into() } else { line };
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
        match result {
            Ok(()) if line.trim().eq_ignore_ascii_case("help") => println!("{}", own_summary()),
            Ok(()) => {}
            Err(failure) => failure.print(),
        }
        if session.over {
            break;
        }
        if line.trim_start().to_ascii_uppercase().starts_with("CREATE") {
            refresh_series(&mut editor, &mut session);
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
        assert_eq!(completion.candidates("imp"), (0, vec!["import ".to_owned()]));
        assert_eq!(completion.candidates("help pl"), (5, vec!["plot ".to_owned()]));
        assert_eq!(completion.candidates("help mo"), (5, vec!["MOTIF ".to_owned()]));
    }

    #[test]
    fn a_session_does_what_the_program_does() {
        assert!(matches!(
            own_task("plot demand --window 336 --anomalies 6"),
            Some(Ok((false, Task::Plot(_))))
        ));
        assert!(matches!(own_task(" import a b.csv --json"), Some(Ok((true, Task::Import(_))))));
        assert!(matches!(own_task("export a --format xml"), Some(Err(Failure::Printed))));
        assert!(own_task("EXPORT a").is_none() && own_task("LIST").is_none() && own_task("").is_none());
    }

    #[test]
    fn the_help_knows_what_the_session_adds() {
        assert!(own_help("help import").unwrap().contains("--skip-invalid"));
        assert!(own_help("HELP plot").unwrap().contains("--anomalies"));
        assert!(
            own_help("help").is_none() && own_help("help EXPORT").is_none() && own_help("plot a").is_none()
        );
        let summary = own_summary();
        assert!(OWN.iter().all(|name| summary.contains(&format!("help {name}"))), "{summary}");
        assert!(summary.contains("Load a CSV or JSON-lines file into a series."), "{summary}");
    }

    #[test]
    fn the_history_holds_no_token() {
        assert!(holds_a_token(" AUTH secret") && holds_a_token(r#"{"type":"Auth","data":{"token":"x"}}"#));
        assert!(!holds_a_token("LIST"));
        assert_eq!(place(3, "AUTH secret"), "line 3, AUTH …");
        assert_eq!(place(4, r#"{"type":"Auth","data":{"token":"x"}}"#), r#"line 4, {"typ …"#);
        assert_eq!(place(5, &"x".repeat(61)), format!("line 5, {}…", "x".repeat(60)));
    }
}
