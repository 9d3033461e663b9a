//! Keywords of a schema that are probably misspelt.
//!
//! JSON Schema takes a keyword that it does not know for a note, so a schema with `requird` accepts what it was written to
//! refuse. Looked at are the places where a schema stands, not the names of properties: below every keyword that holds
//! schemas, also a misspelt one, and wherever a `$ref` of the document leads. Nearness decides: a keyword of the author's
//! own that resembles none is no mistake. Warnings only, but for a `type` that does not exist.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::SchemaName;
use super::problem::{SchemaDoubt, SchemaProblem};
use crate::payload::{Pointer, escaped};

/// The most changed letters of a keyword that counts as misspelt.
const CHANGES_MAX: usize = 2;
/// The shortest word that is compared; shorter ones resemble too many others.
const LETTERS_MIN: usize = 4;
/// The depth below which schemas are not checked.
const DEPTH_MAX: usize = 64;
/// The maximum number of doubts that are reported for one schema.
const DOUBTS_MAX: usize = 5;

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Keywords whose value has schemas by name.
const MAPS: [&str; 6] = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// All others, of every draft and of OpenAPI, whose schemas are often copied.
const OTHERS: [&str; 51] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "discriminator",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "id",
    "markdownDescription",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "nullable",
    "optional",
    "pattern",
    "readOnly",
    "required",
    "title",
    "tsType",
    "type",
    "uniqueItems",
    "version",
    "writeOnly",
    "xml",
    "comment",
];

/// Known words that are never suggested, because they check nothing.
const NOTES: [&str; 8] = ["comment", "example", "id", "markdownDescription", "optional", "tsType", "version", "xml"];

/// The warnings and the errors about one document.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) doubts: Vec<SchemaDoubt>,
    pub(super) problems: Vec<SchemaProblem>,
}

/// Checks the keywords of the schemas in a document.
pub(super) fn look(schema: &SchemaName, document: &Value) -> Findings {
    let mut walk = Walk { schema, findings: Findings::default(), seen: BTreeSet::new(), waiting: Vec::new() };
    match document {
        Value::Object(members) if is_open_api(members) => {
            walk.findings.doubts.push(SchemaDoubt::OpenApi { schema: schema.clone() });
        }
        Value::Object(members) if !members.is_empty() && !members.keys().any(|key| is_known(key)) => {
            walk.document(document);
            if walk.findings.doubts.is_empty() {
                walk.findings.doubts.push(SchemaDoubt::NoKeyword { schema: schema.clone() });
            }
        }
        _ => walk.document(document),
    }
    walk.findings
}

fn is_open_api(members: &Map<String, Value>) -> bool {
    let names = ["openapi", "swagger", "asyncapi"];
    names.iter().any(|name| members.get(*name).is_some_and(Value::is_string))
}

fn is_known(keyword: &str) -> bool {
    known().any(|known| known == keyword)
}

fn known() -> impl Iterator<Item = &'static str> {
    ONE.iter().chain(&LISTS).chain(&MAPS).chain(&OTHERS).copied()
}

/// Returns the keyword that `written` was probably meant to be.
fn meant(written: &str) -> Option<&'static str> {
    let with_dollar = known().find(|known| known.strip_prefix('$') == Some(written));
    if with_dollar.is_some() {
        return with_dollar;
    }
    if written.starts_with("x-") || written.len() < LETTERS_MIN {
        return None;
    }
    let lower = written.to_ascii_lowercase();
    known()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase()), known))
        .filter(|(changes, known)| *changes <= CHANGES_MAX && *changes * 3 <= known.len())
        // A tool's own keyword is often a known one with a prefix: `tsAdditionalProperties`.
        .filter(|(_, known)| !NOTES.contains(known))
        .filter(|(changes, known)| *changes == 0 || !lower.ends_with(&known.to_ascii_lowercase()))
        .min()
        .map(|(_, known)| known)
}

struct Walk<'a> {
    schema: &'a SchemaName,
    findings: Findings,
    /// The places that were looked at.
    seen: BTreeSet<String>,
    /// The places to which a `$ref` leads.
    waiting: Vec<String>,
}

impl Walk<'_> {
    fn document(&mut self, document: &Value) {
        self.waiting.push(String::new());
        while let Some(mut at) = self.waiting.pop() {
            let found = Pointer::parse(&at).ok().and_then(|pointer| pointer.find(document));
            if let Some(schema) = found {
                self.schema(schema, &mut at, 0);
            }
        }
    }

    fn schema(&mut self, schema: &Value, at: &mut String, depth: usize) {
        let Value::Object(members) = schema else { return };
        if depth > DEPTH_MAX || !self.seen.insert(at.clone()) {
            return;
        }
        self.types(members, at);
        if let Some(place) = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#')) {
            self.waiting.push(place.to_owned());
        }
        for (key, value) in members {
            let length = at.len();
            at.push('/');
            at.push_str(&escaped(key));
            let keyword = self.keyword(key, at);
            self.below(keyword, value, at, depth + 1);
            at.truncate(length);
        }
    }

    /// Looks at the schemas in the value of a keyword.
    fn below(&mut self, keyword: &str, value: &Value, at: &mut String, depth: usize) {
        let length = at.len();
        let named: Vec<(String, &Value)> = match value {
            Value::Object(named) if MAPS.contains(&keyword) => {
                named.iter().map(|(name, inner)| (escaped(name), inner)).collect()
            }
            Value::Array(items) if LISTS.contains(&keyword) => {
                items.iter().enumerate().map(|(index, inner)| (index.to_string(), inner)).collect()
            }
            Value::Object(_) if ONE.contains(&keyword) => return self.schema(value, at, depth),
            _ => return,
        };
        for (step, inner) in named {
            at.push('/');
            at.push_str(&step);
            self.schema(inner, at, depth);
            at.truncate(length);
        }
    }

    /// Returns the keyword that `written` is or was meant to be, and notes the doubt in the second case.
    fn keyword<'k>(&mut self, written: &'k str, at: &str) -> &'k str {
        let Some(meant) = meant(written).filter(|_| !is_known(written)) else { return written };
        if self.findings.doubts.len() < DOUBTS_MAX {
            let (schema, at, keyword) = (self.schema.clone(), at.to_owned(), written.to_owned());
            self.findings.doubts.push(SchemaDoubt::Keyword { schema, at, keyword, meant });
        }
        meant
    }

    /// Checks the types, which the validator would report in the words of its own meta-schema.
    fn types(&mut self, members: &Map<String, Value>, at: &str) {
        let written: Vec<&str> = match members.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for name in written.into_iter().filter(|name| !TYPES.contains(name)) {
            let near = TYPES.into_iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
            let near = near.filter(|(changes, _)| *changes <= CHANGES_MAX);
            let meant = near.map_or_else(String::new, |(_, known)| format!("; did you mean \"{known}\"?"));
            let message = format!("\"{name}\" is no type (the types are {}){meant}", TYPES.join(", "));
            self.findings.problems.push(SchemaProblem::BadSchema {
                schema: self.schema.clone(),
                at: format!("{at}/type"),
                message,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doubts(document: &Value) -> Vec<String> {
        let findings = look(&SchemaName("a.json".to_owned()), document);
        findings.doubts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn misspelt_keywords_are_found_where_schemas_stand_and_only_there() {
        let document = json!({"type": "object", "requird": ["a"], "properties": {"requird": {"minlength": 3}, "b": {
            "items": [{"oneof": []}], "x-requird": 1, "tsAdditionalProperties": false, "options": {}, "propertis": {}}}});
        let found = doubts(&document);
        for part in ["/requird: ", "/properties/requird/minlength: ", "/properties/b/items/0/oneof: ", "/b/propertis: "]
        {
            assert!(found.iter().any(|doubt| doubt.contains(part)), "{part} in {found:?}");
        }
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn misspelt_keywords_are_found_below_misspelt_ones_and_where_references_lead() {
        let document = json!({"$ref": "#/shared/a~1b", "shared": {"a/b": {"requird": [], "items": {"$ref": "#/shared/c"}},
            "c": {"$ref": "#/shared/c", "minlength": 1}, "unused": {"requird": []}}, "$def": {"d": {"not": {"enumm": []}}},
            "oneof": [{}]});
        let found = doubts(&document);
        for part in ["/shared/a~1b/requird: ", "/shared/c/minlength: ", "/$def: ", "/$def/d/not/enumm: ", "/oneof: "] {
            assert!(found.iter().any(|doubt| doubt.contains(part)), "{part} in {found:?}");
        }
        let found = doubts(&json!({"allOf": [{"ref": "#/shared/c"}]}));
        assert!(matches!(&found[..], [one] if one.contains("/allOf/0/ref: ") && one.contains("$ref")), "{found:?}");
    }

    #[test]
    fn a_document_that_is_no_schema_is_doubted() {
        assert!(doubts(&json!({"openapi": "3.1.0", "paths": {}})).first().unwrap().contains("OpenAPI"));
        assert!(doubts(&json!({"colour": "blue"})).first().unwrap().contains("accepts everything"));
        for fine in [json!({}), json!(true), json!({"title": "x"}), json!({"$ref": "#/a"})] {
            assert_eq!(doubts(&fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn a_type_that_does_not_exist_is_wrong() {
        let findings =
            look(&SchemaName("a.json".to_owned()), &json!({"properties": {"a": {"type": ["strng", "null"]}}}));
        let text = findings.problems.first().unwrap().to_string();
        assert!(text.contains("/properties/a/type") && text.contains("did you mean \"string\"?"), "{text}");
    }
}
