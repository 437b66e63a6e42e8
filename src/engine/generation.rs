//! All shards of one generation.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::{Mutex, in_parallel};
use crate::base::{Result, SeriesName};
use crate::format::{shard_name, shard_of};

use super::background::Background;
use super::cardinality::Cardinality;
use super::shard::{Environment, Shard};

/// Tells the log about once a second how far the opening is.
struct Progress {
    shards: u32,
    done: Mutex<Done>,
}

struct Done {
    shards: u32,
    records: u64,
    told: Instant,
}

impl Progress {
    fn new(shards: u32) -> Self {
        Self { shards, done: Mutex::new(Done { shards: 0, records: 0, told: Instant::now() }) }
    }

    fn add(&self, records: u64) {
        let mut done = self.done.lock();
        done.shards += 1;
        done.records += records;
        if done.told.elapsed() >= Duration::from_secs(1) {
            done.told = Instant::now();
            tracing::info!(shards = done.shards, of = self.shards, records = done.records, "recovering");
        }
    }
}

/// The shards that are live together.
pub(super) struct Generation {
    pub number: u64,
    pub shards: Vec<Arc<Shard>>,
    pub cardinality: Arc<Cardinality>,
    background: Option<Background>,
}

impl Generation {
    /// Opens every shard, in parallel, without starting threads.
    pub fn open(environment: &Arc<Environment>, dir: &Path, number: u64, shards: u32) -> Result<Self> {
        let progress = Progress::new(shards);
        let cardinality = Arc::new(Cardinality::new(&environment.options, environment.cache.clone()));
        let opened = in_parallel((0..shards).collect(), |shard| {
            let dir = dir.join(shard_name(shard));
            let opened = Shard::open(environment.clone(), cardinality.clone(), &dir, shard, shards)?;
            progress.add(opened.1.records);
            Ok(opened)
        })?;
        let records: u64 = opened.iter().map(|(_, report)| report.records).sum();
        let torn: u64 = opened.iter().map(|(_, report)| report.torn_logs).sum();
        if records > 0 {
            tracing::info!(records, torn_logs = torn, "logs replayed");
        }
        let shards = opened.into_iter().map(|(shard, _)| shard).collect();
        Ok(Self { number, shards, cardinality, background: None })
    }

    /// Starts the threads.
    pub fn start(&mut self) {
        self.background = Some(Background::start(&self.shards));
    }

    /// The shard of a series.
    pub fn shard(&self, name: &SeriesName) -> &Arc<Shard> {
        &self.shards[shard_of(name.as_str(), self.shards.len() as u32) as usize]
    }

    /// Takes no further writes and commits those that wait.
    pub fn drain(&self) {
        self.shards.iter().for_each(|shard| shard.drain());
    }

    /// Ends the threads; call [`drain`](Self::drain) first.
    pub fn stop(&mut self) {
        if let Some(background) = self.background.take() {
            background.stop();
        }
    }
}
