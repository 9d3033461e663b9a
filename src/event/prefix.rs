//! An event's id as people write it: whole, or its beginning.

use std::fmt;
use std::str::FromStr;

use super::EventId;

/// The digits that a beginning has at least.
const DIGITS_MIN: usize = 4;
/// The digits of a whole id.
const DIGITS: usize = 32;
/// The lengths of the groups of digits, between which a hyphen stands.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// A whole id or its beginning: four hexadecimal digits or more, with the hyphens of an id or without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    /// Lower-case, without hyphens.
    digits: String,
}

/// The text is no id and no beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no event id: one looks like 0199f3a1-7c2e-7d40-8a51-3b6c9e0d4f12, and its beginning of at least {DIGITS_MIN} \
             characters is enough where no other id begins so"
        )
    }
}

impl std::error::Error for NotAnId {}

impl FromStr for IdPrefix {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let text = text.to_ascii_lowercase();
        let digits = text.replace('-', "");
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(DIGITS_MIN..=DIGITS).contains(&digits.len()) {
            return Err(NotAnId);
        }
        let is_written_so = text == digits || grouped(&digits, true).starts_with(&text);
        is_written_so.then_some(Self { digits }).ok_or(NotAnId)
    }
}

/// Digits with the hyphens of an id; after a whole group the hyphen is there when `is_open`.
fn grouped(digits: &str, is_open: bool) -> String {
    let (mut rest, mut text) = (digits, String::new());
    for (at, group) in GROUPS.into_iter().enumerate() {
        let (this, behind) = rest.split_at(group.min(rest.len()));
        text.push_str(this);
        rest = behind;
        let has_more = !rest.is_empty() || (is_open && this.len() == group);
        if has_more && at + 1 < GROUPS.len() {
            text.push('-');
        }
    }
    text
}

/// As an id is written.
impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&grouped(&self.digits, false))
    }
}

impl EventId {
    /// Returns the id that these bytes are; `None` when they are not sixteen.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl IdPrefix {
    /// Returns the id, where the text has all of it.
    pub fn whole(&self) -> Option<EventId> {
        EventId::parse(&self.digits).filter(|_| self.digits.len() == DIGITS)
    }

    /// Tells whether the id begins so.
    pub fn fits(&self, id: EventId) -> bool {
        let (first, last) = self.bounds();
        (first..=last).contains(&id)
    }

    /// Returns the first and the last id that begin so.
    pub fn bounds(&self) -> (EventId, EventId) {
        let filled = |digit: char| {
            let text: String = self.digits.chars().chain(std::iter::repeat(digit)).take(DIGITS).collect();
            EventId::parse(&text).unwrap_or(EventId::NIL)
        };
        (filled('0'), filled('f'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199f3a1-7c2e-7d40-8a51-3b6c9e0d4f12";

    #[test]
    fn every_beginning_of_an_id_is_one_with_hyphens_or_without() {
        let id = EventId::parse(ID).unwrap();
        for text in [ID.to_owned(), ID.to_uppercase(), ID.replace('-', "")] {
            for end in 4..=text.len() {
                let beginning = text.get(..end).unwrap();
                let prefix: IdPrefix = beginning.parse().unwrap();
                assert!(prefix.fits(id), "{beginning}");
                assert!(ID.starts_with(&prefix.to_string()), "{prefix}");
                let digits = beginning.replace('-', "").len();
                assert_eq!(prefix.whole(), (digits == 32).then_some(id), "{prefix}");
            }
        }
        let other: IdPrefix = "0199f3a2".parse().unwrap();
        assert!(!other.fits(id) && other.whole().is_none());
    }

    #[test]
    fn what_is_no_id_is_told_what_one_looks_like() {
        let long = "a".repeat(33);
        for text in
            ["", "foo", "--", "----", "019", "0199-f3a1", "-0199", "0199f3a17-c2e", &long, "0199f3a1-7c2e-", "häää"]
        {
            let prefix = text.parse::<IdPrefix>();
            assert_eq!(prefix.is_err(), text != "0199f3a1-7c2e-", "{text}");
        }
        assert!(NotAnId.to_string().contains(ID));
    }
}
