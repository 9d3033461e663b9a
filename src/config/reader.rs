//! The step from the text of one file to its tree, ready to be typed: hidden characters are reported, the text is
//! parsed, `x-…` keys are removed, secrets refused, variables put in.
//!
//! Each file is read by itself: anchors, `x-…` keys and carets end with the file. The nodes that aliases unfold to are
//! counted over all files.

use std::path::Path;

use super::files::{FileId, Files};
use super::interpolate::{VariableLookup, fill};
use super::parse::parse;
use super::problem::{Code, Problem, Problems, is_hidden};
use super::raw;
use super::secrets::{masked, masked_by_line, refuse_inline};
use super::spans::{Position, Span};
use super::tree::{Body, Node, Scalar, ScalarKind};

/// The limit of bytes of one text, and of all files of a configuration together.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

/// The state of reading files: the files, and the problems found in them.
pub(super) struct Reader<'a> {
    env: VariableLookup<'a>,
    pub(super) files: Files,
    pub(super) problems: Problems,
    copied: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: VariableLookup<'a>) -> Self {
        Self { env, files: Files::default(), problems: Problems::default(), copied: 0 }
    }

    /// Reads the tree of a file, which is a mapping; `None` when nothing usable was read, and then a problem gives the
    /// reason. An included file may be empty.
    pub(super) fn read(&mut self, text: &str, file: &Path) -> Option<Node> {
        let known = self.problems.len();
        let (id, text, parsed) = self.parse(text, file);
        let shown = match &parsed {
            Some(root) => masked(&text, root),
            None => masked_by_line(&text),
        };
        self.files.show(id, shown);
        let is_silent = self.problems.len() == known;
        let mut root = match parsed {
            Some(root) => root,
            None if is_silent => nothing(id),
            None => return None,
        };
        if id != FileId::MAIN && is_null(&root) {
            root.body = Body::Map(Vec::new());
        }
        if !matches!(root.body, Body::Map(_)) {
            if is_silent {
                self.problems.push(no_mapping(&root, file));
            }
            return None;
        }
        prepare_sections(&mut root);
        refuse_inline(&mut root, file, &mut self.problems);
        fill(&mut root, &text, file, self.env, &mut self.problems);
        Some(root)
    }

    /// Reads the tree of a document of Hookgate that is no configuration.
    pub(super) fn read_plain(&mut self, text: &str, file: &Path) -> Option<Node> {
        let (id, text, root) = self.parse(text, file);
        self.files.show(id, text);
        root.filter(|_| self.problems.is_empty())
    }

    /// Returns the text of a file as it was parsed, and its tree; nothing is masked, changed or filled in yet.
    fn parse(&mut self, text: &str, file: &Path) -> (FileId, String, Option<Node>) {
        let id = self.files.add(file);
        let text = self.usable(text, (id, file)).unwrap_or_default();
        let root = parse(&text, (id, file), &mut self.copied, &mut self.problems);
        (id, text, root)
    }

    /// Returns the text as it can be parsed: not too large, and with hidden characters replaced after they were
    /// reported.
    fn usable(&mut self, text: &str, (id, file): (FileId, &Path)) -> Option<String> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the file has {} bytes, and {TEXT_BYTES_MAX} are allowed", text.len());
            self.problems.push(Problem::error(Code::LimitExceeded, file, Span::top_of(id), message));
            return None;
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut line, mut column) = (1, 1);
        let mut clean = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let hidden = is_hidden(c) && !(c == '\r' && chars.peek() == Some(&'\n'));
            if hidden {
                let start = Position { line, column };
                let span = Span { file: id, start, end: Position { line, column: column + 1 } };
                let message = format!("an invisible character stands here: U+{:04X}", u32::from(c));
                let help = "remove it; inside double quotes it can be written as an escape such as `\\u001b`";
                self.problems.push(Problem::error(Code::ControlCharacter, file, span, message).help(help));
            }
            clean.push(if hidden { '\u{fffd}' } else { c });
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Some(clean)
    }
}

/// Removes the `x-…` keys, which are the user's own, and lets a section with all its entries commented out be empty.
fn prepare_sections(root: &mut Node) {
    let Body::Map(entries) = &mut root.body else { return };
    entries.retain(|entry| !entry.key.starts_with("x-"));
    for entry in entries {
        if is_null(&entry.value) && raw::SECTIONS.contains(&entry.key.as_str()) {
            entry.value.body = Body::Map(Vec::new());
        }
    }
}

/// Returns the node of an empty file.
pub(super) fn nothing(id: FileId) -> Node {
    Node::new(Span::top_of(id), Body::Scalar(Scalar::new(String::new(), true)))
}

fn is_null(node: &Node) -> bool {
    matches!(&node.body, Body::Scalar(scalar) if scalar.kind() == ScalarKind::Null)
}

fn no_mapping(root: &Node, file: &Path) -> Problem {
    let help = "begin it with `version: 1`, then `sources:`, `routes:` and `destinations:`";
    if is_null(root) {
        return Problem::error(Code::EmptyFile, file, Span::top_of(root.span.file), "the file says nothing").help(help);
    }
    let message = "the file must be a mapping of sections";
    Problem::error(Code::WrongType, file, root.span, message).help(help)
}
