//! The files of schemas: found and read, with those that they refer to.
//!
//! Only this file reads files. Every path is made canonical before it is read and must then lie inside the root, so
//! that neither `..` nor a symbolic link leads out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonschema::{Retrieve, Uri};
use serde_json::Value;

use super::problem::SchemaProblem;
use super::refs::Reference;
use super::{FILE_BYTES_MAX, FILES_MAX, Read, SchemaName, refs};
use crate::encoding::text_of;

/// An event type and the file of its schema.
pub(super) type EventFile = (String, PathBuf);

pub(super) struct Loader<'r> {
    root: PathBuf,
    read: &'r Read<'r>,
    documents: BTreeMap<SchemaName, Arc<Value>>,
}

impl<'r> Loader<'r> {
    pub(super) fn new(root: &Path, read: &'r Read<'r>) -> Result<Self, SchemaProblem> {
        Ok(Self { root: canonical(root)?, read, documents: BTreeMap::new() })
    }

    /// Returns the `*.json` files of a folder, with the event types they are for.
    pub(super) fn files_of(&self, dir: &Path) -> Result<Vec<EventFile>, SchemaProblem> {
        let unreadable = |error: io::Error| SchemaProblem::Unreadable { path: dir.to_owned(), kind: error.kind() };
        let inside = self.inside(dir)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&inside).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(event_type) = path.file_stem().and_then(|stem| stem.to_str())
            {
                files.push((event_type.to_owned(), path.clone()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Reads a file, unless it is known already.
    pub(super) fn load(&mut self, path: &Path) -> Result<SchemaName, SchemaProblem> {
        let inside = self.inside(path)?;
        let schema = self.name_of(&inside).ok_or_else(|| SchemaProblem::Outside { path: path.to_owned() })?;
        if self.documents.contains_key(&schema) {
            return Ok(schema);
        }
        if self.documents.len() >= FILES_MAX {
            return Err(SchemaProblem::TooMany);
        }
        let unreadable = |error: io::Error| SchemaProblem::Unreadable { path: path.to_owned(), kind: error.kind() };
        // Asked before reading, so that a huge file is not read at all.
        let bytes = usize::try_from(fs::metadata(&inside).map_err(unreadable)?.len()).unwrap_or(usize::MAX);
        if bytes > FILE_BYTES_MAX {
            return Err(SchemaProblem::TooLarge { schema, bytes });
        }
        let text = (self.read)(&inside).map_err(unreadable)?;
        let not_text = |problem| SchemaProblem::NotText { schema: schema.clone(), problem };
        let text = text_of(text).map_err(not_text)?;
        // Some editors begin a file with the mark; it says nothing about JSON.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let document: Value = serde_json::from_str(text).map_err(|error| SchemaProblem::NotJson {
            schema: schema.clone(),
            line: error.line(),
            column: error.column(),
        })?;
        self.documents.insert(schema.clone(), Arc::new(document));
        Ok(schema)
    }

    /// Returns the text of a schema that was read.
    pub(super) fn document(&self, schema: &SchemaName) -> Option<Arc<Value>> {
        self.documents.get(schema).map(Arc::clone)
    }

    /// Returns the schema and all it refers to, directly or not.
    pub(super) fn with_references(&mut self, first: &SchemaName) -> Result<Library, Vec<SchemaProblem>> {
        let mut documents = BTreeMap::new();
        let mut problems = Vec::new();
        // A document is asked for by the URI that a reference resolves to, and resolves its own references against that.
        let mut waiting = vec![(first.clone(), refs::uri_of(first))];
        while let Some((schema, uri)) = waiting.pop() {
            if documents.len() > FILES_MAX {
                return Err(vec![SchemaProblem::TooMany]);
            }
            let Some(document) = self.documents.get(&schema).filter(|_| !documents.contains_key(&uri)).map(Arc::clone)
            else {
                continue;
            };
            for reference in refs::outward(&schema, &document, &uri) {
                match self.referred(&schema, &reference) {
                    Ok(referred) => waiting.push((referred, reference.uri)),
                    Err(problem) => problems.push(problem),
                }
            }
            documents.insert(uri, (schema, document));
        }
        if problems.is_empty() { Ok(Library { documents: Arc::new(documents) }) } else { Err(problems) }
    }

    /// Returns the document that a reference means: the file at its place, or one beside the schema that has this
    /// `$id`.
    fn referred(&mut self, schema: &SchemaName, reference: &Reference) -> Result<SchemaName, SchemaProblem> {
        let at_its_place = reference.file.as_ref().map(|file| self.load(&self.root.join(file)));
        match at_its_place {
            Some(Ok(found)) => return Ok(found),
            Some(Err(problem))
                if !matches!(problem, SchemaProblem::Unreadable { kind: io::ErrorKind::NotFound, .. }) =>
            {
                return Err(problem);
            }
            Some(Err(_)) | None => {}
        }
        if let Some(found) = self.with_id(schema, &reference.uri) {
            return Ok(found);
        }
        at_its_place.unwrap_or_else(|| {
            Err(SchemaProblem::ForeignRef { schema: schema.clone(), reference: reference.written.clone() })
        })
    }

    /// Finds the schema in the same folder whose `$id` is `uri`. Files that are no schema are skipped.
    fn with_id(&mut self, schema: &SchemaName, uri: &str) -> Option<SchemaName> {
        // A URN is an id as well as a URL.
        if !uri.contains(':') {
            return None;
        }
        let folder = self.root.join(schema.as_str()).parent()?.to_owned();
        let beside = self.files_of(&folder).ok()?;
        beside.into_iter().find_map(|(_, path)| {
            let found = self.load(&path).ok()?;
            let is_it = self.documents.get(&found).and_then(|document| refs::id_of(document)) == Some(uri);
            is_it.then_some(found)
        })
    }

    fn inside(&self, path: &Path) -> Result<PathBuf, SchemaProblem> {
        let real = canonical(path)?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(SchemaProblem::Outside { path: path.to_owned() }) }
    }

    fn name_of(&self, inside: &Path) -> Option<SchemaName> {
        let relative = inside.strip_prefix(&self.root).ok()?;
        let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
        Some(SchemaName(parts?.join("/")))
    }
}

fn canonical(path: &Path) -> Result<PathBuf, SchemaProblem> {
    fs::canonicalize(path).map_err(|error| SchemaProblem::Unreadable { path: path.to_owned(), kind: error.kind() })
}

/// The documents that the validator may refer to, all read before, by their URIs.
#[derive(Clone)]
pub(super) struct Library {
    documents: Arc<BTreeMap<String, (SchemaName, Arc<Value>)>>,
}

impl Library {
    pub(super) fn document(&self, schema: &SchemaName) -> Option<&Value> {
        self.documents.get(&refs::uri_of(schema)).map(|(_, document)| &**document)
    }

    pub(super) fn documents(&self) -> impl Iterator<Item = (&SchemaName, &Value)> {
        self.documents.values().map(|(name, document)| (name, &**document))
    }
}

impl Retrieve for Library {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let known = self.documents.get(uri.as_str()).map(|(_, document)| Value::clone(document));
        known.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }
}
