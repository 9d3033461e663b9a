//! The references of a schema: which files they mean, and which of them lead out of the root.
//!
//! They are judged as they are written, before a URI library makes them normal: `../../etc/passwd` must be an
//! error with that text, not silently become `etc/passwd` inside the root.

use serde_json::Value;

use super::SchemaName;
use super::problem::SchemaProblem;

/// Ours alone, so that no reference in a file can mean anything else by it.
const SCHEME: &str = "hookgate-schema";

/// These are built into the validator.
const META_SCHEMAS: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

pub(super) fn uri_of(schema: &SchemaName) -> String {
    let mut uri = format!("{SCHEME}:///");
    for &byte in schema.as_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/$".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.extend(
                [byte >> 4, byte & 15]
                    .map(|half| char::from(b"0123456789ABCDEF".get(usize::from(half)).copied().unwrap_or(b'0'))),
            );
        }
    }
    uri
}

/// The files that `document` refers to, relative to the root.
pub(super) fn files_in(schema: &SchemaName, document: &Value) -> Vec<Result<String, SchemaProblem>> {
    let mut strings = Strings::default();
    strings.gather(document);
    let foreign =
        |reference: &str| SchemaProblem::ForeignRef { schema: schema.clone(), reference: reference.to_owned() };
    let outward = strings.references.iter().filter_map(|reference| {
        let target = reference.split('#').next().unwrap_or_default();
        let known = target.is_empty()
            || META_SCHEMAS.iter().any(|known| target.starts_with(known))
            || strings.ids.iter().any(|id| id.trim_end_matches('#') == target);
        (!known).then_some((*reference, target))
    });
    outward.map(|(reference, target)| file_of(schema, target).ok_or_else(|| foreign(reference))).collect()
}

/// The file that a relative reference means; nothing for one that leads out or that could be read in two ways.
fn file_of(schema: &SchemaName, target: &str) -> Option<String> {
    if target.starts_with('/') || target.contains([':', '\\', '%', '?']) {
        return None;
    }
    let mut parts: Vec<&str> = schema.as_str().split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[derive(Default)]
struct Strings<'d> {
    references: Vec<&'d str>,
    ids: Vec<&'d str>,
}

impl<'d> Strings<'d> {
    fn gather(&mut self, value: &'d Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match member {
                        Value::String(text) if REFERENCES.contains(&key.as_str()) => self.references.push(text),
                        Value::String(text) if key == "$id" => self.ids.push(text),
                        _ => self.gather(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.gather(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_relative_references_inside_the_root_are_files() {
        let schema = SchemaName("github/push.json".to_owned());
        for (reference, expected) in [
            ("common.json#/a", Some("github/common.json")),
            ("./a/b.json", Some("github/a/b.json")),
            ("../common.json", Some("common.json")),
            ("../../common.json", None),
            ("a/../../../x", None),
            ("/etc/passwd", None),
            ("//host/x", None),
            ("file:///etc/passwd", None),
            ("http://example.com/x.json", None),
            ("HTTPS://example.com/x.json", None),
            ("hookgate-schema:///x.json", None),
            ("%2e%2e/x.json", None),
            ("..\\x.json", None),
        ] {
            let found = files_in(&schema, &json!({"properties": {"a": [{"$ref": reference}]}}));
            let expected = expected.map(str::to_owned);
            let foreign = SchemaProblem::ForeignRef { schema: schema.clone(), reference: reference.to_owned() };
            assert_eq!(found, [expected.ok_or(foreign)], "{reference}");
        }
    }

    #[test]
    fn references_within_the_document_and_to_meta_schemas_need_no_file() {
        let schema = SchemaName("a.json".to_owned());
        let document = json!({"$id": "https://acme.example/a.json", "x": [
            {"$ref": "#"}, {"$ref": "#/x"}, {"$ref": "https://acme.example/a.json#/x"}, {"$ref": "http://json-schema.org/draft-07/schema#"},
            {"properties": {"$ref": {"type": "string"}}}]});
        assert_eq!(files_in(&schema, &document), []);
    }
}
