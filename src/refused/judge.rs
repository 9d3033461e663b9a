//! One captured request under the rules in force, as of its receipt.

use crate::accept::{self, Accepted, Receipt, SignatureVerdict, stored_head};
use crate::capture::{BodyKept, Captured};
use crate::event::{Event, EventData, EventId};
use crate::inbound::Head;
use crate::provider::{EventTemplate, KeyLocation, KeyRing};
use crate::rules::Rules;

/// The verdict of the rules in force on a request that was refused for its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusedVerdict {
    /// The request verifies, and is to be stored and delivered.
    Verifies {
        /// The secret that verifies it.
        secret: String,
    },
    /// The request verifies, and is to be stored in quarantine because its payload has problems.
    Quarantined {
        /// The secret that verifies it.
        secret: String,
    },
    /// The delivery is stored already.
    Duplicate {
        /// The event that was stored, where it is known.
        first: Option<EventId>,
    },
    /// The request verifies, and no route wants it. The request stays captured, because the routes may be wrong.
    Unwanted,
    /// The request verifies, and another gate refuses it.
    Refused(String),
    /// The request still does not verify.
    Fails(String),
    /// The request cannot be re-evaluated.
    NotJudged(String),
}

impl RefusedVerdict {
    /// Returns the name in the API.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Verifies { .. } => "verifies",
            Self::Quarantined { .. } => "quarantined",
            Self::Duplicate { .. } => "duplicate",
            Self::Unwanted => "unwanted",
            Self::Refused(_) => "refused",
            Self::Fails(_) => "fails",
            Self::NotJudged(_) => "not_judged",
        }
    }

    /// Returns the secret that verifies the request.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Verifies { secret } | Self::Quarantined { secret } => Some(secret),
            Self::Duplicate { .. } | Self::Unwanted | Self::Refused(_) | Self::Fails(_) | Self::NotJudged(_) => None,
        }
    }

    /// Returns the reason for the verdict, for operators; `None` when the request verifies.
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Verifies { .. } => None,
            Self::Quarantined { .. } => Some("its payload has problems: it goes into the quarantine".to_owned()),
            Self::Duplicate { first: Some(first) } => Some(format!("it is stored already, as {first}")),
            Self::Duplicate { first: None } => Some("it is stored already".to_owned()),
            Self::Unwanted => Some("it verifies, and no route wants it".to_owned()),
            Self::Refused(why) => Some(format!("it verifies, and is refused all the same: {why}")),
            Self::Fails(why) | Self::NotJudged(why) => Some(why.clone()),
        }
    }
}

/// A verdict, and the event of a request that verifies.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: RefusedVerdict,
    /// The event to store; only a verified request has one.
    pub(super) event: Option<Box<Event>>,
    /// Places of keys under which the request may verify. The flag is true when the configuration names the place.
    pub(super) places: Vec<(KeyLocation, bool)>,
}

impl Judged {
    const fn of(verdict: RefusedVerdict) -> Self {
        Self { verdict, event: None, places: Vec::new() }
    }
}

/// Re-evaluates a captured request by all gates, as of its receipt.
pub(super) fn judge(rules: &Rules, keys: &dyn KeyRing, captured: &Captured) -> Judged {
    let not_judged = |why: &str| Judged::of(RefusedVerdict::NotJudged(why.to_owned()));
    let event = &captured.event;
    match captured.kept {
        BodyKept::Whole => {}
        BodyKept::Part => return not_judged("only the beginning of its body was kept"),
        BodyKept::Nothing => return not_judged("its body was not kept (`capture: {bodies: off}`)"),
    }
    let Some(lane) = rules.lane(&event.source) else {
        return not_judged("its source is not configured any more");
    };
    let headers = event.header_map();
    let head = Head { content_length: Some(captured.body_bytes), ..stored_head(event, &headers) };
    let admitted = match accept::admit_recorded(rules, head, Some(&event.source), event.sender.is_some()) {
        Ok(admitted) => admitted,
        Err((_, refusal)) => return not_judged(&refusal.why),
    };
    let receipt = Receipt { now: event.received_at(), random: event.id.random(), keys, spends: false };
    let (accepted, notes) = accept::accept(&admitted, event.body.clone(), receipt);
    let secret = notes.secret.clone();
    match (accepted, secret) {
        (Ok(Accepted::Event(event)), Some(secret)) => {
            Judged { verdict: RefusedVerdict::Verifies { secret }, event: Some(event), places: Vec::new() }
        }
        (Ok(Accepted::Quarantined(event)), Some(secret)) => {
            Judged { verdict: RefusedVerdict::Quarantined { secret }, event: Some(event), places: Vec::new() }
        }
        (Ok(Accepted::Filtered), Some(_)) => Judged::of(RefusedVerdict::Unwanted),
        (Ok(Accepted::Handshake(_)), _) => not_judged("it is a handshake, which is answered and not stored"),
        (Err(refusal), Some(_)) => Judged::of(RefusedVerdict::Refused(refusal.why.into_owned())),
        (Ok(_), None) if notes.verdict == Some(SignatureVerdict::NotConfigured) => {
            not_judged("its source verifies nothing now, so nothing proves who sent it")
        }
        (Ok(_), None) => {
            Judged::of(RefusedVerdict::Fails(format!("it still does not verify: {}", notes.verdict_label())))
        }
        (Err(refusal), None) => {
            let known = lane.verifier.prefetch();
            let places = notes.needs_keys.places.into_iter().map(|at| {
                let is_known = known.contains(&at);
                (at, is_known)
            });
            Judged { verdict: RefusedVerdict::Fails(refusal.why.into_owned()), event: None, places: places.collect() }
        }
    }
}

/// Returns the request with its claimed type and delivery id, as far as the kept part of it has them.
pub(super) fn named(rules: &Rules, captured: &Captured) -> EventData {
    let mut event = captured.event.clone();
    let Some(lane) = rules.lane(&event.source) else { return event };
    if event.event_type.is_some() && event.delivery_id.is_some() {
        return event;
    }
    let headers = event.header_map();
    let has_body = captured.kept == BodyKept::Whole;
    let body: &[u8] = if has_body { &captured.event.body } else { &[] };
    let document = accept::read(lane, &stored_head(&captured.event, &headers), body);
    let find = |template: &Option<EventTemplate>| {
        let template = template.as_ref().filter(|template| has_body || !template.needs_body())?;
        template.render(&headers, document.json(), (document.form_bytes(), body))
    };
    event.event_type = event.event_type.take().or_else(|| find(&lane.event_type));
    event.delivery_id = event.delivery_id.take().or_else(|| find(&lane.delivery_id));
    event
}
