//! The types that the format expects at a path, by the JSON Schema that is generated from the types of `raw`.

use std::sync::LazyLock;

use serde_json::Value;

use crate::config::raw;
use crate::config::spans::Seg;

/// The type of a scalar at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A number or a boolean, perhaps beside some words.
    Number,
    /// Text of a narrow form: a quantity, an address, a day, one of some words.
    Narrow,
    /// A URL.
    Url,
    /// Any text, under a key of the format.
    Text,
    /// An unknown type, or text under a name of the user's.
    Unknown,
}

/// The limit of references and alternatives within each other.
const DEPTH_MAX: usize = 16;

pub(super) struct Types(Value);

/// The schema, which is the same for every file.
static TYPES: LazyLock<Types> = LazyLock::new(|| Types(schemars::schema_for!(raw::File).to_value()));

impl Types {
    pub(super) fn of_the_format() -> &'static Self {
        &TYPES
    }

    pub(super) fn at(&self, path: &[Seg<'_>]) -> Type {
        let mut here = Vec::new();
        self.unfold(&self.0, 0, &mut here);
        let mut is_named = false;
        for seg in path {
            if let Seg::Key(key) = seg {
                is_named = here.iter().any(|schema| schema.get("properties").is_some_and(|all| all.get(key).is_some()));
            }
            let mut next = Vec::new();
            for schema in here.iter().filter_map(|schema| step(schema, *seg)) {
                self.unfold(schema, 0, &mut next);
            }
            here = next;
        }
        // The first type that fits: where any text is allowed, a number is not expected.
        let all: Vec<Type> = here.iter().map(|schema| type_of(schema)).collect();
        let order = [Type::Text, Type::Url, Type::Number, Type::Narrow];
        let found = order.into_iter().find(|one| all.contains(one));
        found.filter(|found| is_named || *found != Type::Text).unwrap_or(Type::Unknown)
    }

    /// Collects `schema` with all that it refers to and all its alternatives.
    fn unfold<'s>(&'s self, schema: &'s Value, depth: usize, found: &mut Vec<&'s Value>) {
        if depth > DEPTH_MAX {
            return;
        }
        found.push(schema);
        if let Some(name) = schema.get("$ref").and_then(Value::as_str)
            && let Some(schema) = name.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer))
        {
            self.unfold(schema, depth + 1, found);
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for schema in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
                self.unfold(schema, depth + 1, found);
            }
        }
    }
}

fn step<'s>(schema: &'s Value, seg: Seg<'_>) -> Option<&'s Value> {
    match seg {
        Seg::Index(_) => schema.get("items"),
        Seg::Key(key) => {
            let named = schema.get("properties").and_then(|properties| properties.get(key));
            // Names of entries have a pattern; the keys that begin with `x-` are gone.
            let patterns = || schema.get("patternProperties")?.as_object()?.values().next();
            named.or_else(patterns).or_else(|| schema.get("additionalProperties"))
        }
    }
}

fn type_of(schema: &Value) -> Type {
    let is = |name: &str| match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    };
    let words =
        schema.get("const").into_iter().chain(schema.get("enum").and_then(Value::as_array).into_iter().flatten());
    let words: Vec<&Value> = words.collect();
    let is_narrow = ["pattern", "format", "examples"].iter().any(|word| schema.get(word).is_some());
    if schema.get("$ref").is_some_and(|name| name == "#/$defs/Url" || name == "#/$defs/TargetUrl") {
        Type::Url
    } else if is("integer") || is("number") || is("boolean") || words.iter().any(|word| word.is_number()) {
        // `type: [string, integer]` is text first.
        if is("string") { Type::Text } else { Type::Number }
    } else if is_narrow || !words.is_empty() {
        Type::Narrow
    } else if is("string") {
        Type::Text
    } else {
        Type::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::path;

    #[test]
    fn the_type_of_a_key_is_known_however_it_is_reached() {
        let types = Types::of_the_format();
        for (path, expected) in [
            (&path!["version"][..], Type::Number),
            (&path!["server", "threads"], Type::Number),
            (&path!["server", "data_dir"], Type::Text),
            (&path!["server", "public_url"], Type::Url),
            (&path!["server", "trusted_proxies", 0], Type::Narrow),
            (&path!["admin", "listen"], Type::Narrow),
            (&path!["buffer", "fsync"], Type::Narrow),
            (&path!["destinations", "a", "concurrency"], Type::Number),
            (&path!["destinations", "a", "timeout"], Type::Narrow),
            (&path!["destinations", "a", "targets", 1, "url"], Type::Url),
            (&path!["destinations", "a", "retry", "retry_on", 2], Type::Number),
            (&path!["destinations", "a", "circuit_breaker", "failures"], Type::Number),
            (&path!["sources", "a", "enforce"], Type::Number),
            (&path!["sources", "a", "path"], Type::Text),
            (&path!["sources", "a", "context", "host"], Type::Unknown),
            (&path!["sources", "a", "host"], Type::Text),
            (&path!["sources", "a", "verify", "header"], Type::Text),
            (&path!["routes", "a", "to"], Type::Text),
            (&path!["routes", "a", "to", 0], Type::Text),
            (&path!["no", "such", "key"], Type::Unknown),
        ] {
            assert_eq!(types.at(path), expected, "{path:?}");
        }
    }
}
