//! The alarm for a source that only fails verification: its known senders have failed for minutes, and none verifies.
//!
//! A secret that was rotated on one side only has this effect. Strangers must not be able to raise the alarm, so a
//! failure counts only when its sender was verified at this source before, or when it came from the network of such a
//! sender and carried a well-formed signature. Any request that verifies ends the alarm, also one that was refused and
//! verifies when it is admitted.
//!
//! Counts live in memory and a reload keeps them. After a start, the stored events give each source's last verified
//! request and its senders. The time is a parameter.
//!
//! Bounds: of each source, the `SENDERS_MAX` senders that were verified last are remembered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::provider::FailureKind;
use crate::sender::Sender;

/// The duration of failures without success that raises the alarm.
pub const ALARM_AFTER: Duration = Duration::from_mins(5);
/// The number of senders of a source that are remembered.
const SENDERS_MAX: usize = 64;

/// The verification of one source over time. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct VerificationWatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last_verified: Option<Timestamp>,
    /// Senders that were verified, the last one at the end.
    senders: Vec<Sender>,
    failures: Option<Failures>,
}

/// Failures since the source was verified last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The time of the first failure.
    pub since: Timestamp,
    /// The number of failures.
    pub count: u64,
    /// The time of the last verified request before the first failure.
    pub last_verified: Timestamp,
    /// The kind of the last failure.
    pub kind: FailureKind,
    /// True once the alarm was raised.
    pub is_told: bool,
}

/// A change of the alarm, reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// The source has only failures.
    Began(Failures),
    /// The source verifies again.
    Ended(Failures),
}

/// The verification state of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The time of the last verified request.
    pub last_verified: Option<Timestamp>,
    /// True while the alarm stands.
    pub is_only_failing: bool,
}

impl VerificationWatch {
    /// Records a request that was verified.
    pub fn verified(&self, sender: Sender, now: Timestamp) -> Option<AlarmChange> {
        let mut state = self.lock();
        state.last_verified = Some(now);
        state.remember(sender);
        state.failures.take().filter(|failures| failures.is_told).map(AlarmChange::Ended)
    }

    /// Records a request that was refused when it came and verifies by now. It ends the alarm unless it came before the
    /// source was verified last: then it is of an earlier incident.
    pub fn verified_later(&self, sender: Option<Sender>, received: Timestamp) -> Option<AlarmChange> {
        let mut state = self.lock();
        state.last_verified = state.last_verified.max(Some(received));
        if let Some(sender) = sender {
            state.remember(sender);
        }
        state.failures.filter(|failures| failures.last_verified <= received)?;
        state.failures.take().filter(|failures| failures.is_told).map(AlarmChange::Ended)
    }

    /// Records a request that failed.
    pub fn failed(&self, sender: Sender, kind: FailureKind, now: Timestamp) -> Option<AlarmChange> {
        let mut state = self.lock();
        let last_verified = state.last_verified?;
        if !state.counts(sender, kind.is_well_formed()) {
            return None;
        }
        let none = Failures { since: now, count: 0, last_verified, kind, is_told: false };
        let failures = state.failures.get_or_insert(none);
        (failures.count, failures.kind) = (failures.count.saturating_add(1), kind);
        state.alarm(now)
    }

    /// Raises the alarm when the failures have lasted [`ALARM_AFTER`].
    pub fn tick(&self, now: Timestamp) -> Option<AlarmChange> {
        self.lock().alarm(now)
    }

    /// Records a verified request from before the start, as a stored event gives it. Nothing newer is overwritten.
    pub fn learn(&self, sender: Option<Sender>, verified_at: Timestamp) {
        let mut state = self.lock();
        state.last_verified = state.last_verified.max(Some(verified_at));
        if let Some(sender) =
            sender.filter(|sender| state.senders.len() < SENDERS_MAX && !state.senders.contains(sender))
        {
            state.senders.insert(0, sender);
        }
    }

    /// Checks whether a sender was verified at this source before.
    pub fn knows(&self, sender: Sender) -> bool {
        self.lock().senders.contains(&sender)
    }

    /// Returns the verification state of the source.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        let is_only_failing = state.failures.is_some_and(|failures| failures.is_told);
        Standing { last_verified: state.last_verified, is_only_failing }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, sender: Sender) {
        // Nearly always the sender is the last one of the list.
        if self.senders.last() == Some(&sender) {
            return;
        }
        self.senders.retain(|known| *known != sender);
        if self.senders.len() >= SENDERS_MAX {
            self.senders.remove(0);
        }
        self.senders.push(sender);
    }

    fn counts(&self, sender: Sender, is_well_formed: bool) -> bool {
        let is_near = |known: &Sender| is_well_formed && known.network() == sender.network();
        self.senders.iter().any(|known| *known == sender || is_near(known))
    }

    fn alarm(&mut self, now: Timestamp) -> Option<AlarmChange> {
        let failures = self.failures.as_mut().filter(|failures| !failures.is_told)?;
        failures.is_told = now.since(failures.since) >= ALARM_AFTER;
        failures.is_told.then_some(AlarmChange::Began(*failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: FailureKind = FailureKind::WrongSecretOrBody;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_760_000_000 + secs)
    }

    fn sender(text: &str) -> Sender {
        Sender::of(text.parse().unwrap())
    }

    /// A source that was verified once, from 192.0.2.1.
    fn verified() -> VerificationWatch {
        let watch = VerificationWatch::default();
        assert_eq!(watch.verified(sender("192.0.2.1"), at(0)), None);
        watch
    }

    #[test]
    fn five_minutes_of_failures_after_a_rotation_on_one_side_are_told_once_and_end_with_a_verified_request() {
        let watch = verified();
        let provider = sender("192.0.2.1");
        for secs in 60..=359 {
            assert_eq!(watch.failed(provider, WRONG, at(secs)), None, "{secs}");
        }
        let Some(AlarmChange::Began(failures)) = watch.failed(provider, WRONG, at(360)) else { panic!("five minutes") };
        assert_eq!((failures.since, failures.count, failures.last_verified), (at(60), 301, at(0)));
        assert!(watch.standing().is_only_failing);
        assert_eq!(watch.failed(provider, WRONG, at(361)), None);
        assert_eq!(watch.tick(at(400)), None, "told once");
        assert!(matches!(watch.verified(provider, at(500)), Some(AlarmChange::Ended(Failures { count: 302, .. }))));
        assert_eq!(watch.standing(), Standing { last_verified: Some(at(500)), is_only_failing: false });
    }

    #[test]
    fn an_admitted_request_ends_it_unless_it_is_of_an_earlier_incident() {
        let watch = verified();
        watch.verified(sender("192.0.2.1"), at(30));
        watch.failed(sender("192.0.2.1"), WRONG, at(60));
        assert!(watch.tick(at(400)).is_some());
        assert_eq!(watch.verified_later(Some(sender("192.0.2.1")), at(29)), None);
        assert!(watch.standing().is_only_failing);
        assert!(matches!(watch.verified_later(None, at(59)), Some(AlarmChange::Ended(Failures { count: 1, .. }))));
        assert_eq!(watch.standing(), Standing { last_verified: Some(at(59)), is_only_failing: false });
    }

    #[test]
    fn it_is_told_although_no_further_request_comes() {
        let watch = verified();
        watch.failed(sender("192.0.2.1"), FailureKind::Missing, at(10));
        assert_eq!(watch.tick(at(309)), None);
        assert!(matches!(watch.tick(at(310)), Some(AlarmChange::Began(_))));
    }

    #[test]
    fn a_scanner_alone_never_raises_it() {
        let watch = verified();
        for secs in 1..10_000 {
            assert_eq!(watch.failed(sender("203.0.113.9"), WRONG, at(secs)), None);
            assert_eq!(
                watch.failed(sender("192.0.99.9"), FailureKind::Missing, at(secs)),
                None,
                "unsigned, from the same network"
            );
        }
        assert_eq!(watch.tick(at(20_000)), None);
    }

    #[test]
    fn a_scanner_beside_traffic_that_verifies_never_raises_it() {
        let watch = verified();
        for minute in 1..100 {
            for secs in 0..60 {
                assert_eq!(watch.failed(sender("192.0.2.1"), WRONG, at(minute * 60 + secs)), None);
            }
            assert_eq!(watch.verified(sender("192.0.2.1"), at(minute * 60 + 59)), None);
        }
    }

    #[test]
    fn a_provider_that_sends_from_another_address_of_its_network_counts() {
        let watch = verified();
        watch.failed(sender("192.0.77.7"), WRONG, at(1));
        assert!(watch.tick(at(301)).is_some());
    }

    #[test]
    fn a_source_that_never_verified_has_no_rotation() {
        let watch = VerificationWatch::default();
        watch.failed(sender("192.0.2.1"), WRONG, at(1));
        assert_eq!(watch.tick(at(1000)), None);
        // A stored event shows that the source was verified before the start.
        watch.learn(Some(sender("192.0.2.1")), at(0));
        watch.failed(sender("192.0.2.1"), WRONG, at(1001));
        assert!(watch.tick(at(1301)).is_some());
    }

    #[test]
    fn the_senders_that_are_remembered_are_bounded_and_the_last_ones() {
        let watch = VerificationWatch::default();
        for n in 0..1000_u32 {
            watch.verified(Sender::of(std::net::Ipv4Addr::from(n).into()), at(1));
        }
        assert_eq!(watch.lock().senders.len(), SENDERS_MAX);
        assert!(watch.knows(Sender::of(std::net::Ipv4Addr::from(999).into())));
        assert!(!watch.knows(Sender::of(std::net::Ipv4Addr::from(1).into())));
    }
}
