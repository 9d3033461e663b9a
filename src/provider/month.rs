//! A month of a year, in which a fact was read: facts about senders age.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A month: `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// Returns the month of a date.
    pub fn of(date: jiff::civil::Date) -> Self {
        Self { year: date.year(), month: date.month() }
    }

    /// Returns the number of months from it to `now`; negative if it is yet to come.
    pub fn months_before(self, now: Self) -> i32 {
        let count = |month: Self| i32::from(month.year) * 12 + i32::from(month.month);
        count(now) - count(self)
    }

    fn parse(text: &str) -> Option<Self> {
        // The length keeps `2026-1` out, which would not sort.
        let (year, month) = text.split_once('-').filter(|_| text.len() == "2026-11".len())?;
        let year = year.parse().ok().filter(|year| (2020..2100).contains(year))?;
        let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        Some(Self { year, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.year, self.month)
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Month;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a month such as `2026-11`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Month, E> {
                Month::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Month {
    fn schema_name() -> Cow<'static, str> {
        "Month".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^20[2-9][0-9]-(0[1-9]|1[0-2])$", "examples": ["2026-11"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_written_in_full_and_counted_over_years() {
        let month = |text| Month::parse(text).unwrap();
        assert_eq!(month("2026-11").months_before(month("2028-01")), 14);
        assert_eq!(month("2026-11").months_before(month("2026-10")), -1);
        assert_eq!(month("2026-04").to_string(), "2026-04");
        for text in ["2026", "2026-1", "2026-00", "2026-13", "26-11", "2026-11-01", "+026-11", "2026--1", "1999-12"] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
    }
}
