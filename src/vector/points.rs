//! The points of a series that are most like a query, exactly and without decoding all
//! of them.
//!
//! 1. The vectors of immutable segments are multiplied in single precision, many queries
//!    in one pass ([`crate::kernels::group_dots`]). What is in memory, or in a segment
//!    whose vectors do not fit the cache, is merged and scored in double precision.
//! 2. The best of the rounded scores are candidates, with all that are so close that
//!    rounding may have put them below.
//! 3. Candidates are looked up, best first, in the merged view, which alone knows whether
//!    readers see them, and are scored exactly from the stored numbers.
//! 4. That ends where no other candidate can be better than the last match. Where too
//!    many were not to be seen, it starts again with more.
//!
//! So the answer is that of [`Search`] over all points, bit by bit.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::{Deadline, LabelFilter, Labels, Result, TimeRange};
use crate::format::Columns;
use crate::kernels::{GROUP, Instructions, dots, dots_error_max, group_dots, interleave};
use crate::merge::{MergeOrder, SeriesView};
use crate::query::scan;
use crate::segments::{Segment, SeriesEntry};

use super::nearest::Nearest;
use super::{Direction, Match, Search, VectorBlock, VectorCache};

/// Rows that a scan of all points looks at in one go.
const PAGE_ROWS: usize = 64 << 10;
/// Numbers that one thread multiplies in one go.
const PIECE_NUMBERS: usize = 256 << 10;
/// Most rows of these.
const PIECE_ROWS: usize = 1 << 10;
/// Work below this is not divided between threads.
const PARALLEL_NUMBERS: usize = 1 << 20;
/// Vectors are not made for a question about fewer than one row of so many.
const BUILD_SHARE: u64 = 8;
/// Who wants more than one row of so many reads all of them.
const LIMIT_SHARE: u64 = 8;
/// Candidates that may be looked up, whatever the number of rows.
const CANDIDATES_MIN: usize = 4 << 10;

/// One query.
#[derive(Debug, Clone)]
pub struct PointQuery {
    /// What to look for.
    pub direction: Direction,
    /// Most matches.
    pub limit: usize,
    /// Least similarity.
    pub threshold: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct PointMatches {
    /// Best first; of equals the older.
    pub matches: Vec<Match>,
    /// Vectors that were compared with the query.
    pub scanned: u64,
}

/// Finds the points in a range that the filter matches and that are most like each of
/// some queries. `bytes_max` bounds the rows that are held at a time.
///
/// # Errors
/// `TIMEOUT`; `CORRUPT_DATA` where a block fails its checks.
pub fn find_points(
    view: &SeriesView,
    vectors: &VectorCache,
    (range, labels): (TimeRange, &LabelFilter),
    queries: &[PointQuery],
    bytes_max: u64,
    deadline: &Deadline,
) -> Result<Vec<PointMatches>> {
    let sources = Sources::new(view, vectors, (range, labels), deadline)?;
    let mut pending: Vec<Pending<'_>> =
        queries.iter().map(|query| Pending::new(query, sources.first_keep(query.limit))).collect();
    for pending in &mut pending {
        if pending.query.limit as u64 > sources.covered_rows() / LIMIT_SHARE {
            pending.answer = Some(read_all(view, (range, labels), pending.query, bytes_max, deadline)?);
        }
    }
    while pending.iter().any(|pending| pending.answer.is_none()) {
        let mut open: Vec<&mut Pending<'_>> =
            pending.iter_mut().filter(|pending| pending.answer.is_none()).collect();
        let found = sources.candidates(&open, deadline)?;
        for (pending, found) in open.iter_mut().zip(found) {
            let (candidates, floor) = found.into_sorted();
            if candidates.len() > sources.covered_rows() as usize / 16 + CANDIDATES_MIN {
                // As good as equal: looking each of them up takes longer than reading all.
                let all = read_all(view, (range, labels), pending.query, bytes_max, deadline)?;
                pending.answer = Some(all);
            } else if let Some(matches) = sources.verify(pending, &candidates, floor, deadline)? {
                pending.answer = Some(PointMatches { matches, scanned: sources.rows() });
            } else {
                pending.keep *= 4;
            }
        }
    }
    Ok(pending.into_iter().filter_map(|pending| pending.answer).collect())
}

/// Merges, decodes and scores all points.
fn read_all(
    view: &SeriesView,
    (range, labels): (TimeRange, &LabelFilter),
    query: &PointQuery,
    bytes_max: u64,
    deadline: &Deadline,
) -> Result<PointMatches> {
    let PointQuery { direction, limit, threshold } = query;
    let mut search = Search::of(direction.clone(), view.dimension, *limit, *threshold);
    let (mut next, mut scanned) = (Some(range), 0);
    while let Some(part) = next {
        let page = scan(view, part, labels, PAGE_ROWS, bytes_max, deadline)?;
        deadline.check()?;
        scanned += page.rows.len() as u64;
        search.push(&page.rows);
        next = page.next_start_ns.map(|start_ns| TimeRange { start_ns, end_ns: range.end_ns });
    }
    Ok(PointMatches { matches: search.finish(), scanned })
}

/// A query that may have its answer.
struct Pending<'a> {
    query: &'a PointQuery,
    /// Candidates to look for.
    keep: usize,
    answer: Option<PointMatches>,
}

impl<'a> Pending<'a> {
    fn new(query: &'a PointQuery, keep: usize) -> Self {
        Self { query, keep, answer: None }
    }
}

/// Where a candidate is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A row of one of the blocks.
    Row { block: u32, row: u32 },
    /// A point that was merged: its label set among those, and its time.
    Merged { rank: u32, timestamp_ns: i64 },
}

/// A segment's vectors and which of them are asked for.
struct Block<'a> {
    segment: &'a Arc<Segment>,
    series: &'a SeriesEntry,
    vectors: Arc<VectorBlock>,
    selected: Vec<Range<usize>>,
    /// Times at which only the merged view knows what is to be seen.
    contested: Vec<TimeRange>,
}

/// All that is searched.
struct Sources<'a> {
    view: &'a SeriesView,
    range: TimeRange,
    blocks: Vec<Block<'a>>,
    /// What has no vectors, and its label sets.
    rest: SeriesView,
    rest_sets: Vec<Labels>,
    error_max: f64,
}

impl<'a> Sources<'a> {
    fn new(
        view: &'a SeriesView,
        vectors: &VectorCache,
        (range, labels): (TimeRange, &LabelFilter),
        deadline: &Deadline,
    ) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        for (segment, at, series) in view.stored() {
            let mut found = vectors.get(segment, at);
            if found.is_none() {
                // Vectors that drive each other out of the cache are worse than none.
                bytes += VectorBlock::estimate_bytes(series);
                let is_worth_it = asked_rows(series, range, labels) >= series.rows() / BUILD_SHARE;
                if is_worth_it && bytes <= vectors.bytes_max() {
                    found = vectors.get_or_build(segment, at, series, deadline)?;
                }
            }
            let Some(found) = found else { continue };
            let wanted = series.labels.iter().enumerate().filter(|(_, set)| labels.matches(set));
            let selected = found.select(wanted.map(|(at, _)| at), range);
            let contested = view.contested(segment);
            blocks.push(Block { segment, series, vectors: found, selected, contested });
        }
        let without =
            |segment: &Arc<Segment>| !blocks.iter().any(|block| Arc::ptr_eq(block.segment, segment));
        let rest = SeriesView {
            segments: view.segments.iter().filter(|segment| without(segment)).cloned().collect(),
            ..view.clone()
        };
        let rest_sets = rest.label_sets(|set| labels.matches(set));
        let error_max = dots_error_max(view.dimension);
        Ok(Self { view, range, blocks, rest, rest_sets, error_max })
    }

    /// Rows whose vectors are there.
    fn covered_rows(&self) -> u64 {
        self.blocks.iter().flat_map(|block| &block.selected).map(|rows| rows.len() as u64).sum()
    }

    /// Rows that are looked at.
    fn rows(&self) -> u64 {
        self.covered_rows() + self.rest.estimate_rows(self.range)
    }

    /// Candidates to look for at first: some more where some may not be seen.
    fn first_keep(&self, limit: usize) -> usize {
        if self.blocks.iter().all(|block| block.contested.is_empty()) { limit } else { limit + limit / 4 + 8 }
    }

    /// The best candidates of each query.
    fn candidates(&self, open: &[&mut Pending<'_>], deadline: &Deadline) -> Result<Vec<Nearest<Place>>> {
        let empty: Vec<Nearest<Place>> = open
            .iter()
            .map(|pending| {
                let floor = pending.query.threshold - self.error_max;
                Nearest::new(pending.keep, 2.0 * self.error_max, floor)
            })
            .collect();
        let rows_max = (PIECE_NUMBERS / self.view.dimension).clamp(1, PIECE_ROWS);
        let pieces: Vec<(usize, Range<usize>)> = self
            .blocks
            .iter()
            .enumerate()
            .flat_map(|(at, block)| block.selected.iter().map(move |rows| (at, rows.clone())))
            .flat_map(|(at, rows)| {
                let end = rows.end;
                rows.step_by(rows_max).map(move |start| (at, start..(start + rows_max).min(end)))
            })
            .collect();
        let queries = Multiplier::new(open.iter().map(|pending| pending.query.direction.unit()));
        let numbers = self.covered_rows() as usize * self.view.dimension * open.len();
        let look = |mut found: Vec<Nearest<Place>>, (at, rows): &(usize, Range<usize>)| {
            deadline.check()?;
            let vectors = &self.blocks[*at].vectors;
            queries.multiply(vectors.numbers(rows.clone()), &mut found, |row| Place::Row {
                block: *at as u32,
                row: (rows.start + row) as u32,
            });
            Ok(found)
        };
        // Within a pool of threads, these help.
        let mut found = if numbers > PARALLEL_NUMBERS && rayon::current_thread_index().is_some() {
            let join = |one: Vec<Nearest<Place>>, other: Vec<Nearest<Place>>| {
                Ok(one.into_iter().zip(other).map(|(one, other)| one.join(other)).collect())
            };
            pieces.par_iter().try_fold(|| empty.clone(), look).try_reduce(|| empty.clone(), join)?
        } else {
            pieces.iter().try_fold(empty.clone(), look)?
        };
        self.score_rest(open, &mut found, deadline)?;
        Ok(found)
    }

    /// Scores what has no vectors.
    fn score_rest(
        &self,
        open: &[&mut Pending<'_>],
        found: &mut [Nearest<Place>],
        deadline: &Deadline,
    ) -> Result<()> {
        let dimension = self.view.dimension;
        let mut merger = self.rest.merge(self.range, &self.rest_sets, MergeOrder::LabelSet);
        let mut values = Vec::new();
        while let Some(slice) = merger.next_slice()? {
            deadline.check()?;
            values.clear();
            let rows = slice.rows;
            slice.columns.values.copy_to_f64(rows.start * dimension..rows.end * dimension, &mut values);
            let times = &slice.columns.timestamps[rows];
            for (&timestamp_ns, values) in times.iter().zip(values.chunks_exact(dimension)) {
                for (pending, found) in open.iter().zip(found.iter_mut()) {
                    let score = pending.query.direction.similarity(values);
                    found.offer(score, Place::Merged { rank: slice.rank, timestamp_ns });
                }
            }
        }
        Ok(())
    }

    /// Looks candidates up, best first, until no other can be a match; all others have a
    /// rounded score below `floor`. `None` where too few of them are to be seen.
    fn verify(
        &self,
        pending: &Pending<'_>,
        candidates: &[(f64, Place)],
        floor: f64,
        deadline: &Deadline,
    ) -> Result<Option<Vec<Match>>> {
        let PointQuery { direction, limit, threshold } = pending.query;
        let mut seen: HashSet<(i64, &Labels)> = HashSet::new();
        let mut found: Vec<Verified<'_>> = Vec::new();
        let mut last = Last::new(*limit);
        let mut values = Vec::new();
        for (at, &(score, place)) in candidates.iter().enumerate() {
            if last.is_above(score + self.error_max) {
                break;
            }
            if at % 256 == 255 {
                deadline.check()?;
            }
            let Some(point) = self.look_up(place, &mut seen)? else { continue };
            values.clear();
            let dimension = self.view.dimension;
            point.columns.values.copy_to_f64(point.row * dimension..(point.row + 1) * dimension, &mut values);
            let similarity = direction.similarity(&values);
            if similarity >= *threshold {
                last.note(similarity);
                found.push(Verified { similarity, ..point });
            }
        }
        // What is not among the candidates may still be one, if these were cut short.
        let is_cut = floor > *threshold - self.error_max;
        if is_cut && !last.is_above(floor + self.error_max) {
            return Ok(None);
        }
        found.sort_unstable_by(|a, b| {
            b.similarity
                .total_cmp(&a.similarity)
                .then(a.timestamp_ns.cmp(&b.timestamp_ns))
                .then_with(|| a.labels.cmp(b.labels))
        });
        found.truncate(*limit);
        Ok(Some(found.into_iter().map(|point| point.into_match(self.view.dimension)).collect()))
    }

    /// The point that readers see where a candidate is; `None` where there is none, or it
    /// was looked up before.
    fn look_up<'s>(
        &'s self,
        place: Place,
        seen: &mut HashSet<(i64, &'s Labels)>,
    ) -> Result<Option<Verified<'s>>> {
        let (timestamp_ns, labels) = match place {
            Place::Row { block, row } => {
                let Block { segment, series, vectors, contested, .. } = &self.blocks[block as usize];
                let (row, block) = (row as usize, vectors.place(row as usize));
                let (timestamp_ns, labels) = (vectors.timestamp(row), &series.labels[vectors.label(row)]);
                if !contested.iter().any(|range| range.contains(timestamp_ns)) {
                    let columns = segment.block(series, &series.blocks[block.0])?.columns.clone();
                    return Ok(Some(Verified {
                        timestamp_ns,
                        labels,
                        columns,
                        row: block.1,
                        similarity: 0.0,
                    }));
                }
                (timestamp_ns, labels)
            }
            Place::Merged { rank, timestamp_ns } => (timestamp_ns, &self.rest_sets[rank as usize]),
        };
        if !seen.insert((timestamp_ns, labels)) {
            return Ok(None);
        }
        let point = self.view.point(timestamp_ns, labels)?;
        Ok(point.map(|(columns, row)| Verified { timestamp_ns, labels, columns, row, similarity: 0.0 }))
    }
}

/// Rows of a segment that a question may be about, from metadata.
fn asked_rows(series: &SeriesEntry, range: TimeRange, labels: &LabelFilter) -> u64 {
    let wanted: Vec<bool> = series.labels.iter().map(|set| labels.matches(set)).collect();
    let asked = series.blocks.iter().filter(|block| {
        block.range.overlaps(range)
            && wanted[block.first_label as usize..=block.last_label as usize].contains(&true)
    });
    asked.map(|block| u64::from(block.rows)).sum()
}

/// A point that readers see.
struct Verified<'a> {
    timestamp_ns: i64,
    labels: &'a Labels,
    columns: Arc<Columns>,
    row: usize,
    similarity: f64,
}

impl Verified<'_> {
    fn into_match(self, dimension: usize) -> Match {
        let mut values = Vec::with_capacity(dimension);
        self.columns.values.copy_to_f64(self.row * dimension..(self.row + 1) * dimension, &mut values);
        Match {
            timestamp_ns: self.timestamp_ns,
            end_timestamp_ns: None,
            values,
            labels: self.labels.clone(),
            similarity: self.similarity,
        }
    }
}

/// The least of the best similarities so far.
struct Last {
    best: super::Top<()>,
    limit: usize,
    count: usize,
}

impl Last {
    fn new(limit: usize) -> Self {
        Self { best: super::Top::new(limit), limit, count: 0 }
    }

    fn note(&mut self, similarity: f64) {
        self.best.offer(similarity, || ());
        self.count += 1;
    }

    /// Whether there are enough, all of them above `score`.
    fn is_above(&self, score: f64) -> bool {
        self.count >= self.limit && self.best.worst().is_some_and(|worst| worst > score)
    }
}

/// Queries, ready to be multiplied with many rows.
enum Multiplier {
    One(Vec<f32>),
    Groups(Vec<Vec<f32>>),
}

impl Multiplier {
    fn new<'q>(units: impl Iterator<Item = &'q [f64]>) -> Self {
        let mut units: Vec<Vec<f32>> =
            units.map(|unit| unit.iter().map(|&number| number as f32).collect()).collect();
        if units.len() == 1 {
            return Self::One(units.swap_remove(0));
        }
        let group = |units: &[Vec<f32>]| interleave(units.iter().map(Vec::as_slice), units[0].len());
        Self::Groups(units.chunks(GROUP).map(group).collect())
    }

    /// Offers the score of each row to each query.
    fn multiply<T: Copy>(&self, numbers: &[f32], found: &mut [Nearest<T>], place: impl Fn(usize) -> T) {
        let instructions = Instructions::best();
        match self {
            Self::One(unit) => {
                let rows = numbers.len() / unit.len();
                let mut scores = [0.0; PIECE_ROWS];
                let scores = &mut scores[..rows];
                dots(instructions, unit, numbers, scores);
                let Some(found) = found.first_mut() else { return };
                for (row, &score) in scores.iter().enumerate() {
                    if score >= found.floor_rounded() {
                        found.offer(f64::from(score), place(row));
                    }
                }
            }
            Self::Groups(groups) => {
                let mut scores = vec![[0.0; GROUP]; numbers.len() / (groups[0].len() / GROUP)];
                for (group, found) in groups.iter().zip(found.chunks_mut(GROUP)) {
                    group_dots(instructions, group, numbers, &mut scores);
                    let mut floors = [f32::INFINITY; GROUP];
                    let mut read_floors = |found: &[Nearest<T>]| {
                        for (floor, found) in floors.iter_mut().zip(found) {
                            *floor = found.floor_rounded();
                        }
                        floors
                    };
                    let mut now = read_floors(found);
                    for (row, scores) in scores.iter().enumerate() {
                        if !is_any_above(scores, &now) {
                            continue;
                        }
                        for (found, &score) in found.iter_mut().zip(scores) {
                            if score >= found.floor_rounded() {
                                found.offer(f64::from(score), place(row));
                            }
                        }
                        now = read_floors(found);
                    }
                }
            }
        }
    }
}

/// Without a branch a lane, so that it becomes one comparison of vectors.
fn is_any_above(scores: &[f32; GROUP], floors: &[f32; GROUP]) -> bool {
    let mut any = false;
    for lane in 0..GROUP {
        any |= scores[lane] >= floors[lane];
    }
    any
}
