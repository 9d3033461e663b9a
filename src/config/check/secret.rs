//! Secrets: read from the places that the file gives, never shown.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use super::{Checker, Secrets, path};
use crate::clock::Timestamp;
use crate::config::problem::{Code, quoted};
use crate::config::raw::{self, SecretPlace};
use crate::config::spans::Seg;
use crate::secret::{ListedSecret, Secret, SecretName, Validity};

const DAY_SECS: u64 = 86_400;

/// The reason for which a secret could not be read, as the rest of a sentence about its place.
#[derive(Debug)]
enum Unread {
    NotSet,
    NoCredentials,
    NotPlain,
    Unreadable(io::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => f.write_str("is not set"),
            Self::NoCredentials => f.write_str("needs systemd's `LoadCredential=`: CREDENTIALS_DIRECTORY is not set"),
            Self::NotPlain => f.write_str("is not a plain name"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl Checker<'_> {
    /// Reads one secret; a problem names its place, never its text. `None` without a problem where secrets are only
    /// named.
    pub(super) fn secret(&mut self, written: &raw::Secret, fallback: &str, at: &[Seg<'_>]) -> Option<Secret> {
        if self.world.secrets == Secrets::Named {
            return None;
        }
        let (place, read) = match &written.place {
            SecretPlace::Env(name) => {
                let value = (self.world.env)(name);
                (
                    format!("the environment variable {}", quoted(name)),
                    value.map(String::into_bytes).ok_or(Unread::NotSet),
                )
            }
            SecretPlace::File(file) => {
                let path = self.beside(file);
                let read = (self.world.read)(&path).map_err(Unread::Unreadable);
                (format!("the file {}", quoted(&path.display().to_string())), read)
            }
            SecretPlace::Credential(name) => self.credential(name),
        };
        let is_here = read.is_ok();
        let read = match (read, self.world.secrets) {
            (Err(_), Secrets::Instead(text)) => {
                if let [Seg::Key("sources"), Seg::Key(source), ..] = at {
                    self.stood_in_for.insert((*source).to_owned());
                }
                Ok(text.as_bytes().to_vec())
            }
            (read, _) => read,
        };
        match read {
            Err(why) => {
                self.error(Code::UnusableSecret, at, format!("{place} {why}"), None);
                None
            }
            Ok(value) => {
                let name = written.name.as_deref().unwrap_or(fallback);
                let secret = Secret::new(SecretName::new(name), value);
                if let Some(secret) = secret.as_ref().filter(|_| is_here) {
                    self.doubt_secret(at, secret, &place);
                }
                if secret.is_none() {
                    let help = "an empty secret is no secret: anyone could sign with it".to_owned();
                    self.error(Code::UnusableSecret, at, format!("{place} is empty"), Some(help));
                }
                secret
            }
        }
    }

    /// Reads a credential of systemd's `LoadCredential=`.
    fn credential(&self, name: &str) -> (String, Result<Vec<u8>, Unread>) {
        let place = format!("the credential {}", quoted(name));
        let Some(folder) = (self.world.env)("CREDENTIALS_DIRECTORY") else {
            return (place, Err(Unread::NoCredentials));
        };
        if name.contains('/') || name.starts_with('.') {
            return (place, Err(Unread::NotPlain));
        }
        (place, (self.world.read)(&Path::new(&folder).join(name)).map_err(Unread::Unreadable))
    }

    /// Returns the secrets of a source; none when all of them have expired.
    pub(super) fn secrets(&mut self, source: &str, written: &[raw::Secret]) -> Vec<Secret> {
        let listed = written.iter().map(|one| ListedSecret {
            source: Arc::from(source),
            name: SecretName::new(&secret_name(one)),
            validity: validity(one),
        });
        self.listed.extend(listed);
        self.dated(&path!["sources", source, "secrets"], written)
    }

    /// Returns secrets with their validity; none when all of them have expired.
    pub(super) fn dated(&mut self, at_list: &[Seg<'_>], written: &[raw::Secret]) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for (index, one) in written.iter().enumerate() {
            let at = [at_list, &path![index]].concat();
            let name = secret_name(one);
            if written.iter().take(index).any(|before| secret_name(before) == name) {
                let message = format!("two secrets here are called {}", quoted(&name));
                let help = "give each a `name`: logs and metrics tell secrets by it".to_owned();
                self.warning(Code::InvalidName, &at, message, Some(help));
            }
            if let (Some(starts), Some(ends)) = (one.not_before, one.not_after)
                && starts > ends
            {
                let at = [at_list, &path![index, "not_after"]].concat();
                self.error(Code::InvalidValue, &at, "`not_after` is before `not_before`", None);
            }
            let (now, validity) = (self.world.now, validity(one));
            let Some(secret) = self.secret(one, &name, &at) else { continue };
            if now < validity.from {
                self.warning(Code::Unused, &at, format!("the secret `{}` is not valid yet", secret.name()), None);
            } else if validity.until <= now {
                let help = "remove it, or move its `not_after`".to_owned();
                self.warning(
                    Code::Unused,
                    &at,
                    format!("the secret `{}` is no longer valid", secret.name()),
                    Some(help),
                );
            } else if let Some(days) = validity.days_left(now) {
                let days = crate::secret::in_days(days);
                let help = "add the next one beside it; any valid one is accepted".to_owned();
                self.warning(Code::EndsSoon, &at, format!("the secret `{}` ends {days}", secret.name()), Some(help));
            }
            // A secret that is not valid yet is kept, because the gateway may run when it is. An expired one is kept at
            // the end: no request is right under it, and stored requests are judged as of their receipt.
            secrets.push(secret.valid(validity));
        }
        secrets.sort_by_key(|secret| secret.validity().until <= self.world.now);
        if secrets.first().is_some_and(|secret| self.world.now < secret.validity().until) {
            secrets
        } else {
            Vec::new()
        }
    }
}

/// Returns the name of a secret: as the file gives it, or after its place.
pub(super) fn secret_name(secret: &raw::Secret) -> String {
    let place = || match &secret.place {
        SecretPlace::Env(name) | SecretPlace::Credential(name) => name.clone(),
        SecretPlace::File(file) => file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    secret.name.clone().unwrap_or_else(place)
}

fn validity(written: &raw::Secret) -> Validity {
    let from = written.not_before.and_then(|date| midnight(date.0)).unwrap_or(Validity::ALWAYS.from);
    let last_day = written.not_after.and_then(|date| midnight(date.0));
    let until = last_day.map_or(Validity::ALWAYS.until, |day| Timestamp::from_unix_secs(day.unix_secs() + DAY_SECS));
    Validity { from, until }
}

fn midnight(date: jiff::civil::Date) -> Option<Timestamp> {
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok().map(Timestamp::from_unix_secs)
}
