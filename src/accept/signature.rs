//! The signature gate, with the handshakes that are answered before it and after it.

use serde_json::Value;

use super::Receipt;
use crate::clock::Timestamp;
use crate::payload::Payload;
use crate::provider::{Failure, HandshakeAnswer, HandshakeReply, KeyLocation, Message, SignatureVerdict, Verified};
use crate::refusal::{Class, Refusal};
use crate::rules::{NeedsKeys, SourceRules};

/// The longest body that is parsed before it is verified.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// The result of the signature gate: what is noted of it, and the proof.
#[derive(Debug)]
pub(super) struct CheckedSignature {
    pub(super) verdict: SignatureVerdict,
    /// The keys under which the same request may verify.
    pub(super) needs_keys: NeedsKeys,
    pub(super) proof: Result<Verified, Refusal>,
}

/// Answers a handshake that comes without a signature; `None` for a message that is none.
pub(super) fn unsigned_handshake(
    lane: &SourceRules,
    message: &Message<'_>,
    now: Timestamp,
) -> Option<Result<Box<HandshakeReply>, Refusal>> {
    // Before the signature nothing is parsed but a short body that may be a handshake of this provider.
    let may_be_one = message.body.len() <= HANDSHAKE_BYTES_MAX && lane.desk.needs_json(false, message.method, now);
    let json = may_be_one.then(|| Payload::parse(message.body).ok()).flatten().map(Payload::into_value);
    lane.desk.answer(false, message, json.as_ref(), now).map(answered)
}

/// Answers a handshake that was signed; `None` for a message that is none.
///
/// A message that only `enforce: false` let in is not answered: the answer could sign a text for a stranger.
pub(super) fn signed_handshake(
    lane: &SourceRules,
    message: &Message<'_>,
    (proof, json): (&Verified, Option<&Value>),
    now: Timestamp,
) -> Option<Result<Box<HandshakeReply>, Refusal>> {
    proof.secret()?;
    lane.desk.answer(true, message, json, now).map(answered)
}

fn answered(shaken: HandshakeAnswer) -> Result<Box<HandshakeReply>, Refusal> {
    match shaken {
        HandshakeAnswer::Reply(reply) => Ok(reply),
        HandshakeAnswer::Refused(status) => {
            let refusal = Refusal::new(Class::BadSignature, "a handshake with another token than the configured one");
            Err(Refusal { status: Some(status), ..refusal })
        }
    }
}

/// Verifies a message. A message that fails is refused, and with `enforce: false` let in as not verified.
pub(super) fn verify(lane: &SourceRules, message: &Message<'_>, receipt: Receipt<'_>) -> CheckedSignature {
    let verified = lane.verifier.verify_with(message, receipt.keys, receipt.now);
    let failure = match verified.and_then(|proof| lane.desk.refuse_handshakes(message, proof)) {
        Ok(proof) => {
            let verdict =
                if proof.secret().is_some() { SignatureVerdict::Verified } else { SignatureVerdict::NotConfigured };
            return CheckedSignature { verdict, needs_keys: NeedsKeys::default(), proof: Ok(proof) };
        }
        Err(failure) => failure,
    };
    let needs_keys = match &failure {
        // The caller has the keys fetched and judges again.
        Failure::KeyNotHere(at) => NeedsKeys { places: vec![KeyLocation::clone(at)], are_missing: true },
        Failure::UnknownKey => NeedsKeys { places: lane.verifier.prefetch(), are_missing: false },
        _ => NeedsKeys::default(),
    };
    let proof = if lane.source.enforce { Err(refused(&failure)) } else { Ok(Verified::observed(&failure)) };
    CheckedSignature { verdict: SignatureVerdict::Failed(failure.kind()), needs_keys, proof }
}

fn refused(failure: &Failure) -> Refusal {
    let class = match failure {
        Failure::Missing(_) => Class::MissingSignature,
        Failure::TooOld { .. } | Failure::InFuture { .. } => Class::StaleTimestamp,
        Failure::MalformedHeader(_) | Failure::WrongSecretOrBody | Failure::UnknownKey | Failure::KeyNotHere(_) => {
            Class::BadSignature
        }
    };
    Refusal::new(class, failure.to_string())
}
