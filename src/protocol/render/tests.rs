//! Replies as bytes, whole and in pieces.

use serde_json::json;

use super::*;
use crate::base::{Labels, SeriesName};
use crate::protocol::{
    AnalysisSummary, AnomalyRow, Export, ExportFormat, Findings, LongPoints, MatchRow, NeighborRow,
    PageSource, PointsForm, WindowFlags, WindowRef, parse_labels,
};

fn rows() -> Rows {
    Rows {
        dimension: 2,
        timestamps_ns: vec![-1, 5],
        values: vec![1.0, -0.0, 1e300, 0.1],
        label_ids: vec![0, 1],
        label_sets: vec![Labels::empty(), Labels::new([("a", "x y"), ("b", "\"q\",")]).unwrap()],
    }
}

fn text(reply: Result<Reply>) -> String {
    String::from_utf8(Renderer::new(Envelope::default(), reply).render().unwrap()).unwrap()
}

fn json(reply: Result<Reply>, strings: bool) -> String {
    let envelope = Envelope { json: true, id: Some("7".into()), timestamps_as_strings: strings };
    String::from_utf8(Renderer::new(envelope, reply).render().unwrap()).unwrap()
}

fn points() -> Reply {
    Reply::Points {
        series: SeriesName::new("s").unwrap(),
        rows: rows(),
        next_start_ns: Some(9),
        form: PointsForm::Rows,
    }
}

/// Rows on a page each.
struct RowByRow {
    whole: Rows,
    at: usize,
    broken: bool,
}

impl RowByRow {
    fn of(whole: Rows) -> Self {
        Self { whole, at: 0, broken: false }
    }
}

impl PageSource for RowByRow {
    fn next_page(&mut self) -> Result<Option<Rows>> {
        if self.broken {
            return Err(Error::corrupt("a block"));
        }
        let (at, whole) = (self.at, &self.whole);
        self.at += 1;
        Ok((at < whole.len()).then(|| Rows {
            timestamps_ns: vec![whole.timestamps_ns[at]],
            values: whole.values_of(at).to_vec(),
            label_ids: vec![whole.label_ids[at]],
            ..whole.clone()
        }))
    }

    fn rewind(&mut self) {
        self.at = 0;
    }

    fn let_go(&mut self) {}
}

/// The sample rows, on a page each.
fn export(format: ExportFormat) -> Reply {
    let pages = Pages::new(RowByRow::of(rows()));
    let series = SeriesName::new("s").unwrap();
    Reply::Export(Export { series, format, dimension: 2, count: 2, pages })
}

#[test]
fn an_export_as_json_is_like_a_query() {
    let page = Reply::Points {
        series: SeriesName::new("s").unwrap(),
        rows: rows(),
        next_start_ns: None,
        form: PointsForm::Rows,
    };
    assert_eq!(json(Ok(export(ExportFormat::Json)), false), json(Ok(page), false));
}

#[test]
fn columns_hold_what_rows_hold() {
    for as_strings in [false, true] {
        let envelope = Envelope { json: true, timestamps_as_strings: as_strings, ..Envelope::default() };
        let read = |reply: Reply| -> serde_json::Value {
            let bytes = Renderer::new(envelope.clone(), Ok(reply)).render().unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["data"].clone()
        };
        let by_rows = read(points());
        let columns = read(Reply::Points {
            series: SeriesName::new("s").unwrap(),
            rows: rows(),
            next_start_ns: Some(9),
            form: PointsForm::Columns,
        });
        for same in ["series", "dimension", "count", "truncated", "next_start_ns"] {
            assert_eq!(columns[same], by_rows[same], "{same}");
        }
        let points = by_rows["points"].as_array().unwrap();
        for (row, point) in points.iter().enumerate() {
            assert_eq!(columns["timestamps_ns"][row], point["timestamp_ns"]);
            assert_eq!(columns["values"][row], point["values"]);
            let id = columns["label_ids"][row].as_u64().unwrap() as usize;
            let labels = point.get("labels").cloned().unwrap_or_else(|| json!({}));
            assert_eq!(columns["label_sets"][id], labels);
        }
        assert_eq!(columns["timestamps_ns"].as_array().unwrap().len(), points.len());
    }
    let mut plain = Rows::new(1);
    plain.timestamps_ns = vec![1, 2];
    plain.values = vec![0.5, -3.0];
    let (series, form) = (SeriesName::new("s").unwrap(), PointsForm::Columns);
    let reply = Reply::Points { series, rows: plain, next_start_ns: None, form };
    let envelope = Envelope { json: true, ..Envelope::default() };
    let text = String::from_utf8(Renderer::new(envelope, Ok(reply)).render().unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"ok\":true,\"data\":{\"series\":\"s\",\"dimension\":1,\"count\":2,\"truncated\":false,\
         \"timestamps_ns\":[1,2],\"values\":[0.5,-3.0]}}\n"
    );
}

#[test]
fn points_that_are_read_while_they_are_sent_look_the_same() {
    let json = Envelope { json: true, ..Envelope::default() };
    for envelope in [Envelope::default(), json] {
        for form in [PointsForm::Rows, PointsForm::Columns] {
            for (rows, next_start_ns) in [(rows(), Some(9)), (rows(), None), (Rows::new(2), None)] {
                let series = SeriesName::new("s").unwrap();
                let count = rows.len() as u64;
                let pages = Pages::new(RowByRow::of(rows.clone()));
                let long =
                    LongPoints { series: series.clone(), dimension: 2, count, next_start_ns, form, pages };
                let whole = Reply::Points { series, rows, next_start_ns, form };
                let render = |reply| Renderer::new(envelope.clone(), Ok(reply)).render().unwrap();
                assert_eq!(render(Reply::LongPoints(long)), render(whole));
            }
        }
    }
}

#[test]
fn an_export_that_breaks_off_is_no_whole_reply() {
    let (broken, short) = (RowByRow { broken: true, ..RowByRow::of(rows()) }, RowByRow::of(Rows::new(2)));
    for pages in [broken, short, RowByRow::of(rows())].map(Pages::new) {
        let series = SeriesName::new("s").unwrap();
        let format = ExportFormat::Csv;
        let reply = Reply::Export(Export { series, format, dimension: 2, count: 3, pages });
        assert!(Renderer::new(Envelope::default(), Ok(reply)).render().is_err());
    }
}

#[test]
fn point_rows() {
    assert_eq!(
        text(Ok(points())),
        "OK 2 points truncated next_start_ns=9\n-1 1,-0\n5 1e300,0.1 a=\"x y\",b=\"\\\"q\\\",\"\n"
    );
    assert_eq!(
        json(Ok(points()), true),
        "{\"ok\":true,\"id\":7,\"data\":{\"series\":\"s\",\"dimension\":2,\"count\":2,\"truncated\":true,\
         \"next_start_ns\":\"9\",\"points\":[{\"timestamp_ns\":\"-1\",\"values\":[1.0,-0.0]},\
         {\"timestamp_ns\":\"5\",\"values\":[1e300,0.1],\"labels\":{\"a\":\"x y\",\"b\":\"\\\"q\\\",\"}}]}}\n"
    );
    let csv = "timestamp_ns,v0,v1,labels\n-1,1,-0,\n5,1e300,0.1,\"a=\"\"x y\"\",b=\"\"\\\"\"q\\\"\",\"\"\"\n";
    assert_eq!(text(Ok(export(ExportFormat::Csv))), format!("OK 3 2 points as CSV\n{csv}"));
    let value: serde_json::Value = serde_json::from_str(&json(Ok(export(ExportFormat::Csv)), false)).unwrap();
    assert_eq!(value["data"]["csv"], csv);
}

#[test]
fn the_labels_of_a_csv_row_read_back() {
    let mut reader = ::csv::Reader::from_reader(std::io::Cursor::new({
        let whole = text(Ok(export(ExportFormat::Csv)));
        whole.split_once('\n').unwrap().1.to_owned()
    }));
    let row = reader.records().nth(1).unwrap().unwrap();
    assert_eq!(parse_labels(&row[3]).unwrap(), rows().label_sets[1]);
}

#[test]
fn long_replies_come_in_pieces() {
    let n = 10_000;
    let rows = Rows {
        dimension: 1,
        timestamps_ns: (0..n).collect(),
        values: (0..n).map(|v| v as f64).collect(),
        ..Rows::default()
    };
    let reply = |rows| Reply::Points {
        series: SeriesName::new("s").unwrap(),
        rows,
        next_start_ns: None,
        form: PointsForm::Rows,
    };
    let whole = Renderer::new(Envelope::default(), Ok(reply(rows.clone()))).render().unwrap();
    let mut renderer = Renderer::new(Envelope::default(), Ok(reply(rows)));
    let (mut pieces, mut all) = (0, Vec::new());
    loop {
        let mut piece = Vec::new();
        let done = renderer.fill(&mut piece, 1000).unwrap();
        assert!(piece.len() < 20_000);
        all.extend(piece);
        pieces += 1;
        if done {
            break;
        }
    }
    assert!(pieces > 10);
    assert_eq!(all, whole);
    assert_eq!(memchr::memchr_iter(b'\n', &whole).count(), n as usize + 1);
}

#[test]
fn other_replies() {
    assert_eq!(text(Ok(Reply::Pong { version: "1".into() })), "OK 0 PONG\n");
    assert_eq!(text(Ok(Reply::Inserted { timestamp_ns: -5 })), "OK 0 -5\n");
    assert_eq!(json(Ok(Reply::Dropped), false), "{\"ok\":true,\"id\":7,\"data\":{\"dropped\":true}}\n");
    let error = Error::invalid("two\nlines");
    assert_eq!(text(Err(error.clone())), "ERR INVALID_ARGUMENT two lines\n");
    assert_eq!(
        json(Err(error), false),
        "{\"ok\":false,\"id\":7,\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"two\\nlines\"}}\n"
    );
    let summary = AnalysisSummary {
        window: 3,
        n: 9,
        max_gap_ns: Some(10),
        cells: 3,
        cells_total: 4,
        ..AnalysisSummary::default()
    };
    let at =
        |index: usize| WindowRef { timestamp_ns: index as i64, end_timestamp_ns: index as i64 + 2, index };
    let row = AnomalyRow {
        at: at(1),
        window: None,
        score: 0.5,
        normalized_score: Some(0.25),
        flags: WindowFlags { near_gap: true, ..WindowFlags::default() },
        labels: Some(Labels::new([("k", "v")]).unwrap()),
        neighbor: Some(NeighborRow { at: at(6), distance: 0.5, labels: None }),
        neighbors: Vec::new(),
        dimensions: Vec::new(),
    };
    let reply = |summary: &AnalysisSummary, row: &AnomalyRow| Reply::Analysis {
        summary: summary.clone(),
        findings: Findings::Anomalies(vec![row.clone()]),
    };
    let anomalies = |summary: &AnalysisSummary| reply(summary, &row);
    assert_eq!(text(Ok(anomalies(&summary))), "OK 1 anomalies window=3 n=9\n0.5 1 3 6\n");
    let shown = json(Ok(anomalies(&summary)), true);
    for part in [
        "\"normalized_score\":0.25",
        "\"flags\":[\"near_gap\"]",
        "\"labels\":{\"k\":\"v\"}",
        "\"coverage\":0.75",
        "\"max_gap_ns\":\"10\"",
        "\"exact\":false",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let alone = AnomalyRow {
        score: f64::INFINITY,
        normalized_score: None,
        flags: WindowFlags { no_neighbor: true, ..WindowFlags::default() },
        neighbor: None,
        ..row.clone()
    };
    assert!(text(Ok(reply(&summary, &alone))).ends_with("\n- 1 3 -\n"));
    let shown = json(Ok(reply(&summary, &alone)), false);
    assert!(shown.contains("\"score\":null") && shown.contains("\"neighbor_index\":null"), "{shown}");
    let summary = AnalysisSummary { skipped: 2, ..summary };
    assert_eq!(text(Ok(anomalies(&summary))), "OK 1 anomalies window=3 n=9 skipped=2\n0.5 1 3 6\n");
    let matched = MatchRow {
        timestamp_ns: 1,
        end_timestamp_ns: None,
        values: Some(vec![1.0, 2.0]),
        labels: Labels::new([("k", "v")]).unwrap(),
        similarity: 1.0,
        distance: None,
        series: None,
    };
    let matches = || Reply::Matches { matches: vec![matched.clone()], exact: true, scanned: 1, index: None };
    assert_eq!(text(Ok(matches())), "OK 1 matches, best first\n1 1 1,2 k=v\n");
    assert!(!json(Ok(matches()), false).contains("end_timestamp_ns"));
}
