//! Saleor: a detached JWS (RS256) over the body as it is (`b64: false`), with the keys of the shop itself.
//!
//! Not here: the HMAC of apps that were installed before 2022, whose secret Saleor no longer gives out.

use super::detached::{self, Detached, text};
use super::{Needs, SecretForm, keys_at};
use crate::provider::failure::Failure;
use crate::provider::jws::JwsPayload;
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::KeysSpec;
use crate::provider::verify::Match;

const SIGNATURE: Detached = Detached {
    header: "saleor-signature",
    algorithm: SignatureAlgorithm::RsaSha256,
    payload: JwsPayload::BesideOrPlain,
};

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Public, redact: &[SIGNATURE.header], ..Needs::NOTHING };

/// Returns the place of the shop's keys. The domain is the operator's choice, so that any host is right.
pub(super) fn keys() -> KeysSpec {
    keys_at("https://{ctx:domain}/.well-known/jwks.json", &["*"])
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], fetched: Fetched<'_>) -> Result<Match, Failure> {
    let place = SIGNATURE.place();
    let written = SIGNATURE.text(view)?;
    let jws = SIGNATURE.read(text(&written, &place)?)?;
    let body = [MessageBytes::Borrowed(view.message.body)];
    detached::verify(&jws, (view, jws.key_id(&place)?), (keys, fetched), &body)
}
