//! A histogram of latencies: a fixed size, 1.6 % exact.

use std::time::Duration;

/// Each power of two is divided into this many buckets (as a power of two).
const FINE_BITS: u32 = 6;
const FINE: u64 = 1 << FINE_BITS;

/// How long requests took.
#[derive(Debug, Clone)]
pub struct Latency {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Latency {
    pub fn new() -> Self {
        Self { counts: vec![0; (65 - FINE_BITS) as usize * FINE as usize], total: 0, max_ns: 0 }
    }

    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The latency in milliseconds that the share `quantile` of all stayed below.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let wanted = (self.total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return upper_ns(at).min(self.max_ns) as f64 / 1e6;
            }
        }
        self.max_ms()
    }

    pub fn max_ms(&self) -> f64 {
        self.max_ns as f64 / 1e6
    }
}

fn bucket(ns: u64) -> usize {
    if ns < FINE {
        return ns as usize;
    }
    let shift = ns.ilog2() - FINE_BITS;
    (u64::from(shift) * FINE + (ns >> shift)) as usize
}

/// The greatest number of a bucket.
fn upper_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let shift = bucket / FINE - 1;
    let below = (bucket % FINE) + FINE;
    (u128::from(below + 1) << shift).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_numbers() {
        for ns in (0..1000).chain([1 << 20, (1 << 20) - 1, 123_456_789, u64::MAX / 3, u64::MAX]) {
            let at = bucket(ns);
            assert!(upper_ns(at) >= ns, "{ns}");
            assert!(at == 0 || upper_ns(at - 1) < ns, "{ns}");
        }
    }

    #[test]
    fn quantiles_are_near() {
        let mut latency = Latency::new();
        for us in 1..=1000 {
            latency.record(Duration::from_micros(us));
        }
        for (quantile, ms) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let found = latency.quantile_ms(quantile);
            assert!((found / ms - 1.0).abs() < 0.02, "{quantile}: {found}");
        }
        assert_eq!(latency.max_ms(), 1.0);
    }
}
