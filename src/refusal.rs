//! The reasons for refusing a request, and the outcomes of requests.
//!
//! Both lists are closed: status, metric label, title for the sender and `Retry-After` are exhaustive matches, so a new
//! reason does not compile until each of them has an arm. The default statuses are those of the contract; a provider's
//! row or a source's `answers:` may set another one.
//!
//! A refusal carries two texts: the class's title, which the sender reads, and `why`, which only the operator reads
//! (log, console). Neither holds secrets, expected signatures or payload.

#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;

/// The largest number of problems that a refusal lists.
pub const PROBLEMS_MAX: usize = 20;

/// The treatment of an event that fails a gate after the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is counted and goes on.
    Allow,
    /// It is answered as accepted and kept aside with its problems.
    Quarantine,
    /// It is refused.
    Reject,
}

impl OnFailure {
    /// Returns the word of `routes.yaml`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// The reason of a refusal: the closed list of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No source at this host and path.
    NotFound,
    /// The source does not take this method.
    MethodNotAllowed,
    /// The sender's address is not on the source's list.
    IpDenied,
    /// The source does not take this content type.
    BadContentType,
    /// The body is larger than the source's cap.
    TooLarge,
    /// The headers are larger or more than the listener's cap.
    HeadersTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The request's framing, or its JSON, is not well formed.
    Malformed,
    /// The payload does not match its schema.
    SchemaRejected,
    /// There is no signature where the provider puts one.
    MissingSignature,
    /// The signature does not match.
    BadSignature,
    /// The signed time is outside the window.
    StaleTimestamp,
    /// A limit on requests was reached.
    RateLimited,
    /// The buffer takes no more.
    BufferFull,
    /// The gateway has too much in flight.
    Overloaded,
    /// The gateway is stopping.
    Draining,
    /// A fault of ours.
    Internal,
    /// `mode: sync`: the internal service could not be reached or broke off.
    UpstreamError,
    /// `mode: sync`: the internal service did not answer in time.
    UpstreamTimeout,
}

impl Class {
    /// Every class, for tables and tests.
    pub const ALL: [Self; 19] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::IpDenied,
        Self::BadContentType,
        Self::TooLarge,
        Self::HeadersTooLarge,
        Self::BodyTimeout,
        Self::Malformed,
        Self::SchemaRejected,
        Self::MissingSignature,
        Self::BadSignature,
        Self::StaleTimestamp,
        Self::RateLimited,
        Self::BufferFull,
        Self::Overloaded,
        Self::Draining,
        Self::Internal,
        Self::UpstreamError,
        Self::UpstreamTimeout,
    ];

    /// Returns the name in metric labels, log fields and the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::IpDenied => "ip_denied",
            Self::BadContentType => "bad_content_type",
            Self::TooLarge => "too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Malformed => "malformed",
            Self::SchemaRejected => "schema_rejected",
            Self::MissingSignature => "missing_signature",
            Self::BadSignature => "bad_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::RateLimited => "rate_limited",
            Self::BufferFull => "buffer_full",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Internal => "internal",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// Returns the status that is answered unless the provider's row or the source sets another one.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::MissingSignature | Self::BadSignature | Self::StaleTimestamp => 401,
            Self::IpDenied => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::TooLarge => 413,
            Self::BadContentType => 415,
            Self::SchemaRejected => 422,
            Self::HeadersTooLarge => 431,
            Self::UpstreamError => 502,
            Self::RateLimited | Self::BufferFull | Self::Overloaded | Self::Draining | Self::Internal => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// Returns the title for the sender (RFC 9457 `title`).
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "No such endpoint",
            Self::MethodNotAllowed => "Method not allowed",
            Self::IpDenied => "Address not allowed",
            Self::BadContentType => "Content type not accepted",
            Self::TooLarge => "Body too large",
            Self::HeadersTooLarge => "Headers too large",
            Self::BodyTimeout => "Body did not arrive in time",
            Self::Malformed => "Malformed request",
            Self::SchemaRejected => "Payload does not match its schema",
            Self::MissingSignature | Self::BadSignature | Self::StaleTimestamp => "Signature not accepted",
            Self::RateLimited => "Too many requests",
            Self::BufferFull | Self::Overloaded | Self::Draining => "Temporarily unavailable",
            Self::Internal => "Internal error",
            Self::UpstreamError => "Service could not be reached",
            Self::UpstreamTimeout => "Service did not answer in time",
        }
    }

    /// Returns `Retry-After` in seconds, when a retry may help. It is 30, because Zendesk retries a 503 only below 60.
    pub const fn retry_after_secs(self) -> Option<u32> {
        match self {
            Self::RateLimited | Self::BufferFull | Self::Overloaded | Self::Draining | Self::Internal => Some(30),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::IpDenied
            | Self::BadContentType
            | Self::TooLarge
            | Self::HeadersTooLarge
            | Self::BodyTimeout
            | Self::Malformed
            | Self::SchemaRejected
            | Self::MissingSignature
            | Self::BadSignature
            | Self::StaleTimestamp
            | Self::UpstreamError
            | Self::UpstreamTimeout => None,
        }
    }
}

/// A problem of a payload: its place (JSON pointer, RFC 6901) and a message, without the value itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PayloadProblem {
    /// JSON pointer to the offending value; empty is the whole document.
    pub pointer: String,
    /// The problem, in a sentence.
    pub message: String,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason in the closed list.
    pub class: Class,
    /// The reason for the operator.
    pub why: Cow<'static, str>,
    /// For `schema_rejected` and `malformed`: at most [`PROBLEMS_MAX`].
    pub problems: Vec<PayloadProblem>,
    /// The seconds until a retry may help, by default those of the class.
    pub retry_after_secs: Option<u32>,
    /// The status, where the reason prescribes one that neither the class nor the source decides.
    pub status: Option<u16>,
    /// True when the end of this request on the connection is unknown, so that the connection must be closed.
    pub breaks_framing: bool,
    /// A title and a detail for the sender, where the class's title is not enough to correct the request.
    pub told: Option<Box<Told>>,
}

/// An RFC 9457 `title` and `detail` for the sender, beside the class. Both hold no key of the configuration, no secret
/// and nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The title, in place of the class's title.
    pub title: &'static str,
    /// An instruction to the sender for correcting the request.
    pub detail: String,
    /// A header that the status asks for.
    pub header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    /// Creates a refusal with the reason for the operator.
    pub fn new(class: Class, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            why: why.into(),
            problems: Vec::new(),
            retry_after_secs: class.retry_after_secs(),
            status: None,
            breaks_framing: false,
            told: None,
        }
    }

    /// Adds a title and a detail for the sender.
    #[must_use]
    pub fn telling(mut self, title: &'static str, detail: impl Into<String>) -> Self {
        self.told = Some(Box::new(Told { title, detail: detail.into(), header: None }));
        self
    }

    /// Adds a header that the status asks for; needs [`Self::telling`] first.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        if let Some(told) = &mut self.told {
            told.header = Some((name, value));
        }
        self
    }

    /// Makes the connection close after the answer.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        self.breaks_framing = true;
        self
    }

    /// Adds the problems of the payload, at most [`PROBLEMS_MAX`].
    #[must_use]
    pub fn with_problems(mut self, mut problems: Vec<PayloadProblem>) -> Self {
        problems.truncate(PROBLEMS_MAX);
        self.problems = problems;
        self
    }
}

/// The outcome of a request: the closed list behind the `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestOutcome {
    /// Verified and durably stored, to be delivered.
    Accepted,
    /// Verified and already stored under the same delivery id.
    Duplicate,
    /// Answered as a provider's handshake; nothing stored.
    Handshake,
    /// Verified, but no route wants it.
    Filtered,
    /// Answered as accepted, stored with its problems, not delivered.
    Quarantined,
    /// Refused.
    Refused(Class),
}

impl RequestOutcome {
    /// Every outcome, in the order of the contract's table.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
    pub const ALL: [Self; 24] = {
        let mut all = [Self::Accepted; 24];
        all[1] = Self::Duplicate;
        all[2] = Self::Handshake;
        all[3] = Self::Filtered;
        all[4] = Self::Quarantined;
        let mut at = 0;
        while at < Class::ALL.len() {
            all[at + 5] = Self::Refused(Class::ALL[at]);
            at += 1;
        }
        all
    };

    /// The labels of [`Self::ALL`], in the same order.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
    pub const LABELS: [&'static str; 24] = {
        let mut labels = [""; 24];
        let mut at = 0;
        while at < labels.len() {
            labels[at] = Self::ALL[at].label();
            at += 1;
        }
        labels
    };

    /// Returns the outcome with this label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.label() == label)
    }

    /// Tells whether a request was refused for its signature: it has none, a wrong one, or one outside its time.
    pub const fn is_for_signature(self) -> bool {
        matches!(self, Self::Refused(Class::MissingSignature | Class::BadSignature | Class::StaleTimestamp))
    }

    /// Metric label, log field and API field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::Filtered => "filtered",
            Self::Quarantined => "quarantined",
            Self::Refused(class) => class.label(),
        }
    }
}

impl<'de> serde::Deserialize<'de> for RequestOutcome {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl serde::de::Visitor<'_> for Word {
            type Value = RequestOutcome;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an outcome")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RequestOutcome, E> {
                RequestOutcome::of_label(text).ok_or_else(|| E::unknown_field(text, &RequestOutcome::LABELS))
            }
        }

        deserializer.deserialize_str(Word)
    }
}

impl schemars::JsonSchema for RequestOutcome {
    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::LABELS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn labels_are_unique_and_lower_snake_case() {
        let labels: BTreeSet<_> = Class::ALL.iter().map(|class| class.label()).collect();
        assert_eq!(labels.len(), Class::ALL.len());
        let outcomes: BTreeSet<_> = RequestOutcome::LABELS.into_iter().collect();
        assert_eq!(outcomes.len(), RequestOutcome::ALL.len());
        assert!(labels.iter().all(|label| label.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }

    #[test]
    fn every_503_says_when_to_come_back() {
        for class in Class::ALL {
            assert_eq!(class.status() == 503, class.retry_after_secs().is_some(), "{class:?}");
        }
    }

    #[test]
    fn a_refusal_lists_at_most_twenty_problems() {
        let one = PayloadProblem { pointer: "/a".into(), message: "wrong".into() };
        let refusal = Refusal::new(Class::SchemaRejected, "x").with_problems(vec![one; 50]);
        assert_eq!(refusal.problems.len(), PROBLEMS_MAX);
    }
}
