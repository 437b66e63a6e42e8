//! Numbers as text, most of them without the general algorithm.
//!
//! Measurements are mostly decimals of few digits. Such a number is a whole one divided by
//! a power of ten, which a division proves; and among decimals of at most fifteen digits no
//! two are the same double, so that the one found is the shortest form, as Ryū would print
//! it (Ulf Adams, "Ryū: fast float-to-string conversion", 2018), which prints the rest.

/// Digits behind the point that are tried.
const PLACES_MAX: usize = 6;
const POWERS: [f64; PLACES_MAX + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// Whole numbers below this have at most fifteen digits.
const WHOLE_MAX: f64 = 1e15;

/// Writes numbers; it remembers how many digits the last ones had behind the point.
#[derive(Debug, Default, Clone, Copy)]
pub struct Decimals {
    places: usize,
}

impl Decimals {
    /// Appends the shortest form that reads back to the same value. Whole numbers keep
    /// their `.0` if asked for.
    pub fn push(&mut self, value: f64, keeps_point: bool, out: &mut Vec<u8>) {
        match self.whole(value) {
            Some((whole, places)) => push_decimal(whole, places, value.is_sign_negative(), keeps_point, out),
            None => push_any(value, keeps_point, out),
        }
    }

    /// The digits of a value without its point, and how many stand behind that.
    fn whole(&mut self, value: f64) -> Option<(u64, usize)> {
        let magnitude = value.abs();
        if !(1e-3..WHOLE_MAX).contains(&magnitude) && magnitude != 0.0 {
            return None;
        }
        let at = |places: usize| {
            let scaled = (magnitude * POWERS[places]).round_ties_even();
            (scaled < WHOLE_MAX && scaled / POWERS[places] == magnitude).then_some((scaled as u64, places))
        };
        let (mut whole, mut places) = match at(self.places) {
            Some(found) => found,
            None => (0..=PLACES_MAX).find_map(at)?,
        };
        self.places = places;
        while places > 0 && whole.is_multiple_of(10) {
            (whole, places) = (whole / 10, places - 1);
        }
        Some((whole, places))
    }
}

fn push_decimal(whole: u64, places: usize, negative: bool, keeps_point: bool, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(whole).as_bytes();
    if places == 0 {
        out.extend_from_slice(digits);
        if keeps_point {
            out.extend_from_slice(b".0");
        }
        return;
    }
    match digits.split_at_checked(digits.len().wrapping_sub(places)) {
        Some((before, behind)) if !before.is_empty() => {
            out.extend_from_slice(before);
            out.push(b'.');
            out.extend_from_slice(behind);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', places - digits.len()));
            out.extend_from_slice(digits);
        }
    }
}

fn push_any(value: f64, keeps_point: bool, out: &mut Vec<u8>) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format(value);
    let text = if keeps_point { text } else { text.strip_suffix(".0").unwrap_or(text) };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn every_number_is_written_as_by_the_general_algorithm() {
        let seed = 20;
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut decimals = Decimals::default();
        let mut check = |value: f64| {
            for keeps_point in [false, true] {
                let (mut found, mut expected) = (Vec::new(), Vec::new());
                decimals.push(value, keeps_point, &mut found);
                push_any(value, keeps_point, &mut expected);
                let text = |bytes| String::from_utf8(bytes).unwrap();
                assert_eq!(text(found), text(expected), "{:#x}", value.to_bits());
            }
        };
        let edges = [0.0, 1e-3, 1e-5, 0.1, 0.5, 1.0, 9.95, 999_999.999_999, 1e14, 1e15, 1e16, 1e21, 5e-324];
        let specials =
            [f64::MAX, f64::EPSILON, f64::NAN, f64::INFINITY, 123_456_789_012_345.6, 2.0_f64.powi(53)];
        for value in edges.into_iter().chain(specials) {
            for near in [value, value.next_up(), value.next_down()] {
                check(near);
                check(-near);
            }
        }
        for _ in 0..200_000 {
            let whole = rng.next_u64() >> rng.below(64);
            let places = rng.below(10) as i32;
            check(whole as f64 / 10_f64.powi(places));
            check((whole as f64 / 10_f64.powi(places)).next_up());
            check(-(whole as f64) * 10_f64.powi(-places));
            check(f64::from_bits(rng.next_u64()));
        }
    }
}
