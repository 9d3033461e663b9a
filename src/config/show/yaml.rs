//! The YAML form: block style, the origin of each value behind it, and no value that is read as another one.

use super::tree::{Leaf, Tree};
use crate::config::problem::is_hidden;
use crate::config::tree::{ScalarKind, resolve};

/// The limit of the column of origins; they stand at one column, unless a value is longer.
const ORIGIN_COLUMN_MAX: usize = 64;
/// The limit of a list on one line, all of which has one origin.
const LIST_CHARS_MAX: usize = 100;

/// The position of a scalar: some characters have a meaning only in a list in brackets.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Block,
    Brackets,
}

struct Line {
    text: String,
    origin: Option<String>,
}

pub(super) fn text(tree: &Tree) -> String {
    let mut lines = Vec::new();
    emit(tree, 0, &mut lines);
    let widths = lines.iter().filter(|line| line.origin.is_some()).map(|line| line.text.chars().count());
    let column = widths.filter(|width| *width <= ORIGIN_COLUMN_MAX).max().unwrap_or(0);
    let whole = lines.into_iter().map(|Line { text, origin }| match origin {
        Some(origin) => format!("{text:<column$}   # {origin}\n"),
        None => text + "\n",
    });
    whole.collect()
}

fn emit(tree: &Tree, indent: usize, lines: &mut Vec<Line>) {
    let margin = " ".repeat(indent);
    match tree {
        Tree::Leaf(_) => lines.push(on_one_line(&margin, tree).unwrap_or(Line { text: margin, origin: None })),
        Tree::Map(entries) => {
            for (key, value) in entries {
                let key = format!("{margin}{}:", scalar(key, false, Style::Block));
                if let Some(line) = on_one_line(&format!("{key} "), value) {
                    lines.push(line);
                } else {
                    lines.push(Line { text: key, origin: None });
                    emit(value, indent + 2, lines);
                }
            }
        }
        Tree::List(items) => {
            for item in items {
                let first = lines.len();
                emit(item, indent + 2, lines);
                if let Some(line) = lines.get_mut(first) {
                    line.text = format!("{margin}- {}", line.text.trim_start());
                }
            }
        }
    }
}

/// Returns the line of a leaf, a short list, or an empty collection, behind `start`.
fn on_one_line(start: &str, tree: &Tree) -> Option<Line> {
    match tree {
        Tree::Leaf(leaf) => {
            Some(Line { text: format!("{start}{}", value(leaf, Style::Block)), origin: Some(origin(leaf)) })
        }
        Tree::Map(entries) => entries.is_empty().then(|| Line { text: format!("{start}{{}}"), origin: None }),
        Tree::List(items) if items.is_empty() => Some(Line { text: format!("{start}[]"), origin: None }),
        Tree::List(items) => {
            let leaves: Vec<&Leaf> = items
                .iter()
                .map(|item| if let Tree::Leaf(leaf) = item { Some(leaf) } else { None })
                .collect::<Option<_>>()?;
            let first = origin(leaves.first()?);
            let values: Vec<String> = leaves.iter().map(|leaf| value(leaf, Style::Brackets)).collect();
            let text = format!("{start}[{}]", values.join(", "));
            let is_one = leaves.iter().all(|leaf| origin(leaf) == first && !leaf.is_unfilled);
            (is_one && text.chars().count() <= LIST_CHARS_MAX).then_some(Line { text, origin: Some(first) })
        }
    }
}

fn origin(leaf: &Leaf) -> String {
    format!("{}{}", leaf.origin, if leaf.is_unfilled { ", as written" } else { "" })
}

fn value(leaf: &Leaf, style: Style) -> String {
    if matches!(leaf.kind(), ScalarKind::Null) {
        return "null".to_owned();
    }
    // A literal `${` is written with another `$` before it.
    let text = if leaf.is_unfilled { leaf.text.clone() } else { leaf.text.replace("${", "$${") };
    scalar(&text, leaf.is_plain, style)
}

fn scalar(text: &str, is_plain: bool, style: Style) -> String {
    let is_itself = is_plain || matches!(resolve(text), ScalarKind::Text(_));
    if is_itself && is_safe(text, style) {
        return text.to_owned();
    }
    escaped(&serde_json::to_string(text).unwrap_or_default())
}

/// Escapes invisible characters of a quoted text: YAML reads the escapes of JSON.
pub(super) fn escaped(quoted: &str) -> String {
    let one = |c: char| if is_hidden(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() };
    quoted.chars().map(one).collect()
}

/// Returns whether `text` is read as it stands without quotes. The rule is narrower than YAML's.
fn is_safe(text: &str, style: Style) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '_' | '$' => true,
        '-' | '+' => chars.next().is_some_and(|c| c.is_ascii_digit()),
        _ => false,
    });
    let in_order = |c: char| {
        c.is_ascii_alphanumeric()
            || " _./:-+@%=~()<>&|!?*^'\"$".contains(c)
            || (style == Style::Block && ",[]{}".contains(c))
    };
    first && text.chars().all(in_order) && !text.contains(": ") && !text.ends_with([':', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_otherwise_is_quoted() {
        for (text, block, list) in [
            ("10s", "10s", "10s"),
            ("http://a:1/b", "http://a:1/b", "http://a:1/b"),
            ("a,b", "a,b", "\"a,b\""),
            ("12", "\"12\"", "\"12\""),
            ("true", "\"true\"", "\"true\""),
            ("", "\"\"", "\"\""),
            ("no", "no", "no"),
            ("*.a", "\"*.a\"", "\"*.a\""),
            ("a: b", "\"a: b\"", "\"a: b\""),
            ("a #b", "\"a #b\"", "\"a #b\""),
            ("- a", "\"- a\"", "\"- a\""),
            ("a\nb", "\"a\\nb\"", "\"a\\nb\""),
            ("a\u{202e}b", "\"a\\u202eb\"", "\"a\\u202eb\""),
        ] {
            assert_eq!(
                (scalar(text, false, Style::Block), scalar(text, false, Style::Brackets)),
                (block.to_owned(), list.to_owned())
            );
        }
        assert_eq!(scalar("12", true, Style::Brackets), "12");
    }
}
