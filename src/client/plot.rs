//! A series as a picture: on the terminal, as SVG, or as PNG.

use serde_json::{Value, json};

use crate::vfs::{RealDisk, Vfs};

use super::chart::{Chart, Mark};
use super::connection::Connection;
use super::export::{fields, pages};
use super::failure::{Failure, Result, on_file};
use super::options::{Connect, Plot};
use super::{raster, svg};

/// Runs the plot.
pub(super) fn run(connect: &Connect, options: &Plot) -> Result<()> {
    let fields = fields(&options.selection)?;
    let mut connection = Connection::open(connect)?;
    let mut times = Vec::new();
    let mut values = Vec::new();
    pages(&mut connection, &options.series, fields.clone(), |dimension, page| {
        if options.dimension as u64 >= dimension {
            return Err(Failure::Usage(format!(
                "--dimension {}: the points of {} have {dimension}, counted from 0",
                options.dimension, options.series
            )));
        }
        for point in page {
            times.push(point.timestamp_ns);
            values.push(point.values.get(options.dimension).copied().unwrap_or_default());
        }
        Ok(())
    })?;
    if times.is_empty() {
        return Err(Failure::Refused(format!("{} has no points there; see STATS {0}", options.series)));
    }
    let (what, marks) = marks(&mut connection, options, &fields)?;
    let chart = Chart {
        title: options.title.clone().unwrap_or_else(|| options.series.clone()),
        times,
        values,
        marks,
        what,
    };
    let Some(path) = &options.output else {
        let (width, height) = (options.width.unwrap_or(100), options.height.unwrap_or(16));
        println!("{}", chart.terminal(width.clamp(30, 400), height.clamp(4, 100)));
        return Ok(());
    };
    let (width, height) = (options.width.unwrap_or(1200), options.height.unwrap_or(420));
    let scene = chart.scene(width.clamp(300, 8000), height.clamp(150, 8000));
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let bytes = match extension.as_deref() {
        Some("svg") => svg::render(&scene).into_bytes(),
        Some("png") => {
            raster::render(&scene).map_err(|e| Failure::Refused(format!("{}: {e}", path.display())))?
        }
        _ => {
            return Err(Failure::Usage(format!("{}: name the file .svg or .png", path.display())));
        }
    };
    let write = || {
        // A picture of before is replaced.
        let _ = RealDisk.remove(path);
        RealDisk.create(path)?.write_all_at(&bytes, 0)
    };
    write().map_err(on_file(path.display()))?;
    println!("drawn to {}", path.display());
    for (at, line) in chart.legend().iter().enumerate() {
        println!("{}. {line}", at + 1);
    }
    Ok(())
}

/// What is to be marked, and what it is called.
fn marks(
    connection: &mut Connection,
    options: &Plot,
    fields: &serde_json::Map<String, Value>,
) -> Result<(&'static str, Vec<Mark>)> {
    let Some(window) = options.window else { return Ok(("anomaly", Vec::new())) };
    let asked = [
        (options.anomalies, "Anomaly", "anomalies", "anomaly"),
        (options.motifs, "Motif", "motifs", "motif"),
        (options.changes, "Segment", "changes", "change"),
        (options.snippets, "Snippets", "snippets", "snippet"),
    ];
    let asked = asked.into_iter().find_map(|(k, kind, name, what)| k.map(|k| (k, kind, name, what)));
    let Some((k, kind, name, what)) = asked else { return Ok(("anomaly", Vec::new())) };
    let mut fields = fields.clone();
    if options.occurrences {
        fields.insert("occurrences".into(), json!(true));
    }
    let data = ask(connection, kind, options, &fields, window, k)?;
    let mut marks = Vec::new();
    for (rank, row) in rows(&data[name]).iter().enumerate() {
        // The occurrences of a motif begin with its pair.
        match rows(&row["occurrences"]) {
            [] if kind == "Motif" => marks.extend([mark(&row["a"], rank), mark(&row["b"], rank)]),
            [] => marks.push(mark(row, rank)),
            occurrences => marks.extend(occurrences.iter().map(|row| mark(row, rank))),
        }
    }
    Ok((what, marks.into_iter().flatten().collect()))
}

fn ask(
    connection: &mut Connection,
    kind: &str,
    options: &Plot,
    fields: &serde_json::Map<String, Value>,
    window: usize,
    k: usize,
) -> Result<Value> {
    let mut data = fields.clone();
    data.insert("series".into(), json!(options.series));
    data.insert("window".into(), json!(window));
    data.insert("k".into(), json!(k));
    connection.json(&json!({ "type": kind, "data": data }).to_string())
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn mark(window: &Value, rank: usize) -> Option<Mark> {
    Some(Mark {
        start_ns: window["timestamp_ns"].as_i64()?,
        end_ns: window["end_timestamp_ns"].as_i64()?,
        rank,
    })
}
