//! Routes that fail on events: each failure is counted, and one a minute for each route is logged.
//!
//! Invariant: the state is bounded by the routes of the file; routes that a reload removed are forgotten when another
//! one fails. Time is handed in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AnsweredRequest, Telemetry};
use crate::accept::RouteError;
use crate::clock::Timestamp;
use crate::refusal::RequestOutcome;
use crate::route::OnError;

/// The time between two lines about one route.
const LINE_EVERY_MS: u64 = 60_000;

/// The time of the last log line about each failing route, and the number of failures since.
#[derive(Debug, Default)]
pub(super) struct RouteLines(Mutex<BTreeMap<Arc<str>, Line>>);

#[derive(Clone, Copy, Debug)]
struct Line {
    at: Timestamp,
    since: u64,
}

impl RouteLines {
    /// Notes a failure; returns the number of failures since the last line where another line is due.
    fn due(&self, route: &Arc<str>, now: Timestamp) -> Option<u64> {
        let mut lines = self.lock();
        // A clock that was set back must not silence a route.
        let is_over = |line: &Line| now.unix_ms().abs_diff(line.at.unix_ms()) >= LINE_EVERY_MS;
        match lines.get_mut(route) {
            Some(line) if !is_over(line) => {
                line.since += 1;
                None
            }
            known => {
                let since = known.map_or(0, |line| line.since);
                lines.retain(|_, line| !is_over(line));
                lines.insert(Arc::clone(route), Line { at: now, since: 0 });
                Some(since)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// Counts the routes that failed on the event of a request, and logs those whose line is due.
    pub(super) fn route_errors(&self, source: &str, request: &AnsweredRequest<'_>, now: Timestamp) {
        for error in &request.notes.route_errors {
            self.0.route_errors.with_label_values(&[&*error.route, error.stage().label()]).inc();
            let Some(since_last_line) = self.3.due(&error.route, now) else { continue };
            let event = request.event.map(|id| id.to_string());
            tracing::warn!(
                target: "hookgate::routes",
                route = %error.route,
                stage = error.stage().label(),
                error = %error.fault,
                source,
                event = event.as_deref(),
                outcome = request.outcome.label(),
                since_last_line,
                "a route failed on an event: {}", what_to_do(error, request.outcome)
            );
        }
    }
}

const fn what_to_do(error: &RouteError, outcome: RequestOutcome) -> &'static str {
    match (outcome, error.on_error) {
        (RequestOutcome::Quarantined, _) => {
            "the event is in quarantine; correct the rule and reload, then `hookgate quarantine judge` delivers the event"
        }
        (RequestOutcome::Accepted, _) => {
            "other routes took the event; mend the rule, reload, then `hookgate events replay ID --rules today` \
             delivers it here too"
        }
        (_, OnError::NoMatch) => "no match, because of `on_error: no_match`; the event is not kept",
        (_, OnError::Quarantine) => "the event was not stored; mend the rule",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_one_line_a_minute_which_says_what_came_since() {
        let lines = RouteLines::default();
        let (stock, audit): (Arc<str>, Arc<str>) = ("stock".into(), "audit".into());
        let at = Timestamp::from_unix_secs;
        assert_eq!(lines.due(&stock, at(1_000)), Some(0));
        assert_eq!(lines.due(&audit, at(1_001)), Some(0), "another route has a line of its own");
        for second in 1_001..1_060 {
            assert_eq!(lines.due(&stock, at(second)), None);
        }
        assert_eq!(lines.due(&stock, at(1_060)), Some(59));
        assert_eq!(lines.due(&stock, at(1_061)), None);
        assert_eq!(lines.due(&stock, at(500)), Some(1), "a clock that was set back silences nothing");
    }

    #[test]
    fn routes_that_are_gone_are_forgotten() {
        let lines = RouteLines::default();
        for number in 0..1_000_u64 {
            let route: Arc<str> = format!("r{number}").into();
            assert_eq!(lines.due(&route, Timestamp::from_unix_secs(number * 60)), Some(0));
        }
        assert!(lines.lock().len() <= 2, "{}", lines.lock().len());
    }
}
