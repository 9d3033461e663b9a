//! The oracle: decides without the engine whether a request may verify.
//!
//! Only the provider can sign. So a request may verify only if its claimed text is, byte for byte, a text that the
//! provider signed, with the signature that the provider made for that text, at a time in the window. Each law
//! (`laws/`) reads a request into [`Claim`]s; [`Signed`] holds the texts that the provider signed.

use std::ops::RangeInclusive;

use hookgate::provider::Verifier;
use rand::rngs::StdRng;

use crate::request::Request;

/// One reading of a request: the text that it claims was signed, its signatures, and its window of arrival.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The texts that may be the signed one; more than one where URL or body have several readings.
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) signatures: Vec<Vec<u8>>,
    /// The window of arrival, in milliseconds since 1970.
    pub(crate) window_ms: RangeInclusive<u64>,
}

/// A signed text and its right signatures.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) text: Vec<u8>,
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// The signer of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// The provider with one of its two secrets.
    Provider(usize),
    /// The provider with both, where a list can hold two signatures.
    Both,
    /// Somebody with a key of no bytes.
    Empty,
    /// Somebody who takes what is public, or the secret's text read in another way, for the key.
    OtherReading,
    /// Somebody with a key of their own.
    Stranger,
    /// Another algorithm with the right key, which only a law that lets the request choose would take.
    OtherAlgorithm,
}

impl Hand {
    pub(crate) fn is_provider(self) -> bool {
        matches!(self, Self::Provider(_) | Self::Both)
    }
}

/// The parts of a request to be signed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) body: Vec<u8>,
    /// The moment of signing, in seconds.
    pub(crate) at: u64,
    pub(crate) id: String,
}

/// The law of one provider, implemented independently of the engine.
pub(crate) trait Law {
    fn name(&self) -> &'static str;
    fn verifier(&self) -> &Verifier;
    /// Returns the headers that the law consults.
    fn headers(&self) -> &'static [&'static str];
    /// Creates a body as this provider sends it; JSON by default.
    fn body(&self, rng: &mut StdRng) -> Vec<u8> {
        super::laws::json(rng)
    }
    /// Returns a signed request, and the texts that were signed.
    fn sign(&self, draft: &Draft, hand: Hand, rng: &mut StdRng) -> (Request, Vec<Signed>);
    /// Returns every reading of a request.
    fn read(&self, request: &Request) -> Vec<Claim>;
    /// Applies a change that is specific to this law.
    fn change(&self, _request: &mut Request, _rng: &mut StdRng) {}
}

/// Checks whether the request may verify, given all texts that the provider signed.
pub(crate) fn may_verify(law: &dyn Law, request: &Request, signed: &[Signed]) -> bool {
    law.read(request).iter().any(|claim| {
        claim.window_ms.contains(&request.now_ms)
            && signed.iter().any(|one| {
                claim.texts.contains(&one.text) && claim.signatures.iter().any(|it| one.signatures.contains(it))
            })
    })
}

/// Returns the window around a time, both edges inside.
pub(crate) fn around(at: u64, tolerance: u64) -> Option<RangeInclusive<u64>> {
    let (at, tolerance) = (at.checked_mul(1000)?, tolerance * 1000);
    Some(at.saturating_sub(tolerance)..=at.saturating_add(tolerance))
}

/// Parses plain digits: no sign, no blank, no leading zero.
pub(crate) fn seconds(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0');
    if plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}
