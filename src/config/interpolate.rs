//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, and `$${` for a literal `${`.
//!
//! Variables are put into scalar values after parsing, so their values can never become structure: no key, no list, no
//! further `${…}`. As in a shell, `:-` and `:?` also apply when the variable is empty. Keys are left alone; a `${…}` in
//! a secret was refused before (`secrets`). The value of a variable is never shown.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::columns;
use super::problem::{Code, Problem, Problems, quoted};
use super::tree::{Body, Node, Stretch};

/// The function that looks a variable up.
pub(super) type VariableLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The error of one `${…}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InterpolationProblem {
    code: Code,
    message: String,
    help: String,
    /// The bytes of the `${…}`.
    at: Range<usize>,
}

/// A stretch of a value with its variables put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    pub(super) text: Cow<'t, str>,
    /// The text that is written for the piece.
    written: &'t str,
    /// The variable of the piece; `None` for literal text.
    pub(super) variable: Option<&'t str>,
    /// True if the text comes from the environment, not from the file.
    pub(super) is_from_outside: bool,
}

/// Puts the variables in everywhere below `node`; a value that cannot be filled is reported and dropped.
pub(super) fn fill(node: &mut Node, text: &str, file: &Path, env: VariableLookup<'_>, problems: &mut Problems) {
    if node.dropped {
        return;
    }
    match &mut node.body {
        Body::Seq(items) => {
            for item in items {
                fill(item, text, file, env, problems);
            }
        }
        Body::Map(entries) => {
            for entry in entries {
                fill(&mut entry.value, text, file, env, problems);
            }
        }
        Body::Scalar(scalar) if !scalar.text.contains("${") => {}
        Body::Scalar(scalar) => match pieces(&scalar.text, env) {
            Ok(pieces) => {
                let filled = pieces.iter().map(|piece| &*piece.text).collect();
                scalar.stretches = pieces.iter().map(Piece::stretch).collect();
                scalar.written = Some(std::mem::replace(&mut scalar.text, filled));
            }
            Err(trouble) => {
                // A mistake that an alias or a merge copies is reported once.
                let is_known = |known: &Problem| known.code == trouble.code && node.span.holds(known.span);
                if !problems.is_full() && !problems.iter().any(is_known) {
                    let span = columns::part_of(&scalar.text, trouble.at, node.span, text).unwrap_or(node.span);
                    problems.push(Problem::error(trouble.code, file, span, trouble.message).help(trouble.help));
                }
                node.dropped = true;
            }
        },
    }
}

impl Piece<'_> {
    /// Returns the text as it is written in the file.
    pub(super) fn written(&self) -> &str {
        self.written
    }

    fn stretch(&self) -> Stretch {
        let is_literal = self.variable.is_none() && self.text == self.written;
        Stretch {
            bytes: self.text.len(),
            written_bytes: self.written.len(),
            is_literal,
            is_from_outside: self.is_from_outside,
        }
    }
}

/// Splits `text` into pieces, with its variables put in.
pub(super) fn pieces<'t>(text: &'t str, env: VariableLookup<'_>) -> Result<Vec<Piece<'t>>, InterpolationProblem> {
    let as_it_is =
        |text: &'t str| Piece { text: Cow::Borrowed(text), written: text, variable: None, is_from_outside: false };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([as_it_is(before), Piece { written: "$${", ..as_it_is("${") }]);
            rest = after;
            continue;
        }
        pieces.push(as_it_is(before));
        let part_start = text.len() - after.len() - "${".len();
        let part = text.get(part_start..).unwrap_or_default();
        let Some((inner, after)) = after.split_once('}') else {
            let at = part_start..text.len();
            return Err(bad(at, "this `${` is not closed", "close it with `}`; for a literal `${` write `$${`"));
        };
        let part = part.get(..inner.len() + "${}".len()).unwrap_or(part);
        pieces.push(value_of(inner, (part, part_start), env)?);
        rest = after;
    }
    pieces.push(as_it_is(rest));
    Ok(pieces)
}

/// Returns the piece of `part`, which begins at `start`; `inner` is the text in its braces.
fn value_of<'t>(
    inner: &'t str,
    (part, start): (&'t str, usize),
    env: VariableLookup<'_>,
) -> Result<Piece<'t>, InterpolationProblem> {
    let at = start..start + part.len();
    let (name, otherwise) = inner.find(':').map_or((inner, ""), |colon| inner.split_at(colon));
    if !is_variable_name(name) {
        let help =
            "a name has letters, digits and `_`, and does not begin with a digit; for a literal `${` write `$${`";
        return Err(bad(at, &format!("{} is not the name of a variable", quoted(name)), help));
    }
    let piece = |text, is_from_outside| Piece { text, written: part, variable: Some(name), is_from_outside };
    let from_outside = |value: String| piece(Cow::Owned(value), true);
    let value = env(name);
    if otherwise.is_empty() {
        let help = format!("set {name}, or give a default: `${{{name}:-…}}`");
        let message = format!("the environment variable {name} is not set");
        return value.map(from_outside).ok_or(InterpolationProblem { code: Code::UnsetVariable, message, help, at });
    }
    let value = value.filter(|value| !value.is_empty());
    if let Some(default) = otherwise.strip_prefix(":-") {
        return Ok(value.map_or_else(|| piece(Cow::Borrowed(default), false), from_outside));
    }
    let Some(wish) = otherwise.strip_prefix(":?") else {
        let help = "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`";
        return Err(bad(at, &format!("{} is no way to use a variable", quoted(part)), help));
    };
    let wish = quoted(wish).to_string();
    let help = if wish == "``" { format!("set {name}") } else { wish.trim_matches('`').to_owned() };
    let message = format!("the environment variable {name} is not set or is empty");
    value.map(from_outside).ok_or(InterpolationProblem { code: Code::UnsetVariable, message, help, at })
}

fn bad(at: Range<usize>, message: &str, help: &str) -> InterpolationProblem {
    InterpolationProblem { code: Code::BadVariable, message: message.to_owned(), help: help.to_owned(), at }
}

pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Option<String> {
        let env = |name: &str| match name {
            "HOST" => Some("billing".to_owned()),
            "EMPTY" => Some(String::new()),
            "SLY" => Some("${HOST}: [x]".to_owned()),
            _ => None,
        };
        pieces(text, &env).ok().map(|pieces| pieces.iter().map(|piece| &*piece.text).collect())
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        assert_eq!(filled("http://${HOST}:${PORT:-80}/"), Some("http://billing:80/".to_owned()));
        assert_eq!(filled("${EMPTY}|${EMPTY:-x}"), Some("|x".to_owned()));
        assert_eq!(filled("$HOST costs 5$"), Some("$HOST costs 5$".to_owned()));
    }

    #[test]
    fn a_doubled_dollar_is_a_literal() {
        assert_eq!(filled("$${HOST} ${HOST}"), Some("${HOST} billing".to_owned()));
    }

    #[test]
    fn what_a_variable_holds_is_not_read_again() {
        assert_eq!(filled("${SLY}"), Some("${HOST}: [x]".to_owned()));
    }

    #[test]
    fn what_cannot_be_filled_says_why() {
        for text in ["${", "${NO", "${NO}", "${NO:?}", "${EMPTY:?}", "${1}", "${}", "${A B}", "${A:+b}"] {
            assert!(filled(text).is_none(), "{text}");
        }
    }
}
