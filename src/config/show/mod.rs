//! The configuration as it is in force: the content of the file, with every default filled in, and the origin of each
//! value.
//!
//! The values that are filled in are read from the [`Setup`] that the checker made of the file, key by key (`process`,
//! `sources`, `destinations`): a default stands only where the checker applies it, so the shown value is the one in
//! force. A written value is shown as it is written (`written`). As YAML (`yaml`) the result is a file with the same
//! meaning; as JSON (`json`) each leaf is a value and its origin.
//!
//! No secret is shown, because the file names only the places of secrets. The value of a variable is shown only if its
//! type has no room for a secret (`written` has the rules). The others stand there as `${…}`.
//!
//! Not here: an unwritten key without a default. It is left out, as in the file.

mod destinations;
mod hidden;
mod json;
mod origin;
mod process;
mod sources;
mod tree;
mod types;
mod words;
mod written;
mod yaml;

pub(super) use self::hidden::Hidden;
use self::tree::{Leaf, Tree};
use super::check::CheckedFile;
use super::interpolate::VariableLookup;
use super::raw;
use crate::server::Setup;

/// A configuration, ready to be shown.
#[derive(Debug)]
pub struct Shown(Tree);

impl Shown {
    /// Returns the configuration of a file without errors; `env` looks variables up, as it did when the file was read.
    pub fn of(checked: &CheckedFile, env: VariableLookup<'_>) -> Option<Self> {
        let (setup, raw) = (checked.setup.as_ref()?, checked.raw.as_ref()?);
        let mut tree = written::tree(&checked.spans, env);
        // The included files are shown themselves.
        tree.remove("include");
        fill(&mut tree, setup, raw);
        tree.sort_by(position);
        Some(Self(tree))
    }

    /// Returns the keys at `path`, in the order of the file.
    pub fn names(&self, path: &[&str]) -> Vec<&str> {
        match self.0.at(path) {
            Some(Tree::Map(entries)) => entries.iter().map(|(key, _)| key.as_str()).collect(),
            Some(Tree::Leaf(_) | Tree::List(_)) | None => Vec::new(),
        }
    }

    /// Returns the value at `path`, or the values of a list, as they may be shown.
    pub fn texts(&self, path: &[&str]) -> Vec<&str> {
        fn text(tree: &Tree) -> Option<&str> {
            match tree {
                Tree::Leaf(Leaf { text, .. }) => Some(text.as_str()),
                Tree::List(_) | Tree::Map(_) => None,
            }
        }
        match self.0.at(path) {
            Some(Tree::List(items)) => items.iter().filter_map(text).collect(),
            Some(other) => text(other).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Returns a file that means the same, with the origin of each value behind the value.
    pub fn yaml(&self) -> String {
        yaml::text(&self.0)
    }

    /// Returns JSON: each leaf is an object with `value` and `origin`.
    pub fn json(&self) -> String {
        json::text(&self.0)
    }
}

fn fill(tree: &mut Tree, setup: &Setup, raw: &raw::File) {
    process::fill(tree, setup, raw);
    sources::fill(tree, &setup.live.rules.lanes, raw);
    destinations::fill(tree, &setup.live.destinations, raw);
}

/// Returns the position of a section: sections stand in the order in which a file is read.
fn position(section: &str) -> usize {
    let known = raw::SECTIONS.iter().position(|known| *known == section);
    if section == "version" { 0 } else { known.unwrap_or(raw::SECTIONS.len()) + 1 }
}
