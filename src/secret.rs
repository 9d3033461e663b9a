//! A secret: a name that may be shown and bytes that may not.
//!
//! `Debug` prints the name only and the bytes are wiped on drop. There is no `Display`, no `Serialize`, no comparison:
//! a caller that needs the bytes calls [`Secret::expose`], which is easy to search for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// The name of a secret in logs, metrics and headers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Arc<str>);

impl SecretName {
    /// Creates the name of a secret.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A named secret as the operator configured it; never empty.
#[derive(Clone)]
pub struct Secret {
    name: SecretName,
    value: Zeroizing<Vec<u8>>,
    validity: Validity,
}

/// The time in which a secret is accepted: from the first moment, until before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment at which the secret is no longer accepted.
    pub until: Timestamp,
}

/// The remaining time below which a secret is near its end.
pub const NEAR_END: Duration = Duration::from_hours(14 * 24);

/// A configured secret as it may be listed: its source, its name, and the time in which it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    /// The source.
    pub source: Arc<str>,
    /// The name.
    pub name: SecretName,
    /// The time in which the secret is accepted.
    pub validity: Validity,
}

impl Validity {
    /// The validity of a secret without limits.
    pub const ALWAYS: Self = Self { from: Timestamp::from_unix_ms(0), until: Timestamp::from_unix_ms(u64::MAX) };

    /// Returns whether `now` lies within.
    pub fn holds(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns the first day (UTC), where one is set.
    pub fn first_day(self) -> Option<String> {
        (self.from > Self::ALWAYS.from).then(|| day(self.from))
    }

    /// Returns the last day (UTC), where one is set.
    pub fn last_day(self) -> Option<String> {
        let last = Timestamp::from_unix_ms(self.until.unix_ms().saturating_sub(1));
        self.ends().then(|| day(last))
    }

    /// Returns the whole days that are left, when the end is near.
    pub fn days_left(self, now: Timestamp) -> Option<u64> {
        let left = self.until.since(now);
        (self.holds(now) && left <= NEAR_END).then_some(left.as_secs() / 86_400)
    }

    /// Returns whether an end is set.
    pub fn ends(self) -> bool {
        self.until < Self::ALWAYS.until
    }
}

/// Returns whole days ahead, in words.
pub fn in_days(days: u64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

fn day(at: Timestamp) -> String {
    let mut text = at.to_string();
    text.truncate("2026-12-01".len());
    text
}

impl Secret {
    /// Creates a secret from its bytes. ASCII white space around them is dropped, because a file's last newline is not
    /// part of a key; `None` when nothing is left.
    pub fn new(name: SecretName, value: Vec<u8>) -> Option<Self> {
        let value = Zeroizing::new(value);
        let trimmed = value.trim_ascii();
        (!trimmed.is_empty()).then(|| Self {
            name,
            value: Zeroizing::new(trimmed.to_vec()),
            validity: Validity::ALWAYS,
        })
    }

    /// Returns the secret, accepted within `validity` only.
    #[must_use]
    pub fn valid(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }

    /// Returns the time in which the secret is accepted.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Returns the name, which may be shown.
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns the bytes, which may not be shown.
    pub fn expose(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?}, …)", self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_bytes() {
        let secret = Secret::new(SecretName::new("2026-10"), b"whsec_abc\n".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(\"2026-10\", …)");
        assert_eq!(secret.expose(), b"whsec_abc");
    }

    #[test]
    fn a_validity_names_its_first_and_last_day() {
        assert_eq!((Validity::ALWAYS.first_day(), Validity::ALWAYS.last_day()), (None, None));
        let day = 86_400;
        let october =
            Validity { from: Timestamp::from_unix_secs(20_362 * day), until: Timestamp::from_unix_secs(20_393 * day) };
        let named = (october.first_day(), october.last_day());
        assert_eq!(named, (Some("2025-10-01".into()), Some("2025-10-31".into())));
    }

    #[test]
    fn a_secret_of_white_space_is_no_secret() {
        assert!(Secret::new(SecretName::new("x"), b" \n".to_vec()).is_none());
    }
}
