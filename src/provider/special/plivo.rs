//! Plivo: an HMAC over the URL with its query sorted, the form's fields sorted, and a nonce (V3), or over the URL
//! without its query and a nonce (V2).
//!
//! Source: the provider's SDKs (npm plivo 4.79.0 `utils/v3Security` and `utils/security`, PyPI plivo 4.63.0
//! `utils/signature_v3`), which agree; its pages for the headers. Calls are signed with V3. The pages for messages and
//! for verification speak of V2 only, so V2 is a scheme of its own here (`code: plivo_v2`). V2 is refused where any
//! header of V3 is there, so that nobody can choose the weaker one by leaving out a header of two.
//!
//! V3 covers a form body, as field names and values without separators between them, and decodes the query before it joins
//! it. So borders can be moved between a name and its value, and from the fields into the query: a name of visible
//! characters and a nonce without the signs of URLs leave nothing else. V2 covers neither query nor body.
//! Neither has a time: a repetition is known by the nonce, which is signed. Bodies that are no forms are refused.

use std::borrow::Cow;

use http::HeaderName;

use super::{Needs, first_right};
use crate::provider::border::refuse;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::{KeyedMac, MacAlgorithm, same};
use crate::provider::message::{Message, MessageBytes, View, single_header};
use crate::provider::scheme::Encoding;
use crate::provider::url::query;
use crate::provider::verify::Match;

const V3: HeaderName = HeaderName::from_static("x-plivo-signature-v3");
/// The signature made with the main account's token, also for a sub-account.
const V3_MAIN: HeaderName = HeaderName::from_static("x-plivo-signature-ma-v3");
const V3_NONCE: HeaderName = HeaderName::from_static("x-plivo-signature-v3-nonce");
const V2: HeaderName = HeaderName::from_static("x-plivo-signature-v2");
const V2_MAIN: HeaderName = HeaderName::from_static("x-plivo-signature-ma-v2");
const V2_NONCE: HeaderName = HeaderName::from_static("x-plivo-signature-v2-nonce");
/// The most signatures of one header.
const LISTED_MAX: usize = 16;
const TAG_BYTES: usize = 32;
/// Signs that a nonce never has: the one before it (V3), and those with which a path or query begins (V2 has none).
const SIGNS_OF_URLS: [u8; 5] = *b"./?&#";

pub(super) const NEEDS: Needs = Needs {
    public_url: true,
    redact: &["x-plivo-signature-v3", "x-plivo-signature-ma-v3", "x-plivo-signature-v2", "x-plivo-signature-ma-v2"],
    ..Needs::NOTHING
};

type Pairs<'t> = Vec<(Cow<'t, str>, Cow<'t, str>)>;

pub(super) fn verify_v3(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let message = view.message;
    let signatures = signatures(&message, &[V3, V3_MAIN], ',')?;
    let nonce = nonce(&message, &V3_NONCE)?;
    let (fields, covers_body) = match message.method {
        "GET" => (Pairs::new(), message.body.is_empty()),
        "POST" => (view.form()?.collect::<Pairs<'_>>(), true),
        _ => return Err(Failure::malformed(MessagePlace::Request, PartFault::Unexpected)),
    };
    if !fields.iter().all(|(name, _)| name.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(Failure::malformed(MessagePlace::Body, PartFault::FieldName));
    }
    let text = v3_text(message.url, fields);
    let pieces = [MessageBytes::Borrowed(text.as_bytes()), MessageBytes::Borrowed(b"."), MessageBytes::Borrowed(nonce)];
    let found = compare(&pieces, &signatures, keys)?;
    // The nonce is made for each request, so that the MAC would tell retries apart; without a body it has to tell the URLs.
    let mac = found.mac.filter(|_| message.body.is_empty());
    Ok(Match { mac, covers_body, ..found })
}

pub(super) fn verify_v2(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let message = view.message;
    if [V3, V3_MAIN, V3_NONCE].iter().any(|name| message.headers.contains_key(name)) {
        return Err(Failure::Missing(MessagePlace::Condition));
    }
    let signatures = signatures(&message, &[V2, V2_MAIN], '\n')?;
    let nonce = nonce(&message, &V2_NONCE)?;
    let pieces = [MessageBytes::Borrowed(without_query(message.url).as_bytes()), MessageBytes::Borrowed(nonce)];
    compare(&pieces, &signatures, keys)
}

fn compare(pieces: &[MessageBytes<'_>], signatures: &[Vec<u8>], keys: &[BlockKey]) -> Result<Match, Failure> {
    let mut mac = None;
    let secret = first_right(keys, |secret| {
        let tag = KeyedMac::new(MacAlgorithm::Sha256, secret).tag(pieces);
        let right = signatures.iter().fold(false, |right, signature| right | same(signature, &tag));
        if right && mac.is_none() {
            mac = Some(tag);
        }
        right
    })?;
    Ok(Match { mac, ..Match::by_secret(secret) })
}

/// Returns every readable signature of these headers, one of which has to be there.
fn signatures(message: &Message<'_>, names: &[HeaderName; 2], separator: char) -> Result<Vec<Vec<u8>>, Failure> {
    let [first, _] = names;
    let place = || MessagePlace::Header(first.as_str().to_owned());
    let mut is_there = false;
    let mut signatures = Vec::new();
    for name in names {
        let Some(value) = single_header(message.headers, name)? else { continue };
        is_there = true;
        let listed: Vec<&[u8]> = value.split(|byte| char::from(*byte) == separator).collect();
        if listed.len() > LISTED_MAX {
            return Err(Failure::malformed(place(), PartFault::TooMany));
        }
        let decoded = listed.into_iter().filter_map(|text| Encoding::Base64.decode(text));
        signatures.extend(decoded.filter(|bytes| bytes.len() == TAG_BYTES));
    }
    match (is_there, signatures.is_empty()) {
        (false, _) => Err(Failure::Missing(place())),
        (true, true) => Err(Failure::malformed(place(), PartFault::NoSignature)),
        (true, false) => Ok(signatures),
    }
}

fn nonce<'v>(message: &Message<'v>, name: &HeaderName) -> Result<&'v [u8], Failure> {
    let place = || MessagePlace::Header(name.as_str().to_owned());
    let nonce = single_header(message.headers, name)?.ok_or_else(|| Failure::Missing(place()))?;
    if nonce.is_empty() {
        return Err(Failure::malformed(place(), PartFault::Empty));
    }
    SIGNS_OF_URLS.iter().try_for_each(|sign| refuse(*sign, nonce, place))?;
    Ok(nonce)
}

/// Writes the URL, its query decoded and sorted, and the fields sorted. With fields there is a `?` even without a
/// query.
fn v3_text(url: &str, mut fields: Pairs<'_>) -> String {
    let mut parameters: Pairs<'_> = query(url).collect();
    parameters.sort();
    fields.sort();
    let mut text = without_query(url).to_owned();
    if !parameters.is_empty() || !fields.is_empty() {
        text.push('?');
    }
    let written: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    text.push_str(&written.join("&"));
    if !parameters.is_empty() && !fields.is_empty() {
        text.push('.');
    }
    for (name, value) in &fields {
        text.extend([name.as_ref(), value.as_ref()]);
    }
    text
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::v3_text;

    fn text(url: &str, form: &str) -> String {
        v3_text(url, form_urlencoded::parse(form.as_bytes()).collect())
    }

    /// The texts are what the provider's Node SDK signed for the same input.
    #[test]
    fn the_text_is_the_one_that_the_sdk_signs() {
        assert_eq!(text("https://h.example.com/in/p", "b=2&a=1"), "https://h.example.com/in/p?a1b2");
        assert_eq!(text("https://h.example.com/in/p", ""), "https://h.example.com/in/p");
        assert_eq!(text("https://h.example.com/p?z=1&a=2", "b=2&a=1"), "https://h.example.com/p?a=2&z=1.a1b2");
        assert_eq!(text("https://h.example.com/p?z=1&a=2", ""), "https://h.example.com/p?a=2&z=1");
        let repeated = text("https://h.example.com/p/?z=1&a=2&z=0", "b=2&b=10&b=1");
        assert_eq!(repeated, "https://h.example.com/p/?a=2&z=0&z=1.b1b10b2");
        assert_eq!(text("https://h.example.com", "b=x"), "https://h.example.com?bx");
        assert_eq!(text("https://h.example.com:443/a?", ""), "https://h.example.com:443/a");
        let decoded = text("https://h.example.com:8443/a%20b?q=a%20b+c&u=%C3%A9&q=0&e=&n", "");
        assert_eq!(decoded, "https://h.example.com:8443/a%20b?e=&n=&q=0&q=a b c&u=é");
        assert_eq!(text("https://h.example.com/a?b=1#part", ""), "https://h.example.com/a?b=1");
        assert_eq!(text("https://h.example.com/a?=1&&c=a=b", ""), "https://h.example.com/a?=1&c=a=b");
        assert_eq!(text("https://h.example.com/a", "B=1&a=2&_=3&%C3%A9=4"), "https://h.example.com/a?B1_3a2é4");
    }
}
