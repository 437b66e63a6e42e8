//! The command-line client: one command, a stream of commands, or a session.
//!
//! `options` is what can be asked on the command line; `connection` speaks the line
//! dialects with a server, inside TLS or not; `show` renders replies for people;
//! `repl`, `import` (with `rows`), `export` and `plot` are what the program can do beyond passing a
//! command on, and `interrupt` lets Ctrl-C end an import well.

mod chart;
mod connection;
mod export;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod import;
mod interrupt;
mod options;
mod plot;
mod raster;
mod repl;
mod rows;
mod session;
mod show;
mod svg;
mod times;

use std::process::ExitCode;

use failure::{Failure, Result};
pub use options::Options;
use options::{Connect, Task};
use session::Session;

/// Runs the program.
pub fn run(options: Options) -> ExitCode {
    let Options { connect, json, table, keep_going, task } = options;
    let result = match task {
        Some(task) => run_task(&connect, json, table, &task),
        None => Session::open(&connect, json, table).and_then(|session| repl::run(session, keep_going)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// Runs one task, on a connection of its own.
fn run_task(connect: &Connect, json: bool, table: bool, task: &Task) -> Result<()> {
    match task {
        Task::Import(import) => import::run(connect, import, json),
        Task::Export(_) if json => Err(Failure::Usage(
            "export has no JSON reply; --format json writes one JSON object a point".into(),
        )),
        Task::Plot(_) if json => Err(Failure::Usage(
            "plot has no JSON reply; ANOMALY, MOTIF, SEGMENT and SNIPPETS with --json say what it would mark"
                .into(),
        )),
        Task::Export(export) => export::run(connect, export),
        Task::Plot(plot) => plot::run(connect, plot),
        Task::Command(words) => Session::open(connect, json, table)?.run_words(words),
    }
}
