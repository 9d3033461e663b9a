//! The faults of `script/mutate`: each must still apply to its file, because the script is only run by hand.

use std::collections::BTreeSet;
use std::fs;

use crate::{nothing, root};

/// Returns the value of `name = "…"`; the strings of these files are written as in JSON.
fn value(line: &str, name: &str) -> Option<String> {
    let text = line.strip_prefix(name)?.strip_prefix(" = ")?;
    Some(serde_json::from_str(text).unwrap())
}

#[test]
fn every_fault_still_stands_in_its_file() {
    let (mut findings, mut names) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir(root().join("tests/mutations")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let (mut name, mut file) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(found) = value(line, "name") {
                name = found;
                if !names.insert(name.clone()) {
                    findings.push(format!("{name}: is there twice; every fault has a name of its own"));
                }
            } else if let Some(found) = value(line, "file") {
                file = found;
            } else if let Some(old) = value(line, "old") {
                let count = fs::read_to_string(root().join(&file)).unwrap_or_default().matches(&old).count();
                if count != 1 {
                    let instead = "put the fault into the text as it is now, or take it out of tests/mutations";
                    findings.push(format!("{name}: its text stands {count} times in {file}; {instead}"));
                }
            }
        }
    }
    assert!(names.len() >= 30, "only {} faults were found", names.len());
    nothing(findings);
}
