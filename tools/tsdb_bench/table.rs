//! Tables, for a terminal or for Markdown.

use std::fmt::Write as _;

/// Rows of text below a head.
#[derive(Debug)]
pub struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(ToString::to_string).collect();
        Self { title: title.into(), head, rows: Vec::new(), notes: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn render(&self, markdown: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain([&self.head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut out = String::new();
        let mut line = |cells: &[String]| {
            let (before, between, after) = if markdown { ("| ", " | ", " |") } else { ("", "  ", "") };
            let cells: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| if markdown { cell.clone() } else { format!("{cell:<width$}") })
                .collect();
            let joined = cells.join(between);
            // Writing to a string can't fail.
            let _ = writeln!(out, "{before}{}{after}", joined.trim_end());
        };
        line(&self.head);
        if markdown {
            line(&vec!["---".to_owned(); self.head.len()]);
        }
        for row in &self.rows {
            line(row);
        }
        let title = if markdown { format!("### {}\n", self.title) } else { format!("== {}", self.title) };
        let notes: String = self.notes.iter().map(|note| format!("\n{note}\n")).collect();
        format!("{title}\n{out}{notes}")
    }
}

/// A number with about three digits, and k or M.
pub fn short(number: f64) -> String {
    match number {
        n if n >= 1e7 => format!("{:.1} M", n / 1e6),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e5 => format!("{:.0} k", n / 1e3),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Milliseconds, exact where they are few.
pub fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

/// Bytes as MiB.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

/// A ratio.
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() { format!("{ratio:.2} ×") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_columns() {
        let mut table = Table::new("Speed", &["who", "rate"]);
        table.row(vec!["we".into(), short(1_234_567.0)]);
        table.row(vec!["others".into(), short(12.0)]);
        table.note("Measured.");
        assert_eq!(table.render(false), "== Speed\nwho     rate\nwe      1.23 M\nothers  12\n\nMeasured.\n");
        let markdown =
            "### Speed\n\n| who | rate |\n| --- | --- |\n| we | 1.23 M |\n| others | 12 |\n\nMeasured.\n";
        assert_eq!(table.render(true), markdown);
    }
}
