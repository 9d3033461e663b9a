//! `include: [routes.d/*.yaml, other.yaml]`: the files that the main file names, and the sections allowed in them.
//!
//! An item is a path, or a path with a glob in its last part. Both are relative to the main file's folder, and may lead
//! out of it: the author of the file may read all files that the process may read. A glob may match nothing. It matches
//! neither names that begin with a dot (editors leave such files behind) nor the main file itself. A path must lead to
//! a file. Each file is read once, those of a glob in the order of their names.
//!
//! An included file holds the sections of a main file, and no `include`. `union` joins the files.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::files::FileId;
use super::load::settle;
use super::nearest;
use super::problem::{Code, Problem, quoted};
use super::raw;
use super::reader::{Reader, TEXT_BYTES_MAX};
use super::spans::{Seg, Span};
use super::tree::{Body, MappingEntry, Node};
use super::union::union;
use crate::encoding::text_of;

/// The limit of included files.
const FILES_MAX: usize = 256;

/// The files beside the main one, handed in.
#[derive(Clone, Copy)]
pub struct IncludeFiles<'a> {
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Lists the names in a folder, in any order.
    pub list: &'a dyn Fn(&Path) -> io::Result<Vec<OsString>>,
}

impl std::fmt::Debug for IncludeFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

/// The files of a configuration as one tree.
pub(super) struct Whole {
    pub(super) root: Node,
    /// True if an included file could not be read; a problem gives the reason.
    pub(super) incomplete: bool,
}

/// Returns the tree of `main` with its included files. `text_bytes` is the length of the main file's text.
pub(super) fn with_included(
    mut main: Node,
    text_bytes: usize,
    reader: &mut Reader<'_>,
    disk: IncludeFiles<'_>,
) -> Whole {
    let Some(items) = items(&mut main, reader) else {
        let incomplete = main.get("include").is_some();
        return Whole { root: union(main, Vec::new(), reader), incomplete };
    };
    let mut inclusion =
        Inclusion { main: reader.files.path(FileId::MAIN).to_owned(), disk, text_bytes, files: Vec::new() };
    let mut incomplete = false;
    for item in &items {
        incomplete |= !inclusion.find(item, reader);
    }
    let mut roots = Vec::new();
    for (path, named_at) in std::mem::take(&mut inclusion.files) {
        match inclusion.read(&path, named_at, reader) {
            Some(root) => roots.push(root),
            None => incomplete = true,
        }
    }
    Whole { root: union(main, roots, reader), incomplete }
}

/// Returns the items of the main file's `include`, each with its place; `None` when there are none or they are no text.
fn items(main: &mut Node, reader: &mut Reader<'_>) -> Option<Vec<Item>> {
    let list = main.get_mut("include").filter(|list| !list.dropped)?;
    let typed: Vec<String> = settle(list, &[Seg::Key("include")], &reader.files, &mut reader.problems)?;
    let Body::Seq(nodes) = &list.body else { return None };
    let kept = nodes.iter().filter(|node| !node.dropped);
    let items = typed.into_iter().zip(kept).map(|(text, node)| {
        let written = if let Body::Scalar(scalar) = &node.body { scalar.written.clone() } else { None };
        Item { shown: written.unwrap_or_else(|| text.clone()), text, span: node.span }
    });
    Some(items.collect())
}

/// An item of `include`.
struct Item {
    text: String,
    /// The text as it is written, with `${VAR}` in place.
    shown: String,
    span: Span,
}

/// The state of including files.
struct Inclusion<'a> {
    main: PathBuf,
    disk: IncludeFiles<'a>,
    /// The bytes that were read so far.
    text_bytes: usize,
    /// The files that were found, each with the place that names it.
    files: Vec<(PathBuf, Span)>,
}

impl Inclusion<'_> {
    /// Finds the files of one item; `false` when that failed, and a problem gives the reason.
    fn find(&mut self, Item { text, shown, span }: &Item, reader: &mut Reader<'_>) -> bool {
        let folder = self.main.parent().unwrap_or(Path::new(""));
        let path: PathBuf = folder.join(text).components().filter(|part| *part != Component::CurDir).collect();
        let found = match pattern(text, shown) {
            Ok(None) if path == self.main => Err(Mistake::itself()),
            Ok(None) => Ok(vec![path]),
            Ok(Some(pattern)) => self.matching(&path, &pattern),
            Err(mistake) => Err(mistake),
        };
        let mistake = match found {
            Ok(found) => {
                let new = found.into_iter().filter(|path| self.files.iter().all(|(known, _)| known != path));
                let new: Vec<_> = new.map(|path| (path, *span)).collect();
                self.files.extend(new);
                match self.files.len() {
                    ..=FILES_MAX => return true,
                    count => Mistake::too_many(count),
                }
            }
            Err(mistake) => mistake,
        };
        reader.problems.push(mistake.at(&self.main, *span));
        self.files.truncate(FILES_MAX);
        false
    }

    /// Returns the files that a glob matches, by name.
    fn matching(&self, path: &Path, pattern: &GlobMatcher) -> Result<Vec<PathBuf>, Mistake> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let names = match (self.disk.list)(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let message = format!("the folder {} cannot be read: {error}", quoted(&folder.display().to_string()));
                return Err(Mistake::new(Code::UnusableFile, message, ""));
            }
        };
        let is_hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".");
        let matching = names.iter().filter(|name| !is_hidden(name) && pattern.is_match(Path::new(name)));
        let mut paths: Vec<PathBuf> =
            matching.map(|name| folder.join(name)).filter(|path| *path != self.main).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// Reads the tree of one file.
    fn read(&mut self, path: &Path, named_at: Span, reader: &mut Reader<'_>) -> Option<Node> {
        match self.text(path) {
            Ok(text) => {
                let mut root = reader.read(&text, path)?;
                only_sections(&mut root, path, &self.main, reader);
                Some(root)
            }
            Err(mistake) => {
                reader.problems.push_beside(mistake.at(&self.main, named_at));
                None
            }
        }
    }

    fn text(&mut self, path: &Path) -> Result<String, Mistake> {
        let shown = path.display().to_string();
        let unusable =
            |why: &str, help: &str| Mistake::new(Code::UnusableFile, format!("{} {why}", quoted(&shown)), help);
        let bytes = (self.disk.read)(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unusable("does not exist", &self.near(path)),
            _ => unusable(&format!("cannot be read: {error}"), ""),
        })?;
        self.text_bytes += bytes.len();
        if self.text_bytes > TEXT_BYTES_MAX {
            let message = format!("with {} the files have more than {TEXT_BYTES_MAX} bytes together", quoted(&shown));
            return Err(Mistake::new(Code::LimitExceeded, message, "include less"));
        }
        text_of(bytes).map_err(|not_text| unusable(&format!("cannot be read: {not_text}"), ""))
    }

    /// Returns the probable meaning of a path that leads nowhere.
    fn near(&self, path: &Path) -> String {
        let names = (self.disk.list)(path.parent().unwrap_or(Path::new(""))).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match nearest(name, names.iter().filter_map(|name| name.to_str())) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => "paths are relative to the folder of this file; a glob such as `routes.d/*.yaml` may match nothing"
                .to_owned(),
        }
    }
}

/// Returns the glob in the last part of a path; `None` for a plain path.
fn pattern(text: &str, shown: &str) -> Result<Option<GlobMatcher>, Mistake> {
    let is_glob = |part: &str| part.contains(['*', '?', '[', '{']);
    let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
    if matches!(name, "" | "." | "..") {
        let message = format!("{} names no file", quoted(shown));
        return Err(Mistake::new(Code::InvalidValue, message, "for all files of a folder write `routes.d/*.yaml`"));
    }
    if is_glob(folder) {
        let message = format!("the folder of {} is a glob", quoted(shown));
        return Err(Mistake::new(Code::InvalidValue, message, "only the last part can be one: `routes.d/*.yaml`"));
    }
    if !is_glob(name) {
        return Ok(None);
    }
    let glob = GlobBuilder::new(name).literal_separator(true).build().map_err(|error| {
        let message = format!("{} is not a glob: {}", quoted(shown), error.kind());
        Mistake::new(Code::InvalidValue, message, "`*` is any run of characters, `{a,b}` either")
    })?;
    Ok(Some(glob.compile_matcher()))
}

/// Removes the keys from an included file that belong to the main file only.
fn only_sections(root: &mut Node, path: &Path, main: &Path, reader: &mut Reader<'_>) {
    if let Some(version) = root.get_mut("version").filter(|version| !version.dropped) {
        let _checked: Option<raw::Version> =
            settle(version, &[Seg::Key("version")], &reader.files, &mut reader.problems);
    }
    let Body::Map(entries) = &mut root.body else { return };
    if let Some(MappingEntry { key_span, .. }) = entries.iter().find(|entry| entry.key == "include") {
        let help = format!("move it to {}", quoted(&main.display().to_string()));
        let problem = Problem::error(Code::InvalidValue, path, *key_span, "an included file cannot include others");
        reader.problems.push(problem.help(help));
    }
    entries.retain(|entry| !matches!(entry.key.as_str(), "version" | "include"));
}

/// The error of an item of `include`.
struct Mistake {
    code: Code,
    message: String,
    help: String,
}

impl Mistake {
    fn new(code: Code, message: String, help: &str) -> Self {
        Self { code, message, help: help.to_owned() }
    }

    fn itself() -> Self {
        Self::new(Code::InvalidValue, "a file cannot include itself".to_owned(), "remove this item")
    }

    fn too_many(count: usize) -> Self {
        let message = format!("with this, {count} files are included, and {FILES_MAX} are the most");
        Self::new(Code::LimitExceeded, message, "put more into one file")
    }

    fn at(self, file: &Path, span: Span) -> Problem {
        Problem::error(self.code, file, span, self.message).help(self.help)
    }
}
