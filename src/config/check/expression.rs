//! Expressions in CEL: they must compile, and what is wrong is shown where it stands in them.

use super::Checker;
use crate::condition::{ConditionProblem, Place};
use crate::config::problem::Code;
use crate::config::spans::{Position, Seg, Span};

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
                let whole = self.spans.of(at).unwrap_or(Span::TOP);
                let (span, place) = match problem.place() {
                    None => (whole, String::new()),
                    Some(place) => match within(whole, text, place) {
                        Some(span) => (span, String::new()),
                        None => (whole, format!(" (line {}, column {} of the {what})", place.line, place.column)),
                    },
                };
                let message = format!("the {what} does not compile: {problem}{place}");
                self.error_in(Code::InvalidCondition, Some(span), message, None);
                None
            }
        }
    }
}

/// Where `place` of an expression stands in the file, when the expression stands there as it is: on one line, without
/// escapes. A word is taken whole.
fn within(whole: Span, text: &str, place: Place) -> Option<Span> {
    let written = whole.end.column.checked_sub(whole.start.column).filter(|_| whole.start.line == whole.end.line)?;
    let quote = match written.checked_sub(text.chars().count())? {
        0 => 0,
        2 => 1,
        _ => return None,
    };
    let start = whole.start.column + quote + place.column.checked_sub(1)?;
    let (before, rest) = text.split_at_checked(place.offset)?;
    let is_word = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    let word = rest.chars().take_while(|letter| is_word(letter) || *letter == '.').count();
    // A call is found at its bracket, and a field at its dot.
    let back = if rest.starts_with(['(', '.']) { before.chars().rev().take_while(is_word).count() } else { 0 };
    let at = |column| Position { line: whole.start.line, column };
    let (start, end) = (at(start.checked_sub(back)?), at(start + word.max(usize::from(back == 0))));
    Some(Span { start, end, ..whole })
}
