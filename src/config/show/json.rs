//! The JSON form: the same tree, each leaf an object of its value and its origin.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::origin::Origin;
use super::tree::{Leaf, Tree};
use super::yaml::escaped;
use crate::config::tree::ScalarKind;

pub(super) fn text(tree: &Tree) -> String {
    serde_json::to_string_pretty(tree).map(|text| escaped(&text) + "\n").unwrap_or_default()
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(leaf) => leaf.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl Serialize for Leaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut leaf = serializer.serialize_map(Some(2))?;
        match self.kind() {
            ScalarKind::Null => leaf.serialize_entry("value", &())?,
            ScalarKind::Bool(value) => leaf.serialize_entry("value", &value)?,
            ScalarKind::Int(value) => leaf.serialize_entry("value", &value)?,
            ScalarKind::Unsigned(value) => leaf.serialize_entry("value", &value)?,
            ScalarKind::Float(value) => leaf.serialize_entry("value", &value)?,
            ScalarKind::Text(value) => leaf.serialize_entry("value", value)?,
        }
        leaf.serialize_entry("origin", &Whence(self))?;
        leaf.end()
    }
}

/// The origin of a leaf.
struct Whence<'l>(&'l Leaf);

impl Serialize for Whence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let origin = &self.0.origin;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("kind", origin.kind())?;
        match origin {
            Origin::Default => {}
            Origin::Provider(name) => fields.serialize_entry("provider", name)?,
            Origin::Written { place, section, variables } => {
                fields.serialize_entry("file", &place.file)?;
                fields.serialize_entry("line", &place.line)?;
                fields.serialize_entry("column", &place.column)?;
                if let Some(section) = section {
                    fields.serialize_entry("section", section)?;
                }
                if let Some(first) = variables.first() {
                    fields.serialize_entry("variable", first)?;
                }
                if variables.len() > 1 {
                    fields.serialize_entry("variables", variables)?;
                }
            }
        }
        if self.0.is_unfilled {
            fields.serialize_entry("as_written", &true)?;
        }
        fields.end()
    }
}
