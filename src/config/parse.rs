//! Text → tree: one pass over the parser's events, with the limits that keep a hostile file cheap.
//!
//! Aliases are copied and merges applied on the way ([`Merges`]), so that later stages see plain data; a copy keeps the
//! span of the original text. A duplicate key is a problem, and its first value is kept. Parsing stops where the text
//! stops being YAML: a parser's messages after its first error are guesswork.
//!
//! Not supported on purpose: tags, several documents, keys that are not scalars.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::files::FileId;
use super::merge::Merges;
use super::problem::{Code, Problem, Problems, quoted};
use super::spans::{Position, Span};
use super::syntax::syntax_problem;
use super::tree::{Body, MappingEntry, Node, Scalar};

const DEPTH_MAX: usize = 64;
const ALIAS_NODES_MAX: usize = 100_000;

/// Parses the text of a file; `None` when nothing usable was read, and then a problem gives the reason. `copied` counts
/// the nodes that aliases unfold to, over all files.
pub(super) fn parse(
    text: &str,
    (id, file): (FileId, &Path),
    copied: &mut usize,
    problems: &mut Problems,
) -> Option<Node> {
    let mut builder = Builder::new(file, copied, problems);
    let span_of =
        |span: saphyr_parser::Span| Span { file: id, start: position_of(span.start), end: position_of(span.end) };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.take(event, span_of(span)),
            Err(error) => {
                let start = position_of(*error.marker());
                let at = Span { file: id, start, end: start };
                builder.stop(syntax_problem(error.info(), at, text, file))
            }
        };
        if step.is_err() {
            return None;
        }
    }
    builder.root
}

/// A collection that is still open.
struct Frame {
    start: Span,
    anchor: usize,
    kind: Open,
}

enum Open {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<MappingEntry>,
    seen: BTreeMap<String, Span>,
    key: Option<Key>,
    merges: Merges,
}

struct Key {
    text: String,
    span: Span,
    /// True for `<<`, unquoted.
    merge: bool,
    /// True if the key was refused; its value is dropped with it.
    refused: bool,
}

struct Builder<'a> {
    file: &'a Path,
    problems: &'a mut Problems,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    copied: &'a mut usize,
    documents: usize,
    root: Option<Node>,
}

/// The signal that parsing cannot go on; the problem has been reported.
struct Stop;

type Step = Result<(), Stop>;

impl<'a> Builder<'a> {
    fn new(file: &'a Path, copied: &'a mut usize, problems: &'a mut Problems) -> Self {
        let (frames, anchors) = (Vec::new(), BTreeMap::new());
        Self { file, problems, frames, anchors, copied, documents: 0, root: None }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                let plain = style == ScalarStyle::Plain;
                self.scalar(Scalar::new(text.into_owned(), plain), anchor, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                self.open(Frame { start: span, anchor, kind: Open::Seq(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                self.open(Frame { start: span, anchor, kind: Open::Map(OpenMap::default()) })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "a second YAML document begins here, and the file must be one document";
        self.stop(self.error(Code::Syntax, span, message).help("remove the line `---`"))
    }

    fn no_tag(&mut self, tagged: bool, span: Span) -> Step {
        if !tagged {
            return Ok(());
        }
        let message = "YAML tags such as `!name` have no meaning in this file";
        let help = "remove the tag, or put the text in quotes if it begins with `!`";
        self.stop(self.error(Code::Syntax, span, message).help(help))
    }

    fn stop(&mut self, problem: Problem) -> Step {
        self.problems.push(problem);
        Err(Stop)
    }

    fn error(&self, code: Code, span: Span, message: &str) -> Problem {
        Problem::error(code, self.file, span, message)
    }

    fn scalar(&mut self, scalar: Scalar, anchor: usize, span: Span) -> Step {
        if let Some(Frame { kind: Open::Map(map), .. }) = self.frames.last_mut()
            && map.key.is_none()
        {
            let merge = scalar.plain && scalar.text == "<<";
            map.key = Some(Key { text: scalar.text, span, merge, refused: false });
            return Ok(());
        }
        self.place(Node::new(span, Body::Scalar(scalar)), anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let Some(node) = self.anchors.get(&anchor) else {
            return self.stop(self.error(Code::Syntax, span, "this alias stands inside the value that it names"));
        };
        *self.copied += node.size();
        if *self.copied > ALIAS_NODES_MAX {
            return self.stop(self.aliases_explode(span));
        }
        if self.frames.len() + node.depth() > DEPTH_MAX {
            return self.stop(self.too_deep(span));
        }
        let node = node.clone();
        match (node.body, self.frames.last_mut()) {
            (Body::Scalar(scalar), Some(Frame { kind: Open::Map(map), .. })) if map.key.is_none() => {
                map.key = Some(Key { text: scalar.text, span, merge: false, refused: false });
                Ok(())
            }
            (body, _) => self.place(Node { body, ..node }, 0),
        }
    }

    fn open(&mut self, frame: Frame) -> Step {
        if self.frames.len() >= DEPTH_MAX {
            return self.stop(self.too_deep(frame.start));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self, end: Span) -> Step {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let (body, first, last) = match frame.kind {
            Open::Seq(items) => {
                let last = items.last().map(|item| item.span);
                (Body::Seq(items), None, last)
            }
            Open::Map(mut map) => {
                let first = map.entries.first().map(|entry| entry.key_span);
                let last = map.entries.last().map(|entry| entry.value.span);
                map.merges.apply(&mut map.entries, self.file, self.problems);
                (Body::Map(map.entries), first, last)
            }
        };
        // A block collection has no closing mark: the parser reports its end at the next token, which may be far off.
        let end = if end.is_empty() { last.unwrap_or(frame.start) } else { end };
        let start = if frame.start.is_empty() { first.unwrap_or(frame.start) } else { frame.start };
        let span = Span { end: end.end.max(start.end), ..start };
        self.place(Node::new(span, body), frame.anchor)
    }

    /// Puts a finished node at its place: into its list, under its key, or at the root.
    fn place(&mut self, mut node: Node, anchor: usize) -> Step {
        if anchor != 0 {
            *self.copied += node.size();
            if *self.copied > ALIAS_NODES_MAX {
                return self.stop(self.aliases_explode(node.span));
            }
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut().map(|frame| &mut frame.kind) {
            None => self.root = Some(node),
            Some(Open::Seq(items)) => items.push(node),
            Some(Open::Map(map)) => match map.key.take() {
                None => {
                    let refused = Key { text: String::new(), span: node.span, merge: false, refused: true };
                    map.key = Some(refused);
                    let message = "a key must be plain text, not a list or a mapping";
                    self.problems.push(Problem::error(Code::Syntax, self.file, node.span, message));
                }
                Some(key) => {
                    // An absent value has no place; its key has one.
                    if node.span.is_empty() {
                        node.span = key.span;
                    }
                    map.insert(key, node, self.file, self.problems);
                }
            },
        }
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Problem {
        let message = format!("lists and mappings are nested more than {DEPTH_MAX} deep here");
        self.error(Code::LimitExceeded, span, &message)
    }

    fn aliases_explode(&self, span: Span) -> Problem {
        let message = format!("aliases and anchors unfold to more than {ALIAS_NODES_MAX} values here");
        self.error(Code::LimitExceeded, span, &message).help("anchor something smaller, or write the values out")
    }
}

impl OpenMap {
    fn insert(&mut self, key: Key, mut value: Node, file: &Path, problems: &mut Problems) {
        if key.refused {
            return;
        }
        if let Some(first) = self.seen.get(&key.text) {
            let help = if key.merge { "merge several with a list: `<<: [*a, *b]`" } else { "rename one, or remove it" };
            let message = format!("{} is defined twice", quoted(&key.text));
            let problem = Problem::error(Code::DuplicateKey, file, key.span, message).help(help);
            problems.push(problem.second(file, *first, "first defined here"));
            // The value is kept as dropped, so that a secret in it is masked like any other.
            value.dropped = true;
            self.entries.push(MappingEntry { key: key.text, key_span: key.span, value });
            return;
        }
        self.seen.insert(key.text.clone(), key.span);
        if key.merge {
            self.merges.add(value, key.span);
        } else {
            self.entries.push(MappingEntry { key: key.text, key_span: key.span, value });
        }
    }
}

fn position_of(marker: saphyr_parser::Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}
