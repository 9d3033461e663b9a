//! Several files → one tree.
//!
//! The entries of a named section (`sources`, `routes`, …) are joined; every other section stands in one file only. A
//! duplicate is a problem that names both places; the first stays, and nothing is merged silently.

use std::collections::BTreeMap;

use super::files::Files;
use super::load::settle;
use super::problem::{Code, Problem, Problems, quoted};
use super::reader::Reader;
use super::spans::{Seg, Span};
use super::tree::{Body, MappingEntry, Node};

/// The sections whose keys are names.
pub(super) const NAMED: &[&str] = &["listeners", "sources", "routes", "destinations", "providers"];

/// Returns the tree of `main` with the entries of `others`.
pub(super) fn union(mut main: Node, others: Vec<Node>, reader: &mut Reader<'_>) -> Node {
    if others.is_empty() {
        return main;
    }
    let Body::Map(entries) = &mut main.body else { return main };
    let (files, problems) = (&reader.files, &mut reader.problems);
    let mut union = Union { entries: Vec::new(), sections: BTreeMap::new(), names: BTreeMap::new(), files, problems };
    for entry in std::mem::take(entries) {
        union.add(entry);
    }
    for other in others {
        let Body::Map(entries) = other.body else { continue };
        for entry in entries {
            union.add(entry);
        }
    }
    *entries = union.entries;
    main
}

struct Union<'a> {
    entries: Vec<MappingEntry>,
    /// The index of each section in `entries`.
    sections: BTreeMap<String, usize>,
    /// The names so far: the index of the section in `entries`, and the name.
    names: BTreeMap<(usize, String), Span>,
    files: &'a Files,
    problems: &'a mut Problems,
}

impl Union<'_> {
    fn add(&mut self, mut entry: MappingEntry) {
        let is_named = NAMED.contains(&entry.key.as_str());
        if is_named && !entry.value.dropped && !matches!(entry.value.body, Body::Map(_)) {
            // Two files, one of which has a list here, cannot be joined; the list is the mistake.
            let _reported: Option<BTreeMap<String, serde_yaml::Value>> =
                settle(&mut entry.value, &[Seg::Key(&entry.key)], self.files, self.problems);
        }
        let Some(at) = self.sections.get(&entry.key).copied() else {
            let at = self.entries.len();
            self.sections.insert(entry.key.clone(), at);
            if let Body::Map(named) = &entry.value.body {
                self.names.extend(named.iter().map(|one| ((at, one.key.clone()), one.key_span)));
            }
            self.entries.push(entry);
            return;
        };
        let Some(section) = self.entries.get_mut(at) else { return };
        match (&mut section.value.body, &mut entry.value.body) {
            (Body::Map(names), Body::Map(more)) if is_named && !entry.value.dropped => {
                for one in std::mem::take(more) {
                    names.push(name(one, at, &mut self.names, (self.files, self.problems)));
                }
            }
            _ => {
                let first = section.key_span;
                if !is_named {
                    let help = format!("keep one; only {} can be spread over files", NAMED.join(", "));
                    let problem = twice(&entry, first, self.files);
                    self.problems.push(problem.help(help));
                    entry.value.dropped = true;
                }
                self.entries.push(entry);
            }
        }
    }
}

/// Returns one entry of a named section; as dropped when its name is taken.
fn name(
    mut one: MappingEntry,
    section: usize,
    names: &mut BTreeMap<(usize, String), Span>,
    (files, problems): (&Files, &mut Problems),
) -> MappingEntry {
    match names.entry((section, one.key.clone())) {
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(one.key_span);
        }
        std::collections::btree_map::Entry::Occupied(taken) => {
            problems.push(twice(&one, *taken.get(), files).help("rename one, or remove it"));
            one.value.dropped = true;
        }
    }
    one
}

fn twice(entry: &MappingEntry, first: Span, files: &Files) -> Problem {
    let span = entry.key_span;
    let message = format!("{} is defined twice", quoted(&entry.key));
    let problem = Problem::error(Code::DuplicateKey, files.path(span.file), span, message);
    problem.second(files.path(first.file), first, "first defined here")
}
