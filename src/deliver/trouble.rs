//! The trouble of a destination and its log lines: one a minute while the trouble lasts, and one when it is over.
//!
//! A destination is in trouble while deliveries wait and its circuit is open, or nothing has succeeded for a minute
//! although attempts were made. The trouble is over when the circuit is closed, an attempt has succeeded, and what
//! waited is worked off. A destination that fails some events and takes others is not in trouble.
//!
//! Time and counts are handed in. Not here: the decision what is sent (`breaker`), the words of the lines
//! (`telemetry`).

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::telemetry::{Troubled, WellAgain};

/// The time between two lines, and the time without a success after which a closed circuit is in trouble.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// The last attempt that failed and is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The time at which the attempt ended.
    pub at: Timestamp,
    /// Host and port of the target.
    pub target: String,
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// A text for people, without payload and secrets.
    pub detail: String,
}

/// A snapshot of a destination at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) is_open: bool,
    /// Deliveries that wait for an attempt, due or later.
    pub(super) waiting: u64,
    /// Waiting deliveries that are due.
    pub(super) ready: u64,
    /// The concurrency: this many attempts are always in flight in good times.
    pub(super) concurrency: u64,
}

/// The content of a log line that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TroubleReport {
    Troubled(Troubled),
    WellAgain(WellAgain),
}

/// Trouble that has begun and is not over.
#[derive(Clone, Copy, Debug)]
struct Incident {
    since: Instant,
    said_at: Instant,
    /// The first success of its end, and the number of successes.
    recovered: Option<(Instant, u64)>,
}

/// The state of one destination.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The first failure since the last success.
    failing_since: Option<Instant>,
    last_error: Option<LastError>,
    incident: Option<Incident>,
}

impl Trouble {
    /// Notes an attempt that succeeded.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.failing_since = None;
        if let Some(incident) = &mut self.incident {
            let (since, count) = incident.recovered.unwrap_or((now, 0));
            incident.recovered = Some((since, count + 1));
        }
    }

    /// Notes an attempt that failed and is retried.
    pub(super) fn failed(&mut self, error: LastError, now: Instant) {
        self.failing_since.get_or_insert(now);
        self.last_error = Some(error);
    }

    /// Returns the time since which there is trouble.
    pub(super) fn since(&self) -> Option<Instant> {
        self.incident.map(|incident| incident.since)
    }

    pub(super) const fn last_error(&self) -> Option<&LastError> {
        self.last_error.as_ref()
    }

    /// Observes the destination, about once a second; returns the report that is due.
    pub(super) fn look(&mut self, observation: Observation, now: Instant) -> Option<TroubleReport> {
        let failing_for = self.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let is_in_trouble = observation.waiting > 0 && (observation.is_open || failing_for >= SAY_EVERY);
        let Some(incident) = &mut self.incident else {
            if is_in_trouble {
                // The opening of a circuit is logged when it opens.
                let said_at = if observation.is_open { now } else { now.checked_sub(SAY_EVERY).unwrap_or(now) };
                let since = self.failing_since.unwrap_or(now);
                self.incident = Some(Incident { since, said_at, recovered: None });
            }
            return if is_in_trouble && !observation.is_open { self.look(observation, now) } else { None };
        };
        let is_worked_off = observation.ready <= observation.concurrency;
        if let Some((since, taken)) =
            incident.recovered.filter(|_| !observation.is_open && !is_in_trouble && is_worked_off)
        {
            let (lasted, took) = (now.saturating_duration_since(incident.since), now.saturating_duration_since(since));
            self.incident = None;
            return Some(TroubleReport::WellAgain(WellAgain { taken, took, lasted }));
        }
        if observation.waiting == 0 || now.saturating_duration_since(incident.said_at) < SAY_EVERY {
            return None;
        }
        incident.said_at = now;
        let error = self.last_error.as_ref();
        Some(TroubleReport::Troubled(Troubled {
            lasts: now.saturating_duration_since(incident.since),
            waiting: observation.waiting,
            target: error.map(|error| error.target.clone()),
            status: error.and_then(|error| error.status),
            error: error.map(|error| error.detail.clone()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn observation(is_open: bool, waiting: u64) -> Observation {
        Observation { is_open, waiting, ready: waiting, concurrency: 64 }
    }

    fn error() -> LastError {
        let at = Timestamp::from_unix_ms(1);
        LastError { at, target: "billing:80".into(), status: Some(502), detail: "status 502".into() }
    }

    /// Looks once a second for `secs` seconds; returns the reports.
    fn looks(trouble: &mut Trouble, now: &mut Instant, secs: u32, observation: Observation) -> Vec<TroubleReport> {
        let mut said = Vec::new();
        for _ in 0..secs {
            *now += SECOND;
            said.extend(trouble.look(observation, *now));
        }
        said
    }

    #[test]
    fn an_outage_is_said_once_a_minute_with_how_many_wait_and_the_last_error() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        trouble.failed(error(), now);
        let said = looks(&mut trouble, &mut now, 19 * 60, observation(true, 1084));
        assert_eq!(said.len(), 18, "{said:?}");
        let Some(TroubleReport::Troubled(last)) = said.last() else { panic!("{said:?}") };
        let told = (last.waiting, last.target.as_deref(), last.status, last.error.as_deref());
        assert_eq!(told, (1084, Some("billing:80"), Some(502), Some("status 502")));
        assert!(last.lasts >= SECOND * 18 * 60);
    }

    #[test]
    fn the_end_is_said_once_when_what_waited_is_worked_off() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        trouble.failed(error(), now);
        looks(&mut trouble, &mut now, 90, observation(true, 500));
        trouble.succeeded(now);
        assert_eq!(looks(&mut trouble, &mut now, 10, observation(false, 400)), [], "it still works");
        (0..9).for_each(|_| trouble.succeeded(now));
        let said = looks(&mut trouble, &mut now, 200, observation(false, 3));
        let wanted = WellAgain { taken: 10, took: SECOND * 11, lasted: SECOND * 101 };
        assert_eq!(said, [TroubleReport::WellAgain(wanted)]);
    }

    #[test]
    fn nothing_is_said_of_a_destination_that_takes_some_and_fails_others() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        for _ in 0..600 {
            trouble.failed(error(), now);
            assert_eq!(looks(&mut trouble, &mut now, 1, observation(false, 3)), []);
            trouble.succeeded(now);
        }
    }

    #[test]
    fn failures_without_an_open_circuit_are_trouble_after_a_minute() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        trouble.failed(error(), now);
        assert_eq!(looks(&mut trouble, &mut now, 59, observation(false, 1)), []);
        assert_eq!(looks(&mut trouble, &mut now, 1, observation(false, 1)).len(), 1);
        assert_eq!(looks(&mut trouble, &mut now, 120, observation(false, 1)).len(), 2);
    }

    #[test]
    fn nothing_is_said_while_nothing_waits() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        trouble.failed(error(), now);
        assert_eq!(looks(&mut trouble, &mut now, 600, observation(true, 0)), []);
    }
}
