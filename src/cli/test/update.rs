//! `--update`: the actual result is written into the file of cases, in the place of the expected one. All other lines
//! stay as they are, comments included.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::case;
use super::file::{Expect, File};
use crate::config::{Spans, document, path};
use crate::explain::{BodyShown, Explanation};

/// Lines, from 1, that are replaced; none where the range is empty.
#[derive(Debug)]
pub(super) struct LineChange {
    first: usize,
    /// The line after the last one.
    end: usize,
    lines: Vec<String>,
}

pub(super) fn is_empty(expect: &Expect) -> bool {
    expect.status.is_none()
        && expect.outcome.is_none()
        && expect.verdict.is_none()
        && expect.event_type.is_none()
        && expect.routes.is_none()
        && expect.destinations.is_none()
        && expect.quarantine.is_none()
        && expect.outgoing.is_empty()
}

/// Returns the change for one case; `None` where `given` or `expect` share a line with another key.
pub(super) fn change(
    (spans, text): (&Spans, &str),
    index: usize,
    expect: &Expect,
    told: &Explanation,
) -> Option<LineChange> {
    let begins = |key: &str| {
        let line = spans.lines_of(&path!["tests", index, key])?.0;
        Some(text.lines().nth(line.checked_sub(1)?)?.trim_start().starts_with(&format!("{key}:")))
    };
    if begins("given") != Some(true) || begins("expect") == Some(false) {
        return None;
    }
    let column = spans.of_key(&path!["tests", index, "given"])?.start.column;
    let indent = " ".repeat(column.saturating_sub(1));
    let mut lines = vec![format!("{indent}expect:")];
    lines.extend(written(expect, told).into_iter().map(|line| format!("{indent}  {line}")));
    let (first, end) = if let Some((first, last)) = spans.lines_of(&path!["tests", index, "expect"]) {
        (first, last + 1)
    } else {
        let (_, last) = spans.lines_of(&path!["tests", index])?;
        (last + 1, last + 1)
    };
    Some(LineChange { first, end, lines })
}

/// Returns the expected members with their actual values; for a case without expectations, the most important members.
fn written(expect: &Expect, told: &Explanation) -> Vec<String> {
    let is_new = is_empty(expect);
    let mut lines = Vec::new();
    let mut say = |wanted: bool, name: &str, value: Value| {
        if wanted {
            lines.push(format!("{name}: {value}"));
        }
    };
    let status = told.answer.as_ref().map(|answer| answer.status);
    say(is_new || expect.status.is_some(), "status", json!(status));
    say(is_new || expect.outcome.is_some(), "outcome", json!(told.outcome));
    let verdict = told.verification.as_ref().map(|says| says.verdict);
    say(expect.verdict.is_some() && verdict.is_some(), "verdict", json!(verdict));
    say(expect.event_type.is_some(), "event_type", json!(told.event_type));
    say(is_new || expect.routes.is_some(), "routes", json!(case::routes(told)));
    say(is_new || expect.destinations.is_some(), "destinations", json!(case::destinations(told)));
    let problems: Vec<String> =
        told.problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
    say(expect.quarantine.is_some() || (is_new && !problems.is_empty()), "quarantine", json!(problems));
    let outgoing: BTreeMap<&str, Value> = told
        .outgoing
        .iter()
        // Where there are several copies, the first one is written.
        .rev()
        .filter_map(|sent| {
            let wanted = expect.outgoing.get(&sent.destination)?;
            let headers = wanted.headers.keys().map(|name| {
                let known = sent.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                (name.clone(), known.map_or(String::new(), |(_, value)| value.clone()))
            });
            let mut members = serde_json::Map::new();
            if wanted.body.is_some() {
                members.insert("body".to_owned(), body(sent.body.as_ref()));
            }
            if !wanted.headers.is_empty() {
                members.insert("headers".to_owned(), json!(headers.collect::<BTreeMap<_, _>>()));
            }
            if let Some(error) = &sent.error {
                members.insert("error".to_owned(), json!(error));
            }
            Some((sent.destination.as_str(), Value::Object(members)))
        })
        .collect();
    if lines.is_empty() && outgoing.is_empty() {
        lines.push(format!("status: {}", json!(status)));
        lines.push(format!("outcome: {}", json!(told.outcome)));
    }
    if !outgoing.is_empty() {
        lines.push("outgoing:".to_owned());
        lines.extend(outgoing.into_iter().map(|(name, members)| format!("  {name}: {members}")));
    }
    lines
}

fn body(body: Option<&BodyShown>) -> Value {
    match body {
        Some(BodyShown::Json(json)) => json.clone(),
        Some(BodyShown::Text(text) | BodyShown::Base64(text)) => json!(text),
        None => Value::Null,
    }
}

/// Writes the file with its changes; a file without changes is left alone.
pub(super) fn write(path: &Path, text: &str, mut changes: Vec<LineChange>) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.first));
    for change in changes {
        let (first, end) =
            (change.first.saturating_sub(1).min(lines.len()), change.end.saturating_sub(1).min(lines.len()));
        lines.splice(first..end, change.lines);
    }
    let written = lines.join("\n") + "\n";
    let (_, _, problems) = document::<File>(&written, path);
    if let Some(problem) = problems.first() {
        return Err(io::Error::other(format!("what would be written is no file of cases: {}", problem.message)));
    }
    // The new file is written beside the old one first, so that a file of cases is never half written.
    let beside = path.with_extension("yaml.new");
    std::fs::write(&beside, written)?;
    std::fs::rename(&beside, path)
}
