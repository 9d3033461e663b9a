//! The series of sources: one of each for every source in force, at zero from the start, and none for removed sources.

use std::collections::BTreeSet;

use prometheus::core::Collector;

use super::{NO_SOURCE, Telemetry};
use crate::budget::{Alarm, BudgetChange, Level};
use crate::clock::Timestamp;
use crate::only_failing::{AlarmChange, Failures, Standing};
use crate::refusal::{Class, RequestOutcome};

/// The values of the label `proof`, by which the failure budget is counted.
const VERIFIED: &str = "verified";
const UNVERIFIED: &str = "unverified";

/// The current state of one source.
#[derive(Clone, Copy, Debug)]
pub struct SourceStanding<'a> {
    /// Its name.
    pub name: &'a str,
    /// The used part of the failure budget; `None` where the provider has no rule.
    pub budget: Option<Level>,
    /// The state of its verification.
    pub verification: Standing,
}

impl Telemetry {
    /// Sets the series of these sources, and ends all others.
    pub fn sources<'a>(&self, standings: impl Iterator<Item = SourceStanding<'a>>) {
        let mut known = BTreeSet::from([NO_SOURCE.to_owned()]);
        self.begin_refusals(NO_SOURCE);
        for SourceStanding { name, budget, verification } in standings {
            self.begin_refusals(name);
            self.0.refused_admitted.with_label_values(&[name]);
            self.standing(name, verification);
            match budget {
                Some(level) => self.level(name, level),
                None => self.forget_budget(name),
            }
            known.insert(name.to_owned());
        }
        for gone in sources_of(&self.0.last_verified).difference(&known) {
            self.forget_source(gone);
        }
    }

    /// Records an answer that counts against the provider's failure budget.
    pub fn budget(&self, source: &str, recorded: &BudgetChange) {
        if let Some(level) = recorded.level {
            self.level(source, level);
        }
        match &recorded.alarm {
            Some(Alarm::Near { rule, then }) => {
                tracing::error!(source, rule, then, "the provider is about to disable this endpoint");
            }
            Some(Alarm::Over) => tracing::warn!(source, "the provider's patience is no longer in danger"),
            None => {}
        }
    }

    /// Records the verification state of a source after a request or after time has passed, and logs a change.
    pub fn verification(&self, source: &str, standing: Standing, change: Option<AlarmChange>) {
        self.standing(source, standing);
        match change {
            Some(AlarmChange::Began(failures)) => {
                let Failures { since, count, last_verified, kind, .. } = failures;
                tracing::warn!(
                    source,
                    failures = count,
                    %since,
                    %last_verified,
                    verdict = kind.label(),
                    "this source verified before and only fails now: likely its secret was rotated on one side; add the new \
                     secret as a file, reload, and let in what was refused: hookgate refused admit --source {source} (a variable \
                     changes at a restart only, which forgets what was refused)"
                );
            }
            Some(AlarmChange::Ended(failures)) => {
                let Failures { since, count, .. } = failures;
                tracing::info!(
                    source,
                    failures = count,
                    %since,
                    "this source verifies again; to see the requests refused meanwhile: hookgate refused admit --source {source} --dry-run"
                );
            }
            None => {}
        }
    }

    /// Counts a refused request that was admitted later.
    pub fn refused_admitted(&self, source: &str) {
        self.0.refused_admitted.with_label_values(&[source]).inc();
    }

    fn standing(&self, source: &str, standing: Standing) {
        let last = standing.last_verified.map_or(0, Timestamp::unix_secs);
        self.0.last_verified.with_label_values(&[source]).set(i64::try_from(last).unwrap_or(i64::MAX));
        self.0.only_failing.with_label_values(&[source]).set(i64::from(standing.is_only_failing));
    }

    fn level(&self, source: &str, level: Level) {
        self.0.budget_used.with_label_values(&[source, VERIFIED]).set(level.verified);
        self.0.budget_used.with_label_values(&[source, UNVERIFIED]).set(level.unverified);
        self.0.budget_limit.with_label_values(&[source]).set(level.limit);
    }

    fn begin_refusals(&self, source: &str) {
        for outcome in summed_up() {
            // To name a series is to begin it.
            self.0.lines_suppressed.with_label_values(&[source, outcome]);
        }
    }

    fn forget_budget(&self, source: &str) {
        for proof in [VERIFIED, UNVERIFIED] {
            drop(self.0.budget_used.remove_label_values(&[source, proof]));
        }
        drop(self.0.budget_limit.remove_label_values(&[source]));
    }

    fn forget_source(&self, source: &str) {
        self.forget_budget(source);
        for gauge in [&self.0.last_verified, &self.0.only_failing] {
            drop(gauge.remove_label_values(&[source]));
        }
        drop(self.0.refused_admitted.remove_label_values(&[source]));
        for outcome in summed_up() {
            drop(self.0.lines_suppressed.remove_label_values(&[source, outcome]));
        }
        tracing::debug!(source, "a source is no longer in force");
    }
}

/// The outcomes whose log lines may be summed up.
fn summed_up() -> impl Iterator<Item = &'static str> {
    Class::ALL.map(Class::label).into_iter().chain([RequestOutcome::Handshake.label()])
}

/// The sources that have a series.
fn sources_of(family: &impl Collector) -> BTreeSet<String> {
    let families = family.collect();
    let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    let labels = metrics.flat_map(prometheus::proto::Metric::get_label);
    labels.filter(|label| label.name() == "source").map(|label| label.value().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_in_force_has_its_series_at_zero_and_no_other_has() {
        let telemetry = Telemetry::new();
        let page = || String::from_utf8(telemetry.render()).unwrap();
        let level = Level { verified: 0.0, unverified: 0.0, limit: 8.0 };
        let standing = |name, budget| SourceStanding { name, budget, verification: Standing::default() };
        telemetry.sources([standing("shop", Some(level)), standing("git", None)].into_iter());
        for line in [
            "hookgate_source_only_failing{source=\"shop\"} 0\n",
            "hookgate_source_last_verified_timestamp_seconds{source=\"git\"} 0\n",
            "hookgate_provider_failure_budget_used{proof=\"verified\",source=\"shop\"} 0\n",
            "hookgate_provider_failure_budget_used{proof=\"unverified\",source=\"shop\"} 0\n",
            "hookgate_provider_failure_budget_limit{source=\"shop\"} 8\n",
            "hookgate_refused_admitted_total{source=\"git\"} 0\n",
            "hookgate_refusal_log_lines_suppressed_total{outcome=\"bad_signature\",source=\"git\"} 0\n",
            "hookgate_refusal_log_lines_suppressed_total{outcome=\"not_found\",source=\"_none\"} 0\n",
        ] {
            assert!(page().contains(line), "{line} in {}", page());
        }
        assert!(!page().contains("hookgate_provider_failure_budget_limit{source=\"git\"}"));
        telemetry.sources([standing("git", None)].into_iter());
        assert!(!page().contains("\"shop\"") && page().contains("source=\"git\""), "{}", page());
    }
}
