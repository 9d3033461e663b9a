//! Text → [`Loaded`]: the typed raw file, the places of everything, and all problems.
//!
//! Typing goes on after an error: the node that does not fit is reported and dropped, and the rest is typed again. What
//! only follows from a drop (a required key that is "missing" because its value was wrong) is dropped in silence. So
//! `raw` holds all that could be read, and is to be used only when no problem is an error.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::explain::explain;
use super::fault::Fault;
use super::interpolate::{Lookup, fill};
use super::parse::parse;
use super::problem::{Code, PROBLEMS_MAX, Problem, Problems, is_hidden};
use super::raw;
use super::secrets::{masked, masked_by_line, refuse_inline};
use super::spans::{Position, Seg, Span, Spans};
use super::tree::{Body, Kind, Node};

/// A larger file is not read.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// How often typing starts again: more often than there are problems, because one bad value that is merged into many
/// places is one problem and many drops. In a large file a round takes long, and there are fewer.
const ROUNDS_MAX: usize = 2000;
const NODES_TYPED_MAX: usize = 20_000_000;

/// What came of reading a file.
#[derive(Debug)]
pub struct Loaded {
    /// The file with all that could be read; `None` when nothing could.
    pub raw: Option<raw::File>,
    /// Where everything stands.
    pub spans: Spans,
    /// All that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads the text of `file`. `env` looks variables up.
pub fn read(text: &str, file: &Path, env: Lookup<'_>) -> Loaded {
    let mut problems = Problems::default();
    let text = usable(text, file, &mut problems).unwrap_or_default();
    let parsed = parse(&text, file, &mut problems);
    let shown = match &parsed {
        Some(root) => masked(&text, root),
        None => masked_by_line(&text),
    };
    let mut root = parsed.unwrap_or_else(nothing);
    let raw = match &root.body {
        Body::Map(_) => type_file(&mut root, &text, file, env, &mut problems),
        Body::Scalar(_) | Body::Seq(_) => {
            if problems.is_empty() {
                problems.push(no_mapping(&root, file));
            }
            None
        }
    };
    let spans = Spans { file: file.to_path_buf(), root, shown };
    Loaded { raw, spans, problems: problems.into_sorted() }
}

/// Reads another document of ours by the same rules, with places and problems: the cases of `hookgate test`.
pub fn document<T: DeserializeOwned>(text: &str, file: &Path) -> (Option<T>, Spans, Vec<Problem>) {
    let mut problems = Problems::default();
    let text = usable(text, file, &mut problems).unwrap_or_default();
    let mut root = parse(&text, file, &mut problems).unwrap_or_else(nothing);
    let typed = if problems.is_empty() { settle(&mut root, &[], file, &mut problems) } else { None };
    let spans = Spans { file: file.to_path_buf(), root, shown: text };
    (typed, spans, problems.into_sorted())
}

fn type_file(root: &mut Node, text: &str, file: &Path, env: Lookup<'_>, problems: &mut Problems) -> Option<raw::File> {
    prepare_sections(root);
    refuse_inline(root, file, problems);
    fill(root, text, file, env, problems);
    if root.get("version").is_none() {
        let message = "the file does not say which version of the format it is";
        problems.push(Problem::error(Code::MissingKey, file, Span::TOP, message).help("begin it with `version: 1`"));
    }
    settle(root, &[], file, problems)
}

/// Takes out the `x-…` keys, which are the user's own, and lets a section with all its entries commented out be empty.
fn prepare_sections(root: &mut Node) {
    let Body::Map(entries) = &mut root.body else { return };
    entries.retain(|entry| !entry.key.starts_with("x-"));
    for entry in entries {
        let is_null = matches!(&entry.value.body, Body::Scalar(scalar) if scalar.kind() == Kind::Null);
        if is_null && raw::SECTIONS.contains(&entry.key.as_str()) {
            entry.value.body = Body::Map(Vec::new());
        }
    }
}

/// Types `root`, which stands at `base` in the file, reporting and dropping what does not fit until the rest does.
pub(super) fn settle<T: DeserializeOwned>(
    root: &mut Node,
    base: &[Seg<'_>],
    file: &Path,
    problems: &mut Problems,
) -> Option<T> {
    let rounds = (NODES_TYPED_MAX / root.size()).clamp(PROBLEMS_MAX + 10, ROUNDS_MAX);
    for _ in 0..rounds {
        let error = match serde_path_to_error::deserialize::<_, T>(&*root) {
            Ok(typed) => return Some(typed),
            Err(error) => error,
        };
        let local: Vec<Seg<'_>> = error.path().iter().filter_map(seg).collect();
        let (found_steps, problem) = {
            let found = root.nearest_to(&local);
            let local = root.as_written(local.get(..found.steps).unwrap_or_default());
            let path: Vec<Seg<'_>> = base.iter().copied().chain(local).collect();
            let fault: &Fault = error.inner();
            (found.steps, explain(fault, &path, found, file))
        };
        if let Some(problem) = problem {
            problems.push(problem);
        }
        let dropped = root.at_mut(local.get(..found_steps).unwrap_or_default())?;
        dropped.dropped = true;
        if found_steps == 0 || problems.is_full() {
            return None;
        }
    }
    None
}

fn seg(segment: &Segment) -> Option<Seg<'_>> {
    match segment {
        Segment::Seq { index } => Some(Seg::Index(*index)),
        Segment::Map { key } => Some(Seg::Key(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The text as it can be parsed: not too large, and with hidden characters replaced after they were reported.
fn usable(text: &str, file: &Path, problems: &mut Problems) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes, and {TEXT_BYTES_MAX} are allowed", text.len());
        problems.push(Problem::error(Code::LimitExceeded, file, Span::TOP, message));
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
            let span = Span { start, end: Position { line, column: column + 1 } };
            let message = format!("an invisible character stands here: U+{:04X}", u32::from(c));
            let help = "remove it; inside double quotes it can be written as an escape such as `\\u001b`";
            problems.push(Problem::error(Code::ControlCharacter, file, span, message).help(help));
        }
        clean.push(if hidden { '\u{fffd}' } else { c });
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    Some(clean)
}

fn nothing() -> Node {
    let scalar = super::tree::Scalar { text: String::new(), plain: true, written: None };
    Node::new(Span::TOP, Body::Scalar(scalar))
}

fn no_mapping(root: &Node, file: &Path) -> Problem {
    let is_null = matches!(&root.body, Body::Scalar(scalar) if scalar.kind() == Kind::Null);
    let help = "begin it with `version: 1`, then `sources:`, `routes:` and `destinations:`";
    if is_null {
        return Problem::error(Code::EmptyFile, file, Span::TOP, "the file says nothing").help(help);
    }
    let message = "the file must be a mapping of sections";
    Problem::error(Code::WrongType, file, root.span, message).help(help)
}
