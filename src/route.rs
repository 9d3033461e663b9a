//! What goes where: a [`Route`] wants events of some sources, of some types, under a condition.
//!
//! Every matching route gets its own copy; order never matters. An error in a condition is *no match*: counted and logged,
//! never a reason to drop the event elsewhere.

use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::condition::{Condition, ConditionError, KeyExpression, View};

/// A rule of routes.yaml.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The event types it wants; `None` is all, also events without a type.
    pub events: Option<EventGlobs>,
    /// What must hold; `None` is always.
    pub when: Option<Condition>,
    /// By what its events are kept in order; `None` is in no order.
    pub order_by: Option<KeyExpression>,
    /// Whether its events are changed before they are sent.
    pub shapes: bool,
    /// The destinations that get a copy each.
    pub to: Vec<Recipient>,
}

/// A destination, as a route sees it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its name.
    pub destination: Arc<str>,
    /// Events with the same key go to the same one of its targets; `None` where that is all the same.
    pub balance_by: Option<Arc<KeyExpression>>,
}

impl Route {
    /// Whether it looks into the body.
    pub fn reads_body(&self) -> bool {
        self.when.is_some() || self.order_by.is_some() || self.to.iter().any(|to| to.balance_by.is_some())
    }

    /// Whether this route wants the event.
    pub fn wants(&self, event_type: Option<&str>, view: &View<'_>) -> Result<bool, ConditionError> {
        let type_fits = self.wants_type(event_type);
        match &self.when {
            Some(condition) if type_fits => condition.matches(view),
            _ => Ok(type_fits),
        }
    }

    /// Whether it wants events of this type.
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

/// Why a glob is none.
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

    /// As they were written.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Whether any glob matches.
    pub fn matches(&self, event_type: &str) -> bool {
        self.set.is_match(event_type)
    }
}

/// A glob that may take all that another one takes.
#[derive(Debug)]
pub struct Cover<'a> {
    glob: &'a str,
    matcher: EventGlobs,
}

impl<'a> Cover<'a> {
    /// `None` for what is no glob.
    pub fn new(glob: &'a str) -> Option<Self> {
        EventGlobs::compile([glob]).ok().map(|matcher| Self { glob, matcher })
    }

    /// The glob as it is written.
    pub fn glob(&self) -> &'a str {
        self.glob
    }

    /// Whether it certainly matches all that `narrow` matches; `false` also where that cannot be told.
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

/// What a glob with `{a,b}` stands for; `None` for braces in braces, and for more than a few.
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
