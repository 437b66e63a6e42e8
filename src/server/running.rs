//! Analyses that are running, and how far they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::base::SeriesName;
use crate::mp::Progress;
use crate::protocol::{Analysis, RunningAnalysis};

/// All that are running.
#[derive(Default)]
pub(super) struct Running {
    analyses: Mutex<BTreeMap<u64, Entry>>,
    next: AtomicU64,
    /// Pairs of windows that those which are over looked at.
    cells_over: AtomicU64,
}

struct Entry {
    json_type: &'static str,
    series: SeriesName,
    started: Instant,
    progress: Arc<Progress>,
}

/// One of them; it is over when this is dropped.
pub(super) struct One<'a> {
    running: &'a Running,
    id: u64,
    pub progress: Arc<Progress>,
}

impl Running {
    /// An analysis begins.
    pub fn begin(&self, analysis: &Analysis) -> One<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::new(Progress::default());
        let entry = Entry {
            json_type: analysis.kind.json_type(),
            series: analysis.series.clone(),
            started: Instant::now(),
            progress: progress.clone(),
        };
        self.analyses.lock().insert(id, entry);
        One { running: self, id, progress }
    }

    /// Those that are running, in the order in which they began.
    pub fn list(&self) -> Vec<RunningAnalysis> {
        let row = |entry: &Entry| {
            let cells = entry.progress.cells();
            RunningAnalysis {
                json_type: entry.json_type,
                series: entry.series.clone(),
                cells,
                // What is said beforehand is said before it is exactly known.
                cells_total: entry.progress.expected().max(cells),
                elapsed_ms: entry.started.elapsed().as_millis() as u64,
            }
        };
        self.analyses.lock().values().map(row).collect()
    }

    /// Pairs of windows that all have looked at since the start.
    pub fn cells(&self) -> u64 {
        let running = self.analyses.lock();
        let now: u64 = running.values().map(|entry| entry.progress.cells()).sum();
        now + self.cells_over.load(Ordering::Relaxed)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        let mut running = self.running.analyses.lock();
        self.running.cells_over.fetch_add(self.progress.cells(), Ordering::Relaxed);
        running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Deadline, Rng};
    use crate::mp::{Computation, Selection};
    use crate::protocol::AnalysisKind;

    #[test]
    fn what_runs_is_listed_until_it_is_over() {
        let running = Running::default();
        let series = SeriesName::new("s").unwrap();
        let analysis = Analysis::new(AnalysisKind::motif(), series.clone(), Some(8), 1);
        let (first, second) = (running.begin(&analysis), running.begin(&analysis));
        let mut rng = Rng::new(1);
        let values: Vec<f64> = (0..100).map(|_| rng.unit_f64()).collect();
        let selection = Selection { values: &values, dimension: 1, window: 8, normalize: true };
        let computation = Computation::self_join(&selection).unwrap();
        first.progress.expect(2 * computation.cells());
        // A part of it, such as one label set.
        computation.run(&Deadline::none(), &Progress::part_of(&first.progress));
        let list = running.list();
        assert_eq!((list.len(), list[0].json_type, &list[0].series), (2, "Motif", &series));
        assert_eq!((list[0].cells, list[0].cells_total), (computation.cells(), 2 * computation.cells()));
        assert_eq!((list[1].cells, list[1].cells_total), (0, 0));
        drop(first);
        assert_eq!((running.list().len(), running.cells()), (1, computation.cells()));
        drop(second);
        assert!(running.list().is_empty());
        assert_eq!(running.cells(), computation.cells(), "what was done stays counted");
    }
}
