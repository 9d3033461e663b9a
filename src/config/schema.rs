//! The JSON Schema of the file, generated from the types of `raw`; `schemas/routes.schema.json` is written from it. The
//! schemas of other documents are generated in the same way.
//!
//! The schema is for editors. Where it cannot express a rule of the loader (names that must exist, one of two keys by
//! the type), it allows more, and never less. `${VAR}` is allowed for every number or word, as the loader reads it; in
//! documents without variables it is not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::defaults::{self, DEFAULTS};
use super::raw;

/// Returns the JSON Schema as pretty JSON, ending in a newline.
///
/// Keys are sorted here, because serde_json keeps or sorts them depending on a feature that any crate can turn on.
pub fn schema() -> String {
    let schema = schemars::schema_for!(raw::File);
    pretty(with_defaults(for_editors(schema.to_value(), or_variable)))
}

/// Returns the schema of a document that [`super::document`] reads, which has no variables.
pub fn document_schema<T: JsonSchema>() -> String {
    let schema = schemars::schema_for!(T);
    pretty(for_editors(schema.to_value(), |schema| schema))
}

fn pretty(schema: Value) -> String {
    serde_json::to_string_pretty(&Sorted::of(schema)).map(|text| text + "\n").unwrap_or_default()
}

/// The last change to each schema.
type Finish = fn(Map<String, Value>) -> Map<String, Value>;

#[derive(Serialize)]
#[serde(untagged)]
enum Sorted {
    Object(BTreeMap<String, Self>),
    Array(Vec<Self>),
    Scalar(Value),
}

impl Sorted {
    fn of(value: Value) -> Self {
        match value {
            Value::Object(entries) => {
                Self::Object(entries.into_iter().map(|(key, value)| (key, Self::of(value))).collect())
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::of).collect()),
            scalar => Self::Scalar(scalar),
        }
    }
}

fn with_defaults(mut schema: Value) -> Value {
    for (kind, key, default) in DEFAULTS {
        let property = schema.pointer_mut(&format!("/$defs/{kind}/properties/{key}")).and_then(Value::as_object_mut);
        if let Some(property) = property {
            let default = match *default {
                defaults::DefaultValue::Text(text) => Value::from(text),
                defaults::DefaultValue::Number(number) => Value::from(number),
                defaults::DefaultValue::Yes => Value::from(true),
            };
            property.insert("default".to_owned(), default);
        }
    }
    schema
}

/// Changes all schemas that `value` holds.
fn for_editors(value: Value, finish: Finish) -> Value {
    match value {
        Value::Object(schema) => {
            let schema = without_emptiness(without_null(schema));
            let inner = schema.into_iter().map(|(key, value)| match key.as_str() {
                // The keys here are names, not schemas.
                "properties" | "$defs" | "patternProperties" => (key, each_named(value, finish)),
                // The values here are no schemas: choices, defaults, and names of required keys.
                "enum" | "const" | "default" | "examples" | "required" | "enumDescriptions" => (key, value),
                _ => (key, for_editors(value, finish)),
            });
            Value::Object(finish(inner.collect()))
        }
        Value::Array(schemas) => Value::Array(schemas.into_iter().map(|schema| for_editors(schema, finish)).collect()),
        scalar => scalar,
    }
}

fn each_named(schemas: Value, finish: Finish) -> Value {
    let Value::Object(schemas) = schemas else { return schemas };
    Value::Object(schemas.into_iter().map(|(name, schema)| (name, for_editors(schema, finish))).collect())
}

/// Removes `null` from an optional property: a key is written with a value or not at all.
fn without_null(mut schema: Map<String, Value>) -> Map<String, Value> {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| !is_null(choice));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            schema.extend(only.into_iter().filter(|(key, _)| key != "description"));
        }
    }
    schema
}

/// Removes defaults that only mean that a key may be absent; an editor would write them into the file.
fn without_emptiness(mut schema: Map<String, Value>) -> Map<String, Value> {
    let is_empty = |default: &Value| match default {
        Value::Null | Value::Bool(false) => true,
        Value::Object(entries) => entries.values().all(Value::is_null) || entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    };
    if schema.get("default").is_some_and(is_empty) {
        schema.remove("default");
    }
    schema
}

/// Lets `${VAR}` stand for a number, a boolean or one of several words.
fn or_variable(mut schema: Map<String, Value>) -> Map<String, Value> {
    let is_word = |choice: &Value| choice.get("const").is_some_and(Value::is_string);
    let is_words = schema.contains_key("enum")
        || schema.get("oneOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().all(is_word));
    let is_number =
        schema.get("type").is_some_and(|kind| ["boolean", "integer", "number"].iter().any(|one| kind == one));
    if !is_words && !is_number {
        return schema;
    }
    let kept = ["description", "default", "examples", "doNotSuggest"];
    let mut outer: Map<String, Value> = Map::new();
    for key in kept {
        outer.extend(schema.remove_entry(key));
    }
    outer.insert("anyOf".to_owned(), json!([schema, { "type": "string", "pattern": r"\$\{" }]));
    outer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_one_of_a_key_that_there_is() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        for (kind, key, _) in DEFAULTS {
            let place = format!("/$defs/{kind}/properties/{key}/default");
            assert!(schema.pointer(&place).is_some(), "{place}");
        }
    }
}
