//! Schemes that data cannot say, one file each: `type: code` with `code: <name>` in a row.
//!
//! A scheme says in its `NEEDS` what it has to be told (secrets, JSON, the public URL, context values) and in `verify`
//! whether a message is right. The laws of the gateway hold here too: headers are read by `single_header` or through the
//! view, secrets are compared by `mac::same`, algorithms are fixed by the scheme, and failures name places and never
//! values. [`Match`] claims no more than was signed.
//!
//! A new scheme is a file, a variant of [`Special`], and an arm in each of the two matches below.

mod atlassian_connect;
mod exact_online;
mod member;
mod moralis;
mod msgraph;
mod payos;
mod paytm;
mod plivo;
#[cfg(test)]
mod tests;
mod treezor;
mod unisender_go;

use schemars::JsonSchema;
use serde::Deserialize;

use super::failure::Failure;
use super::key::Key;
use super::keys::Fetched;
use super::message::View;
use super::scheme::KeysSpec;
use super::verify::Match;
use crate::clock::Timestamp;

/// A scheme in code, by its name in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Special {
    AtlassianConnect,
    ExactOnline,
    Moralis,
    Msgraph,
    Payos,
    Paytm,
    /// The third version of Plivo's signatures.
    Plivo,
    /// The second, which does not cover the body.
    PlivoV2,
    Treezor,
    UnisenderGo,
}

/// What a scheme has to be told before it can verify.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) secrets: SecretForm,
    /// Whether it does without secrets, because its keys are fetched.
    pub(super) secrets_optional: bool,
    /// Whether the body has to be JSON; it is then in `View::json`.
    pub(super) json: bool,
    /// Whether the signed text contains the full URL, which is then in `View::message.url`.
    pub(super) public_url: bool,
    /// Labels of values that the configuration has to give; they are then in `View::context`.
    pub(super) context: &'static [&'static str],
    /// Headers that carry secrets or signatures, in small letters.
    pub(super) redact: &'static [&'static str],
}

/// What the configured secrets are, and what is made of each: one [`Key`] per secret, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretForm {
    /// Bytes as they are: `Key::Plain`.
    Text,
    /// The same, of the sixteen bytes that AES-128 takes.
    Aes128,
    /// A public key in PEM, a certificate in PEM, a JWK or a JWK set: `Key::Set`. A key without an id goes by the name
    /// of its secret.
    Public,
}

impl Special {
    pub(super) fn needs(self) -> Needs {
        match self {
            Self::AtlassianConnect => atlassian_connect::NEEDS,
            Self::ExactOnline => exact_online::NEEDS,
            Self::Moralis => moralis::NEEDS,
            Self::Msgraph => msgraph::NEEDS,
            Self::Payos => payos::NEEDS,
            Self::Paytm => paytm::NEEDS,
            Self::Plivo | Self::PlivoV2 => plivo::NEEDS,
            Self::Treezor => treezor::NEEDS,
            Self::UnisenderGo => unisender_go::NEEDS,
        }
    }

    /// Where its keys are fetched, when the row does not say.
    pub(super) fn keys(self) -> Option<KeysSpec> {
        match self {
            Self::Payos => None,
        }
    }

    /// Judges a message. A key outside its validity is `Key::Invalid` and holds its place.
    pub(super) fn verify(
        self,
        view: &View<'_>,
        keys: &[Key],
        _fetched: Fetched<'_>,
        now: Timestamp,
    ) -> Result<Match, Failure> {
        match self {
            Self::AtlassianConnect => atlassian_connect::verify(view, keys, now),
            Self::ExactOnline => exact_online::verify(view, keys),
            Self::Moralis => moralis::verify(view, keys),
            Self::Msgraph => msgraph::verify(view, keys),
            Self::Payos => payos::verify(view, keys),
            Self::Paytm => paytm::verify(view, keys),
            Self::Plivo => plivo::verify_v3(view, keys),
            Self::PlivoV2 => plivo::verify_v2(view, keys),
            Self::Treezor => treezor::verify(view, keys),
            Self::UnisenderGo => unisender_go::verify(view, keys),
        }
    }
}

/// The first secret for which `is_right` holds. Every one is asked, so that the time does not tell which was near.
pub(super) fn first_right(keys: &[Key], mut is_right: impl FnMut(&[u8]) -> bool) -> Result<usize, Failure> {
    let mut found = None;
    for (position, key) in keys.iter().enumerate() {
        if let Key::Plain(secret) = key
            && is_right(secret)
        {
            found = found.or(Some(position));
        }
    }
    found.ok_or(Failure::WrongSecretOrBody)
}
