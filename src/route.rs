//! Routes: a [`Route`] takes events of some sources, of some types, under a condition.
//!
//! Every matching route gets its own copy; order never matters. A route on which something fails with an error (its
//! condition, one of its keys, the event's type that it needs) takes nothing: [`RouteFault`] is the error, and
//! [`OnError`] decides on the event if no other route takes it. A false condition is not an error.

use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::condition::{Condition, ConditionError, KeyExpression, View, brief};

/// A route of routes.yaml.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The event types that it takes; `None` is all, also events without a type.
    pub events: Option<EventGlobs>,
    /// The condition; `None` is always true.
    pub when: Option<Condition>,
    /// The key by which its events are kept in order; `None` is in no order.
    pub order_by: Option<KeyExpression>,
    /// The handling of an event on which the route fails with an error.
    pub on_error: OnError,
    /// True if its events are transformed before they are sent.
    pub shapes: bool,
    /// The destinations that get a copy each.
    pub to: Vec<Recipient>,
}

/// A destination, as a route sees it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its name.
    pub destination: Arc<str>,
    /// The balance key: events with the same key go to the same one of its targets; `None` is any target.
    pub balance_by: Option<Arc<KeyExpression>>,
}

/// The handling of an event on which a route fails with an error, when no other route takes the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The event is quarantined, with the error as its problem.
    #[default]
    Quarantine,
    /// The event is treated as if the condition were false.
    NoMatch,
}

/// The part of a route that failed: the closed list of the label `stage` of `route_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The event's own type or id, which the route needs and the source could not read.
    Event,
    /// The condition.
    When,
    /// The order key.
    OrderBy,
    /// The balance key, by which a destination chooses one of its targets.
    Balance,
    /// The transform, which is applied at the delivery; its failure is a dead letter.
    Transform,
}

impl Stage {
    /// Every stage, for tables and for series that begin at zero.
    pub const ALL: [Self; 5] = [Self::Event, Self::When, Self::OrderBy, Self::Balance, Self::Transform];

    /// Returns metric label, log field and API field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::When => "when",
            Self::OrderBy => "order_by",
            Self::Balance => "balance",
            Self::Transform => "transform",
        }
    }
}

/// The error of a route that cannot evaluate an event. Its text names expressions and places, never values of the
/// payload or of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteFault {
    /// The route needs the event's type, which could not be read.
    Type(Arc<str>),
    /// The route needs the event's id, which could not be read.
    Id(Arc<str>),
    /// The condition failed, in this part of it if it is known.
    When(ConditionError, String),
    /// The order key failed.
    OrderBy(ConditionError, String),
    /// The balance key of this destination failed.
    Balance(ConditionError, Arc<str>, String),
}

impl RouteFault {
    /// Returns the part of the route that failed.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Type(_) | Self::Id(_) => Stage::Event,
            Self::When(..) => Stage::When,
            Self::OrderBy(..) => Stage::OrderBy,
            Self::Balance(..) => Stage::Balance,
        }
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(why) => write!(f, "event type failed: {why}"),
            Self::Id(why) => write!(f, "event id failed: {why}"),
            Self::When(error, part) => write!(f, "condition failed: {error} (in `{}`)", brief(part)),
            Self::OrderBy(error, text) => write!(f, "order_by failed: {error} (in `{}`)", brief(text)),
            Self::Balance(error, to, text) => {
                write!(f, "balance key of destination \"{to}\" failed: {error} (in `{}`)", brief(text))
            }
        }
    }
}

/// The reasons for which a source could not read an event's own type and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The reason for which the type could not be read.
    pub event_type: Option<Arc<str>>,
    /// The reason for which the id could not be read.
    pub event_id: Option<Arc<str>>,
}

/// A key of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderText {
    /// The key.
    pub key: String,
    /// The key without the values of variables, for people.
    pub shown: String,
}

/// The keys under which a route takes an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Its place in the order; `None` is none.
    pub order: Option<OrderText>,
    /// For each of the route's destinations, in their order; `None` is none.
    pub balance: Vec<Option<String>>,
}

impl Route {
    /// Returns whether it may read the body: it has a condition or a key.
    pub fn reads_body(&self) -> bool {
        self.when.is_some() || self.order_by.is_some() || self.to.iter().any(|to| to.balance_by.is_some())
    }

    /// Evaluates an event. Returns the keys under which the route takes it, or nothing if the route does not match.
    pub fn judge(
        &self,
        event_type: Option<&str>,
        unread: &Unread,
        view: &View<'_>,
    ) -> Result<Option<Keys>, RouteFault> {
        let needs_type = || self.events.is_some() || self.reads(|(event_type, _)| event_type);
        if let Some(why) = unread.event_type.as_ref().filter(|_| needs_type()) {
            return Err(RouteFault::Type(Arc::clone(why)));
        }
        if !self.wants_type(event_type) {
            return Ok(None);
        }
        if let Some(why) = unread.event_id.as_ref().filter(|_| self.reads(|(_, event_id)| event_id)) {
            return Err(RouteFault::Id(Arc::clone(why)));
        }
        if let Some(condition) = &self.when {
            let failed = |error| RouteFault::When(error, condition.text_shown());
            if !condition.matches(view).map_err(failed)? {
                return Ok(None);
            }
        }
        self.keys(view).map(Some)
    }

    fn keys(&self, view: &View<'_>) -> Result<Keys, RouteFault> {
        let order = self.order(view)?;
        let balance = self.to.iter().map(|to| {
            let Some(by) = to.balance_by.as_deref() else { return Ok(None) };
            by.key(view).map_err(|error| RouteFault::Balance(error, Arc::clone(&to.destination), by.text_shown()))
        });
        Ok(Keys { order, balance: balance.collect::<Result<_, _>>()? })
    }

    fn order(&self, view: &View<'_>) -> Result<Option<OrderText>, RouteFault> {
        let Some(by) = &self.order_by else { return Ok(None) };
        let key = by.key(view).map_err(|error| RouteFault::OrderBy(error, by.text_shown()))?;
        Ok(key.map(|key| OrderText { shown: by.shown(&key, view), key }))
    }

    /// Returns whether any expression of the route reads the event's type or id; `which` picks from (type, id).
    fn reads(&self, which: fn((bool, bool)) -> bool) -> bool {
        let of_key = |key: &KeyExpression| which((key.reads_event_type(), key.reads_event_id()));
        let condition = self.when.as_ref();
        condition.is_some_and(|when| which((when.reads_event_type(), when.reads_event_id())))
            || self.order_by.as_ref().is_some_and(of_key)
            || self.to.iter().any(|to| to.balance_by.as_deref().is_some_and(of_key))
    }

    /// Returns whether it takes events of this type.
    pub fn wants_type(&self, event_type: Option<&str>) -> bool {
        match (&self.events, event_type) {
            (None, _) => true,
            (Some(globs), Some(event_type)) => globs.matches(event_type),
            (Some(_), None) => false,
        }
    }
}

/// Globs over event types: `*` any run of characters, `?` one, `[…]` a set, `{a,b}` either.
#[derive(Clone, Debug)]
pub struct EventGlobs {
    written: Vec<String>,
    set: GlobSet,
}

/// The reason why a glob is invalid.
#[derive(Debug)]
pub struct GlobProblem(globset::Error);

impl fmt::Display for GlobProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind())
    }
}

impl EventGlobs {
    /// Compiles the globs; any of them may match.
    pub fn compile<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, GlobProblem> {
        let (mut set, mut written) = (GlobSetBuilder::new(), Vec::new());
        for glob in globs {
            written.push(glob.to_owned());
            // Event types are not paths: a `/` is a character like any other (Shopify's `orders/create`).
            set.add(
                GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build().map_err(GlobProblem)?,
            );
        }
        let set = set.build().map_err(GlobProblem)?;
        Ok(Self { written, set })
    }

    /// Returns the globs with other texts for people.
    #[must_use]
    pub fn shown_as(self, written: Vec<String>) -> Self {
        Self { written, ..self }
    }

    /// As they were written; values of variables are not shown.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Returns whether any glob matches.
    pub fn matches(&self, event_type: &str) -> bool {
        self.set.is_match(event_type)
    }
}

/// A glob that may match all that another one matches.
#[derive(Debug)]
pub struct Cover<'a> {
    glob: &'a str,
    matcher: EventGlobs,
}

impl<'a> Cover<'a> {
    /// Compiles the glob; `None` if it is invalid.
    pub fn new(glob: &'a str) -> Option<Self> {
        EventGlobs::compile([glob]).ok().map(|matcher| Self { glob, matcher })
    }

    /// Returns the glob as it is written.
    pub fn glob(&self) -> &'a str {
        self.glob
    }

    /// Returns whether it certainly matches all that `narrow` matches; `false` also if that cannot be told.
    pub fn takes_all_of(&self, narrow: &str) -> bool {
        // Stands in for a run of characters: no glob names it, so only a `*` takes it.
        const ANY_RUN: char = '\u{f8ff}';
        if self.glob == narrow {
            return true;
        }
        let has_wildcard = narrow.contains(['*', '?']);
        // A set or a `?` could take the stand-in without taking what it stands for.
        if narrow.contains(['[', '\\']) || (has_wildcard && self.glob.contains(['?', '[', '\\'])) {
            return false;
        }
        let Some(alternatives) = unbraced(narrow) else { return false };
        alternatives.iter().all(|one| self.matcher.matches(&one.replace(['*', '?'], &ANY_RUN.to_string())))
    }
}

/// Returns the globs that one with `{a,b}` stands for; `None` for braces in braces, and for more than a few.
fn unbraced(glob: &str) -> Option<Vec<String>> {
    const ALTERNATIVES_MAX: usize = 64;
    let mut whole = vec![String::new()];
    let mut rest = glob;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        if inside.contains('{') || before.contains('}') {
            return None;
        }
        let choices: Vec<&str> = inside.split(',').collect();
        if whole.len() * choices.len() > ALTERNATIVES_MAX {
            return None;
        }
        let longer = |start: &String| choices.iter().map(|choice| [start, before, choice].concat()).collect::<Vec<_>>();
        whole = whole.iter().flat_map(longer).collect();
        rest = after;
    }
    Some(whole.into_iter().map(|start| start + rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_another_only_where_that_is_certain() {
        let covers = |wide, narrow| Cover::new(wide).is_some_and(|wide| wide.takes_all_of(narrow));
        for (wide, narrow) in [
            ("*", "push"),
            ("*", "a.{b,c}.*"),
            ("invoice.*", "invoice.paid"),
            ("invoice.*", "invoice.*.failed"),
            ("invoice.*", "invoice.{paid,payment.*}"),
            ("{a,b}.*", "b.c"),
            ("{a,b}.*", "{b,a}.x*"),
            ("a?c", "abc"),
            ("a?c", "a?c"),
            ("[ab].x", "a.x"),
            ("*.*", "a.*"),
        ] {
            assert!(covers(wide, narrow), "{wide} covers {narrow}");
        }
        for (wide, narrow) in [
            ("invoice.*", "invoice"),
            ("invoice.*", "invoice*"),
            ("invoice.paid", "invoice.*"),
            ("invoice.{paid,sent}", "invoice.{paid,voided}"),
            ("a?c", "a*c"),
            ("[!x]", "*"),
            ("*.*", "*"),
            ("a*", "[ab]*"),
            ("{a", "{a,{b,c}}"),
        ] {
            assert!(!covers(wide, narrow), "{wide} does not cover {narrow}");
        }
    }

    #[test]
    fn globs_match_event_types() {
        let globs =
            EventGlobs::compile(["invoice.*", "charge.refunded", "pull_request.{opened,synchronize}", "orders/*"])
                .unwrap();
        for wanted in
            ["invoice.paid", "invoice.payment.failed", "charge.refunded", "pull_request.opened", "orders/create"]
        {
            assert!(globs.matches(wanted), "{wanted}");
        }
        for unwanted in ["invoice", "charge.refunded.x", "pull_request.closed", "xinvoice.paid"] {
            assert!(!globs.matches(unwanted), "{unwanted}");
        }
    }
}
