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

#[cfg(test)]
mod tests {
    use super::*;

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
