//! The providers' vectors: what their SDKs made, judged as a gateway must judge it.
//!
//! `VECTORS_DIR` names the folder (default `tests/vectors`); `CATALOG` names a catalogue of more rows, in its short
//! spelling, which shows that the language is general. Without the folder, or without `CATALOG`, nothing is run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::provider::{Row, RowProblem, Table, batch, builtin};

/// Two forms with the same concatenation have the same signature at Twilio: no verifier can tell them apart.
const UNDECIDABLE: [(&str, &str); 1] = [("twilio", "param_boundary_shift")];
/// Rows of the catalogue whose vectors need Unicode tables (NFKD of keys beyond ASCII).
const BEYOND: [&str; 0] = [];

#[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
fn environment(name: &str) -> Option<PathBuf> {
    std::env::var(name).ok().map(PathBuf::from)
}

fn vectors_dir() -> PathBuf {
    environment("VECTORS_DIR").unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"))
}

#[derive(Default)]
struct Count {
    right: usize,
    run: usize,
}

/// Runs every file of the folder; returns the counts by file and the cases that were judged wrongly.
fn run(table: &Table) -> (BTreeMap<String, Count>, Vec<String>) {
    let dir = vectors_dir();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut wrong = Vec::new();
    let entries = std::fs::read_dir(&dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        if name == "handshakes" {
            continue;
        }
        let mut cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        // Their files name the provider whose row takes both; the narrow row must judge them alike.
        if name == "hubspot_v1_v2" || name == "adyen_platform" {
            let narrow = cases.clone();
            cases.extend(narrow.into_iter().map(|mut case| {
                case["provider"] = Value::from(name);
                case
            }));
        }
        cases.retain(|case| table.get(case["provider"].as_str().unwrap()).is_some() && case["neutral"] != true);
        cases.retain(|case| !UNDECIDABLE.contains(&(name, case["case"].as_str().unwrap())));
        let lines = batch(&Value::from(cases.clone()).to_string(), &dir, table).unwrap();
        for (case, line) in cases.iter().zip(lines) {
            let expected = if case["gateway"].is_string() { &case["gateway"] } else { &case["expect"] };
            let expected = if expected == "valid" { "verified" } else { "failed" };
            let count = counts.entry(name.to_owned()).or_default();
            count.run += 1;
            if line.verdict == expected {
                count.right += 1;
            } else {
                wrong.push(format!("{name} {line:?}: {}", case["reason"]));
            }
        }
    }
    (counts, wrong)
}

#[test]
fn shipped_rows_judge_every_vector_rightly() {
    let (counts, wrong) = run(builtin());
    assert!(!counts.is_empty() || !vectors_dir().exists(), "the folder holds no cases of shipped rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rows_of_the_catalogue_can_be_pasted_and_judge_rightly() {
    let Some(path) = environment("CATALOG") else { return };
    let catalogue: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut rows = Vec::new();
    let mut report = String::new();
    for provider in catalogue["providers"].as_sequence().unwrap() {
        let id = provider["id"].as_str().unwrap();
        let by_code = serde_yaml::from_str(&format!("{{type: code, code: {id}}}")).unwrap();
        let verify = if provider["verify"].is_null() { &by_code } else { &provider["verify"] };
        match pasted(id, verify) {
            Ok(_) if BEYOND.contains(&id) => writeln!(report, "not run: {id}").unwrap(),
            Ok(row) => rows.push(row),
            Err(problem) => writeln!(report, "not expressible: {id}: {problem}").unwrap(),
        }
    }
    writeln!(report, "rows: {}", rows.len()).unwrap();
    let (counts, wrong) = run(&Table::new(rows));
    for (file, Count { right, run }) in counts {
        writeln!(report, "{file} {right}/{run}").unwrap();
    }
    show(&report);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[expect(clippy::print_stderr, reason = "the report is what this test is run for")]
fn show(report: &str) {
    eprintln!("{report}");
}

/// Makes a row of the catalogue, with the two spellings changed that this language does not share.
fn pasted(id: &str, verify: &serde_yaml::Value) -> Result<Row, RowProblem> {
    let mut verify = verify.clone();
    if let Some(block) = verify.as_mapping_mut() {
        block.remove("case");
        block.remove("keyset");
        if let Some(token) = block.remove("token") {
            block.insert("from".into(), token);
        }
        for name in ["max_age", "future", "leeway"] {
            if let Some(seconds) = block.get(name).and_then(serde_yaml::Value::as_u64) {
                block.insert(name.into(), format!("{seconds}s").into());
            }
        }
        if id == "orb" {
            block["ts"]["unit"] = "rfc3339-utc".into();
        }
    }
    let verify = serde_yaml::to_string(&verify).unwrap();
    let verify = verify.trim_end().replace('\n', "\n  ");
    let yaml = format!("name: {id}\ntitle: {id}\nproof: list\nsource: catalogue\nverify:\n  {verify}\n");
    Row::parse(&yaml)
}
