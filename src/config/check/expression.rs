//! Expressions in CEL: they must compile, and a problem is shown at its place in the expression.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Checker;
use crate::condition::{ConditionPlace, ConditionProblem, Hiding};
use crate::config::problem::{Code, Problem, quoted};
use crate::config::spans::{Seg, Span, path};
use crate::config::{nearest, raw};
use crate::source::PathPattern;

/// An expression within a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'t> {
    /// The name of its kind in messages.
    pub(super) what: &'t str,
    pub(super) text: &'t str,
    /// The byte of the value at which the expression begins.
    pub(super) begin: usize,
}

impl<'t> Passage<'t> {
    /// Creates the passage of an expression that is all of its value.
    pub(super) fn whole(what: &'t str, text: &'t str) -> Self {
        Self { what, text, begin: 0 }
    }
}

impl Checker<'_> {
    /// Compiles the text at `at`, which is a `what`. People do not see the values of variables in it.
    pub(super) fn expression<T: Hiding>(
        &mut self,
        at: &[Seg<'_>],
        what: &str,
        text: &str,
        compile: fn(&str) -> Result<T, ConditionProblem>,
    ) -> Option<T> {
        let bad = |problem| self.bad_passage(at, Passage::whole(what, text), &problem, None);
        let expression = compile(text).map_err(bad).ok()?;
        Some(match self.spans.masked(at) {
            Some(masked) => expression.hiding(masked.values, &masked.text),
            None => expression,
        })
    }

    /// Reports an expression that does not compile.
    pub(super) fn bad_passage(
        &mut self,
        at: &[Seg<'_>],
        passage: Passage<'_>,
        problem: &ConditionProblem,
        help: Option<String>,
    ) {
        let (span, place) = self.place_in(at, passage, problem.place());
        let repeated = match problem {
            // A parser's message may repeat any of the text, before and behind the place.
            ConditionProblem::Syntax { .. } => Some(0..passage.text.len()),
            other => other.place().map(|place| word_at(passage.text, place.offset)),
        };
        if repeated.is_some_and(|part| self.is_brought_in(at, passage, &part)) {
            return self.brought_in(Code::InvalidCondition, Some(span), "an expression that does not compile");
        }
        let message = format!("the {} does not compile: {problem}{place}", passage.what);
        self.error_in(Code::InvalidCondition, Some(span), message, help);
    }

    /// Returns whether a variable brought in some of the bytes `part` of an expression.
    pub(super) fn is_brought_in(&self, at: &[Seg<'_>], passage: Passage<'_>, part: &Range<usize>) -> bool {
        self.spans.is_filled(at, &(passage.begin + part.start..passage.begin + part.end))
    }

    /// Reports a mistake without its text, because a variable brought the text in; `what` is the result of that.
    pub(super) fn brought_in(&mut self, code: Code, span: Option<Span>, what: &str) {
        let message = format!("the value of a variable makes {what}");
        let help = "the value of a variable is not shown here; look at the environment".to_owned();
        self.error_in(code, span, message, Some(help));
    }

    /// Returns the place in the file of a `place` in an expression; in words where that place cannot be marked.
    fn place_in(&self, at: &[Seg<'_>], passage: Passage<'_>, place: Option<ConditionPlace>) -> (Span, String) {
        let whole = self.spans.of(at).unwrap_or(Span::TOP);
        let Some(place) = place else { return (whole, String::new()) };
        let Passage { what, text, begin } = passage;
        let word = word_at(text, place.offset);
        match self.spans.of_part(at, begin + word.start..begin + word.end) {
            Some(span) => (span, String::new()),
            None => (whole, format!(" (line {}, column {} of the {what})", place.line, place.column)),
        }
    }

    /// Warns of a place in an expression. A text that a variable brought in is not shown.
    pub(super) fn doubt_in(
        &mut self,
        at: &[Seg<'_>],
        passage: Passage<'_>,
        place: ConditionPlace,
        (message, help): (String, String),
    ) {
        let word = word_at(passage.text, place.offset);
        let (span, place) = self.place_in(at, passage, Some(place));
        let is_brought_in = self.is_brought_in(at, passage, &word);
        let message = if is_brought_in {
            "what a variable brings in may fail on events that fit their schema".to_owned()
        } else {
            format!("{message}{place}")
        };
        let problem = Problem::warning(Code::MayFail, self.spans.file_of(span), span, message);
        self.problems.push(if is_brought_in { problem } else { problem.help(help) });
    }

    /// Reports the parameters of the path that an expression at `at` names and that no source of `from` has.
    pub(super) fn params_of(
        &mut self,
        at: &[Seg<'_>],
        passage: Passage<'_>,
        named: &[(String, ConditionPlace)],
        from: &raw::OneOrMany,
    ) {
        let sources = &self.raw.sources;
        let paths: Option<Vec<_>> =
            from.0.iter().map(|name| PathPattern::parse(&sources.get(name.as_str())?.path).ok()).collect();
        // An unknown source has its own report.
        let Some(paths) = paths else { return };
        let known: BTreeSet<&str> = paths.iter().flat_map(PathPattern::parameters).collect();
        for (name, place) in named.iter().filter(|(name, _)| !known.contains(&**name)) {
            let word = word_at(passage.text, place.offset);
            let (span, place) = self.place_in(at, passage, Some(*place));
            if self.is_brought_in(at, passage, &word) {
                let what = "the name of a parameter that no source of this route has";
                self.brought_in(Code::UnknownName, Some(span), what);
                continue;
            }
            let message = format!("no source of this route has {} in its path{place}", quoted(&format!("{{{name}}}")));
            // A name that a variable brought in is not shown.
            let is_written = |name: &&str| {
                let names_it = |from: &String| self.spans.written(&path!["sources", from, "path"]);
                from.0.iter().filter_map(names_it).any(|written| written.contains(&format!("{{{name}}}")))
            };
            let known: BTreeSet<&str> = known.iter().copied().filter(is_written).collect();
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

/// Returns the bytes of the word at `offset`: a name is taken whole, with the path that follows it.
fn word_at(text: &str, offset: usize) -> Range<usize> {
    let Some((before, rest)) = text.split_at_checked(offset) else { return text.len()..text.len() };
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let bytes = |word: &mut dyn Iterator<Item = char>| word.map(char::len_utf8).sum::<usize>();
    // The place of a call is its bracket, and the place of a field is its dot.
    let is_behind = rest.starts_with(['(', '.']);
    let back = if is_behind { bytes(&mut before.chars().rev().take_while(|letter| is_word(*letter))) } else { 0 };
    let word = bytes(&mut rest.chars().take_while(|letter| is_word(*letter) || *letter == '.'));
    let sign = rest.chars().next().map_or(0, char::len_utf8);
    offset - back..offset + if word == 0 && back == 0 { sign } else { word }
}
