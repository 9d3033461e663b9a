//! The configuration to be shown, as a tree: maps in the order of the file, and leaves that know their origin.

use super::origin::Origin;
use crate::config::tree::{ScalarKind, resolve};

#[derive(Clone, Debug)]
pub(super) enum Tree {
    Leaf(Leaf),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) text: String,
    /// True if the text may be a number, a boolean or null; otherwise it is text in any form.
    pub(super) is_plain: bool,
    /// True if its variables are not put in: `${…}` stands in the text.
    pub(super) is_unfilled: bool,
    pub(super) origin: Origin,
}

impl Leaf {
    /// Returns the kind of the leaf in YAML.
    pub(super) fn kind(&self) -> ScalarKind<'_> {
        if self.is_plain { resolve(&self.text) } else { ScalarKind::Text(&self.text) }
    }
}

/// A value that is filled in.
#[derive(Clone, Debug)]
pub(super) enum FilledValue {
    /// A word, a quantity, a number, a boolean, as the file writes it.
    Plain(String),
    /// Any text.
    Text(String),
    List(Vec<String>),
}

impl From<String> for FilledValue {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&str> for FilledValue {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<bool> for FilledValue {
    fn from(is: bool) -> Self {
        Self::Plain(is.to_string())
    }
}

impl From<u32> for FilledValue {
    fn from(count: u32) -> Self {
        Self::Plain(count.to_string())
    }
}

impl From<usize> for FilledValue {
    fn from(count: usize) -> Self {
        Self::Plain(count.to_string())
    }
}

impl FilledValue {
    fn tree(self, origin: &Origin) -> Tree {
        let leaf = |text, is_plain| Tree::Leaf(Leaf { text, is_plain, is_unfilled: false, origin: origin.clone() });
        match self {
            Self::Plain(text) => leaf(text, true),
            Self::Text(text) => leaf(text, false),
            Self::List(items) => Tree::List(items.into_iter().map(|item| leaf(item, true)).collect()),
        }
    }
}

impl Tree {
    /// Returns the tree at `path`.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, key| match tree {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::Leaf(_) | Self::List(_) => None,
        })
    }

    /// Returns the tree at `key`, to change it: an empty map when there is none. `None` when this is no map.
    pub(super) fn entry(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map(entries) = self else { return None };
        let at = entries.iter().position(|(name, _)| name == key).unwrap_or(entries.len());
        if at == entries.len() {
            entries.push((key.to_owned(), Self::Map(Vec::new())));
        }
        entries.get_mut(at).map(|(_, value)| value)
    }

    /// Puts `value` at `path`, unless a value stands there, or a part of the way is no map.
    pub(super) fn fill(&mut self, path: &[&str], value: impl Into<FilledValue>, origin: &Origin) {
        self.graft(path, value.into().tree(origin));
    }

    /// Puts a tree at `path`, as [`Tree::fill`] puts a value.
    pub(super) fn graft(&mut self, path: &[&str], tree: Self) {
        let Some((last, way)) = path.split_last() else { return };
        let parent = way.iter().try_fold(self, |tree, key| tree.entry(key));
        if let Some(Self::Map(entries)) = parent
            && entries.iter().all(|(name, _)| name != last)
        {
            entries.push(((*last).to_owned(), tree));
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &str) {
        if let Self::Map(entries) = self {
            entries.retain(|(name, _)| name != key);
        }
    }

    /// Returns the elements of a list; none of anything else.
    pub(super) fn items(&mut self) -> impl Iterator<Item = &mut Self> {
        match self {
            Self::List(items) => items.as_mut_slice(),
            Self::Leaf(_) | Self::Map(_) => &mut [],
        }
        .iter_mut()
    }

    /// Returns the tree with each leaf taken over from `section`.
    pub(super) fn taken_over_from(self, section: &'static str) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(Leaf { origin: leaf.origin.taken_over_from(section), ..leaf }),
            Self::List(items) => Self::List(items.into_iter().map(|item| item.taken_over_from(section)).collect()),
            Self::Map(entries) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.taken_over_from(section))).collect())
            }
        }
    }

    /// Orders the entries of a map; entries of one rank keep their order.
    pub(super) fn sort_by(&mut self, rank: impl Fn(&str) -> usize) {
        if let Self::Map(entries) = self {
            entries.sort_by_key(|(key, _)| rank(key));
        }
    }
}
