//! What the YAML parser complains of, in words that help.
//!
//! The parser says what it expected; people want to know what they did. Complaints that have no better words here are
//! shown as they are.

use std::path::Path;

use super::problem::{Code, Problem};
use super::spans::{Position, Span};

/// The problem that the parser's complaint `info` at the start of `at` is.
pub(super) fn syntax_problem(info: &str, at: Span, text: &str, file: &Path) -> Problem {
    let start = at.start;
    let line = text.lines().nth(start.line.saturating_sub(1)).unwrap_or_default();
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if let Some(spaces) = indent.find('\t') {
        let start = Position { column: spaces + 1, ..start };
        let span = Span { start, end: Position { column: indent.chars().count() + 1, ..start }, ..at };
        return Problem::error(Code::Syntax, file, span, "a tab cannot indent YAML").help("indent with spaces");
    }
    let span = Span { start, end: Position { column: start.column + 1, ..start }, ..at };
    let before: String = line.chars().take(start.column - 1).collect();
    let (message, help) = if info.contains("mapping values are not allowed") && !before.contains(": ") {
        ("the line before is neither `key: value` nor a list item", "does it lack a colon at its end?")
    } else {
        let known = WORDS.iter().find(|(part, _, _)| info.contains(part));
        let unknown = (info, "look at the indentation, the quotes and the brackets before this place");
        known.map_or(unknown, |(_, message, help)| (*message, *help))
    };
    Problem::error(Code::Syntax, file, span, format!("this is not YAML: {message}")).help(help)
}

/// A part of the parser's complaint, what it means, what to do.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "mapping values are not allowed",
        "a second `: ` stands where a value was expected",
        "put text that contains `: ` in quotes, or begin a new line for a new key",
    ),
    (
        "illegal placement of ':'",
        "a key stands inside a `[…]` or `{…}` that is not closed",
        "look for the missing `]` or `}` above",
    ),
    ("expected ',' or '}'", "a `{…}` is not closed", "close it with `}` and put a comma between its entries"),
    ("expected ',' or ']'", "a `[…]` is not closed", "close it with `]` and put a comma between its items"),
    (
        "simple key expect",
        "this line is neither `key: value` nor a list item",
        "write `key: value`, with a space after the colon",
    ),
    (
        "while scanning an anchor or alias",
        "`*` and `&` begin an alias and an anchor, and a name must follow",
        "put text that begins with one of them in quotes: \"*\"",
    ),
    ("unknown anchor", "no anchor has this name above", "define it before it is used: `key: &name …`"),
    (
        "unknown escape",
        "this escape does not exist in double quotes",
        "write `\\\\` for a backslash, or use single quotes",
    ),
    ("unexpected end of stream", "a quoted text does not end", "close the quote"),
    ("found unexpected document indicator", "a quoted text does not end", "close the quote"),
    (
        "did not find expected key",
        "this line is not at the level of any key above",
        "line it up with the keys beside it",
    ),
    (
        "invalid trailing content",
        "text stands after the end of a quoted one",
        "put a comma between the two, or one pair of quotes around both",
    ),
    ("invalid indentation", "this line is not indented enough", "indent it deeper than the key that it belongs to"),
    ("block sequence entries are not allowed", "a list item cannot stand here", "begin the list on a line of its own"),
];
