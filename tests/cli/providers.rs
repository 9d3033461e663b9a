//! `hookgate providers` and `hookgate answers`: the facts about a provider, and the answers that it gets.

use serde_json::Value;

use super::{root, run};

#[test]
fn every_provider_is_listed_with_its_proof() {
    let ended = run(&["providers"]).with(0);
    let rows = std::fs::read_dir(root().join("src/provider/rows")).unwrap();
    let rows = rows.filter(|row| row.as_ref().unwrap().path().extension().is_some_and(|it| it == "yaml")).count();
    assert!(rows >= 240, "{rows}");
    assert_eq!(ended.stdout.lines().count(), rows + 1);
    let shopify = ended.stdout.lines().find(|line| line.starts_with("shopify ")).unwrap();
    assert_eq!(
        shopify.split_whitespace().collect::<Vec<_>>().join(" "),
        "shopify sdk hmac sha256 5s 8 failures in a row"
    );
    assert!(ended.stderr.contains("rest on one table or on memory"), "{}", ended.stderr);
    let json: Value = serde_json::from_str(&run(&["providers", "--format", "json"]).with(0).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), rows);
}

#[test]
fn a_provider_is_explained_with_the_source_of_each_fact() {
    let shown = run(&["providers", "shopify"]).with(0).stdout;
    for part in [
        "Shopify (shopify)",
        "sdk: the provider's own SDK agrees with it",
        "1s for the connection, 5s for the answer [docs]",
        "at most 8 times; within 4h",
        "after 8 failures in a row: the subscription is deleted",
        "2026-11",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(run(&["providers", "ably"]).with(0).stdout.contains("UNPROVEN"));
    let json: Value = serde_json::from_str(&run(&["providers", "shopify", "--format", "json"]).with(0).stdout).unwrap();
    assert_eq!((&json["budget_ms"]["total"], &json["proven"]), (&5000.into(), &true.into()));
}

#[test]
fn an_unknown_provider_is_an_error_that_says_what_may_have_been_meant() {
    for command in ["providers", "answers"] {
        let ended = run(&[command, "shopfy"]).with(1);
        assert!(ended.stderr.contains("there is no provider `shopfy`. Did you mean `shopify`?"), "{}", ended.stderr);
    }
}

/// Returns the status of an outcome in the table of a provider, with its text.
fn status(provider: &str, outcome: &str) -> (u64, String) {
    let json: Value = serde_json::from_str(&run(&["answers", provider, "--format", "json"]).with(0).stdout).unwrap();
    let lines = json.as_array().unwrap();
    let line = lines.iter().find(|line| line["outcome"] == outcome).unwrap();
    (line["status"].as_u64().unwrap(), line["because"].as_str().unwrap().to_owned())
}

#[test]
fn each_provider_gets_the_answer_that_it_wants_and_the_reason_is_said() {
    let cases = [
        ("stripe", "accepted", 200),
        ("stripe", "overloaded", 503),
        ("discord", "accepted", 204),
        ("discord", "bad_signature", 401),
        ("airtable", "accepted", 200),
        ("brevo", "overloaded", 429),
        ("brevo", "buffer_full", 429),
        ("zendesk", "duplicate", 200),
        ("adyen", "quarantined", 200),
        ("github", "internal", 503),
    ];
    for (provider, outcome, wanted) in cases {
        let (status, because) = status(provider, outcome);
        assert_eq!(status, wanted, "{provider} {outcome}");
        assert!(!because.is_empty(), "{provider} {outcome}");
    }
    let shown = run(&["answers", "adyen"]).with(0).stdout;
    assert!(shown.contains("[accepted]"), "{shown}");
    assert_eq!(shown.lines().count(), 25, "a head and all outcomes");
    assert!(shown.contains("Retry-After: 30"));
}
