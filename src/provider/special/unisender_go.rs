//! Unisender Go: `auth` in the body is the MD5 of the body with the API key in the place of `auth`.
//!
//! Source: the provider's page on its callbacks, and PyPI django-anymail 15.2 (`webhooks/unisender_go`). The text of
//! `auth` has to stand in the body once, so that there is one place to put the key into.
//!
//! MD5 lets anyone extend a text whose hash is known, but the longer text is not JSON, which is required. The whole
//! body is covered. There is no time.

use md5::{Digest, Md5};
use serde_json::Value;

use super::{Needs, first_right};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::same;
use crate::provider::message::View;
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { json: true, ..Needs::NOTHING };

const HASH_BYTES: usize = 16;

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let place = || MessagePlace::Json("/auth".to_owned());
    let auth = view.json.and_then(|json| json.get("auth")).and_then(Value::as_str);
    let auth = auth.ok_or_else(|| Failure::Missing(place()))?.as_bytes();
    let signature = Encoding::Hex.decode(auth).filter(|bytes| bytes.len() == HASH_BYTES);
    let signature = signature.ok_or_else(|| Failure::malformed(place(), PartFault::Encoding))?;
    let body = view.message.body;
    let mut starts = body.windows(auth.len()).enumerate().filter(|(_, window)| *window == auth).map(|(start, _)| start);
    let (Some(start), None) = (starts.next(), starts.next()) else {
        return Err(Failure::malformed(place(), PartFault::Repeated));
    };
    let (before, rest) = body.split_at_checked(start).unwrap_or((body, &[]));
    let after = rest.get(auth.len()..).unwrap_or_default();
    let hash = |key: &[u8]| Md5::new_with_prefix(before).chain_update(key).chain_update(after).finalize();
    let secret = first_right(keys, |key| same(&hash(key), &signature))?;
    Ok(Match { mac: Some(signature), covers_body: true, ..Match::by_secret(secret) })
}
