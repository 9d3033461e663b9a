//! Routes: names that must exist, globs, conditions and keys that must compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expression::Passage;
use super::{Checker, path};
use crate::condition::{Condition, KeyExpression};
use crate::config::problem::Code;
use crate::config::raw;
use crate::route::{EventGlobs, OnError, Recipient, Route};

/// The limit of destinations: a larger fan-out is a mistake, and every copy is a record in the queue.
const DESTINATIONS_MAX: usize = 256;

impl<'a> Checker<'a> {
    pub(super) fn routes(&mut self, keys: &BTreeMap<&'a str, Arc<KeyExpression>>) -> BTreeMap<&'a str, Arc<Route>> {
        let raw = self.raw;
        let mut routes = BTreeMap::new();
        for (name, written) in &raw.routes {
            let name = name.as_str();
            self.check_names(name, written);
            let events = self.globs(name, written);
            let (at_when, at_order) = (path!["routes", name, "when"], path!["routes", name, "order_by"]);
            let when = written.when.as_ref();
            let when = when.and_then(|text| self.expression(&at_when, "condition", text, Condition::compile));
            let order_by = written.order_by.as_ref();
            let order_by = order_by.and_then(|text| self.expression(&at_order, "key", text, KeyExpression::compile));
            if let (Some(condition), Some(text)) = (&when, &written.when) {
                self.params_of(&at_when, Passage::whole("condition", text), condition.params(), &written.from);
            }
            if let (Some(key), Some(text)) = (&order_by, &written.order_by) {
                self.params_of(&at_order, Passage::whole("key", text), key.params(), &written.from);
            }
            let to = written.to.0.iter().map(|to| Recipient {
                destination: Arc::from(to.as_str()),
                balance_by: keys.get(to.as_str()).cloned(),
            });
            let to = to.collect();
            routes.insert(
                name,
                Arc::new(Route {
                    name: Arc::from(name),
                    events,
                    when,
                    order_by,
                    on_error: match written.on_error {
                        Some(raw::OnError::NoMatch) => OnError::NoMatch,
                        Some(raw::OnError::Quarantine) | None => OnError::Quarantine,
                    },
                    shapes: written.transform.is_some(),
                    to,
                }),
            );
        }
        routes
    }

    fn check_names(&mut self, name: &str, written: &raw::Route) {
        let raw = self.raw;
        let sources: Vec<&str> = raw.sources.keys().map(raw::Name::as_str).collect();
        let destinations: Vec<&str> = raw.destinations.keys().map(raw::Name::as_str).collect();
        for (index, from) in written.from.0.iter().enumerate() {
            if !sources.contains(&from.as_str()) {
                self.unknown_name(("source", "sources"), from, &path!["routes", name, "from", index], &sources);
            }
        }
        for (index, to) in written.to.0.iter().enumerate() {
            if !destinations.contains(&to.as_str()) {
                self.unknown_name(
                    ("destination", "destinations"),
                    to,
                    &path!["routes", name, "to", index],
                    &destinations,
                );
            }
        }
        for (key, list) in [("from", &written.from), ("to", &written.to)] {
            for (index, one) in list.0.iter().enumerate() {
                if list.0.iter().take(index).any(|before| before == one) {
                    let at = path!["routes", name, key, index];
                    self.error(Code::InvalidValue, &at, format!("{} is named twice", self.quoted(&at)), None);
                }
            }
            if list.0.is_empty() && !self.spans.is_broken(&path!["routes", name, key]) {
                self.error(Code::MissingKey, &path!["routes", name, key], format!("`{key}` names nothing"), None);
            }
        }
        if written.to.0.len() > DESTINATIONS_MAX {
            let message = format!("a route sends to at most {DESTINATIONS_MAX} destinations");
            self.error(Code::LimitExceeded, &path!["routes", name, "to"], message, None);
        }
    }

    fn globs(&mut self, name: &str, written: &raw::Route) -> Option<EventGlobs> {
        let globs = written.events.as_ref()?;
        let mut is_whole = true;
        for (index, glob) in globs.iter().enumerate() {
            if let Err(problem) = EventGlobs::compile([glob.as_str()]) {
                let at = path!["routes", name, "events", index];
                let message = format!("{} is not a glob{}", self.quoted(&at), self.because(&at, problem));
                let help = "`*` is any run of characters, `{a,b}` either".to_owned();
                self.error(Code::InvalidValue, &at, message, Some(help));
                is_whole = false;
            }
        }
        self.doubts_of_globs(name, globs);
        if globs.is_empty() {
            let help = "leave `events` out to take every type".to_owned();
            self.error(
                Code::InvalidValue,
                &path!["routes", name, "events"],
                "an empty list takes no event",
                Some(help),
            );
        }
        let shown = globs.iter().enumerate().map(|(index, glob)| {
            let masked = self.spans.masked(&path!["routes", name, "events", index]);
            masked.map_or_else(|| glob.clone(), |masked| masked.text)
        });
        let compiled = is_whole.then(|| EventGlobs::compile(globs.iter().map(String::as_str)).ok()).flatten();
        compiled.map(|globs| globs.shown_as(shown.collect()))
    }
}
