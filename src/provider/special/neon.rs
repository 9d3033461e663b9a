//! Neon Auth: a detached JWS (EdDSA) over `<time>.<body in base64url>`, with the key named by a header.
//!
//! The time is in milliseconds and counts five minutes to either side.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::detached::{self, Detached, header, text};
use super::{Needs, SecretForm, keys_at};
use crate::clock::Timestamp;
use crate::provider::block::TimestampForm;
use crate::provider::failure::{Failure, MessagePlace};
use crate::provider::jws::JwsPayload;
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::{KeysSpec, Unit};
use crate::provider::template::Source;
use crate::provider::verify::Match;

const SIGNATURE: Detached =
    Detached { header: "x-neon-signature", algorithm: SignatureAlgorithm::Ed25519, payload: JwsPayload::Beside };
const KEY_HEADER: &str = "x-neon-signature-kid";
const TIME_HEADER: &str = "x-neon-timestamp";

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Public, redact: &[SIGNATURE.header], ..Needs::NOTHING };

pub(super) fn keys() -> KeysSpec {
    keys_at("{ctx:neon_auth_url}/.well-known/jwks.json", &["*"])
}

pub(super) fn verify(
    view: &View<'_>,
    keys: &[BlockKey],
    fetched: Fetched<'_>,
    now: Timestamp,
) -> Result<Match, Failure> {
    let written = SIGNATURE.text(view)?;
    let jws = SIGNATURE.read(text(&written, &SIGNATURE.place())?)?;
    let key_place = MessagePlace::Header(KEY_HEADER.to_owned());
    let id = header(view, KEY_HEADER)?.ok_or_else(|| Failure::Missing(key_place.clone()))?;
    let id = text(&id, &key_place)?;
    let time = TimestampForm {
        at: Source::Header(vec![http::HeaderName::from_static(TIME_HEADER)]),
        unit: Unit::Ms,
        tolerance: Some(Duration::from_mins(5)),
        sdk_window: true,
    };
    let signed_at = time.read(view)?;
    let body = BASE64URL_NOPAD.encode(view.message.body);
    let payload = [signed_at.written, MessageBytes::Borrowed(b"."), MessageBytes::Borrowed(body.as_bytes())];
    let found = detached::verify(&jws, (view, Some(id)), (keys, fetched), &payload)?;
    time.judge(signed_at.at, now)?;
    Ok(Match { signed_at: Some(signed_at.at), ..found })
}
