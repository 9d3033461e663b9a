//! The JSON Schema of the file, generated from the types of `raw`; `schemas/routes.schema.json` is written from it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::raw;

/// The JSON Schema as pretty JSON, ending in a newline.
///
/// Keys are sorted here, because serde_json keeps or sorts them depending on a feature that any crate can turn on.
pub fn schema() -> String {
    let schema = schemars::schema_for!(raw::File);
    let sorted = Sorted::of(schema.to_value());
    serde_json::to_string_pretty(&sorted).map(|text| text + "\n").unwrap_or_default()
}

#[derive(Serialize)]
#[serde(untagged)]
enum Sorted {
    Object(BTreeMap<String, Self>),
    Array(Vec<Self>),
    Scalar(Value),
}

/// Takes `null` out of an optional property: a key is written with a value or not at all.
fn without_null(mut object: Map<String, Value>) -> Map<String, Value> {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| !is_null(choice));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
    object
}

impl Sorted {
    fn of(value: Value) -> Self {
        match value {
            Value::Object(entries) => {
                Self::Object(without_null(entries).into_iter().map(|(key, value)| (key, Self::of(value))).collect())
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::of).collect()),
            scalar => Self::Scalar(scalar),
        }
    }
}
