//! `Retry-After` (RFC 9110 §10.2.3): seconds, or a date in any of the three forms of §5.6.7.
//!
//! Any number of digits and any date are read; a value that does not fit becomes the longest wait, and the policy's
//! `max` cuts the wait. A past date is no wait. Of several values, in one header or in more, the longest counts. A
//! value that cannot be read is reported where no other can be read, never taken for a missing one.

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::civil::{Date, DateTime, Time};

use crate::clock::Timestamp;

/// The most bytes of an unreadable value that are shown.
const SHOWN_MAX: usize = 40;
/// The most years that a date with a year of two digits lies ahead (RFC 9110 §5.6.7).
const YEARS_AHEAD: i16 = 50;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The `Retry-After` of an answer: the wait before the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RetryAfter {
    /// No such header.
    Absent,
    /// A wait from now.
    Wait(Duration),
    /// A value that is neither a number nor a date, cut and without control characters.
    Unreadable(String),
}

/// Reads the header.
pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> RetryAfter {
    let mut longest: Option<Duration> = None;
    let mut unreadable = None;
    for value in headers.get_all(header::RETRY_AFTER) {
        match value.to_str().ok().and_then(|text| wait(text.trim_matches([' ', '\t']), now)) {
            Some(wait) => longest = longest.max(Some(wait)),
            None => unreadable = unreadable.or_else(|| Some(shown(value.as_bytes()))),
        }
    }
    match (longest, unreadable) {
        (Some(wait), _) => RetryAfter::Wait(wait),
        (None, Some(value)) => RetryAfter::Unreadable(value),
        (None, None) => RetryAfter::Absent,
    }
}

fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(date) = date(text, now) {
        return Some(date);
    }
    // The values of several headers may have been joined on the way.
    text.split(',').map(|one| seconds(one.trim_matches([' ', '\t']))).collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // All are digits: a value that cannot be parsed is too large.
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// Returns the time until a date.
fn date(text: &str, now: Timestamp) -> Option<Duration> {
    let parts: Vec<&str> = text.split([' ', '\t']).filter(|part| !part.is_empty()).collect();
    let at = match *parts.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [day, number, month, year, time, "GMT"] if is_day(day.strip_suffix(',')?, 3) => {
            moment(full_year(year)?, month, number, time)?
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [day, dashed, time, "GMT"] if is_day(day.strip_suffix(',')?, usize::MAX) => {
            let [number, month, year] = *dashed.split('-').collect::<Vec<_>>() else { return None };
            short_year(year, now, |year| moment(year, month, number, time))?
        }
        // Sun Nov  6 08:49:37 1994
        [day, month, number, time, year] if is_day(day, 3) => moment(full_year(year)?, month, number, time)?,
        _ => return other_date(text, now),
    };
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let secs = u64::try_from(at.duration_since(epoch).as_secs()).unwrap_or(0);
    Some(Duration::from_secs(secs.saturating_sub(now.unix_secs())))
}

/// Reads dates as mail has them (RFC 5322), with another zone than GMT or without a day of the week.
fn other_date(text: &str, now: Timestamp) -> Option<Duration> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let secs = u64::try_from(date.as_second()).unwrap_or(0);
    Some(Duration::from_secs(secs.saturating_sub(now.unix_secs())))
}

/// Returns whether `text` is a day of the week, written with its first `letters` letters. Any day counts.
fn is_day(text: &str, letters: usize) -> bool {
    DAYS.iter().any(|day| day.get(..letters).unwrap_or(day).eq_ignore_ascii_case(text))
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i8> {
    let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn full_year(text: &str) -> Option<i16> {
    (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Returns the date with the latest year of these last two digits that is at most [`YEARS_AHEAD`] years ahead.
fn short_year(text: &str, now: Timestamp, at: impl Fn(i16) -> Option<DateTime>) -> Option<DateTime> {
    let digits = i16::from(number(text, 2..=2)?);
    let secs = i64::try_from(now.unix_secs()).ok()?;
    let now = jiff::Timestamp::from_second(secs).ok()?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let latest = now.checked_add(jiff::Span::new().years(YEARS_AHEAD)).ok()?;
    let century = latest.year() - latest.year() % 100;
    // The 29th of February exists in some of these years only.
    let possible = [century + digits, century + digits - 100].into_iter().filter_map(at);
    possible.filter(|date| *date <= latest).max()
}

fn moment(year: i16, month: &str, day: &str, time: &str) -> Option<DateTime> {
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let date = Date::new(year, i8::try_from(month + 1).ok()?, number(day, 1..=2)?).ok()?;
    let [hour, minute, second] = *time.split(':').collect::<Vec<_>>() else { return None };
    let second = number(second, 2..=2)?;
    // A leap second is the end of its minute.
    let second = if second == 60 { 59 } else { second };
    let time = Time::new(number(hour, 2..=2)?, number(minute, 2..=2)?, second, 0).ok()?;
    Some(DateTime::from_parts(date, time))
}

/// Returns the value for people: one line, cut.
fn shown(value: &[u8]) -> String {
    let text: String = value.iter().take(SHOWN_MAX).map(|byte| char::from(*byte)).collect();
    let text: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if value.len() > SHOWN_MAX { format!("{text}…") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37, the date of RFC 9110.
    const NOW: u64 = 784_111_777;

    fn read_all(values: &[&str], now: u64) -> RetryAfter {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("retry-after", value.parse().unwrap());
        }
        read(&headers, Timestamp::from_unix_secs(now))
    }

    fn secs(value: &str) -> Option<u64> {
        match read_all(&[value], NOW) {
            RetryAfter::Wait(wait) => Some(wait.as_secs()),
            RetryAfter::Absent | RetryAfter::Unreadable(_) => None,
        }
    }

    #[test]
    fn seconds_are_read_whatever_their_number() {
        for (value, wait) in [("120", 120), ("0", 0), ("007", 7), (" \t30 ", 30), ("18446744073709551615", u64::MAX)] {
            assert_eq!(secs(value), Some(wait), "{value:?}");
        }
        assert_eq!(secs("99999999999999999999999"), Some(u64::MAX), "the larger the wish, the longer the wait");
        assert_eq!(secs(&"9".repeat(5000)), Some(u64::MAX));
    }

    #[test]
    fn a_date_is_read_in_each_form_of_rfc_9110() {
        for value in [
            "Sun, 06 Nov 1994 08:50:37 GMT",
            "Sunday, 06-Nov-94 08:50:37 GMT",
            "Sun Nov  6 08:50:37 1994",
            "Sun Nov 06 08:50:37 1994",
            "sun, 06 nov 1994 08:50:37 GMT",
            "Sun, 06 Nov 1994 09:50:37 +0100",
            "06 Nov 1994 08:50:37 GMT",
            "Mon, 06 Nov 1994 08:50:37 GMT",
        ] {
            assert_eq!(secs(value), Some(60), "{value}");
        }
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:60 GMT"), Some(22), "a leap second");
    }

    #[test]
    fn a_date_that_is_over_is_no_wait_and_a_far_one_is_a_long_one() {
        for value in ["Sun, 06 Nov 1994 08:49:36 GMT", "Sunday, 06-Nov-93 08:50:37 GMT", "Thu Jan  1 00:00:00 1970"] {
            assert_eq!(secs(value), Some(0), "{value}");
        }
        assert_eq!(secs("Wed, 01 Jan 0001 00:00:00 GMT"), Some(0));
        let far = secs("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > 8000 * 365 * 24 * 3600, "{far}");
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        let year = 365 * 24 * 3600;
        // 1994: "44" is 2044, "45" would be 51 years ahead and is 1945.
        assert!((49 * year..51 * year).contains(&secs("Sunday, 06-Nov-44 08:00:00 GMT").unwrap()));
        assert_eq!(secs("Monday, 06-Nov-45 08:00:00 GMT"), Some(0));
        // 2026: "94" is 1994, "70" is 2070.
        let at_2026 = |value| read_all(&[value], 1_796_000_000);
        assert_eq!(at_2026("Sunday, 06-Nov-94 08:49:37 GMT"), RetryAfter::Wait(Duration::ZERO));
        let RetryAfter::Wait(wait) = at_2026("Thursday, 06-Nov-70 08:49:37 GMT") else { panic!() };
        assert!((43 * year..45 * year).contains(&wait.as_secs()));
        // 2099: "05" is six years ahead.
        let RetryAfter::Wait(wait) = read_all(&["Friday, 06-Nov-05 08:49:37 GMT"], 4_080_000_000) else { panic!() };
        assert!((5 * year..7 * year).contains(&wait.as_secs()), "{wait:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for value in [
            "3.5",
            "soon",
            "-1",
            "",
            "1e3",
            "120s",
            "+5",
            "0x10",
            "Sun, 31 Feb 2027 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Nov 6 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "120, soon",
            "२",
            "Sunday, 06-Nov-1994 08:49:37 PST",
        ] {
            let header = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let read = read(&HeaderMap::from_iter([(header::RETRY_AFTER, header)]), Timestamp::from_unix_secs(NOW));
            assert!(matches!(read, RetryAfter::Unreadable(_)), "{value}: {read:?}");
        }
        let long = read_all(&[&"x".repeat(500)], NOW);
        assert_eq!(long, RetryAfter::Unreadable(format!("{}…", "x".repeat(SHOWN_MAX))));
        assert_eq!(read_all(&["a\tb"], NOW), RetryAfter::Unreadable("a?b".into()));
        assert_eq!(read_all(&[], NOW), RetryAfter::Absent);
    }

    #[test]
    fn of_several_values_the_longest_counts() {
        let wait = |secs| RetryAfter::Wait(Duration::from_secs(secs));
        assert_eq!(read_all(&["5", "120"], NOW), wait(120));
        assert_eq!(read_all(&["5, 120"], NOW), wait(120));
        assert_eq!(read_all(&["soon", "5"], NOW), wait(5));
        assert_eq!(read_all(&["5", "Sun, 06 Nov 1994 08:50:37 GMT"], NOW), wait(60));
        assert_eq!(read_all(&["soon", "later"], NOW), RetryAfter::Unreadable("soon".into()));
    }
}
