//! Floats that are decimals of few digits, as integers: exact, smaller, and faster to
//! read. The idea is that of ALP (Afroozeh, Kuffo, Boncz: "ALP: Adaptive Lossless
//! floating-Point Compression", SIGMOD 2024), here without exceptions: one value that is no such decimal leaves the
//! column to the codec of floats.

/// The most decimals that are looked for.
const DECIMALS_MAX: usize = 10;
/// Integers up to this are exact in a float.
const EXACT_MAX: u64 = 1 << 53;

const POWERS_OF_TEN: [f64; DECIMALS_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// A float that a quotient of an integer and a power of ten is rounded to.
pub(super) trait Decimal: Copy {
    fn widen(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn same_bits(self, other: Self) -> bool;
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
}

fn scaled<T: Decimal>(value: T, power: f64) -> Option<i64> {
    let large = value.widen() * power;
    // To the nearest; a cast is faster than rounding where the processor's baseline has
    // no instruction for it.
    let whole = (large + 0.5_f64.copysign(large)) as i64;
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
        }
    }
}
