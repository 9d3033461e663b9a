//! Schemes that data cannot say, one file each: `type: code` with `code: <name>` in a row.
//!
//! The `NEEDS` of a scheme are its inputs (secrets, JSON, the public URL, context values), and its `verify` decides
//! whether a message is right. The laws of the gateway hold here too: headers are read by `single_header` or through
//! the view, secrets are compared by `mac::same`, algorithms are fixed by the scheme, and failures name places and
//! never values. [`Match`] claims no more than was signed.
//!
//! A new scheme is a file, a variant of [`Special`], and an arm in each of the three matches below and in
//! `credentials.rs`.

mod alipay;
mod atlassian_connect;
mod aws_sns;
mod detached;
mod ebay;
mod exact_online;
mod fireblocks;
mod member;
mod moralis;
mod msgraph;
mod neon;
mod payos;
mod paytm;
mod plivo;
mod saleor;
#[cfg(test)]
mod tests;
mod treezor;
mod truelayer;
mod unisender_go;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::failure::Failure;
use super::key::BlockKey;
use super::keys::Fetched;
use super::message::View;
use super::scheme::{KeyFormSpec, KeysSpec};
use super::verify::Match;
use super::yaml_forms::OneOrMany;
use crate::clock::Timestamp;

pub use aws_sns::subscribe_url;

/// A scheme in code, by its name in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Special {
    Alipay,
    AtlassianConnect,
    AwsSns,
    Ebay,
    ExactOnline,
    Fireblocks,
    Moralis,
    Msgraph,
    Neon,
    Payos,
    Paytm,
    /// The third version of Plivo's signatures.
    Plivo,
    /// The second version of Plivo's signatures, which does not cover the body.
    PlivoV2,
    Saleor,
    Treezor,
    Truelayer,
    UnisenderGo,
}

/// The inputs that a scheme needs to verify.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) secrets: SecretForm,
    /// True if it works without secrets, also where no keys can be fetched.
    pub(super) secrets_optional: bool,
    /// True if the body has to be JSON; it is then in `View::json`.
    pub(super) json: bool,
    /// True if the signed text contains the full URL, which is then in `View::message.url`.
    pub(super) public_url: bool,
    /// Labels of values that the configuration has to give; they are then in `View::context`.
    pub(super) context: &'static [&'static str],
    /// Headers that carry secrets or signatures, in lower case.
    pub(super) redact: &'static [&'static str],
}

impl SecretForm {
    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::Public | Self::PublicByName)
    }
}

impl Needs {
    /// The least needs, so that a scheme writes only what it needs.
    const NOTHING: Self = Self {
        secrets: SecretForm::Text,
        secrets_optional: false,
        json: false,
        public_url: false,
        context: &[],
        redact: &[],
    };
}

/// Makes the source of a JWK set at one place.
fn keys_at(url: &str, hosts: &[&str]) -> KeysSpec {
    KeysSpec {
        url: url.to_owned(),
        hosts: OneOrMany(hosts.iter().map(|&host| host.to_owned()).collect()),
        ending: None,
        form: KeyFormSpec::Jwks,
        at: None,
        names: Vec::new(),
        post: BTreeMap::new(),
        token: None,
    }
}

/// The form of the configured secrets, and what is made of each: one [`BlockKey`] per secret, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretForm {
    /// Bytes as they are: `Key::Plain`.
    Text,
    /// As `Text`, with the sixteen bytes that AES-128 takes.
    Aes128,
    /// A public key in PEM, a certificate in PEM, a JWK or a JWK set: `Key::Set`. A key without an id answers to any.
    Public,
    /// As `Public`, but a key without an id goes by the name of its secret.
    PublicByName,
}

impl Special {
    pub(super) fn needs(self) -> Needs {
        match self {
            Self::AwsSns => aws_sns::NEEDS,
            Self::Ebay => ebay::NEEDS,
            Self::Fireblocks => fireblocks::NEEDS,
            Self::Neon => neon::NEEDS,
            Self::Payos => payos::NEEDS,
            Self::Saleor => saleor::NEEDS,
            Self::Truelayer => truelayer::NEEDS,
            Self::Alipay => alipay::NEEDS,
            Self::AtlassianConnect => atlassian_connect::NEEDS,
            Self::ExactOnline => exact_online::NEEDS,
            Self::Moralis => moralis::NEEDS,
            Self::Msgraph => msgraph::NEEDS,
            Self::Paytm => paytm::NEEDS,
            Self::Plivo | Self::PlivoV2 => plivo::NEEDS,
            Self::Treezor => treezor::NEEDS,
            Self::UnisenderGo => unisender_go::NEEDS,
        }
    }

    /// Returns the place of its keys, for a row that names none.
    pub(super) fn keys(self) -> Option<KeysSpec> {
        match self {
            Self::AwsSns => Some(aws_sns::keys()),
            Self::Ebay => Some(ebay::keys()),
            Self::Fireblocks => Some(fireblocks::keys()),
            Self::Neon => Some(neon::keys()),
            Self::Saleor => Some(saleor::keys()),
            Self::Truelayer => Some(truelayer::keys()),
            Self::Alipay
            | Self::AtlassianConnect
            | Self::ExactOnline
            | Self::Moralis
            | Self::Msgraph
            | Self::Payos
            | Self::Paytm
            | Self::Plivo
            | Self::PlivoV2
            | Self::Treezor
            | Self::UnisenderGo => None,
        }
    }

    /// Verifies a message. A key outside its validity is `Key::Invalid` and holds its place.
    pub(super) fn verify(
        self,
        view: &View<'_>,
        keys: &[BlockKey],
        fetched: Fetched<'_>,
        now: Timestamp,
    ) -> Result<Match, Failure> {
        match self {
            Self::AwsSns => aws_sns::verify(view, keys, fetched),
            Self::Ebay => ebay::verify(view, keys, fetched),
            Self::Fireblocks => fireblocks::verify(view, keys, fetched),
            Self::Neon => neon::verify(view, keys, fetched, now),
            Self::Payos => payos::verify(view, keys),
            Self::Saleor => saleor::verify(view, keys, fetched),
            Self::Truelayer => truelayer::verify(view, keys, fetched),
            Self::Alipay => alipay::verify(view, keys),
            Self::AtlassianConnect => atlassian_connect::verify(view, keys, now),
            Self::ExactOnline => exact_online::verify(view, keys),
            Self::Moralis => moralis::verify(view, keys),
            Self::Msgraph => msgraph::verify(view, keys),
            Self::Paytm => paytm::verify(view, keys),
            Self::Plivo => plivo::verify_v3(view, keys),
            Self::PlivoV2 => plivo::verify_v2(view, keys),
            Self::Treezor => treezor::verify(view, keys),
            Self::UnisenderGo => unisender_go::verify(view, keys),
        }
    }
}

/// Returns the first secret for which `is_right` holds. Every one is compared, so that the time does not tell which was
/// near.
pub(super) fn first_right(keys: &[BlockKey], mut is_right: impl FnMut(&[u8]) -> bool) -> Result<usize, Failure> {
    let mut found = None;
    for (position, key) in keys.iter().enumerate() {
        if let BlockKey::Plain(secret) = key
            && is_right(secret)
        {
            found = found.or(Some(position));
        }
    }
    found.ok_or(Failure::WrongSecretOrBody)
}
