//! The values of variables that are never shown: those that `written` leaves as `${…}`.
//!
//! Messages about a configuration quote a value as it is written. A text that still repeats a value, such as a parser's
//! message, goes through [`Hidden::hide_in`], which puts `${…}` back. Short values are no secrets, and are not looked
//! for: they would be found in the middle of words.

use super::types::{Type, Types};
use super::written::{SHOWN, path_of_url};
use crate::config::interpolate::{Piece, VariableLookup, pieces};
use crate::config::problem::{Problem, escaped};
use crate::config::spans::{Seg, Spans};
use crate::config::tree::{Body, Node, Scalar};

/// The length of the shortest value that is looked for.
const CHARS_MIN: usize = 6;
/// The mark at the end of a text that a message cuts.
const CUT: char = '…';
/// The limit of parts of one value, each from a `/` to the end of the value.
const PARTS_MAX: usize = 16;

/// Values of variables, the longest first, each with the text that is written for it.
#[derive(Clone, Default)]
pub(in crate::config) struct Hidden(Vec<(String, String)>);

impl Hidden {
    pub(in crate::config) fn of(spans: &Spans, env: VariableLookup<'_>) -> Self {
        let mut found = Self::default();
        found.walk(&spans.root, env, &mut Vec::new());
        found.0.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        found.0.dedup();
        found
    }

    /// Returns the values, each with the text that is written for it.
    pub(in crate::config) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(value, written)| (value.as_str(), written.as_str()))
    }

    /// Replaces every value that a problem repeats by the text that is written for it.
    pub(in crate::config) fn hide_in(&self, problem: &mut Problem) {
        self.hide(&mut problem.message);
        problem.help.iter_mut().for_each(|help| self.hide(help));
        problem.second.iter_mut().for_each(|second| self.hide(&mut second.label));
    }

    fn hide(&self, text: &mut String) {
        for (value, written) in &self.0 {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), written);
            }
            hide_beginning(text, value, written);
        }
    }

    fn walk<'n>(&mut self, node: &'n Node, env: VariableLookup<'_>, path: &mut Vec<Seg<'n>>) {
        match &node.body {
            Body::Scalar(Scalar { written: Some(written), .. }) => {
                let expected = Types::of_the_format().at(path);
                self.add(&pieces(written, env).unwrap_or_default(), expected, path);
            }
            Body::Scalar(_) => {}
            Body::Seq(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Seg::Index(index));
                    self.walk(item, env, path);
                    path.pop();
                }
            }
            Body::Map(entries) => {
                for entry in entries {
                    path.push(Seg::Key(&entry.key));
                    self.walk(&entry.value, env, path);
                    path.pop();
                }
            }
        }
    }

    fn add(&mut self, pieces: &[Piece<'_>], expected: Type, path: &[Seg<'_>]) {
        let key = path.iter().rev().find_map(|seg| if let Seg::Key(key) = seg { Some(key) } else { None });
        let is_shown = match expected {
            Type::Number | Type::Narrow => true,
            Type::Text => key.is_some_and(|key| SHOWN.contains(key)),
            Type::Url | Type::Unknown => false,
        };
        if is_shown {
            return;
        }
        let path_begins = if expected == Type::Url { path_of_url(pieces) } else { 0 };
        let mut end = 0;
        for piece in pieces {
            let begin = end;
            end += piece.text.len();
            if piece.is_from_outside && end > path_begins {
                self.value(&piece.text, piece.written());
                // The hidden parts are those after the host of a URL, and those within a path.
                let hidden = piece.text.get(path_begins.saturating_sub(begin)..).unwrap_or_default();
                let parts = hidden.match_indices('/').filter_map(|(at, _)| hidden.get(at + 1..)).take(PARTS_MAX);
                parts.for_each(|part| self.value(part, piece.written()));
                // Some messages show a text line by line.
                let lines = hidden.lines().filter(|_| hidden.contains('\n')).take(PARTS_MAX);
                lines.for_each(|line| self.value(line, piece.written()));
            }
        }
    }

    fn value(&mut self, value: &str, written: &str) {
        if value.chars().count() >= CHARS_MIN {
            self.0.push((value.to_owned(), written.to_owned()));
            let escaped = escaped(value);
            if escaped != value {
                self.0.push((escaped, written.to_owned()));
            }
        }
    }
}

/// Replaces the beginning of a value by the text that is written for the value, where a message cuts a long text.
fn hide_beginning(text: &mut String, value: &str, written: &str) {
    let mut from = 0;
    while let Some(cut) = text.get(from..).and_then(|rest| rest.find(CUT)).map(|at| from + at) {
        let shown = text.get(..cut).unwrap_or_default();
        let ends = value.char_indices().map(|(at, _)| at).rev();
        let ends = ends.take_while(|end| *end >= CHARS_MIN);
        let beginning = ends.filter_map(|end| value.get(..end)).find(|beginning| shown.ends_with(beginning));
        let begin = cut - beginning.map_or(0, str::len);
        if beginning.is_some() {
            text.replace_range(begin..cut, written);
        }
        from = if beginning.is_some() { begin + written.len() } else { cut } + CUT.len_utf8();
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}
