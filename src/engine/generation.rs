//! All shards of one generation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::{Mutex, in_parallel};
use crate::base::{Result, SeriesName};
use crate::format::{shard_name, shard_of};
use crate::manifest::CurrentRecord;

use super::background::Background;
use super::cardinality::Cardinality;
use super::group::{Group, Ready};
use super::journals::Journals;
use super::options::Recover;
use super::recovery::{Opened, hinted};
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
    pub record: CurrentRecord,
    pub shards: Vec<Arc<Shard>>,
    pub cardinality: Arc<Cardinality>,
    dir: PathBuf,
    /// What the shards of each group share, and the number of the journal that was there.
    ready: Vec<(Arc<Ready>, u64)>,
    /// Once they are started.
    pub groups: Vec<Arc<Group>>,
    background: Option<Background>,
}

impl Generation {
    /// Opens every shard, in parallel, without starting threads.
    pub fn open(
        environment: &Arc<Environment>,
        dir: &Path,
        record: CurrentRecord,
        shards: u32,
    ) -> Result<Self> {
        let origin = record.origin;
        let progress = Progress::new(shards);
        let cardinality = Arc::new(Cardinality::new(&environment.options, environment.cache.clone()));
        let journals = Journals::read(environment.vfs.as_ref(), dir, origin)?;
        let is_degraded = environment.options.recover != Recover::Strict;
        if let Some((_, damage)) = journals.damages().next()
            && !is_degraded
        {
            return Err(hinted(damage));
        }
        journals.write_to_logs(&environment.vfs)?;
        let committers = environment.options.committers.clamp(1, shards as usize) as u32;
        let ready: Vec<(Arc<Ready>, u64)> =
            (0..committers).map(|group| (Arc::default(), journals.number(group))).collect();
        let opened = in_parallel((0..shards).collect(), |shard| {
            let dir = dir.join(shard_name(shard));
            let ready = ready[(shard % committers) as usize].0.clone();
            let opened = Shard::open(
                environment.clone(),
                cardinality.clone(),
                &dir,
                shard,
                (shards, origin),
                ready,
                &journals,
            )?;
            progress.add(opened.report.records);
            Ok(opened)
        })?;
        let records: u64 = opened.iter().map(|opened| opened.report.records).sum();
        let torn: u64 = opened.iter().map(|opened| opened.report.torn_logs).sum();
        if records > 0 {
            tracing::info!(records, torn_logs = torn, "what is in no segment yet was read from the logs");
        }
        Opened::give_up_damaged(&opened, &journals)?;
        let shards = opened.into_iter().map(Opened::finish).collect::<Result<Vec<_>>>()?;
        journals.set_damaged_aside(environment.vfs.as_ref(), &environment.options.data_dir)?;
        Ok(Self {
            record,
            shards,
            cardinality,
            dir: dir.to_owned(),
            ready,
            groups: Vec::new(),
            background: None,
        })
    }

    /// Starts the threads.
    pub fn start(&mut self) {
        self.start_groups();
        self.background = Some(Background::start(&self.shards, &self.groups));
    }

    /// Begins the journals.
    pub fn start_groups(&mut self) {
        let committers = self.ready.len();
        let groups = self.ready.iter().enumerate().filter_map(|(at, (ready, journal))| {
            let shards = self.shards.iter().skip(at).step_by(committers).cloned().collect();
            Group::start(at as u32, &self.dir, shards, ready.clone(), *journal).map(Arc::new)
        });
        self.groups = groups.collect();
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
        self.groups.iter().for_each(|group| group.close());
        if let Some(background) = self.background.take() {
            background.stop();
        }
    }

    /// Empties the journals, once the logs are synced and the threads have ended.
    pub fn end_journals(&self) {
        self.groups.iter().for_each(|group| group.end_journals());
    }
}
