//! Requests in, replies out.

mod common;

use std::hint::black_box;

use common::{compare, walk};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tsdb_vector::base::{Rows, SeriesName};
use tsdb_vector::protocol::{Envelope, PointsForm, Renderer, Reply, parse_line};

fn parse(c: &mut Criterion) {
    let values = walk(1000, 1);
    let times: Vec<i64> = (0..1000).map(|at| 1_700_000_000_000_000_000 + at * 10_000_000_000).collect();
    let columns =
        json!({"type": "BatchInsert", "data": {"series": "s", "timestamps_ns": times, "values": values}});
    let rows: Vec<Value> =
        times.iter().zip(&values).map(|(t, v)| json!({"timestamp_ns": t, "values": [v]})).collect();
    let rows = json!({"type": "BatchInsert", "data": {"series": "s", "points": rows}});
    for (name, request) in [("parse a batch in columns", columns), ("parse a batch of points", rows)] {
        let line = request.to_string();
        let baseline = || drop(black_box(serde_json::from_str::<Value>(&line).unwrap()));
        compare(c, name, 1000, ("serde_json to a value", baseline), || {
            black_box(parse_line(line.as_bytes()).unwrap().command.unwrap());
        });
    }
    let line = "INSERT_AT demand 1700000000000000000 21.75,-3.5 room=kitchen,floor=2";
    let baseline = || {
        let words: Vec<&str> = line.split(' ').collect();
        let values: Vec<f64> = words[3].split(',').map(|v| v.parse().unwrap()).collect();
        black_box((words[2].parse::<i64>().unwrap(), values));
    };
    compare(c, "parse a text insert", 1, ("splitting alone", baseline), || {
        black_box(parse_line(line.as_bytes()).unwrap().command.unwrap());
    });
}

fn render(c: &mut Criterion) {
    let values = walk(1000, 1);
    let rows = Rows {
        dimension: 1,
        timestamps_ns: (0..1000).map(|at| 1_700_000_000_000_000_000 + at * 10_000_000_000).collect(),
        values,
        ..Rows::default()
    };
    let points: Vec<Value> = (0..1000)
        .map(|row| json!({"timestamp_ns": rows.timestamps_ns[row], "values": rows.values_of(row)}))
        .collect();
    let value = json!({"ok": true, "data": {"series": "s", "points": points}});
    for (name, is_json) in [("render 1,000 points as JSON", true), ("render 1,000 points as text", false)] {
        let baseline = || drop(black_box(value.to_string()));
        compare(c, name, 1000, ("serde_json from a value", baseline), || {
            let series = SeriesName::new("s").unwrap();
            let reply =
                Reply::Points { series, rows: rows.clone(), next_start_ns: None, form: PointsForm::Rows };
            let envelope = Envelope { json: is_json, ..Envelope::default() };
            black_box(Renderer::new(envelope, Ok(reply)).render().unwrap());
        });
    }
}

criterion_group!(benches, parse, render);
criterion_main!(benches);
