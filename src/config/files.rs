//! The files of one configuration: the main one, then those that it includes, in the order in which they were read.
//!
//! A [`FileId`] stands in every span, so that a place is never shown in the wrong file. Only the parts of a file that
//! may be shown are kept: secrets that were written into the file are masked.

use std::path::{Path, PathBuf};

/// The number of a file of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(usize);

impl FileId {
    /// The main file, which may include others.
    pub const MAIN: Self = Self(0);
}

/// The paths of the files, and their texts as they may be shown.
#[derive(Clone, Debug, Default)]
pub struct Files(Vec<File>);

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    shown: String,
}

impl Files {
    /// Adds a file without a shown text yet.
    pub(super) fn add(&mut self, path: &Path) -> FileId {
        self.0.push(File { path: path.to_owned(), shown: String::new() });
        FileId(self.0.len() - 1)
    }

    /// Sets the shown text of a file.
    pub(super) fn show(&mut self, id: FileId, shown: String) {
        if let Some(file) = self.0.get_mut(id.0) {
            file.shown = shown;
        }
    }

    /// Returns the path of the file, as it was given.
    pub fn path(&self, id: FileId) -> &Path {
        self.0.get(id.0).map_or(Path::new(""), |file| &file.path)
    }

    /// Returns the text of the file as it may be shown: inline secrets are masked, all other text keeps its place.
    pub fn text(&self, id: FileId) -> &str {
        self.0.get(id.0).map_or("", |file| &file.shown)
    }

    /// Returns the paths of all files, the main one first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|file| file.path.as_path())
    }
}
