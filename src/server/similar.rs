//! Similarity: from a request to searches of one or more series, and their answers as one.

use std::cmp::Ordering;
use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Labels, Metric, Result, SeriesName, TimeRange};
use crate::engine::{Engine, InPool, Page, PointQuery, Query};
use crate::protocol::{Like, MatchRow, Place, Reply, Similar};
use crate::vector::{Match, Search, Target};

use super::read::{Cost, Effort, ROW_BYTES, Selected};

/// What a match takes beside its values.
pub(super) const MATCH_BYTES: u64 = 128;
/// What the points that are looked at in one go take.
const PAGE_BYTES: u64 = 5 << 20;
/// Rows of windows that are read in one go.
const PAGE_ROWS: usize = 64 << 10;
/// Who wants more matches searches alone.
const SHARED_LIMIT_MAX: usize = 1000;
/// The name of the index.
const LISTS: &str = "ivf";

/// What a search will take. `of` tells it of one series.
pub(super) fn cost(
    engine: &Engine,
    similar: &Similar,
    result_points_max: usize,
    of: impl Fn(Selected<'_>, Option<usize>, bool) -> Result<Cost>,
) -> Result<Cost> {
    let mut most = Cost::of_computing();
    for (series, dimension) in places(engine, &similar.place)? {
        let whole = of((&series, similar.range, &similar.labels), None, true)?;
        let numbers = match &similar.like {
            Like::Vector(vector) => vector.len() as u64,
            Like::Then { window, .. } => *window as u64 * u64::from(dimension),
        };
        // Points are looked at page by page; the matches are kept.
        let matches = whole.rows.min(similar.limit.min(result_points_max) as u64);
        let kept = matches.saturating_mul(8 * numbers + MATCH_BYTES);
        if kept > engine.query_bytes_max() {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "{matches} matches may need {kept} bytes, more than the {} that one query may take; lower the \
                     limit, or raise TSDB_MEMORY_LIMIT",
                    engine.query_bytes_max()
                ),
            ));
        }
        let bytes = if numbers > u64::from(dimension) {
            whole.bytes
        } else {
            let page = whole.rows.saturating_mul(8 * u64::from(dimension) + ROW_BYTES).min(PAGE_BYTES);
            (kept + page).min(engine.query_bytes_max())
        };
        most.rows += whole.rows;
        // One series after the other.
        most.bytes = most.bytes.max((bytes + whole.merge_bytes).min(engine.query_bytes_max()));
    }
    most.effort = Effort::of(most.rows, most.bytes, true);
    Ok(most)
}

/// The series that a search looks at, with their dimensions.
fn places(engine: &Engine, place: &Place) -> Result<Vec<(SeriesName, u32)>> {
    match place {
        Place::Series(series) => Ok(vec![(series.clone(), engine.describe(series)?.0)]),
        Place::Pattern(pattern) => {
            let mut found = engine.names();
            found.retain(|(name, _)| matches_pattern(pattern, name.as_str()));
            if found.is_empty() {
                return Err(Error::new(
                    ErrorCode::SeriesNotFound,
                    format!("no series has a name like \"{pattern}\"; LIST names all of them"),
                ));
            }
            Ok(found)
        }
    }
}

/// Whether a name matches a pattern in which `*` stands for any characters and `?` for
/// one.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of_name) = (0, 0);
    // Where the last star was, and up to where of the name it stands for characters.
    let mut star = None;
    while of_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of_name));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[of_name] => {
                at += 1;
                of_name += 1;
            }
            _ => match star {
                Some((back, up_to)) => {
                    star = Some((back, up_to + 1));
                    at = back + 1;
                    of_name = up_to + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// What was found in one series.
struct Found {
    matches: Vec<Match>,
    scanned: u64,
    exact: bool,
    used_lists: bool,
}

/// What happened then: what is sought where a search refers to it.
struct Then {
    series: SeriesName,
    values: Vec<f64>,
    /// Its points.
    points: Vec<(i64, Labels)>,
}

/// Finds what a search asks for.
///
/// # Errors
/// Those of the contract.
pub(super) fn find(
    engine: &Engine,
    similar: &Similar,
    result_points_max: usize,
    deadline: &Deadline,
) -> Result<Reply> {
    let then = match &similar.like {
        Like::Vector(_) => None,
        Like::Then { .. } => Some(read_then(engine, &similar.like, deadline)?),
    };
    let vector = match (&similar.like, &then) {
        (Like::Vector(vector), _) => vector,
        (_, Some(then)) => &then.values,
        (_, None) => return Err(Error::internal("a search without a query")),
    };
    let limit = similar.limit.min(result_points_max);
    let (mut rows, mut scanned, mut exact, mut used_lists) = (Vec::new(), 0, true, false);
    let places = places(engine, &similar.place)?;
    let is_pattern = matches!(similar.place, Place::Pattern(_));
    let mut misfit = None;
    for (series, dimension) in places {
        let target = Target::new(vector, dimension as usize, similar.metric, similar.normalize);
        let target = match target {
            // Of many series, those that it fits are meant.
            Err(e) if is_pattern && e.code() == ErrorCode::DimensionMismatch => {
                misfit = Some(e);
                continue;
            }
            target => target?,
        };
        let own = then.as_ref().filter(|then| then.series == series);
        let found = find_in(engine, similar, &series, (target, dimension as usize, limit), own, deadline)?;
        scanned += found.scanned;
        exact &= found.exact;
        used_lists |= found.used_lists;
        let row = |found| MatchRow {
            series: is_pattern.then(|| series.clone()),
            ..match_row(found, similar.include_values)
        };
        rows.extend(found.matches.into_iter().map(row));
    }
    if rows.is_empty()
        && scanned == 0
        && let Some(misfit) = misfit
    {
        return Err(misfit);
    }
    if is_pattern {
        rows.sort_by(|a, b| better(a, b).then_with(|| a.series.cmp(&b.series)));
        rows.truncate(limit);
    }
    Ok(reply(rows, scanned, exact, used_lists))
}

fn match_row(found: Match, include_values: bool) -> MatchRow {
    MatchRow {
        timestamp_ns: found.timestamp_ns,
        end_timestamp_ns: found.end_timestamp_ns,
        values: include_values.then_some(found.values),
        labels: found.labels,
        similarity: found.similarity,
        distance: found.distance,
        series: None,
    }
}

fn reply(matches: Vec<MatchRow>, scanned: u64, exact: bool, used_lists: bool) -> Reply {
    Reply::Matches { matches, exact, scanned, index: used_lists.then_some(LISTS) }
}

/// The better first; of equals the older.
fn better(a: &MatchRow, b: &MatchRow) -> Ordering {
    let by_score = match (a.distance, b.distance) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => b.similarity.total_cmp(&a.similarity),
    };
    by_score.then(a.timestamp_ns.cmp(&b.timestamp_ns))
}

/// Reads the points that a search refers to.
fn read_then(engine: &Engine, like: &Like, deadline: &Deadline) -> Result<Then> {
    let Like::Then { series, timestamp_ns, window, labels } = like else {
        return Err(Error::internal("a vector is no reference"));
    };
    let range = TimeRange { start_ns: *timestamp_ns, end_ns: i64::MAX };
    let query = Query { series: series.clone(), range, labels: labels.clone(), limit: *window };
    let rows = engine.query(&query, deadline)?.rows;
    if rows.len() < *window {
        return Err(Error::new(
            ErrorCode::NotEnoughData,
            format!(
                "series '{series}' has {} points from {timestamp_ns} on, fewer than the window of {window}; give an \
                 earlier timestamp_ns, or a shorter window",
                rows.len()
            ),
        ));
    }
    let labels_of = |row: usize| rows.labels_of(row).cloned().unwrap_or_else(Labels::empty);
    let points = (0..*window).map(|row| (rows.timestamps_ns[row], labels_of(row))).collect();
    let values = rows.values[..window * rows.dimension].to_vec();
    Ok(Then { series: series.clone(), values, points })
}

/// Finds points, or windows of points, of one series. What is in `own` is what is sought,
/// and no match.
fn find_in(
    engine: &Engine,
    similar: &Similar,
    series: &SeriesName,
    (target, dimension, limit): (Target, usize, usize),
    own: Option<&Then>,
    deadline: &Deadline,
) -> Result<Found> {
    let threshold = similar.threshold.unwrap_or(f64::NEG_INFINITY);
    if target.len() == dimension {
        let recall = (!similar.exact && similar.recall_target < 1.0).then_some(similar.recall_target);
        let more = usize::from(own.is_some());
        let query = PointQuery { target, limit: limit + more, threshold, recall };
        let everywhere = (similar.range, &similar.labels);
        let found = engine.find_points(series, everywhere, &[query], deadline)?;
        let mut found =
            found.into_iter().next().ok_or_else(|| Error::internal("a search without an answer"))?;
        if let Some(own) = own {
            let is_own = |found: &Match| {
                own.points.iter().any(|(time, labels)| (*time, labels) == (found.timestamp_ns, &found.labels))
            };
            found.matches.retain(|found| !is_own(found));
            found.matches.truncate(limit);
        }
        return Ok(Found {
            matches: found.matches,
            scanned: found.scanned,
            exact: found.exact,
            used_lists: found.used_lists,
        });
    }
    let query = Query {
        series: series.clone(),
        range: similar.range,
        labels: similar.labels.clone(),
        limit: PAGE_ROWS,
    };
    let mut search = Search::of(target, dimension, limit, threshold);
    if let Some(own) = own {
        search = search.without(own.points.clone());
    }
    let bytes_max = engine.query_bytes_max();
    let mut kept_bytes = 0;
    let mut scanned = 0;
    let mut scan = engine.scan(query)?;
    while let Some(Page { rows, .. }) = scan.next_page(deadline)? {
        scanned += rows.len() as u64;
        // A search for windows keeps what it has seen.
        kept_bytes += rows.memory_bytes() as u64;
        if kept_bytes > bytes_max {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "the search for windows needs more than the {bytes_max} bytes that one query may take; narrow \
                     start_ns and end_ns or the labels, or raise TSDB_MEMORY_LIMIT"
                ),
            ));
        }
        search.push(&rows);
        deadline.check()?;
    }
    Ok(Found { matches: search.finish(), scanned, exact: true, used_lists: false })
}

/// Searches for points of one series that wait for each other's company: while one is
/// answered, more come, and the next pass over the vectors serves all of them.
#[derive(Default)]
pub(super) struct Desk {
    waiting: Mutex<HashMap<SeriesName, Vec<Waiting>>>,
}

/// A search for points that can have company.
pub(super) struct Order {
    pub series: SeriesName,
    /// Most bytes of the answer.
    pub kept_bytes: u64,
    query: PointQuery,
    range: TimeRange,
    labels: LabelFilter,
    include_values: bool,
}

impl Order {
    /// What a search asks for; `None` where it can have no company.
    ///
    /// # Errors
    /// As [`Target::new`], and `SERIES_NOT_FOUND`.
    pub fn of(engine: &Engine, similar: &Similar, result_points_max: usize) -> Result<Option<Self>> {
        let (Place::Series(series), Like::Vector(vector)) = (&similar.place, &similar.like) else {
            return Ok(None);
        };
        let (dimension, _) = engine.describe(series)?;
        if vector.len() != dimension as usize
            || similar.metric != Metric::Cosine
            || similar.normalize
            || similar.limit > SHARED_LIMIT_MAX
        {
            return Ok(None);
        }
        let limit = similar.limit.min(result_points_max);
        let query = PointQuery {
            target: Target::direction(vector, dimension as usize)?,
            limit,
            threshold: similar.threshold.unwrap_or(f64::NEG_INFINITY),
            recall: (!similar.exact && similar.recall_target < 1.0).then_some(similar.recall_target),
        };
        Ok(Some(Self {
            series: series.clone(),
            kept_bytes: limit as u64 * (8 * u64::from(dimension) + MATCH_BYTES),
            query,
            range: similar.range,
            labels: similar.labels.clone(),
            include_values: similar.include_values,
        }))
    }
}

struct Waiting {
    order: Order,
    answer: oneshot::Sender<Result<Reply>>,
}

impl Desk {
    /// Takes a search; also says whether somebody must be sent for those who wait.
    pub fn put(&self, order: Order) -> (oneshot::Receiver<Result<Reply>>, bool) {
        let (answer, receiver) = oneshot::channel();
        let mut all = self.waiting.lock();
        let of_series = all.entry(order.series.clone()).or_default();
        of_series.push(Waiting { order, answer });
        (receiver, of_series.len() == 1)
    }

    fn take(&self, series: &SeriesName) -> Vec<Waiting> {
        self.waiting.lock().remove(series).unwrap_or_default()
    }

    /// Tells all who wait that nobody comes.
    pub fn refuse(&self, series: &SeriesName, reason: &Error) {
        for waiting in self.take(series) {
            // Whoever left does not wait.
            let _ = waiting.answer.send(Err(reason.clone()));
        }
    }

    /// Answers all who wait. `in_pool` runs what several threads should share.
    pub fn serve(&self, engine: &Engine, series: &SeriesName, deadline: &Deadline, in_pool: InPool<'_>) {
        let mut all = self.take(series);
        all.retain(|waiting| !waiting.answer.is_closed());
        while let Some(first) = all.first() {
            let (range, labels) = (first.order.range, first.order.labels.clone());
            let (now, later): (Vec<Waiting>, Vec<Waiting>) = all
                .into_iter()
                .partition(|waiting| (waiting.order.range, &waiting.order.labels) == (range, &labels));
            all = later;
            let queries: Vec<PointQuery> = now.iter().map(|waiting| waiting.order.query.clone()).collect();
            let found = engine.find_points_with(series, (range, &labels), &queries, deadline, in_pool);
            match found {
                Ok(found) => {
                    for (waiting, found) in now.into_iter().zip(found) {
                        let rows =
                            found.matches.into_iter().map(|row| match_row(row, waiting.order.include_values));
                        let _ = waiting.answer.send(Ok(reply(
                            rows.collect(),
                            found.scanned,
                            found.exact,
                            found.used_lists,
                        )));
                    }
                }
                Err(e) => {
                    for waiting in now {
                        let _ = waiting.answer.send(Err(e.clone()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "anything"),
            ("machine.*", "machine.1.temperature"),
            ("*.temperature", "machine.1.temperature"),
            ("m*e.?.t*e", "machine.1.temperature"),
            ("a?c", "aßc"),
            ("*a*b*", "xxaxxbxx"),
            ("exact", "exact"),
        ] {
            assert!(matches_pattern(pattern, name), "{pattern} and {name}");
        }
        for (pattern, name) in [
            ("machine.*", "machine"),
            ("a?c", "ac"),
            ("*b", "abc"),
            ("exact", "exactly"),
            ("", "a"),
            ("?", ""),
        ] {
            assert!(!matches_pattern(pattern, name), "{pattern} and {name}");
        }
    }
}
