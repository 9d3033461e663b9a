//! Signatures of outgoing requests by Standard Webhooks (<https://github.com/standard-webhooks/standard-webhooks>): the
//! receiver can check that a request comes from this gateway, and that it is fresh.
//!
//! All keys that are valid at the moment sign, so that a receiver may have either one during a rotation.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Shaped;
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::provider::{Message, SignProblem, SignRequest, Verifier};
use crate::secret::Validity;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A signer with one key or several.
#[derive(Debug)]
pub struct OutgoingSigner {
    keys: Vec<(Validity, Verifier)>,
}

impl OutgoingSigner {
    /// Builds a signer with keys and their validity. Each verifier is the scheme of Standard Webhooks with one secret.
    pub fn new(keys: Vec<(Validity, Verifier)>) -> Self {
        Self { keys }
    }

    /// Sets the three headers; those of a provider with the same scheme are replaced.
    pub(super) fn sign(&self, id: EventId, now: Timestamp, shaped: &mut Shaped) -> Result<(), SignProblem> {
        let id = id.to_string();
        for name in [ID, TIMESTAMP, SIGNATURE] {
            shaped.headers.remove(name);
        }
        let none = HeaderMap::new();
        let message = Message { method: "POST", url: "", headers: &none, body: &shaped.body };
        // When no key is valid any more, a signature that the receiver may still take is better than none.
        let is_any_valid = self.keys.iter().any(|(validity, _)| validity.holds(now));
        let mut signatures: Vec<String> = Vec::new();
        for (_, key) in self.keys.iter().filter(|(validity, _)| !is_any_valid || validity.holds(now)) {
            for (name, value) in key.sign(&SignRequest { message, id: &id, now })? {
                if name == SIGNATURE {
                    signatures.extend(value.to_str().map(str::to_owned));
                } else {
                    shaped.headers.insert(name, value);
                }
            }
        }
        let joined = HeaderValue::from_str(&signatures.join(" ")).map_err(|_not_visible| SignProblem::Header)?;
        shaped.headers.insert(SIGNATURE, joined);
        Ok(())
    }
}
