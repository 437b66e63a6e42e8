//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Command-line client of TSDB Vector.
///
/// With a command, runs it and exits: 0 when it went well, 1 when the server refused
/// it or a file can't be read or written, 2 when the program was called wrongly, such as
/// with a column that the file does not have, 3 when there is no connection, 130 when
/// Ctrl-C ended it. Without one, opens a session on a terminal; otherwise runs one
/// command per line of standard input; what reads, and `INSERT_AT`, is sent ahead of the
/// answers before it, with --continue everything is.
#[derive(Debug, Parser)]
#[command(name = "tsdb_client", version, args_override_self = true, after_help = COMMANDS_HELP)]
pub struct Options {
    /// Print the JSON reply, on one line. An import has one of its own; export and plot
    /// have none.
    #[arg(long, global = true, help_heading = "Output")]
    pub(super) json: bool,
    /// Print rows as a table with readable times, as on a terminal, even into a pipe.
    #[arg(long, global = true, conflicts_with = "json", help_heading = "Output")]
    pub(super) table: bool,
    /// Go on after an error when reading commands from standard input.
    #[arg(long = "continue")]
    pub(super) keep_going: bool,
    #[command(flatten)]
    pub(super) connect: Connect,
    #[command(subcommand)]
    pub(super) task: Option<Task>,
}

const COMMANDS_HELP: &str = "\
Any other word is a command of the text dialect, for instance:
  tsdb_client CREATE demand 1
  tsdb_client INSERT demand 4.2 state=victoria
  tsdb_client QUERY demand 48
  tsdb_client ANOMALY demand 336 6
  tsdb_client HELP

EXPORT in capitals is the text dialect's; export, import and plot are this program's.";

/// How to reach the server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connect {
    /// Host of the server.
    #[arg(long, env = "TSDB_HOST", default_value = "127.0.0.1", global = true)]
    pub host: String,
    /// Port of the server.
    #[arg(long, env = "TSDB_PORT", default_value_t = 6380, global = true)]
    pub port: u16,
    /// Token, where the server wants one.
    #[arg(long, env = "TSDB_AUTH_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
    /// Speak TLS, and trust what the system trusts.
    #[arg(long, global = true)]
    pub tls: bool,
    /// Speak TLS, and trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE", global = true)]
    pub tls_ca: Option<PathBuf>,
    /// Own certificate (PEM), where the server asks for one.
    #[arg(long, value_name = "FILE", requires = "tls_key", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the own certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert", global = true)]
    pub tls_key: Option<PathBuf>,
    /// Seconds to wait for a connection, and for each reply.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", global = true)]
    pub timeout: u64,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Task {
    Import(Import),
    Export(Export),
    Plot(Plot),
    #[command(external_subcommand)]
    Command(Vec<String>),
}

/// Load a CSV or JSON-lines file into a series.
///
/// Writing a point again replaces it, so an import that was interrupted can simply be
/// started again, or from a line on with --from-line: after Ctrl-C it says from which.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The series.
    pub series: String,
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// Column of the time: its name, or its number from 1 [default: a column named
    /// `timestamp_ns`, timestamp, time, date, datetime or ts, else the first].
    #[arg(long, value_name = "NAME|N")]
    pub time_column: Option<String>,
    /// How the time is written: auto, s, ms, us, ns, or a strftime pattern such as
    /// '%d.%m.%Y %H:%M'. Times without a zone are UTC.
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    pub time_format: String,
    /// Columns of the values, by name or number, separated by commas [default: all
    /// that are left].
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub value_columns: Vec<String>,
    /// Columns whose fields become labels under the column's name.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Make the series where it does not exist.
    #[arg(long)]
    pub create: bool,
    /// Value type of a series that --create makes.
    #[arg(long, default_value = "f64", value_name = "f64|f32", requires = "create")]
    pub value_type: String,
    /// The first row is data, not names.
    #[arg(long)]
    pub no_header: bool,
    /// Skip rows that can't be read, and count them, rather than stop.
    #[arg(long)]
    pub skip_invalid: bool,
    /// Start at this line of the file, counted from 1.
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,
    /// Points sent in one request.
    #[arg(long, value_name = "POINTS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
}

/// Which points.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Only from this time on: a date, a time, or nanoseconds since 1970.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Only up to this time, inclusive; a date is its last nanosecond.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
    /// Only points with these labels.
    #[arg(long, value_name = "k=v,…")]
    pub labels: Option<String>,
}

/// Write a series to a file or to standard output.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The series.
    pub series: String,
    /// csv, or json for one JSON object a line. `import` reads both back, a series without
    /// points as csv alone.
    #[arg(long, default_value = "csv", value_parser = ["csv", "json"])]
    pub format: String,
    /// Write to this file instead of standard output, which `-` is.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub selection: Selection,
}

/// Draw a series, with its anomalies, motifs, changes or snippets.
#[derive(Debug, Args)]
pub(super) struct Plot {
    /// The series.
    pub series: String,
    /// Draw to this file, named .svg or .png, instead of the terminal.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Mark the most unusual windows.
    #[arg(long, value_name = "K", requires = "window", conflicts_with_all = ["motifs", "changes", "snippets"])]
    pub anomalies: Option<usize>,
    /// Mark the closest pairs of windows.
    #[arg(long, value_name = "K", requires = "window", conflicts_with_all = ["changes", "snippets"])]
    pub motifs: Option<usize>,
    /// Mark all windows like a motif, too.
    #[arg(long, requires = "motifs")]
    pub occurrences: bool,
    /// Mark where the series begins to be like something else.
    #[arg(long, value_name = "K", requires = "window", conflicts_with = "snippets")]
    pub changes: Option<usize>,
    /// Mark the stretches that stand best for all.
    #[arg(long, value_name = "K", requires = "window")]
    pub snippets: Option<usize>,
    /// Points that a window has.
    #[arg(long, value_name = "POINTS")]
    pub window: Option<usize>,
    /// Which value of each point, counted from 0.
    #[arg(long, default_value_t = 0)]
    pub dimension: usize,
    /// Width: characters on a terminal, pixels in a file.
    #[arg(long)]
    pub width: Option<usize>,
    /// Height: lines on a terminal, pixels in a file.
    #[arg(long)]
    pub height: Option<usize>,
    /// Title of the picture [default: the series].
    #[arg(long)]
    pub title: Option<String>,
    #[command(flatten)]
    pub selection: Selection,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Options {
        Options::try_parse_from([&["tsdb_client"], args].concat()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn commands_pass_through_and_subcommands_do_not() {
        let options = parse(&["--port", "7", "INSERT_AT", "a", "-5", "-1,2", "k=v"]);
        assert_eq!(options.connect.port, 7);
        let Some(Task::Command(words)) = options.task else { panic!("a command") };
        assert_eq!(words, ["INSERT_AT", "a", "-5", "-1,2", "k=v"]);
        assert!(matches!(parse(&["EXPORT", "a"]).task, Some(Task::Command(_))));
        let options = parse(&["import", "a", "f.csv", "--value-columns", "x,y", "--port", "9", "--create"]);
        assert_eq!(options.connect.port, 9);
        let Some(Task::Import(import)) = options.task else { panic!("an import") };
        assert_eq!(import.value_columns, ["x", "y"]);
        assert!(parse(&[]).task.is_none());
        assert!(Options::try_parse_from(["tsdb_client", "plot", "a", "--anomalies", "3"]).is_err());
        let both = ["tsdb_client", "plot", "a", "--window", "9", "--changes", "3", "--snippets", "1"];
        assert!(Options::try_parse_from(both).is_err());
        let lines_are_counted_from_1 = ["tsdb_client", "import", "a", "f.csv", "--from-line", "0"];
        assert!(Options::try_parse_from(lines_are_counted_from_1).is_err());
    }
}
