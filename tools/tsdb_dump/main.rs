//! The offline inspector of data directories.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tsdb_vector::dump::run(&tsdb_vector::dump::Options::parse())
}
