//! Judging a request whose key may have to be fetched.
//!
//! Nearly always the gates answer at once. Where they say that a provider's key is not here, it is had, within bounds, and
//! the same request goes through the gates once more, as of the moment of its receipt. There is no third time.

use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use crate::accept::{self, Accepted, Admitted, Notes};
use crate::clock::Timestamp;
use crate::keyring::Unfetched;
use crate::provider::{Found, KeyLocation, KeyRing};
use crate::refusal::{Class, Refusal};

/// How long a request waits for a key that is seen for the first time; at most half of the provider's own patience.
const KEY_WAIT: Duration = Duration::from_secs(2);

/// A whole request before the gates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) shared: &'a Shared,
    pub(super) admitted: &'a Admitted<'a, 'a>,
    pub(super) body: &'a Bytes,
    /// The moment of receipt.
    pub(super) now: Timestamp,
}

/// The ring of somebody who has looked everywhere.
#[derive(Debug)]
struct NoMoreKeys;

impl KeyRing for NoMoreKeys {
    fn get(&self, _: &KeyLocation) -> Found {
        Found::Refused
    }
}

impl Judge<'_> {
    pub(super) async fn accept(&self, notes: &mut Notes) -> Result<Accepted, Refusal> {
        let accepted = self.accept_with(&*self.shared.keyring, notes);
        match std::mem::take(&mut notes.needs_keys) {
            places if places.is_empty() => accepted,
            places => self.with_fetched_keys(&places, notes, accepted).await,
        }
    }

    fn accept_with(&self, keys: &dyn KeyRing, notes: &mut Notes) -> Result<Accepted, Refusal> {
        *notes = Notes::default();
        let world = accept::World { now: self.now, random: (self.shared.random)(), keys };
        accept::accept(self.admitted, self.body.clone(), world, notes)
    }

    async fn with_fetched_keys(
        &self,
        places: &[KeyLocation],
        notes: &mut Notes,
        before: Result<Accepted, Refusal>,
    ) -> Result<Accepted, Refusal> {
        let lane = self.admitted.lane();
        let wait = lane.budget.time().map_or(KEY_WAIT, |time| (time / 2).min(KEY_WAIT));
        // Keys at a known place are here; the message names one that is not among them.
        let is_known = lane.verifier.prefetch() == places;
        let fetched = tokio::time::timeout(wait, self.fetch(places, is_known)).await;
        match fetched.unwrap_or(Err(Unfetched::Unreached)) {
            Ok(()) => self.accept_with(&*self.shared.keyring, notes),
            Err(Unfetched::Unreached | Unfetched::TooMany) if lane.source.enforce && !is_known => {
                Err(Refusal::new(Class::Internal, "the provider's key could not be fetched; it is asked for again"))
            }
            Err(_) if !is_known => self.accept_with(&NoMoreKeys, notes),
            Err(_) => before,
        }
    }

    async fn fetch(&self, places: &[KeyLocation], is_known: bool) -> Result<(), Unfetched> {
        match places {
            [at] if !is_known => self.shared.keyring.fetch(at).await,
            _ if self.shared.keyring.refresh(places).await => Ok(()),
            _ => Err(Unfetched::Unusable),
        }
    }
}
