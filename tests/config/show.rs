//! `config show`: its output is a file with the same meaning, and no default is left out.
//!
//! `show/every-key.yaml` has every key of the format, and `show/minimal.yaml` only the required ones; the golden output
//! of each stands beside it. `UPDATE=1 cargo test --test config` writes the current output.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hookgate::config::check::CheckedFile;
use hookgate::config::schema::schema;
use hookgate::config::show::Shown;
use hookgate::config::{Severity, render};
use serde_json::Value;

use super::meaning::Around;

const EVERY_KEY: &str = include_str!("show/every-key.yaml");
const MINIMAL: &str = include_str!("show/minimal.yaml");
const EXAMPLE: &str = include_str!("../../routes.yaml");

/// Values of the environment that must not be shown.
const HIDDEN: &[&str] = &["hunter2", "aHVudGVyM", "T0/B0/xyz", "s3cr3t-prefix"];

fn around() -> Around {
    let (mut around, _) = Around::of("");
    for (name, value) in [
        ("DATA", "/srv/hook gate"),
        ("PROXY", "172.16.0.0/12"),
        ("LEVEL", "debug"),
        ("HOST", "billing.internal"),
        ("PORT", "8900"),
        ("NUMBER", "12"),
        ("PREFIX", "s3cr3t-prefix"),
        ("SERVICES", "http://127.0.0.1:9000"),
        ("SLACK_PATH", "T0/B0/xyz"),
        ("HOOK", "https://hooks.slack.com/services/T0/B0/xyz"),
        ("TOKEN", "hunter2hunter2hunter2hunter2hunter2"),
        ("SECRET", "hunter2"),
        ("GITHUB_WEBHOOK_SECRET", "hunter2"),
        ("STRIPE_WEBHOOK_SECRET", "hunter2"),
        ("SHOP_WEBHOOK_SECRET", "hunter2"),
    ] {
        around.set(name, value);
    }
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    around.write("tls.crt", made.cert.pem().as_bytes());
    around.write("tls.key", made.signing_key.serialize_pem().as_bytes());
    around.write("own.key", b"hunter2");
    around.write("credentials/asked", b"hunter2");
    let signing = b"whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==";
    around.set("SIGNING", str::from_utf8(signing).unwrap());
    around.write("signing.key", signing);
    around.write("credentials/signing", signing);
    around.write("transforms/a.js", b"export default (event) => event");
    around.write("schemas/own/a.json", b"{}");
    around.set("CREDENTIALS_DIRECTORY", &around.place("credentials"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["github", "stripe"] {
        for entry in fs::read_dir(root.join("schemas").join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().unwrap().to_str().unwrap();
            around.write(&format!("schemas/{folder}/{name}"), &fs::read(&file).unwrap());
        }
    }
    around
}

#[track_caller]
fn valid(around: &Around, checked: &CheckedFile) {
    let errors = checked.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    assert_eq!(errors, 0, "{}", render::text(&checked.problems, checked.spans.files(), false));
    assert!(checked.setup.is_some(), "{}", around.place(""));
}

#[track_caller]
fn shown(around: &Around, yaml: &str) -> Shown {
    let checked = around.survey(yaml);
    valid(around, &checked);
    Shown::of(&checked, &|name| around.variable(name)).unwrap()
}

/// Returns the whole meaning of a file, as text.
#[track_caller]
pub(crate) fn meaning(around: &Around, yaml: &str) -> String {
    let checked = around.check(yaml);
    valid(around, &checked);
    let log = checked.log.unwrap_or_default();
    let log = (log.format.unwrap_or_default(), log.level.unwrap_or_default());
    let mut setup = checked.setup.unwrap();
    let destinations: BTreeMap<_, _> = std::mem::take(&mut setup.live.destinations).into_iter().collect();
    format!("{log:?}\n{destinations:#?}\n{setup:#?}")
}

fn first_difference(one: &str, other: &str) -> String {
    let lines: Vec<(&str, &str)> = one.lines().zip(other.lines()).collect();
    let Some(at) = lines.iter().position(|(one, other)| one != other) else { return "the length".to_owned() };
    let near = lines.iter().skip(at.saturating_sub(12)).take(15);
    let part: Vec<String> = near.map(|(one, other)| format!("{one}\n   now {other}")).collect();
    part.join("\n")
}

#[test]
fn what_is_shown_is_a_file_that_means_the_same() {
    let around = around();
    for yaml in [EXAMPLE, EVERY_KEY, MINIMAL] {
        let text = shown(&around, yaml).yaml();
        let (before, after) = (meaning(&around, yaml), meaning(&around, &text));
        assert!(before == after, "{}", first_difference(&before, &after));
        // The output has every key, so showing it again changes nothing.
        let again = shown(&around, &text).yaml();
        assert_eq!(without_origins(&again), without_origins(&text));
        assert!(!again.contains("# default"), "{again}");
    }
}

fn without_origins(yaml: &str) -> String {
    let values = yaml.lines().map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value.trim_end()));
    values.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_golden_files_show_what_is_shown() {
    let around = around();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/show");
    for (name, yaml) in [("every-key", EVERY_KEY), ("minimal", MINIMAL)] {
        let shown = shown(&around, yaml);
        for (form, now) in [("yaml", shown.yaml()), ("json", shown.json())] {
            let now = now.replace(&around.place(""), "");
            let file = folder.join(format!("{name}.shown.{form}"));
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&file, &now).unwrap();
            }
            assert!(fs::read_to_string(&file).unwrap_or_default() == now, "{}:\n{now}", file.display());
        }
    }
}

#[test]
fn no_secret_is_shown_and_none_is_opened() {
    let around = around();
    for yaml in [EXAMPLE, EVERY_KEY] {
        let shown = shown(&around, yaml);
        for text in [shown.yaml(), shown.json()] {
            for hidden in HIDDEN {
                assert!(!text.contains(hidden), "{hidden}:\n{text}");
            }
        }
    }
    // The output is the same when none of these files can be read.
    for name in ["own.key", "tls.key", "tls.crt", "credentials/asked"] {
        fs::remove_file(around.path().join(name)).unwrap();
    }
    assert!(around.check(EVERY_KEY).setup.is_none());
    assert!(shown(&around, EVERY_KEY).yaml().contains("file: own.key"));
}

/// One step of a path through the schema.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    /// Any name of the user's.
    Any,
    Item,
}

fn written(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Key(key) => format!(".{key}"),
        Step::Any => ".*".to_owned(),
        Step::Item => "[]".to_owned(),
    });
    steps.collect::<String>().trim_start_matches('.').to_owned()
}

/// Collects every path of the schema that leads to a scalar, with a flag: true when the key is required.
fn leaves(root: &Value, schema: &Value, path: &mut Vec<Step>, is_required: bool, found: &mut Vec<(Vec<Step>, bool)>) {
    // Rows and schemes are shown as in the file.
    if matches!(path.last(), Some(Step::Key(key)) if key == "verify" || key == "providers") {
        found.push((path.clone(), is_required));
        return;
    }
    // The keys of `answers` are outcomes, all of one form.
    let is_of_outcomes = path.last() == Some(&Step::Key("answers".to_owned()));
    let mut deeper = |step: Step, schema: &Value, is_required: bool| {
        path.push(step);
        leaves(root, schema, path, is_required, found);
        path.pop();
    };
    let mut is_leaf = schema.get("type").is_some_and(|kind| kind != "object" && kind != "array");
    is_leaf |= schema.get("const").is_some() || schema.get("enum").is_some();
    let required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|one| one == key));
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let step = if is_of_outcomes { Step::Any } else { Step::Key(key.clone()) };
        // Of keys that exclude each other, any one will do.
        let others = schema["oneOf"].as_array().into_iter().flatten();
        if !others.clone().any(|other| other.pointer("/required/0") == Some(&Value::from(key.as_str()))) {
            deeper(step, value, required(key));
        }
    }
    let is_map = schema.get("properties").is_none();
    let names = schema["patternProperties"].as_object().into_iter().flat_map(|all| all.values());
    for value in names.chain(schema.get("additionalProperties")).filter(|value| is_map && value.is_object()) {
        deeper(Step::Any, value, true);
    }
    if let Some(items) = schema.get("items") {
        deeper(Step::Item, items, is_required);
    }
    let alternatives = ["anyOf", "oneOf"].iter().flat_map(|word| schema[word].as_array().into_iter().flatten());
    let referred = schema["$ref"].as_str().map(|name| root.pointer(name.trim_start_matches('#')).unwrap());
    for one in alternatives.chain(referred) {
        leaves(root, one, path, is_required, found);
    }
    if is_leaf && found.iter().all(|(known, _)| known != path) {
        found.push((path.clone(), is_required));
    }
}

fn all_leaves() -> Vec<(Vec<Step>, bool)> {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut found = Vec::new();
    leaves(&schema, &schema, &mut Vec::new(), true, &mut found);
    assert!(found.len() > 100, "{found:?}");
    found
}

fn has(value: &Value, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    match step {
        Step::Key(key) => value.get(key).is_some_and(|value| has(value, rest)),
        Step::Any => value.as_object().is_some_and(|all| all.values().any(|value| has(value, rest))),
        // A single name may stand without a list.
        Step::Item => value.as_array().is_some_and(|all| all.iter().any(|value| has(value, rest))),
    }
}

#[test]
fn the_file_with_every_key_has_every_key() {
    let file: Value = serde_yaml::from_str(EVERY_KEY).unwrap();
    let missing: Vec<String> =
        all_leaves().iter().filter(|(path, _)| !has(&file, path)).map(|(path, _)| written(path)).collect();
    assert!(missing.is_empty(), "add to tests/config/show/every-key.yaml: {missing:#?}");
}

/// Optional keys without a default, by the beginning of their paths, each with the reason.
const WITHOUT_DEFAULT: &[(&str, &str)] = &[
    ("admin.token", "none, on loopback"),
    ("defaults.destination", "each destination shows what is in force"),
    ("destinations.*.balance.key", "only `consistent_hash` has one, and must"),
    ("listeners.*.serve", "takes events without"),
    ("providers", "a row is as it is written"),
    ("capture.redact", "nothing is hidden"),
    ("destinations.*.headers", "none is set"),
    ("destinations.*.sign", "not signed"),
    ("destinations.*.tls", "as the URL says"),
    ("include", "what it names is shown itself"),
    ("routes.*.events", "all events"),
    ("routes.*.order_by", "no order"),
    ("routes.*.when", "no condition"),
    ("server.public_url", "only the operator knows it"),
    ("server.tracing", "no spans are sent"),
    ("server.trusted_proxies", "none"),
    ("sources.*.allow_ips", "all addresses"),
    ("sources.*.answers", "`hookgate answers` prints those of the provider"),
    ("sources.*.content_types", "all types"),
    ("sources.*.context", "only the operator knows it"),
    ("sources.*.handshake", "not armed, and nothing handed over"),
    ("sources.*.host", "any host"),
    ("sources.*.public_url", "that of the server, where it has one"),
    ("sources.*.schemas.assert", "format and content are notes"),
    ("sources.*.schemas.dir", "no folder"),
    ("routes.*.transform", "not transformed"),
    ("sources.*.verify", "a scheme is as it is written"),
    ("sources.*.forward_secret", "what is in the query stays here, what is in a header goes on"),
    ("sources.*.secrets", "named after their place, at any time"),
];

#[test]
fn every_key_with_a_default_is_filled_in() {
    let shown: Value = serde_json::from_str(&shown(&around(), MINIMAL).json()).unwrap();
    let optional: Vec<Vec<Step>> =
        all_leaves().into_iter().filter(|(_, is_required)| !is_required).map(|(path, _)| path).collect();
    let absent: Vec<String> = optional.iter().filter(|path| !has(&shown, path)).map(|path| written(path)).collect();
    let is_excepted = |path: &str| WITHOUT_DEFAULT.iter().any(|(start, _)| path.starts_with(start));
    let forgotten: Vec<&String> = absent.iter().filter(|path| !is_excepted(path)).collect();
    assert!(
        forgotten.is_empty(),
        "fill these in (src/config/show), or add them to WITHOUT_DEFAULT with the reason: {forgotten:#?}"
    );
    let idle: Vec<&str> = WITHOUT_DEFAULT.iter().map(|(start, _)| *start).collect();
    let idle = idle.into_iter().filter(|start| !absent.iter().any(|path| path.starts_with(start)));
    assert_eq!(idle.collect::<Vec<_>>(), [""; 0], "these are filled in now");
}
