//! The parts of requests that the API hides: credentials of senders, wherever an answer repeats them, and the places
//! that the operator chose.
//!
//! Every answer about a request passes [`shown`] on its way out, lists line by line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::PageState;
use crate::credential::{Credentials, REDACTED};
use crate::event::EventData;
use crate::redact::Redaction;
use crate::rules::Rules;

/// The redactions of one answer: the operator's, and by source the places of its senders' credentials.
pub(super) struct Redactions {
    chosen: Redaction,
    rules: Arc<Rules>,
    by_source: BTreeMap<Arc<str>, Redaction>,
}

impl Redactions {
    pub(super) fn of(desk: &PageState) -> Self {
        let (chosen, rules) = (desk.panel.capture.redaction(), desk.panel.archive.rules());
        Self { chosen, rules, by_source: BTreeMap::new() }
    }

    /// Returns the redaction for a request of this source.
    pub(super) fn source(&mut self, source: &Arc<str>) -> &Redaction {
        let Self { chosen, rules, by_source } = self;
        let of_source = || chosen.clone().with_credentials(&rules.credentials(source));
        by_source.entry(Arc::clone(source)).or_insert_with(of_source)
    }

    /// Returns the redaction for what is known of an event; of one that cannot be read nothing is to be hidden.
    pub(super) fn event(&mut self, event: Option<&Arc<EventData>>) -> &Redaction {
        match event {
            Some(event) => self.source(&event.source),
            None => &self.chosen,
        }
    }
}

/// Returns the redaction for a request of this source.
pub(super) fn redaction(desk: &PageState, source: &Arc<str>) -> Redaction {
    Redactions::of(desk).source(source).clone()
}

/// An answer about this request, as it is shown.
pub(super) fn shown(mut answer: Value, event: &EventData, redaction: &Redaction) -> Value {
    credentials_of(event, redaction).hide_in_json(&mut answer);
    without_keys(answer, redaction)
}

/// The credentials that stand in a request.
pub(super) fn credentials_of(event: &EventData, redaction: &Redaction) -> Credentials {
    let headers = event.headers.iter().map(|(name, value)| (name.as_str(), &*value.0));
    redaction.credentials_in((&event.target, &event.params), headers, &event.body)
}

/// Takes the texts of order keys out of an answer, where the operator hides anything: a key is made of what was sent.
pub(super) fn without_keys(mut answer: Value, redaction: &Redaction) -> Value {
    if redaction.hides_anything() {
        hide_keys(&mut answer);
    }
    answer
}

fn hide_keys(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if matches!(name.as_str(), "order_key" | "label") && member.is_string() {
                    *member = Value::from(REDACTED);
                } else {
                    hide_keys(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
