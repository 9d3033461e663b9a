//! `/metrics` can be read by machines, and strangers cannot make its labels up.

use std::collections::BTreeSet;

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

/// Every series belongs to a family with help and type, and no series comes twice.
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
