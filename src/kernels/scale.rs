//! Bringing numbers into a range where squares neither overflow nor vanish.

/// The median (the lower one of two); 0 for no numbers. Numbers must be finite.
pub fn median(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    let middle = (sorted.len() - 1) / 2;
    *sorted.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// A power of two that brings the greatest magnitude into [1, 2); 1 where all are 0.
/// Multiplying by it is exact but for subnormal results.
pub fn power_of_two_scale(values: &[f64]) -> f64 {
    let greatest = values.iter().fold(0.0_f64, |greatest, value| greatest.max(value.abs()));
    if greatest == 0.0 || !greatest.is_finite() {
        return 1.0;
    }
    let exponent = (greatest.log2().floor() as i32).clamp(-1000, 1000);
    2.0_f64.powi(-exponent)
}

/// Subtracts the median and scales; returns the numbers and the scale, so that
/// `(x − median)·scale` is what is returned.
pub fn center_and_scale(values: &[f64]) -> (Vec<f64>, f64) {
    // Keeps the subtraction from overflowing.
    let first = power_of_two_scale(values);
    let mut out: Vec<f64> = values.iter().map(|value| value * first).collect();
    let middle = median(&out);
    for value in &mut out {
        *value -= middle;
    }
    let second = power_of_two_scale(&out);
    for value in &mut out {
        *value *= second;
    }
    (out, first * second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_come_into_range() {
        for values in [vec![1e300, -1e300, 5.0], vec![1e-300, 3e-300, 0.0], vec![7.0; 4], vec![]] {
            let (scaled, scale) = center_and_scale(&values);
            assert!(scaled.iter().all(|v| v.abs() <= 2.0), "{scaled:?}");
            assert!(scale > 0.0 && scale.is_finite());
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
    }
}
