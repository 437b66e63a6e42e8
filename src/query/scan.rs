//! Points of a range, page by page.

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Labels, Result, Rows, TimeRange};
use crate::memtable::SeriesSnapshot;
use crate::merge::{MergeOrder, MergedSlice, Merger, SeriesView};

/// Rows and where the next page starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Oldest first; rows of one timestamp by label set.
    pub rows: Rows,
    /// The first timestamp that is not on this page; `None` on the last page.
    pub next_start_ns: Option<i64>,
}

/// How many rows a page would have, and where the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its rows.
    pub count: u64,
    /// The first timestamp that is not on it; `None` where there is none.
    pub next_start_ns: Option<i64>,
}

/// Numbers of a column for which room is made ahead.
const NUMBERS_AHEAD_MAX: usize = 1 << 18;

/// Rows between two looks at the clock.
const ROWS_PER_CHECK: usize = 64 << 10;

/// The points in a range that a filter matches, of one instant, read one page after
/// another.
pub struct PageReader {
    view: SeriesView,
    range: TimeRange,
    sets: Vec<Labels>,
    /// Where the next page starts; `None` at the end.
    next_ns: Option<i64>,
    /// What is under way: the merge, and what it yielded that is on no page yet.
    merge: Option<(Merger, Option<MergedSlice>)>,
}

/// Where a page of at most so many rows ends: all rows of one timestamp stand on one
/// page, so there may be more.
struct PageEnd {
    limit: usize,
    rows: usize,
    last_ns: Option<i64>,
}

impl PageEnd {
    /// How many of these rows, which come next, are still on the page, and where the
    /// next one starts, should they not all be.
    fn take(&mut self, times: &[i64]) -> (usize, Option<i64>) {
        let mut take = times.len();
        let mut next_start_ns = None;
        if self.rows + take > self.limit {
            // Past the limit only what shares the last timestamp may follow.
            take = self.limit.saturating_sub(self.rows);
            let last = if take > 0 { times.get(take - 1).copied() } else { self.last_ns };
            take += times[take..].iter().take_while(|&&t| Some(t) == last).count();
            next_start_ns = times.get(take).copied();
        }
        self.rows += take;
        if take > 0 {
            self.last_ns = times.get(take - 1).copied();
        }
        (take, next_start_ns)
    }
}

impl PageReader {
    /// Reads what a view has in a range.
    pub fn new(view: SeriesView, range: TimeRange, filter: &LabelFilter) -> Self {
        let sets = view.label_sets(|labels| filter.matches(labels));
        Self { view, range, sets, next_ns: Some(range.start_ns), merge: None }
    }

    /// Values a point has.
    pub fn dimension(&self) -> usize {
        self.view.dimension
    }

    /// The view that is read.
    pub fn view(&self) -> &SeriesView {
        &self.view
    }

    /// The next page: at most `limit` rows, and the rest of the last timestamp. `None`
    /// after the last one.
    ///
    /// # Errors
    /// `TIMEOUT`; `LIMIT_EXCEEDED` where the rows would take more than `bytes_max`;
    /// `CORRUPT_DATA` where a block fails its checks. The page is lost then.
    pub fn next_page(&mut self, limit: usize, bytes_max: u64, deadline: &Deadline) -> Result<Option<Page>> {
        let Some(start_ns) = self.next_ns.take() else { return Ok(None) };
        let (mut merger, mut rest) = self.merge.take().unwrap_or_else(|| {
            let range = TimeRange { start_ns, end_ns: self.range.end_ns };
            (self.view.merge(range, &self.sets, MergeOrder::Time), None)
        });
        let with_ids = self.sets.len() > 1;
        let mut rows = Rows::new(self.view.dimension);
        // A column that moved while it grows would be there twice.
        let (estimated, _) = self.view.estimate_rows(TimeRange { start_ns, ..self.range }, false);
        let most = limit.min(estimated as usize);
        rows.timestamps_ns.reserve_exact(most.min(NUMBERS_AHEAD_MAX));
        rows.values.reserve_exact(most.saturating_mul(self.view.dimension).min(NUMBERS_AHEAD_MAX));
        let mut end = PageEnd { limit, rows: 0, last_ns: None };
        let mut checked = 0;
        while let Some(mut slice) = match rest.take() {
            Some(rest) => Some(rest),
            None => merger.next_slice()?,
        } {
            let times = &slice.columns.timestamps[slice.rows.clone()];
            let (take, next_start_ns) = end.take(times);
            let taken = slice.rows.start..slice.rows.start + take;
            rows.timestamps_ns.extend_from_slice(&times[..take]);
            let dimension = self.view.dimension;
            let values = taken.start * dimension..taken.end * dimension;
            slice.columns.values.copy_to_f64(values, &mut rows.values);
            if with_ids {
                rows.label_ids.resize(rows.timestamps_ns.len(), slice.rank);
            }
            if next_start_ns.is_some() {
                slice.rows.start = taken.end;
                self.next_ns = next_start_ns;
                self.merge = Some((merger, Some(slice)));
                break;
            }
            if rows.len() - checked >= ROWS_PER_CHECK {
                checked = rows.len();
                deadline.check()?;
            }
            if rows.memory_bytes() as u64 > bytes_max {
                return Err(Error::new(
                    ErrorCode::LimitExceeded,
                    format!(
                        "the selection needs more than the {bytes_max} bytes that one query may take; narrow the \
                         time range or the labels, read page by page with a limit, or raise TSDB_MEMORY_LIMIT"
                    ),
                ));
            }
        }
        rows.label_sets.clone_from(&self.sets);
        Ok(Some(Page { rows, next_start_ns: self.next_ns }))
    }

    /// What the first page of at most `limit` rows would be like. Reads and checks all of
    /// it, and keeps nothing.
    ///
    /// # Errors
    /// `TIMEOUT`; `CORRUPT_DATA` where a block fails its checks.
    pub fn measure(&self, limit: usize, deadline: &Deadline) -> Result<Extent> {
        let mut merger = self.view.merge(self.range, &self.sets, MergeOrder::Time);
        let mut end = PageEnd { limit, rows: 0, last_ns: None };
        let mut next_start_ns = None;
        let mut checked = 0;
        while next_start_ns.is_none()
            && let Some(slice) = merger.next_slice()?
        {
            (_, next_start_ns) = end.take(&slice.columns.timestamps[slice.rows]);
            if end.rows - checked >= ROWS_PER_CHECK {
                checked = end.rows;
                deadline.check()?;
            }
        }
        Ok(Extent { count: end.rows as u64, next_start_ns })
    }

    /// Most bytes of sorted points that are held between two pages; they are held to be read
    /// faster, and [`let_go`](Self::let_go) gives them back.
    pub fn held_bytes(&self) -> u64 {
        let overlaps =
            |memory: &&SeriesSnapshot| memory.range().is_some_and(|range| range.overlaps(self.range));
        let memory = self.view.memory.iter().filter(overlaps);
        if self.merge.is_some() { memory.map(|memory| memory.memory_bytes() as u64).sum() } else { 0 }
    }

    /// What the merge of all of it holds, about.
    pub fn merge_bytes(&self) -> u64 {
        self.view.merge_bytes(self.range, |labels| self.sets.binary_search(labels).is_ok())
    }

    /// Begins again with the first page.
    pub fn rewind(&mut self) {
        self.next_ns = Some(self.range.start_ns);
        self.merge = None;
    }

    /// Gives back what can be read again: for whoever will not want the next page soon.
    pub fn let_go(&mut self) {
        self.merge = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_a_timestamp_does() {
        let mut end = PageEnd { limit: 3, rows: 0, last_ns: None };
        assert_eq!(end.take(&[1, 2]), (2, None));
        assert_eq!(end.take(&[3, 3, 3, 4]), (3, Some(4)));
        let mut end = PageEnd { limit: 2, rows: 0, last_ns: None };
        assert_eq!(end.take(&[1, 2]), (2, None));
        assert_eq!(end.take(&[2]), (1, None), "of another label set");
        assert_eq!(end.take(&[5]), (0, Some(5)));
        let mut end = PageEnd { limit: 0, rows: 0, last_ns: None };
        assert_eq!(end.take(&[7]), (0, Some(7)));
    }
}
