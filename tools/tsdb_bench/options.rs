//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// What to measure; the letters are those of docs/performance.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// A: batches over the wire.
    #[value(alias = "a")]
    Ingest,
    /// B: single points, each durable before its answer.
    #[value(alias = "b")]
    Durable,
    /// C: ranges at random places.
    #[value(alias = "c")]
    Ranges,
    /// D: after a kill and after a stop, until the first correct answer.
    #[value(alias = "d")]
    Restart,
    /// E: bytes a point on disk.
    #[value(alias = "e")]
    Size,
    /// F: memory.
    #[value(alias = "f")]
    Memory,
    /// G: ten times and more the points, and many series.
    #[value(alias = "g")]
    Growth,
    /// H: anomalies of short series.
    #[value(alias = "h")]
    Analyses,
    /// I: small requests beside batches, compaction and a long matrix profile.
    #[value(alias = "i")]
    Background,
    /// A to I.
    All,
    /// Anomalies of a folder in the form of the UCR archive (`index.csv` and `*.f64`).
    Ucr,
    /// Anomalies of a folder of the Numenta Anomaly Benchmark (`anomaly_windows.json` and
    /// `*.csv`).
    Nab,
}

/// Who is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Redis,
    VictoriaMetrics,
    Influxdb,
    /// Nobody.
    None,
}

/// Measures TSDB Vector beside its peers, on one machine, in one run.
///
/// Starts every server itself, on a free loopback port and in a directory of its own, and
/// takes turns between them, so that noise hits all. Needs Linux. The peers are those of
/// Debian: apt-get install redis-server victoria-metrics influxdb.
#[derive(Debug, Clone, Parser)]
#[command(name = "tsdb_bench", version)]
pub struct Options {
    /// What to measure.
    pub workload: Workload,
    /// The labelled series of `ucr` and `nab`.
    pub folder: Option<PathBuf>,
    /// Only this peer; may be repeated [default: all].
    #[arg(long)]
    pub peer: Vec<Peer>,
    /// Our server [default: `tsdb_server` beside this program].
    #[arg(long, value_name = "PROGRAM")]
    pub server: Option<PathBuf>,
    /// Where the servers store: the disk that is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
    /// Points of the data set.
    #[arg(long, default_value_t = 10_000_000)]
    pub points: u64,
    /// Series that they are spread over.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub series: u64,
    /// Points of a batch.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Rounds, of which the median is shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub rounds: u64,
    /// Seconds of a measurement of requests.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Seconds without work after which a server's background work counts as done.
    #[arg(long, default_value_t = 3.0)]
    pub idle: f64,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Wait for all replies on a connection before the next requests, as redis-benchmark
    /// does, instead of keeping at least half of them in flight.
    #[arg(long)]
    pub bursts: bool,
    /// Folder of CSV files `timestamp,value`, such as the Numenta Anomaly Benchmark's, for
    /// the sizes.
    #[arg(long, value_name = "FOLDER")]
    pub nab: Option<PathBuf>,
    /// Points to grow to.
    #[arg(long, default_value_t = 100_000_000)]
    pub growth_points: u64,
    /// Series to grow to.
    #[arg(long, default_value_t = 1_000_000)]
    pub growth_series: u64,
    /// A tenth of the points and series, a quarter of the seconds.
    #[arg(long)]
    pub quick: bool,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
}

impl Options {
    /// With `--quick` applied.
    pub fn scaled(mut self) -> Self {
        if self.quick {
            self.points /= 10;
            self.growth_points /= 10;
            self.growth_series /= 10;
            self.seconds /= 4.0;
        }
        self
    }

    /// How long a server must be idle for its background work to be done.
    pub fn idle(&self) -> Duration {
        Duration::from_secs_f64(self.idle)
    }

    /// How long requests are measured.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Points of each series of the data set.
    pub fn points_each(&self) -> u64 {
        (self.points / self.series).max(1)
    }

    /// Whether a peer takes part.
    pub fn has(&self, peer: Peer) -> bool {
        let alone = matches!(self.workload, Workload::Ucr | Workload::Nab);
        !alone && (self.peer.is_empty() || self.peer.contains(&peer))
    }
}
