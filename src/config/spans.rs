//! Places in the file: positions, spans, paths, and [`Spans`], which leads from a path to its span.
//!
//! `Spans` keeps the tree that was typed. A node that was dropped because of a problem is still found by its key, so
//! that a reference to a broken entry is not reported as dangling too ([`Spans::is_broken`]). An index counts only kept
//! nodes, as the lists in `raw` do. The span of a merged or aliased value is that of the original text.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::columns;
use super::files::{FileId, Files};
use super::load;
use super::problem::Problems;
use super::tree::{Body, MappingEntry, Masked, Node, Scalar};

/// A place in the text: line and column in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A stretch of a file's text; `end` is the first place after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first character.
    pub start: Position,
    /// The place after the last character.
    pub end: Position,
}

impl Span {
    /// The first character of the main file.
    pub const TOP: Self = Self::top_of(FileId::MAIN);

    /// Returns the span of the first character of a file.
    pub(super) const fn top_of(file: FileId) -> Self {
        Self { file, start: Position { line: 1, column: 1 }, end: Position { line: 1, column: 2 } }
    }

    /// Returns whether `other` lies in this span.
    pub(super) fn holds(self, other: Self) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One step of a path: a key of a mapping or an index of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seg<'a> {
    /// A key of a mapping.
    Key(&'a str),
    /// An index of a list, from 0.
    Index(usize),
}

impl<'a> From<&'a str> for Seg<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl<'a> From<&'a super::raw::Name> for Seg<'a> {
    fn from(name: &'a super::raw::Name) -> Self {
        Self::Key(name.as_str())
    }
}

impl<'a> From<&'a String> for Seg<'a> {
    fn from(key: &'a String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Seg<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A path such as `path!["routes", name, "to", 1]`: an array of [`Seg`].
#[macro_export]
#[doc(hidden)]
macro_rules! __config_path {
    ($($seg:expr),* $(,)?) => { [$($crate::config::spans::Seg::from($seg)),*] };
}
pub use __config_path as path;

/// Returns a path as a person writes it: `routes.billing.to[1]`.
pub(super) fn shown(path: &[Seg<'_>]) -> String {
    let segs = path.iter().enumerate().map(|(at, seg)| match seg {
        Seg::Key(key) if at == 0 => (*key).to_owned(),
        Seg::Key(key) => format!(".{key}"),
        Seg::Index(index) => format!("[{index}]"),
    });
    segs.collect()
}

/// The places of all values of a configuration.
#[derive(Clone, Debug)]
pub struct Spans {
    pub(super) files: Files,
    pub(super) root: Node,
    /// True if an included file could not be read, so that some entries are unknown here.
    pub(super) incomplete: bool,
}

impl Spans {
    /// Returns the files that were read.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the file in which `span` lies.
    pub fn file_of(&self, span: Span) -> &Path {
        self.files.path(span.file)
    }

    /// Returns the origin of the value at `path`: the file, and the place in it.
    pub fn origin(&self, path: &[Seg<'_>]) -> Option<(&Path, Span)> {
        self.of(path).map(|span| (self.file_of(span), span))
    }

    /// Returns the span of the value at `path`. Index 0 of a value that is not a list is the value itself: the paths
    /// of `to: billing` and `to: [billing]` are the same.
    pub fn of(&self, path: &[Seg<'_>]) -> Option<Span> {
        self.root.at(path).map(|found| found.node.span)
    }

    /// Returns the span of the bytes `part` of the text at `path`; `None` when they cannot be marked.
    pub fn of_part(&self, path: &[Seg<'_>], part: Range<usize>) -> Option<Span> {
        self.part_of(self.root.at(path)?.node, part)
    }

    /// Returns whether a variable brought in some of the bytes `part` of the text at `path`: then they are not shown.
    pub fn is_filled(&self, path: &[Seg<'_>], part: &Range<usize>) -> bool {
        let found = self.root.at(path);
        matches!(found.map(|found| &found.node.body), Some(Body::Scalar(scalar)) if scalar.is_filled(part))
    }

    /// Returns the text at `path` as it is written, with `${VAR}` in place of the value of a variable, for messages.
    pub fn written(&self, path: &[Seg<'_>]) -> Option<&str> {
        match &self.root.at(path)?.node.body {
            Body::Scalar(scalar) => Some(scalar.written.as_ref().unwrap_or(&scalar.text)),
            Body::Seq(_) | Body::Map(_) => None,
        }
    }

    /// Returns the text at `path` without the values of variables; `None` where no value comes from the environment.
    pub(super) fn masked(&self, path: &[Seg<'_>]) -> Option<Masked> {
        match &self.root.at(path)?.node.body {
            Body::Scalar(scalar) => scalar.masked(),
            Body::Seq(_) | Body::Map(_) => None,
        }
    }

    /// Returns whether the text at `path` is written with a `${…}`.
    pub fn has_variable(&self, path: &[Seg<'_>]) -> bool {
        let found = self.root.at(path);
        matches!(found.map(|found| &found.node.body), Some(Body::Scalar(scalar)) if scalar.written.is_some())
    }

    /// Returns the same as [`Spans::is_filled`] for any value at `path` or below that is `text`; where none is, whether
    /// any value there has a variable.
    pub fn is_filled_below(&self, path: &[Seg<'_>], text: &str, part: &Range<usize>) -> bool {
        let Some(found) = self.root.at(path) else { return false };
        let mut scalars = Vec::new();
        scalars_below(found.node, &mut scalars);
        let is_text = |scalar: &&Scalar| scalar.text == text;
        if scalars.iter().any(&is_text) {
            return scalars.into_iter().filter(is_text).any(|scalar| scalar.is_filled(part));
        }
        scalars.iter().any(|scalar| scalar.written.is_some())
    }

    /// Returns the same as [`Spans::of_part`] for the first value at `path` or below that is `text`; for a key that is
    /// `text`, the key.
    pub fn of_part_below(&self, path: &[Seg<'_>], text: &str, part: Range<usize>) -> Option<Span> {
        self.part_below(self.root.at(path)?.node, text, part)
    }

    fn part_below(&self, node: &Node, text: &str, part: Range<usize>) -> Option<Span> {
        match &node.body {
            Body::Scalar(scalar) if scalar.text == text => self.part_of(node, part).or(Some(node.span)),
            Body::Scalar(_) => None,
            Body::Seq(items) => items.iter().find_map(|item| self.part_below(item, text, part.clone())),
            Body::Map(entries) => entries.iter().find_map(|MappingEntry { key, key_span, value }| {
                if key == text { Some(*key_span) } else { self.part_below(value, text, part.clone()) }
            }),
        }
    }

    fn part_of(&self, node: &Node, part: Range<usize>) -> Option<Span> {
        let Body::Scalar(scalar) = &node.body else { return None };
        let (written, part) = scalar.as_written(part);
        columns::part_of(written, part, node.span, self.files.text(node.span.file))
    }

    /// Returns the span of the key at `path`; for an element of a list, the element.
    pub fn of_key(&self, path: &[Seg<'_>]) -> Option<Span> {
        self.root.at(path).map(|found| found.key_span.unwrap_or(found.node.span))
    }

    /// Returns the first and the last line of the key at `path` with its value; for an element of a list, of the
    /// element.
    pub fn lines_of(&self, path: &[Seg<'_>]) -> Option<(usize, usize)> {
        let found = self.root.at(path)?;
        let first = found.key_span.unwrap_or(found.node.span).start.line;
        Some((first, last_line(found.node)))
    }

    /// Returns whether a node at `path` or below it was dropped because of a reported problem: then `raw` does not hold
    /// all that the file has there. Entries of a file that could not be read are broken too.
    pub fn is_broken(&self, path: &[Seg<'_>]) -> bool {
        let is_section = path.len() < 2;
        match self.root.at(path) {
            Some(found) => found.in_dropped || any_dropped(found.node) || (is_section && self.incomplete),
            None => self.incomplete,
        }
    }

    /// Types the value at `path` as a `T` of the caller's, by the same rules as the file itself: unknown keys, wrong
    /// types and missing keys become problems with their places. It is for values that `raw` keeps untyped (`verify`,
    /// `providers`).
    pub fn decode<T: DeserializeOwned>(&mut self, path: &[Seg<'_>], problems: &mut Problems) -> Option<T> {
        if self.root.at(path)?.in_dropped {
            return None;
        }
        let node = self.root.at_mut(path)?;
        load::settle(node, path, &self.files, problems)
    }
}

/// Returns the line on which the last scalar below a node ends; a block's own end is the beginning of the next node.
fn last_line(node: &Node) -> usize {
    let is_flow = node.span.end.line == node.span.start.line;
    match &node.body {
        Body::Map(entries) if !is_flow => entries.iter().map(|entry| last_line(&entry.value)).max(),
        Body::Seq(items) if !is_flow => items.iter().map(last_line).max(),
        Body::Scalar(_) | Body::Map(_) | Body::Seq(_) => None,
    }
    .unwrap_or(node.span.end.line)
}

fn scalars_below<'n>(node: &'n Node, scalars: &mut Vec<&'n Scalar>) {
    match &node.body {
        Body::Scalar(scalar) => scalars.push(scalar),
        Body::Seq(items) => items.iter().for_each(|item| scalars_below(item, scalars)),
        Body::Map(entries) => entries.iter().for_each(|entry| scalars_below(&entry.value, scalars)),
    }
}

fn any_dropped(node: &Node) -> bool {
    node.dropped
        || match &node.body {
            Body::Scalar(_) => false,
            Body::Seq(items) => items.iter().any(any_dropped),
            Body::Map(entries) => entries.iter().any(|entry| any_dropped(&entry.value)),
        }
}
