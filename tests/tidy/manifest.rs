//! Cargo.toml: every dependency has a comment with its purpose.

use std::fs;

use crate::{nothing, root};

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut findings = Vec::new();
    let (mut in_dependencies, mut open) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') && !open {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        // An entry over several lines has its comment on the first one.
        let is_entry = in_dependencies && !open && !line.is_empty() && !line.starts_with('#');
        let ends_open = |bracket, closing| line.matches(bracket).count() > line.matches(closing).count();
        open = if open { !line.starts_with(['}', ']']) } else { ends_open('{', '}') || ends_open('[', ']') };
        if is_entry && line.split_once(" # ").is_none_or(|(_, reason)| reason.trim().len() < 4) {
            findings.push(format!("{}: end the line with `# what it is for`", line.split(' ').next().unwrap()));
        }
    }
    nothing(findings);
}
