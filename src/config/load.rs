//! Texts → [`Loaded`]: the typed raw file, the places of all values, and all problems.
//!
//! Typing continues after an error: a node that does not fit is reported and dropped, and the rest is typed again. A
//! problem that only follows from a drop (a required key that is "missing" because its value was wrong) is not
//! reported. So `raw` holds all that could be read, and is to be used only when no problem is an error.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::explain::explain;
use super::fault::TextFault;
use super::files::{FileId, Files};
use super::include::{IncludeFiles, Whole, with_included};
use super::interpolate::VariableLookup;
use super::problem::{Code, PROBLEMS_MAX, Problem, Problems};
use super::raw;
use super::reader::{Reader, nothing};
use super::spans::{Seg, Span, Spans};
use super::tree::Node;

/// The limit of rounds of typing. It is higher than the limit of problems, because one bad value that is merged into
/// many places is one problem and many drops. In a large file a round takes long, and there are fewer.
const ROUNDS_MAX: usize = 2000;
const NODES_TYPED_MAX: usize = 20_000_000;

/// The result of reading a file.
#[derive(Debug)]
pub struct Loaded {
    /// The file with its included files, as far as it could be read; `None` when nothing could.
    pub raw: Option<raw::File>,
    /// The places of all values.
    pub spans: Spans,
    /// All problems, in the order of the files.
    pub problems: Vec<Problem>,
}

/// Reads the text of `file`, and the files that it includes. `env` looks variables up.
pub fn read(text: &str, file: &Path, env: VariableLookup<'_>, disk: IncludeFiles<'_>) -> Loaded {
    let mut reader = Reader::new(env);
    let main = reader.read(text, file);
    let is_usable = main.is_some();
    let whole = match main {
        Some(main) => with_included(main, text.len(), &mut reader, disk),
        None => Whole { root: nothing(FileId::MAIN), incomplete: true },
    };
    let Whole { mut root, incomplete } = whole;
    let Reader { files, mut problems, .. } = reader;
    let raw = is_usable.then(|| type_whole(&mut root, &files, &mut problems)).flatten();
    Loaded { raw, spans: Spans { files, root, incomplete }, problems: problems.into_sorted() }
}

/// Reads another document of Hookgate by the same rules, with places and problems: the cases of `hookgate test`.
/// Variables are not put in.
pub fn document<T: DeserializeOwned>(text: &str, file: &Path) -> (Option<T>, Spans, Vec<Problem>) {
    let mut reader = Reader::new(&|_| None);
    let root = reader.read_plain(text, file);
    let Reader { files, mut problems, .. } = reader;
    let incomplete = root.is_none();
    let mut root = root.unwrap_or_else(|| nothing(FileId::MAIN));
    let typed = if incomplete { None } else { settle(&mut root, &[], &files, &mut problems) };
    (typed, Spans { files, root, incomplete }, problems.into_sorted())
}

fn type_whole(root: &mut Node, files: &Files, problems: &mut Problems) -> Option<raw::File> {
    if root.get("version").is_none() {
        let message = "the file does not say which version of the format it is";
        let problem = Problem::error(Code::MissingKey, files.path(FileId::MAIN), Span::TOP, message);
        problems.push(problem.help("begin it with `version: 1`"));
    }
    settle(root, &[], files, problems)
}

/// Types `root`, which stands at `base` in the file. Reports and drops nodes that do not fit, until the rest does.
pub(super) fn settle<T: DeserializeOwned>(
    root: &mut Node,
    base: &[Seg<'_>],
    files: &Files,
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
            let fault: &TextFault = error.inner();
            (found.steps, explain(fault, &path, found, files.path(found.node.span.file)))
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
