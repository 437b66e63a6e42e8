//! The server program.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;
use tsdb_vector::server::{Settings, run};

/// Gives back what many threads have freed, which the system's allocator keeps.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let settings = Settings::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Where the log can't be written, that can't be said either.
        .log_internal_errors(false)
        .init();
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "tsdb_server: {}", e.message());
            ExitCode::FAILURE
        }
    }
}
