//! Points of a range, page by page.

use crate::base::{Deadline, Error, ErrorCode, LabelFilter, Result, Rows, TimeRange};
use crate::merge::{MergeOrder, SeriesView};

/// Rows and where the next page starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Oldest first; rows of one timestamp by label set.
    pub rows: Rows,
    /// The first timestamp that is not on this page; `None` on the last page.
    pub next_start_ns: Option<i64>,
}

/// Rows between two looks at the clock.
const ROWS_PER_CHECK: usize = 64 << 10;

/// The points in a range that the filter matches, at most `limit` of them; but all
/// rows of one timestamp stand on one page, so there may be more.
///
/// # Errors
/// `TIMEOUT`; `LIMIT_EXCEEDED` where the rows would take more than `bytes_max`;
/// `CORRUPT_DATA` where a block fails its checks.
pub fn scan(
    view: &SeriesView,
    range: TimeRange,
    filter: &LabelFilter,
    limit: usize,
    bytes_max: u64,
    deadline: &Deadline,
) -> Result<Page> {
    let sets = view.label_sets(|labels| filter.matches(labels));
    let mut merger = view.merge(range, &sets, MergeOrder::Time);
    let with_ids = sets.len() > 1;
    let mut rows = Rows::new(view.dimension);
    let mut next_start_ns = None;
    let mut checked = 0;
    while let Some(slice) = merger.next_slice()? {
        let times = &slice.columns.timestamps[slice.rows.clone()];
        let mut take = times.len();
        if rows.len() + take > limit {
            // Past the limit only what shares the last timestamp may follow.
            take = limit.saturating_sub(rows.len());
            let last = if take > 0 { times.get(take - 1) } else { rows.timestamps_ns.last() };
            let last = last.copied();
            take += times[take..].iter().take_while(|&&t| Some(t) == last).count();
            next_start_ns = times.get(take).copied();
        }
        let taken = slice.rows.start..slice.rows.start + take;
        rows.timestamps_ns.extend_from_slice(&times[..take]);
        slice
            .columns
            .values
            .copy_to_f64(taken.start * view.dimension..taken.end * view.dimension, &mut rows.values);
        if with_ids {
            rows.label_ids.resize(rows.timestamps_ns.len(), slice.rank);
        }
        if next_start_ns.is_some() {
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
                    "the selection needs more than the {bytes_max} bytes that one query may take; narrow the time \
                     range or the labels, read page by page with a limit, or raise TSDB_MEMORY_LIMIT"
                ),
            ));
        }
    }
    rows.label_sets = sets;
    Ok(Page { rows, next_start_ns })
}
