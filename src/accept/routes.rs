//! Routing: every route of a source evaluates each of its events.
//!
//! A route that takes the event gets one copy for each of its destinations. A route that fails is reported with its
//! error. Invariant: an event on which a route with `on_error: quarantine` failed, and which no route takes, has a
//! problem, so that it is quarantined and not dropped. Not here: the actions on an event (`accept`, `stored`).

use std::sync::Arc;

use http::HeaderMap;

use crate::body::Document;
use crate::credential::Credentials;
use crate::event::{Dispatch, EventData, KeyHash, OrderKey};
use crate::inbound::Head;
use crate::provider::{EventFault, EventTemplate};
use crate::refusal::{PROBLEMS_MAX, PayloadProblem};
use crate::route::{Keys, OnError, Route, RouteFault, Stage, Unread};
use crate::rules::SourceRules;

/// An event's own type and id, as far as its source could read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The type.
    pub event_type: Option<String>,
    /// The provider's delivery id.
    pub delivery_id: Option<String>,
    /// The values that could not be read, each with the reason.
    pub unread: Unread,
}

impl Named {
    /// Reads type and id from a request.
    pub fn read(lane: &SourceRules, headers: &HeaderMap, document: &Document<'_>, body: &[u8]) -> Self {
        let read = |template: &Option<EventTemplate>| match template {
            Some(template) => match template.read(headers, document.json(), (document.form_bytes(), body)) {
                Ok(value) => (value, None),
                Err(fault) => {
                    let no_json = document.why_no_json().filter(|_| fault == EventFault::NoJson);
                    (None, Some(Arc::from(no_json.unwrap_or_else(|| fault.to_string()))))
                }
            },
            None => (None, None),
        };
        let ((event_type, no_type), (delivery_id, no_id)) = (read(&lane.event_type), read(&lane.delivery_id));
        Self { event_type, delivery_id, unread: Unread { event_type: no_type, event_id: no_id } }
    }

    /// Reads type and id from a stored event, under the rules of today. A value that these do not find is the stored
    /// one.
    pub fn again(lane: &SourceRules, event: &EventData, headers: &HeaderMap, document: &Document<'_>) -> Self {
        let mut named = Self::read(lane, headers, document, &event.body);
        if named.event_type.is_none() && event.event_type.is_some() {
            (named.event_type, named.unread.event_type) = (event.event_type.clone(), None);
        }
        if named.delivery_id.is_none() && event.delivery_id.is_some() {
            (named.delivery_id, named.unread.event_id) = (event.delivery_id.clone(), None);
        }
        named
    }
}

/// A route that failed on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// The route.
    pub route: Arc<str>,
    /// The part that failed, with its error.
    pub fault: RouteFault,
    /// The route's `on_error`.
    pub on_error: OnError,
}

impl RouteError {
    /// Returns the part of the route that failed.
    pub const fn stage(&self) -> Stage {
        self.fault.stage()
    }
}

impl std::fmt::Display for RouteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route \"{}\": {}", self.route, self.fault)
    }
}

/// The results of all routes of a source for one event.
#[derive(Debug, Default)]
pub struct Routed {
    /// The copies, one for each destination of each route that takes it.
    pub copies: Vec<Dispatch>,
    /// The routes that take it.
    pub matched: Vec<Arc<str>>,
    /// The routes that failed.
    pub errors: Vec<RouteError>,
}

impl Routed {
    /// Returns the problems for which the event is quarantined: the errors of routes with `on_error: quarantine`, if no
    /// route takes it.
    pub fn problems(&self) -> Vec<PayloadProblem> {
        if !self.copies.is_empty() {
            return Vec::new();
        }
        let kept = self.errors.iter().filter(|error| error.on_error == OnError::Quarantine);
        kept.take(PROBLEMS_MAX)
            .map(|error| PayloadProblem { pointer: String::new(), message: error.to_string() })
            .collect()
    }

    fn take(&mut self, route: &Route, keys: Keys, credentials: impl FnOnce() -> Credentials) {
        self.matched.push(Arc::clone(&route.name));
        let order = keys.order.map(|mut order| {
            // What is cut is no longer found.
            credentials().hide_in(&mut order.shown);
            OrderKey::shown_as(&order.key, &order.shown)
        });
        self.copies.extend(route.to.iter().zip(keys.balance).map(|(to, balance)| Dispatch {
            route: Arc::clone(&route.name),
            destination: Arc::clone(&to.destination),
            balance: balance.map(|key| KeyHash::of(&key)),
            order: order.clone(),
            shaped: route.shapes,
        }));
    }
}

/// Evaluates every route of the source. `body` is the body that `document` was read from.
pub(super) fn route(
    lane: &SourceRules,
    head: &Head<'_>,
    (document, body): (&Document<'_>, &[u8]),
    named: &Named,
) -> Routed {
    let view = head.view(&lane.source.name, document, (named.event_type.as_deref(), named.delivery_id.as_deref()));
    let mut routed = Routed::default();
    let credentials = || {
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        lane.redaction.credentials_in((&head.target(), head.params), headers, body)
    };
    for route in &lane.routes {
        match route.judge(named.event_type.as_deref(), &named.unread, &view) {
            Ok(Some(keys)) => routed.take(route, keys, credentials),
            Ok(None) => {}
            Err(fault) => {
                routed.errors.push(RouteError { route: Arc::clone(&route.name), fault, on_error: route.on_error });
            }
        }
    }
    // The part that failed is found by taking the condition apart, which is expensive: only where the problem is
    // stored.
    if routed.copies.is_empty() {
        for error in routed.errors.iter_mut().filter(|error| error.on_error == OnError::Quarantine) {
            let condition = lane.routes.iter().find(|route| route.name == error.route).and_then(|it| it.when.as_ref());
            if let (RouteFault::When(_, part), Some(condition)) = (&mut error.fault, condition) {
                *part = condition.failed_part(&view);
            }
        }
    }
    routed
}
