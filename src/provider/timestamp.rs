//! The moment at which a message was signed, and its distance from now.
//!
//! Invariants: digits are plain ASCII digits without sign, leading zero or blanks, at most twenty; dates carry their
//! zone; the window is symmetric, because a signature dated ahead could be replayed until its time comes.

use std::time::Duration;

use super::block::TimestampForm;
use super::failure::{Failure, PartFault};
use super::message::{MessageBytes, View, text};
use super::scheme::Unit;
use crate::clock::Timestamp;

const DIGITS_MAX: usize = 20;
/// The number from which `auto` reads milliseconds: as seconds it would be the year 5138.
const AUTO_MS_FROM: u64 = 100_000_000_000;

/// A moment of signing: its text, and its meaning.
pub(super) struct SignedAt<'v> {
    pub(super) written: MessageBytes<'v>,
    pub(super) at: Timestamp,
}

impl TimestampForm {
    /// Reads the time: its text, and its meaning.
    pub(super) fn read<'v>(&self, view: &View<'v>) -> Result<SignedAt<'v>, Failure> {
        let written = view.value(&self.at)?.ok_or_else(|| Failure::Missing(self.at.place()))?;
        let at = self.unit.parse(text(&written, &self.at)?);
        let at = at.ok_or_else(|| Failure::malformed(self.at.place(), PartFault::NotATime))?;
        Ok(SignedAt { written, at })
    }

    /// Checks that the time lies in the window around `now`.
    pub(super) fn judge(&self, signed_at: Timestamp, now: Timestamp) -> Result<(), Failure> {
        let Some(tolerance) = self.tolerance else { return Ok(()) };
        let beyond = |distance: Duration| distance.checked_sub(tolerance).filter(|by| !by.is_zero());
        if let Some(by) = beyond(now.since(signed_at)) {
            return Err(Failure::TooOld { by });
        }
        match beyond(signed_at.since(now)) {
            Some(by) => Err(Failure::InFuture { by }),
            None => Ok(()),
        }
    }
}

impl Unit {
    /// Returns whether the unit is a date, whose format tells where the date ends.
    pub(super) fn is_date(self) -> bool {
        match self {
            Self::S | Self::Ms | Self::Auto => false,
            Self::Rfc3339 | Self::Rfc3339Utc | Self::HttpDate => true,
        }
    }

    pub(super) fn parse(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::S => digits(text)?.checked_mul(1000).map(Timestamp::from_unix_ms),
            Self::Ms => digits(text).map(Timestamp::from_unix_ms),
            Self::Auto if digits(text)? >= AUTO_MS_FROM => Self::Ms.parse(text),
            Self::Auto => Self::S.parse(text),
            Self::Rfc3339 => rfc3339(text),
            Self::Rfc3339Utc if text.ends_with(|last: char| last.is_ascii_digit()) => rfc3339(&format!("{text}Z")),
            Self::Rfc3339Utc => None,
            Self::HttpDate => http_date(text),
        }
    }

    /// Writes `now`; a provider that allows both units is sent seconds.
    pub(super) fn write(self, now: Timestamp) -> Option<String> {
        Some(match self {
            Self::S | Self::Auto => now.unix_secs().to_string(),
            Self::Ms => now.unix_ms().to_string(),
            Self::Rfc3339 => now.to_string(),
            Self::Rfc3339Utc => now.to_string().trim_end_matches('Z').to_owned(),
            Self::HttpDate => {
                let seconds = i64::try_from(now.unix_secs()).ok()?;
                jiff::Timestamp::from_second(seconds).ok()?.strftime(HTTP_DATE).to_string()
            }
        })
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if plain && !padded { text.parse().ok() } else { None }
}

/// Parses `2025-10-09T08:53:20.123Z`, or an offset such as `+02:00` for `Z`.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let shape = text.bytes().enumerate().all(|(position, byte)| match position {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        0..=18 => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || b".Z+-:".contains(&byte),
    });
    // The zone is complete, so that no date is the beginning of another: the text signed behind a date begins at its
    // end.
    let is_zone = |zone: &str| match zone.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', _, _] => hours.len() == 2,
        _ => false,
    };
    let zone =
        text.get(19..).map(|rest| rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit()));
    if !shape || !zone.is_some_and(is_zone) {
        return None;
    }
    from_jiff(text.parse().ok()?)
}

const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Parses `Thu, 09 Oct 2025 08:53:20 GMT`, written exactly so.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::civil::DateTime::strptime(HTTP_DATE, text).ok()?;
    let at = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    if at.strftime(HTTP_DATE).to_string() == text { from_jiff(at) } else { None }
}

fn from_jiff(at: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_unix_ms)
}
