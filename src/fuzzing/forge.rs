//! Makes the checksums of changed files fit, so that what lies behind them is reached.

use crate::format::{FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, HEADER_BYTES, Reader};
use crate::segments::{FOOTER_BYTES, Index};
use crate::wal::{Record, frame_salt};

/// Bytes of a snapshot's chunk before its payload.
const CHUNK_HEAD_BYTES: usize = 5;

/// Makes the last four bytes the CRC of those before them.
pub(super) fn crc_at_end(bytes: &mut [u8]) {
    if let Some((covered, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(covered).to_le_bytes();
    }
}

fn header(file: &mut [u8]) {
    if let Some(header) = file.get_mut(..HEADER_BYTES) {
        crc_at_end(header);
    }
}

/// A file of one record: header, length, record, CRC.
pub(super) fn metadata(file: &mut [u8]) {
    header(file);
    let Some(envelope) = file.get_mut(HEADER_BYTES..).filter(|envelope| envelope.len() >= 12) else { return };
    let len = envelope.len() as u64 - 12;
    envelope[..8].copy_from_slice(&len.to_le_bytes());
    crc_at_end(envelope);
}

/// A log: every frame gets the salt of the header, a length that is there, and the
/// number that follows from the frame before.
pub(super) fn log(file: &mut [u8]) {
    header(file);
    let Some((header, mut rest)) = file.split_at_mut_checked(HEADER_BYTES) else { return };
    let salt = frame_salt(header);
    let mut seq = Reader::new(&header[16..]).u64().unwrap_or_default();
    while rest.len() >= FRAME_OVERHEAD_BYTES && rest[..FRAME_HEADER_BYTES].iter().any(|&byte| byte != 0) {
        let promised = Reader::new(&rest[4..]).u32().unwrap_or_default() as usize;
        let payload = promised.min(rest.len() - FRAME_OVERHEAD_BYTES);
        let (frame, after) = rest.split_at_mut(payload + FRAME_OVERHEAD_BYTES);
        frame[..4].copy_from_slice(&salt.to_le_bytes());
        frame[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
        frame[8..16].copy_from_slice(&seq.to_le_bytes());
        crc_at_end(frame);
        let mut records = Reader::new(&frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + payload]);
        while records.remaining() > 0 && Record::decode(&mut records).is_ok() {
            seq = seq.wrapping_add(1);
        }
        rest = after;
    }
}

/// A segment whose index is not compressed yet: the fuzzer changes it as it is, and
/// here the blocks get their CRCs, the index is compressed, and the footer follows.
pub(super) fn segment(plain: &[u8]) -> Vec<u8> {
    let mut file = plain.to_vec();
    header(&mut file);
    let Some(footer_at) = file.len().checked_sub(FOOTER_BYTES).filter(|&at| at >= HEADER_BYTES) else {
        return file;
    };
    let mut footer = file.split_off(footer_at);
    let promised = Reader::new(&footer).u64().unwrap_or_default();
    let index_at = usize::try_from(promised).unwrap_or(usize::MAX).clamp(HEADER_BYTES, footer_at);
    let index = file.split_off(index_at);
    if let Ok(index) = Index::decode(&index, index_at as u64) {
        for block in index.series.iter().flat_map(|series| &series.blocks) {
            let start = block.offset as usize;
            if let Some(block) = file.get_mut(start..start + block.len as usize) {
                crc_at_end(block);
            }
        }
    }
    let compressed = zstd::bulk::compress(&index, 1).expect("memory can be compressed");
    let sizes = [index_at as u64, compressed.len() as u64, index.len() as u64];
    for (size, into) in sizes.iter().zip(footer.chunks_exact_mut(8)) {
        into.copy_from_slice(&size.to_le_bytes());
    }
    footer[24..28].copy_from_slice(&crc32fast::hash(&compressed).to_le_bytes());
    crc_at_end(&mut footer[..FOOTER_BYTES - 8]);
    file.extend_from_slice(&compressed);
    file.extend_from_slice(&footer);
    file
}

/// A snapshot in the binary form: every chunk gets a length that is there, every block
/// and every chunk its CRC.
pub(super) fn snapshot(file: &mut [u8]) {
    header(file);
    let mut rest = file.get_mut(HEADER_BYTES..).unwrap_or_default();
    while rest.len() >= CHUNK_HEAD_BYTES + 4 {
        let promised = Reader::new(&rest[1..]).u32().unwrap_or_default() as usize;
        let payload = promised.min(rest.len() - CHUNK_HEAD_BYTES - 4);
        let (chunk, after) = rest.split_at_mut(payload + CHUNK_HEAD_BYTES + 4);
        chunk[1..CHUNK_HEAD_BYTES].copy_from_slice(&(payload as u32).to_le_bytes());
        if chunk[0] == 2 {
            crc_at_end(&mut chunk[CHUNK_HEAD_BYTES..CHUNK_HEAD_BYTES + payload]);
        }
        crc_at_end(chunk);
        rest = after;
    }
}
