//! Vectors of our own (`tests/vectors/own`), for schemes in code and for rows that no vector of a provider proves: every
//! file, judged by the rows that ship.
//!
//! They are made apart from this code, by the algorithm of the source or the description of the scheme that each names in
//! `made_by`; `sdk` holds what the provider's SDK says, where there is one.

use std::path::Path;

use serde_json::Value;

use crate::provider::{batch, builtin};

#[test]
fn rows_judge_every_vector_of_our_own_rightly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/own");
    let (mut run, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        let right = cases.iter().filter(|case| case["expect"] == "valid").count();
        assert!(right >= 1 && cases.len() - right >= 3, "{}: {right} of {}", file.display(), cases.len());
        for (case, line) in cases.iter().zip(batch(&text, &folder, builtin()).unwrap()) {
            run += 1;
            if (line.verdict == "verified") != (case["expect"] == "valid") {
                wrong.push(format!("{line:?}: {}", case["reason"]));
            }
        }
    }
    assert!(run > 500, "only {run} cases were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
