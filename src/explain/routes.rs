//! The decisions of the routes of a source about an event.

use bytes::Bytes;
use serde::Serialize;

use crate::accept::{self, Named};
use crate::condition::View;
use crate::credential::{REDACTED, is_secret_name};
use crate::inbound::Head;
use crate::provider::EventTemplate;
use crate::redact::Redaction;
use crate::route::{Route, Stage, Unread};
use crate::rules::SourceRules;

/// The decision of a route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteSays {
    /// The route.
    pub route: String,
    /// The verdict: the route matches, or the reason for which it does not.
    pub verdict: RouteVerdict,
    /// The event types that the route accepts; `None` for all.
    pub events: Option<Vec<String>>,
    /// Its condition, in parts.
    pub when: Option<crate::condition::Explained>,
    /// The error of the step that failed, with its reason.
    pub error: Option<String>,
    /// The names of its destinations.
    pub to: Vec<String>,
}

impl RouteSays {
    /// Hides the values that people may not see.
    pub(super) fn redact(&mut self, redaction: &Redaction) {
        for part in self.when.iter_mut().flat_map(|when| &mut when.parts) {
            for seen in &mut part.values {
                let steps: Vec<&str> = seen.steps.iter().map(String::as_str).collect();
                let is_hidden = match steps.split_first() {
                    // A list or an object may hold hidden values.
                    Some((&"body", steps)) => {
                        let is_whole = seen.value.starts_with(['{', '[']);
                        redaction.touches_bodies() && (is_whole || redaction.hides(steps))
                    }
                    // Fields may hold whole documents.
                    Some((&"form" | &"form_all", _)) => redaction.touches_bodies(),
                    Some((&"headers", [name])) => redaction.hides_header(name),
                    // The value may be cut within a hidden part.
                    Some((&"query", _)) => {
                        let query = seen.value.trim_matches('"');
                        redaction.query(query) != query
                    }
                    Some((&"params", [name])) => is_secret_name(name),
                    Some((&"path" | &"params", _)) => redaction.hides_path(),
                    _ => false,
                };
                if is_hidden {
                    REDACTED.clone_into(&mut seen.value);
                }
            }
        }
    }
}

/// The verdict of a route on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteVerdict {
    /// The route matches.
    Matched,
    /// The route accepts other types.
    OtherType,
    /// Its condition is false.
    ConditionFalse,
    /// Its condition failed with an error.
    ConditionFailed,
    /// Its key of order, or the key of one of its destinations, failed with an error.
    KeyFailed,
    /// The event's own type or id, which it needs, could not be read.
    EventFailed,
    /// The route reads the body, which was not kept.
    NotJudged,
}

pub(super) struct Looked {
    /// The format that the body was read as; `None` when the body was not kept.
    pub(super) body: Option<String>,
    /// True when the source takes the type from JSON, and the body was not read as JSON.
    pub(super) is_unread: bool,
    pub(super) event_type: Option<String>,
    pub(super) delivery_id: Option<String>,
    pub(super) says: Vec<RouteSays>,
}

/// Evaluates every route, whatever the earlier gates decided.
///
/// Without a body, its content is unknown: neither conditions are evaluated, nor type and id where they are read from
/// the body.
pub(super) fn look(lane: &SourceRules, head: &Head<'_>, body: Option<&Bytes>) -> Looked {
    let (has_body, body) = (body.is_some(), body.cloned().unwrap_or_default());
    let document = accept::read(lane, head, &body);
    let mut named = Named::read(lane, head.headers, &document, &body);
    if !has_body {
        // A type without its part from the body is another type, and an id may be a digest of the body.
        let needs_body = |template: &Option<EventTemplate>| template.as_ref().is_some_and(EventTemplate::needs_body);
        named.event_type = named.event_type.filter(|_| !needs_body(&lane.event_type));
        named.delivery_id = named.delivery_id.filter(|_| !needs_body(&lane.delivery_id));
        named.unread = Unread::default();
    }
    // The gates read the parameters from the path, under the names of the rules in force. Only where another path was
    // called, the recorded parameters are used.
    let in_path = lane.source.path.matches(head.path).then(|| lane.source.path.values(head.path));
    let params = in_path.as_deref().unwrap_or(head.params);
    let head = Head { params, ..*head };
    let view = head.view(&lane.source.name, &document, (named.event_type.as_deref(), named.delivery_id.as_deref()));
    let says = lane.routes.iter().map(|route| ask(route, &named, &view, has_body)).collect();
    let reads_json = lane.event_type.as_ref().is_some_and(EventTemplate::needs_json);
    Looked {
        body: has_body.then(|| document.told()),
        is_unread: has_body && reads_json && document.is_unread(),
        event_type: named.event_type,
        delivery_id: named.delivery_id,
        says,
    }
}

fn ask(route: &Route, named: &Named, view: &View<'_>, has_body: bool) -> RouteSays {
    let event_type = named.event_type.as_deref();
    let knows_type = has_body || event_type.is_some();
    let judged = route.judge(event_type, &named.unread, view);
    let asks_body = route.when.is_some() || route.events.is_some() && !knows_type;
    let verdict = match &judged {
        Err(fault) if has_body => match fault.stage() {
            Stage::When => RouteVerdict::ConditionFailed,
            Stage::OrderBy | Stage::Balance | Stage::Transform => RouteVerdict::KeyFailed,
            Stage::Event => RouteVerdict::EventFailed,
        },
        _ if knows_type && !route.wants_type(event_type) => RouteVerdict::OtherType,
        _ if !has_body && asks_body => RouteVerdict::NotJudged,
        // Without a body, keys are unknown; the match does not depend on them.
        Ok(Some(_)) | Err(_) => RouteVerdict::Matched,
        Ok(None) => RouteVerdict::ConditionFalse,
    };
    RouteSays {
        route: route.name.to_string(),
        verdict,
        events: route.events.as_ref().map(|globs| globs.written().to_vec()),
        when: route.when.as_ref().filter(|_| has_body).map(|condition| condition.explain(view)),
        error: judged.err().filter(|_| has_body).map(|fault| fault.to_string()),
        to: route.to.iter().map(|to| to.destination.to_string()).collect(),
    }
}

/// Returns near misses: routes that failed for one reason alone, and a type that may be wrong because no JSON was read.
pub(super) fn near_misses(looked: &Looked) -> Vec<String> {
    let is_other = looked.is_unread && looked.says.iter().any(|says| says.verdict == RouteVerdict::OtherType);
    let unread = "a part of the type stands in the body's JSON, and no JSON was read; see `body:` of the source";
    let unread = is_other.then(|| unread.to_owned());
    unread.into_iter().chain(looked.says.iter().filter_map(near_miss)).collect()
}

fn near_miss(says: &RouteSays) -> Option<String> {
    let condition = says.when.as_ref();
    match says.verdict {
        RouteVerdict::Matched | RouteVerdict::NotJudged => None,
        RouteVerdict::OtherType => {
            let holds = condition.is_none_or(|condition| condition.matches);
            let is_narrow = condition.is_some() && holds;
            is_narrow.then(|| format!("route `{}`: its condition holds, and it wants other types", says.route))
        }
        RouteVerdict::ConditionFalse => {
            Some(format!("route `{}`: the type fits, and its condition is false", says.route))
        }
        RouteVerdict::ConditionFailed => {
            Some(format!("route `{}`: the type fits, and its condition failed", says.route))
        }
        RouteVerdict::KeyFailed => Some(format!("route `{}`: type and condition fit, and a key failed", says.route)),
        RouteVerdict::EventFailed => Some(format!("route `{}`: the event's type or id could not be read", says.route)),
    }
}
