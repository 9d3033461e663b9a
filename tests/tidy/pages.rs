//! The pages: README and ARCHITECTURE stay short, every link leads somewhere, every page is in the book, and every alert
//! has its page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::{nothing, root};

/// The most lines and bytes of a page that must be read at once.
const SHORT: [(&str, usize, usize); 2] = [("README.md", 150, 10_240), ("ARCHITECTURE.md", 150, 12_288)];
const SUMMARY: &str = "docs/SUMMARY.md";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The Markdown files in a folder and below, relative to the project.
fn pages_in(folder: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            pages_in(&inside, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(inside);
        }
    }
}

fn pages() -> BTreeSet<String> {
    let mut found: BTreeSet<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).into();
    for folder in ["docs", "benches", "src/provider/rows"] {
        pages_in(folder, &mut found);
    }
    found
}

/// The text of a page outside of its fences.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// The places of links in a page, without those in code.
fn links(text: &str) -> Vec<String> {
    let code = Regex::new("`[^`\n]*`").unwrap();
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let text = prose(text);
    // The text of a link may be code; a link inside of code is none.
    let text = code.replace_all(&text, "");
    link.captures_iter(&text).map(|link| link[1].to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for heading in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let letters = heading.chars().map(|letter| if letter == ' ' { '-' } else { letter });
        let anchor: String = letters.filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect();
        let time = times.entry(anchor.clone()).or_default();
        found.insert(if *time == 0 { anchor } else { format!("{anchor}-{time}") });
        *time += 1;
    }
    found
}

/// `docs/guides/../concepts.md` without its detours.
fn plain(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.to_str().unwrap().to_owned()
}

#[test]
fn pages_that_are_read_first_are_short() {
    let mut findings = Vec::new();
    for (path, lines_max, bytes_max) in SHORT {
        let text = read(path);
        let (lines, bytes) = (text.lines().count(), text.len());
        if lines > lines_max || bytes > bytes_max {
            findings.push(format!("{path}: {lines} lines, {bytes} bytes; {lines_max} and {bytes_max} are allowed"));
        }
    }
    nothing(findings);
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut findings = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap().to_owned();
        for link in links(&read(&page)).into_iter().filter(|link| !link.contains("://")) {
            seen += 1;
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, at)| (path, Some(at)));
            let target = if path.is_empty() { page.clone() } else { plain(&folder.join(path)) };
            if !root().join(&target).exists() {
                findings.push(format!("{page}: ({link}) leads to no file"));
            } else if anchor.is_some_and(|anchor| !anchors(&read(&target)).contains(anchor)) {
                findings.push(format!("{page}: ({link}) leads to no heading of {target}"));
            }
            if page.starts_with("docs/") && page != SUMMARY && target.ends_with("README.md") {
                findings.push(format!("{page}: ({link}) is a dead link in the book, which calls that page index.html"));
            }
            if page.starts_with("docs/") && !target.starts_with("docs/") {
                findings.push(format!("{page}: ({link}) leads out of the book; name the file as `code`"));
            }
        }
    }
    assert!(seen > 200, "{seen}");
    nothing(findings);
}

#[test]
fn every_page_is_in_the_book() {
    let listed: BTreeSet<String> = links(&read(SUMMARY)).into_iter().map(|link| format!("docs/{link}")).collect();
    let mut found = BTreeSet::new();
    pages_in("docs", &mut found);
    found.remove(SUMMARY);
    nothing(found.difference(&listed).map(|page| format!("{page}: give it a line in {SUMMARY}")).collect());
}

#[test]
fn every_alert_has_its_page() {
    let alerts = read("deploy/prometheus/alerts.yaml");
    let names: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).map(str::trim).collect();
    assert_eq!(names.len(), alerts.matches("- alert: ").count(), "each alert names a page of its own");
    let mut found = BTreeSet::new();
    pages_in("docs/operate/runbook", &mut found);
    let stems: BTreeSet<&str> = found.iter().filter_map(|page| Path::new(page).file_stem()?.to_str()).collect();
    let (lost, idle) = (names.difference(&stems), stems.difference(&names));
    let lost = lost.map(|name| format!("docs/operate/runbook/{name}.md: an alert names it, and it is not there"));
    nothing(lost.chain(idle.map(|name| format!("docs/operate/runbook/{name}.md: no alert names it"))).collect());
}

#[test]
fn the_page_of_the_api_has_every_request() {
    let source = read("src/admin/api.rs");
    let page = read("docs/reference/api.md");
    let route = Regex::new(r#"\.route\("([^"]+)", (.*)\)"#).unwrap();
    let method = Regex::new(r"\b(get|post|put|delete)\(").unwrap();
    let mut findings = Vec::new();
    let mut seen = 0;
    for found in route.captures_iter(&source) {
        for method in method.captures_iter(&found[2]) {
            seen += 1;
            let request = format!("| `{} {}` |", method[1].to_uppercase(), &found[1]);
            if !page.contains(&request) {
                findings.push(format!("docs/reference/api.md lacks {request}"));
            }
        }
    }
    assert!(seen > 15 && page.matches("/api/v1/").count() == seen, "{seen} requests, and the page has others");
    nothing(findings);
}
