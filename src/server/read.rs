//! Reads and analytics: from a command to the engine and back to a reply.

use std::time::{Duration, Instant};

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Result, Rows, SeriesName, TimeRange};
use crate::engine::{Engine, Estimate, Extent, Page, Query, Scan};
use crate::protocol::{
    Analysis, Command, DatabaseStats, DimensionStats, Export, LongPoints, MatchRow, PageSource, Pages, Reply,
    SeriesInfo, SeriesStats, TimeSelection, VectorStats,
};

use super::budget::{Budget, Reserved};
use super::sending::{PIECE_BYTES, SENDING_BYTES};
use super::{Settings, analysis, similar};

/// What a row takes beside its values.
pub(super) const ROW_BYTES: u64 = 12;
/// Queries of at most so many rows are answered by the thread that serves the socket.
const LEAST_ROWS_MAX: u64 = 2_000;
/// Queries of at most so many rows, and analyses of so many points, are short.
const LITTLE_ROWS_MAX: u64 = 64 << 10;
const LITTLE_POINTS_MAX: u64 = 8 << 10;
/// The same for the bytes of either.
const LITTLE_BYTES_MAX: u64 = 2 << 20;
/// Replies of at most so many bytes are held by their connection alone; of others, so much
/// is read at a time.
pub(super) const SHORT_BYTES_MAX: u64 = PIECE_BYTES as u64;

/// Merges that take more share the memory of what computes.
const WIDE_BYTES: u64 = 1 << 20;

/// What a read will take, before it runs.
pub(super) struct Cost {
    /// Upper bound of the rows.
    pub rows: u64,
    /// Upper bound of the memory that it shares with others.
    pub bytes: u64,
    /// Whether it is analytics.
    pub computes: bool,
    /// Whether all that it reads is in memory.
    pub is_at_hand: bool,
    /// How much work it is.
    pub effort: Effort,
    /// What merging its sources takes of that.
    pub merge_bytes: u64,
    /// Whether its reply is read page by page while it is sent.
    pub is_paged: bool,
}

impl Cost {
    /// Of no points yet.
    pub fn of_computing() -> Self {
        Self {
            rows: 0,
            bytes: 0,
            computes: true,
            is_at_hand: true,
            effort: Effort::Little,
            merge_bytes: 0,
            is_paged: false,
        }
    }

    /// Whether merging its many label sets is most of it.
    pub fn is_wide(&self) -> bool {
        self.merge_bytes > WIDE_BYTES
    }
}

/// How much work a read is, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Less than handing it to another thread.
    Least,
    /// Not worth waiting for others.
    Little,
    /// It may take seconds.
    Much,
}

impl Effort {
    /// That of looking at so many rows of so many bytes.
    pub fn of(rows: u64, bytes: u64, computes: bool) -> Self {
        let rows_max = if computes { LITTLE_POINTS_MAX } else { LITTLE_ROWS_MAX };
        if rows <= rows_max && bytes <= LITTLE_BYTES_MAX { Self::Little } else { Self::Much }
    }
}

/// What a reply holds while it is sent, of the memory that it shares with others.
pub(super) fn held_bytes(reply: &Reply) -> u64 {
    match reply {
        Reply::LongPoints(LongPoints { pages, .. }) | Reply::Export(Export { pages, .. }) => {
            SENDING_BYTES + pages.held_bytes()
        }
        Reply::Matches { matches, .. } => {
            let values = |row: &MatchRow| row.values.as_ref().map_or(0, |values| 8 * values.len() as u64);
            matches.iter().map(|row| values(row) + similar::MATCH_BYTES).sum()
        }
        Reply::Analysis { findings, .. } => (findings.memory_bytes() as u64).saturating_mul(TREE_PART),
        Reply::SeriesList(list) => list.len() as u64 * SERIES_BYTES,
        _ => 0,
    }
}

/// How many times as much as findings take, the tree takes that they are written from.
const TREE_PART: u64 = 8;

/// What a series takes in the answer to LIST.
const SERIES_BYTES: u64 = 64;

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

/// A part of a series.
pub(super) type Selected<'a> = (&'a SeriesName, TimeRange, &'a LabelFilter);

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
    let of = |(series, range, labels): Selected<'_>, limit: Option<usize>, computes: bool| -> Result<Cost> {
        let Estimate { dimension, rows, is_at_hand, merge_bytes } =
            engine.estimate(series, range, labels, !computes)?;
        let rows = rows.min(limit.map_or(u64::MAX, |limit| limit as u64));
        let row_bytes = 8 * u64::from(dimension) + ROW_BYTES;
        let bytes = rows.saturating_mul(row_bytes).min(engine.query_bytes_max());
        let effort = Effort::of(rows, rows.saturating_mul(row_bytes), computes);
        Ok(Cost { rows, bytes, computes, is_at_hand, effort, merge_bytes, is_paged: false })
    };
    // Many label sets are merged by many threads of reading.
    let merged = |cost: Cost| {
        if !cost.is_wide() {
            return Ok(cost);
        }
        let (bytes, bytes_max) = (cost.bytes + cost.merge_bytes, engine.query_bytes_max());
        if bytes > bytes_max {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "to put so many label sets in the order of time takes about {bytes} bytes, more than the \
                     {bytes_max} that one query may take; ask for fewer labels at a time, or raise TSDB_MEMORY_LIMIT"
                ),
            ));
        }
        Ok(Cost { bytes, effort: Effort::Much, ..cost })
    };
    // What is read while it is sent, if it is long.
    let sent = |cost: Cost| {
        let is_short = cost.bytes <= SHORT_BYTES_MAX;
        let is_quick = is_short && (cost.rows <= LEAST_ROWS_MAX || cost.is_at_hand);
        let effort = if is_quick { Effort::Least } else { cost.effort };
        merged(Cost { bytes: if is_short { 0 } else { SENDING_BYTES }, effort, is_paged: true, ..cost })
    };
    match command {
        Command::Query { series, time, labels, limit, .. } => {
            let limit = limit.unwrap_or(usize::MAX).min(result_points_max);
            sent(of((series, time_range(engine, *time), labels), Some(limit), false)?)
        }
        // Counted before.
        Command::Export { series, range, labels, .. } => sent(of((series, *range, labels), None, false)?),
        Command::FindSimilar(similar) => similar::cost(engine, similar, result_points_max, of),
        Command::Analyze(analysis) => {
            let Analysis { series, range, labels, join_labels, with, resample, .. } = &**analysis;
            let beside = match with {
                Some(with) => of((&with.series, with.range, &with.labels), None, true)?,
                None => Cost::of_computing(),
            };
            let whole = of((series, *range, labels), None, true)?;
            let (dimension, _) = engine.describe(series)?;
            let new = if resample.is_some() { analysis::NEW_POINTS_MAX } else { 1 };
            let points = (whole.rows + beside.rows).saturating_mul(new);
            let work = analysis::work_bytes(analysis, points, u64::from(dimension), threads);
            // Several label sets are there twice while they are taken apart.
            let rows = (whole.bytes + beside.bytes).saturating_mul(if *join_labels { new } else { 2 * new });
            let answer = analysis::answer_bytes(analysis, points, engine.query_bytes_max())?;
            let bytes = rows.saturating_add(work).saturating_add(answer).saturating_add(whole.merge_bytes);
            let bytes = bytes.min(engine.query_bytes_max());
            let effort = Effort::of(whole.rows + beside.rows, whole.bytes + beside.bytes, true);
            Ok(Cost { bytes, effort, ..whole })
        }
        // Figures are gathered block by block.
        Command::Stats { series: Some(series) } => {
            let cost = of((series, TimeRange::ALL, &LabelFilter::any()), None, false)?;
            merged(Cost { bytes: 0, ..cost })
        }
        _ => {
            let bytes = engine.counters().series * SERIES_BYTES;
            let bytes = if bytes <= SHORT_BYTES_MAX { 0 } else { bytes };
            Ok(Cost { bytes, computes: false, is_at_hand: false, ..Cost::of_computing() })
        }
    }
}

/// Answers a read.
///
/// # Errors
/// Those of the contract.
pub(super) fn execute(
    engine: &Engine,
    command: Command,
    (settings, replies): (&Settings, &Budget),
    started: Instant,
    deadline: &Deadline,
) -> Result<Reply> {
    match command {
        Command::Query { series, time, labels, limit, form } => {
            let range = time_range(engine, time);
            let limit = limit.unwrap_or(usize::MAX).min(settings.max_result_points);
            let (dimension, _) = engine.describe(&series)?;
            let held_max = page_rows(dimension as usize);
            let query = Query { series, range, labels, limit: limit.min(held_max) };
            let mut scan = engine.scan(query.clone())?;
            let page = scan.next_page(deadline)?;
            let Page { rows, next_start_ns } =
                page.ok_or_else(|| Error::internal("a query without a page"))?;
            let Query { series, .. } = query;
            if next_start_ns.is_none() || limit <= held_max {
                return Ok(Reply::Points { series, rows, next_start_ns, form });
            }
            // All of it is checked before the first of it is sent.
            let (dimension, extent) = (rows.dimension, scan.measure(limit, deadline)?);
            scan.rewind();
            let Extent { count, next_start_ns } = extent;
            let pages = Pages::new(Sent::new(scan, count, (settings, replies)));
            Ok(Reply::LongPoints(LongPoints { series, dimension, count, next_start_ns, form, pages }))
        }
        Command::Export { series, format, range, labels } => {
            let scan = engine.scan(Query { series: series.clone(), range, labels, limit: usize::MAX })?;
            let (dimension, count) = (scan.dimension(), scan.count(deadline)?);
            let pages = Pages::new(Sent::new(scan, count, (settings, replies)));
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

/// Rows that are read at a time.
fn page_rows(dimension: usize) -> usize {
    (SHORT_BYTES_MAX / (8 * dimension as u64 + ROW_BYTES)).max(1) as usize
}

/// The part of the memory for replies that one may hold to be read faster.
const HELD_PART: u64 = 8;

/// The rows of a reply that are read while they are sent.
struct Sent {
    scan: Scan,
    /// Whether a page may take long: only points of some labels are wanted, or many are merged.
    is_slow: bool,
    merge_bytes: u64,
    page_rows: usize,
    /// Rows in all, and those that are still to come.
    count: u64,
    left: u64,
    timeout: Duration,
    /// Where the memory comes from for what is held between two pages, and its share.
    replies: Budget,
    held: Option<Reserved>,
}

impl Sent {
    fn new(scan: Scan, count: u64, (settings, replies): (&Settings, &Budget)) -> Self {
        let page_rows = page_rows(scan.dimension());
        let timeout = Duration::from_secs(settings.request_timeout);
        let merge_bytes = Some(scan.merge_bytes()).filter(|bytes| *bytes > WIDE_BYTES).unwrap_or(0);
        Self {
            is_slow: scan.is_filtered() || merge_bytes > 0,
            merge_bytes,
            scan,
            page_rows,
            count,
            left: count,
            timeout,
            replies: replies.clone(),
            held: None,
        }
    }
}

impl PageSource for Sent {
    fn next_page(&mut self) -> Result<Option<Rows>> {
        let limit = self.page_rows.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if limit == 0 {
            return Ok(None);
        }
        let mut next = || self.scan.next_rows(limit, &Deadline::after(self.timeout));
        // A selective filter may read far for one page: other connections go on meanwhile, at
        // the price of another thread.
        let page = if self.is_slow { tokio::task::block_in_place(next) } else { next() }?;
        self.left = self.left.saturating_sub(page.as_ref().map_or(0, |rows| rows.len() as u64));
        let bytes = self.scan.held_bytes();
        if bytes > 0 && self.held.is_none() {
            // Never so much that others had to wait for it.
            let fits = bytes <= self.replies.bytes() / HELD_PART;
            self.held = fits.then(|| self.replies.reserve_now(bytes)).flatten();
            if self.held.is_none() {
                self.scan.let_go();
            }
        }
        Ok(page)
    }

    fn rewind(&mut self) {
        self.scan.rewind();
        self.left = self.count;
    }

    fn let_go(&mut self) {
        self.scan.let_go();
        self.held = None;
    }

    fn held_bytes(&self) -> u64 {
        self.merge_bytes
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
