//! Floats that are decimals of few digits, as integers: exact, smaller, and faster to
//! read. The idea is that of ALP (Afroozeh, Kuffo, Boncz: "ALP: Adaptive Lossless
//! floating-Point Compression", SIGMOD 2024). Sums and means of decimals are often a few floats beside
//! one: then the nearest decimals are the integers, and how many floats each value is beside its own is
//! a column of small numbers.

/// The most decimals that are looked for.
const DECIMALS_MAX: usize = 10;
/// About how many values are looked at to guess how many decimals most have.
const SAMPLE: usize = 256;
/// Integers up to this are exact in a float.
const EXACT_MAX: u64 = 1 << 53;

const POWERS_OF_TEN: [f64; DECIMALS_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// A float that a quotient of an integer and a power of ten is rounded to.
pub(super) trait Decimal: Copy {
    fn widen(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn same_bits(self, other: Self) -> bool;
    /// How many floats above `near` this is, in the order of their bits; wraps around.
    fn floats_above(self, near: Self) -> i64;
    /// The float that is so many above.
    fn above(self, floats: i64) -> Self;
}

impl Decimal for f64 {
    fn widen(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> Self {
        value
    }

    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn floats_above(self, near: Self) -> i64 {
        self.to_bits().wrapping_sub(near.to_bits()) as i64
    }

    fn above(self, floats: i64) -> Self {
        Self::from_bits(self.to_bits().wrapping_add(floats as u64))
    }
}

impl Decimal for f32 {
    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn narrow(value: f64) -> Self {
        value as f32
    }

    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn floats_above(self, near: Self) -> i64 {
        i64::from(self.to_bits().wrapping_sub(near.to_bits()) as i32)
    }

    fn above(self, floats: i64) -> Self {
        Self::from_bits(self.to_bits().wrapping_add(floats as u32))
    }
}

/// The integer nearest to the value times a power of ten.
fn nearest<T: Decimal>(value: T, power: f64) -> i64 {
    let large = value.widen() * power;
    // A cast is faster than rounding where the processor's baseline has no instruction
    // for it.
    (large + 0.5_f64.copysign(large)) as i64
}

fn scaled<T: Decimal>(value: T, power: f64) -> Option<i64> {
    let whole = nearest(value, power);
    let exact = whole.unsigned_abs() <= EXACT_MAX && T::narrow(whole as f64 / power).same_bits(value);
    exact.then_some(whole)
}

/// How many decimals the values have, and the values times that power of ten; `None`
/// where some are no short decimals.
pub(super) fn to_integers<T: Decimal>(values: &[T]) -> Option<(u8, Vec<i64>)> {
    let mut integers = Vec::with_capacity(values.len());
    POWERS_OF_TEN.iter().zip(0..).find_map(|(&power, decimals)| {
        integers.clear();
        for &value in values {
            integers.push(scaled(value, power)?);
        }
        Some((decimals, std::mem::take(&mut integers)))
    })
}

/// With how many decimals most of the values may be exact: the fewest that do nearly as well
/// as any, and those that do best, by a sample. Empty where it is less than half of them.
pub(super) fn likely_decimals<T: Decimal>(values: &[T]) -> Vec<u8> {
    let sample: Vec<T> = values.iter().copied().step_by((values.len() / SAMPLE).max(1)).collect();
    let exact = |power: f64| sample.iter().filter(|&&value| scaled(value, power).is_some()).count();
    let counts = POWERS_OF_TEN.map(exact);
    let most = counts.into_iter().max().unwrap_or(0);
    let first = |least: usize| counts.iter().zip(0..).find(|(count, _)| **count >= least).map(|(_, p)| p);
    let mut found = Vec::new();
    if most * 2 >= sample.len() {
        found.extend(first(most - most / 50));
        found.extend(first(most));
        found.dedup();
    }
    found
}

/// The nearest decimals of so many digits behind the point, as integers, and how many floats
/// above them the values are.
pub(super) fn to_nearest<T: Decimal>(values: &[T], decimals: u8) -> Option<(Vec<i64>, Vec<i64>)> {
    let power = *POWERS_OF_TEN.get(usize::from(decimals))?;
    let (mut integers, mut off) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    let mut last = 0;
    for &value in values {
        let whole = nearest(value, power);
        // What has no integer takes the last: it must not stand out in their column, too.
        last = if whole.unsigned_abs() <= EXACT_MAX { whole } else { last };
        integers.push(last);
        off.push(value.floats_above(T::narrow(last as f64 / power)));
    }
    Some((integers, off))
}

/// The values that are so many floats above these decimals; `None` for more decimals than
/// are written.
pub(super) fn from_nearest<T: Decimal>(decimals: u8, integers: &[i64], off: &[i64]) -> Option<Vec<T>> {
    let near = to_values::<T>(decimals, integers)?;
    Some(near.into_iter().zip(off).map(|(near, &floats)| near.above(floats)).collect())
}

/// The values of which these are the integers; `None` for more decimals than are
/// written.
pub(super) fn to_values<T: Decimal>(decimals: u8, integers: &[i64]) -> Option<Vec<T>> {
    let power = *POWERS_OF_TEN.get(usize::from(decimals))?;
    Some(integers.iter().map(|&integer| T::narrow(integer as f64 / power)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_found_and_all_else_is_left() {
        assert_eq!(to_integers(&[1.5, -2.25, 3.0]), Some((2, vec![150, -225, 300])));
        assert_eq!(to_integers(&[0.1_f32, 7.3]), Some((1, vec![1, 73])));
        assert_eq!(to_values::<f64>(2, &[150, -225, 300]), Some(vec![1.5, -2.25, 3.0]));
        assert_eq!(to_integers(&[std::f64::consts::PI]), None);
        assert_eq!(to_integers(&[1.0, -0.0]), None, "its sign would be lost");
        assert_eq!(to_integers(&[1e300]), None);
        assert_eq!(to_integers(&[f64::NAN]), None);
        assert_eq!(to_values::<f64>(11, &[1]), None);
        // 0.1 + 0.2 is the float above 0.3.
        assert_eq!(to_nearest(&[0.1 + 0.2, 0.3], 1), Some((vec![3, 3], vec![1, 0])));
        assert_eq!(from_nearest(1, &[3, 3], &[1, 0]), Some(vec![0.1 + 0.2, 0.3]));
        assert_eq!(to_nearest::<f64>(&[], 11), None);
        let sums: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.01).collect();
        assert_eq!(likely_decimals(&sums), [2]);
        assert_eq!(likely_decimals(&[std::f64::consts::PI, 1.0 / 3.0, 0.5]), [0_u8; 0]);
    }

    proptest! {
        #[test]
        fn what_is_taken_comes_back(values in prop::collection::vec((any::<i32>(), 0..6_i32), 1..40), odd: f64) {
            let mut values: Vec<f64> = values.iter().map(|&(n, d)| f64::from(n) / 10_f64.powi(d)).collect();
            let back = |values: &[f64]| {
                let (decimals, integers) = to_integers(values)?;
                let same = to_values::<f64>(decimals, &integers)?;
                Some(values.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()))
            };
            prop_assert_ne!(back(&values), Some(false));
            values.push(odd);
            prop_assert_ne!(back(&values), Some(false));
            let narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            if let Some((decimals, integers)) = to_integers(&narrow) {
                let same = to_values::<f32>(decimals, &integers).unwrap();
                prop_assert!(narrow.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
            for decimals in 0..=DECIMALS_MAX as u8 {
                let (integers, off) = to_nearest(&values, decimals).unwrap();
                let same = from_nearest::<f64>(decimals, &integers, &off).unwrap();
                prop_assert!(values.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()));
                let (integers, off) = to_nearest(&narrow, decimals).unwrap();
                let same = from_nearest::<f32>(decimals, &integers, &off).unwrap();
                prop_assert!(narrow.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}
