//! Chooses what to merge: size-tiered, and within a tier what lies closest in time.

use crate::base::TimeRange;
use crate::segments::SegmentInfo;

/// How eager compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Segments of one tier that are merged at once, and the ratio between tiers.
    pub fanout: usize,
    /// Everything smaller belongs to the lowest tier.
    pub tier_bytes_min: u64,
    /// Segments above this are merged no more.
    pub segment_bytes_max: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self { fanout: 4, tier_bytes_min: 256 << 10, segment_bytes_max: 1 << 30 }
    }
}

impl CompactionOptions {
    fn tier(&self, bytes: u64) -> u32 {
        let mut tier = 0;
        let mut top = self.tier_bytes_min.max(1);
        while bytes > top {
            tier += 1;
            top = top.saturating_mul(self.fanout.max(2) as u64);
        }
        tier
    }
}

/// The ids of the segments to merge next; `None` where nothing needs it. The lowest
/// tier that has `fanout` segments comes first; of its segments, sorted by time, the
/// `fanout` neighbours whose times span least.
pub fn plan(segments: &[SegmentInfo], options: &CompactionOptions) -> Option<Vec<u64>> {
    let fanout = options.fanout.max(2);
    let mut tiers: Vec<(u32, &SegmentInfo)> = segments
        .iter()
        .filter(|segment| segment.bytes <= options.segment_bytes_max)
        .map(|segment| (options.tier(segment.bytes), segment))
        .collect();
    tiers.sort_by_key(|(tier, segment)| (*tier, segment.start_ns, segment.id));
    let tier = tiers.chunk_by(|a, b| a.0 == b.0).find(|tier| tier.len() >= fanout)?;
    let chosen = tier.windows(fanout).min_by_key(|window| {
        let span = window.iter().filter_map(|(_, segment)| segment.range()).reduce(TimeRange::union);
        span.map_or(0, |span| span.end_ns.abs_diff(span.start_ns))
    })?;
    Some(chosen.iter().map(|(_, segment)| segment.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn segment(id: u64, bytes: u64, start_ns: i64, end_ns: i64) -> SegmentInfo {
        SegmentInfo { id, hash: 0, bytes, rows: 1, tombstones: 0, min_seq: id, max_seq: id, start_ns, end_ns }
    }

    #[test]
    fn few_segments_are_left_alone() {
        let segments: Vec<_> = (0..3).map(|id| segment(id, 1000, 0, 10)).collect();
        assert_eq!(plan(&segments, &CompactionOptions::default()), None);
    }

    #[test]
    fn neighbours_in_time_go_together() {
        let mut segments: Vec<_> =
            (0..4).map(|id| segment(id, 1000, id as i64 * 10, id as i64 * 10 + 9)).collect();
        segments.push(segment(9, 1000, 1_000_000, 1_000_009));
        segments.push(segment(8, 1 << 30, 0, 9));
        let mut chosen = plan(&segments, &CompactionOptions::default()).unwrap();
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3]);
    }

    /// Feeds equal flushes through the planner: the number of segments and the bytes
    /// rewritten stay logarithmic.
    #[test]
    fn amplification_is_logarithmic() {
        let options = CompactionOptions::default();
        let mut rng = Rng::new(7);
        let mut segments: Vec<SegmentInfo> = Vec::new();
        let (mut next_id, mut rewritten, mut most) = (0, 0, 0);
        let flushes = 4096;
        for flush in 0..flushes {
            let start = flush * 100 + rng.below(20) as i64;
            segments.push(segment(next_id, 64 << 10, start, start + 100));
            next_id += 1;
            while let Some(chosen) = plan(&segments, &options) {
                let inputs: Vec<_> = segments.extract_if(.., |s| chosen.contains(&s.id)).collect();
                let bytes = inputs.iter().map(|s| s.bytes).sum();
                rewritten += bytes;
                let range = inputs.iter().filter_map(SegmentInfo::range).reduce(TimeRange::union).unwrap();
                segments.push(segment(next_id, bytes, range.start_ns, range.end_ns));
                next_id += 1;
            }
            most = most.max(segments.len());
        }
        let written = flushes as u64 * (64 << 10);
        let amplification = rewritten as f64 / written as f64;
        assert!(amplification < 7.0, "each byte is rewritten {amplification} times");
        assert!(most < 30, "{most} segments at once");
    }
}
