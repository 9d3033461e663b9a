//! Repetitions: globs that others cover, and routes that repeat each other. These are warnings only, and only where the
//! repetition is certain.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, path};
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::route::Cover;
use crate::schema;

impl Checker<'_> {
    pub(super) fn lint_redundant(&mut self) {
        self.globs_of_routes();
        self.globs_of_schemas();
        self.routes_that_repeat();
    }

    fn globs_of_routes(&mut self) {
        let raw = self.raw;
        for (name, route) in &raw.routes {
            let globs = route.events.as_deref().unwrap_or_default();
            let covers = covers(globs.iter().map(String::as_str));
            let mut seen = BTreeSet::new();
            for (index, narrow) in globs.iter().enumerate() {
                let at = path!["routes", name, "events", index];
                if !seen.insert(narrow) {
                    let message = format!("{} is listed twice", self.quoted(&at));
                    self.warning(Code::Shadowed, &at, message, Some("remove one".to_owned()));
                    continue;
                }
                let is_wider = |wide: &&Cover<'_>| wide.glob() != narrow && wide.takes_all_of(narrow);
                let Some(wide) = covers.iter().find(is_wider).map(Cover::glob) else { continue };
                let at_wide = globs.iter().position(|glob| glob == wide).unwrap_or(index);
                let (wide, narrow) = (self.quoted(&path!["routes", name, "events", at_wide]), self.quoted(&at));
                let message = format!("{wide} already takes all that {narrow} takes");
                let help = format!("remove {narrow}, or narrow {wide}");
                self.warning(Code::Shadowed, &at, message, Some(help));
            }
        }
    }

    /// Warns of globs of schemas that are never matched. The globs are matched in the order of their literal starts,
    /// the longest first, so a glob after one that covers it is never reached.
    fn globs_of_schemas(&mut self) {
        let raw = self.raw;
        for (name, source) in &raw.sources {
            let written = source.schemas.iter().flat_map(|schemas| schemas.events.keys().map(String::as_str));
            let mut globs: Vec<(usize, &str)> =
                written.filter_map(|glob| schema::literal_start(glob).map(|literal| (literal, glob))).collect();
            globs.sort_by_key(|(literal, _)| Reverse(*literal));
            let covers = covers(globs.iter().map(|(_, glob)| *glob));
            for (index, cover) in covers.iter().enumerate() {
                let later = cover.glob();
                let Some(first) = covers.iter().take(index).find(|first| first.takes_all_of(later)) else { continue };
                let at = path!["sources", name, "schemas", "events", later];
                let first = quoted(first.glob());
                let message = format!("this schema is never used: {first} comes first and matches every type of it");
                let help = "the glob that is literal for longer is asked first, and of equal ones the first by the \
                            alphabet: name the types in full, or narrow the other";
                self.warning(Code::Shadowed, &at, message, Some(help.to_owned()));
            }
        }
    }

    fn routes_that_repeat(&mut self) {
        let raw = self.raw;
        let mut alike: BTreeMap<_, Vec<(&raw::Name, &raw::Route)>> = BTreeMap::new();
        for (name, route) in &raw.routes {
            let before = alike.entry(wants(route)).or_default();
            let same = before.iter().find_map(|(first, other)| repeats(other, route).map(|shared| (*first, shared)));
            if let Some((first, (from, to))) = same {
                let first = quoted(first.as_str());
                let (from, to) = (quoted(from), quoted(to));
                let message =
                    format!("this route takes the same events as {first}, so {to} gets each event of {from} twice");
                let help = format!("remove one, or let `events` or `when` tell them apart from {first}");
                self.warning(Code::Repeated, &path!["routes", name], message, Some(help));
            }
            if before.len() < ALIKE_MAX {
                before.push((name, route));
            }
        }
    }
}

/// The limit of compared globs: people do not write more by hand.
const COMPARED_MAX: usize = 256;
/// The limit of routes that accept the same events and have different destinations.
const ALIKE_MAX: usize = 32;

/// Returns the globs of a list, in their order; none for a list that is too long to be compared.
fn covers<'a>(globs: impl Iterator<Item = &'a str> + Clone) -> Vec<Cover<'a>> {
    if globs.clone().nth(COMPARED_MAX).is_some() { Vec::new() } else { globs.filter_map(Cover::new).collect() }
}

/// Returns the globs and the condition of a route, independent of the order of the globs and of white space.
fn wants(route: &raw::Route) -> (Option<BTreeSet<&str>>, Option<String>) {
    let events = route.events.as_ref().map(|globs| globs.iter().map(String::as_str).collect());
    (events, route.when.as_deref().map(|text| text.split_whitespace().collect()))
}

/// Finds a source and a destination between which two routes with the same conditions deliver in the same way.
fn repeats<'a>(one: &raw::Route, other: &'a raw::Route) -> Option<(&'a str, &'a str)> {
    let both = |one: &raw::OneOrMany, other: &'a raw::OneOrMany| {
        other.0.iter().find(|name| one.0.contains(name)).map(String::as_str)
    };
    let (from, to) = (both(&one.from, &other.from)?, both(&one.to, &other.to)?);
    let rest = |route: &raw::Route| raw::Route {
        from: raw::OneOrMany::default(),
        to: raw::OneOrMany::default(),
        events: None,
        when: None,
        ..route.clone()
    };
    (rest(one) == rest(other)).then_some((from, to))
}
