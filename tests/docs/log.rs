//! The page of log lines names every field that the lines of requests and deliveries have.

use std::collections::BTreeSet;

use regex::Regex;

use super::{read, root};

const PAGE: &str = "docs/reference/log.md";

/// The names of fields in the log macros of telemetry.
fn fields() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let lines = Regex::new(r#"tracing::(?:\$level|[a-z]+)!\(([^;]*?)"[^"]*"\s*\)"#).unwrap();
    let field = Regex::new(r"^[%?]?([a-z_]+)(?:\s*=.*)?$").unwrap();
    for entry in std::fs::read_dir(root().join("src/telemetry")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for line in lines.captures_iter(&text).filter(|line| !line[0].contains("debug!")) {
            let parts = line[1].split([',', '\n']).map(str::trim).filter(|part| !part.starts_with("target:"));
            found.extend(parts.filter_map(|part| field.captures(part)).map(|part| part[1].to_owned()));
        }
    }
    found
}

#[test]
fn the_page_of_log_lines_names_every_field() {
    let page = read(PAGE);
    let fields = fields();
    assert!(fields.contains("delivery_id") && fields.contains("unread_retry_after"), "{fields:?}");
    let missing: Vec<&String> = fields.iter().filter(|field| !page.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "{PAGE} lacks: {missing:?}");
    // And the other way round: the first column of its tables has no field that no line has.
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let general = ["timestamp", "level", "message", "target"];
    let gone: Vec<&str> = listed.filter(|name| !fields.contains(*name) && !general.contains(name)).collect();
    assert!(gone.is_empty(), "{PAGE} has fields that no line has: {gone:?}");
}
