//! Apps of Atlassian Connect: a JWT (HS256) whose claim `qsh` is the SHA-256 of method, path and query.
//!
//! Source: npm atlassian-jwt 2.0.3 (`decodeSymmetric`, `createQueryStringHash`) and the provider's page on JWT. The
//! algorithm is HS256 whatever the token says, and a token that says otherwise is refused; so is `context-qsh`, which
//! stands for any request. `exp` is required and holds to the second, because the provider gives three minutes anyway;
//! `iat` may lie a minute ahead, for a clock that is behind.
//!
//! The path is signed as it follows the app's base URL, which is not known here: it may be any leading part of the path
//! at a `/`. The body is not covered. A repetition within the life of a token is not known here.

use std::time::Duration;

use data_encoding::HEXLOWER;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Needs;
use crate::clock::Timestamp;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::{Jws, JwsAlgorithm, JwsPayload};
use crate::provider::key::BlockKey;
use crate::provider::mac::{MacAlgorithm, same};
use crate::provider::message::{Message, View, single_header};
use crate::provider::url::{path_and_query, query};
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { public_url: true, redact: &["authorization"], ..Needs::NOTHING };

const AHEAD: Duration = Duration::from_mins(1);
/// The most base URLs that are tried.
const BASES_MAX: usize = 32;

/// The claims of a token; a claim that is there twice is an error.
#[derive(Deserialize)]
struct Claims {
    qsh: String,
    exp: u64,
    iat: Option<u64>,
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], now: Timestamp) -> Result<Match, Failure> {
    let place = MessagePlace::Header(AUTHORIZATION.as_str().to_owned());
    let malformed = |fault| Failure::malformed(place.clone(), fault);
    let value = single_header(view.message.headers, &AUTHORIZATION)?.ok_or_else(|| Failure::Missing(place.clone()))?;
    let value = std::str::from_utf8(value).ok().ok_or_else(|| malformed(PartFault::NotText))?;
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("JWT"));
    let (_, token) = token.ok_or_else(|| malformed(PartFault::NoPrefix))?;
    let token = Jws::parse(token, &[JwsAlgorithm::Mac(MacAlgorithm::Sha256)], JwsPayload::Inside, &place)?;
    let secret = token.verify(keys, None, None)?;
    let claims = serde_json::from_slice::<Claims>(&token.payload(&place)?).ok();
    let claims = claims.ok_or_else(|| malformed(PartFault::NoClaim))?;
    if !is_for(&claims.qsh, &view.message) {
        return Err(Failure::WrongSecretOrBody);
    }
    judge(&claims, now)?;
    Ok(Match { signed_at: claims.iat.map(Timestamp::from_unix_secs), ..Match::by_secret(secret) })
}

fn judge(claims: &Claims, now: Timestamp) -> Result<(), Failure> {
    let expires = Timestamp::from_unix_secs(claims.exp);
    if now >= expires {
        return Err(Failure::TooOld { by: now.since(expires).max(Duration::from_millis(1)) });
    }
    let ahead = claims.iat.map(|iat| Timestamp::from_unix_secs(iat).since(now)).and_then(|by| by.checked_sub(AHEAD));
    match ahead.filter(|by| !by.is_zero()) {
        Some(by) => Err(Failure::InFuture { by }),
        None => Ok(()),
    }
}

fn is_for(qsh: &str, message: &Message<'_>) -> bool {
    let path = path_and_query(message.url);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let query = canonical_query(message.url);
    let wholes = path.match_indices('/').filter_map(|(start, _)| path.get(start..)).take(BASES_MAX);
    wholes.chain([""]).fold(false, |right, rest| {
        let text = format!("{}&{}&{query}", message.method.to_uppercase(), canonical_path(rest));
        right | same(HEXLOWER.encode(&Sha256::digest(text)).as_bytes(), qsh.as_bytes())
    })
}

fn canonical_path(path: &str) -> String {
    let path = path.replace('&', "%26");
    let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(&path) } else { &path };
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// Writes the parameters but `jwt`, sorted; several values of one name are joined by commas.
fn canonical_query(url: &str) -> String {
    let mut pairs: Vec<_> = query(url).filter(|(name, _)| name != "jwt").collect();
    pairs.sort_by(|(name, value), (other_name, other_value)| {
        let names = name.encode_utf16().cmp(other_name.encode_utf16());
        names.then_with(|| value.encode_utf16().cmp(other_value.encode_utf16()))
    });
    let of_one_name = pairs.chunk_by(|(name, _), (other, _)| name == other);
    let written: Vec<String> = of_one_name
        .map(|chunk| {
            let values: Vec<String> = chunk.iter().map(|(_, value)| escape(value)).collect();
            format!("{}={}", escape(chunk.first().map_or("", |(name, _)| name)), values.join(","))
        })
        .collect();
    written.join("&")
}

/// Escapes all but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::{canonical_path, canonical_query};

    /// The texts are what the provider's library hashed for the same URL.
    #[test]
    fn path_and_query_are_written_as_the_library_writes_them() {
        let of = |path: &str, query: &str| {
            let url = format!("https://app.example.com{path}?{query}");
            format!("{}&{}", canonical_path(path), canonical_query(&url))
        };
        assert_eq!(of("/webhooks/issue", "user_id=admin&z=1&a=b%20c"), "/webhooks/issue&a=b%20c&user_id=admin&z=1");
        assert_eq!(of("", ""), "/&");
        assert_eq!(of("/", ""), "/&");
        assert_eq!(of("/a/b/", ""), "/a/b&");
        assert_eq!(of("//", ""), "/&");
        assert_eq!(of("/a&b/c%20d", ""), "/a%26b/c%20d&");
        assert_eq!(of("/a", "jwt=xx&b=1"), "/a&b=1");
        assert_eq!(of("/a", "b=2&b=10&b=1&b="), "/a&b=,1,10,2");
        assert_eq!(of("/a", "b=x+y&c=%2B&d=~-._*!'()"), "/a&b=x%20y&c=%2B&d=~-._%2A%21%27%28%29");
        assert_eq!(of("/a", "b&c=&=v"), "/a&=v&b=&c=");
        assert_eq!(of("/a", "k%20y=%C3%A9&a;b=c"), "/a&a%3Bb=c&k%20y=%C3%A9");
        assert_eq!(of("/a", "b=1%2C2&b=3"), "/a&b=1%2C2,3");
    }
}
