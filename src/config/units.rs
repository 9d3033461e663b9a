//! Quantities with their units: `30s`, `64KiB`, `100/s`, `5%`.
//!
//! The unit is always written: a bare number is an error that shows the fix. There are no fractions but of a percent,
//! and no sums (`1m30s`): each value has one obvious form. Whether a quantity is sensible at its place is not checked
//! here.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::fault::complaint;
use super::problem::Code;

pub use super::count::Count;

/// A length of time: `2500ms`, `30s`, `5m`, `72h`, `14d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// A number of bytes: `512B`, `64KiB`, `1MiB`, `20GiB`, or decimal `64KB`, `1MB`, `20GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A number in a time: `100/s`, `10/m`, `5/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRate {
    /// The number.
    pub count: NonZeroU32,
    /// The time.
    pub per: time::Duration,
}

/// A part of all: `5%`, `0.5%`, `100%`; to a ten-thousandth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent {
    /// The share in millionths of the whole.
    pub millionths: u32,
}

/// The units, each with its size in the base unit.
type Units = &'static [(&'static str, u64)];

const TIMES: Units = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: Units = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const PERIODS: Units = &[("s", 1), ("m", 60), ("h", 3600)];

/// The words for one kind of quantity.
struct Words {
    /// "a duration".
    kind: &'static str,
    /// "`30s`".
    like: &'static str,
    units: Units,
    /// Other spellings of units, each with the unit that is meant.
    aliases: &'static [(&'static str, &'static str)],
}

const TIME_WORDS: Words = Words {
    kind: "a duration",
    like: "`30s`, `5m` or `2500ms`",
    units: TIMES,
    aliases: &[
        ("sec", "s"),
        ("secs", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minutes", "m"),
        ("hours", "h"),
        ("days", "d"),
    ],
};

const SIZE_WORDS: Words = Words {
    kind: "a size",
    like: "`64KiB`, `1MiB` or `20GiB`",
    units: SIZES,
    aliases: &[("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("ki", "KiB"), ("mi", "MiB"), ("gi", "GiB"), ("bytes", "B")],
};

/// Parses a number and its unit, with helpful errors for other forms that people write.
fn parse<E: de::Error>(text: &str, words: &Words) -> Result<u64, E> {
    let invalid = |help: &str| complaint(Code::InvalidValue, &format!("is not {}", words.kind), help);
    let usual = || format!("write a whole number and its unit, such as {}", words.like);
    if text.starts_with('-') {
        return Err(complaint(Code::InvalidValue, &format!("is negative, and {} cannot be", words.kind), &usual()));
    }
    if text.contains('.') && text.starts_with(|c: char| c.is_ascii_digit()) {
        let help = format!("{}, without a fraction: take a smaller unit", usual());
        return Err(complaint(Code::InvalidValue, &format!("has a fraction, and {} cannot", words.kind), &help));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() && !number.is_empty() {
        return Err(without_unit(number, words));
    }
    let Some(factor) = words.units.iter().find(|(known, _)| *known == unit).map(|(_, factor)| *factor) else {
        let lower = unit.trim().to_ascii_lowercase();
        let same = words.units.iter().map(|(known, _)| (*known, *known));
        let meant = same.chain(words.aliases.iter().copied()).find(|(other, _)| other.to_ascii_lowercase() == lower);
        return Err(match meant {
            Some((_, unit)) if !number.is_empty() => invalid(&format!("write `{number}{unit}`")),
            _ => invalid(&usual()),
        });
    };
    if number.is_empty() {
        return Err(invalid(&usual()));
    }
    let too_large = || complaint(Code::InvalidValue, "is too large", "");
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(too_large)
}

fn without_unit<E: de::Error>(number: &str, words: &Words) -> E {
    let unit = match (words.kind, number.parse::<u64>()) {
        ("a size", Ok(bytes)) if bytes >= 1 << 10 => {
            let whole = words.units.iter().rev().find(|(_, factor)| bytes % factor == 0 && factor.is_power_of_two());
            let (unit, count) = whole.map_or(("B", bytes), |(unit, factor)| (unit, bytes / factor));
            return missing_unit(&format!("write `{count}{unit}`, not `{number}`"));
        }
        ("a size", _) => "B",
        _ => "s",
    };
    missing_unit(&format!("write `{number}{unit}`, not `{number}`"))
}

fn missing_unit<E: de::Error>(help: &str) -> E {
    complaint(Code::MissingUnit, "has no unit", help)
}

impl Duration {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        parse(text, &TIME_WORDS).map(|ms| Self(time::Duration::from_millis(ms)))
    }
}

impl ByteSize {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        parse(text, &SIZE_WORDS).map(Self)
    }
}

impl WrittenRate {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        let help = "write a whole number per second, minute or hour, such as `100/s`, `10/m` or `5/h`";
        let invalid = |predicate| complaint(Code::InvalidValue, predicate, help);
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            return Err(missing_unit(&format!("write `{text}/s`, not `{text}`")));
        }
        if text.starts_with('-') {
            return Err(invalid("is negative, and a rate cannot be"));
        }
        let Some((number, period)) = text.split_once('/') else { return Err(invalid("is not a rate")) };
        let seconds = PERIODS.iter().find(|(unit, _)| *unit == period).map(|(_, seconds)| *seconds);
        let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        let (true, Some(seconds)) = (is_number, seconds) else { return Err(invalid("is not a rate")) };
        let Ok(count) = number.parse::<u32>() else { return Err(invalid("is too large a rate")) };
        let count = NonZeroU32::new(count)
            .ok_or_else(|| complaint(Code::InvalidValue, "lets nothing through", "the least is one, such as `1/h`"))?;
        Ok(Self { count, per: time::Duration::from_secs(seconds) })
    }
}

impl Percent {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        let help = "write a percentage from `0%` to `100%`, with four digits after the point at most, such as `5%`";
        let invalid = |predicate| complaint(Code::InvalidValue, predicate, help);
        let Some(number) = text.strip_suffix('%') else {
            let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
            // `0.05` may be meant as a part of one.
            let times =
                if text.starts_with("0.") { ", or a hundred times as much if a part of one is meant" } else { "" };
            let help = format!("write `{text}%`, not `{text}`{times}");
            return Err(if is_number { missing_unit(&help) } else { invalid("is not a part of all") });
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || part.len() > 4 {
            return Err(invalid("is not a part of all"));
        }
        let millionths = format!("{whole}{part:0<4}").parse().unwrap_or(u32::MAX);
        if millionths > 1_000_000 {
            return Err(invalid("is more than all"));
        }
        Ok(Self { millionths })
    }
}

/// Implements `Deserialize` and `JsonSchema` for a quantity that is written as text.
macro_rules! quantity {
    ($type:ident, $expected:literal, $pattern:literal, $example:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $type::parse(text)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        $type::parse(&number.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        $type::parse(&number.to_string())
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        $type::parse(&number.to_string())
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example], "description": $description })
            }
        }
    };
}

quantity!(
    Duration,
    "a duration such as `30s`",
    r"^([0-9]+(ms|s|m|h|d)|.*\$\{.*)$",
    "30s",
    "A length of time with its unit: ms, s, m, h or d."
);
quantity!(
    ByteSize,
    "a size such as `64KiB`",
    r"^([0-9]+([KMGT]i?)?B|.*\$\{.*)$",
    "64KiB",
    "A number of bytes with its unit: B, KiB, MiB, GiB, TiB, or decimal KB, MB, GB, TB."
);
quantity!(
    WrittenRate,
    "a rate such as `100/s`",
    r"^([0-9]+/[smh]|.*\$\{.*)$",
    "100/s",
    "So many per second (`/s`), minute (`/m`) or hour (`/h`)."
);

quantity!(
    Percent,
    "a part of all such as `5%`",
    r"^([0-9]+(\.[0-9]{1,4})?%|.*\$\{.*)$",
    "5%",
    "A part of all, in percent."
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error;

    #[test]
    fn durations_have_one_unit() {
        for (text, ms) in [("2500ms", 2500), ("30s", 30_000), ("5m", 300_000), ("72h", 259_200_000), ("0s", 0)] {
            assert_eq!(Duration::parse::<Error>(text).map(|d| d.0.as_millis()), Ok(ms), "{text}");
        }
        for text in ["", "s", "30", "30 s", "1.5s", "-1s", "1m30s", "30S", "99999999999999999999s", "9999999999999999d"]
        {
            assert!(Duration::parse::<Error>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("64KB", 64_000), ("20GiB", 20 << 30)] {
            assert_eq!(ByteSize::parse::<Error>(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "64", "64K", "64kb", "1.5MiB", "-1MiB", "99999999999TiB"] {
            assert!(ByteSize::parse::<Error>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_a_percentage_up_to_all() {
        for (text, millionths) in
            [("5%", 50_000), ("0.5%", 5000), ("100%", 1_000_000), ("0%", 0), ("0.0001%", 1), ("12.25%", 122_500)]
        {
            assert_eq!(Percent::parse::<Error>(text), Ok(Percent { millionths }), "{text}");
        }
        for text in
            ["", "%", "5", "0.05", "5 %", "-5%", "100.0001%", "101%", "0.00001%", ".5%", "5.%", "99999999999%", "5%%"]
        {
            assert!(Percent::parse::<Error>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_never_zero() {
        let rate = WrittenRate::parse::<Error>("10/m").unwrap();
        assert_eq!((rate.count.get(), rate.per.as_secs()), (10, 60));
        for text in ["", "10", "0/s", "10/", "/s", "10/sec", "1.5/s", "-1/s", "9999999999/s"] {
            assert!(WrittenRate::parse::<Error>(text).is_err(), "{text}");
        }
    }
}
