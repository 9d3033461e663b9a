//! The file as a tree in which every key and every value knows its place.
//!
//! Scalars keep their text and are resolved late, by YAML 1.2's core schema: `no`, `on` and `2026-12-01` are text.
//! A node is never removed but marked as dropped, so that its place and its name stay known.

use std::ops::Range;

use super::spans::{Seg, Span};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) body: Body,
    /// True if the node has a reported problem; serde does not see the node.
    pub(super) dropped: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<MappingEntry>),
}

/// A key with its value. Keys are unique within a mapping.
#[derive(Clone, Debug)]
pub(super) struct MappingEntry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// True if the text is not quoted and not a block scalar: it may be a number, a boolean or null.
    pub(super) plain: bool,
    /// The text before variables were put in; a value with such a text is never shown.
    pub(super) written: Option<String>,
    /// The stretches of the text, where variables were put in.
    pub(super) stretches: Vec<Stretch>,
}

/// A stretch of a text into which variables were put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) bytes: usize,
    /// The bytes of the text that is written for the stretch.
    pub(super) written_bytes: usize,
    /// True if the stretch stands there as it is written.
    pub(super) is_literal: bool,
    /// True if the stretch comes from the environment.
    pub(super) is_from_outside: bool,
}

/// A text without the values of its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Masked {
    /// The text, with `${NAME}` in the place of each value.
    pub(super) text: String,
    /// Each value, with the `${NAME}` that stands for it.
    pub(super) values: Vec<(String, String)>,
    /// The bytes of the filled text that are values.
    pub(super) filled: Vec<Range<usize>>,
}

/// The kind of a scalar by the core schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ScalarKind<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

impl Scalar {
    pub(super) fn new(text: String, plain: bool) -> Self {
        Self { text, plain, written: None, stretches: Vec::new() }
    }

    /// Returns whether a variable brought in some of the bytes `part`.
    pub(super) fn is_filled(&self, part: &Range<usize>) -> bool {
        let mut begin = 0;
        self.stretches.iter().any(|stretch| {
            let within = begin..begin + stretch.bytes;
            begin = within.end;
            !stretch.is_literal && part.start < within.end && within.start < part.end
        })
    }

    /// Returns the text that is written for the value, and its bytes for `part`: for any part of a variable, all of its
    /// `${…}`.
    pub(super) fn as_written(&self, part: Range<usize>) -> (&str, Range<usize>) {
        let Some(written) = &self.written else { return (&self.text, part) };
        let mut found = written.len()..written.len();
        let (mut begin, mut written_begin) = (0, 0);
        for Stretch { bytes, written_bytes, is_literal, .. } in &self.stretches {
            let (end, written_end) = (begin + bytes, written_begin + written_bytes);
            if (begin..end).contains(&part.start) {
                found.start = if *is_literal { written_begin + part.start - begin } else { written_begin };
            }
            if begin < part.end && part.end <= end {
                found.end = if *is_literal { written_begin + part.end - begin } else { written_end };
            }
            (begin, written_begin) = (end, written_end);
        }
        (written, found)
    }

    /// Returns the text with the name of each variable in the place of its value; `None` where no value comes from the
    /// environment.
    pub(super) fn masked(&self) -> Option<Masked> {
        let written = self.written.as_ref().filter(|_| self.stretches.iter().any(|one| one.is_from_outside))?;
        let mut masked = Masked { text: String::new(), values: Vec::new(), filled: Vec::new() };
        let (mut begin, mut written_begin) = (0, 0);
        for Stretch { bytes, written_bytes, is_from_outside, .. } in &self.stretches {
            let (end, written_end) = (begin + bytes, written_begin + written_bytes);
            let value = self.text.get(begin..end).unwrap_or_default();
            if *is_from_outside {
                let placeholder = written.get(written_begin..written_end).unwrap_or_default();
                let name = placeholder.split([':', '}']).next().unwrap_or_default();
                let shown = format!("{name}}}");
                masked.text.push_str(&shown);
                masked.values.push((value.to_owned(), shown));
                masked.filled.push(begin..end);
            } else {
                masked.text.push_str(value);
            }
            (begin, written_begin) = (end, written_end);
        }
        Some(masked)
    }

    /// Returns the kind. A value with variables put in is text here; `de` reads a number from it where one is expected.
    pub(super) fn kind(&self) -> ScalarKind<'_> {
        if self.plain && self.written.is_none() { resolve(&self.text) } else { ScalarKind::Text(&self.text) }
    }
}

/// Resolves a plain scalar by YAML 1.2's core schema.
pub(super) fn resolve(text: &str) -> ScalarKind<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => return ScalarKind::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return ScalarKind::Text(text);
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| text.parse().ok()) {
        return ScalarKind::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return ScalarKind::Int(number);
    }
    let is_float = digits.chars().all(|c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'));
    text.parse().ok().filter(|_| is_float).map_or(ScalarKind::Text(text), ScalarKind::Float)
}

/// A node that a path led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundNode<'a> {
    pub(super) node: &'a Node,
    /// The key that holds it, unless it is an element of a list or the root.
    pub(super) key_span: Option<Span>,
    /// True if the node or a node above it was dropped.
    pub(super) in_dropped: bool,
    /// The number of walked steps of the path.
    pub(super) steps: usize,
}

impl Node {
    pub(super) fn new(span: Span, body: Body) -> Self {
        Self { span, body, dropped: false }
    }

    /// Returns the node at `path`.
    pub(super) fn at(&self, path: &[Seg<'_>]) -> Option<FoundNode<'_>> {
        let found = self.nearest_to(path);
        (found.steps == path.len()).then_some(found)
    }

    /// Returns the deepest node on the way along `path`.
    pub(super) fn nearest_to(&self, path: &[Seg<'_>]) -> FoundNode<'_> {
        let mut found = FoundNode { node: self, key_span: None, in_dropped: self.dropped, steps: 0 };
        for seg in path {
            let Some((node, key_span)) = found.node.step(*seg) else { break };
            let in_dropped = found.in_dropped || node.dropped;
            found = FoundNode { node, key_span, in_dropped, steps: found.steps + 1 };
        }
        found
    }

    /// Returns `path` with the indexes of the file: an index counts kept nodes, and a person counts all.
    pub(super) fn as_written<'p>(&self, path: &[Seg<'p>]) -> Vec<Seg<'p>> {
        let mut node = Some(self);
        let mut written = Vec::with_capacity(path.len());
        for seg in path {
            let at = match (node.map(|node| &node.body), seg) {
                (Some(Body::Seq(items)), Seg::Index(index)) => {
                    let kept = items.iter().enumerate().filter(|(_, item)| !item.dropped);
                    kept.map(|(at, _)| Seg::Index(at)).nth(*index).unwrap_or(*seg)
                }
                _ => *seg,
            };
            written.push(at);
            node = node.and_then(|node| node.step(*seg)).map(|(next, _)| next);
        }
        written
    }

    fn step(&self, seg: Seg<'_>) -> Option<(&Node, Option<Span>)> {
        match (&self.body, seg) {
            (Body::Map(entries), Seg::Key(key)) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| (&entry.value, Some(entry.key_span)))
            }
            (Body::Seq(items), Seg::Index(index)) => {
                items.iter().filter(|item| !item.dropped).nth(index).map(|item| (item, None))
            }
            (Body::Scalar(_), Seg::Index(0)) => Some((self, None)),
            _ => None,
        }
    }

    /// Returns the node at `path`, to change it.
    pub(super) fn at_mut(&mut self, path: &[Seg<'_>]) -> Option<&mut Node> {
        let mut node = self;
        for seg in path {
            node = match (&mut node.body, seg) {
                (Body::Map(entries), Seg::Key(key)) => &mut entries.iter_mut().find(|entry| entry.key == *key)?.value,
                (Body::Seq(items), Seg::Index(index)) => items.iter_mut().filter(|item| !item.dropped).nth(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Returns the value of `key`, dropped or not.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.step(Seg::Key(key)).map(|(node, _)| node)
    }

    /// Returns the value of `key`, to change it.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.at_mut(&[Seg::Key(key)])
    }

    /// Returns the number of its nodes.
    pub(super) fn size(&self) -> usize {
        1 + match &self.body {
            Body::Scalar(_) => 0,
            Body::Seq(items) => items.iter().map(Self::size).sum(),
            Body::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }

    /// Returns the depth: 1 for a scalar.
    pub(super) fn depth(&self) -> usize {
        1 + match &self.body {
            Body::Scalar(_) => 0,
            Body::Seq(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Body::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_resolved_by_yaml_1_2() {
        for (text, kind) in [
            ("", ScalarKind::Null),
            ("~", ScalarKind::Null),
            ("true", ScalarKind::Bool(true)),
            ("no", ScalarKind::Text("no")),
            ("on", ScalarKind::Text("on")),
            ("12", ScalarKind::Unsigned(12)),
            ("0x1F", ScalarKind::Unsigned(31)),
            ("-3", ScalarKind::Int(-3)),
            ("1.5", ScalarKind::Float(1.5)),
            ("1e3", ScalarKind::Float(1000.0)),
            ("2026-12-01", ScalarKind::Text("2026-12-01")),
            ("12:30:00", ScalarKind::Text("12:30:00")),
            ("30s", ScalarKind::Text("30s")),
            (".", ScalarKind::Text(".")),
            ("-", ScalarKind::Text("-")),
            ("infinity", ScalarKind::Text("infinity")),
        ] {
            assert_eq!(resolve(text), kind, "{text}");
        }
    }
}
