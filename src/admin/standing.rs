//! The state of a destination as JSON: its circuit, the reason why deliveries wait, and its last error.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::deliver::{Circuit, LastError, Standing};

/// Returns the members beside the counts of a destination. `now` and `moment` are the same moment on two clocks.
pub(super) fn members(
    standing: Option<&Standing>,
    (due, oldest): (u64, Duration),
    (now, moment): (Instant, Timestamp),
) -> Value {
    let ahead = |until: Instant| moment.after(until.saturating_duration_since(now)).to_string();
    let circuit = standing.map_or(Circuit::Closed, |standing| standing.circuit);
    let limit = match circuit {
        Circuit::Recovering(limit) => Some(limit),
        Circuit::Closed | Circuit::Open(_) | Circuit::Probing => None,
    };
    let since = standing.and_then(|standing| standing.in_trouble_since);
    let since = since.map(|since| now.saturating_duration_since(since).as_secs());
    let waits = standing.filter(|_| due > 0).and_then(|standing| {
        let reason = standing.waits_for?.label();
        Some(json!({ "for": reason, "until": standing.until.map(ahead) }))
    });
    json!({
        "due": due,
        "oldest_age_secs": oldest.as_secs(),
        "circuit": circuit.label(),
        "attempts_at_once": limit,
        "waits": waits,
        "in_trouble_secs": since,
        "last_error": standing.and_then(|standing| standing.last_error.as_ref()).map(last_error),
    })
}

fn last_error(error: &LastError) -> Value {
    let LastError { at, target, status, detail } = error;
    json!({ "at": at.to_string(), "target": target, "status": status, "detail": detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Deferral;

    #[test]
    fn an_open_circuit_says_until_when_and_why() {
        let (now, moment) = (Instant::now(), Timestamp::from_unix_ms(60_000));
        let until = now + Duration::from_secs(20);
        let error =
            LastError { at: moment, target: "billing:80".into(), status: None, detail: "connection refused".into() };
        let standing = Standing {
            circuit: Circuit::Open(until),
            waits_for: Some(Deferral::Breaker),
            until: Some(until),
            in_trouble_since: Some(now),
            last_error: Some(error),
        };
        let told = members(Some(&standing), (7, Duration::from_mins(2)), (now, moment));
        assert_eq!(told["waits"], json!({ "for": "breaker", "until": "1970-01-01T00:01:20.000Z" }));
        assert_eq!((&told["circuit"], &told["oldest_age_secs"]), (&json!("open"), &json!(120)));
        assert_eq!(told["last_error"]["detail"], "connection refused");
        let idle = members(Some(&standing), (0, Duration::ZERO), (now, moment));
        assert_eq!(idle["waits"], Value::Null, "nothing is due, so nothing waits for the circuit");
        assert_eq!(members(None, (0, Duration::ZERO), (now, moment))["circuit"], "closed");
    }
}
