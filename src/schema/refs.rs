//! The references of a schema: which files they mean, and which of them lead out of the root.
//!
//! References are judged as they are written, before a URI library makes them normal: `../../etc/passwd` must be an
//! error with that text, not silently become `etc/passwd` inside the root.

use jsonschema::{Uri, uri};
use serde_json::Value;

use super::SchemaName;

/// The URI scheme of schemas, ours alone: no reference in a file can mean anything else by it.
const SCHEME: &str = "hookgate-schema";

/// The meta-schemas, which are built into the validator.
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

/// A reference to another document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The text, as written.
    pub(super) written: String,
    /// The URI by which the validator asks for the document: resolved against the nearest `$id` around it.
    pub(super) uri: String,
    /// The file that it means, relative to the root; `None` where only a document with this `$id` can be meant.
    pub(super) file: Option<String>,
}

/// Returns the references of `document` to other documents, where it is known as `base`.
pub(super) fn outward(schema: &SchemaName, document: &Value, base: &str) -> Vec<Reference> {
    let mut strings = Strings { keyword: id_keyword(document), ..Strings::default() };
    strings.gather(document, base);
    let mut found = Vec::new();
    for (written, base) in &strings.references {
        let target = written.split('#').next().unwrap_or_default();
        if target.is_empty() || META_SCHEMAS.iter().any(|known| target.starts_with(known)) {
            continue;
        }
        let uri = resolve(base, target);
        if strings.ids.iter().any(|id| id.trim_end_matches('#') == uri || id == target) {
            continue;
        }
        let file = file_of(schema, target).or_else(|| file_of(schema, below(base, target)?));
        let reference = Reference { written: (*written).to_owned(), uri, file };
        if !found.contains(&reference) {
            found.push(reference);
        }
    }
    found
}

/// Resolves `reference` against `base`; one that cannot be resolved stands for itself, and is then found nowhere.
fn resolve(base: &str, reference: &str) -> String {
    let resolved = Uri::parse(base).ok().and_then(|base| uri::resolve_against(&base, reference).ok());
    resolved.map_or_else(|| reference.to_owned(), |uri| uri.as_str().to_owned())
}

/// Returns what follows the folder of `base` in an absolute `target`: a schema that is published under a URL refers to
/// those beside it by theirs. `None` where the file itself has no URL.
fn below<'t>(base: &str, target: &'t str) -> Option<&'t str> {
    let folder = base.rsplit_once('/').map(|(folder, _)| folder).filter(|_| !base.starts_with(SCHEME))?;
    target.strip_prefix(folder)?.strip_prefix('/')
}

/// Returns the keyword of a schema's URL: draft-04 has none with a `$`.
fn id_keyword(document: &Value) -> &'static str {
    let draft = document.get("$schema").and_then(Value::as_str).unwrap_or_default();
    if draft.contains("draft-04") { "id" } else { "$id" }
}

/// Returns the `$id` of a whole document.
pub(super) fn id_of(document: &Value) -> Option<&str> {
    document.get(id_keyword(document)).and_then(Value::as_str).map(|id| id.trim_end_matches('#'))
}

/// Returns the file that a relative reference means; `None` for one that leads out or that could be read in two ways.
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
    /// The references, each with the base that it is resolved against.
    references: Vec<(&'d str, String)>,
    /// The ids, resolved.
    ids: Vec<String>,
    /// The keyword that says the URL of a schema.
    keyword: &'static str,
}

impl<'d> Strings<'d> {
    fn gather(&mut self, value: &'d Value, base: &str) {
        match value {
            Value::Object(members) => {
                let own = members.get(self.keyword).and_then(Value::as_str).map(|id| resolve(base, id));
                let base = own.as_deref().unwrap_or(base);
                for (key, member) in members {
                    match member {
                        Value::String(text) if REFERENCES.contains(&key.as_str()) => {
                            self.references.push((text, base.to_owned()));
                        }
                        _ => self.gather(member, base),
                    }
                }
                self.ids.extend(own);
            }
            Value::Array(items) => items.iter().for_each(|item| self.gather(item, base)),
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
            let document = json!({"properties": {"a": [{"$ref": reference}]}});
            let found = outward(&schema, &document, &uri_of(&schema));
            let files: Vec<_> = found.iter().map(|found| found.file.as_deref()).collect();
            assert_eq!(files, [expected], "{reference}");
        }
    }

    #[test]
    fn a_schema_with_a_url_refers_to_those_beside_it_by_name_or_by_url() {
        let schema = SchemaName("github/push.json".to_owned());
        for (reference, file, uri) in [
            ("common.json#/a", Some("github/common.json"), "https://acme.example/v1/common.json"),
            ("../common.json", Some("common.json"), "https://acme.example/common.json"),
            ("https://acme.example/v1/a/b.json", Some("github/a/b.json"), "https://acme.example/v1/a/b.json"),
            ("https://acme.example/v2/b.json", None, "https://acme.example/v2/b.json"),
            ("https://other.example/v1/b.json", None, "https://other.example/v1/b.json"),
            ("https://acme.example/v1/../../../etc/passwd", None, "https://acme.example/etc/passwd"),
        ] {
            let document = json!({"$id": "https://acme.example/v1/push.json", "items": {"$ref": reference}});
            let found = outward(&schema, &document, &uri_of(&schema));
            let found: Vec<_> = found.iter().map(|found| (found.file.as_deref(), &*found.uri)).collect();
            assert_eq!(found, [(file, uri)], "{reference}");
        }
    }

    #[test]
    fn references_within_the_document_and_to_meta_schemas_need_no_file() {
        let schema = SchemaName("a.json".to_owned());
        let document = json!({"$id": "https://acme.example/a.json", "x": [
            {"$ref": "#"}, {"$ref": "#/x"}, {"$ref": "https://acme.example/a.json#/x"}, {"$ref": "http://json-schema.org/draft-07/schema#"},
            {"properties": {"$ref": {"type": "string"}}}]});
        assert_eq!(outward(&schema, &document, &uri_of(&schema)), []);
    }
}
