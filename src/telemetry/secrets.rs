//! The series of secrets: one of each for every secret in force, at zero until its first use, and none for removed
//! secrets. So an unused secret shows, and the series of a removed one ends.

use std::collections::BTreeSet;

use prometheus::core::Collector;

use super::Telemetry;
use crate::clock::Timestamp;
use crate::secret::ListedSecret;

impl Telemetry {
    /// Records a request that this secret verified.
    pub(super) fn secret_used(&self, source: &str, secret: &str, now: Timestamp) {
        self.0.secret_used.with_label_values(&[source, secret]).inc();
        self.0.secret_last_used.with_label_values(&[source, secret]).set(seconds(now));
    }

    /// Begins the series of these secrets, and ends all others.
    pub fn secrets(&self, listed: &[ListedSecret]) {
        let mut known = BTreeSet::new();
        for secret in listed {
            let labels = [&*secret.source, secret.name.as_str()];
            // Naming a series begins it.
            self.0.secret_used.with_label_values(&labels);
            self.0.secret_last_used.with_label_values(&labels);
            if secret.validity.ends() {
                self.0.secret_not_after.with_label_values(&labels).set(seconds(secret.validity.until));
            } else if self.0.secret_not_after.remove_label_values(&labels).is_ok() {
                tracing::debug!(source = %secret.source, secret = %secret.name, "a secret no longer ends");
            }
            known.insert((labels[0].to_owned(), labels[1].to_owned()));
        }
        self.forget_others(&known);
    }

    fn forget_others(&self, known: &BTreeSet<(String, String)>) {
        for (source, secret) in labels_of(&self.0.secret_used).difference(known) {
            let labels = [source.as_str(), secret.as_str()];
            let gone = self.0.secret_used.remove_label_values(&labels).is_ok();
            for gauge in [&self.0.secret_last_used, &self.0.secret_not_after] {
                // Only secrets with an end have this series.
                drop(gauge.remove_label_values(&labels));
            }
            tracing::debug!(source, secret, gone, "a secret is no longer in force");
        }
    }

    /// Returns how often a secret in force has verified a request since the start, and the last time.
    pub fn secret_use(&self, secret: &ListedSecret) -> (u64, Option<Timestamp>) {
        let labels = [&*secret.source, secret.name.as_str()];
        let last = u64::try_from(self.0.secret_last_used.with_label_values(&labels).get()).unwrap_or(0);
        let used = self.0.secret_used.with_label_values(&labels).get();
        (used, (last > 0).then(|| Timestamp::from_unix_secs(last)))
    }
}

fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.unix_secs()).unwrap_or(i64::MAX)
}

/// Returns source and secret of every series.
fn labels_of(family: &impl Collector) -> BTreeSet<(String, String)> {
    let families = family.collect();
    let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    let label = |metric: &prometheus::proto::Metric, name: &str| {
        let found = metric.get_label().iter().find(|label| label.name() == name);
        found.map(|label| label.value().to_owned()).unwrap_or_default()
    };
    metrics.map(|metric| (label(metric, "source"), label(metric, "secret"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SecretName, Validity};

    fn listed(name: &str, until: Timestamp) -> ListedSecret {
        let validity = Validity { until, ..Validity::ALWAYS };
        ListedSecret { source: "github".into(), name: SecretName::new(name), validity }
    }

    #[test]
    fn every_secret_in_force_has_its_series_and_no_other_has() {
        let telemetry = Telemetry::new();
        let page = || String::from_utf8(telemetry.render()).unwrap();
        let end = Timestamp::from_unix_secs(2_000_000_000);
        telemetry.secrets(&[listed("old", end), listed("new", Validity::ALWAYS.until)]);
        telemetry.secret_used("github", "old", Timestamp::from_unix_secs(7));
        let labels = |name: &str| format!("{{secret=\"{name}\",source=\"github\"}}");
        for (metric, name, value) in [
            ("used_total", "old", "1"),
            ("used_total", "new", "0"),
            ("last_used_timestamp_seconds", "old", "7"),
            ("last_used_timestamp_seconds", "new", "0"),
            ("not_after_timestamp_seconds", "old", "2000000000"),
        ] {
            let line = format!("hookgate_secret_{metric}{} {value}\n", labels(name));
            assert!(page().contains(&line), "{line} in {}", page());
        }
        assert!(!page().contains(&format!("hookgate_secret_not_after_timestamp_seconds{}", labels("new"))));
        assert_eq!(telemetry.secret_use(&listed("old", end)), (1, Some(Timestamp::from_unix_secs(7))));
        telemetry.secrets(&[listed("new", Validity::ALWAYS.until)]);
        assert!(!page().contains("secret=\"old\"") && page().contains("secret=\"new\""));
    }
}
