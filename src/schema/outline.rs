//! Certain facts that a set's schemas state about single members: whether a member is required, and its types. They are
//! compared with expressions when the configuration is loaded. Events are never checked against them.
//!
//! Schemas behind a `$ref` within the file and in `allOf` count as if they were written in place. Where a choice
//! (`anyOf`, `oneOf`, `if`), a dependency or another file may add rules, no member is optional for certain.

use std::sync::Arc;

use globset::GlobMatcher;
use serde_json::Value;

use super::SchemaName;

/// The most schemas that are followed at one place.
const NODES_MAX: usize = 64;

/// The texts of a set's schemas, by the event types that they are for.
#[derive(Debug, Default)]
pub struct Outlines {
    pub(super) exact: Vec<(String, Text)>,
    pub(super) globs: Vec<(String, GlobMatcher, Text)>,
}

/// A schema's text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) name: SchemaName,
    pub(super) document: Arc<Value>,
}

/// One schema, as the source of facts about the members of a document.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'o> {
    text: &'o Text,
}

/// The presence of a member, by a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The member must be there.
    Required,
    /// The schema knows the member, and it may be left out.
    Optional,
}

impl Outlines {
    /// Returns the outlines for the event types that fit: named types by `wants`, and globs of types by `may_want`.
    pub fn of<'o>(
        &'o self,
        wants: impl Fn(&str) -> bool + 'o,
        may_want: impl Fn(&str) -> bool + 'o,
    ) -> impl Iterator<Item = Outline<'o>> {
        let exact =
            self.exact.iter().filter(move |(event_type, _)| wants(event_type)).map(|(_, text)| Outline { text });
        let globs = self.globs.iter().filter(move |(glob, ..)| may_want(glob));
        exact.chain(globs.map(|(.., text)| Outline { text }))
    }

    /// Returns whether a schema is written for exactly this event type, without a glob.
    pub fn has_exact(&self, event_type: &str) -> bool {
        self.exact.iter().any(|(known, _)| known == event_type)
    }

    /// Returns the glob of the first schema that takes this type.
    pub fn glob_of(&self, event_type: &str) -> Option<&str> {
        self.globs.iter().find(|(_, matcher, _)| matcher.is_match(event_type)).map(|(glob, ..)| glob.as_str())
    }
}

impl<'o> Outline<'o> {
    /// Returns the schema's name.
    pub fn name(self) -> &'o SchemaName {
        &self.text.name
    }

    /// Returns the presence of each member on a path, outermost first, as far as it is certain.
    pub fn members<'s>(self, path: impl IntoIterator<Item = &'s str>) -> Vec<Member> {
        let mut found = Vec::new();
        let mut here = self.whole();
        for name in path {
            let Some((member, there)) = here.member(name) else { break };
            found.push(member);
            here = there;
        }
        found
    }

    /// Returns the types of the value at a path, where they are certain.
    pub fn types<'s>(self, path: impl IntoIterator<Item = &'s str>) -> Vec<&'o str> {
        let mut here = self.whole();
        for name in path {
            let Some((_, there)) = here.member(name) else { return Vec::new() };
            here = there;
        }
        here.types()
    }

    fn whole(self) -> Here<'o> {
        let document: &'o Value = &self.text.document;
        Here::of(document, vec![document])
    }
}

/// The schemas that all hold at one place.
#[derive(Debug)]
struct Here<'d> {
    document: &'d Value,
    all: Vec<&'d Value>,
    /// True if other schemas may hold at this place as well.
    is_open: bool,
}

/// Keywords whose schemas do not hold for every document.
const CHOICES: [&str; 9] =
    ["anyOf", "oneOf", "if", "then", "else", "not", "dependentSchemas", "dependencies", "dependentRequired"];
/// References that are not followed.
const DYNAMIC: [&str; 2] = ["$dynamicRef", "$recursiveRef"];

impl<'d> Here<'d> {
    fn of(document: &'d Value, mut waiting: Vec<&'d Value>) -> Self {
        let mut here = Self { document, all: Vec::new(), is_open: false };
        while let Some(schema) = waiting.pop() {
            if here.all.len() >= NODES_MAX {
                here.is_open = true;
                break;
            }
            if here.all.iter().any(|known| std::ptr::eq(*known, schema)) {
                continue;
            }
            here.all.push(schema);
            here.is_open |= CHOICES.iter().chain(&DYNAMIC).any(|keyword| schema.get(keyword).is_some());
            waiting.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                here.is_open |= target.is_none();
                waiting.extend(target);
            }
        }
        here
    }

    fn member(&self, name: &str) -> Option<(Member, Self)> {
        let is_required = |schema: &&Value| {
            let required = schema.get("required").and_then(Value::as_array);
            required.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)))
        };
        let declared: Vec<&Value> = self.all.iter().filter_map(|schema| schema.get("properties")?.get(name)).collect();
        let member = match (self.all.iter().any(is_required), declared.is_empty(), self.is_open) {
            (true, ..) => Member::Required,
            (false, false, false) => Member::Optional,
            (false, ..) => return None,
        };
        let mut there = Self::of(self.document, declared);
        there.is_open |= self.is_open;
        Some((member, there))
    }

    fn types(&self) -> Vec<&'d str> {
        let types = self.all.iter().find_map(|schema| match schema.get("type")? {
            Value::String(one) => Some(vec![one.as_str()]),
            Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
            _ => None,
        });
        types.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(document: Value) -> Text {
        Text { name: SchemaName("a.json".to_owned()), document: Arc::new(document) }
    }

    #[test]
    fn what_is_certain_of_a_member_is_said_and_nothing_else() {
        use Member::{Optional, Required};
        let object = |more: Value| {
            let mut schema = json!({"properties": {"a": {"properties": {"b": {}}, "required": ["c"]}}});
            schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            schema
        };
        for (schema, path, expected) in [
            (object(json!({})), &["a"][..], &[Optional][..]),
            (object(json!({"required": ["a"]})), &["a", "b"], &[Required, Optional]),
            (object(json!({"required": ["a"]})), &["a", "c", "d"], &[Required, Required]),
            (object(json!({})), &["z"], &[]),
            (object(json!({"allOf": [{"required": ["a"]}]})), &["a"], &[Required]),
            (
                object(json!({"allOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"required": ["a"]}}})),
                &["a"],
                &[Required],
            ),
            (object(json!({"anyOf": [{"required": ["a"]}, {"required": ["z"]}]})), &["a"], &[]),
            (object(json!({"if": {}, "then": {"required": ["a"]}})), &["a"], &[]),
            (object(json!({"allOf": [{"$ref": "other.json"}]})), &["a"], &[]),
            (object(json!({"$ref": "#"})), &["a"], &[Optional]),
            (json!({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {}}}}}), &["a"], &[Optional]),
            (json!(true), &["a"], &[]),
        ] {
            let text = text(schema);
            assert_eq!(Outline { text: &text }.members(path.iter().copied()), expected, "{text:?} {path:?}");
        }
    }

    #[test]
    fn types_are_told_where_they_are_written() {
        let text = text(json!({"properties": {"n": {"type": "integer"}, "m": {"type": ["boolean", "null"]}, "x": {}}}));
        let outline = Outline { text: &text };
        assert_eq!(outline.types(["n"]), ["integer"]);
        assert_eq!(outline.types(["m"]), ["boolean", "null"]);
        assert!(outline.types(["x"]).is_empty() && outline.types(["z"]).is_empty());
    }
}
