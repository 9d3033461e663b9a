//! The page of all keys of routes.yaml, from its schema.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;

use super::{cell, is_current, read};

const PAGE: &str = "docs/reference/routes.md";

/// The schema, and the sections of the page: an object of the schema each, under the path where it is first used.
struct Keys {
    schema: Value,
    waiting: VecDeque<(String, String)>,
    known: BTreeSet<String>,
    paths: Vec<(String, String)>,
}

impl Keys {
    fn definition(&self, name: &str) -> &Value {
        &self.schema["$defs"][name]
    }

    /// Puts an object on the page, once.
    fn visit(&mut self, name: &str, path: &str) {
        if self.known.insert(name.to_owned()) {
            self.waiting.push_back((name.to_owned(), path.to_owned()));
            self.paths.push((name.to_owned(), path.to_owned()));
        }
    }

    /// The text of the type of `value`, a key at `path`.
    fn kind(&mut self, value: &Value, path: &str) -> String {
        if let Some(name) = reference(value) {
            return self.named(name, path);
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(parts) = value[several].as_array() {
                return self.either(&parts.clone(), path);
            }
        }
        if let Some(constant) = value.get("const") {
            return format!("`{}`", plain(constant));
        }
        if let Some(words) = value["enum"].as_array() {
            return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", ");
        }
        if let Some(patterns) = value["patternProperties"].as_object() {
            let inner = patterns.values().next().unwrap().clone();
            return format!("map: {}", self.kind(&inner, &format!("{path}.NAME")));
        }
        if value["additionalProperties"].is_object() {
            let inner = value["additionalProperties"].clone();
            return format!("map: {}", self.kind(&inner, &format!("{path}.NAME")));
        }
        if let Some(properties) = value["properties"].as_object() {
            let keys: Vec<String> = properties.keys().map(|key| format!("`{key}`")).collect();
            let inner = properties.values().next().unwrap().clone();
            return format!("map of {}: {}", keys.join(", "), self.kind(&inner, &format!("{path}.NAME")));
        }
        match &value["type"] {
            Value::String(kind) if kind == "array" => {
                let inner = value["items"].clone();
                format!("list of {}", self.kind(&inner, path))
            }
            Value::String(kind) => word(kind).to_owned(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" or "),
            _ => "any".to_owned(),
        }
    }

    /// The type by its name: a link to its section when it has keys, its forms otherwise.
    fn named(&mut self, name: &str, path: &str) -> String {
        let definition = self.definition(name).clone();
        if definition["properties"].is_object() {
            self.visit(name, path);
            let path = &self.paths.iter().find(|(known, _)| known == name).unwrap().1;
            return format!("[{}](#{})", title(name), anchor(path));
        }
        let text = self.kind(&definition, path);
        if text == "text" || text == "any" { title(name).to_lowercase() } else { text }
    }

    fn either(&mut self, parts: &[Value], path: &str) -> String {
        // Every value may be `${VAR}`, and the page says so once.
        let parts = parts.iter().filter(|part| part["pattern"] != "\\$\\{" && part["doNotSuggest"] != true);
        let mut texts: Vec<String> = Vec::new();
        for part in parts.filter(|part| part["type"] != "null") {
            let text = self.kind(part, path);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts.join(" or ").replace("` or `", "`, `")
    }
}

fn reference(value: &Value) -> Option<&str> {
    value["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn word(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "boolean" => "`true`, `false`",
        "integer" => "number",
        "object" => "map",
        other => other,
    }
}

/// `RateLimit` as people read it.
fn title(name: &str) -> String {
    let name = name.trim_end_matches("Spec").trim_end_matches(char::is_numeric);
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_' || *letter == '-').collect()
}

/// An example of a key, where the schema has one.
fn example(definition: &Value) -> String {
    definition["examples"].as_array().and_then(|all| all.first()).map(plain).unwrap_or_default()
}

/// The default, from the schema or from the description, where that says one value.
fn default(value: &Value, description: &str) -> String {
    if let Some(default) = value.get("default") {
        return if default == "" { "`\"\"`".to_owned() } else { format!("`{}`", plain(default)) };
    }
    let said =
        description.split_once("Default: ").or_else(|| description.split_once("; default ")).map(|(_, rest)| rest);
    let first = said.and_then(|rest| rest.split([';', '\n']).next()).and_then(|rest| rest.split(". ").next());
    let first = first.and_then(|rest| rest.split(", ").next());
    let first = first.unwrap_or_default().trim_end_matches(['.', ')']);
    if first.is_empty() || first.contains(' ') { String::new() } else { format!("`{}`", first.trim_matches('`')) }
}

fn section(keys: &mut Keys, page: &mut String, object: &Value, path: &str) {
    let required: BTreeSet<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("| Key | Type | Default | Example | Meaning |\n|---|---|---|---|---|\n");
    for (key, value) in object["properties"].as_object().unwrap() {
        // Short names for rows that were written before the long ones.
        if value["doNotSuggest"] == true {
            continue;
        }
        let inner = reference(value).map(|name| keys.definition(name).clone()).unwrap_or_default();
        let description = value["description"].as_str().or_else(|| inner["description"].as_str()).unwrap_or_default();
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let kind = keys.kind(value, &below);
        let of_inner = example(&inner);
        let example = Some(example(value)).filter(|text| !text.is_empty()).unwrap_or(of_inner);
        let example = if example.is_empty() { example } else { format!("`{example}`") };
        let default = if required.contains(key.as_str()) { "required".to_owned() } else { default(value, description) };
        let (kind, default, example) = (cell(&kind), cell(&default), cell(&example));
        writeln!(page, "| `{key}` | {kind} | {default} | {example} | {} |", cell(description)).unwrap();
    }
}

#[test]
fn the_page_of_keys_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(&read("schemas/routes.schema.json")).unwrap();
    let mut keys = Keys { schema: schema.clone(), waiting: VecDeque::new(), known: BTreeSet::new(), paths: Vec::new() };
    let mut page = "# Keys of routes.yaml\n\n\
        From `schemas/routes.schema.json`, which editors read too. Units are always written: `30s`, `64KiB`, `100/s`. \
        Every value may be `${VAR}` or `${VAR:-default}`, except for secrets. `NAME` is a name of yours. A heading is the \
        first place where the keys below it stand.\n\n## Top level\n\n"
        .to_owned();
    section(&mut keys, &mut page, &schema, "");
    while let Some((name, path)) = keys.waiting.pop_front() {
        let object = keys.definition(&name).clone();
        let description = object["description"].as_str().unwrap_or_default();
        write!(page, "\n## {path}\n\n{}\n\n", cell(description)).unwrap();
        section(&mut keys, &mut page, &object, &path);
    }
    is_current(PAGE, &page);
}
