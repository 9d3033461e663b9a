//! The query or body of a request about stored events: its members, their bounds, and a sentence for each mistake.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::api::problem;
use crate::archive::{Archive, DeliveryState, EventFilter, RulesOf};
use crate::clock::Timestamp;
use crate::condition::Condition;
use crate::route::EventGlobs;

const USUAL_LIMIT: usize = 50;
const LIMIT_MAX: usize = 500;
const CURSOR_BYTES_MAX: usize = 64;

/// The selection of events, with the API's member names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    since: Option<String>,
    until: Option<String>,
    source: Option<String>,
    pub(super) route: Option<String>,
    pub(super) destination: Option<String>,
    r#type: Option<String>,
    pub(super) outcome: Option<String>,
    r#where: Option<String>,
    limit: Option<NonZeroUsize>,
    cursor: Option<String>,
}

/// The query of a list.
pub(super) struct ListQuery(pub(super) Which);

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let read = Query::<Which>::try_from_uri(&parts.uri);
        read.map(|Query(which)| Self(which)).map_err(|error| wrong(&error.body_text()))
    }
}

/// Parses a body; an empty one is `{}`.
#[expect(clippy::result_large_err, reason = "the answer itself, made once a request")]
pub(super) fn parse<T: for<'a> Deserialize<'a>>(body: &[u8], example: &str) -> Result<T, Response> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| wrong(&format!("send {example}: {error}")))
}

fn wrong(title: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, title)
}

impl Which {
    /// Compiles the selection into a filter.
    #[expect(clippy::result_large_err, reason = "the answer itself, made once a request")]
    pub(super) fn filter(&self, archive: &Archive) -> Result<EventFilter, Response> {
        let now = archive.clock().now();
        let time = |text: &Option<String>, what: &str| match text {
            None => Ok(None),
            Some(text) => moment(text, now).map(Some).ok_or_else(|| {
                wrong(&format!(
                    "`{what}` is a time such as 2026-11-21T08:00:00Z, or a span back from now such as 15m, 24h, 7d"
                ))
            }),
        };
        let outcome = match &self.outcome {
            None => None,
            Some(label) => Some(DeliveryState::parse(label).ok_or_else(|| {
                let known: Vec<&str> = DeliveryState::ALL.into_iter().map(DeliveryState::label).collect();
                let known = known.join(", ");
                wrong(&format!(
                    "`outcome` is one of {known}; for requests that were not stored: `filtered`, `refused`, or the reason of a refusal"
                ))
            })?),
        };
        let event_type = self.r#type.as_ref().map(|glob| EventGlobs::compile([glob.as_str()])).transpose();
        let condition = self.r#where.as_ref().map(|text| Condition::compile(text)).transpose();
        Ok(EventFilter {
            since: time(&self.since, "since")?,
            until: time(&self.until, "until")?,
            source: self.source.clone(),
            route: self.route.clone(),
            destination: self.destination.clone(),
            event_type: event_type.map_err(|error| wrong(&format!("`type` is not a glob: {error}")))?,
            outcome,
            condition: condition.map_err(|error| wrong(&format!("`where` does not compile: {error}")))?,
            bodies: archive.rules().bodies(),
        })
    }

    /// Returns the names in it that the gateway does not know. What is stored may hold a name that a reload has removed,
    /// so a name is no error by itself: it explains why nothing was found.
    pub(super) fn unknown(&self, archive: &Archive) -> Vec<UnknownName> {
        let names = [(Kind::Source, &self.source), (Kind::Route, &self.route), (Kind::Destination, &self.destination)];
        let written = names.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
        written.filter_map(|(kind, name)| UnknownName::of(kind, name, archive)).collect()
    }

    /// Returns the filter without its outcome.
    pub(super) fn without_outcome(&self) -> Self {
        Self { outcome: None, ..self.clone() }
    }

    /// Checks whether no member is given; `limit` and `cursor` do not count.
    pub(super) fn is_empty(&self) -> bool {
        let Self { since, until, source, route, destination, r#type, outcome, r#where, limit: _, cursor: _ } = self;
        let texts = [since, until, source, route, destination, r#type, outcome, r#where];
        texts.into_iter().all(Option::is_none)
    }

    /// Returns a selection for an action on all matches; `limit` and `cursor` are an error there.
    #[expect(clippy::result_large_err, reason = "the answer itself, made once a request")]
    pub(super) fn without_pages(&self) -> Result<&Self, Response> {
        if self.limit.is_some() || self.cursor.is_some() {
            return Err(wrong("`limit` and `cursor` have no meaning here: say which by the other words"));
        }
        Ok(self)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.map_or(USUAL_LIMIT, NonZeroUsize::get).min(LIMIT_MAX)
    }

    #[expect(clippy::result_large_err, reason = "the answer itself, made once a request")]
    pub(super) fn cursor(&self) -> Result<Option<Vec<u8>>, Response> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() <= CURSOR_BYTES_MAX);
        bytes.map(Some).ok_or_else(|| wrong("`cursor` is not one that a list gave"))
    }
}

/// A kind of names in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Source,
    Route,
    Destination,
}

impl Kind {
    /// Returns the names of this kind that are in force, in the order of the alphabet. A destination with a backlog is
    /// known although a reload has removed it.
    fn names(self, archive: &Archive) -> BTreeSet<Arc<str>> {
        let rules = archive.rules();
        match self {
            Self::Source => rules.lanes.iter().map(|lane| Arc::clone(&lane.source.name)).collect(),
            Self::Route => {
                rules.lanes.iter().flat_map(|lane| &lane.routes).map(|route| Arc::clone(&route.name)).collect()
            }
            Self::Destination => {
                archive.destinations().keys().cloned().chain(archive.buffer().destinations()).collect()
            }
        }
    }
}

/// A name that the gateway does not know, and those that it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct UnknownName {
    what: Kind,
    name: String,
    known: BTreeSet<Arc<str>>,
}

impl UnknownName {
    /// Returns `None` for a name that is known.
    pub(super) fn of(what: Kind, name: &str, archive: &Archive) -> Option<Self> {
        let known = what.names(archive);
        (!known.contains(name)).then(|| Self { what, name: name.to_owned(), known })
    }
}

/// A cursor, as text.
pub(super) fn cursor_text(cursor: Option<&Vec<u8>>) -> Option<String> {
    cursor.map(|bytes| HEXLOWER.encode(bytes))
}

/// Parses a time, or a span back from now.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(back) = span(text) {
        return Some(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(u64::try_from(back.as_millis()).ok()?)));
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_unix_ms)
}

fn span(text: &str) -> Option<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (number, secs) = units.iter().find_map(|(unit, secs)| Some((text.strip_suffix(unit)?, *secs)))?;
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(secs).map(Duration::from_secs)
}

/// The rules by which a replay finds its destinations.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplayRules {
    #[default]
    Original,
    Today,
}

impl From<ReplayRules> for RulesOf {
    fn from(rules: ReplayRules) -> Self {
        match rules {
            ReplayRules::Original => Self::Original,
            ReplayRules::Today => Self::Today,
        }
    }
}

/// Parses `50/s`, `1000/m` or `1/h` into deliveries a second.
pub(super) fn rate(text: &str) -> Option<f64> {
    let (number, per) = text.split_once('/')?;
    let secs = match per {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    number.trim().parse::<u32>().ok().filter(|number| *number > 0).map(|number| f64::from(number) / secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_a_span_back_from_now() {
        let now = Timestamp::from_unix_secs(1_000_000);
        assert_eq!(moment("1m", now), Some(Timestamp::from_unix_secs(999_940)));
        assert_eq!(moment("1970-01-02T00:00:00Z", now), Some(Timestamp::from_unix_secs(86_400)));
        for none in ["", "5", "m", "-1m", "1y", "yesterday", "1970-01-02"] {
            assert_eq!(moment(none, now), None, "{none}");
        }
        assert_eq!(moment("99999999d", now), Some(Timestamp::from_unix_ms(0)));
    }

    #[test]
    fn a_rate_has_its_unit() {
        assert_eq!(
            (rate("50/s"), rate("60/m"), rate("0/s"), rate("50"), rate("-1/s")),
            (Some(50.0), Some(1.0), None, None, None)
        );
    }
}
