//! Times as people write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// How times are written in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeFormat {
    /// Found out from the first one.
    Auto,
    /// Numbers of so many nanoseconds.
    Unit(i64),
    /// ISO 8601 and its usual looks; without a zone it is UTC.
    Iso,
    /// A strftime pattern.
    Pattern(String),
}

const SECOND: i64 = 1_000_000_000;

impl TimeFormat {
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "s" => Self::Unit(SECOND),
            "ms" => Self::Unit(1_000_000),
            "us" => Self::Unit(1_000),
            "ns" => Self::Unit(1),
            pattern if pattern.contains('%') => Self::Pattern(pattern.to_owned()),
            _ => {
                return Err(format!(
                    "time format '{text}' is unknown; use auto, s, ms, us, ns, or a pattern such as '%Y-%m-%d %H:%M'"
                ));
            }
        })
    }

    /// The format that the first time of a file has. Numbers are told apart by their
    /// size: seconds up to the year 5138, then milli-, micro- and nanoseconds since 1970;
    /// unless the column's name ends with the unit.
    pub fn detect(self, column: &str, first: &str) -> Self {
        if self != Self::Auto {
            return self;
        }
        let unit = |suffix: &str| column.ends_with(suffix);
        match first.trim().parse::<f64>() {
            Err(_) => Self::Iso,
            Ok(_) if unit("_ns") => Self::Unit(1),
            Ok(_) if unit("_us") => Self::Unit(1_000),
            Ok(_) if unit("_ms") => Self::Unit(1_000_000),
            Ok(number) if number.abs() < 1e11 => Self::Unit(SECOND),
            Ok(number) if number.abs() < 1e14 => Self::Unit(1_000_000),
            Ok(number) if number.abs() < 1e17 => Self::Unit(1_000),
            Ok(_) => Self::Unit(1),
        }
    }

    /// Nanoseconds since 1970.
    pub fn read(&self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        match self {
            Self::Auto | Self::Iso => iso(text),
            Self::Unit(unit) => number(text, *unit),
            Self::Pattern(pattern) => {
                let parsed = jiff::fmt::strtime::parse(pattern, text)
                    .map_err(|e| format!("'{text}' does not look like '{pattern}': {e}"))?;
                let timestamp = match parsed.to_timestamp() {
                    Ok(timestamp) => Ok(timestamp),
                    Err(_) => match parsed.to_datetime() {
                        Ok(civil) => Offset::UTC.to_timestamp(civil),
                        // A date alone.
                        Err(_) => {
                            parsed.to_date().and_then(|date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)))
                        }
                    },
                };
                nanoseconds(timestamp.map_err(|e| format!("'{text}' as '{pattern}': {e}"))?)
            }
        }
    }
}

fn nanoseconds(timestamp: Timestamp) -> Result<i64, String> {
    i64::try_from(timestamp.as_nanosecond())
        .map_err(|_| format!("{timestamp} is outside of the years 1677 to 2262 that nanoseconds reach"))
}

fn iso(text: &str) -> Result<i64, String> {
    let wrong = || {
        format!(
            "'{text}' is not a time; write 2014-01-31 13:00:00, add a zone such as Z or +01:00, or name the format \
             with --time-format"
        )
    };
    let text = day_first(text).unwrap_or_else(|| text.replace('/', "-"));
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return nanoseconds(timestamp);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return nanoseconds(Offset::UTC.to_timestamp(civil).map_err(|_| wrong())?);
    }
    Err(wrong())
}

/// A time that begins with a date as 31.1.2014, the year first.
fn day_first(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = date.split('.');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = |part: &str, most: usize| part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !fits(day, 2) || !fits(month, 2) || !fits(year, 4) || year.len() < 4 {
        return None;
    }
    // 0:30 is half past midnight.
    let zero = if time.find(':') == Some(1) { "0" } else { "" };
    Some(format!("{year}-{month:0>2}-{day:0>2} {zero}{time}").trim_end().to_owned())
}

/// A decimal number of `unit` nanoseconds, exactly.
fn number(text: &str, unit: i64) -> Result<i64, String> {
    let wrong = || format!("'{text}' is not a number of {}; see --time-format", unit_name(unit));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let digits_are_fine = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(whole), true) = (whole.parse::<i64>(), digits_are_fine) else {
        // 1.6e9 and its like.
        let float = text.parse::<f64>().map_err(|_| wrong())?;
        let nanoseconds = float * unit as f64;
        if !text.contains(['e', 'E']) || nanoseconds.abs() >= 9.2e18 {
            return Err(wrong());
        }
        return Ok(nanoseconds as i64);
    };
    let mut part = 0;
    let mut digit_unit = unit;
    for digit in fraction.bytes() {
        digit_unit /= 10;
        part += i64::from(digit - b'0') * digit_unit;
    }
    let part = if negative { -part } else { part };
    whole.checked_mul(unit).and_then(|ns| ns.checked_add(part)).ok_or_else(wrong)
}

fn unit_name(unit: i64) -> &'static str {
    match unit {
        1 => "nanoseconds",
        1_000 => "microseconds",
        1_000_000 => "milliseconds",
        _ => "seconds",
    }
}

/// A bound of a selection: nanoseconds, a time, or a date, whose end is its last
/// nanosecond.
pub(super) fn bound(text: &str, is_end: bool) -> Result<i64, String> {
    if let Ok(ns) = text.parse::<i64>() {
        return Ok(ns);
    }
    let ns = iso(text)?;
    let is_date = text.replace('/', "-").parse::<Date>().is_ok() && !text.contains(':');
    Ok(if is_end && is_date { ns.saturating_add(86_400 * SECOND - 1) } else { ns })
}

/// `2014-01-31 13:00:00`, with as many fractions of a second as it has; UTC.
pub(super) fn readable(ns: i64) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(ns)) else { return ns.to_string() };
    let civil = Offset::UTC.to_datetime(timestamp);
    civil.to_string().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_391_169_600 * SECOND; // 2014-01-31 12:00:00 UTC

    #[test]
    fn times_are_read_in_many_forms() {
        let auto = |text: &str| TimeFormat::Auto.detect("t", text).read(text);
        for text in [
            "2014-01-31 12:00:00",
            "2014-01-31T12:00",
            "2014/01/31 12:00:00",
            "31.01.2014 12:00",
            "31.1.2014 12:00:00",
            "2014-01-31T13:00:00+01:00",
            "2014-01-31T12:00:00Z",
            "1391169600",
            "1391169600.000",
            "1391169600000",
            "1391169600000000",
            "1391169600000000000",
            " 1391169600 ",
            "1.3911696e9",
        ] {
            assert_eq!(auto(text), Ok(NOON), "{text}");
        }
        assert_eq!(auto("2014-01-31"), Ok(NOON - 43_200 * SECOND));
        assert_eq!(auto("1391169600.25"), Ok(NOON + 250_000_000));
        assert_eq!(auto("-1.5"), Ok(-1_500_000_000));
        let ns = TimeFormat::Auto.detect("timestamp_ns", "5");
        assert_eq!(ns.read("5"), Ok(5));
        let pattern = TimeFormat::parse("%d.%m.%Y %H:%M").unwrap();
        assert_eq!(pattern.read("31.01.2014 12:00"), Ok(NOON));
        assert_eq!(TimeFormat::parse("%d.%m.%Y").unwrap().read("31.01.2014"), Ok(NOON - 43_200 * SECOND));
        let zoned = TimeFormat::parse("%Y-%m-%d %H:%M:%S %z").unwrap();
        assert_eq!(zoned.read("2014-01-31 13:00:00 +0100"), Ok(NOON));
        for bad in ["", "yesterday", "2014-13-01", "12:00", "NaN", "99999999999999999999"] {
            assert!(auto(bad).is_err(), "{bad}");
        }
        assert!(TimeFormat::parse("fortnights").is_err());
    }

    #[test]
    fn times_are_shown_without_idle_digits() {
        assert_eq!(readable(NOON), "2014-01-31 12:00:00");
        assert_eq!(readable(NOON + 1_500_000), "2014-01-31 12:00:00.0015");
        assert_eq!(readable(0), "1970-01-01 00:00:00");
        assert_eq!(
            bound("2014-01-31", true).unwrap() - bound("2014-01-31", false).unwrap(),
            86_400 * SECOND - 1
        );
        assert_eq!(bound("-7", true), Ok(-7));
    }
}
