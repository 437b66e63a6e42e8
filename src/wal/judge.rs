//! Tells a torn tail from damage.
//!
//! A crash can only take what was not synced. So where a log stops making sense at
//! record `n`, and some later, valid frame says that record `n` was durable when it
//! was written, a crash can't explain it: that is damage. Without such a frame, in
//! the newest log, it is a torn tail. In an older log it is always damage, for a log
//! is synced before the next one is made.

use std::io;

use crate::format::{FRAME_HEADER_BYTES, FrameProblem, parse_frame};
use crate::vfs::{File, read_exact_at};

static ZEROS: [u8; 4096] = [0; 4096];

/// Where and why a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Offset in the file of the first byte that is not part of a valid frame.
    pub offset: u64,
    /// What is there.
    pub problem: FrameProblem,
    /// The sequence number that the next record would have had.
    pub next_seq: u64,
}

/// What an ending means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Only zeros follow.
    Clean,
    /// What follows was never durable: cut it.
    Torn,
    /// A frame at this offset proves that something durable is gone.
    Damaged {
        /// Where the proof is.
        proof_offset: u64,
    },
}

/// Judges the ending of the newest log.
pub(super) fn judge(file: &dyn File, ending: Ending, salt: u32) -> io::Result<Judgement> {
    let len = file.len()?;
    let mut rest = vec![0; len.saturating_sub(ending.offset) as usize];
    read_exact_at(file, &mut rest, ending.offset)?;
    // A log is mostly zeros ahead of use. Slices are compared many bytes at a time.
    if rest.chunks(ZEROS.len()).all(|chunk| ZEROS.starts_with(chunk)) {
        return Ok(Judgement::Clean);
    }
    let salt_bytes = salt.to_le_bytes();
    for at in memchr::memmem::find_iter(&rest, &salt_bytes) {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.len() < FRAME_HEADER_BYTES {
            break;
        }
        if let Ok(frame) = parse_frame(tail, salt)
            && frame.durable_seq > ending.next_seq
        {
            return Ok(Judgement::Damaged { proof_offset: ending.offset + at as u64 });
        }
    }
    Ok(Judgement::Torn)
}
