//! The JSON Schema for editors: it allows every file that the loader takes, and finds the most frequent mistakes.

use std::fs;
use std::path::Path;

use hookgate::config::schema::schema;
use serde_json::{Value, json};

use super::meaning::Around;
use super::{GOOD, MARK, golden_files};

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(&schema()).unwrap()).unwrap()
}

/// Returns YAML as JSON with merge keys resolved; `None` for invalid YAML.
fn json_of(yaml: &str) -> Option<Value> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(yaml).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
}

fn faults(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn a_good_file_fits_and_so_does_every_row_that_ships() {
    let validator = validator();
    let mut wrong = faults(&validator, &json_of(GOOD).unwrap());
    let rows = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provider/rows");
    let mut count = 0;
    for file in fs::read_dir(rows).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        count += 1;
        let row = json_of(&fs::read_to_string(&file).unwrap()).unwrap();
        let found = faults(&validator, &json!({ "version": 1, "providers": { "mine": row } }));
        wrong.extend(found.into_iter().map(|fault| format!("{}: {fault}", file.display())));
    }
    assert!(count > 200);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_loader_takes_fits_and_the_usual_mistakes_do_not() {
    let validator = validator();
    let (mut wrong, mut good, mut bad) = (Vec::new(), 0, 0);
    for file in [golden_files("tests/config"), golden_files("tests/config/meaning")].concat() {
        let text = fs::read_to_string(&file).unwrap();
        let (input, shown) = text.split_once(MARK).unwrap();
        let world = |line: &&str| ["env: ", "file: ", "|"].iter().any(|head| line.starts_with(head));
        let yaml: String = input.lines().skip_while(world).map(|line| [line, "\n"].concat()).collect();
        let Some(value) = json_of(&yaml) else { continue };
        let found = faults(&validator, &value);
        // Problems that an editor can find without names, files and the environment.
        let visible = ["unknown_key", "missing_unit", "wrong_type", "inline_secret"];
        // Values of variables, and values of `context` that are secrets by their provider.
        let hidden =
            ["variable-with-bad-value", "context-secrets"].iter().any(|name| file.ends_with(format!("{name}.test")));
        if !shown.contains("error[") {
            good += 1;
            wrong.extend(found.into_iter().map(|fault| format!("{}: {fault}", file.display())));
        } else if !hidden && visible.iter().any(|kind| shown.contains(&format!("error[{kind}]"))) {
            bad += 1;
            if found.is_empty() {
                wrong.push(format!("{}: fits", file.display()));
            }
        }
    }
    assert!(good > 30 && bad > 30, "{good} files are good, {bad} are not");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the defaults that the schema has for the keys of a type.
fn defaults(schema: &Value, kind: &str) -> Value {
    let keys = schema.pointer(&format!("/$defs/{kind}/properties")).unwrap().as_object().unwrap();
    let written = keys.iter().filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())));
    let written: serde_json::Map<_, _> = written.collect();
    assert!(!written.is_empty(), "{kind}");
    written.into()
}

#[test]
fn defaults_that_are_written_out_change_nothing() {
    let (mut around, _) = Around::of("");
    around.set("SECRET", "s");
    around.write("schemas/any.json", b"{}");
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let whole = |of: &dyn Fn(&str) -> Value| {
        let with = |mut one: Value, more: Value| {
            one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            one
        };
        let destination = with(
            of("Destination"),
            json!({"retry": of("Retry"), "dead_letter": of("DeadLetter"),
            "circuit_breaker": of("Breaker"), "health": with(of("Health"), json!({"path": "/"})),
            "targets": [with(of("Target"), json!({"url": "http://app/"})), {"url": "http://other/"}]}),
        );
        let schemas = with(of("Schemas"), json!({"events": {"push": "schemas/any.json"}}));
        let source = with(
            of("Source"),
            json!({"path": "/in/s", "provider": "github", "secrets": [{"env": "SECRET"}],
            "schemas": schemas}),
        );
        let file = json!({"version": 1, "server": of("Server"), "admin": of("Admin"), "buffer": of("Buffer"),
            "listeners": {"public": {"address": "127.0.0.1:8080", "limits": of("Limits")}},
            "sources": {"s": source}, "routes": {"r": {"from": "s", "to": "d"}}, "destinations": {"d": destination}});
        let checked = around.check(&file.to_string());
        assert_eq!(checked.problems, [], "{file:#}");
        format!("{:#?}", checked.setup.unwrap())
    };
    assert_eq!(whole(&|kind| defaults(&schema, kind)), whole(&|_| json!({})));
}
