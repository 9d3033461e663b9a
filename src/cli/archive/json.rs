//! The gateway's answer about a stored event, read for people.
//!
//! Reading makes every text harmless for a terminal; a missing or `null` value is empty. Bodies and headers as they
//! were stored are taken from the answer itself (`show`, `curl`).

use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::admin::{Admin, AdminProblem};
use crate::cli::terminal;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventJson {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) r#type: String,
    pub(super) delivery_id: String,
    pub(super) received_at: String,
    pub(super) bytes: u64,
    pub(super) verified: String,
    /// The failure of its signature, where the source is in observe mode.
    pub(super) unverified: String,
    pub(super) outcome: String,
    pub(super) same_id_as: String,
    pub(super) kept_until: String,
    pub(super) deliveries: Vec<DeliveryJson>,
    pub(super) host: String,
    pub(super) sender: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    /// The places of hidden credentials.
    pub(super) hidden: Vec<String>,
    pub(super) problems: Vec<ProblemJson>,
    /// Routes in force that fail on it.
    pub(super) failing_routes: Vec<Failing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failing {
    pub(super) route: String,
    pub(super) why: String,
}

/// The reason for which a delivery waits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waits {
    r#for: String,
    until: String,
    last_error: Option<Try>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeliveryJson {
    pub(super) route: String,
    pub(super) destination: String,
    pub(super) outcome: String,
    pub(super) attempts: u64,
    pub(super) next_at: String,
    pub(super) ended_at: String,
    pub(super) cause: String,
    pub(super) replays: u64,
    pub(super) order_key: String,
    pub(super) waits: Option<Waits>,
    pub(super) last: Option<Try>,
    pub(super) tries: Vec<Try>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Try {
    pub(super) at: String,
    pub(super) outcome: String,
    pub(super) status: Option<u16>,
    pub(super) took_ms: Option<u64>,
    pub(super) detail: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProblemJson {
    pub(super) pointer: String,
    pub(super) message: String,
}

/// Reads the answer as `T`, with harmless texts.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(terminal::harmless_json(value)).ok()
}

/// Reads a member of the answer as `T`; without the member the gateway is of another version.
pub(super) fn member<T: DeserializeOwned>(admin: &Admin, answer: &Value, name: &str) -> Result<T, AdminProblem> {
    answer.get(name).and_then(read).ok_or_else(|| admin.not_ours())
}

impl DeliveryJson {
    /// Returns a short form such as `ci:queued(3, next 14:02:11)`.
    pub(super) fn short(&self) -> String {
        let mut inside = vec![self.attempts.to_string()];
        if !self.cause.is_empty() {
            inside.push(self.cause.clone());
        }
        if !self.next_at.is_empty() && self.ended_at.is_empty() {
            inside.push(format!("next {}", self.next_at.get(11..19).unwrap_or(&self.next_at)));
        }
        if self.replays > 0 {
            inside.push(format!("replay {}", self.replays));
        }
        format!("{}:{}({})", self.destination, self.outcome, inside.join(", "))
    }
}

impl Waits {
    /// Returns whether the delivery waits for the time of its next attempt only, which is shown anyway.
    pub(super) fn is_retry(&self) -> bool {
        self.r#for == "retry"
    }

    /// `waits for the circuit to close until 14:02:11 (connection refused)`.
    pub(super) fn told(&self) -> String {
        let what = match &*self.r#for {
            "order" => "waits because its order key is parked (`hookgate parked list`)",
            "breaker" => "waits because the destination's circuit is open",
            "retry_after" => "waits because the destination asked for a pause",
            "concurrency" => "waits because as many attempts as allowed are under way",
            "rate" => "waits for the destination's rate limit",
            other => return format!("waits for: {other}"),
        };
        let until = if self.until.is_empty() { String::new() } else { format!(" until {}", self.until) };
        let error = self.last_error.as_ref().map(|error| format!(" (last error: {})", error.short()));
        format!("{what}{until}{}", error.unwrap_or_default())
    }
}

impl Try {
    /// Returns a short form such as `connect: refused`, or the status where there is no detail.
    pub(super) fn short(&self) -> String {
        match (self.status, self.detail.as_str()) {
            (Some(status), "") => format!("status {status}"),
            (None, "") => self.outcome.clone(),
            (_, detail) => detail.to_owned(),
        }
    }
}

impl ProblemJson {
    pub(super) fn short(&self) -> String {
        match &*self.pointer {
            // A failure on a route has no place in the payload.
            "" if self.message.starts_with("route ") => self.message.clone(),
            "" => format!("/: {}", self.message),
            place => format!("{place}: {}", self.message),
        }
    }
}

/// Returns a time for a table: month, day and time of day, in UTC.
pub(super) fn moment(time: &str) -> String {
    match (time.get(5..10), time.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => time.to_owned(),
    }
}

/// Returns the text, or `-` where it is empty.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Returns the stored body.
pub(super) fn body(raw: &Value) -> Option<Vec<u8>> {
    let body = raw.get("body")?;
    match (body.get("text"), body.get("base64")) {
        (Some(text), _) => text.as_str().map(|text| text.as_bytes().to_vec()),
        (None, Some(encoded)) => BASE64.decode(encoded.as_str()?.as_bytes()).ok(),
        (None, None) => None,
    }
}
