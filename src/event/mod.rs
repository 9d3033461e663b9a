//! Accepted events: an [`Event`], and the [`EventData`] that is stored of it.
//!
//! An `Event` can be made from a [`Verified`] only, so no event reaches the buffer without a verdict. The buffer reads
//! back an [`EventData`], the same facts without the proof: it can be delivered and shown, but not made into an
//! `Event`.

mod prefix;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::body::Document;
use crate::clock::Timestamp;
use crate::condition::View;
use crate::hop;
use crate::provider::{Verified, digest};
use crate::refusal::PayloadProblem;

pub use prefix::{IdPrefix, NotAnId};

/// The identity of an event: a UUIDv7 (RFC 9562), the same over all attempts. Receivers use it as idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId([u8; 16]);

impl EventId {
    /// The nil id, which no event has.
    pub const NIL: Self = Self([0; 16]);

    /// Makes a new id at `now`; `random` fills the bits that are not time.
    pub fn at(now: Timestamp, random: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(now.unix_ms(), &random).as_uuid().as_bytes())
    }

    /// Returns the bits that are not time; [`Self::at`] makes the same id of them and the same moment.
    pub fn random(&self) -> [u8; 10] {
        self.0.last_chunk().copied().unwrap_or_default()
    }

    /// Returns its sixteen bytes.
    pub const fn as_bytes(&self) -> [u8; 16] {
        self.0
    }

    /// Parses the textual form.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::parse_str(text).ok().map(|id| Self(*id.as_bytes()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One dispatch of an event: its copy for one destination by one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The route that matched.
    pub route: Arc<str>,
    /// The destination that gets the copy.
    pub destination: Arc<str>,
    /// The balance key: copies with the same key go to the same target of the destination.
    pub balance: Option<KeyHash>,
    /// The order key: copies with the same key keep their order.
    pub order: Option<OrderKey>,
    /// True if the route had a transform: the copy is never sent without one.
    pub shaped: bool,
}

/// The hash of a key of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyHash(#[serde(with = "as_bytes")] pub [u8; 16]);

impl KeyHash {
    /// Hashes a key.
    pub fn of(key: &str) -> Self {
        Self(digest(&[key.as_bytes()]))
    }
}

impl EventId {
    /// Returns the id as the key of an event that has no key.
    pub fn as_key(self) -> KeyHash {
        KeyHash(self.0)
    }
}

/// The longest label of an order key, in characters.
const LABEL_CHARS_MAX: usize = 64;

/// The key by which events are kept in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// The hash of the key.
    #[serde(with = "as_bytes")]
    pub hash: [u8; 16],
    /// The beginning of the key, for people; without credentials and the values of variables.
    pub label: String,
}

impl OrderKey {
    /// Makes the order key of a text.
    pub fn of(key: &str) -> Self {
        Self::shown_as(key, key)
    }

    /// Of this key, of which people see `shown`.
    pub fn shown_as(key: &str, shown: &str) -> Self {
        Self { hash: KeyHash::of(key).0, label: shown.chars().take(LABEL_CHARS_MAX).collect() }
    }
}

/// Serialization as bytes: serde writes an array as a list of numbers, twice as long.
mod as_bytes {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserializer, Error, Visitor};

    pub(super) fn serialize<S: serde::Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes.as_ref())
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: for<'a> TryFrom<&'a [u8]>,
        D: Deserializer<'de>,
    {
        struct AsBytes<T>(PhantomData<T>);
        impl<T: for<'a> TryFrom<&'a [u8]>> Visitor<'_> for AsBytes<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes of the right length")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
                T::try_from(bytes).map_err(|_length| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(AsBytes(PhantomData))
    }
}

/// The key that recognises a repeated event, and the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupKey {
    /// The digest of source and delivery id, or of source and signed id if the signature covers an id.
    pub key: [u8; 16],
    /// The digest of the body: the same id with another body is another event. `None` if the id is signed and the body
    /// is not: only the id tells a replay under another body.
    pub body: Option<[u8; 16]>,
    /// The time for which a repetition is recognised.
    pub window: Duration,
}

/// The facts of an event: all that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventData {
    /// The identity.
    pub id: EventId,
    /// The source that received it.
    pub source: Arc<str>,
    /// The time at which its last byte had arrived, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// The event's type as the provider calls it.
    pub event_type: Option<String>,
    /// The provider's own id of this delivery.
    pub delivery_id: Option<String>,
    /// The secret that verified it; `None` for a source that says `verify: {type: none}`, and with `unverified`.
    pub verified_by: Option<String>,
    /// The request's method.
    pub method: String,
    /// The request's target: path and query, as received.
    pub target: String,
    /// The headers as received.
    pub headers: Vec<(String, HeaderBytes)>,
    /// The copies, each with its destination.
    pub copies: Vec<Dispatch>,
    /// The problems for which it is quarantined; empty otherwise.
    pub problems: Vec<PayloadProblem>,
    /// The failure of its verification, if `enforce: false` allowed it.
    pub unverified: Option<String>,
    /// The parameters of the source's path, each with its value.
    pub params: Vec<(String, String)>,
    /// The host that was called, lower case, without port.
    pub host: Option<String>,
    /// The sender's address: the peer's, or the one that a trusted proxy reported.
    pub sender: Option<IpAddr>,
    /// The body, byte for byte. Stored beside the facts, not among them.
    #[serde(skip)]
    pub body: Bytes,
}

impl EventData {
    /// Returns whether the event waits for a person instead of being delivered.
    pub fn is_kept_back(&self) -> bool {
        !self.problems.is_empty() || self.copies.is_empty()
    }

    /// Returns the time at which the last byte had arrived.
    pub fn received_at(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.received_at_ms)
    }

    /// Makes the view of a stored event for conditions, keys and values. The caller reads the body and makes the header
    /// map, because the view only borrows.
    pub fn view<'a>(&'a self, document: &'a Document<'a>, headers: &'a HeaderMap) -> View<'a> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        View {
            body: document.json(),
            received: document,
            headers,
            event_type: self.event_type.as_deref().unwrap_or_default(),
            event_id: self.delivery_id.as_deref().unwrap_or_default(),
            source: &self.source,
            method: &self.method,
            path,
            query,
            params: &self.params,
        }
    }

    /// Returns the headers as a map. A header that a map cannot hold is left out; no received header is one of these.
    pub fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            let value = http::HeaderValue::from_maybe_shared(value.0.clone());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// A header's value: bytes, because HTTP does not promise text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderBytes(#[serde(serialize_with = "as_bytes::serialize")] pub Bytes);

impl<'de> Deserialize<'de> for HeaderBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_bytes::deserialize(deserializer).map(|bytes: Vec<u8>| Self(bytes.into()))
    }
}

/// An event that passed the gates and may be stored.
#[derive(Debug)]
pub struct Event {
    data: EventData,
    dedup: Option<DedupKey>,
    judged_by: Option<RulesFingerprint>,
}

/// The fingerprint of the rules by which a signature was verified: scheme, secrets, public URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulesFingerprint(pub [u8; 8]);

impl Event {
    /// Makes an event, and consumes the proof.
    pub fn new(proof: Verified, mut data: EventData, dedup: Option<DedupKey>) -> Self {
        data.verified_by = proof.secret().map(|name| name.as_str().to_owned());
        data.unverified = proof.failed().map(str::to_owned);
        Self { data, dedup, judged_by: None }
    }

    /// Records the rules that an unverified event failed, so that it can be re-evaluated.
    #[must_use]
    pub fn judged_under(mut self, rules: impl FnOnce() -> RulesFingerprint) -> Self {
        self.judged_by = self.data.unverified.is_some().then(rules);
        self
    }

    /// Returns the rules that an unverified event failed.
    pub fn failed_by(&self) -> Option<RulesFingerprint> {
        self.judged_by
    }

    /// Returns the facts.
    pub fn data(&self) -> &EventData {
        &self.data
    }

    /// Returns the key that recognises a repetition.
    pub fn dedup(&self) -> Option<DedupKey> {
        self.dedup
    }

    /// Returns the facts without the proof.
    pub fn into_data(self) -> EventData {
        self.data
    }
}

/// Returns the headers that travel with the event: as received, without hop-by-hop headers, those of this one request,
/// and look-alikes of ours.
pub fn kept_headers(headers: &HeaderMap) -> Vec<(String, HeaderBytes)> {
    let kept = hop::end_to_end(headers).map(|(name, value)| (name.as_str(), value));
    kept.filter(|(name, _)| !is_of_this_request(name) && !is_ours(name))
        .map(|(name, value)| (name.to_owned(), HeaderBytes(Bytes::copy_from_slice(value.as_bytes()))))
        .collect()
}

/// Returns whether a header says where this one request went, how it is framed, or what a proxy on its way asked for.
fn is_of_this_request(name: &str) -> bool {
    matches!(name, "host" | "content-length" | "expect" | "proxy-authenticate" | "proxy-authorization")
}

/// Returns whether only Hookgate may set a header; `_` counts as `-`, because many servers read it so.
fn is_ours(name: &str) -> bool {
    name.bytes().take(9).map(|byte| if byte == b'_' { b'-' } else { byte }).eq(*b"hookgate-")
}

/// A stored event that failed verification at receipt and has been verified since.
#[derive(Debug)]
pub struct Reverified(EventData);

impl Reverified {
    /// Marks the event as verified; `None` if the proof names no secret.
    pub fn new(proof: &Verified, mut data: EventData) -> Option<Self> {
        data.verified_by = Some(proof.secret()?.as_str().to_owned());
        data.unverified = None;
        Some(Self(data))
    }

    /// Returns the facts as they are now.
    pub fn data(&self) -> &EventData {
        &self.0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl EventData {
        /// Makes a plain event of the source `github` with this id and one copy; tests say only what they are about.
        pub(crate) fn sample(id: EventId, received_at: Timestamp) -> Self {
            Self {
                id,
                source: "github".into(),
                received_at_ms: received_at.unix_ms(),
                event_type: None,
                delivery_id: None,
                verified_by: None,
                method: "POST".into(),
                target: "/in/github".into(),
                headers: Vec::new(),
                copies: vec![Dispatch::plain("all", "app")],
                problems: Vec::new(),
                unverified: None,
                params: Vec::new(),
                host: None,
                sender: None,
                body: Bytes::from_static(b"{}"),
            }
        }
    }

    impl Dispatch {
        /// Makes a copy without keys and without a transform.
        pub(crate) fn plain(route: &str, destination: &str) -> Self {
            Self { route: route.into(), destination: destination.into(), balance: None, order: None, shaped: false }
        }
    }

    #[test]
    fn event_ids_sort_by_time_and_read_back() {
        let early = EventId::at(Timestamp::from_unix_ms(1), [255; 10]);
        let late = EventId::at(Timestamp::from_unix_ms(2), [0; 10]);
        assert!(early < late);
        assert_eq!(EventId::parse(&late.to_string()), Some(late));
        assert_eq!(EventId::at(Timestamp::from_unix_ms(1), early.random()), early);
    }

    #[test]
    fn keys_are_written_as_bytes_and_read_back() {
        let copy = Dispatch {
            route: "r".into(),
            destination: "d".into(),
            balance: Some(KeyHash::of("cus_1")),
            order: Some(OrderKey::of(&"ö".repeat(100))),
            shaped: true,
        };
        let written = rmp_serde::to_vec(&copy).unwrap();
        assert_eq!(rmp_serde::from_slice::<Dispatch>(&written).unwrap(), copy);
        assert_eq!(copy.order.as_ref().map(|order| order.label.chars().count()), Some(LABEL_CHARS_MAX));
        let plain = Dispatch { balance: None, order: None, ..copy.clone() };
        let key_bytes = rmp_serde::to_vec(&Dispatch { order: None, ..copy }).unwrap().len();
        assert_eq!(key_bytes - rmp_serde::to_vec(&plain).unwrap().len(), 17, "two bytes of head in place of one");
    }
}
