//! The frame of a log: one group commit.
//!
//! ```text
//! offset  bytes  field
//!      0      4  salt          of this log file; never 0
//!      4      4  payload bytes
//!      8      8  sequence      of the frame's first record
//!     16      8  durable       every record below this was synced before the frame was written
//!     24      n  payload
//!   24+n      4  CRC-32        of all that comes before it
//! ```

use super::Reader;

/// Bytes before the payload.
pub const FRAME_HEADER_BYTES: usize = 24;
/// Bytes that a frame has beside its payload.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEADER_BYTES + 4;
/// Largest payload; nothing larger is written, and nothing larger is believed.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// A frame that passed its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence number of the first record.
    pub seq: u64,
    /// Every record with a smaller number was durable when this frame was written.
    pub durable_seq: u64,
    /// The records.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub len: usize,
}

/// Why there is no frame at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameProblem {
    /// The log ends here: only zeros, or nothing at all.
    End,
    /// More bytes are needed to tell; so many in all.
    NeedBytes(usize),
    /// The salt of another file, or no frame at all.
    Salt,
    /// A length beyond the limit.
    Length(u32),
    /// The checksum does not fit.
    Crc,
}

impl std::fmt::Display for FrameProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("end of log"),
            Self::NeedBytes(n) => write!(f, "frame is cut short; it needs {n} bytes"),
            Self::Salt => f.write_str("frame header is damaged"),
            Self::Length(n) => write!(f, "frame length {n} is beyond the limit"),
            Self::Crc => f.write_str("frame fails its CRC"),
        }
    }
}

/// Makes room for a frame's header at the end of `out`; returns where it starts.
/// The payload is appended next, then [`finish_frame`] completes it.
pub fn start_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEADER_BYTES, 0);
    start
}

/// Fills in the header of the frame that began at `start`, and appends the CRC.
///
/// # Panics
/// If the payload is above [`FRAME_PAYLOAD_BYTES_MAX`]: writers check first.
pub fn finish_frame(out: &mut Vec<u8>, start: usize, salt: u32, seq: u64, durable_seq: u64) {
    let payload = out.len() - start - FRAME_HEADER_BYTES;
    assert!(payload <= FRAME_PAYLOAD_BYTES_MAX, "a frame payload of {payload} bytes");
    out[start..start + 4].copy_from_slice(&salt.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&(payload as u32).to_le_bytes());
    out[start + 8..start + 16].copy_from_slice(&seq.to_le_bytes());
    out[start + 16..start + 24].copy_from_slice(&durable_seq.to_le_bytes());
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The frame at the front of `bytes`, which may be only the beginning of what
/// follows in the file.
///
/// # Errors
/// Says what is there instead.
pub fn parse_frame(bytes: &[u8], salt: u32) -> Result<Frame<'_>, FrameProblem> {
    let Some(header) = bytes.get(..FRAME_HEADER_BYTES) else {
        return Err(if bytes.iter().all(|&b| b == 0) {
            FrameProblem::End
        } else {
            FrameProblem::NeedBytes(FRAME_HEADER_BYTES)
        });
    };
    if header.iter().all(|&b| b == 0) {
        return Err(FrameProblem::End);
    }
    let mut reader = Reader::new(header);
    let short = |_| FrameProblem::NeedBytes(FRAME_HEADER_BYTES);
    let found_salt = reader.u32().map_err(short)?;
    let payload_len = reader.u32().map_err(short)?;
    let seq = reader.u64().map_err(short)?;
    let durable_seq = reader.u64().map_err(short)?;
    if found_salt != salt {
        return Err(FrameProblem::Salt);
    }
    let payload_bytes = payload_len as usize;
    if payload_bytes > FRAME_PAYLOAD_BYTES_MAX {
        return Err(FrameProblem::Length(payload_len));
    }
    let len = payload_bytes + FRAME_OVERHEAD_BYTES;
    let (Some(covered), Some(stored)) = (bytes.get(..len - 4), bytes.get(len - 4..len)) else {
        return Err(FrameProblem::NeedBytes(len));
    };
    if crc32fast::hash(covered).to_le_bytes() != stored {
        return Err(FrameProblem::Crc);
    }
    let payload = covered.get(FRAME_HEADER_BYTES..).unwrap_or_default();
    Ok(Frame { seq, durable_seq, payload, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let start = start_frame(&mut out);
        out.extend_from_slice(payload);
        finish_frame(&mut out, start, 0xABCD, 42, 40);
        out.split_off(6)
    }

    #[test]
    fn a_frame_reads_back_and_knows_its_length() {
        let mut bytes = frame(b"payload");
        let len = bytes.len();
        bytes.extend_from_slice(b"next");
        let found = parse_frame(&bytes, 0xABCD).unwrap();
        assert_eq!(found, Frame { seq: 42, durable_seq: 40, payload: b"payload", len });
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = frame(b"some payload");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_frame(&bad, 0xABCD).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(parse_frame(&bytes[..len], 0xABCD).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn zeros_are_the_end() {
        for len in [0, 3, 24, 500] {
            assert_eq!(parse_frame(&vec![0; len], 1), Err(FrameProblem::End));
        }
    }
}
