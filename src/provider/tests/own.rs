//! Vectors of our own for shipped rows whose providers publish few or none: public keys, tokens, and keys by URL.
//!
//! They are made apart from this code, by the source that each names in `made_by`, with keys that were made for them.

use std::path::Path;

use serde_json::Value;

use crate::provider::{Row, Table, batch, builtin};

const FILES: [&str; 14] = [
    "adobe_io",
    "aws_sns",
    "ebay",
    "falai",
    "fireblocks",
    "gong",
    "kinde",
    "monday",
    "neon",
    "qstash",
    "saleor",
    "truelayer",
    "vonage",
    "wix",
];

#[test]
fn shipped_rows_judge_our_own_vectors_rightly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/own");
    let mut wrong = Vec::new();
    for name in FILES {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(cases.iter().any(|case| case["expect"] == "valid"), "{name} has no valid case");
        for (case, line) in cases.iter().zip(batch(&text, &folder, builtin()).unwrap()) {
            if (line.verdict == "verified") != (case["expect"] == "valid") {
                wrong.push(format!("{name} {}: {} ({})", line.case, line.reason, case["reason"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every case has a scheme of its own, so that no row has to need an algorithm for it to be proven.
#[test]
fn every_algorithm_verifies_what_others_signed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/own");
    let text = std::fs::read_to_string(folder.join("algorithms.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let row = |case: &Value| {
        let (name, verify) = (case["provider"].as_str().unwrap(), case["verify"].as_str().unwrap());
        Row::parse(&format!("name: {name}\nverify:\n  {}\n", verify.replace('\n', "\n  "))).unwrap()
    };
    let table = Table::new(cases.iter().map(row));
    let mut wrong = Vec::new();
    for (case, line) in cases.iter().zip(batch(&text, &folder, &table).unwrap()) {
        if (line.verdict == "verified") != (case["expect"] == "valid") {
            wrong.push(format!("{}: {} ({})", line.case, line.reason, case["reason"]));
        }
    }
    assert!(cases.len() > 50 && wrong.is_empty(), "{wrong:#?}");
}
