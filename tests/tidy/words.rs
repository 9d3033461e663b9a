//! The words of the code: how doc comments open, and that a type's name stands for one thing.
//!
//! Deliberately not here: whether a sentence is true, or good. That is read.

use std::collections::BTreeMap;

use super::{File, import_rows, nothing, ours, program};

/// The share of doc blocks that may open with a question word, in percent.
const QUESTIONS_MAX: usize = 3;

/// Openings that say which question a text answers, instead of what the item is or does.
const QUESTIONS: &[&str] =
    &["How", "So many", "The same", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"];

/// Names that several types may have, with the reason.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Args", "the arguments of one command; each command's file has one, and it is called by its file"),
    ("Command", "the subcommands of one command; called by its file"),
];

/// Folders whose types have the names of others on purpose, with the reason.
const SHARED_FOLDERS: &[(&str, &str)] = &[("config/raw/", "the written form of a type, always called `raw::…`")];

/// The first lines of the doc blocks of a file.
fn openings(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut before = None;
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim_start();
        let kind = ["///", "//!"].into_iter().find(|kind| line.starts_with(kind));
        if let Some(kind) = kind.filter(|_| kind != before) {
            found.push((number + 1, line.trim_start_matches(kind).trim_start()));
        }
        before = kind;
    }
    found
}

fn is_question(opening: &str) -> bool {
    QUESTIONS.iter().any(|word| {
        opening.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    })
}

#[test]
fn hardly_a_doc_block_opens_with_a_question_word() {
    let files = ours();
    let blocks = files.iter().flat_map(|file| openings(file).into_iter().map(move |block| (file, block)));
    let (mut all, mut findings) = (0, Vec::new());
    for (file, (number, opening)) in blocks {
        all += 1;
        if is_question(opening) {
            findings.push(format!("{}:{number}: begin with a noun phrase or a verb: {opening}", file.path));
        }
    }
    assert!(all > 1000, "only {all} doc blocks were found; the search is broken");
    if findings.len() * 100 > all * QUESTIONS_MAX {
        nothing(findings);
    }
}

/// The names of the types that a file lets others see.
fn visible_types(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let (visibility, rest) = line.trim_start().split_once(' ')?;
        if !visibility.starts_with("pub") {
            return None;
        }
        // `pub(in crate::x) struct Name`: the visibility has a space of its own.
        let rest = rest.split_once(") ").filter(|_| visibility == "pub(in").map_or(rest, |(_, rest)| rest);
        let (kind, rest) = rest.split_once(' ')?;
        let name = rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next()?;
        ["enum", "struct", "trait", "type", "union"].contains(&kind).then_some(name)
    })
}

#[test]
fn a_type_name_stands_for_one_thing_among_rooms_that_know_each_other() {
    let files = program();
    let rows: BTreeMap<&str, Vec<&str>> = import_rows().into_iter().collect();
    let knows = |one: &str, other: &str| one == other || rows.get(one).is_some_and(|row| row.contains(&other));
    let mut types: BTreeMap<String, Vec<&File>> = BTreeMap::new();
    for file in files.iter().filter(|file| !SHARED_FOLDERS.iter().any(|(folder, _)| file.inside().starts_with(folder)))
    {
        for name in visible_types(&file.code()) {
            types.entry(name.to_owned()).or_default().push(file);
        }
    }
    assert!(types.len() > 300, "only {} types were found; the search is broken", types.len());
    types.retain(|name, _| !SHARED_NAMES.iter().any(|(shared, _)| shared == name));
    let mut findings = Vec::new();
    for (name, files) in &types {
        for (at, one) in files.iter().enumerate() {
            let others = files.iter().skip(at + 1);
            let twice =
                others.filter(|other| knows(one.module(), other.module()) || knows(other.module(), one.module()));
            findings
                .extend(twice.map(|other| format!("`{name}` is in {} and in {}; rename one", one.path, other.path)));
        }
    }
    nothing(findings);
}
