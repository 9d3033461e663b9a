//! Templates of signed messages, event types and ids. A problem is shown at its place in the template.

use super::{Checker, path};
use crate::config::nearest;
use crate::config::problem::Code;
use crate::config::spans::Seg;
use crate::provider::{HandshakeProblem, RowProblem, SchemeProblem, TemplateProblem, Within};

/// The message for a text of a variable that is no template or no place in a message.
const NO_TEMPLATE: &str = "a value that cannot be read";

impl Checker<'_> {
    /// Reports a problem of a scheme: under the part of the text at fault, under the key, or under the type of a block
    /// that lacks the key.
    pub(super) fn bad_scheme(&mut self, at: &[Seg<'_>], problem: &SchemeProblem) {
        let block = [at, &path![problem.block()]].concat();
        // A single block may stand there without a list.
        let block = if self.spans.of(&block).is_some() { block } else { at.to_vec() };
        let at_key = [&block[..], &path![problem.key()]].concat();
        let part = |within: &Within| {
            let below = if self.spans.of(&at_key).is_some() { &at_key } else { &block };
            self.spans.of_part_below(below, within.text(), within.at())
        };
        let part = problem.within().and_then(part);
        let kind = || self.spans.of(&[&block[..], &path!["type"]].concat());
        let span = part.or_else(|| self.spans.of(&at_key)).or_else(kind).or_else(|| self.spans.of_key(at));
        let below = if self.spans.of(&at_key).is_some() { &at_key } else { &block };
        let is_filled = match problem.template() {
            Some(template) => self.spans.is_filled_below(below, template.within().text(), &template.repeated()),
            None => problem.repeats_value() && self.spans.is_filled(&at_key, &(0..usize::MAX)),
        };
        if is_filled {
            return self.brought_in(Code::InvalidScheme, span, NO_TEMPLATE);
        }
        self.error_in(Code::InvalidScheme, span, problem.to_string(), problem.template().and_then(instead));
    }

    /// Reports a problem of an entry of `providers:`, except one of its scheme.
    pub(super) fn bad_row(&mut self, at: &[Seg<'_>], problem: &RowProblem) {
        let (keys, template): (&[&str], _) = match problem {
            RowProblem::Event(template) => (&["event", "delivery"], Some(template)),
            RowProblem::Handshake(HandshakeProblem::Template(template)) => (&["handshake"], Some(template)),
            _ => (&[], None),
        };
        let part = template.and_then(|template| {
            let within = template.within();
            let below = |key: &&str| self.spans.of_part_below(&[at, &path![*key]].concat(), within.text(), within.at());
            keys.iter().find_map(below)
        });
        let span = part.or_else(|| self.spans.of_key(at));
        let is_filled = template
            .is_some_and(|template| self.spans.is_filled_below(at, template.within().text(), &template.repeated()));
        // The message about a pattern shows the pattern, line by line.
        let shows_pattern = matches!(problem, RowProblem::Handshake(HandshakeProblem::Pattern(_)));
        let is_pattern_filled =
            || self.spans.is_filled_below(&[at, &path!["handshake"]].concat(), "", &(0..usize::MAX));
        if is_filled || shows_pattern && is_pattern_filled() {
            return self.brought_in(Code::InvalidScheme, span, NO_TEMPLATE);
        }
        self.error_in(Code::InvalidScheme, span, problem.to_string(), template.and_then(instead));
    }

    /// Reports a problem of the event type or id of a source.
    pub(super) fn bad_expression(&mut self, at: &[Seg<'_>], problem: &TemplateProblem) {
        let span = self.spans.of_part(at, problem.within().at()).or_else(|| self.spans.of(at));
        if self.spans.is_filled(at, &problem.repeated()) {
            return self.brought_in(Code::InvalidValue, span, NO_TEMPLATE);
        }
        let usual = || "write `header['x-topic']`, `body.data.id`, or a template such as `{header:X-Topic}`".to_owned();
        let help = instead(problem).unwrap_or_else(usual);
        self.error_in(Code::InvalidValue, span, problem.to_string(), Some(help));
    }
}

/// Returns the help for a template: the probable meaning, or the known words.
fn instead(problem: &TemplateProblem) -> Option<String> {
    if let Some(meant) = problem.meant() {
        return Some(format!("did you mean `{meant}`?"));
    }
    if let Some((word, known)) = problem.unknown() {
        return Some(match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", known.join(", ")),
        });
    }
    let text = problem.expression()?;
    let Some((first, rest)) = text.split_once('.') else {
        let is_name = !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        return is_name.then(|| format!("did you mean `body.{text}`?"));
    };
    Some(match nearest(first, ["body", "header", "headers"]) {
        Some("body") => format!("did you mean `body.{rest}`?"),
        Some(_) => format!("did you mean `header['{rest}']`?"),
        None => return None,
    })
}
