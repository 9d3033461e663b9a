//! Schemas in a temporary folder, and the real ones of GitHub.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// Makes a root with these files.
fn root(files: &[(&str, Value)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (name, schema) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, schema.to_string()).unwrap();
    }
    root
}

fn params(root: &Path) -> SchemaParams {
    SchemaParams {
        dir: None,
        events: vec![],
        on_missing: OnFailure::Allow,
        on_invalid: OnFailure::Quarantine,
        root: root.to_owned(),
        asserted: Asserted::default(),
    }
}

fn from_disk(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

fn compiled(root: &Path, events: &[(&str, &str)]) -> Result<SchemaSet, Vec<SchemaProblem>> {
    let events = events.iter().map(|(event, file)| ((*event).to_owned(), root.join(file))).collect();
    SchemaSet::compile(SchemaParams { events, ..params(root) }, &from_disk)
}

fn set_of(schema: Value) -> SchemaSet {
    let root = root(&[("a.json", schema)]);
    compiled(root.path(), &[("*", "a.json")]).unwrap()
}

fn problems_of(set: &SchemaSet, document: &Value) -> (Vec<SchemaError>, bool) {
    match set.check("any", document) {
        SchemaVerdict::Invalid { problems, more, .. } => (problems, more),
        other => panic!("{other:?}"),
    }
}

fn name_of<'s>(set: &'s SchemaSet, event_type: &str) -> Option<&'s str> {
    match set.check(event_type, &Value::Null) {
        SchemaVerdict::NoSchema => None,
        SchemaVerdict::Valid { schema } | SchemaVerdict::Invalid { schema, .. } => Some(schema.as_str()),
    }
}

#[test]
fn an_exact_name_wins_over_globs_and_the_longest_literal_start_over_others() {
    let names =
        ["dir/push.json", "dir/invoice.paid.json", "all.json", "pr.json", "opened.json", "own.json", "either.json"];
    let root = root(&names.map(|name| (name, json!({}))));
    let events = [
        ("*", "all.json"),
        ("pull_request.*", "pr.json"),
        ("pull_request.opened", "opened.json"),
        ("push", "own.json"),
        ("{issue,ping}*", "either.json"),
    ];
    let events = events.map(|(event, file)| (event.to_owned(), root.path().join(file))).to_vec();
    let dir = Some(root.path().join("dir"));
    let set = SchemaSet::compile(SchemaParams { dir, events, ..params(root.path()) }, &from_disk).unwrap();
    for (event_type, expected) in [
        ("invoice.paid", "dir/invoice.paid.json"),
        ("push", "own.json"),
        ("pull_request.opened", "opened.json"),
        ("pull_request.closed", "pr.json"),
        ("other", "all.json"),
        ("../../etc/passwd", "all.json"),
        ("ping", "all.json"),
    ] {
        assert_eq!(name_of(&set, event_type), Some(expected), "{event_type}");
    }
}

#[test]
fn an_event_type_without_a_schema_has_none_and_is_never_a_path() {
    let root = root(&[("dir/push.json", json!({})), ("secret.json", json!({}))]);
    let dir = Some(root.path().join("dir"));
    let set = SchemaSet::compile(SchemaParams { dir, ..params(root.path()) }, &from_disk).unwrap();
    for event_type in ["../secret", "dir/push", "push.json", "", "/", "Push"] {
        assert_eq!(set.check(event_type, &Value::Null), SchemaVerdict::NoSchema, "{event_type}");
    }
    assert_eq!(name_of(&set, "push"), Some("dir/push.json"));
}

#[test]
fn nothing_leaves_the_root() {
    let outside = root(&[("secret.json", json!({}))]);
    let secret = outside.path().join("secret.json");
    let root = root(&[("up.json", json!({"$ref": "../secret.json"})), ("link.json", json!({"$ref": "sym.json"}))]);
    std::os::unix::fs::symlink(&secret, root.path().join("sym.json")).unwrap();
    let foreign = |reference: &str, schema: &str| {
        vec![SchemaProblem::ForeignRef { schema: SchemaName(schema.to_owned()), reference: reference.to_owned() }]
    };
    assert_eq!(compiled(root.path(), &[("a", "up.json")]).unwrap_err(), foreign("../secret.json", "up.json"));
    for file in ["link.json", "sym.json", secret.to_str().unwrap()] {
        let problems = compiled(root.path(), &[("a", file)]).unwrap_err();
        assert!(matches!(&problems[..], [SchemaProblem::Outside { .. }]), "{problems:?}");
    }
    for reference in ["file:///etc/passwd", "http://127.0.0.1/x.json", "/etc/passwd", "https://json-schema.example/x"] {
        fs::write(root.path().join("a.json"), json!({"properties": {"a": {"$ref": reference}}}).to_string()).unwrap();
        assert_eq!(compiled(root.path(), &[("a", "a.json")]).unwrap_err(), foreign(reference, "a.json"));
    }
    let based = json!({"$id": "https://acme.example/schemas/a.json", "$ref": "b.json"});
    fs::write(root.path().join("a.json"), based.to_string()).unwrap();
    fs::write(root.path().join("b.json"), "{}").unwrap();
    compiled(root.path(), &[("a", "a.json")]).unwrap();
    fs::remove_file(root.path().join("b.json")).unwrap();
    let missing = compiled(root.path(), &[("a", "a.json")]).unwrap_err();
    assert!(matches!(&missing[..], [SchemaProblem::Unreadable { .. }]), "{missing:?}");
}

#[test]
fn a_schema_that_is_published_under_a_url_finds_the_files_beside_it() {
    let id = |name: &str| format!("https://schemas.example.com/v1/{name}");
    let root = root(&[
        (
            "s/push.json",
            json!({"$id": id("push.json"), "properties": {"n": {"$ref": "common.json#/definitions/n"},
            "m": {"$ref": id("more.json")}, "o": {"$ref": "https://elsewhere.example/other"}}}),
        ),
        ("s/common.json", json!({"definitions": {"n": {"$ref": "number.json"}}})),
        ("s/number.json", json!({"$id": id("number.json"), "type": "integer"})),
        ("s/more.json", json!({"$ref": "number.json"})),
        ("s/named-otherwise.json", json!({"$id": "https://elsewhere.example/other", "type": "boolean"})),
    ]);
    let set = compiled(root.path(), &[("push", "s/push.json")]).unwrap();
    let is_valid = |document: Value| matches!(set.check("push", &document), SchemaVerdict::Valid { .. });
    assert!(is_valid(json!({"n": 1, "m": 2, "o": true})));
    for wrong in [json!({"n": "1"}), json!({"m": "2"}), json!({"o": 1})] {
        assert!(!is_valid(wrong.clone()), "{wrong}");
    }
}

#[test]
fn a_schema_of_draft_04_and_one_with_a_urn_find_their_files_too() {
    let root = root(&[
        (
            "old.json",
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://e.example/old.json#",
            "properties": {"q": {"$ref": "b.json"}}}),
        ),
        ("b.json", json!({"$id": "urn:x:b", "type": "integer"})),
        ("urn.json", json!({"properties": {"q": {"$ref": "urn:x:b"}}})),
        ("api.json", json!({"openapi": "3.1.0", "components": {"schemas": {"A": {"type": "object"}}}})),
        ("part.json", json!({"$ref": "api.json#/components/schemas/A"})),
    ]);
    for file in ["old.json", "urn.json"] {
        let set = compiled(root.path(), &[("a", file)]).unwrap();
        assert!(matches!(set.check("a", &json!({"q": "1"})), SchemaVerdict::Invalid { .. }), "{file}");
    }
    assert_eq!(compiled(root.path(), &[("a", "part.json")]).unwrap().doubts(), [], "only a part of it is meant");
    assert_eq!(compiled(root.path(), &[("a", "api.json")]).unwrap().doubts().len(), 1);
}

#[test]
fn a_byte_order_mark_before_a_schema_is_read_over() {
    let root = root(&[]);
    fs::write(root.path().join("a.json"), b"\xef\xbb\xbf{\"type\": \"object\"}").unwrap();
    compiled(root.path(), &[("a", "a.json")]).unwrap();
}

#[test]
fn without_a_schema_there_is_nothing_to_find_and_a_missing_folder_hides_no_fault() {
    let outside = root(&[("push.json", json!({}))]);
    let nowhere = outside.path().join("schemas");
    SchemaSet::compile(params(&nowhere), &from_disk).unwrap();
    let events = vec![("push".to_owned(), outside.path().join("push.json"))];
    let problems = SchemaSet::compile(SchemaParams { events, ..params(&nowhere) }, &from_disk).unwrap_err();
    assert!(matches!(&problems[..], [SchemaProblem::Outside { .. }]), "{problems:?}");
}

#[test]
fn references_to_files_inside_the_root_are_followed() {
    let root = root(&[
        ("github/a b.json", json!({"properties": {"user": {"$ref": "../common/user.json#/$defs/user"}}})),
        ("common/user.json", json!({"$defs": {"user": {"$ref": "#/$defs/named"}, "named": {"$ref": "named.json"}}})),
        (
            "common/named.json",
            json!({"required": ["name"], "properties": {"friend": {"$ref": "user.json#/$defs/user"}}}),
        ),
        ("meta.json", json!({"$ref": "https://json-schema.org/draft/2020-12/schema"})),
    ]);
    let set = compiled(root.path(), &[("a", "github/a b.json"), ("meta", "meta.json")]).unwrap();
    assert!(matches!(
        set.check("a", &json!({"user": {"name": 1, "friend": {"name": 2}}})),
        SchemaVerdict::Valid { .. }
    ));
    assert!(matches!(set.check("a", &json!({"user": {"name": 1, "friend": {}}})), SchemaVerdict::Invalid { .. }));
    assert!(matches!(set.check("meta", &json!({"type": 5})), SchemaVerdict::Invalid { .. }));
}

#[test]
fn every_problem_is_reported_with_its_file() {
    let root = root(&[
        ("look.json", json!({"properties": {"a": {"pattern": "^(?=.*[0-9])(?=.*[a-z]).{8,}$"}}})),
        ("back.json", json!({"patternProperties": {"(a)\\1": {}}})),
        ("bad.json", json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": 5})),
        ("draft.json", json!({"$schema": "https://acme.example/schema"})),
        ("nowhere.json", json!({"$ref": "#/nowhere"})),
        ("gone.json", json!({"$ref": "gone/x.json"})),
    ]);
    fs::write(root.path().join("text.json"), "{\n oops").unwrap();
    fs::write(root.path().join("huge.json"), " ".repeat(FILE_BYTES_MAX + 1)).unwrap();
    let params = SchemaParams {
        dir: Some(root.path().to_owned()),
        events: vec![("[".to_owned(), root.path().join("a"))],
        ..params(root.path())
    };
    let problems = SchemaSet::compile(params, &from_disk).unwrap_err();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "back.json: the pattern \"(a)\\1\" at ",
        "bad.json: /type: the schema is not valid under any",
        "draft.json: \"$schema\": \"https://acme.example/schema\" is not known",
        "gone/x.json: does not exist",
        "huge.json: has 8388609 bytes, more than 8388608",
        "look.json: the pattern \"^(?=.*[0-9])(?=.*[a-z]).{8,}$\" at /properties/a/pattern cannot be used",
        "nowhere.json: a \"$ref\" leads nowhere: Pointer '/nowhere' does not exist",
        "text.json:2:2: is not JSON",
        "the event pattern \"[\": ",
    ] {
        assert!(texts.iter().any(|text| text.contains(expected)), "{expected}\n{texts:#?}");
    }
    assert_eq!(problems.len(), 9, "{texts:#?}");
}

#[test]
fn drafts_differ_as_they_should() {
    let tuple = |draft: Value| json!({"$schema": draft, "items": [{"type": "string"}], "additionalItems": false});
    let set = set_of(tuple(json!("http://json-schema.org/draft-07/schema#")));
    assert!(matches!(set.check("a", &json!(["a", 1])), SchemaVerdict::Invalid { .. }));
    let set = set_of(json!({"prefixItems": [{"type": "string"}], "items": false}));
    assert!(matches!(set.check("a", &json!(["a", 1])), SchemaVerdict::Invalid { .. }));
}

#[test]
fn format_and_content_are_notes_in_every_draft_unless_the_source_asserts_them() {
    for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
        let root = root(&[(
            "a.json",
            json!({"$schema": draft, "properties": {"f": {"format": "ipv4"}, "c": {"contentMediaType": "application/json"},
                "e": {"contentEncoding": "base64"}}}),
        )]);
        for (asserted, of_format, of_content) in [
            (Asserted::default(), true, true),
            (Asserted { format: true, content: false }, false, true),
            // Draft 2019-09 and later never assert content, whoever asks.
            (Asserted { format: false, content: true }, true, draft.contains("2020")),
        ] {
            let events = vec![("a".to_owned(), root.path().join("a.json"))];
            let set = SchemaSet::compile(SchemaParams { events, asserted, ..params(root.path()) }, &from_disk).unwrap();
            let is_valid = |document: Value| matches!(set.check("a", &document), SchemaVerdict::Valid { .. });
            assert_eq!(is_valid(json!({"f": "no address"})), of_format, "{draft} {asserted:?}");
            assert_eq!(is_valid(json!({"c": "no json"})), of_content, "{draft} {asserted:?}");
            assert_eq!(is_valid(json!({"e": "no base64!"})), of_content, "{draft} {asserted:?}");
        }
    }
}

#[test]
fn messages_name_the_place_but_never_the_value() {
    let set = set_of(json!({
        "required": ["id", "name"], "additionalProperties": false, "dependentRequired": {"id": ["kind"]},
        "properties": {
            "id": {"type": "integer"}, "mail": {"type": "string", "pattern": "^x$", "maxLength": 3}, "kind": {"enum": ["a", "b"]},
            "fixed": {"const": 7}, "low": {"maximum": 3}, "list": {"uniqueItems": true, "contains": {"const": 1}},
            "map": {"propertyNames": {"maxLength": 3}}, "either": {"oneOf": [{"type": "null"}, {"type": "integer"}]},
            "rest": {"prefixItems": [true], "unevaluatedItems": false}
        }
    }));
    let secret = "ann@secret.example";
    let (problems, more) = problems_of(
        &set,
        &json!({
            "id": secret, "mail": secret, "kind": secret, "fixed": secret, "low": 99_887_766, "list": [secret, secret],
            "map": {secret: 1}, "either": secret, "rest": [1, secret], secret: 1, "extra_name": 1, "nested": {"x": secret}
        }),
    );
    assert!(!more);
    let text = format!("{problems:?}");
    assert!(!text.contains("secret") && !text.contains("99887766"), "{text}");
    let message_at = |path: &str| {
        problems.iter().find(|problem| problem.instance_path == path).map(|problem| problem.message.as_str())
    };
    assert_eq!(message_at("/id"), Some("value is not of type \"integer\""));
    assert_eq!(message_at("/kind"), Some("value is not one of \"a\" or \"b\""));
    assert!(text.contains("not allowed here: \\\"extra_name\\\", \\\"nested\\\" and 1 more"), "{text}");
    assert!(text.contains("schema_path: \"/properties/id/type\""), "{text}");
}

#[test]
fn at_most_twenty_problems_are_reported_and_a_large_event_gets_its_first() {
    let set = set_of(json!({"items": {"type": "string"}}));
    let (problems, more) = problems_of(&set, &json!(vec![1; 100]));
    assert_eq!((problems.len(), more), (PROBLEMS_MAX, true));
    assert_eq!(problems_of(&set, &json!(vec![1; 20])).0.len(), 20);
    let (problems, more) = problems_of(&set, &json!(vec![1; 100_000]));
    assert_eq!((problems.len(), more, problems[0].instance_path.as_str()), (1, true, "/0"));
    let long = set_of(json!({"enum": ["x".repeat(5_000)]}));
    assert!(problems_of(&long, &json!("é")).0[0].message.len() <= MESSAGE_BYTES_MAX);
}

#[test]
fn a_choice_is_explained_by_the_branch_that_is_meant() {
    let definitions: serde_json::Map<String, Value> = (0..20).map(|n| {
        let schema = json!({"required": ["action", "n"], "properties": {"action": {"const": format!("a{n}")}, "n": {"type": "integer"}}});
        (format!("d{n}"), schema)
    }).collect();
    let branches: Vec<_> = (0..20).map(|n| json!({"$ref": format!("#/definitions/d{n}")})).collect();
    for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
        let set = set_of(json!({"$schema": draft, "oneOf": branches, "definitions": definitions}));
        assert!(matches!(set.check("x", &json!({"action": "a7", "n": 1})), SchemaVerdict::Valid { .. }));
        let (problems, _) = problems_of(&set, &json!({"action": "a7", "n": "x"}));
        assert_eq!(problems.iter().map(|problem| problem.instance_path.as_str()).collect::<Vec<_>>(), ["/n"]);
        assert_eq!(problems[0].schema_path, "/definitions/d7/properties/n/type");
        for document in [json!({"action": "zzz"}), json!({}), json!(5)] {
            assert_eq!(problems_of(&set, &document).0[0].instance_path, "/action");
        }
    }
    let plain: Vec<_> = (0..20).map(|n| json!({"required": [format!("r{n}")]})).collect();
    let (problems, more) = problems_of(&set_of(json!({"anyOf": plain})), &json!({}));
    assert!(more && problems[0].message.contains("20 alternatives"), "{problems:?}");
}

#[test]
fn the_github_schemas_accept_the_real_examples() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = project.join("schemas");
    let set = SchemaSet::compile(SchemaParams { dir: Some(root.join("github")), ..params(&root) }, &from_disk).unwrap();
    for (event, file) in
        [("push", "push"), ("pull_request", "pull_request.opened"), ("issues", "issues.opened"), ("ping", "ping")]
    {
        let text = fs::read(project.join(format!("tests/payloads/github/{file}.json"))).unwrap();
        let mut payload: Value = serde_json::from_slice(&text).unwrap();
        assert!(matches!(set.check(event, &payload), SchemaVerdict::Valid { .. }), "{event}");
        payload["sender"]["id"] = json!("ann@secret.example");
        let (problems, _) = match set.check(event, &payload) {
            SchemaVerdict::Invalid { problems, more, .. } => (problems, more),
            other => panic!("{event}: {other:?}"),
        };
        assert_eq!(problems[0].instance_path, "/sender/id", "{event}");
        assert!(!problems[0].message.contains("ann@"), "a message repeats no value of the payload");
    }
}

#[test]
fn a_set_is_shared_by_all_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<SchemaSet>();
}
