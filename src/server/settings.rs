//! What an operator can set: flag over environment over default.

use std::path::PathBuf;

use crate::base::{
    LABEL_SETS_MAX_DEFAULT, LABEL_SETS_OF_SERIES_MAX_DEFAULT, RESULT_POINTS_MAX_DEFAULT, SERIES_MAX_DEFAULT,
};
use crate::engine::{Durability, Options, Recover};

/// A time-series database whose points are vectors, with similarity search and
/// Matrix Profile analytics inside.
///
/// Speaks a text protocol, JSON lines and HTTP on one port. Every flag can also be set
/// by the environment variable beside it.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "tsdb_server", version, args_override_self = true)]
pub struct Settings {
    /// Address to listen on. Anything but a loopback address should have --auth-token.
    #[arg(long, env = "TSDB_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, env = "TSDB_PORT", default_value_t = super::PORT_DEFAULT)]
    pub port: u16,
    /// Where everything is stored; made where there is nothing.
    #[arg(long, env = "TSDB_DATA_DIR", default_value = "./tsdb-data")]
    pub data_dir: PathBuf,
    /// Where SAVE and LOAD find their files [default: snapshots in the data directory].
    #[arg(long, env = "TSDB_SNAPSHOT_DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// A snapshot that is loaded at start where the data directory is empty, and
    /// rewritten regularly and at a graceful stop.
    #[arg(long, env = "TSDB_DATA_FILE")]
    pub data_file: Option<PathBuf>,
    /// Seconds between two writes of the data file.
    #[arg(long, env = "TSDB_AUTO_SAVE_INTERVAL", default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub auto_save_interval: u64,
    /// Most points that a shard buffers in memory before it flushes; some flush up to an eighth earlier.
    #[arg(long, env = "TSDB_BUFFER_SIZE", default_value_t = 100_000, value_name = "POINTS", value_parser = positive)]
    pub buffer_size: usize,
    /// When a write is acknowledged: `always` (on disk), `interval:<ms>` or `none`.
    #[arg(long, env = "TSDB_DURABILITY", default_value = "always", value_parser = Durability::parse)]
    pub durability: Durability,
    /// The token that clients must present; it allows everything.
    #[arg(long, env = "TSDB_AUTH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub auth_token: Option<String>,
    /// Further tokens: a line `<name> <role> <token>` each, the role being read, write or
    /// admin; read again on SIGHUP.
    #[arg(long, env = "TSDB_AUTH_FILE", value_name = "FILE")]
    pub auth_file: Option<PathBuf>,
    /// Where administrative and refused actions are written down, one JSON line each.
    #[arg(long, env = "TSDB_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Certificate chain (PEM); with --tls-key it turns TLS on; read again on SIGHUP.
    #[arg(long, env = "TSDB_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, env = "TSDB_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Certificates (PEM) of which one must have signed each client's; connections
    /// without TLS are then refused.
    #[arg(long, env = "TSDB_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Second port for /metrics, /health and /ready [default: 9091, where it is free];
    /// 0 turns it off.
    #[arg(long, env = "TSDB_METRICS_PORT", value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Most client connections at a time.
    #[arg(long, env = "TSDB_MAX_CONNECTIONS", default_value_t = 4096, value_parser = positive)]
    pub max_connections: usize,
    /// Number of shards, where the data directory is new [default: 64].
    #[arg(long, env = "TSDB_SHARDS")]
    pub shards: Option<u32>,
    /// Whether to start where stored files are damaged.
    #[arg(long, env = "TSDB_RECOVER", default_value = "strict", value_enum)]
    pub recover: RecoverSetting,
    /// Memory for memtables, block cache and queries together, such as 512MiB or 2GiB.
    #[arg(long, env = "TSDB_MEMORY_LIMIT", default_value = "1GiB", value_parser = parse_bytes)]
    pub memory_limit: u64,
    /// Free space of the disk that is kept for flushes: with less, inserts are refused.
    #[arg(long, env = "TSDB_DISK_RESERVE", default_value = "64MiB", value_parser = parse_bytes)]
    pub disk_reserve: u64,
    /// Most series.
    #[arg(long, env = "TSDB_MAX_SERIES", default_value_t = SERIES_MAX_DEFAULT, value_name = "SERIES")]
    pub max_series: u64,
    /// Most label sets of all series together.
    #[arg(long, env = "TSDB_MAX_LABEL_SETS", default_value_t = LABEL_SETS_MAX_DEFAULT, value_name = "SETS")]
    pub max_label_sets: u64,
    /// Most label sets of one series.
    #[arg(long, env = "TSDB_MAX_LABEL_SETS_PER_SERIES", default_value_t = LABEL_SETS_OF_SERIES_MAX_DEFAULT,
          value_name = "SETS")]
    pub max_label_sets_per_series: u64,
    /// Longest request: a line, or an HTTP body.
    #[arg(long, env = "TSDB_MAX_LINE_BYTES", default_value = "16MiB", value_parser = parse_bytes)]
    pub max_line_bytes: u64,
    /// Most points in the reply to one query.
    #[arg(long, env = "TSDB_MAX_RESULT_POINTS", default_value_t = RESULT_POINTS_MAX_DEFAULT, value_parser = positive)]
    pub max_result_points: usize,
    /// Seconds that one request may take, sending and receiving included; SAVE, LOAD
    /// and FLUSH take what they need.
    #[arg(long, env = "TSDB_REQUEST_TIMEOUT", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub request_timeout: u64,
    /// Seconds after which a silent connection is closed; 0: never.
    #[arg(long, env = "TSDB_IDLE_TIMEOUT", default_value_t = 3600, value_name = "SECONDS")]
    pub idle_timeout: u64,
    /// Threads that compute ANOMALY, MOTIF and SIMILAR [default: one a core].
    #[arg(long, env = "TSDB_ANALYTICS_THREADS", value_name = "THREADS", value_parser = positive)]
    pub analytics_threads: Option<usize>,
}

/// Whether to start where stored files are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RecoverSetting {
    /// Refuse, naming file and offset.
    Strict,
    /// Move damaged files to `quarantine/`, serve the rest, and answer `CORRUPT_DATA`
    /// for what they held.
    Degraded,
    /// The same, and forget what was lost, now or before: what is left is served as all
    /// there is.
    AcceptLoss,
}

impl Settings {
    pub(super) fn engine_options(&self) -> Options {
        Options {
            snapshot_dir: self.snapshot_dir.clone(),
            shards: self.shards.unwrap_or(Options::new(&self.data_dir).shards),
            durability: self.durability,
            buffer_points: self.buffer_size,
            memory_limit_bytes: self.memory_limit,
            disk_reserve_bytes: self.disk_reserve,
            series_max: self.max_series,
            label_sets_max: self.max_label_sets,
            label_sets_of_series_max: self.max_label_sets_per_series,
            recover: match self.recover {
                RecoverSetting::Strict => Recover::Strict,
                RecoverSetting::Degraded => Recover::Degraded,
                RecoverSetting::AcceptLoss => Recover::AcceptLoss,
            },
            ..Options::new(&self.data_dir)
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("use 1 or more".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is not a whole number".into()),
    }
}

/// Reads a number of bytes, with an optional unit: B, K, M, G, T, also as KiB or KB, all
/// powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(format!("the unit '{}' is unknown; use KiB, MiB, GiB or TiB", unit.trim())),
    };
    let number: u64 = number.parse().map_err(|_| "give a number of bytes, such as 512MiB".to_owned())?;
    match number.checked_mul(factor) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("give a number of bytes above 0 and below 2^64".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("256MiB"), Ok(256 << 20));
        assert_eq!(parse_bytes("256 mb"), Ok(256 << 20));
        assert_eq!(parse_bytes("2G"), Ok(2 << 30));
        assert_eq!(parse_bytes("3TiB"), Ok(3 << 40));
        for bad in ["", "MiB", "1.5GiB", "-1", "12 parsecs", "0", "99999999999G"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_are_checked() {
        let parse = |args: &[&str]| Settings::try_parse_from([&["tsdb_server"], args].concat());
        assert_eq!(parse(&["--port", "0"]).unwrap().port, 0);
        assert_eq!(parse(&["--recover=degraded"]).unwrap().engine_options().recover, Recover::Degraded);
        for bad in [
            &["--durability", "sometimes"][..],
            &["--buffer-size", "0"],
            &["--port", "70000"],
            &["--tls-cert", "a.pem"],
            &["--auto-save-interval", "0"],
            &["--recover=maybe"],
            &["extra"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
