//! The numbers of a body as they are written.
//!
//! A number keeps its text: digits, zeros at the end, sign of a zero, the letter of an exponent. serde_json hands out the
//! text of every number beyond a 64-bit integer, but writes each exponent in its own way (`1E5` as `1e+5`), so those are
//! looked up in the body.
//!
//! Numbers that other readers could not read are refused: those that fit no `f64`, and those that would cost a reader
//! of exact numbers more than their length.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Visitor};
use serde_json::{Number, Value};

use super::keys::MemberKey;

/// Longest number.
pub const NUMBER_BYTES_MAX: usize = 1024;
/// Longest exponent, in digits.
const EXPONENT_DIGITS_MAX: usize = 3;
/// The longest number without an exponent, in bytes, that surely fits an `f64`, whose largest has 309 digits.
const SURELY_IN_RANGE_BYTES: usize = 300;

/// The numbers with an exponent, as they are written, in the order in which the body is read.
#[derive(Debug)]
pub(super) struct ExponentNumbers<'a> {
    body: &'a str,
    /// The byte after the last number that was looked up.
    at: Cell<usize>,
}

impl<'a> ExponentNumbers<'a> {
    pub(super) fn of(body: &'a str) -> Self {
        Self { body, at: Cell::new(0) }
    }

    /// Returns the text of the number that serde_json read as `read`; `None` if the number is out of range. Called for
    /// every number in turn.
    pub(super) fn written(&self, read: String) -> Option<Cow<'a, str>> {
        let text = match exponent(&read) {
            Some(_) => Cow::Borrowed(self.next_with_exponent()?),
            None => Cow::Owned(read),
        };
        is_in_range(&text).then_some(text)
    }

    fn next_with_exponent(&self) -> Option<&'a str> {
        loop {
            let rest = self.body.get(self.at.get()..)?;
            let start = rest.find(|letter: char| matches!(letter, '"' | '-') || letter.is_ascii_digit())?;
            let found = rest.get(start..)?;
            let length = if found.starts_with('"') { text_length(found) } else { number_length(found) };
            self.at.set(self.at.get() + start + length);
            let number = found.get(..length).filter(|found| !found.starts_with('"'));
            if let Some(number) = number.filter(|number| exponent(number).is_some()) {
                return Some(number);
            }
        }
    }
}

/// Returns the length of the text at the start, with its quotes.
fn text_length(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().enumerate().skip(1).find(|(_, byte)| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |(at, _)| at + 1)
}

fn number_length(json: &str) -> usize {
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '-' | '.' | 'e' | 'E');
    json.find(|letter| !is_part(letter)).unwrap_or(json.len())
}

/// Returns the text after the letter of the exponent; `None` for a number without an exponent.
fn exponent(number: &str) -> Option<&str> {
    number.split_once(['e', 'E']).map(|(_, exponent)| exponent)
}

fn is_in_range(number: &str) -> bool {
    let exponent = exponent(number);
    let is_short = |exponent: &str| {
        let digits = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
        digits.len() <= EXPONENT_DIGITS_MAX
    };
    number.len() <= NUMBER_BYTES_MAX
        && exponent.is_none_or(is_short)
        && ((exponent.is_none() && number.len() <= SURELY_IN_RANGE_BYTES)
            || number.parse().is_ok_and(|number: f64| number.is_finite()))
}

/// Makes the number that is written so.
pub(super) fn number(text: Cow<'_, str>) -> Value {
    // The public ways to make a number write the exponent anew.
    Value::Number(Number::from_string_unchecked(text.into_owned()))
}

/// The first key of a map of serde_json, which gives a number beyond a 64-bit integer as a map with one key of its own.
/// That key is not a key of the body, and is not handed out as an optional one; a sender who writes the same key has
/// written an object.
pub(super) enum First<'a> {
    Number,
    Key(Cow<'a, str>),
}

/// The reader of a [`First`].
pub(super) struct FirstKey;

impl<'de> DeserializeSeed<'de> for FirstKey {
    type Value = First<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<First<'de>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FirstKey {
    type Value = First<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<First<'de>, D::Error> {
        MemberKey::deserialize(deserializer).map(|MemberKey(key)| First::Key(key))
    }

    fn visit_str<E>(self, _: &str) -> Result<First<'de>, E> {
        Ok(First::Number)
    }
}
