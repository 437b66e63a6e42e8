//! Small metadata records in a checked envelope. The one place that names `bincode`.
//!
//! ```text
//! file header (40)  payload bytes (8)  payload (bincode 2, standard configuration)  CRC-32 of length and payload (4)
//! ```

use bincode::{Decode, Encode};

use crate::base::{Error, Result};

use super::{FileHeader, FileKind, HEADER_BYTES, Reader};

/// Largest payload: a shard's catalog of a few million series.
const PAYLOAD_BYTES_MAX: usize = 512 << 20;

/// Bytes in memory that a byte of payload may stand for.
const MEMORY_A_BYTE: usize = 32;

/// The whole file for a record.
pub fn encode_metadata<T: Encode>(header: FileHeader, record: &T) -> Result<Vec<u8>> {
    let payload = bincode::encode_to_vec(record, bincode::config::standard())
        .map_err(|e| Error::internal(format!("metadata can't be encoded: {e}")))?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Error::internal(format!(
            "a metadata record of {} bytes is above the limit of {PAYLOAD_BYTES_MAX}",
            payload.len()
        )));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len() + 12);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&payload);
    let crc = crc32fast::hash(&out[HEADER_BYTES..]);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// Reads back what [`encode_metadata`] made.
///
/// # Errors
/// `CORRUPT_DATA` with the offset; `INVALID_ARGUMENT` for a newer format.
pub fn decode_metadata<T: Decode<()>>(bytes: &[u8], kind: FileKind) -> Result<(FileHeader, T)> {
    let header = FileHeader::decode(bytes, kind)?;
    let mut reader = Reader::new(bytes);
    reader.take(HEADER_BYTES)?;
    let len = reader.u64()?;
    if len > PAYLOAD_BYTES_MAX as u64 {
        return Err(reader.error("a metadata length beyond the limit"));
    }
    let payload = reader.take(len as usize)?;
    let covered = bytes.get(HEADER_BYTES..reader.position()).unwrap_or_default();
    if crc32fast::hash(covered) != reader.u32()? {
        return Err(reader.error("metadata fails its CRC"));
    }
    reader.finish()?;
    // A forged number of elements is given memory before they are read: no more than a
    // record of this size can need.
    let decoded = match payload.len() {
        0..0x1000 => decode_within::<T, { 0x1000 * MEMORY_A_BYTE }>(payload),
        0x1000..0x10_0000 => decode_within::<T, { 0x10_0000 * MEMORY_A_BYTE }>(payload),
        _ => decode_within::<T, { PAYLOAD_BYTES_MAX * MEMORY_A_BYTE }>(payload),
    };
    let (record, used) = decoded.map_err(|e| Error::corrupt(format!("metadata can't be decoded: {e}")))?;
    if used != payload.len() {
        return Err(Error::corrupt("metadata has bytes after its record"));
    }
    Ok((header, record))
}

fn decode_within<T: Decode<()>, const BYTES_MAX: usize>(
    payload: &[u8],
) -> Result<(T, usize), bincode::error::DecodeError> {
    bincode::decode_from_slice(payload, bincode::config::standard().with_limit::<BYTES_MAX>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_length_takes_no_memory() {
        let header = FileHeader::new(FileKind::Manifest, 1, 2, 3);
        let bytes = encode_metadata(header, &(1_u64 << 20)).unwrap();
        let error = decode_metadata::<Vec<[u64; 8]>>(&bytes, FileKind::Manifest).unwrap_err();
        assert!(error.message().contains("Limit"), "{error}");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let header = FileHeader::new(FileKind::Manifest, 1, 2, 3);
        let record = (7_u64, "name".to_owned(), vec![1_u32, 2, 3]);
        let bytes = encode_metadata(header, &record).unwrap();
        type Record = (u64, String, Vec<u32>);
        assert_eq!(decode_metadata::<Record>(&bytes, FileKind::Manifest).unwrap(), (header, record));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_metadata::<Record>(&bad, FileKind::Manifest).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode_metadata::<Record>(&bytes[..len], FileKind::Manifest).is_err(), "cut {len}");
        }
    }
}
