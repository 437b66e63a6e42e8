//! Rows as CSV, as RFC 4180 has it.

use std::fmt::Write as _;

use crate::base::Rows;

use super::{Decimals, push_integer, push_values};

pub(super) fn csv_header(dimension: usize) -> String {
    let mut header = String::from("timestamp_ns");
    for at in 0..dimension {
        let _ = write!(header, ",v{at}");
    }
    header.push_str(",labels");
    header
}

pub(super) fn csv_row(rows: &Rows, row: usize, decimals: &mut Decimals, out: &mut Vec<u8>) {
    push_integer(rows.timestamps_ns[row], out);
    out.push(b',');
    push_values(rows.values_of(row), false, decimals, out);
    out.push(b',');
    if let Some(labels) = rows.labels_of(row) {
        out.extend_from_slice(csv_field(&labels.to_string()).as_bytes());
    }
}

/// A CSV field, quoted as RFC 4180 wants it where it must be.
pub fn csv_field(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}
