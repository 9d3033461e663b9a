//! `/metrics` is valid for Prometheus, and strangers cannot invent labels.

use std::collections::BTreeSet;

use hookgate::outcome::AttemptOutcome;
use hookgate::refusal::RequestOutcome;

use crate::support::{Receiver, Site, github, unique};

#[test]
fn the_page_parses_and_strangers_make_up_no_label() {
    let receiver = Receiver::start();
    let mut gateway = Site::plain(&receiver).start();
    gateway.accept(&github("{}"));
    receiver.wait_for(1);
    gateway.wait_for_metric("hookgate_deliveries_total", &[], 1);
    for at in 0..1000 {
        let id = unique();
        let (target, event) = (format!("/{id}/{at}?{id}"), format!("event-{id}"));
        let request = if at % 2 == 0 { github("{}").to(&target) } else { github("{}") };
        let mut request =
            request.without("X-GitHub-Event").with("X-GitHub-Event", event).with("Host", format!("{id}.test"));
        if at % 7 == 0 {
            request.method = format!("M{at}");
        }
        let answer = gateway.send(&request);
        assert!(matches!(answer.status, 200 | 404 | 405), "{answer:?}");
    }
    let metrics = gateway.metrics();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(metrics.values_of("source"), names(&["_none", "github"]));
    assert_eq!(metrics.values_of("route"), names(&["all"]));
    assert_eq!(metrics.values_of("destination"), names(&["app"]));
    assert_eq!(metrics.values_of("secret"), names(&["main"]));
    assert_eq!(metrics.values_of("listener"), names(&["public"]));
    let requests = RequestOutcome::ALL.map(RequestOutcome::label).into_iter();
    let closed: BTreeSet<String> =
        requests.chain(AttemptOutcome::ALL.map(AttemptOutcome::label)).map(str::to_owned).collect();
    assert_eq!(metrics.values_of("outcome"), closed);
    let outcomes = names(&["accepted", "method_not_allowed", "not_found", "success"]);
    let counted = metrics.series().into_iter().filter(|(_, _, value)| *value > 0.0).flat_map(|(_, labels, _)| labels);
    let counted: BTreeSet<String> = counted.filter(|(name, _)| name == "outcome").map(|(_, value)| value).collect();
    assert_eq!(counted, outcomes);
    assert!(metrics.0.len() < 100_000, "{} bytes", metrics.0.len());
    check_types(&metrics.0);
    let page = gateway.admin("/metrics");
    assert!(page.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(gateway.admin("/livez").status, 200);
    let ready = gateway.admin("/readyz?verbose");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("survives kill -9, kernel crash and power loss"), "{}", ready.text());
    assert!(gateway.stop().success());
}

/// `increase()` misses the first increment of a series that does not begin at zero.
#[test]
fn every_series_with_configured_labels_is_there_at_zero_before_the_first_request() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let metrics = gateway.metrics();
    let of = |name: &str, labels: &[(&str, &str)]| {
        let has = |found: &[(String, String)]| {
            labels.iter().all(|(key, value)| found.iter().any(|(known, is)| known == key && is == value))
        };
        let values: Vec<f64> = metrics
            .series()
            .into_iter()
            .filter(|(known, found, _)| known == name && has(found))
            .map(|of| of.2)
            .collect();
        assert_eq!(values, [0.0], "{name}{labels:?}");
    };
    for (outcome, code) in
        [("accepted", "200"), ("bad_signature", "401"), ("quarantined", "200"), ("buffer_full", "503")]
    {
        of("hookgate_requests_total", &[("source", "github"), ("outcome", outcome), ("code", code)]);
    }
    of("hookgate_requests_total", &[("source", "_none"), ("outcome", "not_found"), ("code", "404")]);
    of("hookgate_requests_total", &[("source", "_none"), ("outcome", "headers_too_large"), ("code", "414")]);
    let suppressed = [("source", "github"), ("outcome", "handshake")];
    of("hookgate_refusal_log_lines_suppressed_total", &suppressed);
    for verdict in ["verified", "failed"] {
        of("hookgate_verifications_total", &[("source", "github"), ("verdict", verdict)]);
    }
    for stage in ["when", "transform"] {
        of("hookgate_route_errors_total", &[("route", "all"), ("stage", stage)]);
    }
    for result in ["delivered", "dead_lettered", "expired", "discarded"] {
        of("hookgate_deliveries_total", &[("destination", "app"), ("result", result)]);
    }
    for outcome in AttemptOutcome::ALL {
        of("hookgate_delivery_attempts_total", &[("destination", "app"), ("outcome", outcome.label())]);
    }
    for reason in ["size", "disk", "engine"] {
        of("hookgate_buffer_refusing", &[("reason", reason)]);
    }
    for source in ["handshakes_total", "duplicates_total", "events_unrouted_total", "delivery_id_conflicts_total"] {
        of(&format!("hookgate_{source}"), &[("source", "github")]);
    }
    of("hookgate_quarantined_events", &[("source", "github")]);
    of("hookgate_circuit_open", &[("destination", "app")]);
    of("hookgate_event_latency_seconds_count", &[("route", "all")]);
    assert!(metrics.sum("hookgate_disk_free_bytes", &[]) > 0);
    // Own series that are missing here have labels that a configuration does not decide.
    let page: BTreeSet<String> = metrics.series().into_iter().map(|(name, _, _)| name).collect();
    let later = [
        "hookgate_secret_not_after_timestamp_seconds",
        "hookgate_tls_certificate_not_after_timestamp_seconds",
        "hookgate_tls_handshake_failures_total",
        "hookgate_schema_failures_total",
        "hookgate_sync_answers_total",
        "hookgate_target_healthy",
        "hookgate_spans_dropped_total",
        "hookgate_provider_failure_budget_used",
        "hookgate_provider_failure_budget_limit",
    ];
    let absent: Vec<String> = hookgate::telemetry::Telemetry::new()
        .described()
        .into_iter()
        .map(|metric| metric.name)
        .filter(|name| !page.contains(name) && !page.contains(&format!("{name}_count")) && !later.contains(&&**name))
        .collect();
    assert_eq!(absent, Vec::<String>::new());
}

/// Checks that every series belongs to a family with help and type, and that no series comes twice.
fn check_types(page: &str) {
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let helped: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert_eq!(families, helped);
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series), "{series} comes twice");
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = families.contains(name) || family.is_some_and(|family| families.contains(family));
        assert!(known, "{name} has no type");
    }
}
