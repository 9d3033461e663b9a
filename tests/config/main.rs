//! Golden files of the configuration's front-end: each `*.test` holds a `routes.yaml`, a line `---- problems`, and the
//! problems as printed. `UPDATE=1 cargo test --test config` writes the current output; read it before it is committed.
//! Those in `include/` are about several files, those in `meaning/` about the second stage; `meaning.rs` describes the
//! form of both.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod hidden;
mod include;
mod meaning;
mod robust;
mod schema;
mod show;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hookgate::config::{IncludeFiles, Loaded, path, read, render, schema as json_schema};

const MARK: &str = "---- problems\n";

fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("billing".to_owned()),
        "LEAK" => Some("s3cr3t-value".to_owned()),
        "NUMBER" => Some("8".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load(text: &str) -> Loaded {
    let nothing =
        IncludeFiles { read: &|_| Err(ErrorKind::NotFound.into()), list: &|_| Err(ErrorKind::NotFound.into()) };
    read(text, Path::new("routes.yaml"), &environment, nothing)
}

fn shown(text: &str) -> String {
    let loaded = load(text);
    render::text(&loaded.problems, loaded.spans.files(), false)
}

fn golden_files(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "test"));
    files.sort();
    files
}

/// Compares every golden file of a folder with the result of `shown`; there must be at least `files_min` of them.
fn golden(folder: &str, files_min: usize, shown: &dyn Fn(&str) -> String) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let files = golden_files(folder);
    assert!(files.len() >= files_min, "only {} golden files were found", files.len());
    for file in files {
        let content = std::fs::read_to_string(&file).unwrap();
        let (input, expected) = content.split_once(MARK).unwrap_or((&content, ""));
        let now = shown(input);
        if now == expected {
            continue;
        }
        if update {
            std::fs::write(&file, format!("{input}{MARK}{now}")).unwrap();
        } else {
            wrong.push(format!("{}:\n--- expected\n{expected}--- now\n{now}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_golden_file_shows_what_it_says() {
    golden("tests/config", 35, &shown);
}

#[test]
fn every_kind_of_problem_is_shown_by_a_golden_file() {
    let files = [golden_files("tests/config"), golden_files("tests/config/meaning")].concat();
    let shown: Vec<String> = files
        .iter()
        .filter_map(|file| Some(std::fs::read_to_string(file).unwrap().split_once(MARK)?.1.to_owned()))
        .filter(|shown| !shown.trim().is_empty())
        .collect();
    assert!(shown.len() >= 200, "only {} golden files show a mistake", shown.len());
    let code = include_str!("../../src/config/problem.rs").split_once("impl Code").unwrap().1;
    let kinds =
        code.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \"")?.1.strip_suffix("\","));
    // `robust` tests the hundred problems, and a backlog needs a running gateway.
    let kinds: Vec<&str> = kinds.filter(|kind| !["too_many_problems", "backlog"].contains(kind)).collect();
    assert!(kinds.len() > 30, "{kinds:?}");
    let missing: Vec<_> =
        kinds.iter().filter(|kind| !shown.iter().any(|text| text.contains(&format!("[{kind}]")))).collect();
    assert!(missing.is_empty(), "no golden file shows {missing:?}");
}

const GOOD: &str = include_str!("good.yaml");

#[test]
fn a_good_file_has_no_problems_and_is_typed() {
    let loaded = load(GOOD);
    assert_eq!(loaded.problems, []);
    let raw = loaded.raw.unwrap();
    assert_eq!(raw.destinations["chatops"].url.as_ref().unwrap().as_str(), "http://billing:3000/slack");
    assert_eq!(raw.destinations["chatops"].concurrency.unwrap().0.get(), 8);
    let retry = raw.destinations["orders"].retry.as_ref().unwrap();
    assert_eq!(retry.give_up_after.unwrap().0.as_secs(), 72 * 3600, "what is written wins over what is merged");
    assert_eq!(retry.max_attempts.unwrap().0.get(), 12);
    assert_eq!(raw.routes["big-invoices"].to.0, ["slack-alerts", "billing"]);
}

#[test]
fn spans_lead_from_paths_to_places() {
    let spans = load(GOOD).spans;
    let text_at = |span: hookgate::config::Span| {
        let line = GOOD.lines().nth(span.start.line - 1).unwrap();
        line.chars().skip(span.start.column - 1).take(span.end.column - span.start.column).collect::<String>()
    };
    assert_eq!(text_at(spans.of(&path!["routes", "big-invoices", "to", 1]).unwrap()), "billing");
    assert_eq!(text_at(spans.of(&path!["routes", "billing", "to", 0]).unwrap()), "billing");
    assert_eq!(text_at(spans.of_key(&path!["destinations", "orders"]).unwrap()), "orders");
    let merged = spans.of(&path!["destinations", "orders", "retry", "max_attempts"]).unwrap();
    assert_eq!(Some(merged), spans.of(&path!["defaults", "destination", "retry", "max_attempts"]));
    assert_eq!(spans.of(&path!["routes", "nobody"]), None);
}

#[test]
fn line_ends_and_marks_of_windows_change_nothing() {
    let text = "version: 1\nserver: {thread: 4}\nx: 1\n";
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(load(&windows).problems, load(text).problems);
    assert_eq!(load(text).problems.len(), 2);
}

#[test]
fn one_bad_value_merged_into_many_places_is_one_problem_and_hides_no_other() {
    let many: String =
        (0..300).map(|n| ["  d", &n.to_string(), ": {url: 'http://d/', retry: *r}\n"].concat()).collect();
    let text = format!("version: 1\nx-r: &r {{max: 5}}\ndestinations:\n{many}  z: {{url: 5}}\n");
    let problems = load(&text).problems;
    assert_eq!(problems.iter().map(|p| p.span.start.line).collect::<Vec<_>>(), [2, 304], "{problems:?}");
}

#[test]
fn what_was_dropped_is_still_known_and_known_as_broken() {
    let text = "version: 1\nsources:\n  a: {provider: x}\n  b: {path: /b, provider: x, secrets: [plain, {env: B}]}\n";
    let loaded = load(text);
    let raw = loaded.raw.unwrap();
    assert!(!raw.sources.contains_key("a"), "it has no path");
    assert!(loaded.spans.is_broken(&path!["sources", "a"]));
    assert!(loaded.spans.is_broken(&path!["sources", "b", "secrets"]));
    assert!(!loaded.spans.is_broken(&path!["sources", "b", "path"]));
    let kept = loaded.spans.of(&path!["sources", "b", "secrets", 0]).unwrap();
    assert_eq!((kept.start.line, kept.start.column), (4, 47), "an index counts what was kept");
}

#[test]
fn untyped_parts_are_decoded_by_the_same_rules() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its form is tested")]
    struct Verify {
        r#type: String,
        header: Option<String>,
    }
    let mut loaded = load("version: 1\nsources:\n  a: {path: /a, verify: {type: hmac, headr: X}}\n");
    let mut problems = hookgate::config::problem::Problems::default();
    assert_eq!(loaded.problems, []);
    assert!(loaded.spans.decode::<Verify>(&path!["sources", "a", "verify"], &mut problems).is_some());
    let problems = problems.into_sorted();
    assert_eq!(problems[0].message, "unknown key `headr` in `sources.a.verify`");
    assert_eq!(problems[0].span.start.column, 38);
}

#[test]
fn no_secret_and_no_value_of_a_variable_is_ever_shown() {
    let text = "version: 1\nadmin: {listen: '${LEAK}', token: hunter2}\nsources:\n  a: {path: /a, secrets: [hunter2], secret: hunter2}\n  a: {secrets: hunter2}\ndestinations:\n  d: {url: '${LEAK}', timeout: '${LEAK}', retry: {jitter: '${LEAK}', max_attempts: '${LEAK}', retry_on: ['${LEAK}']}}\n";
    let loaded = load(text);
    let all = [shown(text), render::json(&loaded.problems), render::github(&loaded.problems)].concat();
    assert!(loaded.problems.len() >= 9, "{all}");
    assert!(!all.contains("hunter2") && !all.contains("s3cr3t"), "{all}");
    let broken = shown("admin:\n  token: hunter2 ]: [\n  - x: {\n");
    assert!(!broken.contains("hunter2"), "{broken}");
    for broken in
        ["a: {path: /a, secrets: [hunter2\n", "secrets:\n  - a\n  - hunter2: x: y\n", "a: {token: hunter2 x: y\n"]
    {
        let shown = shown(broken);
        assert!(shown.contains("[syntax]") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_schema_describes_what_is_read_and_does_not_depend_on_the_build() {
    let text = json_schema::schema();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text, json_schema::schema());
    assert!(!text.contains("null"), "a key is written with a value or not at all");
    assert_eq!(value["additionalProperties"], false);
    assert_eq!(value["required"], serde_json::json!(["version"]));
    assert_eq!(value["$defs"]["Source"]["required"], serde_json::json!(["path"]));
    for (name, definition) in value["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property.get("description").is_some(), "{name}.{key} has no description");
        }
    }
}
