//! Complaints of the YAML parser, in words that help.
//!
//! The parser names the token that it expected; people want to know their mistake. Complaints without better words here
//! are shown as they are.

use std::path::Path;

use super::problem::{Code, Problem};
use super::spans::{Position, Span};

/// Returns the problem of the parser's complaint `info` at the start of `at`.
pub(super) fn syntax_problem(info: &str, at: Span, text: &str, file: &Path) -> Problem {
    let start = at.start;
    let line = text.lines().nth(start.line.saturating_sub(1)).unwrap_or_default();
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if let Some(spaces) = indent.find('\t') {
        let start = Position { column: spaces + 1, ..start };
        let span = Span { start, end: Position { column: indent.chars().count() + 1, ..start }, ..at };
        return Problem::error(Code::Syntax, file, span, "a tab cannot indent YAML").help("indent with spaces");
    }
    if let Some(problem) = later_tab(info, start, at, text, file).or_else(|| variable_in_braces(start, at, line, file))
    {
        return problem;
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

/// Finds a tab that the parser met behind the place that it names: in the indent of a line below, or after a colon.
fn later_tab(info: &str, start: Position, at: Span, text: &str, file: &Path) -> Option<Problem> {
    if !info.contains("found a tab") && !info.contains("valid YAML whitespace") {
        return None;
    }
    let mut below = text.lines().enumerate().skip(start.line.saturating_sub(1)).take(3);
    let (index, line, column) = below.find_map(|(index, line)| Some((index, line, line.find('\t')?)))?;
    let is_indent = line.get(..column).unwrap_or_default().trim().is_empty();
    let column = line.get(..column).unwrap_or_default().chars().count() + 1;
    let start = Position { line: index + 1, column };
    let span = Span { start, end: Position { column: column + 1, ..start }, ..at };
    let (message, help) = if is_indent {
        ("a tab cannot indent YAML", "indent with spaces")
    } else {
        ("this is not YAML: a tab stands where a space must", "write a space after the colon")
    };
    Some(Problem::error(Code::Syntax, file, span, message).help(help))
}

/// Finds a `${NAME}` that begins a value inside `{…}` or `[…]`, where YAML reads its brace as one of its own.
fn variable_in_braces(start: Position, at: Span, line: &str, file: &Path) -> Option<Problem> {
    let letters: Vec<char> = line.chars().collect();
    let near = start.column.saturating_sub(1);
    let dollar =
        (0..=near.min(letters.len())).rev().find(|index| letters.get(*index..*index + 2) == Some(&['$', '{']))?;
    let before: String = letters.get(..dollar)?.iter().collect();
    let is_bare = !before.contains(['"', '\'']) && before.contains(['{', '[']);
    let end = letters.iter().skip(dollar).position(|letter| *letter == '}').map(|length| dollar + length + 1)?;
    if !is_bare || near > end + 1 {
        return None;
    }
    let after: String = letters.iter().skip(dollar).take_while(|letter| !matches!(letter, ',' | ' ' | ']')).collect();
    let value = after.trim_end_matches('}');
    let value = if value.contains('}') { value.to_owned() } else { format!("{value}}}") };
    let span =
        Span { start: Position { column: dollar + 1, ..start }, end: Position { column: end + 1, ..start }, ..at };
    let message = "this is not YAML: inside `{…}` and `[…]` the braces of a variable end the text";
    Some(Problem::error(Code::Syntax, file, span, message).help(format!("put the value in quotes: \"{value}\"")))
}

/// Parts of the parser's complaints, each with its meaning and the help.
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
