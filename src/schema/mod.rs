//! JSON Schemas, one for each type of event.
//!
//! All schemas are found, read and compiled when the configuration is loaded; nothing is read later. An event type
//! comes from outside and is never used as a path: it is only looked up among the names that were compiled.
//!
//! No schema leaves its folder: references go to files inside the root and to nowhere else, patterns run in the
//! linear `regex` engine. A failing event costs little more than a valid one: see `report`.
//!
//! `format`, `contentMediaType` and `contentEncoding` are notes unless the source asserts them (JSON Schema 2020-12,
//! validation, sections 7.2 and 8.2: an implementation may treat them so in every draft). Not here: the decision on an
//! invalid event, for which a set only carries the configured policy.

mod compile;
mod keywords;
mod load;
mod outline;
mod problem;
mod refs;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use crate::refusal::OnFailure;
use compile::Compiled;
use load::{EventFile, Library, Loader};
use outline::Text;
pub use outline::{Member, Outline, Outlines};
pub use problem::{SchemaDoubt, SchemaProblem};
pub use report::{MESSAGE_BYTES_MAX, PROBLEMS_MAX, SchemaError};

/// Largest file that is read as a schema.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most files that one set reads.
pub const FILES_MAX: usize = 2_000;

/// The function that reads a file.
pub type Read<'r> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'r;

/// The places of the schemas of one source, and its policies. Paths are as the process sees them.
#[derive(Clone, Debug)]
pub struct SchemaParams {
    /// A folder with a file `<event type>.json` for each type.
    pub dir: Option<PathBuf>,
    /// Types or globs of types, each with its file. An exact name wins, then the glob with the longest literal start.
    pub events: Vec<(String, PathBuf)>,
    /// The policy for a type without a schema.
    pub on_missing: OnFailure,
    /// The policy for an event that does not match.
    pub on_invalid: OnFailure,
    /// The folder that neither a path nor a reference may leave.
    pub root: PathBuf,
    /// Keywords that are asserted.
    pub asserted: Asserted,
}

/// A schema's file, relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaName(String);

impl SchemaName {
    /// Returns the name as text, with `/` between folders.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The compiled schemas of one source.
#[derive(Debug)]
pub struct SchemaSet {
    exact: HashMap<String, Arc<Compiled>>,
    /// The globs, in the order in which they are tried.
    globs: Vec<(GlobMatcher, Arc<Compiled>)>,
    on_missing: OnFailure,
    on_invalid: OnFailure,
    /// The texts, until they are taken.
    outlines: Outlines,
    doubts: Vec<SchemaDoubt>,
}

/// Keywords that are asserted instead of noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asserted {
    /// `format`.
    pub format: bool,
    /// `contentMediaType` and `contentEncoding`.
    pub content: bool,
}

/// The verdict of a set on one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaVerdict<'s> {
    /// There is no schema for this type.
    NoSchema,
    /// The event matches.
    Valid {
        /// The schema of its type.
        schema: &'s SchemaName,
    },
    /// The event does not match.
    Invalid {
        /// The schema of its type.
        schema: &'s SchemaName,
        /// At least one and at most `PROBLEMS_MAX`.
        problems: Vec<SchemaError>,
        /// True if there are, or may be, more than those.
        more: bool,
    },
}

impl SchemaSet {
    /// Reads and compiles every schema, or returns all their problems.
    pub fn compile(params: SchemaParams, read: &Read<'_>) -> Result<Self, Vec<SchemaProblem>> {
        let (on_missing, on_invalid) = (params.on_missing, params.on_invalid);
        if params.dir.is_none() && params.events.is_empty() {
            // The policy for a body that is not JSON is held here too, and needs no schema.
            let (exact, globs, doubts) = (HashMap::new(), Vec::new(), Vec::new());
            let outlines = Outlines::default();
            return Ok(Self { exact, globs, on_missing, on_invalid, outlines, doubts });
        }
        let mut loader = Loader::new(&params.root, read).map_err(|problem| without_root(&params, problem))?;
        let mut building = Building { asserted: params.asserted, ..Building::default() };
        if let Some(dir) = &params.dir {
            match loader.files_of(dir) {
                Ok(files) => building.add_all(&mut loader, &files),
                Err(problem) => building.problems.push(problem),
            }
        }
        for (event, file) in &params.events {
            building.add_pattern(&mut loader, event, file);
        }
        if !building.problems.is_empty() {
            return Err(building.problems);
        }
        // Stable, so that of equally long starts the one written first wins.
        building.globs.sort_by_key(|(literal, ..)| std::cmp::Reverse(*literal));
        let outlines = building.outlines(&loader);
        let globs = building.globs.into_iter().map(|(.., matcher, schema)| (matcher, schema)).collect();
        Ok(Self { exact: building.exact, globs, on_missing, on_invalid, outlines, doubts: building.doubts })
    }

    /// Takes the texts of the schemas, which nothing needs once the configuration is loaded.
    pub fn take_outlines(&mut self) -> Outlines {
        std::mem::take(&mut self.outlines)
    }

    /// Checks one event.
    pub fn check(&self, event_type: &str, document: &Value) -> SchemaVerdict<'_> {
        let Some(schema) = self.schema_for(event_type) else {
            return SchemaVerdict::NoSchema;
        };
        if schema.is_valid(document) {
            return SchemaVerdict::Valid { schema: schema.name() };
        }
        let (problems, more) = schema.report(document);
        SchemaVerdict::Invalid { schema: schema.name(), problems, more }
    }

    /// Returns the names of its schemas, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        let globs = self.globs.iter().map(|(_, schema)| schema);
        self.exact.values().chain(globs).map(|schema| schema.name().as_str()).collect()
    }

    /// Returns the doubts about the schemas: content that is valid and probably a mistake.
    pub fn doubts(&self) -> &[SchemaDoubt] {
        &self.doubts
    }

    /// Returns whether the set has no schema.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.globs.is_empty()
    }

    /// Returns the configured policy for `NoSchema`.
    pub fn on_missing(&self) -> OnFailure {
        self.on_missing
    }

    /// Returns the configured policy for `Invalid`.
    pub fn on_invalid(&self) -> OnFailure {
        self.on_invalid
    }

    fn schema_for(&self, event_type: &str) -> Option<&Compiled> {
        let by_glob = || self.globs.iter().find(|(glob, _)| glob.is_match(event_type)).map(|(_, schema)| schema);
        self.exact.get(event_type).or_else(by_glob).map(AsRef::as_ref)
    }
}

const GLOB_LETTERS: [char; 5] = ['*', '?', '[', '{', '\\'];

/// Returns the length of the literal start of a glob: the longest is tried first, and of equal ones the first. `None`
/// for the name of a type, which goes before all globs.
pub fn literal_start(event: &str) -> Option<usize> {
    event.find(GLOB_LETTERS)
}

/// A glob: the length of its literal start, its text, its matcher and its schema.
type Glob = (usize, String, GlobMatcher, Arc<Compiled>);

/// The set while its schemas are gathered; one file is compiled once however many events use it.
#[derive(Default)]
struct Building {
    compiled: BTreeMap<SchemaName, Option<Arc<Compiled>>>,
    exact: HashMap<String, Arc<Compiled>>,
    globs: Vec<Glob>,
    problems: Vec<SchemaProblem>,
    doubts: Vec<SchemaDoubt>,
    /// The documents whose keywords were checked.
    looked_at: BTreeSet<SchemaName>,
    asserted: Asserted,
}

/// Returns the problems of a folder of schemas that cannot be used: each file that exists and lies elsewhere, otherwise
/// `problem`.
fn without_root(params: &SchemaParams, problem: SchemaProblem) -> Vec<SchemaProblem> {
    let named = params.dir.iter().chain(params.events.iter().map(|(_, file)| file));
    let elsewhere: Vec<_> =
        named.filter(|path| path.exists()).map(|path| SchemaProblem::Outside { path: path.clone() }).collect();
    if elsewhere.is_empty() { vec![problem] } else { elsewhere }
}

impl Building {
    /// Returns the texts of all schemas, each by the types that it is for.
    fn outlines(&self, loader: &Loader<'_>) -> Outlines {
        let text = |schema: &Compiled| {
            let name = schema.name();
            Some(Text { name: name.clone(), document: loader.document(name)? })
        };
        let mut exact: Vec<_> =
            self.exact.iter().filter_map(|(event, schema)| Some((event.clone(), text(schema)?))).collect();
        exact.sort_by(|(one, _), (other, _)| one.cmp(other));
        let globs = self.globs.iter();
        let globs = globs.filter_map(|(_, glob, matcher, schema)| Some((glob.clone(), matcher.clone(), text(schema)?)));
        Outlines { exact, globs: globs.collect() }
    }

    fn add_all(&mut self, loader: &mut Loader<'_>, files: &[EventFile]) {
        for (event_type, file) in files {
            self.add(loader, event_type, file);
        }
    }

    fn add(&mut self, loader: &mut Loader<'_>, event_type: &str, file: &Path) {
        if let Some(schema) = self.schema(loader, file) {
            self.exact.insert(event_type.to_owned(), schema);
        }
    }

    fn add_pattern(&mut self, loader: &mut Loader<'_>, event: &str, file: &Path) {
        let Some(literal) = literal_start(event) else {
            return self.add(loader, event, file);
        };
        match GlobBuilder::new(event).backslash_escape(true).build() {
            Ok(glob) => {
                if let Some(schema) = self.schema(loader, file) {
                    self.globs.push((literal, event.to_owned(), glob.compile_matcher(), schema));
                }
            }
            Err(error) => {
                let message = error.kind().to_string();
                self.problems.push(SchemaProblem::BadGlob { glob: event.to_owned(), message });
            }
        }
    }

    fn look_at_keywords(&mut self, root: &SchemaName, library: &Library) -> Result<(), Vec<SchemaProblem>> {
        let mut problems = Vec::new();
        for (name, document) in library.documents() {
            if self.looked_at.insert(name.clone()) {
                let found = keywords::look(name, document);
                // A document that is only referred to may be anything that holds a schema somewhere.
                let is_meant = |doubt: &SchemaDoubt| name == root || matches!(doubt, SchemaDoubt::Keyword { .. });
                self.doubts.extend(found.doubts.into_iter().filter(is_meant));
                problems.extend(found.problems);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn schema(&mut self, loader: &mut Loader<'_>, file: &Path) -> Option<Arc<Compiled>> {
        let loaded = loader.load(file).map_err(|problem| self.problems.push(problem)).ok()?;
        if let Some(known) = self.compiled.get(&loaded) {
            return known.clone();
        }
        let compiled = loader
            .with_references(&loaded)
            .and_then(|library| {
                self.look_at_keywords(&loaded, &library)?;
                Compiled::new(loaded.clone(), &library, self.asserted)
            })
            .map_err(|problems| self.problems.extend(problems))
            .ok()
            .map(Arc::new);
        self.compiled.insert(loaded, compiled.clone());
        compiled
    }
}

#[cfg(test)]
mod tests;
