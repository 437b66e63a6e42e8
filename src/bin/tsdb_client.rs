//! The command-line client.

use std::process::ExitCode;

use clap::Parser;
use tsdb_vector::client::{Options, run};

fn main() -> ExitCode {
    run(Options::parse())
}
