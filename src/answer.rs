//! Answers to senders: a leaf module for the provider's row, the source and the ingress.
//!
//! The contract names a default for every outcome. A provider's row replaces what that provider reads otherwise, and a
//! source's `answers:` replaces both. The reason is kept with the answer, for `hookgate answers`.
//!
//! Not here: the decision on the outcome (`accept`), and the making of replies (`reply`).

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::refusal::{Class, RequestOutcome};

/// The answer to one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers beside those that the gateway sets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, as it is sent; `None` is the gateway's own: empty, or `application/problem+json` for a refusal.
    pub body: Option<String>,
    /// The reason why it differs from the default.
    pub because: Option<String>,
}

impl Answer {
    /// Makes an answer of this status, with the gateway's own body.
    pub fn of_status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None, because: None }
    }
}

/// The answers that differ from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<RequestOutcome, Answer>);

impl FromIterator<(RequestOutcome, Answer)> for Answers {
    fn from_iter<I: IntoIterator<Item = (RequestOutcome, Answer)>>(answers: I) -> Self {
        Self(answers.into_iter().collect())
    }
}

impl Answers {
    /// Returns these answers, with those of `over` in place of the ones for the same outcome.
    #[must_use]
    pub fn changed_by(&self, over: &Self) -> Self {
        self.0.iter().chain(&over.0).map(|(outcome, answer)| (*outcome, answer.clone())).collect()
    }

    /// Returns the answer to `outcome`, and the outcome under which it is written. A duplicate, filtered or quarantined
    /// event has the answer of `accepted` unless it has its own.
    pub fn written(&self, outcome: RequestOutcome) -> Option<(RequestOutcome, &Answer)> {
        let own = self.0.get(&outcome).map(|answer| (outcome, answer));
        let as_accepted = || self.0.get(&RequestOutcome::Accepted).map(|answer| (RequestOutcome::Accepted, answer));
        match outcome {
            RequestOutcome::Duplicate | RequestOutcome::Filtered | RequestOutcome::Quarantined => {
                own.or_else(as_accepted)
            }
            RequestOutcome::Accepted | RequestOutcome::Handshake | RequestOutcome::Refused(_) => own,
        }
    }

    /// Lists all answers that are written.
    pub fn iter(&self) -> impl Iterator<Item = (RequestOutcome, &Answer)> {
        self.0.iter().map(|(outcome, answer)| (*outcome, answer))
    }

    /// Returns the answer to `outcome`, where it is written.
    pub fn get(&self, outcome: RequestOutcome) -> Option<&Answer> {
        self.written(outcome).map(|(_, answer)| answer)
    }

    /// Returns the status of `outcome`.
    pub fn status(&self, outcome: RequestOutcome) -> u16 {
        self.get(outcome).map_or(default_status(outcome), |answer| answer.status)
    }
}

/// Returns the status of the contract's table.
pub fn default_status(outcome: RequestOutcome) -> u16 {
    match outcome {
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Handshake
        | RequestOutcome::Filtered
        | RequestOutcome::Quarantined => 200,
        RequestOutcome::Refused(class) => class.status(),
    }
}

/// Returns the reason for the default of an outcome, for every sender that is not known to need another.
pub fn default_reason(outcome: RequestOutcome) -> &'static str {
    match outcome {
        RequestOutcome::Accepted => "stored and synced: 2xx is the only answer that every sender takes for success",
        RequestOutcome::Duplicate => "already stored: as accepted, because a 409 makes some senders try again",
        RequestOutcome::Handshake => "the provider's question, answered as it wants it",
        RequestOutcome::Filtered => {
            "no route wants it: an error would count against the endpoint and be retried in vain"
        }
        RequestOutcome::Quarantined => "kept for a person: a poison event must not block the sender's queue",
        RequestOutcome::Refused(class) => match class {
            Class::MissingSignature | Class::BadSignature | Class::StaleTimestamp => {
                "not proven to come from the provider; no detail for strangers"
            }
            Class::IpDenied => "the address is not on the source's list",
            Class::NotFound => "no source at this host and path",
            Class::MethodNotAllowed => "the source does not take this method",
            Class::BadContentType => "the source does not take this content type",
            Class::TooLarge => "larger than the source's cap, which is at least the provider's own",
            Class::HeadersTooLarge => "larger than the listener's cap",
            Class::BodyTimeout => "the body did not arrive in time",
            Class::Malformed | Class::SchemaRejected => {
                "only with `on_invalid: reject`; the default keeps it and answers as accepted"
            }
            Class::RateLimited | Class::BufferFull | Class::Overloaded | Class::Draining | Class::Internal => {
                "nothing was stored, so it must come again: 503 with Retry-After is retried by most senders, 429 by fewer"
            }
            Class::UpstreamError | Class::UpstreamTimeout => "`mode: sync` only: the internal service did not answer",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_as_accepted_follows_accepted_unless_it_has_its_own() {
        let answers: Answers = [(RequestOutcome::Accepted, Answer::of_status(204))].into_iter().collect();
        for outcome in [RequestOutcome::Duplicate, RequestOutcome::Filtered, RequestOutcome::Quarantined] {
            assert_eq!(answers.status(outcome), 204, "{outcome:?}");
        }
        assert_eq!(answers.status(RequestOutcome::Handshake), 200);
        let own = [(RequestOutcome::Duplicate, Answer::of_status(202))].into_iter().collect();
        assert_eq!(answers.changed_by(&own).status(RequestOutcome::Duplicate), 202);
    }

    #[test]
    fn every_outcome_has_a_default_and_its_reason() {
        for outcome in RequestOutcome::ALL {
            assert!((200..600).contains(&default_status(outcome)), "{outcome:?}");
            assert!(!default_reason(outcome).is_empty(), "{outcome:?}");
        }
    }
}
