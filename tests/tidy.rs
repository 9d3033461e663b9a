//! Rules that neither the compiler nor clippy checks: imports between modules, homes of dependencies; every file is
//! reached, introduced and short; every row has its vectors.
//!
//! Each test collects all its findings. A finding names the file and what to do instead. An exception stands in a table
//! here with its reason, and must be needed.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may stop at the first surprise")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/manifest.rs"]
mod manifest;
#[path = "tidy/mutations.rs"]
mod mutations;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/rows.rs"]
mod rows;
#[path = "tidy/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::IMPORTS;

/// The places where a dependency may be named: folders and files of `src/`.
const HOMES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["config/"]),
    ("axum", &["admin/", "cli/receiver.rs"]),
    ("cel", &["condition/"]),
    ("clap", &["cli/"]),
    ("ed25519_dalek", &["provider/"]),
    ("fjall", &["buffer/engine/"]),
    ("governor", &["limit.rs"]),
    ("hmac", &["provider/"]),
    ("jsonschema", &["schema/"]),
    ("md5", &["provider/"]),
    ("opentelemetry", &["telemetry/"]),
    ("opentelemetry_otlp", &["telemetry/"]),
    ("opentelemetry_sdk", &["telemetry/"]),
    ("p256", &["provider/"]),
    ("p521", &["provider/"]),
    ("pingora", &["deliver/", "ingress/"]),
    // The log's writer counts the lines that it dropped.
    ("prometheus", &["telemetry/"]),
    ("ring", &["provider/"]),
    ("rquickjs", &["script/"]),
    ("saphyr_parser", &["config/"]),
    ("schemars", &["config/", "provider/", "refusal.rs", "cli/test/file.rs"]),
    ("serde_yaml", &["config/", "provider/"]),
    ("sha1", &["provider/"]),
    ("sha2", &["provider/"]),
    ("tracing_subscriber", &["cli/"]),
    ("twox_hash", &["buffer/engine/salvage/"]),
];

const LINES_MAX: usize = 450;
/// Files that may be longer, with the reason: tables and data only.
const LONGER: &[(&str, &str)] = &[];

const EMPTY_NAMES: &[&str] = &["common", "handler", "helpers", "manager", "misc", "utils"];

/// Texts that are banned in code, and their replacements. They are concatenated, so that this file has none of them.
const BANNED: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "mend it, or say in ARCHITECTURE.md what is left open"),
    (concat!("XX", "X"), "say what is meant"),
    (concat!("todo", "!("), "write it, or return an error that says what is missing"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One source file.
struct File {
    /// The path relative to the project, with `/`.
    path: String,
    text: String,
}

impl File {
    /// Returns the path inside `src/`.
    fn inside(&self) -> &str {
        self.path.strip_prefix("src/").unwrap_or(&self.path)
    }

    /// Returns the top-level module of the file.
    fn module(&self) -> &str {
        let first = self.inside().split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Returns the lines of the program itself, without comments and test modules.
    fn code(&self) -> String {
        if self.inside().contains("/tests/") || self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let mut code = String::new();
        let mut in_tests = false;
        let mut lines = self.text.lines().peekable();
        while let Some(line) = lines.next() {
            let next = lines.peek().copied().unwrap_or_default();
            if line == "#[cfg(test)]" && next.contains("mod ") && next.ends_with('{') {
                in_tests = true;
            }
            if !in_tests && !line.trim_start().starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
            // A test module is not indented, and so is its last brace.
            in_tests &= line != "}";
        }
        code
    }
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.push(File { text: fs::read_to_string(&path).unwrap(), path: inside });
        }
    }
}

fn rust_files(folders: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn ours() -> Vec<File> {
    rust_files(&["src", "tests", "benches"])
}

fn program() -> Vec<File> {
    rust_files(&["src"])
}

#[track_caller]
fn nothing(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

#[test]
fn every_file_is_reached_from_lib_or_main() {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![(PathBuf::from("src/lib.rs"), true), (PathBuf::from("src/main.rs"), true)];
    while let Some((file, owns_folder)) = waiting.pop() {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let folder = if owns_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        reached.insert(file.to_str().unwrap().to_owned());
        for name in text.lines().filter_map(declared) {
            let (plain, nested) = (folder.join(name).with_extension("rs"), folder.join(name).join("mod.rs"));
            let is_nested = root().join(&nested).exists();
            waiting.push((if is_nested { nested } else { plain }, is_nested));
        }
    }
    let dead = program().into_iter().map(|file| file.path).filter(|path| !reached.contains(path));
    nothing(dead.map(|path| format!("{path}: nothing declares it; add `mod` or remove it")).collect());
}

/// Returns the name in `mod name;`.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim().strip_suffix(';')?;
    let line = line.strip_prefix("pub").map_or(line, |rest| rest.strip_prefix("(crate)").unwrap_or(rest).trim());
    line.strip_prefix("pub(super) ").unwrap_or(line).strip_prefix("mod ")
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let silent = ours().into_iter().filter(|file| !file.text.starts_with("//! "));
    nothing(silent.map(|file| format!("{}: begin it with `//!` and what it is for", file.path)).collect());
}

#[test]
fn no_file_is_too_long() {
    let mut findings = Vec::new();
    for file in ours() {
        let lines = file.text.lines().count();
        let excepted = LONGER.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !excepted {
            findings.push(format!("{}: {lines} lines, and {LINES_MAX} are allowed; split it by noun", file.path));
        }
        if lines <= LINES_MAX && excepted {
            findings.push(format!("{}: is short again; take it out of LONGER", file.path));
        }
    }
    nothing(findings);
}

#[test]
fn no_file_has_an_empty_name() {
    let mut findings = Vec::new();
    for file in ours() {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if EMPTY_NAMES.contains(&part.trim_end_matches('s')) || EMPTY_NAMES.contains(&part) {
                findings.push(format!("{}: `{part}` says nothing; name it after what is in it", file.path));
            }
        }
    }
    nothing(findings);
}

#[test]
fn no_banned_text_stands_anywhere() {
    let mut findings = Vec::new();
    for file in ours() {
        for (number, line) in file.text.lines().enumerate() {
            let mut found = |what: &str, instead: &str| {
                findings.push(format!("{}:{}: `{what}`: {instead}", file.path, number + 1));
            };
            for (text, instead) in BANNED.iter().filter(|(text, _)| line.contains(text)) {
                found(text, instead);
            }
            if comment(line).is_some_and(names_a_line) {
                found("line number", "a comment names things, for lines move");
            }
            if turns_error_into_text(line) {
                found("map_err(… to_string())", "keep the error: an enum variant with `source`");
            }
        }
    }
    nothing(findings);
}

/// Returns the comment of a line.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("//") { Some(line) } else { line.split_once(" // ").map(|(_, comment)| comment) }
}

/// Checks whether a comment names a line number, which soon is wrong.
fn names_a_line(comment: &str) -> bool {
    let is_number = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    let after = |word: &str| comment.match_indices(word).any(|(at, _)| is_number(&comment[at + word.len()..]));
    after("line ") || after("lines ") || after(".rs:")
}

fn turns_error_into_text(line: &str) -> bool {
    let closure = line.split_once("map_err(|").and_then(|(_, rest)| rest.split_once("| "));
    closure.is_some_and(|(name, body)| body.strip_prefix(name).is_some_and(|rest| rest.starts_with(".to_string()")))
}

#[test]
fn no_error_is_a_string() {
    let mut findings = Vec::new();
    for file in program() {
        let code = file.code();
        let results = code.match_indices("Result<").map(|(at, word)| &code[at + word.len()..]);
        for arguments in results.filter_map(arguments) {
            if arguments.len() == 2 && arguments[1] == "String" {
                let instead = "an enum of what can go wrong, with `Display`";
                findings.push(format!("{}: `Result<{}, String>`: {instead}", file.path, arguments[0]));
            }
        }
    }
    nothing(findings);
}

/// Returns the generic arguments up to the `>` that closes the list.
fn arguments(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut before, mut found) = (0, 0, ' ', Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '<' | '(' | '[' => depth += 1,
            '>' if before == '-' => {}
            '>' if depth == 0 => {
                found.push(text[start..at].trim());
                return Some(found);
            }
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            ';' | '{' => return None,
            _ => {}
        }
        before = letter;
    }
    None
}

/// Returns the rows of [`IMPORTS`], with `*` expanded.
fn import_rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut above = Vec::new();
    let rows =
        IMPORTS.lines().filter_map(|line| line.split_once(' ').or(Some((line, ""))).filter(|row| !row.0.is_empty()));
    rows.map(|(module, row)| {
        let row = if row.trim() == "*" { above.clone() } else { row.split_whitespace().collect() };
        above.push(module);
        (module, row)
    })
    .collect()
}

#[test]
fn every_module_imports_only_what_its_row_lists() {
    let rows: BTreeMap<&str, Vec<&str>> = import_rows().into_iter().collect();
    let mut findings = Vec::new();
    for file in program().iter().filter(|file| file.module() != "lib") {
        let module = file.module();
        let Some(row) = rows.get(module) else {
            findings.push(format!("{}: give `{module}` a row in IMPORTS", file.path));
            continue;
        };
        let code = file.code();
        if code.contains("crate::{") {
            findings.push(format!("{}: write one `use crate::…` for each module", file.path));
        }
        let to_the_top = "super::".repeat(depth(file.inside()));
        if code.contains(&to_the_top) {
            findings.push(format!("{}: write `crate::` instead of `{to_the_top}`", file.path));
        }
        for other in imported(&code).filter(|other| *other != module && !row.contains(other)) {
            findings.push(format!("{}: `{module}` must not import `{other}`; see IMPORTS", file.path));
        }
    }
    nothing(findings);
}

/// Returns the number of `super::` that lead from the file out of its top-level module.
fn depth(inside: &str) -> usize {
    inside.trim_end_matches("/mod.rs").split('/').count()
}

/// Returns the modules that `crate::…` paths name.
fn imported(code: &str) -> impl Iterator<Item = &str> {
    // `main.rs` is a crate of its own. In other files the name `hookgate` stands only in log targets.
    let word = if code.contains("fn main()") { "hookgate::" } else { "crate::" };
    code.split(word)
        .skip(1)
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap())
}

#[test]
fn the_import_table_has_no_cycle_and_no_unknown_name() {
    let modules: BTreeSet<String> = program().iter().map(|file| file.module().to_owned()).collect();
    let mut above = BTreeSet::new();
    let mut findings = Vec::new();
    for (module, row) in import_rows() {
        if !modules.contains(module) {
            findings.push(format!("`{module}` has a row, and there is no such module"));
        }
        // Leaves stand first, so a row that names only rows above it cannot be part of a cycle.
        for other in row.iter().filter(|other| !above.contains(*other)) {
            findings.push(format!("`{module}` lists `{other}`, which does not stand above it"));
        }
        above.insert(module);
    }
    nothing(findings);
}

#[test]
fn every_dependency_stays_in_its_home() {
    let mut findings = Vec::new();
    let files = program();
    for (name, homes) in HOMES {
        let users = files.iter().filter(|file| names(&file.code(), name));
        let astray = users.filter(|file| !homes.iter().any(|home| file.inside().starts_with(home)));
        findings.extend(astray.map(|file| format!("{}: `{name}` lives in {}", file.path, homes.join(", "))));
        if !files.iter().any(|file| names(&file.text, name)) {
            findings.push(format!("nobody uses `{name}` any more; take it out of HOMES"));
        }
    }
    nothing(findings);
}

/// Checks whether a path in `code` begins with `krate`.
fn names(code: &str, krate: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    code.match_indices(krate).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + krate.len()..]);
        // `::name` begins a path as well; `x::name` goes on with one.
        let start = before.strip_suffix("::").unwrap_or(before);
        let begins = !start.ends_with(is_word) && !start.ends_with('"');
        begins && (after.starts_with("::") || (before.ends_with("use ") && !after.starts_with(is_word)))
    })
}

#[test]
#[expect(clippy::print_stdout, reason = "what is skipped has to say so")]
fn the_architecture_names_every_entry_of_src() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else {
        println!("skipped: there is no ARCHITECTURE.md yet");
        return;
    };
    let mut findings = Vec::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let mut name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            name.push('/');
        }
        if !text.contains(&name) {
            findings.push(format!("ARCHITECTURE.md does not name `{name}`"));
        }
    }
    findings.sort();
    nothing(findings);
}
