//! Reading one series: ranges page by page, counts and figures.
//!
//! Everything here works on a pinned [`SeriesView`](crate::merge::SeriesView), which
//! never changes, and looks at a deadline now and then.

mod figures;
mod scan;

pub use figures::{
    DimensionSummary, SeriesFigures, count_at_most, count_points, count_range, series_figures,
};
pub use scan::{Extent, Page, PageReader};
