//! Vectors of our own (`tests/vectors/own`), for rows that no vector of a provider proves: every file, and judged by the
//! rows that ship.
//!
//! They are made apart from this code, by the description of the scheme that each names in `made_by`.

use std::path::Path;

use serde_json::Value;

use crate::provider::{batch, builtin};

#[test]
fn rows_judge_every_vector_of_our_own_rightly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/own");
    let (mut run, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        for (case, line) in cases.iter().zip(batch(&text, &folder, builtin()).unwrap()) {
            let expected = if case["gateway"].is_string() { &case["gateway"] } else { &case["expect"] };
            run += 1;
            if (line.verdict == "verified") != (expected == "valid") && case["neutral"] != true {
                wrong.push(format!("{line:?}: {}", case["reason"]));
            }
        }
    }
    assert!(run > 500, "only {run} cases were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
