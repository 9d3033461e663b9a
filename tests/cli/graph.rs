//! `hookgate graph`: golden files of the three formats for `graph/odd.yaml` and for the project's example.
//!
//! `UPDATE=1 cargo test --test cli graph` writes the current output. Look at it before it is committed: `dot -Tsvg`, a
//! browser, a Mermaid editor.

use std::fs;

use super::{Ended, end, hookgate, root, run, run_with_input};

/// A secret value that no format may show.
const SECRET_PATH: &str = "hunter2";

fn graph(file: &str, format: &str) -> Ended {
    end(hookgate(&["graph", file, "--format", format]).env("SECRET_PATH", SECRET_PATH)).with(0)
}

#[test]
fn the_golden_files_show_what_is_drawn() {
    for (name, file) in [("example", "routes.yaml"), ("odd", "tests/cli/graph/odd.yaml")] {
        for (format, extension) in [("mermaid", "mmd"), ("dot", "dot"), ("svg", "svg")] {
            let drawn = graph(file, format);
            assert_eq!(drawn.stderr, "");
            assert!(!drawn.stdout.contains(SECRET_PATH), "{}", drawn.stdout);
            let golden = root().join(format!("tests/cli/graph/{name}.{extension}"));
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&golden, &drawn.stdout).unwrap();
            }
            let expected = fs::read_to_string(&golden).unwrap_or_default();
            assert!(expected == drawn.stdout, "{}:\n{}", golden.display(), drawn.stdout);
        }
    }
}

/// Returns the texts between tags; fails when tags are not in pairs.
fn texts_of_xml(xml: &str) -> Vec<String> {
    let (mut open, mut texts) = (Vec::new(), Vec::new());
    let mut rest = xml;
    while let Some((text, after)) = rest.split_once('<') {
        texts.push(text.to_owned());
        let (tag, after) = after.split_once('>').expect("a tag ends");
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
    texts
}

#[test]
fn text_from_the_file_is_never_markup() {
    let svg = graph("tests/cli/graph/odd.yaml", "svg").stdout;
    let texts = texts_of_xml(&svg).join("\n");
    assert!(!texts.contains("<script") && texts.contains("&lt;script&gt;alert('&amp;amp;')"), "{texts}");
    let mermaid = graph("tests/cli/graph/odd.yaml", "mermaid").stdout;
    for line in mermaid.lines().filter(|line| line.contains("[\"")) {
        let label = line.split_once("[\"").unwrap().1.split_once("\"]").unwrap().0.replace("<br/>", "");
        assert!(!label.contains(['"', '<', '>', '&', '`', '*', '(', '[', '{']), "{label}");
    }
    let dot = graph("tests/cli/graph/odd.yaml", "dot").stdout;
    for line in dot.lines().filter(|line| line.contains("[label=")) {
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert!(quotes.is_multiple_of(2), "{line}");
    }
}

#[test]
fn an_invalid_file_exits_with_78_and_draws_nothing() {
    let broken = b"version: 1\nlisteners: {a: {address: \"127.0.0.1:1\"}}\nroutes: {a: {from: nobody, to: nowhere}}\n";
    for command in [&["graph", "-"][..], &["config", "show", "-"]] {
        let ended = run_with_input(command, broken).with(78);
        assert_eq!(ended.stdout, "");
        assert_eq!(ended.stderr.matches("error[unknown_name]").count(), 2, "{}", ended.stderr);
        let (file, words) = ("no/such.yaml", &command[..command.len() - 1]);
        let ended = run(&[words, &[file]].concat()).with(78);
        assert!(ended.stderr.contains("cannot read no/such.yaml"), "{}", ended.stderr);
    }
}

#[test]
fn the_configuration_is_shown_from_stdin_without_its_secrets() {
    let file = super::good("127.0.0.1:8080");
    let shown = run_with_input(&["config", "show", "-"], file.as_bytes()).with(0);
    assert_eq!(shown.stderr, "");
    assert!(
        shown.stdout.contains("\n    url: http://127.0.0.1:9/ ") && shown.stdout.contains("# -:10\n"),
        "{}",
        shown.stdout
    );
    let shown = run_with_input(&["config", "show", "--format", "json", "-"], file.as_bytes()).with(0);
    let json: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let timeout = &json["destinations"]["orders"]["timeout"];
    assert_eq!((&timeout["value"], &timeout["origin"]["kind"]), (&"10s".into(), &"default".into()));
    let url = &json["destinations"]["orders"]["url"]["origin"];
    assert_eq!((&url["file"], &url["line"], &url["column"]), (&"-".into(), &10.into(), &17.into()));
}
