//! Settings that a source takes from its provider's row beside the signature: handshakes with their token, arming, the
//! file for a captured secret, and the provider's patience.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Checker, Secrets, path};
use crate::budget::Patience;
use crate::clock::Timestamp;
use crate::config::problem::Code;
use crate::config::raw;
use crate::provider::{self, Handshake, Handshakes, Row};
use crate::secret::{ListedSecret, Secret, SecretName};

/// The name of a secret that a provider handed over.
const CAPTURED: &str = "captured";

impl Checker<'_> {
    /// Returns the handshakes of a source.
    pub(super) fn handshakes(
        &mut self,
        (name, written): (&str, &raw::Source),
        row: Option<&Row>,
        secrets: &[Secret],
        context: &BTreeMap<String, String>,
    ) -> Handshakes {
        let handshakes = row.map_or(&[][..], Row::handshakes);
        let own = written.handshake.as_ref();
        if let Some(token) = own.and_then(|own| own.token.as_ref())
            && !handshakes.iter().any(Handshake::has_token)
        {
            let at = path!["sources", name, "handshake", "token"];
            let secret = super::secret::secret_name(token);
            self.warning(Code::Unused, &at, format!("no handshake of this source compares `{secret}`"), None);
        }
        let token = own
            .and_then(|own| own.token.as_ref())
            .and_then(|token| self.secret(token, "handshake", &path!["sources", name, "handshake", "token"]));
        let armed_until = own
            .and_then(|own| own.armed_until)
            .map(|until| Timestamp::from_unix_ms(u64::try_from(until.0.as_millisecond()).unwrap_or(0)));
        for (label, because) in row.iter().flat_map(|row| row.context()) {
            let is_given = context.get(label).is_some_and(|value| !value.trim().is_empty());
            if !is_given && !self.spans.is_broken(&path!["sources", name, "context"]) {
                let help = format!("add `context: {{{label}: …}}`, or `{label}: \"*\"` to take every one");
                let message = format!("`{label}` is not given: {because}");
                self.error(Code::MissingKey, &path!["sources", name, "provider"], message, Some(help));
            }
        }
        if armed_until.is_some() {
            self.arming(name, handshakes, armed_until);
        }
        let capture_to = own.and_then(|own| own.capture_to.as_ref()).map(|file| self.beside(file));
        Handshakes {
            all: handshakes.to_vec(),
            secrets: secrets.to_vec(),
            token,
            context: self.context_of_handshakes(written, context),
            armed_until,
            capture_to,
        }
    }

    /// Returns the configured values, and `endpoint`: the URL as the provider has it.
    fn context_of_handshakes(
        &self,
        written: &raw::Source,
        context: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut context = context.clone();
        if let Some(base) = written.public_url.as_ref().or(self.raw.server.public_url.as_ref()) {
            let url = crate::source::signed_url(base.as_str(), &written.path);
            context.entry("endpoint".to_owned()).or_insert(url);
        }
        context
    }

    /// Returns the values that the provider's scheme needs beside the secrets, by the names that rows use.
    pub(super) fn context(&mut self, name: &str, written: &raw::Source) -> BTreeMap<String, String> {
        let mut context = BTreeMap::new();
        for (label, value) in &written.context {
            let at = path!["sources", name, "context", label];
            let value = match value {
                raw::ContextValue::Text(text) => Some(text.clone()),
                raw::ContextValue::Secret(secret) => {
                    let secret = self.secret(secret, label, &at);
                    let text = secret.as_ref().map(|secret| String::from_utf8(secret.expose().to_vec()));
                    if let Some(Err(_)) = text {
                        self.error(Code::UnusableSecret, &at, "this secret is not text", None);
                    }
                    text.and_then(Result::ok)
                }
            };
            // An unreadable value has been reported, and is not reported as missing too.
            context.insert(provider::context_label(label), value.unwrap_or_else(|| "?".to_owned()));
        }
        context
    }

    fn arming(&mut self, name: &str, handshakes: &[Handshake], until: Option<Timestamp>) {
        let at = path!["sources", name, "handshake", "armed_until"];
        if !handshakes.iter().any(Handshake::needs_arming) {
            self.warning(Code::Unused, &at, "no handshake of this source waits to be armed", None);
        } else if until.is_some_and(|until| until <= self.world.now) {
            let help = "take the line away, or move it ahead while you register the webhook".to_owned();
            self.warning(Code::Unused, &at, "this moment has passed, and the source is not armed", Some(help));
        }
    }

    /// Adds the secret that the provider has handed over, if there is one. Returns whether the source waits for a
    /// secret.
    pub(super) fn captured(
        &mut self,
        source: &str,
        written: &raw::Source,
        row: Option<&Row>,
        secrets: &mut Vec<Secret>,
    ) -> bool {
        let Some(file) = written.handshake.as_ref().and_then(|own| own.capture_to.as_ref()) else { return false };
        let at = path!["sources", source, "handshake", "capture_to"];
        if !row.is_some_and(|row| row.handshakes().iter().any(Handshake::captures)) {
            self.warning(Code::Unused, &at, "this provider hands over no secret", None);
            return false;
        }
        if self.world.secrets == Secrets::Named {
            return secrets.is_empty();
        }
        let path = self.beside(file);
        match (self.world.read)(&path) {
            Ok(value) => {
                let secret = Secret::new(SecretName::new(CAPTURED), value);
                if secret.is_none() {
                    let help = "remove it to have the secret handed over again".to_owned();
                    self.error(Code::UnusableSecret, &at, "the file is empty", Some(help));
                }
                if let Some(secret) = &secret {
                    self.doubt_secret(&at, secret, "handed over by the provider");
                    let (name, validity) = (secret.name().clone(), secret.validity());
                    self.listed.push(ListedSecret { source: Arc::from(source), name, validity });
                }
                secrets.extend(secret);
                false
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && secrets.is_empty() => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => {
                self.error(Code::UnusableSecret, &at, format!("the file cannot be read: {error}"), None);
                false
            }
        }
    }
}

/// Returns the provider's patience by its row.
pub(super) fn patience(written: &raw::Source, row: Option<&Row>) -> Patience {
    Patience {
        limits: row.map_or_else(Vec::new, |row| row.disable().to_vec()),
        time: row.and_then(Row::budget).and_then(provider::Budget::total),
        brake: written.failure_brake.unwrap_or(true),
    }
}
