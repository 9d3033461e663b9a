//! What each route of a source says to an event.

use bytes::Bytes;
use serde::Serialize;

use crate::accept;
use crate::condition::View;
use crate::inbound::Head;
use crate::lane::Lane;
use crate::redact::{REDACTED, Redaction};
use crate::route::Route;

/// What a route says.
#[derive(Clone, Debug, Serialize)]
pub struct RouteSays {
    /// The route.
    pub route: String,
    /// Whether it wants the event, or what is in the way.
    pub verdict: Verdict,
    /// The types that it wants; nothing is all.
    pub events: Option<Vec<String>>,
    /// Its condition, in parts.
    pub when: Option<crate::condition::Explained>,
    /// Where it sends.
    pub to: Vec<String>,
}

impl RouteSays {
    /// Takes out what people do not get to see.
    pub(super) fn redact(&mut self, redaction: &Redaction) {
        for part in self.when.iter_mut().flat_map(|when| &mut when.parts) {
            for seen in &mut part.values {
                let steps: Vec<&str> = seen.steps.iter().map(String::as_str).collect();
                let is_hidden = match steps.split_first() {
                    // A list or an object may hold what is hidden.
                    Some((&"body", steps)) => {
                        let is_whole = seen.value.starts_with(['{', '[']);
                        redaction.touches_bodies() && (is_whole || redaction.hides(steps))
                    }
                    Some((&"headers", [name])) => redaction.hides_header(name),
                    // It may be cut in the middle of what is hidden.
                    Some((&"query", _)) => {
                        let query = seen.value.trim_matches('"');
                        redaction.query(query) != query
                    }
                    _ => false,
                };
                if is_hidden {
                    REDACTED.clone_into(&mut seen.value);
                }
            }
        }
    }
}

/// Whether a route wants an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Matched,
    /// It wants other types.
    OtherType,
    /// Its condition is false.
    ConditionFalse,
    /// Its condition failed, which is no match.
    ConditionFailed,
    /// It asks for what stands in the body, which was not kept.
    NotJudged,
}

pub(super) struct Looked {
    pub(super) event_type: Option<String>,
    pub(super) delivery_id: Option<String>,
    pub(super) says: Vec<RouteSays>,
}

/// Asks every route, whatever the gates before them said.
///
/// Without a body, what stands in it is not known: neither its type and id, where the body has a part in them, nor what a
/// condition says.
pub(super) fn look(lane: &Lane, head: &Head<'_>, body: Option<&Bytes>) -> Looked {
    let (has_body, body) = (body.is_some(), body.cloned().unwrap_or_default());
    let json = accept::parse(lane, head, &body).ok().flatten();
    let find = |template: &Option<crate::provider::EventTemplate>| {
        // A part of a type is another type, and an id may be a digest of the body.
        let template = template.as_ref().filter(|template| has_body || !template.needs_body())?;
        template.render(head.headers, json.as_ref(), &body)
    };
    let (event_type, delivery_id) = (find(&lane.event_type), find(&lane.delivery_id));
    // The gates read them from the path, under the names of today. Only where another path was called, what was recorded
    // is all that is known.
    let in_path = lane.source.path.matches(head.path).then(|| lane.source.path.values(head.path));
    let params = in_path.as_deref().unwrap_or(head.params);
    let head = Head { params, ..*head };
    let view = head.view(&lane.source.name, json.as_ref(), (event_type.as_deref(), delivery_id.as_deref()));
    let says = lane.routes.iter().map(|route| ask(route, event_type.as_deref(), &view, has_body)).collect();
    Looked { event_type, delivery_id, says }
}

fn ask(route: &Route, event_type: Option<&str>, view: &View<'_>, has_body: bool) -> RouteSays {
    let knows_type = has_body || event_type.is_some();
    let verdict = match route.wants(event_type, view) {
        _ if knows_type && !route.wants_type(event_type) => Verdict::OtherType,
        _ if !has_body && (route.when.is_some() || route.events.is_some() && !knows_type) => Verdict::NotJudged,
        Ok(true) => Verdict::Matched,
        Ok(false) => Verdict::ConditionFalse,
        Err(_) => Verdict::ConditionFailed,
    };
    RouteSays {
        route: route.name.to_string(),
        verdict,
        events: route.events.as_ref().map(|globs| globs.written().to_vec()),
        when: route.when.as_ref().filter(|_| has_body).map(|condition| condition.explain(view)),
        to: route.to.iter().map(|to| to.destination.to_string()).collect(),
    }
}

/// Routes that one thing alone kept from the event.
pub(super) fn near_misses(says: &[RouteSays]) -> Vec<String> {
    says.iter().filter_map(near_miss).collect()
}

fn near_miss(says: &RouteSays) -> Option<String> {
    let condition = says.when.as_ref();
    match says.verdict {
        Verdict::Matched | Verdict::NotJudged => None,
        Verdict::OtherType => {
            let holds = condition.is_none_or(|condition| condition.matches);
            let is_narrow = condition.is_some() && holds;
            is_narrow.then(|| format!("route `{}`: its condition holds, and it wants other types", says.route))
        }
        Verdict::ConditionFalse => Some(format!("route `{}`: the type fits, and its condition is false", says.route)),
        Verdict::ConditionFailed => Some(format!("route `{}`: the type fits, and its condition failed", says.route)),
    }
}
