//! Writes: from a command to the engine's change and back to a reply.

use crate::base::{Error, Result, SeriesName, ValueType};
use crate::engine::{Write, Written};
use crate::protocol::{Command, Reply, SeriesInfo};

/// What the reply to a write needs beside what the engine says.
#[derive(Debug)]
pub(super) enum Shape {
    Create {
        name: SeriesName,
        dimension: u32,
        value_type: ValueType,
    },
    /// One point, and its timestamp unless the server assigns one.
    Insert {
        timestamp_ns: i64,
    },
    Other,
}

/// Whether a command changes series or points, and so goes through a group commit.
pub(super) fn is_write(command: &Command) -> bool {
    matches!(
        command,
        Command::Create { .. }
            | Command::Insert { .. }
            | Command::BatchInsert { .. }
            | Command::DeleteRange { .. }
            | Command::Drop { .. }
    )
}

/// Bytes of memory that a command holds until it is done.
pub(super) fn memory_bytes(command: &Command) -> usize {
    match command {
        Command::Insert { points, .. } | Command::BatchInsert { points, .. } => points.memory_bytes(),
        _ => 0,
    }
}

/// The engine's change.
///
/// # Errors
/// `INTERNAL` for what is no write.
pub(super) fn plan(command: Command) -> Result<(Write, Shape)> {
    Ok(match command {
        Command::Create { name, dimension, value_type, if_not_exists } => (
            Write::Create { name: name.clone(), dimension, value_type, if_not_exists },
            Shape::Create { name, dimension, value_type },
        ),
        Command::Insert { series, points } => {
            let timestamp_ns = points.timestamps_ns.first().copied().unwrap_or_default();
            (Write::Insert { series, points }, Shape::Insert { timestamp_ns })
        }
        Command::BatchInsert { series, points } => (Write::Insert { series, points }, Shape::Other),
        Command::DeleteRange { series, range, labels } => {
            (Write::DeleteRange { series, range, labels }, Shape::Other)
        }
        Command::Drop { name } => (Write::Drop { name }, Shape::Other),
        _ => return Err(Error::internal("a read was taken for a write")),
    })
}

impl Shape {
    /// The reply to a write that is done, given the timestamp that its point was assigned, if
    /// it was.
    pub fn reply(self, written: &Written, assigned_ns: Option<i64>) -> Reply {
        match (self, written) {
            (Self::Create { name, dimension, value_type }, &Written::Created { created }) => {
                Reply::Created { info: SeriesInfo { name, dimension, value_type, count: 0 }, created }
            }
            (Self::Insert { timestamp_ns }, Written::Inserted { .. }) => {
                Reply::Inserted { timestamp_ns: assigned_ns.unwrap_or(timestamp_ns) }
            }
            (_, &Written::Inserted { inserted, first_ns, last_ns, .. }) => {
                Reply::BatchInserted { inserted, first_timestamp_ns: first_ns, last_timestamp_ns: last_ns }
            }
            (_, &Written::Deleted { deleted }) => Reply::Deleted { deleted },
            (_, Written::Dropped | Written::Created { .. }) => Reply::Dropped,
        }
    }
}

/// The timestamp that the server gave to one of the points without, in their order.
pub(super) fn assigned_ns(written: &Written, at: usize) -> Option<i64> {
    match written {
        Written::Inserted { assigned_ns, .. } => assigned_ns.get(at).copied(),
        _ => None,
    }
}

/// What a client is told whose write got no answer from the engine.
pub(super) fn lost() -> Error {
    Error::internal(
        "the write was dropped without an answer; it may or may not be stored: read it back, or send it again with \
         its timestamp",
    )
}
