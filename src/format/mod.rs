//! How bytes on disk are laid out: file headers, frames, file names, columns and
//! their codecs, and the bounded decoding that all readers share.
//!
//! Every decoder here returns an error for every byte string that it did not
//! write; none allocates more than its caller allowed. `docs/format/` shows the
//! layouts byte by byte.

mod block;
mod bytes;
mod codec;
mod columns;
mod decimals;
mod frame;
mod header;
mod integers;
mod labels;
mod metadata;
mod names;

pub use block::{
    BLOCK_ROWS_MAX, BLOCK_VALUES_MAX, Block, ColumnInfo, block_rows_for, decode_block, decode_block_start,
    describe_block, encode_block,
};
pub use bytes::{Reader, put_bytes, put_each, put_i64_zigzag, put_str, put_varint};
pub use codec::Codec;
pub use columns::{Columns, Seqs, Values};
pub use frame::{
    FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX, Frame, FrameProblem, finish_frame,
    parse_frame, start_frame,
};
pub use header::{FileHeader, FileKind, HEADER_BYTES};
pub use labels::{get_labels, put_labels};
pub use metadata::{decode_metadata, encode_metadata};
pub use names::{
    CURRENT, DATABASE, LOCK, MANIFEST, QUARANTINE, UNFINISHED_SAVE, WATCHES, generation_name, journal_name,
    log_name, parse_generation_name, parse_journal_name, parse_log_name, parse_segment_name,
    parse_shard_name, parse_vectors_name, segment_name, shard_name, temp_segment_name, vectors_name,
};

/// The stable hash of a name: XXH3-64 with seed 0. It chooses a series' shard, so
/// it can never change; test vectors freeze it.
pub fn name_hash(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes())
}

/// The shard that a series of this name lives in.
pub fn shard_of(name: &str, shards: u32) -> u32 {
    (name_hash(name) % u64::from(shards.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_hash_is_frozen() {
        assert_eq!(name_hash(""), 0x2d06_8005_38d3_94c2);
        for (name, shard) in [("demand", 22), ("ecg", 9), ("cpu.load", 22), ("Größe", 49)] {
            assert_eq!(shard_of(name, 64), shard, "{name}");
        }
    }
}
