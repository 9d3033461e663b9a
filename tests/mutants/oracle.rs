//! What may verify, decided without the engine.
//!
//! Nobody but the provider can sign, so that a request may verify only if what it says was signed is, byte for byte, a
//! text that the provider signed, beside the very signature that the provider made for it, at a time in the window. Each
//! law (`laws/`) reads a request in its own words into [`Claim`]s; what the provider really signed is in [`Signed`].

use std::ops::RangeInclusive;

use hookgate::provider::Verifier;
use rand::rngs::StdRng;

use crate::request::Request;

/// One reading of a request: the text that it says was signed, its signatures, and when it may arrive.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Without a reading of the URL or of the body there is more than one text.
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) signatures: Vec<Vec<u8>>,
    /// In milliseconds since 1970.
    pub(crate) window_ms: RangeInclusive<u64>,
}

/// A text that was signed, and the signatures that are right for it.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) text: Vec<u8>,
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// Who signs.
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

/// What goes into a request that is to be signed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) body: Vec<u8>,
    /// The moment of signing, in seconds.
    pub(crate) at: u64,
    pub(crate) id: String,
}

/// The law of one provider, written down a second time.
pub(crate) trait Law {
    fn name(&self) -> &'static str;
    fn verifier(&self) -> &Verifier;
    /// The headers that the law consults.
    fn headers(&self) -> &'static [&'static str];
    /// A body as this provider sends them: JSON, unless it says otherwise.
    fn body(&self, rng: &mut StdRng) -> Vec<u8> {
        super::laws::json(rng)
    }
    /// A request, signed, and what was signed by it.
    fn sign(&self, draft: &Draft, hand: Hand, rng: &mut StdRng) -> (Request, Vec<Signed>);
    /// Every reading of a request.
    fn read(&self, request: &Request) -> Vec<Claim>;
    /// A change that only this law has a sense of.
    fn change(&self, _request: &mut Request, _rng: &mut StdRng) {}
}

/// Whether the request may verify, given all that the provider ever signed.
pub(crate) fn may_verify(law: &dyn Law, request: &Request, signed: &[Signed]) -> bool {
    law.read(request).iter().any(|claim| {
        claim.window_ms.contains(&request.now_ms)
            && signed.iter().any(|one| {
                claim.texts.contains(&one.text) && claim.signatures.iter().any(|it| one.signatures.contains(it))
            })
    })
}

/// The window around a moment, both edges inside.
pub(crate) fn around(at: u64, tolerance: u64) -> Option<RangeInclusive<u64>> {
    let (at, tolerance) = (at.checked_mul(1000)?, tolerance * 1000);
    Some(at.saturating_sub(tolerance)..=at.saturating_add(tolerance))
}

/// Plain digits, no sign, no blank, no leading zero.
pub(crate) fn seconds(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0');
    if plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}
