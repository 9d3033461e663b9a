//! The compiled rules that the gates use: one lane per source.
//!
//! Values only, made by `config` and replaced as a whole on reload; nothing is decided here.

use std::borrow::Cow;
use std::sync::Arc;

use crate::body::{Bodies, BodyRules};
use crate::budget::Budget;
use crate::credential::{CredentialPlace, is_secret_name, with_names};
use crate::event::{DedupKey, RulesFingerprint};
use crate::limit::{Gatekeeper, SourceQuota};
use crate::only_failing::VerificationWatch;
use crate::payload::Pointer;
use crate::provider::{EventTemplate, Handshake, Handshakes, KeyLocation, Row, Verified, Verifier, digest};
use crate::redact::Redaction;
use crate::refusal::OnFailure;
use crate::route::Route;
use crate::schema::SchemaSet;
use crate::source::{Source, SourceTable};

pub use crate::body::Reading;

/// The longest delivery id that is remembered; longer ones are cut, which the digest in the dedup key makes harmless.
const DELIVERY_ID_BYTES_MAX: usize = 256;

/// The rules in force: everything the gates need, compiled. Replaced as a whole on reload.
#[derive(Debug)]
pub struct Rules {
    /// One lane per source.
    pub lanes: Vec<SourceRules>,
    /// The table that finds a lane by host and path.
    pub table: SourceTable,
    /// The limits before verification.
    pub gatekeeper: Arc<Gatekeeper>,
    /// The proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Rules {
    /// Finds the lane of the source at a host and path.
    pub fn find(&self, host: &str, path: &str) -> Option<&SourceRules> {
        self.table.find(host, path).and_then(|index| self.lanes.get(index))
    }

    /// Returns the lane of this source.
    pub fn lane(&self, source: &str) -> Option<&SourceRules> {
        self.lanes.iter().find(|lane| *lane.source.name == *source)
    }

    /// Returns the places at which the senders of a source put credentials; if no source here has this name, those of
    /// all.
    pub fn credentials(&self, source: &str) -> Vec<CredentialPlace> {
        match self.lane(source) {
            Some(lane) => lane.credentials(),
            None => self.lanes.iter().flat_map(SourceRules::credentials).collect(),
        }
    }

    /// Returns a path as it is shown: without the values of parameters that hold a credential. A path that leads to no source
    /// is masked by the paths of all.
    pub fn path_shown<'p>(&self, lane: Option<&SourceRules>, path: &'p str) -> Cow<'p, str> {
        match lane {
            Some(lane) => with_names(path, lane.credentials_in_path()),
            None => with_names(path, self.lanes.iter().flat_map(SourceRules::credentials_in_path)),
        }
    }

    /// Returns the rules by which the bodies of stored events are read, by source.
    pub fn bodies(&self) -> Bodies {
        Bodies::of(self.lanes.iter().map(|lane| (&*lane.source.name, lane.body.clone())))
    }

    /// Takes over the counts under the old rules; those of a limit only if the limit is equal.
    pub fn take_over(&mut self, old: &Self) {
        if self.gatekeeper.has_rates_of(&old.gatekeeper) {
            self.gatekeeper = Arc::clone(&old.gatekeeper);
        }
        for lane in &mut self.lanes {
            if let Some(before) = old.lanes.iter().find(|before| before.source.name == lane.source.name) {
                lane.budget.take_over(&before.budget);
                lane.watch = before.watch.clone();
                if let (Some(quota), Some(before)) = (&mut lane.quota, &before.quota) {
                    quota.take_over(before);
                }
            }
        }
    }
}

/// The rules of one source.
#[derive(Debug)]
pub struct SourceRules {
    /// The source.
    pub source: Source,
    /// Its signature scheme and secrets.
    pub verifier: Verifier,
    /// The provider; `None` for a source that spells its scheme out.
    pub provider: Option<Row>,
    /// The provider's handshakes.
    pub desk: Handshakes,
    /// The place of the event type.
    pub event_type: Option<EventTemplate>,
    /// The place of the provider's delivery id.
    pub delivery_id: Option<EventTemplate>,
    /// Schemas by event type.
    pub schemas: Option<SchemaSet>,
    /// The failure budget: how near the provider is to giving this source up.
    pub budget: Budget,
    /// The watch over verifications: it detects a source on which verification only fails.
    pub watch: VerificationWatch,
    /// The quota, which verified requests spend.
    pub quota: Option<SourceQuota>,
    /// The routes that listen to this source.
    pub routes: Vec<Arc<Route>>,
    /// The part of the JSON that these rules need.
    pub reading: Reading,
    /// The rules by which bodies are read.
    pub body: BodyRules,
    /// Knows the places of its senders' credentials.
    pub redaction: Redaction,
}

/// Keys by which a message may verify.
#[derive(Debug, Default)]
pub struct NeedsKeys {
    /// The places of the keys.
    pub places: Vec<KeyLocation>,
    /// True if nothing was fetched from there yet; otherwise, the fetched keys lack the id that the message names.
    pub are_missing: bool,
}

impl SourceRules {
    /// Returns the key that recognises a repetition: the source's delivery id with the body, so that a forged id cannot
    /// swallow a real event. If an id is under the signature and the body is not, the key is that id alone, because
    /// only the id tells a replay under another body.
    pub fn dedup_key(&self, proof: &Verified, delivery_id: Option<&str>, body: &[u8]) -> Option<DedupKey> {
        let (source, window) = (self.source.name.as_bytes(), self.source.dedup_window);
        if window.is_zero() {
            return None;
        }
        let id = delivery_id.map(|id| id.as_bytes().get(..DELIVERY_ID_BYTES_MAX).unwrap_or(id.as_bytes()));
        let claimed = id.map(|id| match proof.failed() {
            // An unverified event must not be taken for the real event that may come yet.
            Some(_) => digest(&[source, id, b"unverified"]),
            None => digest(&[source, id]),
        });
        let signed = proof.signed_id().map(|id| digest(&[source, b"signed", &id]));
        // A signed id goes before a claimed one.
        let body = (signed.is_none() || proof.covers_body()).then(|| proof.fingerprint(body));
        Some(DedupKey { key: signed.or(claimed)?, body, window })
    }

    /// Returns the places at which its senders put credentials: by the scheme in force, by the provider's, which goes on
    /// whatever is verified here, and by the names of the path's parameters.
    pub fn credentials(&self) -> Vec<CredentialPlace> {
        let of_provider = self.provider.iter().flat_map(|row| row.scheme().credentials());
        let of_handshakes = self.desk.all.iter().flat_map(Handshake::credentials);
        let mut places = self.verifier.scheme().credentials();
        let of_path = self.credentials_in_path().map(|place| CredentialPlace::Path(place.to_owned()));
        places.extend(of_provider.chain(of_handshakes).chain(of_path));
        places.sort();
        places.dedup();
        places
    }

    fn credentials_in_path(&self) -> impl Iterator<Item = &str> {
        self.source.path.places().filter(|(name, _)| is_secret_name(name)).map(|(_, place)| place)
    }

    /// Stands for all that decides about a signature here.
    pub fn fingerprint(&self) -> RulesFingerprint {
        let url = self.source.public_url.as_deref().unwrap_or_default();
        let digest = digest(&[&self.verifier.print(), url.as_bytes()]);
        let (half, _) = digest.split_first_chunk::<8>().expect("sixteen bytes have a first half");
        RulesFingerprint(*half)
    }

    /// Returns the part of the JSON that this lane's rules need; called when all of them are set.
    pub fn reading_needed(&self) -> Reading {
        if self.desk.reads_json() || self.schemas.is_some() || self.routes.iter().any(|route| route.reads_body()) {
            return Reading::Tree;
        }
        let templates = [&self.event_type, &self.delivery_id].into_iter().flatten();
        let pointers: Vec<_> = templates.flat_map(EventTemplate::pointers).map(Pointer::parse).collect();
        if pointers.is_empty() && self.source.on_malformed == OnFailure::Allow {
            return Reading::Nothing;
        }
        // A pointer that the scan cannot follow is left to the tree.
        pointers.into_iter().collect::<Result<_, _>>().map_or(Reading::Tree, Reading::Scalars)
    }
}
