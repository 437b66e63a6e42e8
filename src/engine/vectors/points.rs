//! The points of a series that are most like a query, exactly and without decoding all
//! of them.
//!
//! 1. The vectors of immutable segments are multiplied in single precision: list by list,
//!    but for the lists that can have nothing better than what was found, or all of them,
//!    many queries in one pass ([`crate::kernels::group_dots`]). What is in memory, or in a
//!    segment whose vectors do not fit the cache, is merged and scored in double precision.
//! 2. The best of the rounded scores are candidates, with all that are so close that
//!    rounding may have put them below.
//! 3. Candidates are looked up, best first, in the merged view, which alone knows whether
//!    readers see them, and are scored exactly from the stored numbers.
//! 4. That ends where no other candidate can be better than the last match. Where too
//!    many were not to be seen, it starts again with more.
//!
//! So the answer is that of [`Search`](crate::vector::Search) over all points, bit by bit.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Deadline, LabelFilter, Labels, Result, TimeRange};
use crate::format::Columns;
use crate::kernels::{GROUP, dots_error_max};
use crate::merge::{MergeOrder, SeriesView};
use crate::query::PageReader;
use crate::segments::{Segment, SeriesEntry};
use crate::vector::{Ahead, Course, Match, Nearest, Queries, Search, Target, Top, VectorBlock};

use super::{VectorCache, estimate_bytes};

/// Numbers that a scan of all points looks at in one go.
const PAGE_NUMBERS: usize = 1 << 18;
/// Vectors are not made for a question about fewer than one row of so many.
const BUILD_SHARE: u64 = 8;
/// Who wants more than one row of so many reads all of them.
const LIMIT_SHARE: u64 = 8;
/// Lists are of use where there are fewer of them, and fewer candidates to look for, than one of
/// so many of the selected rows.
const LISTS_SHARE: usize = 3;
/// Lists with so many parts of the selected rows are looked at before it is seen how many others may
/// have something.
const FIRST_SHARE: usize = 8;
/// Where more than one of so many rows is in lists that can't be left out, all rows are looked
/// at, by several threads, and for other such queries in the same pass.
const WHOLE_SHARE: usize = 2;
/// Candidates that may be looked up, whatever the number of rows.
const CANDIDATES_MIN: usize = 4 << 10;
/// Bytes of all candidates that one thread has, beyond those.
const CANDIDATES_BYTES: usize = 1 << 20;
/// Where more than one row of so many is a candidate, reading all takes less long than
/// looking each of them up.
const CANDIDATES_SHARE: usize = 16;

/// Runs work where several threads share it.
pub type InPool<'a> = &'a dyn Fn(&mut (dyn FnMut() + Send));

/// One query.
#[derive(Debug, Clone)]
pub struct PointQuery {
    /// What to look for: a direction, or else every point is read.
    pub target: Target,
    /// Most matches.
    pub limit: usize,
    /// Least similarity.
    pub threshold: f64,
    /// The part of the true matches that must be found, where an index may be used; `None`
    /// where the answer must be exact.
    pub recall: Option<f64>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct PointMatches {
    /// Best first; of equals the older.
    pub matches: Vec<Match>,
    /// Vectors that were compared with the query.
    pub scanned: u64,
    /// Whether every point was considered: nothing is left out.
    pub exact: bool,
    /// Whether an index told what to look at.
    pub used_lists: bool,
}

/// Finds the points in a range that the filter matches and that are most like each of
/// some queries. `bytes_max` bounds the rows that are held at a time.
///
/// # Errors
/// `TIMEOUT`; `CORRUPT_DATA` where a block fails its checks.
pub(in crate::engine) fn find_points(
    view: &SeriesView,
    vectors: &VectorCache,
    (range, labels): (TimeRange, &LabelFilter),
    queries: &[PointQuery],
    bytes_max: u64,
    deadline: &Deadline,
    in_pool: InPool<'_>,
) -> Result<Vec<PointMatches>> {
    let sources = Sources { in_pool, ..Sources::new(view, vectors, (range, labels), deadline)? };
    let most = sources.candidates_max(queries.len());
    let mut pending: Vec<Pending<'_>> =
        queries.iter().map(|query| Pending::new(query, sources.first_keep(query.limit), most)).collect();
    for pending in &mut pending {
        let is_greedy = pending.query.limit as u64 > sources.covered_rows() / LIMIT_SHARE;
        if is_greedy || !pending.query.target.is_direction() {
            pending.answer = Some(read_all(view, (range, labels), pending.query, bytes_max, deadline)?);
        }
    }
    while pending.iter().any(|pending| pending.answer.is_none()) {
        let mut open: Vec<&mut Pending<'_>> =
            pending.iter_mut().filter(|pending| pending.answer.is_none()).collect();
        let found = sources.candidates(&mut open, deadline)?;
        for (pending, found) in open.iter_mut().zip(found) {
            if let Some((candidates, floor)) = found.into_sorted() {
                let matches = sources.verify(pending, &candidates, floor, deadline)?;
                pending.conclude(matches);
            } else {
                // As good as equal.
                pending.answer = Some(read_all(view, (range, labels), pending.query, bytes_max, deadline)?);
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
    let PointQuery { target, limit, threshold, .. } = query;
    let mut search = Search::of(target.clone(), view.dimension, *limit, *threshold);
    let page_numbers = PAGE_NUMBERS.min(bytes_max as usize / 32);
    let page_rows = (page_numbers / view.dimension).max(1);
    let mut pages = PageReader::new(view.clone(), range, labels);
    let mut scanned = 0;
    while let Some(page) = pages.next_page(page_rows, bytes_max, deadline)? {
        deadline.check()?;
        scanned += page.rows.len() as u64;
        search.push(&page.rows);
    }
    Ok(PointMatches { matches: search.finish(), scanned, exact: true, used_lists: false })
}

/// A query that may have its answer.
struct Pending<'a> {
    query: &'a PointQuery,
    /// Rounded as vectors are.
    unit: Vec<f32>,
    /// Candidates to look for.
    keep: usize,
    /// Most that help.
    most: usize,
    /// The part of the true matches to find; `None` for all of them.
    recall: Option<f64>,
    /// Whether lists were looked at, and whether some were left out that may have something.
    used_lists: bool,
    is_cut_short: bool,
    scanned: u64,
    answer: Option<PointMatches>,
}

impl<'a> Pending<'a> {
    fn new(query: &'a PointQuery, keep: usize, most: usize) -> Self {
        Self {
            query,
            unit: query.target.numbers().iter().map(|&number| number as f32).collect(),
            keep,
            most: most.max(2 * keep),
            recall: query.recall,
            used_lists: false,
            is_cut_short: false,
            scanned: 0,
            answer: None,
        }
    }

    /// Takes the answer, or looks further: an index must not hide that there are matches.
    fn conclude(&mut self, matches: Option<Vec<Match>>) {
        let Some(matches) = matches else {
            self.keep *= 4;
            return;
        };
        if self.is_cut_short && matches.len() < self.query.limit {
            self.recall = None;
            return;
        }
        let exact = !self.is_cut_short;
        self.answer =
            Some(PointMatches { matches, scanned: self.scanned, exact, used_lists: self.used_lists });
    }
}

/// Where a candidate is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A row of one of the blocks, by where it stands.
    Slot { block: u32, slot: u32 },
    /// A point that was merged: its label set among those, and its time.
    Merged { rank: u32, timestamp_ns: i64 },
}

fn place(block: usize, slot: usize) -> Place {
    Place::Slot { block: block as u32, slot: slot as u32 }
}

/// A segment's vectors and which of them are asked for.
struct Block<'a> {
    segment: &'a Arc<Segment>,
    series: &'a SeriesEntry,
    vectors: Arc<VectorBlock>,
    selected: Vec<Range<usize>>,
    /// How many rows that are.
    rows: usize,
    /// Times at which only the merged view knows what is to be seen.
    contested: Vec<TimeRange>,
}

/// A query's way through the lists of a block.
struct Begun<'a> {
    /// Which block.
    at: usize,
    /// In which part of the distance of what is sought lists are looked at.
    part: f32,
    course: Course<'a>,
    /// Rows of lists that may have something, once the best of them were looked at.
    rows_left: usize,
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
    in_pool: InPool<'a>,
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
                bytes += estimate_bytes(series);
                let is_worth_it = asked_rows(series, range, labels) >= series.rows() / BUILD_SHARE;
                if is_worth_it && bytes <= vectors.bytes_max() {
                    found = vectors.get_or_build(segment, at, series, deadline)?;
                }
            }
            let Some(found) = found else { continue };
            let wanted = series.labels.iter().enumerate().filter(|(_, set)| labels.matches(set));
            let selected = found.select(wanted.map(|(at, _)| at), range);
            let contested = view.contested(segment);
            let rows = selected.iter().map(Range::len).sum();
            blocks.push(Block { segment, series, vectors: found, selected, rows, contested });
        }
        let without =
            |segment: &Arc<Segment>| !blocks.iter().any(|block| Arc::ptr_eq(block.segment, segment));
        let rest = SeriesView {
            segments: view.segments.iter().filter(|segment| without(segment)).cloned().collect(),
            ..view.clone()
        };
        let rest_sets = rest.label_sets(|set| labels.matches(set));
        let error_max = dots_error_max(view.dimension);
        Ok(Self { view, range, blocks, rest, rest_sets, error_max, in_pool: &|work| work() })
    }

    /// Rows whose vectors are there.
    fn covered_rows(&self) -> u64 {
        self.blocks.iter().map(|block| block.rows as u64).sum()
    }

    /// Most candidates of each of so many queries.
    fn candidates_max(&self, queries: usize) -> usize {
        let all = CANDIDATES_BYTES / size_of::<(f64, Place)>();
        let most = (all / queries.max(1)).max(CANDIDATES_MIN);
        most.min(self.covered_rows() as usize / CANDIDATES_SHARE + CANDIDATES_MIN)
    }

    /// Candidates to look for at first: some more where some may not be seen.
    fn first_keep(&self, limit: usize) -> usize {
        if self.blocks.iter().all(|block| block.contested.is_empty()) { limit } else { limit + limit / 4 + 8 }
    }

    /// The best candidates of each query.
    fn candidates(&self, open: &mut [&mut Pending<'_>], deadline: &Deadline) -> Result<Vec<Nearest<Place>>> {
        let mut found: Vec<Nearest<Place>> = open
            .iter_mut()
            .map(|pending| {
                pending.is_cut_short = false;
                let floor = pending.query.threshold - self.error_max;
                Nearest::new(pending.keep, 2.0 * self.error_max, floor, pending.most)
            })
            .collect();
        let mut whole: Vec<Vec<usize>> = vec![Vec::new(); self.blocks.len()];
        for (group, (open, found)) in open.chunks_mut(GROUP).zip(found.chunks_mut(GROUP)).enumerate() {
            let left = self.look_in_lists(open, found, deadline)?;
            for (query, blocks) in (group * GROUP..).zip(left) {
                for block in blocks {
                    whole[block].push(query);
                }
            }
        }
        for (at, (block, whole)) in self.blocks.iter().zip(whole).enumerate() {
            if whole.is_empty() {
                continue;
            }
            let queries = Queries::new(whole.iter().map(|&query| open[query].unit.as_slice()));
            let empty: Vec<Nearest<Place>> = whole.iter().map(|&query| found[query].emptied()).collect();
            let (vectors, selected) = (&block.vectors, &block.selected);
            let mut of_block = Ok(Vec::new());
            (self.in_pool)(&mut || {
                of_block = vectors.scan(&queries, selected, empty.clone(), |slot| place(at, slot), deadline);
            });
            for (query, more) in whole.into_iter().zip(of_block?) {
                open[query].scanned += block.rows as u64;
                found[query].take(more);
            }
        }
        self.score_rest(open, &mut found, deadline)?;
        Ok(found)
    }

    /// Looks for candidates of some queries in the lists of all blocks, and says of which blocks
    /// each query must see all rows. These know a floor then.
    fn look_in_lists(
        &self,
        open: &mut [&mut Pending<'_>],
        found: &mut [Nearest<Place>],
        deadline: &Deadline,
    ) -> Result<Vec<Vec<usize>>> {
        let queries = Queries::new(open.iter().map(|pending| pending.unit.as_slice()));
        let promises = self.blocks.iter().map(|block| {
            let is_of_use = open.iter().any(|pending| block.is_asked_by_lists(pending.keep));
            if is_of_use { block.vectors.promises(&queries) } else { Vec::new() }
        });
        let promises: Vec<Vec<Vec<f32>>> = promises.collect();
        let look = |query: usize, pending: &mut Pending<'_>, found: &mut Nearest<Place>| {
            deadline.check()?;
            let unit = std::mem::take(&mut pending.unit);
            let courses = self.blocks.iter().zip(&promises).enumerate().map(|(at, (block, promises))| {
                let promises = promises.get(query).filter(|_| block.is_asked_by_lists(pending.keep))?;
                let part = block.part_for(pending);
                let course = block.vectors.course(&unit, promises, &block.selected, part)?;
                Some(Begun { at, part, course, rows_left: 0 })
            });
            let whole = self.look_along(pending, courses.collect(), found, deadline);
            pending.unit = unit;
            whole
        };
        drop(queries);
        let both = open.iter_mut().zip(found.iter_mut()).enumerate();
        both.map(|(query, (pending, found))| look(query, pending, found)).collect()
    }

    /// The same for one query and its way through the lists of each block.
    fn look_along(
        &self,
        pending: &mut Pending<'_>,
        courses: Vec<Option<Begun<'_>>>,
        found: &mut Nearest<Place>,
        deadline: &Deadline,
    ) -> Result<Vec<usize>> {
        let without_lists = courses.iter().enumerate().filter(|(_, begun)| begun.is_none());
        let mut whole: Vec<usize> = without_lists.map(|(at, _)| at).collect();
        let mut begun: Vec<Begun<'_>> = courses.into_iter().flatten().collect();
        pending.used_lists |= !begun.is_empty();
        for Begun { at, course, .. } in &mut begun {
            let (vectors, at) = (&self.blocks[*at].vectors, *at);
            pending.scanned += vectors.probe(course, pending.keep, found, |slot| place(at, slot));
            found.settle();
        }
        self.look_ahead(pending, &mut begun, found, &mut whole, deadline)?;
        // What is left out now may have something all the same.
        let floor = found.floor_rounded();
        begun.retain_mut(|Begun { at, part, course, .. }| {
            if *part >= 1.0 {
                return false;
            }
            course.leave_out_nothing();
            let is_whole = course.ahead(floor).next().is_none();
            let is_enough = floor >= self.blocks[*at].usual_for(pending);
            pending.is_cut_short |= !is_whole && is_enough;
            !is_whole && !is_enough
        });
        self.look_ahead(pending, &mut begun, found, &mut whole, deadline)?;
        Ok(whole)
    }

    /// Looks at all lists that may have something, those first that promise the most; or leaves it
    /// to a look at the whole block.
    fn look_ahead(
        &self,
        pending: &mut Pending<'_>,
        begun: &mut Vec<Begun<'_>>,
        found: &mut Nearest<Place>,
        whole: &mut Vec<usize>,
        deadline: &Deadline,
    ) -> Result<()> {
        let floor = found.floor_rounded();
        let of_each = begun.iter().enumerate();
        let mut ahead: Vec<(usize, Ahead)> =
            of_each.flat_map(|(of, begun)| begun.course.ahead(floor).map(move |ahead| (of, ahead))).collect();
        ahead.sort_unstable_by(|(_, a), (_, b)| b.promise.total_cmp(&a.promise));
        let mut look = |begun: &mut Begun<'_>, ahead: Ahead, found: &mut Nearest<Place>| {
            if !ahead.may_have(found.floor_rounded()) {
                return 0;
            }
            let (vectors, at) = (&self.blocks[begun.at].vectors, begun.at);
            let looked = vectors.look(&mut begun.course, ahead.list, found, |slot| place(at, slot));
            pending.scanned += looked;
            looked as usize
        };
        let mut left = ahead.into_iter();
        let rows_first = begun.iter().map(|begun| self.blocks[begun.at].rows).sum::<usize>() / FIRST_SHARE;
        let mut rows = 0;
        while rows < rows_first
            && let Some((of, ahead)) = left.next()
        {
            rows += look(&mut begun[of], ahead, found);
        }
        found.settle();
        let left: Vec<(usize, Ahead)> =
            left.filter(|(_, ahead)| ahead.may_have(found.floor_rounded())).collect();
        for begun in begun.iter_mut() {
            begun.rows_left = 0;
        }
        for (of, ahead) in &left {
            let begun = &mut begun[*of];
            begun.rows_left += self.blocks[begun.at].vectors.rows_of(ahead.list);
        }
        let is_whole = |begun: &Begun<'_>| begun.rows_left * WHOLE_SHARE > self.blocks[begun.at].rows;
        for (turn, (of, ahead)) in left.into_iter().enumerate() {
            if turn % 64 == 63 {
                deadline.check()?;
            }
            if !is_whole(&begun[of]) {
                look(&mut begun[of], ahead, found);
            }
        }
        for Begun { at, .. } in begun.extract_if(.., |begun| is_whole(begun)) {
            whole.push(at);
            found.forget(|place| matches!(place, Place::Slot { block, .. } if *block as usize == at));
        }
        found.settle();
        Ok(())
    }

    /// Scores what has no vectors.
    fn score_rest(
        &self,
        open: &mut [&mut Pending<'_>],
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
            for pending in open.iter_mut() {
                pending.scanned += times.len() as u64;
            }
            for (&timestamp_ns, values) in times.iter().zip(values.chunks_exact(dimension)) {
                for (pending, found) in open.iter().zip(found.iter_mut()) {
                    let score = pending.query.target.score(values);
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
        let PointQuery { target, limit, threshold, .. } = pending.query;
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
            let point = match self.look_up(place, &mut seen)? {
                LookUp::Seen(point) => point,
                LookUp::Again | LookUp::Unseen => continue,
            };
            values.clear();
            let dimension = self.view.dimension;
            point.columns.values.copy_to_f64(point.row * dimension..(point.row + 1) * dimension, &mut values);
            let similarity = target.score(&values);
            if similarity >= *threshold {
                last.note(similarity);
                let Point { timestamp_ns, labels, .. } = point;
                found.push(Verified { similarity, timestamp_ns, labels, values: values.clone() });
                if found.len() > limit + limit / 4 + 64 {
                    keep_best(&mut found, *limit);
                }
            }
        }
        // What is not among the candidates may still be one, if these were cut short.
        let is_cut = floor > *threshold - self.error_max;
        if is_cut && !last.is_above(floor + self.error_max) {
            return Ok(None);
        }
        keep_best(&mut found, *limit);
        Ok(Some(found.into_iter().map(Verified::into_match).collect()))
    }

    /// The point that readers see where a candidate is.
    fn look_up<'s>(&'s self, place: Place, seen: &mut HashSet<(i64, &'s Labels)>) -> Result<LookUp<'s>> {
        let (timestamp_ns, labels) = match place {
            Place::Slot { block, slot } => {
                let Block { segment, series, vectors, contested, .. } = &self.blocks[block as usize];
                let row = vectors.row(slot as usize);
                let (timestamp_ns, labels) = (vectors.timestamp(row), &series.labels[vectors.label(row)]);
                if !contested.iter().any(|range| range.contains(timestamp_ns)) {
                    let (block, row) = vectors.place(row);
                    let columns =
                        segment.block(series, &series.blocks[block], TimeRange::ALL)?.columns.clone();
                    return Ok(LookUp::Seen(Point { timestamp_ns, labels, columns, row }));
                }
                (timestamp_ns, labels)
            }
            Place::Merged { rank, timestamp_ns } => (timestamp_ns, &self.rest_sets[rank as usize]),
        };
        if !seen.insert((timestamp_ns, labels)) {
            return Ok(LookUp::Again);
        }
        Ok(match self.view.point(timestamp_ns, labels)? {
            None => LookUp::Unseen,
            Some((columns, row)) => LookUp::Seen(Point { timestamp_ns, labels, columns, row }),
        })
    }
}

impl Block<'_> {
    /// Whether lists spare work to who looks for so many candidates.
    fn is_asked_by_lists(&self, keep: usize) -> bool {
        self.vectors.lists().is_some_and(|lists| (lists.len() + keep) * LISTS_SHARE <= self.rows)
    }

    /// In which part of the distance of what is sought a query looks at lists.
    fn part_for(&self, pending: &Pending<'_>) -> f32 {
        let measured = pending.recall.zip(self.vectors.lists());
        measured.and_then(|(recall, lists)| lists.part_for(pending.query.limit, recall)).unwrap_or(1.0)
    }

    /// The product that its matches usually exceed.
    fn usual_for(&self, pending: &Pending<'_>) -> f32 {
        self.vectors.lists().map_or(-1.0, |lists| lists.usual_for(pending.query.limit))
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

/// What is where a candidate was.
enum LookUp<'a> {
    Seen(Point<'a>),
    /// What was looked up before.
    Again,
    Unseen,
}

/// A point that readers see, in its block.
struct Point<'a> {
    timestamp_ns: i64,
    labels: &'a Labels,
    columns: Arc<Columns>,
    row: usize,
}

/// A point that may be a match. It holds no block: there may be one for each of them.
struct Verified<'a> {
    similarity: f64,
    timestamp_ns: i64,
    labels: &'a Labels,
    values: Vec<f64>,
}

impl Verified<'_> {
    fn into_match(self) -> Match {
        Match {
            timestamp_ns: self.timestamp_ns,
            end_timestamp_ns: None,
            values: self.values,
            labels: self.labels.clone(),
            similarity: self.similarity,
            distance: None,
        }
    }
}

/// Sorts, best first and of equals the older, and lets go of what is behind the limit.
fn keep_best(found: &mut Vec<Verified<'_>>, limit: usize) {
    found.sort_unstable_by(|a, b| {
        b.similarity
            .total_cmp(&a.similarity)
            .then(a.timestamp_ns.cmp(&b.timestamp_ns))
            .then_with(|| a.labels.cmp(b.labels))
    });
    found.truncate(limit);
}

/// The least of the best similarities so far.
struct Last {
    best: Top<()>,
    limit: usize,
    count: usize,
}

impl Last {
    fn new(limit: usize) -> Self {
        Self { best: Top::new(limit), limit, count: 0 }
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
