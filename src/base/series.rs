//! What a series is made of: its value type, and ranges of its time.

use std::fmt;

use super::{Error, Result};

/// How a series stores its numbers. Readers always get `f64`; an `f32` series
/// gives the `f64` that equals the stored `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ValueType {
    /// 64-bit floats, kept bit for bit.
    #[default]
    F64,
    /// 32-bit floats: the nearest one to each number written.
    F32,
}

impl ValueType {
    /// `f64` or `f32`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
        }
    }

    /// Bytes of one stored number.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
        }
    }

    /// The type that [`as_str`](Self::as_str) spells so.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for any other word.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "f64" => Ok(Self::F64),
            "f32" => Ok(Self::F32),
            _ => Err(Error::invalid(format!("value_type '{text}' is unknown; use \"f64\" or \"f32\""))),
        }
    }

    /// Rounds a finite number to the type; the result is exactly representable
    /// in it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for NaN, an infinity, or a number beyond the type's
    /// range.
    pub fn admit(self, value: f64) -> Result<f64> {
        if !value.is_finite() {
            return Err(Error::invalid(format!(
                "value {value} is not finite; NaN and infinities can't be stored"
            )));
        }
        match self {
            Self::F64 => Ok(value),
            Self::F32 => {
                let rounded = value as f32;
                if rounded.is_finite() {
                    Ok(f64::from(rounded))
                } else {
                    Err(Error::invalid(format!(
                        "value {value:e} overflows the series' value type f32 (at most {:e}); use an f64 series",
                        f32::MAX
                    )))
                }
            }
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Nanosecond timestamps from `start_ns` to `end_ns`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First timestamp of the range.
    pub start_ns: i64,
    /// Last timestamp of the range.
    pub end_ns: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_ns: i64::MIN, end_ns: i64::MAX };

    /// A range that holds at least one timestamp.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the start is after the end.
    pub fn new(start_ns: i64, end_ns: i64) -> Result<Self> {
        if start_ns > end_ns {
            return Err(Error::invalid(format!(
                "start_ns {start_ns} is after end_ns {end_ns}; swap them (both bounds are inclusive)"
            )));
        }
        Ok(Self { start_ns, end_ns })
    }

    /// Whether `timestamp_ns` lies in the range.
    pub fn contains(self, timestamp_ns: i64) -> bool {
        (self.start_ns..=self.end_ns).contains(&timestamp_ns)
    }

    /// Whether the two ranges share a timestamp.
    pub fn overlaps(self, other: Self) -> bool {
        self.start_ns <= other.end_ns && other.start_ns <= self.end_ns
    }

    /// Whether `other` lies wholly inside.
    pub fn covers(self, other: Self) -> bool {
        self.start_ns <= other.start_ns && other.end_ns <= self.end_ns
    }

    /// The least range that holds both.
    pub fn union(self, other: Self) -> Self {
        Self { start_ns: self.start_ns.min(other.start_ns), end_ns: self.end_ns.max(other.end_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_series_keep_the_nearest_f32_and_refuse_overflow() {
        assert_eq!(ValueType::F32.admit(0.1).unwrap().to_bits(), f64::from(0.1_f32).to_bits());
        assert!(ValueType::F32.admit(1e39).is_err());
        assert!(ValueType::F32.admit(-1e300).is_err());
        assert!(ValueType::F64.admit(1e300).is_ok());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(ValueType::F64.admit(bad).is_err());
        }
        assert_eq!(ValueType::F64.admit(-0.0).unwrap().to_bits(), (-0.0_f64).to_bits());
    }

    #[test]
    fn ranges_are_inclusive() {
        let range = TimeRange::new(5, 5).unwrap();
        assert!(range.contains(5) && !range.contains(4) && !range.contains(6));
        assert!(TimeRange::new(6, 5).is_err());
        assert!(range.overlaps(TimeRange::new(0, 5).unwrap()));
        assert!(!range.overlaps(TimeRange::new(6, 9).unwrap()));
        assert!(TimeRange::ALL.covers(range) && !range.covers(TimeRange::ALL));
    }
}
