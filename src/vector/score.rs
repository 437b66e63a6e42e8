//! The exact score of one candidate.

use crate::base::{Error, ErrorCode, Result};
use crate::kernels::{dot, norm, power_of_two_scale};

/// A query's direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// Scaled to length 1.
    unit: Vec<f64>,
}

impl Direction {
    /// The direction of a query for a series of this dimension.
    ///
    /// # Errors
    /// `DIMENSION_MISMATCH` where it is not a multiple of `dimension` numbers;
    /// `INVALID_ARGUMENT` for a zero query, or numbers that are not finite.
    pub fn new(query: &[f64], dimension: usize) -> Result<Self> {
        if let Some(bad) = query.iter().find(|value| !value.is_finite()) {
            return Err(Error::invalid(format!("the query holds {bad}; use finite numbers")));
        }
        if query.is_empty() || dimension == 0 || !query.len().is_multiple_of(dimension) {
            return Err(Error::new(
                ErrorCode::DimensionMismatch,
                format!(
                    "the query has {} numbers; the series has dimension {dimension}: give {dimension} numbers to find \
                     points, or a multiple of that to find windows",
                    query.len()
                ),
            ));
        }
        let scale = power_of_two_scale(query);
        let mut unit: Vec<f64> = query.iter().map(|value| value * scale).collect();
        let length = norm(&unit);
        if length == 0.0 {
            return Err(Error::invalid("the query is the zero vector, which has no direction; give another"));
        }
        for value in &mut unit {
            *value /= length;
        }
        Ok(Self { unit })
    }

    /// The query's numbers, scaled to length 1.
    pub fn unit(&self) -> &[f64] {
        &self.unit
    }

    /// Cosine similarity to as many stored numbers; 0 to a zero vector.
    pub fn similarity(&self, values: &[f64]) -> f64 {
        let length = norm(values);
        let (values_dot, length) = if is_plain(length) {
            (dot(values, &self.unit), length)
        } else {
            let scaled = scaled(values);
            (dot(&scaled, &self.unit), norm(&scaled))
        };
        if length == 0.0 { 0.0 } else { (values_dot / length).clamp(-1.0, 1.0) }
    }
}

/// Whether no squares overflowed or vanished on the way to a length.
fn is_plain(length: f64) -> bool {
    length.is_finite() && length > 1e-140
}

fn scaled(values: &[f64]) -> Vec<f64> {
    let scale = power_of_two_scale(values);
    values.iter().map(|value| value * scale).collect()
}

/// The numbers scaled to length 1, rounded to single precision; zeros stay zeros.
pub(super) fn write_unit(values: &[f64], unit: &mut [f32]) {
    let length = norm(values);
    if is_plain(length) {
        for (unit, value) in unit.iter_mut().zip(values) {
            *unit = (value / length) as f32;
        }
        return;
    }
    let scaled = scaled(values);
    let length = norm(&scaled);
    for (unit, value) in unit.iter_mut().zip(scaled) {
        *unit = if length == 0.0 { 0.0 } else { (value / length) as f32 };
    }
}
