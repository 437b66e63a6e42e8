//! Indexes of vectors: made beside segments, in the background, and never needed.

use std::sync::Arc;
use std::time::Instant;

use crate::base::sync::atomic::Ordering;
use crate::base::{Deadline, ErrorCode, Result};
use crate::segments::{Segment, SeriesEntry, Sidecar};
use crate::vector::Lists;

use super::shard::{Shard, add};
use super::vectors::{estimate_bytes, read_vectors};

/// Vectors of fewer numbers are looked at faster than an index is.
const DIMENSION_MIN: usize = 4;

impl Shard {
    /// Makes the index of one segment that needs one and has none, or a damaged one; says
    /// whether there was such a segment. What fails is tried again another time: searches
    /// do without.
    ///
    /// # Errors
    /// `READ_ONLY` where the disk refuses, `CORRUPT_DATA`; `TIMEOUT` once `stop` is over.
    pub fn index_once(&self, stop: &Deadline) -> Result<bool> {
        let segments = self.state.read().segments.clone();
        let lacks = |segment: &&Arc<Segment>| {
            segment.info().rows >= self.environment.options.index_rows_min
                && segment.sidecar().is_none()
                && !segment.is_damaged()
                && segment.index().series.iter().any(|series| self.is_worth_it(series))
        };
        let Some(segment) = segments.iter().find(lacks) else { return Ok(false) };
        self.refuse_in_trouble()?;
        self.environment.check_disk()?;
        let (environment, started) = (&self.environment, Instant::now());
        let mut sections = Vec::new();
        for (at, series) in segment.index().series.iter().enumerate() {
            if !self.is_worth_it(series) {
                continue;
            }
            let bytes = estimate_bytes(series);
            let (lists, block) = environment.vectors.beside(bytes, || {
                let block = read_vectors(segment, series, None, stop)?;
                // The same segment gives the same lists.
                let seed = segment.info().id ^ series.series_id.rotate_left(32);
                Ok::<_, crate::base::Error>((Lists::build(&block, seed, stop)?, block))
            })?;
            sections.push((series.series_id, lists.encode()));
            environment.vectors.replace(segment, at, block.with_lists(lists));
        }
        let sidecar = Sidecar::write(environment.vfs.as_ref(), &self.dir, segment, &sections)?;
        segment.set_sidecar(Some(sidecar));
        add(&environment.counts.vector_indexes, 1);
        add(&environment.counts.vector_index_ms, started.elapsed().as_millis() as u64);
        // A compaction that ended before the sidecar was there knows nothing of it.
        let is_live = self.state.read().segments.iter().any(|live| Arc::ptr_eq(live, segment));
        if !is_live {
            environment.obsolete.add_in_use(Sidecar::path_of(&self.dir, segment.info()), segment);
        }
        drop(segments);
        environment.obsolete.purge();
        Ok(true)
    }

    /// Makes all indexes that are needed, and says how many it made.
    pub fn index_all(&self, stop: &Deadline) -> Result<u64> {
        let mut made = 0;
        while self.index_once(stop)? {
            made += 1;
        }
        Ok(made)
    }

    /// Whether searches for vectors of a series in a segment gain by an index.
    fn is_worth_it(&self, series: &SeriesEntry) -> bool {
        series.dimension >= DIMENSION_MIN
            && series.rows() >= self.environment.options.index_rows_min
            && estimate_bytes(series) <= self.environment.vectors.bytes_max()
    }

    /// Opens what stands beside a segment. What is damaged is as good as none.
    pub fn open_sidecar(environment: &super::shard::Environment, dir: &std::path::Path, segment: &Segment) {
        match Sidecar::open(environment.vfs.as_ref(), dir, segment.info()) {
            Ok(found) => segment.set_sidecar(found),
            Err(reason) => tracing::warn!(%reason, "an index of vectors is made anew"),
        }
    }

    /// Bytes of indexes, rows of series that are worth one, and how many of these rows
    /// have one.
    pub fn index_figures(&self) -> (u64, u64, u64) {
        let (mut bytes, mut worth, mut covered) = (0, 0, 0);
        for segment in &self.state.read().segments {
            let sidecar = segment.sidecar();
            bytes += sidecar.as_ref().map_or(0, |sidecar| sidecar.bytes());
            for series in segment.index().series.iter().filter(|series| self.is_worth_it(series)) {
                worth += series.rows();
                if sidecar
                    .as_ref()
                    .is_some_and(|sidecar| sidecar.series_ids().any(|id| id == series.series_id))
                {
                    covered += series.rows();
                }
            }
        }
        (bytes, worth, covered)
    }
}

/// Makes indexes until nothing is left to do; says whether all could be made.
pub(super) fn index_shards(shards: &[Arc<Shard>], stop: &Deadline) -> bool {
    let mut all = true;
    for shard in shards {
        if stop.is_over() {
            break;
        }
        let made = crate::base::caught("an index of vectors", || shard.index_all(stop));
        if let Err(reason) = made
            && reason.code() != ErrorCode::Timeout
        {
            tracing::warn!(shard = shard.number, %reason, "an index of vectors was not made");
            all = false;
        }
    }
    all
}

impl super::Engine {
    /// Makes the indexes of vectors that segments lack; says how many it made. In the
    /// background, a thread does so after flushes and compactions.
    ///
    /// # Errors
    /// As a flush, and `CORRUPT_DATA` where a segment fails its checks.
    pub fn index(&self) -> Result<u64> {
        let mut made = 0;
        for shard in self.shards() {
            made += shard.index_all(&Deadline::none())?;
        }
        Ok(made)
    }

    /// Counts vectors that searches compared.
    pub(super) fn note_scanned(&self, vectors: u64) {
        self.inner.environment.counts.vectors_scanned.fetch_add(vectors, Ordering::Relaxed);
    }
}
