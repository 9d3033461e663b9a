//! The flags that select stored events, shared by the commands: as a query, and as the JSON that the gateway reads.
//!
//! Values go to the gateway as they were written; the gateway reports those that it does not understand.

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

/// The filters of stored events.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// Only events received since TIME, such as 2026-11-21T09:00:00Z, or a span back from now such as 15m, 24h, 7d.
    #[arg(long, value_name = "TIME", env = "HOOKGATE_SINCE")]
    pub(super) since: Option<String>,
    /// Only events received before TIME.
    #[arg(long, value_name = "TIME", env = "HOOKGATE_UNTIL")]
    pub(super) until: Option<String>,
    /// Only events of this source.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_SOURCE")]
    pub(super) source: Option<String>,
    /// Only events of this route.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_ROUTE")]
    pub(super) route: Option<String>,
    /// Only events for this destination.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_DESTINATION")]
    pub(super) destination: Option<String>,
    /// Only events whose type matches this glob, such as `invoice.*`.
    #[arg(long, value_name = "GLOB", env = "HOOKGATE_TYPE")]
    pub(super) r#type: Option<String>,
    /// Only events for which this CEL condition is true, as in `when:` of a route.
    #[arg(long, value_name = "CEL", env = "HOOKGATE_WHERE")]
    pub(super) r#where: Option<String>,
}

/// The outcome of an event, which has the outcomes of all its deliveries. Requests with `filtered` and the outcomes
/// after it were not stored but captured. `any` is all of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Outcome {
    Any,
    Queued,
    Delivered,
    DeadLettered,
    Discarded,
    Parked,
    Quarantined,
    Unreadable,
    Filtered,
    Refused,
    NotFound,
    MethodNotAllowed,
    IpDenied,
    BadContentType,
    TooLarge,
    Malformed,
    SchemaRejected,
    MissingSignature,
    BadSignature,
    StaleTimestamp,
    RateLimited,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::DeadLettered => "dead_lettered",
            Self::Discarded => "discarded",
            Self::Parked => "parked",
            Self::Quarantined => "quarantined",
            Self::Unreadable => "unreadable",
            Self::Filtered => "filtered",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::IpDenied => "ip_denied",
            Self::BadContentType => "bad_content_type",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::SchemaRejected => "schema_rejected",
            Self::MissingSignature => "missing_signature",
            Self::BadSignature => "bad_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// The names and values of a filter, as the gateway names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct QueryPairs(Vec<(&'static str, String)>);

impl QueryPairs {
    /// Adds a condition, if it is given.
    pub(in crate::cli) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// With this outcome. Any is no condition.
    pub(super) fn outcome(self, outcome: Option<Outcome>) -> Self {
        self.with("outcome", outcome.filter(|outcome| *outcome != Outcome::Any).map(Outcome::word))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn json(&self) -> Value {
        Value::Object(
            self.0.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect::<Map<_, _>>(),
        )
    }

    /// Returns `path?…`, encoded.
    pub(super) fn at(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        format!("{path}?{}", query.finish())
    }
}

impl FilterArgs {
    /// Refuses an id together with filters: an id is one event, and nobody is told what else the filters select.
    pub(super) fn without(&self, id: Option<&IdPrefix>) -> Result<(), Exit> {
        if id.is_some() && !self.wanted().is_empty() {
            terminal::tell("hookgate: an id is one event; filters are for many");
            return Err(Exit::Usage);
        }
        Ok(())
    }

    pub(super) fn wanted(&self) -> QueryPairs {
        QueryPairs::default()
            .with("since", self.since.as_deref())
            .with("until", self.until.as_deref())
            .with("source", self.source.as_deref())
            .with("route", self.route.as_deref())
            .with("destination", self.destination.as_deref())
            .with("type", self.r#type.as_deref())
            .with("where", self.r#where.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_query_and_json() {
        let filter = FilterArgs {
            since: Some("24h".into()),
            r#type: Some("invoice.*".into()),
            r#where: Some("body.a == \"b&c\"".into()),
            ..FilterArgs::default()
        };
        let wanted = filter.wanted().outcome(Some(Outcome::DeadLettered));
        assert_eq!(
            wanted.at("/x"),
            "/x?since=24h&type=invoice.*&where=body.a+%3D%3D+%22b%26c%22&outcome=dead_lettered"
        );
        assert_eq!(
            wanted.json(),
            serde_json::json!({"since": "24h", "where": "body.a == \"b&c\"", "type": "invoice.*", "outcome": "dead_lettered"})
        );
        assert!(QueryPairs::default().is_empty());
        assert_eq!(QueryPairs::default().at("/x"), "/x");
    }

    #[test]
    fn every_outcome_is_written_as_the_gateway_writes_it() {
        for outcome in Outcome::value_variants() {
            assert_eq!(outcome.to_possible_value().unwrap().get_name(), outcome.word());
        }
    }
}
