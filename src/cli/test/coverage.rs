//! The coverage of the rules by the cases: each route accepted an event and rejected one, and each part of each
//! condition was true and was false.

use std::collections::BTreeMap;

use crate::explain::{Explanation, RouteVerdict};
use crate::rules::Rules;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    yes: bool,
    no: bool,
    /// True for a route that accepts all events of its sources, so that it never rejects one.
    is_always: bool,
}

impl Seen {
    fn counts(self) -> (usize, usize) {
        let no = usize::from(self.no && !self.is_always);
        (usize::from(self.yes) + no, 2 - usize::from(self.is_always))
    }
}

/// The coverage of each route, and of each part of its condition.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    routes: BTreeMap<String, Seen>,
    parts: BTreeMap<(String, String), Seen>,
}

impl Coverage {
    /// Creates the coverage of rules without any case.
    pub(super) fn of(rules: &Rules) -> Self {
        let mut coverage = Self::default();
        for route in rules.lanes.iter().flat_map(|lane| &lane.routes) {
            let is_always = route.events.is_none() && route.when.is_none();
            coverage.routes.insert(route.name.to_string(), Seen { is_always, ..Seen::default() });
            for part in route.when.iter().flat_map(crate::condition::Condition::parts) {
                coverage.parts.entry((route.name.to_string(), part)).or_default();
            }
        }
        coverage
    }

    /// Adds the results of one request.
    pub(super) fn add(&mut self, told: &Explanation) {
        // A refused request never reached its routes.
        if !matches!(told.outcome, "accepted" | "filtered" | "quarantined") {
            return;
        }
        for says in &told.routes {
            let seen = self.routes.entry(says.route.clone()).or_default();
            *(if says.verdict == RouteVerdict::Matched { &mut seen.yes } else { &mut seen.no }) = true;
            // For another type, the route never evaluated its condition.
            let asked = says.when.iter().filter(|_| says.verdict != RouteVerdict::OtherType);
            for (part, gave) in asked.flat_map(crate::condition::Explained::verdicts) {
                let seen = self.parts.entry((says.route.clone(), part.to_owned())).or_default();
                *(if gave { &mut seen.yes } else { &mut seen.no }) = true;
            }
        }
    }

    /// Returns the number of covered things, and the number of all.
    pub(super) fn counts(&self) -> (usize, usize) {
        let all = self.routes.values().chain(self.parts.values());
        all.map(|seen| seen.counts()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Returns the missing coverage, a line each.
    pub(super) fn missing(&self) -> Vec<String> {
        let routes = self.routes.iter().flat_map(|(name, seen)| {
            let yes = (!seen.yes).then(|| format!("route `{name}` never wanted an event"));
            let no = (!seen.no && !seen.is_always)
                .then(|| format!("route `{name}` never left an event of its sources alone"));
            yes.into_iter().chain(no)
        });
        let parts = self.parts.iter().flat_map(|((name, part), seen)| {
            let yes = (!seen.yes).then(|| format!("route `{name}`: `{part}` was never true"));
            let no = (!seen.no).then(|| format!("route `{name}`: `{part}` was never false"));
            yes.into_iter().chain(no)
        });
        routes.chain(parts).collect()
    }
}
