//! The rows of providers: each parses, has a name and a dated source, and has vectors if it calls itself proven.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use hookgate::provider::{FactName, Row, SourceKind};
use ipnet::IpNet;
use serde_json::Value;

use crate::{nothing, root};

/// The least numbers of accepted and of refused vectors of a proven row.
const ACCEPTED_MIN: usize = 1;
const REFUSED_MIN: usize = 3;
/// Files whose cases name the provider's broad row; they also prove the narrow row that the file is named after.
const NARROW: [&str; 2] = ["hubspot_v1_v2", "adyen_platform"];

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

fn stem(file: &std::path::Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn every_row_is_read_named_and_dated() {
    let mut findings = Vec::new();
    let mut titles = BTreeMap::new();
    for file in files("src/provider/rows", "yaml") {
        let name = stem(&file);
        let row = match Row::parse(&fs::read_to_string(&file).unwrap()) {
            Ok(row) => row,
            Err(problem) => {
                findings.push(format!("{name}: {problem}"));
                continue;
            }
        };
        if row.id() != name {
            findings.push(format!("{name}: the row calls itself `{}`; a row has the name of its file", row.id()));
        }
        if let Some(other) = titles.insert(row.title().to_lowercase(), name.to_owned()) {
            findings.push(format!("{name}: is titled like {other}"));
        }
        if !is_dated(row.source()) {
            findings.push(format!("{name}: end its source with the month in which it was read, as `2026-11`"));
        }
    }
    assert!(titles.len() > 200, "only {} rows were found", titles.len());
    nothing(findings);
}

/// Checks whether a text ends with `<year>-<month>`.
fn is_dated(source: &str) -> bool {
    let date = source.split_whitespace().next_back().unwrap_or_default();
    let (year, month) = date.split_once('-').unwrap_or_default();
    year.parse().is_ok_and(|year: u16| (2020..2100).contains(&year))
        && month.parse().is_ok_and(|month: u8| (1..=12).contains(&month))
}

#[test]
fn addresses_are_a_preset_only_where_a_page_with_its_month_gives_them() {
    let (mut findings, mut presets) = (Vec::new(), 0);
    for file in files("src/provider/rows", "yaml") {
        let Ok(row) = Row::parse(&fs::read_to_string(&file).unwrap()) else { continue };
        let name = row.id();
        if row.ips().is_some() && !row.sources().contains_key(&FactName::Ips) {
            findings.push(format!("{name}: says nothing of where its addresses were read; add `ips` to `sources`"));
        }
        let Some(preset) = row.preset() else { continue };
        presets += 1;
        if row.ips().and_then(|ips| ips.published()).is_none_or(|place| !place.starts_with("https://")) {
            findings
                .push(format!("{name}: does not say where its addresses are published, so nobody can compare them"));
        }
        let far_too_wide = |range: &&IpNet| range.prefix_len() < if range.addr().is_ipv4() { 16 } else { 28 };
        for range in preset.ranges.iter().filter(far_too_wide) {
            findings.push(format!("{name}: {range} is too wide to be one provider's"));
        }
        for range in preset.ranges.iter().filter(|range| range.addr() != range.network()) {
            findings.push(format!("{name}: {range} has bits set beyond its prefix; write {}", range.trunc()));
        }
        if preset.ranges.iter().collect::<BTreeSet<_>>().len() != preset.ranges.len() {
            findings.push(format!("{name}: names a range twice"));
        }
    }
    assert!(presets >= 8, "only {presets} providers have a list");
    nothing(findings);
}

/// Counts the cases of each row that must be accepted, and that must be refused.
fn counts() -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in files("tests/vectors", "json").into_iter().chain(files("tests/vectors/own", "json")) {
        // Handshakes are requests that are answered, not verdicts.
        if stem(&file) == "handshakes" {
            continue;
        }
        let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for case in cases.iter().filter(|case| case["neutral"] != true) {
            let verdict = if case["gateway"].is_string() { &case["gateway"] } else { &case["expect"] };
            let named = case["provider"].as_str().unwrap();
            let narrow = NARROW.into_iter().filter(|narrow| *narrow == stem(&file));
            for name in narrow.chain([named]).collect::<BTreeSet<_>>() {
                let (accepted, refused) = counts.entry(name.to_owned()).or_default();
                *if verdict == "valid" { accepted } else { refused } += 1;
            }
        }
    }
    counts
}

#[test]
#[expect(clippy::print_stdout, reason = "how much is unproven has to be seen")]
fn every_row_that_calls_itself_proven_has_vectors() {
    let (counts, mut findings, mut proven, mut unproven) = (counts(), Vec::new(), 0, 0);
    for file in files("src/provider/rows", "yaml") {
        let Ok(row) = Row::parse(&fs::read_to_string(&file).unwrap()) else { continue };
        let (accepted, refused) = counts.get(row.id()).copied().unwrap_or_default();
        if !matches!(row.proof(), SourceKind::Sdk | SourceKind::Docs) {
            // `hookgate check` warns about these rows.
            unproven += 1;
        } else if accepted < ACCEPTED_MIN || refused < REFUSED_MIN {
            let name = row.id();
            let has = format!("{accepted} vectors that are accepted and {refused} that are refused");
            findings.push(format!(
                "{name}: has {has}; {ACCEPTED_MIN} and {REFUSED_MIN} are needed: add tests/vectors/own/{name}.json, or \
                 call it `proof: list`"
            ));
        } else {
            proven += 1;
        }
    }
    println!("{proven} rows are proven by vectors, {unproven} rest on one table or on memory");
    nothing(findings);
}

#[test]
fn no_vector_is_of_an_unknown_provider() {
    let rows: BTreeSet<String> = files("src/provider/rows", "yaml").iter().map(|file| stem(file).to_owned()).collect();
    let strange = counts().into_keys().filter(|name| !rows.contains(name));
    nothing(strange.map(|name| format!("{name}: has vectors and no row")).collect());
}
