//! How one attempt and one delivery ended.
//!
//! Closed lists: the attempt's [`AttemptOutcome`] is what the wire gave, the delivery's [`Settled`] is what the retry
//! policy made of it. Nothing here talks to a network or a clock.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one HTTP try gave: the `outcome` label of `hookgate_delivery_attempts_total`.
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
    /// 5xx, and anything else a server may invent.
    Http5xx,
    /// No complete answer within `timeout`.
    Timeout,
    /// No connection, or it broke.
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

    /// From a status code.
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            300..=399 => Self::Http3xx,
            429 => Self::Http429,
            400..=499 => Self::Http4xx,
            _ => Self::Http5xx,
        }
    }

    /// Metric label and log field.
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

/// One finished try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What the wire gave.
    pub outcome: AttemptOutcome,
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// `Retry-After`, as a wait from now.
    pub retry_after: Option<Duration>,
    /// A `Retry-After` that could not be read: cut, and harmless to show.
    pub unread_retry_after: Option<String>,
    /// The destination said that this event will never do (410, or `webhook-delivery: abort-message`).
    pub abort: bool,
    /// For the log and the dead letter; no payload, no secrets.
    pub detail: String,
}

impl Attempt {
    /// An attempt that got no answer.
    pub const fn without_answer(outcome: AttemptOutcome, detail: String) -> Self {
        Self { outcome, status: None, retry_after: None, unread_retry_after: None, abort: false, detail }
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The destination has it.
    Delivered,
    /// Try again after this wait.
    Again {
        /// How long to wait.
        wait: Duration,
        /// Whether the try counts against `max_attempts`; a destination's 429/503 with `Retry-After` does not.
        counts: bool,
    },
    /// It ended without success.
    Dead(DeathCause),
    /// It failed for good and stands first under an order key: the key waits for a person.
    Parked(DeathCause),
}

/// Why a delivery ended as a dead letter.
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
    /// What was stored cannot be read any more.
    Corrupt,
    /// The route's transform failed, or is gone: nothing was sent.
    Unshaped,
}

impl DeathCause {
    /// Log field and API field.
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
