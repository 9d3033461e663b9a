//! The outcomes of an attempt and of a delivery.
//!
//! Closed lists: [`AttemptOutcome`] is the result of one HTTP attempt, [`Settled`] the retry policy's decision on the
//! delivery. Nothing here uses a network or a clock.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of one HTTP attempt: the `outcome` label of `hookgate_delivery_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// 2xx.
    Success,
    /// 3xx: not followed, fails.
    Http3xx,
    /// 4xx other than 429.
    Http4xx,
    /// 429.
    Http429,
    /// 5xx, and every status of no other class.
    Http5xx,
    /// No complete answer within `timeout`.
    Timeout,
    /// No connection, or a broken one.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The name did not resolve.
    Dns,
}

impl AttemptOutcome {
    /// Every outcome, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Http3xx,
        Self::Http4xx,
        Self::Http429,
        Self::Http5xx,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Dns,
    ];

    /// Returns the outcome for a status code.
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            300..=399 => Self::Http3xx,
            429 => Self::Http429,
            400..=499 => Self::Http4xx,
            _ => Self::Http5xx,
        }
    }

    /// Returns the metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Http3xx => "http_3xx",
            Self::Http4xx => "http_4xx",
            Self::Http429 => "http_429",
            Self::Http5xx => "http_5xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
        }
    }
}

/// One finished attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The result of the attempt.
    pub outcome: AttemptOutcome,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// `Retry-After`, as a wait from now.
    pub retry_after: Option<Duration>,
    /// A `Retry-After` that could not be read, shortened and safe to show.
    pub unread_retry_after: Option<String>,
    /// True if the destination asked for no more attempts (410, or `webhook-delivery: abort-message`).
    pub abort: bool,
    /// Details for the log and the dead letter; no payload, no secrets.
    pub detail: String,
}

impl Attempt {
    /// Makes an attempt that got no answer.
    pub const fn without_answer(outcome: AttemptOutcome, detail: String) -> Self {
        Self { outcome, status: None, retry_after: None, unread_retry_after: None, abort: false, detail }
    }
}

/// The retry policy's decision on a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The destination took the delivery.
    Delivered,
    /// Another attempt follows after this wait.
    Again {
        /// The wait.
        wait: Duration,
        /// True if the attempt counts against `max_attempts`; a destination's 429/503 with `Retry-After` does not.
        counts: bool,
    },
    /// The delivery ended without success.
    Dead(DeathCause),
    /// The delivery failed for good and stands first under an order key: the key waits for a person.
    Parked(DeathCause),
}

/// The cause of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeathCause {
    /// The answer is final: not in `retry_on`.
    Final,
    /// The destination asked to stop (410 or `webhook-delivery: abort-message`).
    Aborted,
    /// `max_attempts` used up.
    AttemptsExhausted,
    /// Older than `give_up_after`.
    Expired,
    /// The stored data cannot be read any more.
    Corrupt,
    /// The route's transform failed or does not exist any more: nothing was sent.
    Unshaped,
}

impl DeathCause {
    /// Returns the log field and API field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Aborted => "aborted",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Expired => "expired",
            Self::Corrupt => "corrupt",
            Self::Unshaped => "transform_failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_falls_into_its_class() {
        let classes = [(200, "success"), (302, "http_3xx"), (404, "http_4xx"), (429, "http_429"), (503, "http_5xx")];
        for (status, label) in classes {
            assert_eq!(AttemptOutcome::of_status(status).label(), label, "{status}");
        }
    }
}
