//! A series to a file, page by page.

use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::{Labels, TimeRange};
use crate::protocol::{csv_field, parse_labels};
use crate::vfs::{FileWriter, RealDisk, Vfs};

use super::connection::Connection;
use super::failure::{Failure, Result, on_file};
use super::options::{Connect, Export, Selection};
use super::times::bound;

/// Points asked for at a time.
const PAGE_POINTS: usize = 50_000;

/// A point as a query answers it.
#[derive(Debug, Deserialize)]
pub(super) struct Point {
    pub timestamp_ns: i64,
    pub values: Vec<f64>,
    #[serde(default)]
    pub labels: Map<String, Value>,
}

/// What a selection is on the wire: the fields to add to a request's `data`.
pub(super) fn fields(selection: &Selection) -> Result<Map<String, Value>> {
    let read = |text: &Option<String>, is_end: bool, default: i64| match text {
        Some(text) => bound(text, is_end).map_err(Failure::Usage),
        None => Ok(default),
    };
    let mut fields = Map::new();
    fields.insert("start_ns".into(), json!(read(&selection.start, false, TimeRange::ALL.start_ns)?));
    fields.insert("end_ns".into(), json!(read(&selection.end, true, TimeRange::ALL.end_ns)?));
    if let Some(labels) = &selection.labels {
        let labels = parse_labels(labels).map_err(|e| Failure::Usage(e.message().to_owned()))?;
        fields.insert(
            "labels".into(),
            labels.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect::<Map<_, _>>().into(),
        );
    }
    Ok(fields)
}

/// Reads the points of a selection, page by page, and says how many values each has.
pub(super) fn pages(
    connection: &mut Connection,
    series: &str,
    mut fields: Map<String, Value>,
    mut visit: impl FnMut(u64, Vec<Point>) -> Result<()>,
) -> Result<()> {
    fields.insert("series".into(), json!(series));
    fields.insert("limit".into(), json!(PAGE_POINTS));
    loop {
        let request = json!({ "type": "QueryRange", "data": fields });
        let mut data = connection.json(&request.to_string())?;
        let points: Vec<Point> = serde_json::from_value(data["points"].take())
            .map_err(|e| Failure::Unreachable(format!("the server's reply has another form: {e}")))?;
        visit(data["dimension"].as_u64().unwrap_or_default(), points)?;
        if data["truncated"] != true {
            return Ok(());
        }
        fields.insert("start_ns".into(), data["next_start_ns"].take());
    }
}

/// Runs the export.
pub(super) fn run(connect: &Connect, options: &Export) -> Result<()> {
    let fields = fields(&options.selection)?;
    let mut connection = Connection::open(connect)?;
    let csv = options.format == "csv";
    let mut points = 0_u64;
    let mut write_all = |out: &mut dyn Write, what: &str| -> Result<()> {
        let mut header = csv;
        pages(&mut connection, &options.series, fields.clone(), |dimension, page| {
            if std::mem::take(&mut header) {
                let values: String = (0..dimension).map(|at| format!(",v{at}")).collect();
                writeln!(out, "timestamp_ns{values},labels").map_err(on_file(what))?;
            }
            points += page.len() as u64;
            page.iter().try_for_each(|point| write_point(out, point, csv).map_err(on_file(what)))
        })?;
        out.flush().map_err(on_file(what))
    };
    let Some(path) = options.output.as_deref().filter(|path| *path != Path::new("-")) else {
        return write_all(&mut BufWriter::new(std::io::stdout().lock()), "standard output");
    };
    let what = path.display().to_string();
    // Written beside the file and then renamed: nobody finds half an export.
    let part = path.with_file_name(format!(
        "{}.part",
        path.file_name().map_or_else(|| "export".into(), |name| name.to_string_lossy())
    ));
    // One that an earlier export left is in the way.
    let _ = RealDisk.remove(&part);
    let file = RealDisk.create(&part).map_err(on_file(&what))?;
    let mut writer = FileWriter::new(file);
    let written = write_all(&mut writer, &what).and_then(|()| {
        writer.finish().map_err(on_file(&what))?;
        RealDisk.rename(&part, path).map_err(on_file(&what))
    });
    if written.is_err() {
        // The error is what matters.
        let _ = RealDisk.remove(&part);
    }
    written?;
    eprintln!("exported {points} points to {what}");
    Ok(())
}

fn write_point(out: &mut dyn Write, point: &Point, csv: bool) -> std::io::Result<()> {
    let mut buffer = ryu::Buffer::new();
    let separator = if csv { "," } else { ",\"values\":[" };
    let start = if csv { "" } else { "{\"timestamp_ns\":" };
    write!(out, "{start}{}{separator}", point.timestamp_ns)?;
    for (at, &value) in point.values.iter().enumerate() {
        let text = buffer.format(value);
        let text = if csv { text.strip_suffix(".0").unwrap_or(text) } else { text };
        write!(out, "{}{text}", if at > 0 { "," } else { "" })?;
    }
    if csv {
        let pairs = point.labels.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        let labels = Labels::new(pairs).map_or_else(|_| String::new(), |labels| labels.to_string());
        return writeln!(out, ",{}", csv_field(&labels));
    }
    if !point.labels.is_empty() {
        write!(out, "],\"labels\":{}", Value::from(point.labels.clone()))?;
        return writeln!(out, "}}");
    }
    writeln!(out, "]}}")
}
