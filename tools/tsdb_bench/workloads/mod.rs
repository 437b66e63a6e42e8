//! The workloads, one a file, and what they share: who takes part, and how a server is
//! filled.

mod analyses;
mod background;
mod durable;
mod growth;
mod ingest;
mod memory;
mod quality;
mod ranges;
mod restart;
mod size;

use std::net::SocketAddr;
use std::path::Path;

use crate::Result;
use crate::data::{Point, Walk, names};
use crate::driver::{Load, Requests, Until, drive};
use crate::options::{Options, Workload};
use crate::process::Scratch;
use crate::subjects::{BatchForm, Ours, Subject, peers};
use crate::table::Table;

/// Connections that write batches.
const WRITERS: usize = 8;
/// Points whose requests are held in memory at a time where speed is not measured.
const FILL_POINTS: u64 = 1_000_000;

/// Who takes part, and how.
pub struct Bench {
    pub options: Options,
    pub ours: Ours,
    pub peers: Vec<Box<dyn Subject>>,
}

impl Bench {
    pub fn new(options: Options) -> Result<Self> {
        let ours = Ours::find(options.server.as_deref())?;
        let peers = peers(&options)?;
        Ok(Self { options, ours, peers })
    }

    /// All, ours first.
    pub fn subjects(&self) -> Vec<&dyn Subject> {
        let ours: &dyn Subject = &self.ours;
        std::iter::once(ours).chain(self.peers.iter().map(AsRef::as_ref)).collect()
    }

    fn is_ours(&self, subject: &dyn Subject) -> bool {
        subject.name() == self.ours.name()
    }

    fn scratch(&self) -> Result<Scratch> {
        Scratch::new(&self.options.dir)
    }

    /// The folder of labelled series.
    fn folder(&self) -> Result<&Path> {
        self.options.folder.as_deref().ok_or_else(|| "name the folder of labelled series".into())
    }

    /// Series of the data set.
    fn series(&self) -> Vec<String> {
        names(self.options.series as usize)
    }

    /// Runs a workload, giving each table to `show`.
    pub fn run(&self, workload: Workload, show: &dyn Fn(&Table)) -> Result<()> {
        match workload {
            Workload::Ingest => show(&ingest::run(self)?),
            Workload::Durable => show(&durable::run(self)?),
            Workload::Ranges => show(&ranges::run(self)?),
            Workload::Restart => show(&restart::run(self)?),
            Workload::Size => show(&size::run(self)?),
            Workload::Memory => show(&memory::run(self)?),
            Workload::Growth => growth::run(self)?.iter().for_each(show),
            Workload::Analyses => show(&analyses::run(self)?),
            Workload::Background => show(&background::run(self)?),
            Workload::Ucr => show(&quality::ucr(self)?),
            Workload::Nab => show(&quality::nab(self)?),
            Workload::All => {
                for workload in [
                    Workload::Ingest,
                    Workload::Durable,
                    Workload::Ranges,
                    Workload::Restart,
                    Workload::Size,
                    Workload::Memory,
                    Workload::Growth,
                    Workload::Analyses,
                    Workload::Background,
                ] {
                    self.run(workload, show)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the data set; the number of points, all of them acknowledged.
    fn fill(&self, subject: &dyn Subject, address: SocketAddr) -> Result<u64> {
        let series = self.options.series as usize;
        let mut batches = Batches::new(series);
        let mut left = self.options.points_each();
        while left > 0 {
            let some = left.min((FILL_POINTS / self.options.series).max(self.options.batch));
            let form = subject.batch_forms()[0];
            let requests = batches.requests(&form, some, self.options.batch);
            drive(&self.batch_load(address, &form, &requests))?;
            left -= some;
        }
        Ok(self.options.points_each() * self.options.series)
    }

    fn check_count(&self, subject: &dyn Subject, address: SocketAddr, expected: u64) -> Result<()> {
        let count = subject.count(address, &self.series())?;
        if count == expected {
            return Ok(());
        }
        Err(format!("{} has {count} points of {expected} that it acknowledged", subject.name()).into())
    }

    fn batch_load<'a>(&self, address: SocketAddr, form: &BatchForm, requests: &'a [Requests]) -> Load<'a> {
        Load {
            address,
            framing: form.framing,
            replies_each: if form.answers_points { self.options.batch } else { 1 },
            requests,
            pipeline: form.pipeline,
            bursts: self.options.bursts,
            threads: self.options.threads,
            until: Until::Sent,
        }
    }
}

/// The synthetic series, from where the last requests ended.
struct Batches {
    series: Vec<(String, Walk)>,
}

impl Batches {
    fn new(series: usize) -> Self {
        Self {
            series: names(series).into_iter().enumerate().map(|(at, name)| (name, Walk::new(at))).collect(),
        }
    }

    /// Requests of [`WRITERS`] connections, each with series of its own, for the next
    /// `points_each` points of all series.
    fn requests(&mut self, form: &BatchForm, points_each: u64, batch: u64) -> Vec<Requests> {
        let writers = WRITERS.min(self.series.len());
        let mut requests: Vec<Requests> = (0..writers).map(|_| Requests::default()).collect();
        let mut points: Vec<Point> = Vec::new();
        let mut left = points_each;
        while left > 0 {
            let some = left.min(batch);
            for (at, (name, walk)) in self.series.iter_mut().enumerate() {
                points.clear();
                points.extend(walk.take(some as usize));
                requests[at % writers].push(|out| (form.encode)(name, &points, out));
            }
            left -= some;
        }
        requests
    }
}
