//! Every algorithm against signatures that were made apart from this code, with keys made for them.

use std::path::Path;

use serde_json::Value;

use crate::provider::{Row, Table, batch};

/// Every case has a scheme of its own, so that no row has to need an algorithm for it to be proven.
#[test]
fn every_algorithm_verifies_what_others_signed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/algorithms");
    let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
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
