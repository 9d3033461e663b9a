//! No message shows the value of a variable: every value of every golden file is replaced once by a variable whose
//! value has a marker, and no output may have the marker.
//!
//! Excepted are values that hold no secret according to docs/guides/configuration.md: names of files, hosts, and other
//! entries.

use std::path::Path;

use hookgate::config::render;
use saphyr_parser::{Event, Parser, ScalarStyle};

use super::golden_files;
use super::meaning::Around;

const MARKER: &str = "s3cr3tMARKt3rc3s";
/// The halves of the marker; a text cut anywhere keeps one of them.
const PARTS: [&str; 2] = ["s3cr3tma", "arkt3rc3"];
/// Keys of values that may be shown.
const SHOWN: &[&str] = &["data_dir", "dir", "file", "capture_to", "host", "provider", "from", "to"];

/// A value on one line, as a range of characters of the text.
struct Value {
    begin: usize,
    end: usize,
    text: String,
    key: String,
}

/// Returns the values of a text, as far as it is YAML.
fn values(yaml: &str) -> Vec<Value> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(yaml.chars().enumerate().filter(|(_, letter)| *letter == '\n').map(|(at, _)| at + 1))
        .collect();
    let mut values = Vec::new();
    // For each open collection: the key that waits for its value, or `None` for a list.
    let mut around: Vec<Option<Option<String>>> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        let Ok((event, span)) = event else { break };
        let mut ended = false;
        match event {
            Event::MappingStart(..) => around.push(Some(None)),
            Event::SequenceStart(..) => around.push(None),
            Event::MappingEnd | Event::SequenceEnd => {
                around.pop();
                ended = true;
            }
            Event::Alias(..) => ended = true,
            Event::Scalar(text, style, ..) => {
                if let Some(Some(key @ None)) = around.last_mut() {
                    *key = Some(text.into_owned());
                    continue;
                }
                let key = around.iter().rev().find_map(|one| one.clone().flatten()).unwrap_or_default();
                let is_flow = !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_flow && span.start.line() == span.end.line() && span.start.col() < span.end.col() {
                    let at = |marker: &saphyr_parser::Marker| {
                        starts.get(marker.line() - 1).copied().unwrap_or_default() + marker.col()
                    };
                    let (begin, end) = (at(&span.start), at(&span.end));
                    values.push(Value { begin, end, text: text.into_owned(), key });
                }
                ended = true;
            }
            _ => {}
        }
        if let (true, Some(Some(key))) = (ended, around.last_mut()) {
            *key = None;
        }
    }
    values
}

/// Returns the value with the marker in front, behind, and in the middle.
fn marked(text: &str) -> Vec<String> {
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (before, after) = text.split_at(middle);
    vec![format!("{text}{MARKER}"), format!("{MARKER}\n{text}"), format!("{before}{MARKER}{after}")]
}

/// Checks whether the marker is in a URL's host, which is shown.
fn is_in_host(text: &str) -> bool {
    let host = text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    host.contains(MARKER)
}

fn leaks(file: &Path) -> (usize, Vec<String>) {
    let content = std::fs::read_to_string(file).unwrap();
    let (input, _) = content.split_once(super::MARK).unwrap_or((&content, ""));
    let input =
        input.strip_prefix("format: json\n").or_else(|| input.strip_prefix("format: github\n")).unwrap_or(input);
    let (mut around, yaml) = Around::of(input);
    let letters: Vec<char> = yaml.chars().collect();
    let (mut checked, mut leaks) = (0, Vec::new());
    // A file with many similar values needs only the first 60 of them.
    for value in values(yaml).into_iter().filter(|value| !SHOWN.contains(&&*value.key)).take(60) {
        let of = |range: std::ops::Range<usize>| letters.iter().skip(range.start).take(range.len()).collect::<String>();
        let filled = format!("{}\"${{MARKED}}\"{}", of(0..value.begin), of(value.end..letters.len()));
        for text in marked(&value.text).into_iter().filter(|text| !is_in_host(text)) {
            around.set("MARKED", &text);
            let found = around.check(&filled);
            let shown = render::text(&found.problems, found.spans.files(), false)
                + &render::json(&found.problems)
                + &render::github(&found.problems);
            let shown = shown.to_lowercase();
            checked += 1;
            if PARTS.iter().any(|part| shown.contains(part)) {
                let line = shown.lines().find(|line| PARTS.iter().any(|part| line.contains(part))).unwrap();
                leaks.push(format!("{}: {} = {text:?}:\n  {line}", file.display(), value.key));
            }
        }
    }
    (checked, leaks)
}

#[test]
fn no_message_says_the_value_of_a_variable() {
    let files =
        [golden_files("tests/config"), golden_files("tests/config/meaning"), golden_files("tests/config/include")];
    let files = files.concat();
    let (mut checked, mut found) = (0, Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(files.len().div_ceil(4))
            .map(|files| scope.spawn(move || files.iter().map(|file| leaks(file)).collect::<Vec<_>>()))
            .collect();
        for (count, leaks) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            checked += count;
            found.extend(leaks);
        }
    });
    assert!(checked > 3000, "only {checked} values were tried");
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
}
