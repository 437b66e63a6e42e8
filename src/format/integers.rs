//! How a column of integers is foreseen, so that little is left to store: by a straight
//! line, or by the numbers before. What is left goes through `pco`.

use std::ops::Range;

use pco::standalone::simple_compress_into;
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use super::{Reader, put_i64_zigzag, put_varint};
use crate::base::Result;
use crate::kernels::Instructions;

/// How hard pco tries. Of level 8 and its default choices this takes an eighth of the
/// time, for columns that are a quarter of a percent larger (docs/decisions/segment-codecs.md).
pub(super) const PCO_LEVEL: usize = 5;
/// The same where few numbers come again and again: its classes can then be single numbers.
const PCO_LEVEL_OF_REPEATS: usize = 8;

/// Rows that are looked at to tell what foretells values best, in two stretches.
const SAMPLE: usize = 256;
/// Rows that are restored at a time.
const LANES: usize = 8;
/// Neighbours on each side, of those sorted by size, that tell how rare a number is.
const SPACING: usize = 3;

/// What integers stand for, which says how they are foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Times and sequence numbers: they go up.
    Clock,
    /// Values that are decimals.
    Decimals,
    /// The decimals nearest to values, some of which have more digits than most.
    NearDecimals,
}

/// What foretells a column best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing.
    Plain,
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
    /// From the first number to the last, in steps; 0 where no line foretells them.
    rise: i64,
}

/// Appends a column of integers: the line, and what is left; false where these numbers are
/// too far from each other.
pub(super) fn encode_foreseen(numbers: &[i64], kind: Kind, out: &mut Vec<u8>) -> bool {
    let Some((flat, mut steps)) = Line::flat(numbers) else { return false };
    let rise = steps.last().copied().unwrap_or_default();
    let shape = if kind == Kind::Clock { by_bits(&steps, rise) } else { by_entropy(&steps) };
    let line = Line { rise: if shape == Shape::Line { rise } else { 0 }, ..flat };
    line.encode(out);
    if shape == Shape::Line {
        let foreseen = line.steps(steps.len());
        steps.iter_mut().zip(foreseen).for_each(|(step, foreseen)| *step = step.wrapping_sub(foreseen));
        if steps.iter().all(|&rest| rest == 0) {
            return true;
        }
    }
    compress(&steps, shape, kind, out)
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
    /// The line that stays at the first number, and how far from it each is, in steps. `None`
    /// where these numbers are too far from each other.
    fn flat(numbers: &[i64]) -> Option<(Self, Vec<i64>)> {
        let &first = numbers.first()?;
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
        let steps = numbers.iter().map(|&number| (number - first) / divisor).collect();
        Some((Self { first, step, rise: 0 }, steps))
    }

    /// What it foretells, in steps from the first number: `rise * row / (rows - 1)`, rounded down.
    fn steps(self, rows: usize) -> Vec<i64> {
        let mut steps = vec![0; rows];
        Self { first: 0, step: 1, ..self }.restore(&mut steps, rows);
        steps
    }

    /// The numbers of which `rests` are left, the first of `rows`. Never fails: a forged line
    /// gives other numbers.
    pub fn restore(self, rests: &mut [i64], rows: usize) {
        Instructions::best().run(
            #[inline(always)]
            || self.restore_in_lanes(rests, rows),
        );
    }

    #[inline(always)]
    fn restore_in_lanes(self, rests: &mut [i64], rows: usize) {
        let runs = (rows.max(2) - 1) as i64;
        let (whole, part) = (self.rise.div_euclid(runs), self.rise.rem_euclid(runs));
        let step = self.step as i64;
        // What the line rises in so many rows, and what is left of a step then, in parts of `runs`.
        let rise_in = |rows: i64| {
            let parts = part * rows;
            (whole.wrapping_mul(rows).wrapping_add(parts / runs).wrapping_mul(step), parts % runs)
        };
        let (mut at, mut over) = ([0; LANES], [0; LANES]);
        for lane in 0..LANES {
            let (rise, left) = rise_in(lane as i64);
            (at[lane], over[lane]) = (self.first.wrapping_add(rise), left);
        }
        let (up, more) = rise_in(LANES as i64);
        let (groups, last) = rests.as_chunks_mut::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                group[lane] = at[lane].wrapping_add(group[lane].wrapping_mul(step));
                let parts = over[lane] + more;
                let is_step = parts >= runs;
                over[lane] = if is_step { parts - runs } else { parts };
                at[lane] = at[lane].wrapping_add(up).wrapping_add(if is_step { step } else { 0 });
            }
        }
        for (rest, at) in last.iter_mut().zip(at) {
            *rest = at.wrapping_add(rest.wrapping_mul(step));
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

/// What foretells times best, by the bits of what is left; they are in steps from the first.
fn by_bits(steps: &[i64], rise: i64) -> Shape {
    let through = Line { first: 0, step: 1, rise };
    let (mut line, mut once, mut twice) = (0, 0, 0);
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    for (&step, foreseen) in steps.iter().zip(through.steps(steps.len())) {
        let delta = step.wrapping_sub(last);
        line += bits(step.wrapping_sub(foreseen));
        once += bits(delta);
        twice += bits(delta.wrapping_sub(last_delta));
        (last, last_delta) = (step, delta);
    }
    cheapest((line, Shape::Line), once, twice)
}

/// The shape that costs least; of equals the simplest.
fn cheapest<C: PartialOrd>((cost, shape): (C, Shape), once: C, twice: C) -> Shape {
    if cost <= once && cost <= twice {
        shape
    } else if once <= twice {
        Shape::Differences(1)
    } else {
        Shape::Differences(2)
    }
}

/// What foretells values best, by how often the same or similar numbers are left in a sample.
/// A bit count does not tell: numbers that come again take little, however large they are.
fn by_entropy(steps: &[i64]) -> Shape {
    let stretch = |from: usize| from..(from + SAMPLE / 2).min(steps.len());
    let sample: [Range<usize>; 2] =
        if steps.len() <= SAMPLE { [0..steps.len(), 0..0] } else { [stretch(0), stretch(steps.len() / 2)] };
    let mut left: [Vec<i64>; 3] = Default::default();
    for rows in sample {
        let (mut last, mut last_delta) = (0_i64, 0_i64);
        for (at, &step) in steps.get(rows).unwrap_or_default().iter().enumerate() {
            let delta = step.wrapping_sub(last);
            // The first of a stretch have nothing before them.
            if at >= 2 {
                left[0].push(step);
                left[1].push(delta);
                left[2].push(delta.wrapping_sub(last_delta));
            }
            (last, last_delta) = (step, delta);
        }
    }
    let [plain, once, twice] = left.map(entropy);
    cheapest((plain, Shape::Plain), once, twice)
}

/// About how many bits a number of such a sample takes: the more, the rarer it is, and the
/// farther from each other those of its size are. As Vasicek estimates the entropy of a
/// density ("A test for normality based on sample entropy", 1976), by the spacings of what
/// is sorted; numbers that are equal count by their share.
fn entropy(mut sample: Vec<i64>) -> f64 {
    sample.sort_unstable();
    let all = sample.len();
    let mut sum = 0.0;
    let mut begin = 0;
    for equal in sample.chunk_by(|a, b| a == b) {
        for at in begin..begin + equal.len() {
            let (low, high) = (at.saturating_sub(SPACING), (at + SPACING).min(all - 1));
            let spacing = sample[high].abs_diff(sample[low]);
            let share = if spacing == 0 { equal.len() } else { high - low + 1 };
            sum += ((spacing as f64 + 1.0) * all as f64 / share as f64).log2();
        }
        begin += equal.len();
    }
    sum / all.max(1) as f64
}

/// Compresses what is left.
fn compress(left: &[i64], shape: Shape, kind: Kind, out: &mut Vec<u8>) -> bool {
    let delta = match shape {
        Shape::Plain | Shape::Line => DeltaSpec::NoOp,
        Shape::Differences(order) => DeltaSpec::TryConsecutive(order),
    };
    let repeats = shape == Shape::Plain || kind == Kind::NearDecimals;
    let config = ChunkConfig::default()
        .with_compression_level(if repeats { PCO_LEVEL_OF_REPEATS } else { PCO_LEVEL })
        // Those with fewer digits than others are multiples of powers of ten.
        .with_mode_spec(if kind == Kind::NearDecimals { ModeSpec::Auto } else { ModeSpec::Classic })
        .with_delta_spec(delta);
    simple_compress_into(left, &config, out).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Rng;

    fn line_survives(numbers: &[i64]) -> bool {
        let Some((flat, steps)) = Line::flat(numbers) else { return false };
        let rise = steps.last().copied().unwrap_or_default();
        for line in [flat, Line { rise, ..flat }] {
            let mut bytes = Vec::new();
            line.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Line::decode(&mut reader).unwrap(), line);
            let foreseen = line.steps(steps.len());
            let mut rests: Vec<i64> = steps.iter().zip(foreseen).map(|(s, f)| s.wrapping_sub(f)).collect();
            let rows = rests.len();
            line.restore(&mut rests, rows);
            assert_eq!(rests, numbers);
        }
        true
    }

    #[test]
    fn a_line_is_rounded_down_in_every_row() {
        let mut rng = Rng::new(29);
        for case in 0..300 {
            // The longest column, and any.
            let rows = if case < 6 { 1 << 18 } else { 2 + rng.below(5000) as usize };
            let runs = rows as i64 - 1;
            let rise = match case % 6 {
                0 => runs - 1,
                1 => 1 - runs,
                2 => i64::MAX - rng.below(1000) as i64,
                _ => rng.next_u64() as i64 >> rng.below(60),
            };
            for (row, found) in (Line { first: 0, step: 1, rise }).steps(rows).into_iter().enumerate() {
                let expected = (i128::from(rise) * row as i128).div_euclid(i128::from(runs));
                assert_eq!(i128::from(found), expected, "row {row} of {rows}, rise {rise}");
            }
        }
    }

    #[test]
    fn lines_and_what_is_off_them() {
        let (line, steps) = Line::flat(&[100, 130, 150, 190]).unwrap();
        assert_eq!(line, Line { first: 100, step: 10, rise: 0 });
        assert_eq!(steps, [0, 3, 5, 9]);
        assert_eq!(Line { first: 0, step: 1, rise: -7 }.steps(4), [0, -3, -5, -7]);
        assert!(line_survives(&[5]));
        assert!(line_survives(&[7, 7, 7]));
        assert!(line_survives(&[9, 3, -3, 4]));
        assert!(line_survives(&[0, i64::MAX]));
        assert!(!line_survives(&[i64::MIN, 1]));
        assert_eq!(by_bits(&[0, 100, 200, 300], 300), Shape::Line);
        assert_eq!(by_bits(&[0, 100, 201, 299, 402], 402), Shape::Line);
        assert_eq!(by_bits(&[0, 300, 310, 305, 300], 300), Shape::Differences(1));
        let squares: Vec<i64> = (0..50).map(|at| at * at * 1000).collect();
        assert_eq!(by_bits(&squares, 49 * 49 * 1000), Shape::Differences(2));
    }

    #[test]
    fn what_foretells_values() {
        let mut rng = crate::base::Rng::new(1);
        let mut column = |next: &mut dyn FnMut(&mut crate::base::Rng) -> i64| -> Vec<i64> {
            (0..4096).map(|_| next(&mut rng)).collect()
        };
        let mut walk = 0;
        let walk = column(&mut |rng| {
            walk += rng.below(2001) as i64 - 1000;
            walk
        });
        assert_eq!(by_entropy(&walk), Shape::Differences(1));
        // The same few numbers again and again, far from each other: seven bits each, and
        // their differences take nine.
        let levels: Vec<i64> = (0..128).map(|level| level * level * 12_345).collect();
        assert_eq!(by_entropy(&column(&mut |rng| levels[rng.below(128) as usize])), Shape::Plain);
        let (mut speed, mut place) = (0, 0);
        let smooth = column(&mut |rng| {
            speed += rng.below(21) as i64 - 10;
            place += speed;
            place
        });
        assert_eq!(by_entropy(&smooth), Shape::Differences(2));
        for short in [&[][..], &[1], &[1, 2], &[1, 2, 3]] {
            by_entropy(short);
        }
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
            let rows = rests.len();
            Line { first, step, rise }.restore(&mut rests, rows);
        }
    }
}
