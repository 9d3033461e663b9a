//! eBay: a header that is JSON in base64 and holds an ECDSA signature over the SHA-1 of the body, and the id of its key.
//!
//! SHA-1 is eBay's choice. The algorithm is pinned here, and the algorithm in the header has to agree. The raw body is
//! verified: eBay's own library verifies the parsed body written anew, and so takes bodies that were changed.

use data_encoding::BASE64;
use serde_json::Value;

use super::detached::{header, text};
use super::{Needs, SecretForm, keys_at};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::object;
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::{KeyFormSpec, KeysSpec, TokenSpec};
use crate::provider::verify::Match;

const HEADER: &str = "x-ebay-signature";
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaSha1;

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::PublicByName, redact: &[HEADER], ..Needs::NOTHING };

/// Returns the place of production's keys; a source for the sandbox has its own `keys:`.
pub(super) fn keys() -> KeysSpec {
    let token = TokenSpec {
        url: "https://api.ebay.com/identity/v1/oauth2/token".to_owned(),
        client_id: "{ctx:client_id}".to_owned(),
        client_secret: "{ctx:client_secret}".to_owned(),
        scope: "https://api.ebay.com/oauth/api_scope".to_owned(),
    };
    KeysSpec {
        form: KeyFormSpec::Pem,
        at: Some("/key".to_owned()),
        token: Some(token),
        ..keys_at("https://api.ebay.com/commerce/notification/v1/public_key/{kid}", &["api.ebay.com"])
    }
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], fetched: Fetched<'_>) -> Result<Match, Failure> {
    let place = MessagePlace::Header(HEADER.to_owned());
    let malformed = |fault| Failure::malformed(place.clone(), fault);
    let written = header(view, HEADER)?.ok_or_else(|| Failure::Missing(place.clone()))?;
    let json = BASE64.decode(text(&written, &place)?.as_bytes()).ok().ok_or_else(|| malformed(PartFault::Encoding))?;
    let json = object(&json).ok_or_else(|| malformed(PartFault::NotJson))?;
    let member = |name: &str| json.get(name).and_then(Value::as_str).ok_or_else(|| malformed(PartFault::NoSignature));
    if !member("alg")?.eq_ignore_ascii_case("ECDSA") || !member("digest")?.eq_ignore_ascii_case("SHA1") {
        return Err(malformed(PartFault::Unexpected));
    }
    let id = member("kid")?;
    let signature =
        BASE64.decode(member("signature")?.as_bytes()).ok().ok_or_else(|| malformed(PartFault::Encoding))?;
    let chosen = fetched.choose(keys, &View { key_id: Some(id.as_bytes()), ..*view })?;
    let body = [MessageBytes::Borrowed(view.message.body)];
    let mut known = false;
    let right = |key: &BlockKey| match key {
        BlockKey::Set(set) => set.named(Some(id), ALGORITHM).any(|key| {
            known = true;
            key.verifies_any(ALGORITHM, &body, std::iter::once(signature.as_slice()))
        }),
        BlockKey::Mac(_) | BlockKey::Plain(_) | BlockKey::Invalid => false,
    };
    let found = chosen.keys.iter().position(right);
    let found = found.ok_or(if known { Failure::WrongSecretOrBody } else { Failure::UnknownKey });
    let found = chosen.settle(found.map(Match::by_secret))?;
    Ok(Match { covers_body: true, ..found })
}
