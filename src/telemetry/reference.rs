//! The page of all metrics, compared with the code.
//!
//! `UPDATE=1 cargo test --lib telemetry` writes `docs/reference/metrics.md` anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Described, Telemetry};

const PAGE: &str = "docs/reference/metrics.md";
const ALERTS: &str = "deploy/prometheus/alerts.yaml";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn page() -> String {
    let mut page = "# Metrics\n\n\
        `GET /metrics` on the admin listener, in Prometheus' text format. Labels hold names of the configuration and words of \
        closed lists only. Series with such labels exist at 0 from the start. `source=\"_none\"` are requests that reached no \
        source. Beside these there are the usual `process_…` ones. Alerts over them: `deploy/prometheus/alerts.yaml`.\n\n\
        | name | type | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for metric in Telemetry::new().described() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let Described { name, kind, help, .. } = &metric;
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    page
}

#[test]
fn the_page_of_metrics_lists_what_the_code_has() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(PAGE), page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path(PAGE)).unwrap(), page(), "{PAGE} is stale: UPDATE=1 cargo test --lib telemetry");
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let known: BTreeSet<String> = Telemetry::new().described().into_iter().map(|metric| metric.name).collect();
    let alerts = fs::read_to_string(path(ALERTS)).unwrap();
    let words = alerts.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("hookgate_")).collect();
    assert!(asked.len() > 10, "{asked:?}");
    let unknown: Vec<&&str> = asked.iter().filter(|name| !known.contains(**name)).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
}
