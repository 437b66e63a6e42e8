//! D: after a kill and after a stop, the time until the first correct answer.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Bench;
use crate::Result;
use crate::process::Process;
use crate::subjects::{Subject, start_empty};
use crate::table::{Table, milliseconds};

/// How long a count that is too small must stand to be taken for the last word.
const NO_MORE: Duration = Duration::from_secs(3);

struct Restart {
    after_kill: Duration,
    lost: u64,
    stop: Duration,
    after_stop: Duration,
}

pub fn run(bench: &Bench) -> Result<Table> {
    let subjects = bench.subjects();
    let mut found: Vec<Vec<Restart>> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.options.rounds {
        for (subject, found) in subjects.iter().zip(&mut found) {
            found.push(once(bench, *subject)?);
        }
    }
    let mut table = Table::new(
        format!(
            "D: restart with {} points, until the first correct count of all",
            bench.options.points_each() * bench.options.series
        ),
        &["server", "after kill -9, ms", "points lost", "stop, ms", "after the stop, ms"],
    );
    for (subject, found) in subjects.iter().zip(&found) {
        let median = |duration: fn(&Restart) -> Duration| {
            let mut sorted: Vec<Duration> = found.iter().map(duration).collect();
            sorted.sort_unstable();
            milliseconds(sorted[sorted.len() / 2].as_secs_f64() * 1e3)
        };
        table.row(vec![
            subject.name().to_owned(),
            median(|restart| restart.after_kill),
            found.iter().map(|restart| restart.lost).max().unwrap_or(0).to_string(),
            median(|restart| restart.stop),
            median(|restart| restart.after_stop),
        ]);
    }
    table.note(
        "The kill follows the last acknowledgement at once. Where points are lost, the time is that of the first \
         answer with all that is left; the loss is the largest of the rounds.",
    );
    Ok(table)
}

fn once(bench: &Bench, subject: &dyn Subject) -> Result<Restart> {
    let scratch = bench.scratch()?;
    let process = start_empty(subject, scratch.path(), &bench.series())?;
    let expected = bench.fill(subject, process.address)?;
    process.kill()?;
    let (process, after_kill, count) = restart(bench, subject, scratch.path(), expected)?;
    let lost = expected - count;
    let stop = process.stop()?;
    let (_, after_stop, count_after) = restart(bench, subject, scratch.path(), count)?;
    if count_after != count {
        return Err(format!("{} lost {} points in a stop", subject.name(), count - count_after).into());
    }
    Ok(Restart { after_kill, lost, stop, after_stop })
}

/// Starts a subject on what it left, and waits until it has all points, or no more come.
fn restart(
    bench: &Bench,
    subject: &dyn Subject,
    dir: &Path,
    expected: u64,
) -> Result<(Process, Duration, u64)> {
    let series = bench.series();
    let started = Instant::now();
    let mut process = subject.start(dir)?;
    let mut best: Option<(u64, Duration)> = None;
    loop {
        process.must_run()?;
        // Errors are those of a server that is not ready yet.
        let count = subject.count(process.address, &series).ok();
        let elapsed = started.elapsed();
        if let Some(count) = count.filter(|&count| best.is_none_or(|(most, _)| count > most)) {
            best = Some((count, elapsed));
        }
        match best {
            Some((count, at)) if count >= expected || elapsed > at + NO_MORE => {
                return Ok((process, at, count.min(expected)));
            }
            _ if elapsed > Duration::from_mins(10) => {
                return Err(format!("{} answers nothing after a restart", subject.name()).into());
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
