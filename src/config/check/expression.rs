//! Expressions in CEL: they must compile, and what is wrong is shown where it stands in them.

use std::collections::BTreeSet;

use super::Checker;
use crate::condition::{ConditionProblem, Place};
use crate::config::problem::{Code, quoted};
use crate::config::spans::{Position, Seg, Span};
use crate::config::{nearest, raw};
use crate::source::PathPattern;

impl Checker<'_> {
    /// Compiles the text at `at`, which is a `what`.
    pub(super) fn expression<T>(
        &mut self,
        at: &[Seg<'_>],
        what: &str,
        text: &str,
        compile: fn(&str) -> Result<T, ConditionProblem>,
    ) -> Option<T> {
        match compile(text) {
            Ok(compiled) => Some(compiled),
            Err(problem) => {
                let (span, place) = self.place_in(at, (what, text), problem.place());
                let message = format!("the {what} does not compile: {problem}{place}");
                self.error_in(Code::InvalidCondition, Some(span), message, None);
                None
            }
        }
    }

    /// Where `place` of the expression at `at` stands in the file; where it cannot be pointed at, in words.
    fn place_in(&self, at: &[Seg<'_>], (what, text): (&str, &str), place: Option<Place>) -> (Span, String) {
        let whole = self.spans.of(at).unwrap_or(Span::TOP);
        let Some(place) = place else { return (whole, String::new()) };
        let file = self.spans.files().text(whole.file);
        match within(whole, (text, file), place) {
            Some(span) => (span, String::new()),
            None => (whole, format!(" (line {}, column {} of the {what})", place.line, place.column)),
        }
    }

    /// Reports the parameters of the path that an expression at `at` names and that no source of `from` has.
    pub(super) fn params_of(
        &mut self,
        at: &[Seg<'_>],
        (what, text): (&str, &str),
        named: &[(String, Place)],
        from: &raw::OneOrMany,
    ) {
        let sources = &self.raw.sources;
        let paths: Option<Vec<_>> =
            from.0.iter().map(|name| PathPattern::parse(&sources.get(name.as_str())?.path).ok()).collect();
        // A source that is not known is reported itself.
        let Some(paths) = paths else { return };
        let known: BTreeSet<&str> = paths.iter().flat_map(PathPattern::parameters).collect();
        for (name, place) in named.iter().filter(|(name, _)| !known.contains(&**name)) {
            let (span, place) = self.place_in(at, (what, text), Some(*place));
            let message = format!("no source of this route has {} in its path{place}", quoted(&format!("{{{name}}}")));
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `params.{near}`?"),
                None if known.is_empty() => {
                    format!("a path such as `/in/shop/{{{name}}}` gives the parameter its value")
                }
                None => format!("known: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.error_in(Code::UnknownName, Some(span), message, Some(help));
        }
    }
}

/// Where `place` of an expression stands in the file, when the expression stands there as it is: on one line without
/// escapes, or as the lines of a block.
fn within(whole: Span, (text, file): (&str, &str), place: Place) -> Option<Span> {
    let (line, column) = on_one_line(whole, text, place).or_else(|| in_a_block(whole, text, file, place))?;
    let (before, rest) = text.split_at_checked(place.offset)?;
    let is_word = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    // A word is taken whole.
    let word = rest.chars().take_while(|letter| is_word(letter) || *letter == '.').count();
    // A call is found at its bracket, and a field at its dot.
    let back = if rest.starts_with(['(', '.']) { before.chars().rev().take_while(is_word).count() } else { 0 };
    let at = |column| Position { line, column };
    let (start, end) = (at(column.checked_sub(back)?), at(column + word.max(usize::from(back == 0))));
    Some(Span { start, end, ..whole })
}

/// Line and column in the file.
fn on_one_line(whole: Span, text: &str, place: Place) -> Option<(usize, usize)> {
    let written = whole.end.column.checked_sub(whole.start.column).filter(|_| whole.start.line == whole.end.line)?;
    let quote = match written.checked_sub(text.chars().count())? {
        0 => 0,
        2 => 1,
        _ => return None,
    };
    Some((whole.start.line, whole.start.column + quote + place.column.checked_sub(1)?))
}

/// The same in a block (`|`), whose lines stand there as they are behind their indentation.
fn in_a_block(whole: Span, text: &str, file: &str, place: Place) -> Option<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, wanted) = (lines.first()?, lines.get(place.line.checked_sub(1)?)?);
    // The block begins on the line of its sign or on the next one.
    let begins = |at: &usize| file.lines().nth(at - 1).is_some_and(|line| line.trim_start() == first.trim_start());
    let begin = (whole.start.line..whole.start.line + 2).find(begins)?;
    let line = begin + place.line - 1;
    let indent = file.lines().nth(line - 1)?.strip_suffix(wanted)?;
    Some((line, indent.chars().count() + place.column)).filter(|_| indent.trim().is_empty())
}
