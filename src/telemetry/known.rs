//! The series that exist from the start.
//!
//! A counter that appears with its first increment hides that increment from `increase()`. So every series whose labels
//! are names of the configuration or words of a closed list exists, at zero, from the start and after each reload.
//! Series of names that a reload removed stay until the process ends, because their counts stay true.
//!
//! Left out: statuses that a service chooses in `mode: sync`.

use std::collections::BTreeSet;

use super::{NO_SOURCE, Telemetry, TlsFailure, code_text};
use crate::outcome::AttemptOutcome;
use crate::refusal::{Class, RequestOutcome};
use crate::route::Stage;
use crate::telemetry::{AnsweredBy, Deferral, DeliveryResult};

/// The refusals of requests that reached no source.
const WITHOUT_SOURCE: [Class; 6] =
    [Class::NotFound, Class::Malformed, Class::HeadersTooLarge, Class::RateLimited, Class::Overloaded, Class::Draining];
/// The refusals of requests whose sender went away before the answer (status `000`).
const BROKEN_OFF: [Class; 2] = [Class::Malformed, Class::BodyTimeout];
/// The refusals whose reason prescribes another status than the class: a target that is too long.
const OTHER_STATUS: [(Class, u16); 1] = [(Class::HeadersTooLarge, 414)];
/// Operations of the buffer that can fail.
const OPERATIONS: [&str; 2] = ["commit", "read"];

/// The names in force.
#[derive(Clone, Debug, Default)]
pub struct ConfiguredNames<'a> {
    /// Sources.
    pub sources: Vec<KnownSource<'a>>,
    /// Routes.
    pub routes: BTreeSet<&'a str>,
    /// Destinations.
    pub destinations: BTreeSet<&'a str>,
}

/// A source in force.
#[derive(Clone, Debug)]
pub struct KnownSource<'a> {
    /// Its name.
    pub name: &'a str,
    /// The statuses of each outcome.
    pub answers: Vec<(RequestOutcome, u16)>,
    /// The files of its schemas.
    pub schemas: BTreeSet<&'a str>,
    /// True when the source is in `mode: sync`.
    pub is_sync: bool,
}

impl Telemetry {
    /// Begins the series of these names, where they are new.
    pub fn known(&self, known: &ConfiguredNames<'_>) {
        let families = &self.0;
        for source in &known.sources {
            self.known_source(source);
        }
        for class in WITHOUT_SOURCE {
            self.known_answer(NO_SOURCE, RequestOutcome::Refused(class), class.status());
        }
        for (class, status) in OTHER_STATUS.into_iter().chain(BROKEN_OFF.map(|class| (class, 0))) {
            self.known_answer(NO_SOURCE, RequestOutcome::Refused(class), status);
        }
        families.request_seconds.with_label_values(&[NO_SOURCE]);
        for route in &known.routes {
            families.route_matches.with_label_values(&[*route]);
            families.latency.with_label_values(&[*route]);
            for stage in Stage::ALL {
                families.route_errors.with_label_values(&[*route, stage.label()]);
            }
        }
        for destination in &known.destinations {
            self.known_destination(destination);
        }
        for operation in OPERATIONS {
            families.buffer_errors.with_label_values(&[operation]);
        }
    }

    /// Begins the series of a listener that takes events.
    pub fn known_listener(&self, listener: &str, has_tls: bool) {
        self.0.connections.with_label_values(&[listener]);
        self.0.in_flight.with_label_values(&[listener]);
        for reason in TlsFailure::ALL.into_iter().filter(|_| has_tls) {
            self.0.tls_failures.with_label_values(&[listener, reason.label()]);
        }
    }

    fn known_source(&self, source: &KnownSource<'_>) {
        let (families, name) = (&self.0, source.name);
        for (outcome, status) in &source.answers {
            self.known_answer(name, *outcome, *status);
        }
        for class in BROKEN_OFF {
            self.known_answer(name, RequestOutcome::Refused(class), 0);
        }
        for verdict in ["verified", "failed", "not_configured"] {
            families.verifications.with_label_values(&[name, verdict]);
        }
        for schema in &source.schemas {
            families.schema_failures.with_label_values(&[name, *schema]);
        }
        for counter in [&families.handshakes, &families.duplicates, &families.unrouted, &families.same_ids] {
            counter.with_label_values(&[name]);
        }
        for histogram in [&families.request_seconds, &families.request_bytes, &families.provider_lag] {
            histogram.with_label_values(&[name]);
        }
        families.quarantined.with_label_values(&[name]);
        for by in AnsweredBy::ALL.into_iter().filter(|_| source.is_sync) {
            families.sync_answers.with_label_values(&[name, by.label()]);
        }
    }

    fn known_answer(&self, source: &str, outcome: RequestOutcome, status: u16) {
        let mut code = [0; 3];
        self.0.requests.with_label_values(&[source, outcome.label(), code_text(status, &mut code)]);
    }

    fn known_destination(&self, destination: &str) {
        let families = &self.0;
        for outcome in AttemptOutcome::ALL {
            families.attempts.with_label_values(&[destination, outcome.label()]);
        }
        for cause in Deferral::ALL {
            families.deferrals.with_label_values(&[destination, cause.label()]);
        }
        for result in DeliveryResult::LABELS {
            families.deliveries.with_label_values(&[destination, result]);
        }
        families.attempt_seconds.with_label_values(&[destination]);
        for gauge in [&families.circuit_open, &families.delivery_in_flight] {
            gauge.with_label_values(&[destination]);
        }
    }
}
