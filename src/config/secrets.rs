//! The masking of secrets in the file and in everything that is shown of it.
//!
//! A secret is named (`{file|env|credential: …}`), never written. A text at the place of a secret is masked wherever
//! the file is shown, whether or not it is reported here; masking errs on the side of hiding. `${…}` is not read in a
//! secret: the variable would carry the secret through the configuration.

use std::path::Path;

use super::interpolate::is_variable_name;
use super::problem::{Code, Problem, Problems};
use super::spans::Span;
use super::tree::{Body, Node, ScalarKind};

/// Returns whether `key` sounds like one that holds a secret, rightly or wrongly.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "token", "passw", "credential", "api_key", "apikey", "private_key", "api-key", "authorization", "cookie"]
        .iter()
        .any(|word| key.contains(word))
}

/// The keys of a secret whose values may be shown.
const SHOWN: &[&str] = &["name", "file", "env", "credential", "not_before", "not_after"];

/// Reports and drops every secret that is written into the file.
pub(super) fn refuse_inline(root: &mut Node, file: &Path, problems: &mut Problems) {
    if let Some(token) = root.get_mut("admin").and_then(|admin| admin.get_mut("token")) {
        check(token, file, problems);
    }
    if let Some(Node { body: Body::Map(destinations), .. }) = root.get_mut("destinations") {
        for destination in destinations {
            let Some(Node { body: Body::Map(headers), .. }) = destination.value.get_mut("headers") else { continue };
            // A literal is a header's value; a mapping is the place of a secret.
            for header in headers.iter_mut().filter(|header| matches!(header.value.body, Body::Map(_))) {
                check(&mut header.value, file, problems);
            }
        }
    }
    let Some(Node { body: Body::Map(sources), .. }) = root.get_mut("sources") else { return };
    for source in sources {
        if let Some(token) = source.value.get_mut("handshake").and_then(|handshake| handshake.get_mut("token")) {
            check(token, file, problems);
        }
        if let Some(Node { body: Body::Map(values), .. }) = source.value.get_mut("context") {
            for value in values.iter_mut().filter(|value| sounds_secret(&value.key)) {
                check(&mut value.value, file, problems);
            }
        }
        match source.value.get_mut("secrets") {
            Some(Node { body: Body::Seq(items), .. }) => {
                for secret in items {
                    check(secret, file, problems);
                }
            }
            Some(secret) => check(secret, file, problems),
            None => {}
        }
    }
}

fn check(secret: &mut Node, file: &Path, problems: &mut Problems) {
    match &mut secret.body {
        Body::Scalar(scalar) if !matches!(scalar.kind(), ScalarKind::Null) => {
            let variable = scalar.text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let problem = match variable.filter(|name| is_variable_name(name)) {
                Some(name) => {
                    let message = "`${…}` is not read in a secret";
                    let help = format!("name the variable: `{{env: {name}}}`");
                    Problem::error(Code::BadVariable, file, secret.span, message).help(help)
                }
                None => inline(file, secret.span),
            };
            problems.push(problem);
            secret.dropped = true;
        }
        Body::Map(entries) => {
            for entry in entries {
                let Body::Scalar(scalar) = &entry.value.body else { continue };
                let problem = if entry.key == "env" && !is_variable_name(&scalar.text) {
                    let message = "`env` takes the name of an environment variable, and this is none";
                    let help =
                        "a name has letters, digits and `_`; if this is the secret itself, take it out of the file";
                    Problem::error(Code::InvalidValue, file, entry.value.span, message).help(help)
                } else if scalar.text.contains("${") {
                    let message = "`${…}` is not read in a secret";
                    let help = "write the value out, or name a variable: `{env: NAME}`";
                    Problem::error(Code::BadVariable, file, entry.value.span, message).help(help)
                } else {
                    continue;
                };
                problems.push(problem);
                entry.value.dropped = true;
            }
        }
        Body::Scalar(_) | Body::Seq(_) => {}
    }
}

fn inline(file: &Path, span: Span) -> Problem {
    Problem::error(Code::InlineSecret, file, span, "a secret is written into the file").help(
        "name the place that holds it: `{env: NAME}`, `{file: /run/secrets/NAME}` or `{credential: NAME}`; \
         treat this one as leaked if the file is shared",
    )
}

/// Returns `text` with every text masked that is or may be a secret.
pub(super) fn masked(text: &str, root: &Node) -> String {
    let mut spans = Vec::new();
    collect(root, false, &mut spans);
    spans.sort_unstable();
    let mut masked = String::with_capacity(text.len());
    let mut spans = spans.into_iter().peekable();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let line_number = index + 1;
        while spans.next_if(|span| span.end.line < line_number).is_some() {}
        for (index, c) in line.chars().enumerate() {
            let here = super::spans::Position { line: line_number, column: index + 1 };
            while spans.next_if(|span| span.end <= here).is_some() {}
            let hide = spans.peek().is_some_and(|span| span.start <= here) && !c.is_whitespace();
            masked.push(if hide { '*' } else { c });
        }
    }
    masked
}

/// Masks a text that is not YAML: the rest of a line after a word that sounds like a secret and a colon, and the list
/// items below such a line.
pub(super) fn masked_by_line(text: &str) -> String {
    let mask = |text: &str| text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect::<String>();
    let mut in_list = false;
    let lines = text.split_inclusive('\n').map(|line| {
        let mut key_end = 0;
        let colon = line.split_inclusive(':').find_map(|part| {
            key_end += part.len();
            (part.ends_with(':') && sounds_secret(part)).then_some(key_end)
        });
        in_list = colon.is_some() || (in_list && (line.trim().is_empty() || line.trim_start().starts_with('-')));
        let (shown, hidden) = line.split_at(colon.unwrap_or(if in_list { 0 } else { line.len() }));
        format!("{shown}{}", mask(hidden))
    });
    lines.collect()
}

fn collect(node: &Node, secret: bool, spans: &mut Vec<Span>) {
    match &node.body {
        Body::Scalar(scalar) if secret || holds_credentials(&scalar.text) => spans.push(node.span),
        Body::Scalar(_) => {}
        Body::Seq(items) => items.iter().for_each(|item| collect(item, secret, spans)),
        Body::Map(entries) => {
            for entry in entries {
                let shown = SHOWN.contains(&entry.key.as_str()) && !holds_no_name(&entry.key, &entry.value);
                // The key's own span stands for an absent value, which holds nothing to hide.
                if entry.value.span != entry.key_span {
                    // A mapping may be a source that is called `github-token`; its secrets have keys of their own.
                    let is_map =
                        matches!(entry.value.body, Body::Map(_)) && entry.key != "secrets" && entry.key != "token";
                    // A switch such as `forward_secret: true` is not a secret.
                    let is_switch = matches!(&entry.value.body, Body::Scalar(scalar) if matches!(scalar.kind(), ScalarKind::Bool(_)));
                    let sounds = !is_map && !is_switch && sounds_secret(&entry.key);
                    let hidden = secret || sounds || entry.key == "env";
                    collect(&entry.value, hidden && !shown, spans);
                }
            }
        }
    }
}

/// Returns whether this is a URL with a user and a password.
pub(super) fn holds_credentials(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')))
}

/// Returns whether this is an `env` whose value is not the name of a variable: probably the secret.
fn holds_no_name(key: &str, value: &Node) -> bool {
    key == "env" && matches!(&value.body, Body::Scalar(scalar) if !is_variable_name(&scalar.text))
}
