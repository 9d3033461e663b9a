//! Editor support: the YAML language server that editors use, with `schemas/routes.schema.json` and, in files of cases,
//! `schemas/tests.schema.json`.
//!
//! The server is an npm package, pinned in `package.json` beside this file; `script/setup test` installs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const SERVER: &str = "target/editor/node_modules/yaml-language-server/bin/yaml-language-server";
const HEADER: &str = "# yaml-language-server: $schema=";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Returns the server's answer to each question; `ask.mjs` defines their form.
fn ask(questions: &[Value]) -> Vec<Value> {
    let named = questions.iter().enumerate().map(|(number, question)| {
        let mut question = question.clone();
        if question["path"].is_null() {
            question["path"] = json!(root().join(format!("sketch-{number}.yaml")));
        }
        question
    });
    let questions: Vec<Value> = named.collect();
    let server = root().join(SERVER);
    assert!(server.exists(), "the YAML language server is not installed: run `script/setup test`");
    let node = Command::new("node")
        .arg(root().join("tests/editor/ask.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node cannot be started ({error}): run `script/setup test`"));
    let input = json!({ "server": server, "root": root(), "questions": questions });
    node.stdin.as_ref().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the questions were not answered; what was said stands above");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file(path: &str) -> Value {
    json!({ "path": root().join(path), "text": read(path) })
}

/// Returns the question `asked` about a file of these lines after header and version; `|` marks the place.
fn sketch(lines: &str, asked: &str) -> Value {
    marked(&format!("{HEADER}./schemas/routes.schema.json\nversion: 1\n{lines}"), asked)
}

/// Returns the question `asked` about a file of cases.
fn cases(lines: &str, asked: &str) -> Value {
    marked(&format!("{HEADER}./schemas/tests.schema.json\ntests:\n{lines}"), asked)
}

fn marked(marked: &str, asked: &str) -> Value {
    let (before, after) = marked.split_once('|').unwrap_or((marked, ""));
    let place = json!({
        "line": before.matches('\n').count(),
        "character": before.rsplit('\n').next().unwrap().chars().count(),
    });
    let text = [before, after].concat();
    json!({ "text": text, asked: place })
}

/// Returns the lines with problems, counted from 1.
fn lines(answer: &Value) -> BTreeSet<u64> {
    let found = answer["diagnostics"].as_array().unwrap();
    found.iter().map(|diagnostic| diagnostic["line"].as_u64().unwrap() + 1).collect()
}

/// Returns the lines at which `check` reports keys that this version does not support.
fn unsupported(path: &str) -> BTreeSet<u64> {
    let mut check = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    let output = check.args(["check", "--format", "json"]).arg(root().join(path)).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = found.as_array().unwrap();
    found
        .iter()
        .filter(|problem| problem["code"] == "unsupported")
        .map(|problem| problem["line"].as_u64().unwrap())
        .collect()
}

#[test]
fn good_files_show_nothing_but_what_this_version_cannot_do() {
    let files = ["routes.yaml", "tests/config/good.yaml", "tests/config/example.yaml"];
    let answers = ask(&files.map(file));
    for (path, answer) in files.iter().zip(&answers) {
        assert_eq!(lines(answer), unsupported(path), "{path}: {answer:#}");
    }
}

#[test]
fn a_mistake_is_shown_at_its_line() {
    let mistakes = [
        ("sources:\n  shop:\n    path: /in/shop\n    provdier: stripe\n", 6, "provdier"),
        ("destinations:\n  app:\n    url: http://app/\n    timeout: 30\n", 6, "string"),
        ("destinations:\n  app:\n    url: http://app/\n    retry:\n      jitter: some\n", 7, "full"),
        ("sources:\n  shop:\n    path: /in/shop\n    secrets: [plain]\n", 6, "Secret"),
        (
            "sources:\n  shop:\n    path: /in/shop\n    verify:\n      type: hmac\n      algoritm: sha256\n",
            8,
            "algoritm",
        ),
        ("providers:\n  mine:\n    verify: {type: token, header: X}\n    proof: sure\n", 6, "sdk"),
    ];
    let answers = ask(&mistakes.map(|(text, ..)| sketch(text, "nothing")));
    for ((text, line, word), answer) in mistakes.iter().zip(&answers) {
        assert_eq!(lines(answer), BTreeSet::from([*line]), "{text}{answer:#}");
        assert!(answer["diagnostics"].to_string().contains(word), "{text}{answer:#}");
    }
}

#[test]
fn good_cases_show_nothing() {
    let folder = std::fs::read_dir(root().join("tests/routes")).unwrap();
    let files: Vec<String> =
        folder.map(|entry| format!("tests/routes/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    assert!(files.len() >= 3, "{files:?}");
    for (path, answer) in files.iter().zip(&ask(&files.iter().map(|path| file(path)).collect::<Vec<_>>())) {
        assert!(read(path).starts_with(HEADER), "{path}: begin it with `{HEADER}…`");
        assert_eq!(lines(answer), BTreeSet::new(), "{path}: {answer:#}");
    }
    let every_key = "  - name: all\n    given: {source: shop, event: push, file: a.json, set: {/a: [1]}, remove: [/b], \
                     headers: {X-A: b}, target: /in/shop?a=1, method: PUT, sender: '10.0.0.1', at: 2026-01-01T12:00:00Z, \
                     tamper: body, signed: skipped}\n    expect: {status: 200, outcome: accepted, verdict: verified, \
                     event_type: push, routes: [a], destinations: [b], quarantine: [/a], outgoing: {b: {body: {a: 1}, \
                     headers: {X-A: ''}, error: x}}}\nconfig: routes.yaml\nenv: {HOST: a}\nnow: 2026-01-01T12:00:00Z\n";
    let answer = &ask(&[cases(every_key, "nothing")])[0];
    assert_eq!(lines(answer), BTreeSet::new(), "{answer:#}");
}

#[test]
fn a_mistake_in_a_case_is_shown_at_its_line() {
    let mistakes = [
        ("  - name: a\n    given: {source: shop}\n    expct: {status: 200}\n", 5, "expct"),
        ("  - name: a\n    given:\n      source: shop\n      tamper: all\n", 6, "signature"),
        ("  - given: {source: shop}\n", 3, "name"),
        ("  - name: a\n    given: {source: shop}\n    expect:\n      outcome: acepted\n", 6, "accepted"),
        ("  - name: a\n    given: {source: shop}\n    expect:\n      status: ok\n", 6, "integer"),
        ("  - name: a\n    given: {source: shop}\n    expect:\n      routes: orders\n", 6, "array"),
    ];
    let answers = ask(&mistakes.map(|(text, ..)| cases(text, "nothing")));
    for ((text, line, word), answer) in mistakes.iter().zip(&answers) {
        assert_eq!(lines(answer), BTreeSet::from([*line]), "{text}{answer:#}");
        assert!(answer["diagnostics"].to_string().contains(word), "{text}{answer:#}");
    }
    let completed = &ask(&[cases("  - name: a\n    given:\n      |\n", "complete")])[0]["labels"];
    assert!(completed.as_array().unwrap().contains(&json!("tamper")), "{completed}");
}

#[test]
fn what_the_loader_takes_in_several_forms_shows_nothing() {
    let good = [
        "x-retry: &retry {max: 1h}\ndestinations:\n  app: {url: http://app/, retry: {<<: *retry, max_attempts: 3}}\n",
        "sources:\n  shop: {path: /in/shop, provider: of-my-own, allow_ips: github, enforce: '${ENFORCE}', mode: '${MODE:-sync}'}\n",
        "sources:\n  shop: {path: /in/shop, allow_ips: [github, 10.0.0.0/8], verify: [{type: none, reason: tests}]}\n",
        "routes:\n  one: {from: shop, to: app}\n  many: {from: [shop, desk], to: [app, audit]}\n",
        "destinations:\n  app: {url: http://app/, concurrency: '${MANY:-8}', circuit_breaker: off, retry: {retry_on: [connect, 5xx, 429]}}\n",
    ];
    let answers = ask(&good.map(|text| sketch(text, "nothing")));
    for (text, answer) in good.iter().zip(&answers) {
        assert_eq!(lines(answer), BTreeSet::new(), "{text}{answer:#}");
    }
}

#[test]
fn completion_offers_what_can_stand_there() {
    let places: [(&str, &[&str]); 4] = [
        ("sources:\n  shop:\n    path: /in/shop\n    provider: |\n", &["stripe", "github"]),
        ("sources:\n  shop:\n    path: /in/shop\n    allow_ips: |\n", &["stripe", "github"]),
        ("buffer:\n  fsync: |\n", &["group", "os", "memory"]),
        ("destinations:\n  app:\n    url: http://app/\n    |\n", &["timeout", "retry", "circuit_breaker"]),
    ];
    let answers = ask(&places.map(|(text, _)| sketch(text, "complete")));
    for ((text, wanted), answer) in places.iter().zip(&answers) {
        let labels = answer["labels"].as_array().unwrap();
        for label in *wanted {
            assert!(labels.contains(&json!(label)), "{text} does not offer {label}: {labels:?}");
        }
        // Short names are for rows that were written before the long ones.
        assert!(!labels.contains(&json!("alg")), "{labels:?}");
    }
}

#[test]
fn hovering_over_a_key_says_what_it_is() {
    let places = [
        ("sources:\n  shop:\n    pa|th: /in/shop\n", "The path that the provider calls"),
        (
            "sources:\n  shop:\n    path: /a\n    verify:\n      type: hmac\n      sign|ed: '{body}'\n",
            "The signed text",
        ),
        ("destinations:\n  app:\n    url: http://app/\n    time|out: 5s\n", "The time limit of one attempt"),
        ("buf|fer: {fsync: group}\n", "The durable buffer"),
    ];
    let answers = ask(&places.map(|(text, _)| sketch(text, "hover")));
    for ((text, wanted), answer) in places.iter().zip(&answers) {
        assert!(answer["hover"].as_str().unwrap().contains(wanted), "{text}{answer:#}");
    }
}

/// Returns whether the file is a page with blocks of YAML.
fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

/// Returns every YAML file of the project, and the blocks of its pages.
fn yaml_texts() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy();
            if entry.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&entry, found);
            } else if [".yaml", ".yml", ".md"].iter().any(|end| name.ends_with(end)) {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    let relative = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let texts = found.iter().map(relative).flat_map(|path| {
        let text = read(&path);
        let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
        let texts = if is_page(&path) { blocks.collect() } else { vec![text] };
        texts.into_iter().map(move |text| (path.clone(), text))
    });
    texts.collect()
}

#[test]
fn every_example_of_a_whole_file_tells_editors_where_the_schema_is() {
    let mut examples = 0;
    for (path, text) in yaml_texts() {
        if !text.lines().any(|line| line == "version: 1") {
            continue;
        }
        examples += 1;
        let schema = text.strip_prefix(HEADER).and_then(|rest| rest.lines().next());
        let schema = schema.unwrap_or_else(|| panic!("{path}: begin it with `{HEADER}…`"));
        // A reader saves the examples of a page in the checkout.
        let saved = if is_page(&path) { "README.md" } else { &path };
        assert!(root().join(saved).parent().unwrap().join(schema).is_file(), "{path}: there is no {schema}");
    }
    assert!(examples >= 4, "only {examples} examples were found");
}
