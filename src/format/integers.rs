//! How a column of integers is foreseen, so that little is left to store: by a straight
//! line, or by the numbers before. What is left goes through `pco`.

use pco::standalone::simple_compress_into;
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use super::{Reader, put_i64_zigzag, put_varint};
use crate::base::Result;

/// How hard pco tries. Of level 8 and its default choices this takes an eighth of the
/// time, for columns that are a quarter of a percent larger (docs/decisions/segment-codecs.md).
pub(super) const PCO_LEVEL: usize = 5;

/// What foretells a column best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The line from the first number to the last.
    Line,
    /// So many orders of differences.
    Differences(usize),
}

/// A line through integers in steps of their common divisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    first: i64,
    step: u64,
    /// From the first number to the last, in steps.
    rise: i64,
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Bits that a number takes with its sign.
fn bits(number: i64) -> u64 {
    u64::from(65 - number.unsigned_abs().leading_zeros())
}

impl Line {
    /// The line, and how far off it each number is, in steps. `None` where these numbers
    /// are too far from each other.
    pub fn through(numbers: &[i64]) -> Option<(Self, Vec<i64>)> {
        let (&first, &last) = (numbers.first()?, numbers.last()?);
        let mut step = 0;
        for &number in numbers {
            let off = number.checked_sub(first)?.unsigned_abs();
            // Once it is 1 it stays.
            if step != 1 {
                step = greatest_common_divisor(step, off);
            }
        }
        let step = step.max(1);
        let divisor = i64::try_from(step).ok()?;
        let line = Self { first, step, rise: (last - first) / divisor };
        let rests = numbers.iter().zip(line.steps(numbers.len()));
        let rests = rests.map(|(&number, foreseen)| ((number - first) / divisor).checked_sub(foreseen));
        Some((line, rests.collect::<Option<_>>()?))
    }

    /// What it foretells, in steps from the first number: `rise * row / (rows - 1)`, rounded
    /// down, without dividing for each row.
    fn steps(self, rows: usize) -> impl Iterator<Item = i64> {
        let runs = (rows.max(2) - 1) as i64;
        let (whole, part) = (self.rise.div_euclid(runs), self.rise.rem_euclid(runs));
        let (mut next, mut parts) = (0_i64, 0);
        (0..rows).map(move |_| {
            let steps = next;
            parts += part;
            let carry = parts >= runs;
            parts -= if carry { runs } else { 0 };
            next = next.wrapping_add(whole).wrapping_add(i64::from(carry));
            steps
        })
    }

    /// The numbers of which `rests` are left. Never fails: a forged line gives other numbers.
    pub fn restore(self, rests: &mut [i64]) {
        let rows = rests.len();
        for (rest, foreseen) in rests.iter_mut().zip(self.steps(rows)) {
            let steps = rest.wrapping_add(foreseen);
            *rest = self.first.wrapping_add(steps.wrapping_mul(self.step as i64));
        }
    }

    pub fn encode(self, out: &mut Vec<u8>) {
        put_i64_zigzag(out, self.first);
        put_varint(out, self.step);
        put_i64_zigzag(out, self.rise);
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { first: reader.i64_zigzag()?, step: reader.varint()?, rise: reader.i64_zigzag()? })
    }
}

/// What foretells these numbers best, by the bits of what is left; `rests` are those off
/// the line, in steps.
pub(super) fn best_shape(rests: &[i64]) -> Shape {
    let (mut line, mut once, mut twice) = (0, 0, 0);
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    for &rest in rests {
        let delta = rest.wrapping_sub(last);
        line += bits(rest);
        once += bits(delta);
        twice += bits(delta.wrapping_sub(last_delta));
        (last, last_delta) = (rest, delta);
    }
    if line <= once && line <= twice {
        Shape::Line
    } else if once <= twice {
        Shape::Differences(1)
    } else {
        Shape::Differences(2)
    }
}

/// Compresses what is left.
pub(super) fn compress(rests: &[i64], shape: Shape, out: &mut Vec<u8>) -> bool {
    let delta = match shape {
        Shape::Line => DeltaSpec::NoOp,
        Shape::Differences(order) => DeltaSpec::TryConsecutive(order),
    };
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta);
    simple_compress_into(rests, &config, out).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line_survives(numbers: &[i64]) -> bool {
        let Some((line, mut rests)) = Line::through(numbers) else { return false };
        let mut bytes = Vec::new();
        line.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Line::decode(&mut reader).unwrap(), line);
        line.restore(&mut rests);
        assert_eq!(rests, numbers);
        true
    }

    #[test]
    fn lines_and_what_is_off_them() {
        let (line, rests) = Line::through(&[100, 130, 150, 190]).unwrap();
        assert_eq!(line, Line { first: 100, step: 10, rise: 9 });
        assert_eq!(rests, [0, 0, -1, 0]);
        assert_eq!(Line { first: 0, step: 1, rise: -7 }.steps(4).collect::<Vec<_>>(), [0, -3, -5, -7]);
        assert!(line_survives(&[5]));
        assert!(line_survives(&[7, 7, 7]));
        assert!(line_survives(&[9, 3, -3, 4]));
        assert!(line_survives(&[0, i64::MAX]));
        assert!(!line_survives(&[i64::MIN, 1]));
        assert_eq!(best_shape(&[0, 0, 0, 0]), Shape::Line);
        assert_eq!(best_shape(&[0, 100, 201, 299, 402]), Shape::Differences(2));
        assert_eq!(best_shape(&[0, 300, 310, 305, 300]), Shape::Differences(1));
    }

    proptest! {
        #[test]
        fn any_numbers_survive(numbers: Vec<i64>, near in prop::collection::vec(-1000_i64..1000, 1..50), base: i32) {
            line_survives(&numbers);
            let near: Vec<i64> = near.iter().enumerate().map(|(at, n)| i64::from(base) + at as i64 * 70 + n * 7).collect();
            prop_assert!(line_survives(&near));
        }

        #[test]
        fn a_forged_line_restores_something(first: i64, step: u64, rise: i64, mut rests: Vec<i64>) {
            Line { first, step, rise }.restore(&mut rests);
        }
    }
}
