//! A: batches over the wire, each acknowledged.

use super::{Batches, Bench};
use crate::Result;
use crate::measure::{Entry, Measure, add_rates, measure, rate_table};
use crate::subjects::{BatchForm, Subject, start_empty};
use crate::table::Table;

pub fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let mut contenders: Vec<(&dyn Subject, BatchForm, Entry)> = Vec::new();
    for subject in bench.subjects() {
        for form in subject.batch_forms() {
            let label = format!("{} {}", subject.name(), form.name);
            let entry = Entry { label, is_ours: bench.is_ours(subject), measures: Vec::new() };
            contenders.push((subject, *form, entry));
        }
    }
    for _ in 0..options.rounds {
        for (subject, form, entry) in &mut contenders {
            entry.measures.push(once(bench, *subject, form)?);
        }
    }
    let title = format!(
        "A: ingest of {} series × {} points in batches of {}",
        options.series,
        options.points_each(),
        options.batch
    );
    let mut table = rate_table(&title, "point", "points");
    let entries: Vec<Entry> = contenders.into_iter().map(|(_, _, entry)| entry).collect();
    add_rates(&mut table, "ingest", &entries);
    table.note(
        "Latencies are those of batches. VictoriaMetrics is not durable: it acknowledges what is in memory. Redis \
         gets a tenth of the points.",
    );
    Ok(table)
}

fn once(bench: &Bench, subject: &dyn Subject, form: &BatchForm) -> Result<Measure> {
    let options = &bench.options;
    let batch = options.batch;
    // Whole batches only, so that each request has the same number of answers.
    let points_each = (options.points_each() / form.sparing / batch).max(1) * batch;
    let requests = Batches::new(options.series as usize).requests(form, points_each, batch);
    let scratch = bench.scratch()?;
    let process = start_empty(subject, scratch.path(), &bench.series())?;
    let load = bench.batch_load(process.address, form, &requests);
    let measure = measure(&process, &load, batch)?;
    bench.check_count(subject, process.address, points_each * options.series)?;
    Ok(measure)
}
