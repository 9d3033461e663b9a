//! Exact Online: an HMAC over the text of `Content`, which stands beside it as `HashCode`.
//!
//! Source: the PHP client picqer/exact-php-client (`Webhook/Authenticatable`), and a second table that says the same:
//! the body is `{"Content":…,"HashCode":"…"}` to the letter, and the text between is signed as it stands.
//!
//! The rest of the body is fixed, so the body is covered. There is no time.

use super::{Needs, first_right};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::{KeyedMac, MacAlgorithm, same};
use crate::provider::message::{MessageBytes, View};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { json: true, ..Needs::NOTHING };

const BEFORE: &[u8] = b"{\"Content\":";
const BETWEEN: &[u8] = b",\"HashCode\":\"";
const AFTER: &[u8] = b"\"}";
const HASH_DIGITS: usize = 64;

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let place = || MessagePlace::Json("/HashCode".to_owned());
    let (content, digits) = split(view.message.body).ok_or_else(|| Failure::Missing(place()))?;
    let signature = Encoding::Hex.decode(digits).ok_or_else(|| Failure::malformed(place(), PartFault::Encoding))?;
    let pieces = [MessageBytes::Borrowed(content)];
    let tag = |secret: &[u8]| KeyedMac::new(MacAlgorithm::Sha256, secret).tag(&pieces);
    let secret = first_right(keys, |secret| same(&tag(secret), &signature))?;
    Ok(Match { mac: Some(signature), covers_body: true, ..Match::by_secret(secret) })
}

/// Splits a body into the text of `Content` and the digits of `HashCode`.
fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = body.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(HASH_DIGITS)?)?;
    Some((rest.strip_suffix(BETWEEN)?, digits))
}
