//! What the fuzzer does with the reading of imports.

use std::path::PathBuf;

use super::import::batch;
use super::options::Import;
use super::rows::{Row, read_rows};
use crate::protocol::{Command, parse_json};

/// Reads a file of any bytes; the first of them choose the options. Lines are numbered
/// within the file and in order, and the request that is made of the rows means these
/// rows.
pub fn import(input: &[u8]) {
    let Some((&choice, file)) = input.split_first() else { return };
    let formats = ["auto", "ns", "ms", "%Y-%m-%d %H:%M"];
    let bit = |at: u8| choice >> at & 1 == 1;
    let options = Import {
        series: "s".into(),
        file: PathBuf::from("f"),
        time_column: bit(2).then(|| "2".into()),
        time_format: formats[choice as usize & 3].into(),
        value_columns: if bit(3) { vec!["1".into(), "v".into()] } else { Vec::new() },
        label_columns: if bit(4) { vec!["3".into()] } else { Vec::new() },
        create: false,
        value_type: "f64".into(),
        no_header: bit(5),
        skip_invalid: bit(6),
        from_line: 1 + u64::from(choice >> 7),
        batch: 1,
    };
    let lines = file.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() as u64 + 1;
    let mut rows: Vec<Row> = Vec::new();
    let mut last = 0;
    // A file may be refused as a whole.
    let _ = read_rows(file, &options, &mut |line, row| {
        assert!(last <= line && line <= lines, "line {line} after {last} in {lines} lines");
        last = line;
        match row {
            Ok(row) => rows.push(row),
            Err(message) => assert!(!message.is_empty(), "line {line}"),
        }
        Ok(())
    });
    for rows in rows.chunk_by(|a, b| a.values.len() == b.values.len()) {
        if rows[0].values.is_empty() {
            continue;
        }
        let request = batch("s", rows);
        let points = match parse_json(request.as_bytes()).command {
            Ok(Command::BatchInsert { points, .. }) => points,
            other => panic!("{request} is {other:?}"),
        };
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(points.timestamps_ns[at], row.timestamp_ns, "{request}");
            assert_eq!(points.labels_of(at), row.labels, "{request}");
            let values = points.values.iter().skip(at * points.dimension).take(points.dimension);
            let same = values.map(|v| v.to_bits()).eq(row.values.iter().map(|v| v.to_bits()));
            assert!(same, "{request} instead of {row:?}");
        }
    }
}

/// Files as they come.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "\0timestamp_ns,v,labels\n1,2.5,\"k=v,w=\"\"x y\"\"\"\n2,-1e-3,\n",
        "\0date;value\n2014-01-31 12:00:00;1\n2014/02/01;2\n",
        "\u{20}1391169600.25\t1\t2\n1391169601\t3\n",
        "\u{12}1,1391169600,host\n2,1391169601,\"a\nb\"\n",
        "\u{3}time,v\n2014-01-31 12:00,1\nx,y\n",
        "\0{\"timestamp_ns\":1,\"values\":[1,2],\"labels\":{\"k\":\"v\"}}\n\n{\"timestamp_ns\":2,\"values\":[3,4]}\n{}",
        "\u{4}\u{feff}v,t\r\n1,2\r\n\"3,4\r\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
