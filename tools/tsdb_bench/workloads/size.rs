//! E: bytes a point on disk, when all background work is done.

use std::path::Path;

use super::Bench;
use crate::Result;
use crate::data::{csv_series, name, names};
use crate::driver::{Load, Requests, Until, drive};
use crate::process::{disk_bytes, file_bytes};
use crate::subjects::{Subject, start_empty};
use crate::table::Table;

pub fn run(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "E: bytes a point on disk, after compaction",
        &[
            "data",
            "server",
            "points",
            "data and index, bytes a point",
            "of the best peer",
            "whole directory on disk, bytes a point",
        ],
    );
    let mut walks = Vec::new();
    for subject in bench.subjects() {
        let scratch = bench.scratch()?;
        let process = start_empty(subject, scratch.path(), &bench.series())?;
        let points = bench.fill(subject, process.address)?;
        bench.check_count(subject, process.address, points)?;
        subject.settle(&process, bench.options.idle())?;
        walks.push((subject, points, sizes(subject, scratch.path())?));
    }
    add(bench, &mut table, "random walk", &walks);
    if let Some(dir) = &bench.options.nab {
        let mut real = Vec::new();
        for subject in bench.subjects() {
            real.push(csv(bench, subject, dir)?);
        }
        add(bench, &mut table, &format!("{} series of CSV", csv_series(dir)?.len()), &real);
    }
    table.note(
        "Data and index are the lengths of their files, without holes, and without logs that are written ahead of use, caches and the like. \
         The whole directory is what du says: all files, in whole blocks of the disk.",
    );
    Ok(table)
}

type Sized<'a> = (&'a dyn Subject, u64, (u64, u64));

fn add(bench: &Bench, table: &mut Table, data: &str, sizes: &[Sized]) {
    let each = |bytes: u64, points: u64| bytes as f64 / points as f64;
    let best = sizes
        .iter()
        .filter(|(subject, ..)| !bench.is_ours(*subject))
        .map(|(_, points, (bytes, _))| each(*bytes, *points))
        .fold(f64::INFINITY, f64::min);
    for (subject, points, (data_bytes, all_bytes)) in sizes {
        let ratio = each(*data_bytes, *points) / best;
        table.row(vec![
            data.to_owned(),
            subject.name().to_owned(),
            points.to_string(),
            format!("{:.3}", each(*data_bytes, *points)),
            if best.is_finite() { format!("{ratio:.2} ×") } else { "–".to_owned() },
            format!("{:.3}", each(*all_bytes, *points)),
        ]);
    }
}

fn sizes(subject: &dyn Subject, dir: &Path) -> Result<(u64, u64)> {
    Ok((file_bytes(dir, &|path| subject.holds_data(path))?, disk_bytes(dir)?))
}

fn csv<'a>(bench: &Bench, subject: &'a dyn Subject, dir: &Path) -> Result<Sized<'a>> {
    let series = csv_series(dir)?;
    let names = names(series.len());
    let scratch = bench.scratch()?;
    let process = start_empty(subject, scratch.path(), &names)?;
    let form = &subject.batch_forms()[0];
    let mut points = 0;
    for (at, series) in series.iter().enumerate() {
        for batch in series.chunks(bench.options.batch as usize) {
            let mut requests = [Requests::default()];
            requests[0].push(|out| (form.encode)(&name(at), batch, out));
            drive(&Load {
                address: process.address,
                framing: form.framing,
                replies_each: if form.answers_points { batch.len() as u64 } else { 1 },
                requests: &requests,
                pipeline: 1,
                bursts: false,
                threads: 1,
                until: Until::Sent,
            })?;
            points += batch.len() as u64;
        }
    }
    let count = subject.count(process.address, &names)?;
    if count != points {
        return Err(format!("{} has {count} points of {points}", subject.name()).into());
    }
    subject.settle(&process, bench.options.idle())?;
    Ok((subject, points, sizes(subject, scratch.path())?))
}
