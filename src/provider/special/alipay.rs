//! Alipay's Antom: RSA over method, path, client, time and body; the signature stands escaped in a header of pairs.
//!
//! Source: the provider's page on signatures and its SDK (`global-open-sdk-java`, `WebhookTool` and `SignatureTool`):
//! `POST <path and query>`, a new line, `<client-id>.<request-time>.<body>`, SHA-256 with RSA, base64, and that escaped as
//! in a URL: `signature: algorithm=RSA256,keyVersion=1,signature=…`.
//!
//! A client or a time with the point that separates them is refused, but for the fraction of a date.
//!
//! The algorithm is fixed, whatever the header says. The whole body is covered. The time is signed and has no window,
//! because the SDK has none and no source tells whether a retry is signed anew.

use http::HeaderName;

use super::{Needs, SecretForm};
use crate::provider::border::refuse;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::message::{Message, MessageBytes, View, single_header};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::{Encoding, Unit};
use crate::provider::url::path_and_query;
use crate::provider::verify::Match;

const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const CLIENT: HeaderName = HeaderName::from_static("client-id");
const TIME: HeaderName = HeaderName::from_static("request-time");

pub(super) const NEEDS: Needs =
    Needs { secrets: SecretForm::Public, public_url: true, redact: &["signature"], ..Needs::NOTHING };

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let message = view.message;
    let signature = signature(header(&message, &SIGNATURE)?)?;
    let (client, time) = (header(&message, &CLIENT)?, header(&message, &TIME)?);
    let signed_at =
        std::str::from_utf8(time).ok().and_then(|time| Unit::Rfc3339.parse(time).or_else(|| Unit::Ms.parse(time)));
    refuse(b'.', client, || MessagePlace::Header(CLIENT.as_str().to_owned()))?;
    // The fraction of a date may have a point, and the date ends by itself.
    if signed_at.is_none() {
        refuse(b'.', time, || MessagePlace::Header(TIME.as_str().to_owned()))?;
    }
    let pieces = [
        message.method.as_bytes(),
        b" ",
        path_and_query(message.url).as_bytes(),
        b"\n",
        client,
        b".",
        time,
        b".",
        message.body,
    ]
    .map(MessageBytes::Borrowed);
    let is_right = |key: &BlockKey| {
        let BlockKey::Set(set) = key else { return false };
        let algorithm = SignatureAlgorithm::RsaSha256;
        set.all(algorithm).any(|key| key.verifies_any(algorithm, &pieces, std::iter::once(signature.as_slice())))
    };
    let secret = keys.iter().position(is_right).ok_or(Failure::WrongSecretOrBody)?;
    Ok(Match { signed_at, covers_body: true, ..Match::by_secret(secret) })
}

fn header<'v>(message: &Message<'v>, name: &HeaderName) -> Result<&'v [u8], Failure> {
    let place = || MessagePlace::Header(name.as_str().to_owned());
    let value = single_header(message.headers, name)?.ok_or_else(|| Failure::Missing(place()))?;
    if value.is_empty() { Err(Failure::malformed(place(), PartFault::Empty)) } else { Ok(value) }
}

/// Returns the bytes of the one element `signature`.
fn signature(value: &[u8]) -> Result<Vec<u8>, Failure> {
    let malformed = |fault| Failure::malformed(MessagePlace::Header(SIGNATURE.as_str().to_owned()), fault);
    let named = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut named = named.filter_map(|element| element.strip_prefix(b"signature="));
    let (Some(escaped), None) = (named.next(), named.next()) else { return Err(malformed(PartFault::NoSignature)) };
    let text = unescaped(escaped).ok_or_else(|| malformed(PartFault::Encoding))?;
    let bytes = Encoding::Base64.decode(&text).ok_or_else(|| malformed(PartFault::Encoding))?;
    if bytes.is_empty() { Err(malformed(PartFault::Empty)) } else { Ok(bytes) }
}

/// Returns the text without the escapes of a URL.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            out.extend(Encoding::Hex.decode(digits)?);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    Some(out)
}
