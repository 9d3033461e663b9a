//! The proof that a message may go on.
//!
//! The fields of a proof are private to `provider/`: only the verifier makes one, or the operator's written choice to
//! verify nothing. A proof never claims more than was signed: a token or a partial signature does not vouch for the
//! body.

use std::fmt;

use sha2::{Digest, Sha256};

use super::failure::Failure;
use crate::clock::Timestamp;
use crate::secret::SecretName;

/// The proof that a message was verified, or is accepted unverified by the operator's choice.
#[derive(Clone)]
pub struct Verified {
    pub(super) secret: Option<SecretName>,
    pub(super) choice: Option<String>,
    pub(super) failed: Option<&'static str>,
    pub(super) signed_at: Option<Timestamp>,
    pub(super) mac: Option<[u8; 16]>,
    pub(super) covers_body: bool,
    pub(super) signed_id: Option<[u8; 16]>,
}

impl Verified {
    /// Accepts a message without verification. The reason is the operator's, from `verify: {type: none, reason: …}`.
    pub fn by_choice(reason: &str) -> Self {
        let choice = Some(reason.to_owned());
        Self { secret: None, choice, failed: None, signed_at: None, mac: None, covers_body: false, signed_id: None }
    }

    /// Accepts a message that failed, in observe mode (`enforce: false`).
    pub fn observed(failure: &Failure) -> Self {
        Self { failed: Some(failure.label()), ..Self::by_choice("enforce: false") }
    }

    /// Returns the label of the failure that observe mode accepted.
    pub fn failed(&self) -> Option<&'static str> {
        self.failed
    }

    /// Returns the operator's reason for accepting without verification, if so.
    pub fn choice(&self) -> Option<&str> {
        self.choice.as_deref()
    }

    /// Returns the secret that matched; `None` if nothing was verified.
    pub fn secret(&self) -> Option<&SecretName> {
        self.secret.as_ref()
    }

    /// Returns the moment at which the provider signed, if the scheme signs a time.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// Returns whether nobody can have changed the body.
    pub fn covers_body(&self) -> bool {
        self.covers_body
    }

    /// Returns the digest of the id in the signed text: no second message is accepted under it.
    pub fn signed_id(&self) -> Option<[u8; 16]> {
        self.signed_id
    }

    /// Returns a short name for this delivery: the matched MAC, if it covers the body and no time is signed or if there
    /// is no body; else a hash of the body.
    pub fn fingerprint(&self, body: &[u8]) -> [u8; 16] {
        self.mac.unwrap_or_else(|| first_16(&Sha256::digest(body)))
    }
}

/// Shows all but the MAC, because it is half of a valid signature.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, choice, failed, signed_at, covers_body, signed_id, mac: _ } = self;
        f.debug_struct("Verified")
            .field("secret", secret)
            .field("choice", choice)
            .field("failed", failed)
            .field("signed_at", signed_at)
            .field("covers_body", covers_body)
            .field("signs_id", &signed_id.is_some())
            .finish_non_exhaustive()
    }
}

pub(super) fn first_16(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    short
}
