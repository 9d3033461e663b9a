//! The step from a fault and its place to a problem in words.
//!
//! The types that serde expects are named in the words of the file ("a list", not "a sequence"), with an example of the
//! key. A value from a variable is named by the text that is written, and never shown.

use std::path::Path;

use super::fault::TextFault;
use super::known::{example, is_unsupported, nearest};
use super::problem::{Code, Problem, quoted};
use super::secrets::holds_credentials;
use super::spans::{Seg, Span, shown};
use super::tree::{Body, FoundNode, Node, Scalar, ScalarKind, resolve};
use super::union::NAMED;

/// Returns the problem of `fault` at `path`; `None` when the fault only follows from a reported problem.
pub(super) fn explain(fault: &TextFault, path: &[Seg<'_>], found: FoundNode<'_>, file: &Path) -> Option<Problem> {
    let error = |code, span, message: String| Problem::error(code, file, span, message);
    let (key_span, value_span) = (found.key_span.unwrap_or(found.node.span), found.node.span);
    let problem = match fault {
        TextFault::UnknownKey { known } => return Some(unknown_key(path, known, key_span, file)),
        TextFault::MissingKey(key) => {
            if is_accounted_for(found.node, key) {
                return None;
            }
            let with = TOGETHER.iter().find(|(first, second)| first == key && found.node.get(second).is_none());
            let message = match with {
                Some((_, second)) => format!("{} has neither `{key}` nor `{second}`", quoted(&shown(path))),
                None => format!("{} has no `{key}`", quoted(&shown(path))),
            };
            error(Code::MissingKey, key_span, message).help(add(example_in(last_key(path), key)))
        }
        TextFault::WrongType { expected } => {
            let message = format!("{} must be {}, but is {}", subject(path), plainly(expected), what(found.node));
            error(Code::WrongType, place(found), message).help(type_help(found.node, expected, path))
        }
        TextFault::UnknownValue { known } => unknown_value(path, known, found, file),
        TextFault::Complaint { code: Code::InvalidName, predicate, help } => {
            let name = last_key(path).unwrap_or_default();
            error(Code::InvalidName, key_span, format!("{} {predicate}", quoted(name))).help(help.as_str())
        }
        TextFault::Complaint { code: Code::MissingKey, .. } if has_dropped(found.node) => return None,
        TextFault::Complaint { code, predicate, help } => {
            let message = format!("{} {predicate}", value(found.node, path));
            let hidden = "the value of a variable is not shown here; look at the environment";
            let help = if came_from_variable(found.node) { hidden } else { help };
            error(*code, value_span, message).help(help)
        }
    };
    Some(problem)
}

/// Required keys that are missing together: only the first is reported by serde.
const TOGETHER: &[(&str, &str)] = &[("from", "to"), ("cert", "key")];

/// Returns whether `key` is missing only because of a reported problem: its value was wrong, or it was misspelt.
fn is_accounted_for(node: &Node, key: &str) -> bool {
    let Body::Map(entries) = &node.body else { return false };
    entries
        .iter()
        .filter(|entry| entry.value.dropped)
        .any(|entry| entry.key == key || nearest(&entry.key, [key]).is_some())
}

fn has_dropped(node: &Node) -> bool {
    matches!(&node.body, Body::Map(entries) if entries.iter().any(|entry| entry.value.dropped))
}

fn unknown_key(path: &[Seg<'_>], known: &[&str], span: Span, file: &Path) -> Problem {
    let key = last_key(path).unwrap_or_default();
    if is_unsupported(path) {
        let message = format!("{} is not supported by this version yet", quoted(key));
        let help = "remove it: a setting that has no effect must not look as if it had one";
        return Problem::error(Code::Unsupported, file, span, message).help(help);
    }
    let parents = path.get(..path.len().saturating_sub(1)).unwrap_or_default();
    let place =
        if parents.is_empty() { "at the top level".to_owned() } else { format!("in {}", quoted(&shown(parents))) };
    let mut known: Vec<&str> = known.to_vec();
    known.sort_unstable();
    let help = match (nearest(key, known.iter().copied()), known.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, [only]) => format!("the only key here is `{only}`"),
        (None, _) => format!("the keys here are {}", known.join(", ")),
    };
    Problem::error(Code::UnknownKey, file, span, format!("unknown key {} {place}", quoted(key))).help(help)
}

fn unknown_value(path: &[Seg<'_>], known: &[&str], found: FoundNode<'_>, file: &Path) -> Problem {
    let written = scalar_text(found.node).unwrap_or_default();
    let list = match path {
        [list @ .., Seg::Index(_)] => list,
        whole => whole,
    };
    let message = format!("{} is not a value of {}", value(found.node, path), quoted(&shown(list)));
    let help = if came_from_variable(found.node) {
        format!("the values are {}", known.join(", "))
    } else if known.contains(&written) {
        format!("put it in quotes, so that YAML takes it for text: \"{written}\"")
    } else {
        match nearest(written, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? The values are {}", known.join(", ")),
            None => format!("the values are {}", known.join(", ")),
        }
    };
    Problem::error(Code::UnknownValue, file, found.node.span, message).help(help)
}

/// Returns the place of a wrong value: its key when the value is a collection, which may be long.
fn place(found: FoundNode<'_>) -> Span {
    match (&found.node.body, found.key_span) {
        (Body::Seq(_) | Body::Map(_), Some(key)) if found.node.span.start.line != found.node.span.end.line => key,
        _ => found.node.span,
    }
}

/// Returns the key that a value belongs to: `sources.stripe.path`, `an item of routes.ci.to`.
fn subject(path: &[Seg<'_>]) -> String {
    match path.split_last() {
        Some((Seg::Index(_), list)) => format!("an item of {}", quoted(&shown(list))),
        _ => quoted(&shown(path)).to_string(),
    }
}

/// Returns the value itself as the subject of a sentence.
fn value(node: &Node, path: &[Seg<'_>]) -> String {
    match &node.body {
        Body::Scalar(scalar) => match &scalar.written {
            Some(written) => format!("the value of {}", quoted(written)),
            None if holds_credentials(&scalar.text) => subject(path),
            None => quoted(&scalar.text).to_string(),
        },
        Body::Seq(_) | Body::Map(_) => subject(path),
    }
}

fn what(node: &Node) -> &'static str {
    match &node.body {
        Body::Seq(_) => "a list",
        Body::Map(_) => "a mapping",
        Body::Scalar(scalar) if scalar.written.is_some() => "text from a variable",
        Body::Scalar(scalar) => match scalar.kind() {
            ScalarKind::Null => "empty",
            ScalarKind::Bool(_) => "a boolean",
            ScalarKind::Int(_) => "a negative number",
            ScalarKind::Unsigned(_) => "a number",
            ScalarKind::Float(_) => "a number with a fraction",
            ScalarKind::Text(_) => "text",
        },
    }
}

/// Returns serde's words for types, in the words of the file.
fn plainly(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" => "text",
        "path string" => "a path",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a mapping",
        _ if expected.starts_with("struct ") => "a mapping",
        _ => expected,
    }
}

fn type_help(node: &Node, expected: &str, path: &[Seg<'_>]) -> String {
    let kind = match &node.body {
        Body::Scalar(scalar) if scalar.written.is_none() => Some(scalar.kind()),
        _ => None,
    };
    if let Body::Scalar(Scalar { text, plain: false, written: Some(_), .. }) = &node.body
        && plainly(expected) != "text"
        && !matches!(resolve(text), ScalarKind::Text(_) | ScalarKind::Null)
    {
        return "take the quotes away: what is quoted is text, also when a variable is in it".to_owned();
    }
    let is_item = matches!(path.last(), Some(Seg::Index(_)));
    match (plainly(expected), kind) {
        (_, Some(ScalarKind::Null)) => {
            let written = example_at(path).map(|e| format!(", for example `{e}`")).unwrap_or_default();
            return format!("write a value{written}, or remove the key");
        }
        (
            "text" | "a path",
            Some(ScalarKind::Int(_) | ScalarKind::Unsigned(_) | ScalarKind::Float(_) | ScalarKind::Bool(_)),
        ) if is_item || example_at(path).is_none() => {
            return format!("put it in quotes: \"{}\"", scalar_text(node).unwrap_or_default());
        }
        ("`true` or `false`", Some(ScalarKind::Text("yes" | "on" | "Yes" | "On" | "YES" | "ON"))) => {
            return "write `true`: in YAML 1.2 `yes` and `on` are text".to_owned();
        }
        ("`true` or `false`", Some(ScalarKind::Text("no" | "off" | "No" | "Off" | "NO" | "OFF"))) => {
            return "write `false`: in YAML 1.2 `no` and `off` are text".to_owned();
        }
        ("a mapping", _) if matches!(path, [Seg::Key(section)] if NAMED.contains(section)) => {
            return "give each entry a name: `name: {…}`".to_owned();
        }
        (expected, _) if expected.contains("such as") => return String::new(),
        _ => {}
    }
    add(example_at(path))
}

/// Returns an example of the key at a path.
fn example_at(path: &[Seg<'_>]) -> Option<&'static str> {
    let mut keys = path.iter().rev().filter_map(|seg| match seg {
        Seg::Key(key) => Some(*key),
        Seg::Index(_) => None,
    });
    let key = keys.next()?;
    example_in(keys.next(), key)
}

/// Returns an example of `key` in `parent`.
fn example_in(parent: Option<&str>, key: &str) -> Option<&'static str> {
    parent.and_then(|parent| example(&format!("{parent}.{key}"))).or_else(|| example(key))
}

fn add(example: Option<&str>) -> String {
    example.map(|example| format!("for example `{example}`")).unwrap_or_default()
}

fn scalar_text(node: &Node) -> Option<&str> {
    match &node.body {
        Body::Scalar(scalar) => Some(&scalar.text),
        Body::Seq(_) | Body::Map(_) => None,
    }
}

fn came_from_variable(node: &Node) -> bool {
    matches!(&node.body, Body::Scalar(scalar) if scalar.written.is_some())
}

fn last_key<'p>(path: &[Seg<'p>]) -> Option<&'p str> {
    path.iter().rev().find_map(|seg| match seg {
        Seg::Key(key) => Some(*key),
        Seg::Index(_) => None,
    })
}
