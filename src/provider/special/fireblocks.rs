//! Fireblocks: a detached JWS (RS512) over the body; before 2026 a bare RSA-SHA512 signature in another header.
//!
//! If the JWS is there it decides; the old header is read only without the JWS. Both cover the body and nothing else,
//! and neither has a time.

use data_encoding::BASE64;

use super::detached::{self, Detached, header, text};
use super::{Needs, SecretForm, keys_at};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::JwsPayload;
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::KeysSpec;
use crate::provider::verify::Match;

const SIGNATURE: Detached = Detached {
    header: "fireblocks-webhook-signature",
    algorithm: SignatureAlgorithm::RsaSha512,
    payload: JwsPayload::Beside,
};
const OLD_HEADER: &str = "fireblocks-signature";

pub(super) const NEEDS: Needs =
    Needs { secrets: SecretForm::Public, redact: &[SIGNATURE.header, OLD_HEADER], ..Needs::NOTHING };

pub(super) fn keys() -> KeysSpec {
    keys_at("https://keys.fireblocks.io/.well-known/jwks.json", &["keys.fireblocks.io"])
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], fetched: Fetched<'_>) -> Result<Match, Failure> {
    let body = [MessageBytes::Borrowed(view.message.body)];
    if let Some(written) = header(view, SIGNATURE.header)? {
        let place = SIGNATURE.place();
        let jws = SIGNATURE.read(text(&written, &place)?)?;
        return detached::verify(&jws, (view, jws.key_id(&place)?), (keys, fetched), &body);
    }
    let written = header(view, OLD_HEADER)?.ok_or_else(|| Failure::Missing(SIGNATURE.place()))?;
    let place = MessagePlace::Header(OLD_HEADER.to_owned());
    let signature = BASE64.decode(text(&written, &place)?.as_bytes()).ok();
    let signature = signature.ok_or_else(|| Failure::malformed(place, PartFault::Encoding))?;
    let chosen = fetched.choose(keys, view)?;
    let right = |key: &BlockKey| match key {
        BlockKey::Set(set) => set
            .all(SIGNATURE.algorithm)
            .any(|key| key.verifies_any(SIGNATURE.algorithm, &body, std::iter::once(signature.as_slice()))),
        BlockKey::Mac(_) | BlockKey::Plain(_) | BlockKey::Invalid => false,
    };
    let found = chosen.keys.iter().position(right).ok_or(Failure::WrongSecretOrBody);
    let found = chosen.settle(found.map(Match::by_secret))?;
    Ok(Match { covers_body: true, ..found })
}
