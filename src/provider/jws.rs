//! JSON Web Signatures in their compact form, with the payload inside or beside (RFC 7515, RFC 7797).
//!
//! Invariants: the algorithm is one that the scheme pins; header and signature are short; base64 is strict; the header
//! is one JSON object without repeated members; `crit` is refused, but for `b64` where a scheme knows it; keys that a
//! header brings along (`jwk`, `jku`, `x5u`, `x5c`) are never read. The content of the payload is judged elsewhere.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::failure::{Failure, MessagePlace, PartFault};
use super::key::BlockKey;
use super::mac::{KeyedMac, MacAlgorithm, same};
use super::message::MessageBytes;
use super::public::SignatureAlgorithm;

/// The longest header and the longest signature, as they are written, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// An algorithm by its JWA name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JwsAlgorithm {
    Mac(MacAlgorithm),
    Public(SignatureAlgorithm),
}

/// The place of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JwsPayload {
    /// Between the dots.
    Inside,
    /// Elsewhere in the message, in base64url when it is signed; nothing stands between the dots.
    Beside,
    /// As `Beside`, but the header may say `b64: false`: then the payload is signed as it is.
    BesideOrPlain,
}

/// A signature whose form is right and which is not verified yet.
#[derive(Debug)]
pub(super) struct Jws<'t> {
    pub(super) header: Map<String, Value>,
    pub(super) algorithm: JwsAlgorithm,
    /// The text before the first dot.
    head: &'t str,
    /// The text between the dots.
    inside: &'t str,
    signature: Vec<u8>,
    /// True if a payload beside is signed in base64url.
    encoded: bool,
}

impl JwsAlgorithm {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Mac(MacAlgorithm::Sha256) => Some("HS256"),
            Self::Mac(MacAlgorithm::Sha384) => Some("HS384"),
            Self::Mac(MacAlgorithm::Sha512) => Some("HS512"),
            Self::Mac(MacAlgorithm::Md5 | MacAlgorithm::Sha1) => None,
            Self::Public(algorithm) => algorithm.jwa(),
        }
    }
}

impl<'t> Jws<'t> {
    /// Parses a text. `place` is where it stood.
    pub(super) fn parse(
        text: &'t str,
        pinned: &[JwsAlgorithm],
        payload: JwsPayload,
        place: &MessagePlace,
    ) -> Result<Self, Failure> {
        let malformed = |fault| Failure::malformed(place.clone(), fault);
        let decode =
            |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok().ok_or_else(|| malformed(PartFault::Encoding));
        let mut parts = text.split('.');
        let (Some(head), Some(inside), Some(last), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(PartFault::NotAJws));
        };
        let too_long = head.len() > HEAD_BYTES_MAX || last.len() > HEAD_BYTES_MAX;
        if too_long || inside.is_empty() == (payload == JwsPayload::Inside) {
            return Err(malformed(PartFault::NotAJws));
        }
        let header = object(&decode(head)?).ok_or_else(|| malformed(PartFault::NotAJws))?;
        let text = |name: &str| header.get(name).map(|value| value.as_str().unwrap_or_default());
        let named = text("alg");
        let algorithm = pinned.iter().find(|one| one.name().is_some() && one.name() == named);
        let algorithm = *algorithm.ok_or_else(|| malformed(PartFault::Unexpected))?;
        let usual = |kind: &str| ["JWT", "JWS", "JOSE"].iter().any(|one| kind.eq_ignore_ascii_case(one));
        let encoded = encoded(&header, payload).ok_or_else(|| malformed(PartFault::Unexpected))?;
        if !text("typ").is_none_or(usual) {
            return Err(malformed(PartFault::Unexpected));
        }
        let signature = decode(last)?;
        if signature.is_empty() {
            return Err(malformed(PartFault::NoSignature));
        }
        Ok(Self { header, algorithm, head, inside, signature, encoded })
    }

    /// Returns the id of the key, if the header names one.
    pub(super) fn key_id(&self, place: &MessagePlace) -> Result<Option<&str>, Failure> {
        match self.header.get("kid") {
            None => Ok(None),
            Some(Value::String(id)) => Ok(Some(id)),
            Some(_) => Err(Failure::malformed(place.clone(), PartFault::Unexpected)),
        }
    }

    /// Returns the payload that stands between the dots.
    pub(super) fn payload(&self, place: &MessagePlace) -> Result<Vec<u8>, Failure> {
        let decoded = BASE64URL_NOPAD.decode(self.inside.as_bytes()).ok();
        decoded.ok_or_else(|| Failure::malformed(place.clone(), PartFault::Encoding))
    }

    /// Returns the first key under which the signature is right, over the payload inside or over the one given.
    pub(super) fn verify(
        &self,
        keys: &[BlockKey],
        id: Option<&str>,
        beside: Option<&[MessageBytes<'_>]>,
    ) -> Result<usize, Failure> {
        let mut pieces = vec![MessageBytes::Borrowed(self.head.as_bytes()), MessageBytes::Borrowed(b".")];
        match beside {
            None => pieces.push(MessageBytes::Borrowed(self.inside.as_bytes())),
            Some(payload) if self.encoded => {
                pieces.push(MessageBytes::Owned(BASE64URL_NOPAD.encode(&payload.concat()).into_bytes()));
            }
            Some(payload) => pieces.extend(payload.iter().cloned()),
        }
        let mut known = false;
        let mut found = None;
        for (position, key) in keys.iter().enumerate() {
            let right = match (key, self.algorithm) {
                (BlockKey::Plain(secret), JwsAlgorithm::Mac(algorithm)) => {
                    known = true;
                    same(&KeyedMac::new(algorithm, secret).tag(&pieces), &self.signature)
                }
                (BlockKey::Set(set), JwsAlgorithm::Public(algorithm)) => set.named(id, algorithm).any(|key| {
                    known = true;
                    key.verifies_any(algorithm, &pieces, std::iter::once(self.signature.as_slice()))
                }),
                _ => false,
            };
            found = found.or(right.then_some(position));
        }
        found.ok_or(if known { Failure::WrongSecretOrBody } else { Failure::UnknownKey })
    }
}

/// Returns whether the payload is signed in base64url; `None` if the header asks for an unknown extension.
fn encoded(header: &Map<String, Value>, payload: JwsPayload) -> Option<bool> {
    let plain = header.get("b64").is_some_and(|encoded| encoded == false);
    match header.get("crit") {
        None if !plain => Some(true),
        Some(Value::Array(names)) if payload == JwsPayload::BesideOrPlain => {
            let only_b64 = names.len() == 1 && names.iter().all(|name| name == "b64");
            (only_b64 && header.get("b64").is_some_and(Value::is_boolean)).then_some(!plain)
        }
        _ => None,
    }
}

/// Parses a JSON object without repeated members, at its top at least.
pub(super) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice::<Unrepeated>(text).ok().map(|object| object.0)
}

struct Unrepeated(Map<String, Value>);

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UnrepeatedVisitor)
    }
}

struct UnrepeatedVisitor;

impl<'de> Visitor<'de> for UnrepeatedVisitor {
    type Value = Unrepeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unrepeated, A::Error> {
        let mut object = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Unrepeated(object))
    }
}
