//! Offline inspection of a data directory: read-only, through the server's own
//! readers, on damaged files too.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inspect;
mod log;
mod segment;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::Error;
use crate::engine::verify;
use crate::vfs::{RealDisk, Vfs};
use clap::{Parser, Subcommand};

/// Look into the files of TSDB Vector while no server runs.
///
/// Nothing is changed. Exits with 1 where something is damaged, and says where.
#[derive(Debug, Parser)]
#[command(name = "tsdb_dump", version)]
pub struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check every checksum, and the manifests against the files.
    Verify {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Show a segment: header, footer, index, blocks with their codecs and sizes.
    Segment {
        /// The file.
        file: PathBuf,
        /// The points and tombstones too.
        #[arg(long)]
        rows: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a write-ahead log, record by record, to its end and what is behind it.
    Wal {
        /// The file.
        file: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show the manifests of all shards.
    Manifest {
        /// The data directory.
        data_dir: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show every file, and what the engine would open.
    Tree {
        /// The data directory.
        data_dir: PathBuf,
    },
}

/// Why a dump is not whole.
enum Problem {
    /// A file is damaged, and said so in the output.
    Damaged,
    /// A file can't be read at all.
    Unreadable(Error),
    /// Nobody reads the output.
    Output(std::io::Error),
}

impl From<std::io::Error> for Problem {
    fn from(e: std::io::Error) -> Self {
        Self::Output(e)
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        Self::Unreadable(e)
    }
}

/// Runs the program.
pub fn run(options: &Options) -> ExitCode {
    let vfs: Arc<dyn Vfs> = Arc::new(RealDisk);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = run_task(&vfs, &options.task, &mut out);
    match result.and_then(|()| out.flush().map_err(Problem::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Damaged) => {
            // The rest of the output went the same way if this fails.
            let _ = out.flush();
            ExitCode::FAILURE
        }
        Err(Problem::Unreadable(e)) => {
            let _ = out.flush();
            eprintln!("{}", e.message());
            ExitCode::FAILURE
        }
        Err(Problem::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Problem::Output(e)) => {
            eprintln!("standard output: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run_task(vfs: &Arc<dyn Vfs>, task: &Task, out: &mut impl Write) -> Result<(), Problem> {
    match task {
        Task::Verify { data_dir } => check(vfs, data_dir, out),
        Task::Segment { file, rows, json } => segment::dump(vfs, file, *rows, *json, out),
        Task::Wal { file, json } => log::dump(vfs.as_ref(), file, *json, out),
        Task::Manifest { data_dir, json } => inspect::manifests(vfs, data_dir, *json, out),
        Task::Tree { data_dir } => inspect::tree(vfs, data_dir, out),
    }
}

fn check(vfs: &Arc<dyn Vfs>, data_dir: &std::path::Path, out: &mut impl Write) -> Result<(), Problem> {
    if vfs.metadata(data_dir).is_ok_and(|found| found.is_none()) {
        return Err(
            Error::invalid(format!("{} does not exist; name a data directory", data_dir.display())).into()
        );
    }
    inspect::refuse_where_a_server_runs(vfs.as_ref(), data_dir)?;
    let found = verify(vfs, data_dir);
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    for problem in &found.problems {
        writeln!(out, "damaged: {problem}")?;
    }
    if found.problems.is_empty() {
        writeln!(out, "ok: {} files, {} points", found.files, found.points)?;
        return Ok(());
    }
    writeln!(
        out,
        "damaged: {} of {} files",
        found.problems.len(),
        found.files + found.problems.len() as u64
    )?;
    Err(Problem::Damaged)
}
