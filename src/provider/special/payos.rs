//! payOS: an HMAC over the members of `data`, sorted by name and written as `name=value&…`; `null` is written as nothing.
//!
//! Only `data` is signed: members beside it can be changed by anyone, so the body does not count as covered.

use serde_json::Value;

use super::{Needs, SecretForm, first_right};
use crate::provider::failure::{Failure, Fault, Place};
use crate::provider::key::Key;
use crate::provider::mac::{KeyedMac, MacAlgorithm, same};
use crate::provider::message::{Bytes, View};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Text, json: true, ..Needs::NOTHING };

pub(super) fn verify(view: &View<'_>, keys: &[Key]) -> Result<Match, Failure> {
    let place = || Place::Json("/signature".to_owned());
    let member = |name| view.json.and_then(|json| json.get(name));
    let signature = member("signature").and_then(Value::as_str).ok_or_else(|| Failure::Missing(place()))?;
    let signature = Encoding::Hex.decode(signature.as_bytes()).filter(|bytes| bytes.len() == 32);
    let signature = signature.ok_or_else(|| Failure::malformed(place(), Fault::Encoding))?;
    let data = member("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| Failure::Missing(Place::Json("/data".to_owned())))?;
    let mut members: Vec<_> = data.iter().collect();
    members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
    let written: Vec<String> = members.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let signed = written.join("&");
    let pieces = [Bytes::Borrowed(signed.as_bytes())];
    let tag = |secret: &[u8]| KeyedMac::new(MacAlgorithm::Sha256, secret).tag(&pieces);
    let secret = first_right(keys, |secret| same(&tag(secret), &signature))?;
    Ok(Match::by_secret(secret))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text == "null" || text == "undefined" => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
