//! The state of a destination as JSON: its circuit, the reason why deliveries wait, and its last error.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::archive::DeliveryState;
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

/// Returns the reason for which a queued delivery waits, and until when, if known: its order key is parked, its next attempt is not
/// due, or its destination takes nothing now. What stands behind others of its order key is not claimed to wait for its
/// destination.
pub(super) fn waits(
    standing: Option<&Standing>,
    (state, next_at, has_order): (DeliveryState, Option<Timestamp>, bool),
    (now, moment): (Instant, Timestamp),
) -> Value {
    let ahead = |until: Instant| moment.after(until.saturating_duration_since(now)).to_string();
    match state {
        DeliveryState::Parked => json!({ "for": "order", "parked": true, "until": null }),
        DeliveryState::Queued => match (next_at.filter(|at| *at > moment), standing) {
            (Some(at), _) => json!({ "for": "retry", "until": at.to_string() }),
            (None, Some(Standing { waits_for: Some(reason), until, last_error: error, .. })) if !has_order => json!({
                "for": reason.label(), "until": until.map(ahead), "last_error": error.as_ref().map(last_error),
            }),
            (None, _) => Value::Null,
        },
        DeliveryState::Delivered
        | DeliveryState::Discarded
        | DeliveryState::DeadLettered
        | DeliveryState::Quarantined
        | DeliveryState::Unreadable => Value::Null,
    }
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
    fn a_delivery_says_what_it_waits_for_only_where_that_is_known() {
        let (now, moment) = (Instant::now(), Timestamp::from_unix_ms(60_000));
        let closed = Standing {
            circuit: Circuit::Open(now + Duration::from_secs(20)),
            waits_for: Some(Deferral::Breaker),
            until: Some(now + Duration::from_secs(20)),
            in_trouble_since: None,
            last_error: None,
        };
        let of = |state, next_ms: Option<u64>, has_order| {
            waits(Some(&closed), (state, next_ms.map(Timestamp::from_unix_ms), has_order), (now, moment))
        };
        let (queued, until) = (DeliveryState::Queued, "1970-01-01T00:01:20.000Z");
        assert_eq!(of(queued, Some(59_000), false), json!({"for": "breaker", "until": until, "last_error": null}));
        assert_eq!(of(queued, Some(80_000), false), json!({"for": "retry", "until": until}));
        assert_eq!(of(queued, None, true), Value::Null, "it may stand behind another of its key");
        assert_eq!(of(DeliveryState::Parked, None, true)["for"], "order");
        assert_eq!(of(DeliveryState::Delivered, None, false), Value::Null);
        assert_eq!(waits(None, (queued, None, false), (now, moment)), Value::Null);
    }

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
