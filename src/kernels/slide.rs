//! One new window beside all earlier ones: their covariances from those of the windows a
//! step before, as in [`super::skew`], for every diagonal at once.

use super::Instructions;
use super::instructions::Set;

/// Windows of which [`advance`] keeps one maximum.
pub const BLOCK: usize = 512;

/// What belongs to the earlier windows, in order: see [`super::skew`] for the terms.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// df.
    pub first: &'a [f64],
    /// dg.
    pub second: &'a [f64],
    /// 1/√Σ(x−μ)², or 0.
    pub weights: &'a [f64],
}

/// Adds df·dg' + df'·dg to each covariance, where `(df', dg')` belongs to the new window,
/// and notes the greatest covariance times weight of each [`BLOCK`] of windows.
pub fn advance(
    instructions: Instructions,
    covariances: &mut [f64],
    earlier: Earlier<'_>,
    new: (f64, f64),
    maxima: &mut Vec<f64>,
) {
    let n = covariances.len();
    let earlier =
        Earlier { first: &earlier.first[..n], second: &earlier.second[..n], weights: &earlier.weights[..n] };
    maxima.clear();
    match instructions.set() {
        Set::Portable => portable(covariances, earlier, new, maxima),
        // SAFETY: the processor has the instructions, see `Instructions`.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2(covariances, earlier, new, maxima) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { avx512(covariances, earlier, new, maxima) },
    }
}

/// The blocks of a step, with what belongs to each.
fn blocks<'a>(
    covariances: &'a mut [f64],
    earlier: Earlier<'a>,
) -> impl Iterator<Item = (&'a mut [f64], Earlier<'a>)> {
    covariances.chunks_mut(BLOCK).enumerate().map(move |(at, states)| {
        let part = at * BLOCK..at * BLOCK + states.len();
        let (first, second) = (&earlier.first[part.clone()], &earlier.second[part.clone()]);
        (states, Earlier { first, second, weights: &earlier.weights[part] })
    })
}

/// One step of a block in plain loops; its greatest weighted covariance.
#[inline(always)]
fn plain_block<const FUSED: bool>(states: &mut [f64], earlier: Earlier<'_>, new: (f64, f64)) -> f64 {
    let columns = earlier.first.iter().zip(earlier.second).zip(earlier.weights);
    let mut greatest = f64::NEG_INFINITY;
    for (state, ((first, second), weight)) in states.iter_mut().zip(columns) {
        *state = if FUSED {
            first.mul_add(new.1, second.mul_add(new.0, *state))
        } else {
            first * new.1 + (second * new.0 + *state)
        };
        greatest = greatest.max(*state * weight);
    }
    greatest
}

fn portable(covariances: &mut [f64], earlier: Earlier<'_>, new: (f64, f64), maxima: &mut Vec<f64>) {
    maxima.extend(blocks(covariances, earlier).map(|(states, of)| plain_block::<false>(states, of, new)));
}

/// The vectors of a block, four at a time so that no comparison waits for the one before, and
/// the rest of it in plain loops.
#[cfg(target_arch = "x86_64")]
macro_rules! by_vectors {
    ($name:ident, $features:literal, $lanes:literal, $set:ident, $load:ident, $store:ident, $fused:ident, $product:ident, $greater:ident) => {
        #[target_feature(enable = $features)]
        fn $name(covariances: &mut [f64], earlier: Earlier<'_>, new: (f64, f64), maxima: &mut Vec<f64>) {
            use std::arch::x86_64::{$fused, $greater, $load, $product, $set, $store};
            const STEP: usize = 4 * $lanes;
            let (new_first, new_second) = ($set(new.0), $set(new.1));
            for (states, of) in blocks(covariances, earlier) {
                let (chunks, rest) = states.as_chunks_mut::<STEP>();
                let (first, first_rest) = of.first.as_chunks::<STEP>();
                let (second, second_rest) = of.second.as_chunks::<STEP>();
                let (weights, weights_rest) = of.weights.as_chunks::<STEP>();
                let mut greatest = [$set(f64::NEG_INFINITY); 4];
                for (((states, first), second), weights) in
                    chunks.iter_mut().zip(first).zip(second).zip(weights)
                {
                    for part in 0..4 {
                        let at = part * $lanes;
                        // SAFETY: the arrays have four vectors each.
                        unsafe {
                            let state = $load(states.as_ptr().add(at));
                            let state = $fused($load(second.as_ptr().add(at)), new_first, state);
                            let state = $fused($load(first.as_ptr().add(at)), new_second, state);
                            $store(states.as_mut_ptr().add(at), state);
                            let weighted = $product(state, $load(weights.as_ptr().add(at)));
                            greatest[part] = $greater(greatest[part], weighted);
                        }
                    }
                }
                let pairs = [$greater(greatest[0], greatest[1]), $greater(greatest[2], greatest[3])];
                let mut lanes = [0.0; $lanes];
                // SAFETY: it has room for a vector.
                unsafe { $store(lanes.as_mut_ptr(), $greater(pairs[0], pairs[1])) };
                let of_rest = Earlier { first: first_rest, second: second_rest, weights: weights_rest };
                let of_rest = plain_block::<true>(rest, of_rest, new);
                maxima.push(lanes.into_iter().fold(of_rest, f64::max));
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_vectors!(
    avx512,
    "avx2,fma,avx512f",
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_mul_pd,
    _mm512_max_pd
);
#[cfg(target_arch = "x86_64")]
by_vectors!(
    avx2,
    "avx2,fma",
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_fmadd_pd,
    _mm256_mul_pd,
    _mm256_max_pd
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn it_is_the_recurrence_and_the_maxima_of_its_blocks() {
        let mut rng = Rng::new(17);
        for n in [0, 1, 31, 32, 33, BLOCK, BLOCK + 1, 3 * BLOCK - 5] {
            let mut column = || (0..n).map(|_| rng.unit_f64() - 0.5).collect::<Vec<f64>>();
            let (states, first, second, weights) = (column(), column(), column(), column());
            let expected: Vec<f64> =
                (0..n).map(|at| states[at] + first[at] * 0.75 + second[at] * -0.5).collect();
            for instructions in Instructions::available() {
                let (mut found, mut maxima) = (states.clone(), vec![9.0; 3]);
                let earlier = Earlier { first: &first, second: &second, weights: &weights };
                advance(instructions, &mut found, earlier, (-0.5, 0.75), &mut maxima);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-15, "{} {n}", instructions.name());
                }
                let of_block = |block: &[usize]| {
                    let weighted = block.iter().map(|&at| found[at] * weights[at]);
                    weighted.fold(f64::NEG_INFINITY, f64::max)
                };
                let all: Vec<usize> = (0..n).collect();
                assert_eq!(maxima, all.chunks(BLOCK).map(of_block).collect::<Vec<_>>(), "{n}");
            }
        }
    }
}
