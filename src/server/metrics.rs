//! Figures for Prometheus.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::base::{self, ErrorCode};
use crate::engine::Engine;

use super::running::Running;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabel {
    command: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    command: &'static str,
    /// `OK` or the error's code.
    outcome: &'static str,
}

/// What the server counts, and the engine's own counters at the time of a scrape.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<OutcomeLabels, Counter>,
    seconds: Family<CommandLabel, Histogram, fn() -> Histogram>,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections that were refused because there were too many.
    pub refused_connections: Counter,
    /// Wrong tokens.
    pub auth_failures: Counter,
    /// For how long the slowest watch has had points that it has not seen.
    pub watches_behind_ms: Gauge,
    /// Bytes from clients.
    pub received_bytes: Counter,
    /// Bytes to clients.
    pub sent_bytes: Counter,
}

fn histogram() -> Histogram {
    // 50 µs to 13 s and above.
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}

impl Metrics {
    pub fn new(engine: Arc<OnceLock<Engine>>, running: Arc<Running>) -> Self {
        let mut registry = Registry::with_prefix("tsdb");
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            auth_failures: Counter::default(),
            watches_behind_ms: Gauge::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests by command and outcome", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request to its reply, by command",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("connections", "Open client connections", metrics.connections.clone());
        registry.register(
            "refused_connections",
            "Connections refused because there were too many",
            metrics.refused_connections.clone(),
        );
        registry.register("auth_failures", "Wrong tokens presented", metrics.auth_failures.clone());
        registry.register(
            "watches_behind_ms",
            "Milliseconds for which the slowest watch has had points that it has not seen",
            metrics.watches_behind_ms.clone(),
        );
        registry.register("received_bytes", "Bytes from clients", metrics.received_bytes.clone());
        registry.register("sent_bytes", "Bytes to clients", metrics.sent_bytes.clone());
        registry.register_collector(Box::new(EngineFigures { engine }));
        registry.register_collector(Box::new(AnalysisFigures { running }));
        Self { registry, ..metrics }
    }

    /// Counts a request that is answered.
    pub fn observe<T>(&self, command: &'static str, result: &base::Result<T>, took: Duration) {
        let outcome = result.as_ref().map_or_else(|e| e.code().as_str(), |_| "OK");
        self.requests.get_or_create(&OutcomeLabels { command, outcome }).inc();
        self.seconds.get_or_create(&CommandLabel { command }).observe(took.as_secs_f64());
    }

    /// Counts so many single points that were written and took as long.
    pub fn observe_points(&self, points: u64, took: Duration) {
        let command = "insert";
        self.requests.get_or_create(&OutcomeLabels { command, outcome: "OK" }).inc_by(points);
        let seconds = self.seconds.get_or_create(&CommandLabel { command });
        (0..points).for_each(|_| seconds.observe(took.as_secs_f64()));
    }

    /// Counts a request that was no command.
    pub fn observe_unparsed(&self, code: ErrorCode) {
        let labels = OutcomeLabels { command: "none", outcome: code.as_str() };
        self.requests.get_or_create(&labels).inc();
    }

    /// The text exposition.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(e) => format!("# the metrics could not be written: {e}\n"),
        }
    }
}

struct AnalysisFigures {
    running: Arc<Running>,
}

impl fmt::Debug for AnalysisFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnalysisFigures")
    }
}

impl Collector for AnalysisFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counter = ConstCounter::<u64>::new(self.running.cells());
        let help = "Pairs of windows that analyses looked at";
        counter.encode(encoder.encode_descriptor("analysis_cells", help, None, counter.metric_type())?)?;
        let running = self.running.list();
        for (name, help, value) in [
            ("analyses_running", "Analyses that are running", running.len() as u64),
            (
                "analyses_running_cells",
                "Pairs of windows that those running have looked at",
                running.iter().map(|of| of.cells).sum(),
            ),
            (
                "analyses_running_cells_expected",
                "Pairs of windows that those running will have looked at",
                running.iter().map(|of| of.cells_total).sum(),
            ),
        ] {
            let gauge = ConstGauge::<i64>::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

struct EngineFigures {
    engine: Arc<OnceLock<Engine>>,
}

impl fmt::Debug for EngineFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineFigures")
    }
}

impl Collector for EngineFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(engine) = self.engine.get() else { return Ok(()) };
        let counters = engine.counters();
        for (name, help, value) in [
            ("points_written", "Points accepted since the start", counters.points_written),
            ("wal_frames", "Group commits", counters.wal_frames),
            ("wal_syncs", "Syncs of write-ahead logs", counters.wal_syncs),
            ("wal_written_bytes", "Bytes written to write-ahead logs", counters.wal_bytes_written),
            ("flushes", "Memtables written to segments", counters.flushes),
            ("compactions", "Compactions", counters.compactions),
            ("compaction_read_bytes", "Bytes that compactions read", counters.compaction_bytes_in),
            ("compaction_written_bytes", "Bytes that compactions wrote", counters.compaction_bytes_out),
            ("block_cache_hits", "Blocks found in the cache", counters.cache_hits),
            ("block_cache_misses", "Blocks read from disk", counters.cache_misses),
            ("vectors_scanned", "Vectors that searches compared with a query", counters.vectors_scanned),
            ("vector_indexes", "Indexes of vectors that were made", counters.vector_indexes),
            (
                "vector_index_milliseconds",
                "Milliseconds that making indexes of vectors took",
                counters.vector_index_ms,
            ),
        ] {
            let counter = ConstCounter::<u64>::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("memory_bytes", "Bytes of memtables and block cache", engine.memory_bytes()),
            ("series", "Series", counters.series),
            ("label_sets", "Label sets of all series together", counters.label_sets),
            ("watches", "Profiles that are kept", engine.watches().len() as u64),
            ("read_only_shards", "Shards that refuse writes", counters.read_only_shards),
            ("damaged_files", "Files that failed their checks", counters.damaged_files),
            (
                "damaged_blocks",
                "Blocks of segments that failed their checks when they were read",
                counters.damaged_blocks,
            ),
            ("vector_memory_bytes", "Bytes of vectors kept for searches", counters.vector_bytes),
            ("vector_index_bytes", "Bytes of indexes of vectors on disk", counters.vector_index_bytes),
            ("vector_rows", "Rows of segments that are worth an index of vectors", counters.vector_rows),
            ("vector_rows_indexed", "Of these, rows that have one", counters.vector_rows_indexed),
        ] {
            let gauge = ConstGauge::<i64>::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// `OpenMetrics` in the older text format of Prometheus: a counter is called there what its samples are
/// called, and nothing tells the end.
pub(super) fn as_prometheus(open_metrics: &str) -> String {
    let types = open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: HashSet<&str> = types.filter_map(|of| of.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), _) => {}
            (Some("#"), Some(kind), Some(name)) if counters.contains(name) => {
                for piece in ["# ", kind, " ", name, "_total ", words.next().unwrap_or_default(), "\n"] {
                    text.push_str(piece);
                }
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_calls_counters_what_their_samples_are_called() {
        let metrics = Metrics::new(Arc::default(), Arc::default());
        metrics.observe_points(3, Duration::from_millis(1));
        let open = metrics.render();
        assert!(open.contains("# TYPE tsdb_requests counter\n") && open.ends_with("# EOF\n"), "{open}");
        let older = as_prometheus(&open);
        assert!(older.contains("# TYPE tsdb_requests_total counter\n"), "{older}");
        assert!(older.contains("\ntsdb_requests_total{") && !older.contains("EOF"), "{older}");
        let samples = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(&older), samples(&open));
        // Each sample stands below the type of its family.
        let mut family = String::new();
        for line in older.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap().to_owned();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&family), "{line} below {family}");
            }
        }
    }
}
