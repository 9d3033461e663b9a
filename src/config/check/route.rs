//! Routes: names that must exist, globs and conditions that must compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Checker, path};
use crate::condition::{Condition, Place};
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::config::spans::{Position, Span};
use crate::route::{EventGlobs, Route};

/// A fan-out beyond this is a mistake; every copy is a record in the queue.
const DESTINATIONS_MAX: usize = 256;

impl<'a> Checker<'a> {
    pub(super) fn routes(&mut self) -> BTreeMap<&'a str, Arc<Route>> {
        let raw = self.raw;
        let mut routes = BTreeMap::new();
        for (name, written) in &raw.routes {
            let name = name.as_str();
            self.check_names(name, written);
            let events = self.globs(name, written);
            let when = self.condition(name, written);
            let to = written.to.0.iter().map(|to| Arc::from(to.as_str())).collect();
            routes.insert(name, Arc::new(Route { name: Arc::from(name), events, when, to }));
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
                    let message = format!("{} is named twice", quoted(one));
                    self.error(Code::InvalidValue, &path!["routes", name, key, index], message, None);
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
                let message = format!("{} is not a glob: {problem}", quoted(glob));
                let help = "`*` is any run of characters, `{a,b}` either".to_owned();
                self.error(Code::InvalidValue, &path!["routes", name, "events", index], message, Some(help));
                is_whole = false;
            }
        }
        if globs.is_empty() {
            let help = "leave `events` out to take every type".to_owned();
            self.error(
                Code::InvalidValue,
                &path!["routes", name, "events"],
                "an empty list takes no event",
                Some(help),
            );
        }
        is_whole.then(|| EventGlobs::compile(globs.iter().map(String::as_str)).ok()).flatten()
    }

    fn condition(&mut self, name: &str, written: &raw::Route) -> Option<Condition> {
        let text = written.when.as_ref()?;
        match Condition::compile(text) {
            Ok(condition) => Some(condition),
            Err(problem) => {
                let whole = self.spans.of(&path!["routes", name, "when"]).unwrap_or(Span::TOP);
                let (span, place) = match problem.place() {
                    None => (whole, String::new()),
                    Some(place) => match within(whole, text, place) {
                        Some(span) => (span, String::new()),
                        None => (whole, format!(" (line {}, column {} of the condition)", place.line, place.column)),
                    },
                };
                let message = format!("the condition does not compile: {problem}{place}");
                self.error_in(Code::InvalidCondition, Some(span), message, None);
                None
            }
        }
    }
}

/// Where `place` of a condition stands in the file, when the condition stands there as it is: on one line, without
/// escapes. A word is taken whole.
fn within(whole: Span, text: &str, place: Place) -> Option<Span> {
    let written = whole.end.column.checked_sub(whole.start.column).filter(|_| whole.start.line == whole.end.line)?;
    let quote = match written.checked_sub(text.chars().count())? {
        0 => 0,
        2 => 1,
        _ => return None,
    };
    let start = whole.start.column + quote + place.column.checked_sub(1)?;
    let (before, rest) = text.split_at_checked(place.offset)?;
    let is_word = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    let word = rest.chars().take_while(|letter| is_word(letter) || *letter == '.').count();
    // A call is found at its bracket, and a field at its dot.
    let back = if rest.starts_with(['(', '.']) { before.chars().rev().take_while(is_word).count() } else { 0 };
    let at = |column| Position { line: whole.start.line, column };
    Some(Span { start: at(start.checked_sub(back)?), end: at(start + word.max(usize::from(back == 0))) })
}
