//! Dot products in plain loops: for processors without vector instructions that we know,
//! and for tests to compare with.

use super::{CHUNK, GROUP};

/// Independent sums, so that additions need not wait for each other.
const LANES: usize = 8;

pub(super) fn dots(query: &[f32], rows: &[f32], out: &mut [f32]) {
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    let (query_chunks, query_rest) = query.as_chunks::<LANES>();
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let (chunks, rest) = row.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (a, b) in chunks.iter().zip(query_chunks) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(rest).zip(query_rest) {
            *sum += a * b;
        }
        *out = total(sums);
    }
}

fn total(sums: [f32; LANES]) -> f32 {
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3])
}

pub(super) fn byte_dots(query: &[f32], rows: &[i8], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let mut sums = [0.0; LANES];
        for (bytes, numbers) in row.as_chunks::<LANES>().0.iter().zip(query.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sums[lane] += f32::from(bytes[lane]) * numbers[lane];
            }
        }
        *out = total(sums);
    }
}

pub(super) fn group_dots(group: &[[f32; GROUP]], rows: &[f32], out: &mut [[f32; GROUP]]) {
    out.fill([0.0; GROUP]);
    if group.is_empty() {
        return;
    }
    for (row, out) in rows.chunks_exact(group.len()).zip(out) {
        for (numbers, queries) in row.chunks(CHUNK).zip(group.chunks(CHUNK)) {
            let mut sums = [0.0; GROUP];
            for (number, queries) in numbers.iter().zip(queries) {
                for lane in 0..GROUP {
                    sums[lane] += number * queries[lane];
                }
            }
            for lane in 0..GROUP {
                out[lane] += sums[lane];
            }
        }
    }
}
