//! Every piece of YAML on a page is right: keys, values and units are those of the schemas.

use std::path::Path;

use serde_json::{Value, json};

use super::{read, root};

/// The pages with pieces of routes.yaml.
const FOLDERS: [&str; 4] = ["docs", "docs/guides", "docs/operate", "docs/design"];

fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    for folder in FOLDERS {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let markdown = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.extend(markdown.map(|path| inside(&path)));
    }
    pages.sort();
    pages
}

fn inside(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// A schema in which nothing is required at the top, because a page shows pieces.
fn schema(path: &str) -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(&read(path)).unwrap();
    schema["required"] = json!([]);
    jsonschema::validator_for(&schema).unwrap()
}

/// Returns the files that a piece may belong to: the whole file, sources or destinations, or one of them.
fn wholes(piece: &Value) -> [Value; 5] {
    [
        piece.clone(),
        json!({"sources": piece}),
        json!({"destinations": piece}),
        json!({"sources": {"x": with(piece, "path", "/x")}}),
        json!({"destinations": {"x": with(piece, "url", "http://x/")}}),
    ]
}

/// The piece with a member that every whole has.
fn with(piece: &Value, key: &str, value: &str) -> Value {
    let mut whole = piece.clone();
    if let Some(members) = whole.as_object_mut() {
        members.entry(key).or_insert_with(|| value.into());
    }
    whole
}

#[test]
fn every_piece_of_yaml_on_a_page_fits_the_schemas() {
    let (routes, tests) = (schema("schemas/routes.schema.json"), schema("schemas/tests.schema.json"));
    let mut findings = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for piece in read(&page).split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            seen += 1;
            let value: Value = serde_yaml::from_str(piece).unwrap_or_else(|error| panic!("{page}: {error}\n{piece}"));
            if tests.is_valid(&value) || wholes(&value).iter().any(|whole| routes.is_valid(whole)) {
                continue;
            }
            let why: Vec<String> = wholes(&value)
                .iter()
                .flat_map(|whole| routes.iter_errors(whole).map(|error| error.to_string()).take(1).collect::<Vec<_>>())
                .collect();
            findings.push(format!("{page}:\n{piece}{}", why.join("\n")));
        }
    }
    assert!(seen > 20, "{seen}");
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}
