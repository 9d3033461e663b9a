//! TrueLayer: a detached JWS (ES512) over `<METHOD> <path>`, the headers that the signature names, and the body.
//!
//! The signature may name the place of its keys (`jku`); it is never followed, but must be TrueLayer's own. The path is
//! tried with and without a trailing slash, as TrueLayer's libraries do, because proxies add and take it.

use http::HeaderName;
use serde_json::Value;

use super::detached::{self, Detached, text};
use super::{Needs, SecretForm, keys_at};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::{Jws, JwsPayload};
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View, single_header};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::KeysSpec;
use crate::provider::url::path_and_query;
use crate::provider::verify::Match;

const SIGNATURE: Detached =
    Detached { header: "tl-signature", algorithm: SignatureAlgorithm::Es512, payload: JwsPayload::Beside };
/// The most headers that a signature may name.
const HEADERS_MAX: usize = 64;
const PLACES: [&str; 2] =
    ["https://webhooks.truelayer.com/.well-known/jwks", "https://webhooks.truelayer-sandbox.com/.well-known/jwks"];

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Public, redact: &[SIGNATURE.header], ..Needs::NOTHING };

/// Returns the place of production's keys; a source for the sandbox has its own `keys:`.
pub(super) fn keys() -> KeysSpec {
    keys_at(PLACES[0], &["webhooks.truelayer.com"])
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], fetched: Fetched<'_>) -> Result<Match, Failure> {
    let place = SIGNATURE.place();
    let malformed = |fault| Failure::malformed(place.clone(), fault);
    let written = SIGNATURE.text(view)?;
    let jws = SIGNATURE.read(text(&written, &place)?)?;
    let named = |name: &str| jws.header.get(name).and_then(Value::as_str);
    // Version 1 signs the body alone.
    if named("tl_version") != Some("2") {
        return Err(malformed(PartFault::Unexpected));
    }
    if jws.header.contains_key("jku") && !named("jku").is_some_and(|place| PLACES.contains(&place)) {
        return Err(malformed(PartFault::ForeignUrl));
    }
    let id = jws.key_id(&place)?.ok_or_else(|| malformed(PartFault::Unexpected))?;
    let headers = headers(view, &jws, &place)?;
    let path = path_and_query(view.message.url);
    let bare = path.split('?').next().unwrap_or(path);
    let other = bare.strip_suffix('/').map_or_else(|| format!("{bare}/"), str::to_owned);
    let mut outcome = Err(Failure::WrongSecretOrBody);
    for path in [bare, &other, path] {
        let line = format!("{} {path}\n", view.message.method);
        let mut payload = vec![MessageBytes::Borrowed(line.as_bytes())];
        payload.extend(headers.iter().cloned());
        payload.push(MessageBytes::Borrowed(view.message.body));
        outcome = detached::verify(&jws, (view, Some(id)), (keys, fetched), &payload);
        if !matches!(outcome, Err(Failure::WrongSecretOrBody)) {
            break;
        }
    }
    outcome
}

/// Returns the lines of the headers that the signature names, in its order and spelling; a name counts once.
fn headers<'v>(view: &View<'v>, jws: &Jws<'_>, place: &MessagePlace) -> Result<Vec<MessageBytes<'v>>, Failure> {
    let malformed = || Failure::malformed(place.clone(), PartFault::Unexpected);
    let list = match jws.header.get("tl_headers") {
        None => "",
        Some(Value::String(list)) => list,
        Some(_) => return Err(malformed()),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        if !names.iter().any(|seen| seen.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    if names.len() > HEADERS_MAX {
        return Err(Failure::malformed(place.clone(), PartFault::TooMany));
    }
    let mut lines = Vec::with_capacity(names.len());
    for name in names {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().ok_or_else(malformed)?;
        let value = single_header(view.message.headers, &header)?;
        let value = value.ok_or_else(|| Failure::Missing(MessagePlace::Header(header.as_str().to_owned())))?;
        lines.push(MessageBytes::Owned([name.as_bytes(), b": ", value, b"\n"].concat()));
    }
    Ok(lines)
}
