//! Durations as people write them.

use serde::Deserialize;
use serde::de::Deserializer;

use crate::base::{Error, Result};

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Nanoseconds: an integer, or a string such as `"5m"`, `"1.5h"` or `"250"`.
pub(super) struct Duration(pub u64);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(ns) => Ok(Self(ns)),
            Form::Text(text) => parse(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// Nanoseconds of a number with a unit, or of an integer without.
fn parse(text: &str) -> Result<u64> {
    let wrong =
        || Error::invalid(format!("'{text}' is no duration; write a number and ns, us, ms, s, m, h or d"));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() {
        return number.parse().map_err(|_| wrong());
    }
    let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*ns).ok_or_else(wrong);
    }
    let part: f64 = number.parse().map_err(|_| wrong())?;
    let product = (part * *ns as f64).round();
    // More than there is would not be what was asked for.
    if product < u64::MAX as f64 { Ok(product as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (text, ns) in [
            ("5m", 300_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("250", 250),
            ("0.5us", 500),
            ("2d", 172_800_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text).unwrap(), ns, "{text}");
        }
        for text in ["", "m", "5 m", "-5m", "5x", "1.5", "1e3s", "1.2.3s", ".s", "213504d"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Duration>("7").unwrap().0, 7);
        assert_eq!(serde_json::from_str::<Duration>("\"7s\"").unwrap().0, 7_000_000_000);
        assert!(serde_json::from_str::<Duration>("-7").is_err());
        assert!(serde_json::from_str::<Duration>("1.5").is_err());
    }
}
