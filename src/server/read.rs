//! Reads and analytics: from a command to the engine and back to a reply.

use std::time::{Duration, Instant};

use crate::base::{Deadline, Error, Result, SeriesName, TimeRange};
use crate::engine::{Engine, Page, Query};
use crate::protocol::{
    Analysis, Command, DatabaseStats, DimensionStats, Export, Pages, Reply, SeriesInfo, SeriesStats,
    TimeSelection, VectorStats,
};

use super::{Settings, analysis, similar};

/// What a row takes beside its values.
pub(super) const ROW_BYTES: u64 = 12;
/// Rows of an export that are read at a time, by the thread that sends them.
const PAGE_ROWS: usize = 8 << 10;

/// What a read will take, before it runs.
pub(super) struct Cost {
    /// Upper bound of the rows.
    pub rows: u64,
    /// Upper bound of the memory.
    pub bytes: u64,
    /// Whether it is analytics.
    pub computes: bool,
}

const NANOSECONDS_AN_HOUR: f64 = 3.6e12;

fn time_range(engine: &Engine, time: TimeSelection) -> TimeRange {
    match time {
        TimeSelection::Range(range) => range,
        TimeSelection::HoursBack(hours) => {
            // Both casts saturate, which is what a long way back should do.
            let back = (hours * NANOSECONDS_AN_HOUR) as i64;
            TimeRange { start_ns: engine.now_ns().saturating_sub(back), end_ns: i64::MAX }
        }
    }
}

/// What `command` will take where so many threads compute.
///
/// # Errors
/// `SERIES_NOT_FOUND`.
pub(super) fn cost(
    engine: &Engine,
    command: &Command,
    result_points_max: usize,
    threads: u64,
) -> Result<Cost> {
    let of = |series: &SeriesName, range: TimeRange, limit: Option<usize>, computes: bool| -> Result<Cost> {
        let (dimension, _) = engine.describe(series)?;
        let rows = engine.estimate_rows(series, range)?.min(limit.map_or(u64::MAX, |limit| limit as u64));
        let row_bytes = 8 * u64::from(dimension) + ROW_BYTES;
        Ok(Cost { rows, bytes: rows.saturating_mul(row_bytes).min(engine.query_bytes_max()), computes })
    };
    match command {
        Command::Query { series, time, limit, .. } => {
            let limit = limit.unwrap_or(usize::MAX).min(result_points_max);
            of(series, time_range(engine, *time), Some(limit), false)
        }
        // Read while it is sent; but counted before.
        Command::Export { series, range, .. } => {
            Ok(Cost { bytes: 1 << 20, ..of(series, *range, None, false)? })
        }
        Command::FindSimilar(similar) => similar::cost(engine, similar, result_points_max, of),
        Command::Analyze(analysis) => {
            let Analysis { series, range, join_labels, with, resample, .. } = &**analysis;
            let beside = match with {
                Some(with) => of(&with.series, with.range, None, true)?,
                None => Cost { rows: 0, bytes: 0, computes: true },
            };
            let whole = of(series, *range, None, true)?;
            let (dimension, _) = engine.describe(series)?;
            let new = if resample.is_some() { analysis::NEW_POINTS_MAX } else { 1 };
            let points = (whole.rows + beside.rows).saturating_mul(new);
            let work = analysis::work_bytes(analysis, points, u64::from(dimension), threads);
            // Several label sets are there twice while they are taken apart.
            let rows = (whole.bytes + beside.bytes).saturating_mul(if *join_labels { new } else { 2 * new });
            let bytes = rows.saturating_add(work).min(engine.query_bytes_max());
            Ok(Cost { bytes, ..whole })
        }
        // Figures are gathered block by block.
        _ => Ok(Cost { rows: u64::MAX, bytes: 1 << 20, computes: false }),
    }
}

/// Answers a read.
///
/// # Errors
/// Those of the contract.
pub(super) fn execute(
    engine: &Engine,
    command: Command,
    settings: &Settings,
    started: Instant,
    deadline: &Deadline,
) -> Result<Reply> {
    match command {
        Command::Query { series, time, labels, limit, form } => {
            let range = time_range(engine, time);
            let limit = limit.unwrap_or(usize::MAX).min(settings.max_result_points);
            let query = Query { series, range, labels, limit };
            let page = engine.query(&query, deadline)?;
            let Page { rows, next_start_ns } = page;
            Ok(Reply::Points { series: query.series, rows, next_start_ns, form })
        }
        Command::Export { series, format, range, labels } => {
            let query = Query { series: series.clone(), range, labels, limit: PAGE_ROWS };
            let mut scan = engine.scan(query)?;
            let (dimension, count) = (scan.dimension(), scan.count(deadline)?);
            let timeout = Duration::from_secs(settings.request_timeout);
            // A selective filter may read far for one page: other connections go on meanwhile.
            let next = move || tokio::task::block_in_place(|| scan.next_page(&Deadline::after(timeout)));
            let pages = Pages::new(next);
            Ok(Reply::Export(Export { series, format, dimension, count, pages }))
        }
        Command::FindSimilar(similar) => {
            similar::find(engine, &similar, settings.max_result_points, deadline)
        }
        Command::Stats { series: Some(series) } => series_stats(engine, &series, deadline),
        Command::Stats { series: None } => {
            let totals = engine.totals(deadline)?;
            Ok(Reply::DatabaseStats(DatabaseStats {
                version: super::VERSION.into(),
                uptime_seconds: started.elapsed().as_secs(),
                series: totals.series,
                points: totals.points,
                memory_bytes: totals.memory_bytes,
                disk_bytes: totals.disk_bytes,
                shards: totals.shards,
                wal_bytes: totals.wal_bytes,
                segments: totals.segments,
                label_sets: totals.label_sets,
                vectors: vector_stats(engine),
                watches: 0,
                watches_behind_ms: 0,
                analyses: Vec::new(),
            }))
        }
        Command::List => {
            let list = engine.list(deadline)?.into_iter().map(|series| SeriesInfo {
                name: series.name,
                dimension: series.dimension,
                value_type: series.value_type,
                count: series.count,
            });
            Ok(Reply::SeriesList(list.collect()))
        }
        _ => Err(Error::internal("a write was taken for a read")),
    }
}

fn vector_stats(engine: &Engine) -> VectorStats {
    let counters = engine.counters();
    VectorStats {
        memory_bytes: counters.vector_bytes,
        index_bytes: counters.vector_index_bytes,
        rows: counters.vector_rows,
        rows_indexed: counters.vector_rows_indexed,
        index_ms: counters.vector_index_ms,
        scanned: counters.vectors_scanned,
    }
}

fn series_stats(engine: &Engine, series: &SeriesName, deadline: &Deadline) -> Result<Reply> {
    let (dimension, value_type) = engine.describe(series)?;
    let figures = engine.series_figures(series, deadline)?;
    let per_dimension = figures.per_dimension.iter().map(|of| DimensionStats {
        min: of.min,
        max: of.max,
        mean: of.mean,
        stddev: of.stddev,
    });
    Ok(Reply::SeriesStats(SeriesStats {
        info: SeriesInfo { name: series.clone(), dimension, value_type, count: figures.count },
        first_timestamp_ns: figures.first_ns,
        last_timestamp_ns: figures.last_ns,
        label_sets: figures.label_sets,
        segments: figures.segments,
        memory_bytes: figures.memory_bytes,
        disk_bytes: figures.disk_bytes,
        per_dimension: per_dimension.collect(),
    }))
}
