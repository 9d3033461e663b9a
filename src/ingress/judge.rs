//! Verification of a request whose key may have to be fetched.
//!
//! Nearly always the gates answer at once. Where a provider's key is missing, it is fetched within bounds, and the same
//! request goes through the gates again, as of the moment of its receipt; at most [`ROUNDS_MAX`] times, because a
//! message may name several keys. A key that cannot be fetched now is our 503, and not the sender's 401.

use std::time::Duration;

use bytes::Bytes;

use super::Registry;
use crate::accept::{self, Accepted, Admitted, Notes, Receipt};
use crate::clock::Timestamp;
use crate::keyring::Unfetched;
use crate::provider::{KeyLocation, KeyRing, KeyState};
use crate::refusal::{Class, Refusal};
use crate::rules::NeedsKeys;

/// The longest wait of a request for a key that is seen for the first time; at most half of the provider's own timeout.
const KEY_WAIT: Duration = Duration::from_secs(2);

/// The most rounds of fetching keys.
const ROUNDS_MAX: usize = 3;

/// A whole request before the gates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) shared: &'a Registry,
    pub(super) admitted: &'a Admitted<'a, 'a>,
    pub(super) body: &'a Bytes,
    /// The moment of receipt.
    pub(super) now: Timestamp,
}

/// A key ring in which every key counts as missing for good.
#[derive(Debug)]
struct NoMoreKeys;

impl KeyRing for NoMoreKeys {
    fn get(&self, _: &KeyLocation) -> KeyState {
        KeyState::Refused
    }
}

impl Judge<'_> {
    pub(super) async fn accept(&self, notes: &mut Notes) -> Result<Accepted, Refusal> {
        let mut accepted = self.accept_with(&*self.shared.keyring, notes);
        let wait = self.admitted.lane().budget.time().map_or(KEY_WAIT, |time| (time / 2).min(KEY_WAIT));
        let deadline = tokio::time::Instant::now() + wait;
        for _ in 0..ROUNDS_MAX {
            let needs = std::mem::take(&mut notes.needs_keys);
            if needs.places.is_empty() {
                return accepted;
            }
            let fetched = tokio::time::timeout_at(deadline, self.fetch(&needs)).await.unwrap_or(Fetched::Later);
            accepted = match fetched {
                Fetched::Again => self.accept_with(&*self.shared.keyring, notes),
                Fetched::Later if self.admitted.lane().source.enforce => {
                    let why = "the provider's key could not be fetched; it is asked for again";
                    return Err(Refusal::new(Class::Internal, why));
                }
                Fetched::Later if needs.are_missing => return self.accept_with(&NoMoreKeys, notes),
                Fetched::Never | Fetched::Later => return accepted,
            };
        }
        accepted
    }

    fn accept_with(&self, keys: &dyn KeyRing, notes: &mut Notes) -> Result<Accepted, Refusal> {
        let receipt = Receipt { now: self.now, random: (self.shared.random)(), keys, spends: true };
        let accepted;
        (accepted, *notes) = accept::accept(self.admitted, self.body.clone(), receipt);
        accepted
    }

    async fn fetch(&self, needs: &NeedsKeys) -> Fetched {
        let keyring = &self.shared.keyring;
        let known = self.admitted.lane().verifier.prefetch();
        if !needs.are_missing {
            return match keyring.refresh(&needs.places, &known).await {
                Ok(true) => Fetched::Again,
                Ok(false) | Err(Unfetched::Unusable) => Fetched::Never,
                Err(Unfetched::Unreached | Unfetched::TooMany) => Fetched::Later,
            };
        }
        for at in &needs.places {
            let is_known = known.contains(at);
            match keyring.fetch(at, is_known).await {
                // A missing key that the configuration names is not the sender's fault.
                Err(Unfetched::Unusable) if is_known => return Fetched::Later,
                // At a place that is remembered as empty, another key may be right.
                Ok(()) | Err(Unfetched::Unusable) => {}
                Err(Unfetched::Unreached | Unfetched::TooMany) => return Fetched::Later,
            }
        }
        Fetched::Again
    }
}

/// The result of fetching keys.
enum Fetched {
    /// New keys are there, and the request may be verified again.
    Again,
    /// The keys may be there later.
    Later,
    /// The keys do not exist.
    Never,
}
