//! Bringing numbers into a range where squares neither overflow nor vanish.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_come_into_range() {
        for values in [vec![1e300, -1e300, 5.0], vec![1e-300, 3e-300, 0.0], vec![7.0; 4], vec![]] {
            let scale = power_of_two_scale(&values);
            assert!(values.iter().all(|value| (value * scale).abs() < 2.0), "{values:?}");
            assert!(scale > 0.0 && scale.is_finite());
        }
    }
}
