//! Numbers by their value, whatever their length: `1e2`, `100` and `100.0` are one.
//!
//! Nothing is calculated with them: they are compared, with one another and with what an `f64` can hold.

use std::cmp::Ordering;

/// The value of a number: `0.digits × 10^magnitude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// The digits without zeros at either end; empty for zero.
    digits: String,
    magnitude: i64,
}

/// The longest number, in bytes, that every `f64` surely holds: it has fifteen digits at most.
const SURELY_HELD_BYTES: usize = 15;

impl Decimal {
    /// Returns the value of a number as JSON writes it.
    pub fn of(number: &str) -> Self {
        let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Self { is_negative: false, digits: String::new(), magnitude: 0 };
        }
        let exponent: i64 = exponent.parse().unwrap_or_default();
        let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let magnitude = exponent.saturating_add(length(significant)).saturating_sub(length(fraction));
        Self { is_negative, digits: digits.to_owned(), magnitude }
    }

    /// Returns the value of the shortest text that reads as this `f64`, as programs write it; `None` for NaN and the
    /// infinities.
    pub fn of_double(number: f64) -> Option<Self> {
        number.is_finite().then(|| Self::of(&format!("{number:e}")))
    }

    /// Returns whether an `f64` holds the number such that the `f64` is written with the same value again.
    pub fn is_held_by_double(number: &str) -> bool {
        (number.len() <= SURELY_HELD_BYTES && !number.contains(['e', 'E']))
            || number.parse().is_ok_and(|double| Self::of_double(double) == Some(Self::of(number)))
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits));
        self.sign().cmp(&other.sign()).then_with(|| if self.is_negative { size().reverse() } else { size() })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_value_to_the_last_digit() {
        let ascending = [
            "-1e400",
            "-123456789012345678901235",
            "-123456789012345678901234",
            "-1.5",
            "-0.001",
            "0",
            "1e-400",
            "0.12345678901234567890",
            "0.12345678901234567891",
            "1",
            "9007199254740992",
            "9007199254740993",
            "123456789012345678901234",
            "123456789012345678901235",
            "1e400",
        ];
        for (place, one) in ascending.iter().enumerate() {
            for (other_place, other) in ascending.iter().enumerate() {
                assert_eq!(Decimal::of(one).cmp(&Decimal::of(other)), place.cmp(&other_place), "{one} {other}");
            }
        }
        for alike in
            [["10.00", "10"], ["1E5", "100000"], ["1e+2", "100.0"], ["-0", "0.0"], ["0.5e1", "5"], ["120e-1", "12"]]
        {
            assert_eq!(Decimal::of(alike[0]), Decimal::of(alike[1]), "{alike:?}");
        }
    }

    #[test]
    fn a_double_holds_what_it_writes_with_the_same_value_again() {
        for held in [
            "0",
            "-0",
            "10.00",
            "0.1",
            "1E5",
            "9007199254740992",
            "1e22",
            "1e-300",
            "0.30000000000000004",
            "1e23",
            "123456789012345.6",
        ] {
            assert!(Decimal::is_held_by_double(held), "{held}");
        }
        for longer in [
            "9007199254740993",
            "123456789012345678901234",
            "0.12345678901234567890",
            "1e-400",
            "1e400",
            "18446744073709551615",
        ] {
            assert!(!Decimal::is_held_by_double(longer), "{longer}");
        }
    }
}
