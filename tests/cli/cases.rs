//! `hookgate test` and `hookgate explain FILE`: the project's own cases, and the output for failing cases.

use std::fs;

use serde_json::Value;

use super::{Ended, end, hookgate, root};

const ROUTES: &str = "version: 1
listeners: {public: {address: 127.0.0.1:8080}}
sources:
  github: {path: /in/github, provider: github, secrets: [{file: /nowhere/secret}]}
  discord: {path: /in/discord, provider: discord, secrets: [{env: NOT_SET}]}
routes:
  large:
    from: github
    events: [push]
    when: body.size > 10 && (body.ref == \"main\" || body.forced)
    to: ci
    transform: {body: '{\"n\": body.size}', headers: {set: {X-Team: ci}}}
  chat: {from: discord, to: ci}
destinations:
  ci: {url: \"http://ci:8080/\", sign: {type: standard-webhooks, secrets: [{env: ALSO_NOT_SET}]}}
";

/// Creates a folder with the rules above and these cases.
fn folder(cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("routes.yaml"), ROUTES).unwrap();
    fs::create_dir(folder.path().join("cases")).unwrap();
    fs::write(folder.path().join("cases/some.yaml"), cases).unwrap();
    folder
}

#[track_caller]
fn test_in(folder: &tempfile::TempDir, args: &[&str]) -> Ended {
    end(hookgate(&["test", "cases"]).args(args).current_dir(folder.path()))
}

#[test]
fn the_projects_own_routes_have_cases_that_hold_and_leave_nothing_out() {
    let ended = end(hookgate(&["test", "--require-coverage"]).current_dir(root())).with(0);
    assert!(ended.stdout.contains(", 0 failed; coverage"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("never tested"), "{}", ended.stdout);
}

#[test]
fn a_case_that_fails_tells_what_came_and_why() {
    let folder = folder(
        "tests:
  - name: a small push is left alone
    given: {source: github, event: push, body: {size: 3, ref: main}}
    expect: {outcome: filtered, routes: []}
  - name: a large one goes to ci
    given: {source: github, event: push, body: {size: 11, ref: other, forced: false}}
    expect: {outcome: accepted, routes: [large]}
  - name: it is changed on its way
    given: {source: github, event: push, body: {size: 11, ref: main}}
    expect: {status: 202, outgoing: {ci: {body: {n: 12}, headers: {X-Team: team}}}}
",
    );
    let ended = test_in(&folder, &[]).with(3);
    let said: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(said[1], "  ok    a small push is left alone");
    assert_eq!(said[2], "  FAIL  a large one goes to ci");
    for line in [
        "          outcome: expected accepted, got filtered",
        "          routes: expected [large], got []",
        "            route `large`: the type fits, and its condition is false",
        "          status: expected 202, got 200",
        "          outgoing.ci.body.n: expected 12, got 11",
        "          outgoing.ci.headers.X-Team: expected `team`, got `ci`",
        "1 passed, 2 failed; coverage 7 of 9",
        "  never tested: route `large`: `body.forced` was never true",
    ] {
        assert!(said.contains(&line), "{line}\n{}", ended.stdout);
    }
    let lines = test_in(&folder, &["--format", "json"]).with(3);
    let lines: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[1]["passed"], &lines[1]["decision"]["outcome"]), (&false.into(), &"filtered".into()));
    assert_eq!((&lines[3]["passed"], &lines[3]["failed"]), (&1.into(), &2.into()));
}

#[test]
fn update_writes_what_came_and_leaves_all_else_as_it_is() {
    let folder = folder(
        "# Kept.
tests:
  - name: nothing is expected yet   # kept too
    given:
      source: github
      event: push
      body: {size: 3, ref: main}

  # And this.
  - name: something else is expected
    given: {source: github, event: push, body: {size: 11, ref: main}}
    expect:
      routes: [none]
      outgoing: {ci: {body: {n: 1}}}
  - name: this is right
    given: {source: github, event: push, tamper: signature, body: {size: 1}}
    expect: {status: 401}
",
    );
    let ended = test_in(&folder, &["--update"]).with(0);
    assert!(ended.stdout.contains("1 passed, 0 failed, 2 updated"), "{}", ended.stdout);
    let wanted = "# Kept.
tests:
  - name: nothing is expected yet   # kept too
    given:
      source: github
      event: push
      body: {size: 3, ref: main}
    expect:
      status: 200
      outcome: \"filtered\"
      routes: []
      destinations: []

  # And this.
  - name: something else is expected
    given: {source: github, event: push, body: {size: 11, ref: main}}
    expect:
      routes: [\"large\"]
      outgoing:
        ci: {\"body\":{\"n\":11}}
  - name: this is right
    given: {source: github, event: push, tamper: signature, body: {size: 1}}
    expect: {status: 401}
";
    assert_eq!(fs::read_to_string(folder.path().join("cases/some.yaml")).unwrap(), wanted);
    test_in(&folder, &[]).with(0);
}

#[test]
fn what_cannot_be_updated_is_told_and_left_alone() {
    let cases = "tests:
  - {name: flow, given: {source: github, event: push, body: {size: 3}}, expect: {status: 500}}
";
    let folder = folder(cases);
    let ended = test_in(&folder, &["--update"]).with(3);
    assert!(
        ended.stdout.contains("not updated: write `given:` and `expect:` on lines of their own"),
        "{}",
        ended.stdout
    );
    assert_eq!(fs::read_to_string(folder.path().join("cases/some.yaml")).unwrap(), cases);
    test_in(&folder, &["--filter", "no such case"]).with(2);
}

#[test]
fn numbers_are_compared_to_the_last_digit_and_nothing_is_not_null() {
    let folder = folder("tests: []\n");
    let routes = ROUTES.replace("'{\"n\": body.size}'", "'{\"n\": body.id}'").replace("body.size > 10 && ", "");
    fs::write(folder.path().join("routes.yaml"), routes).unwrap();
    let case = |expected: &str| {
        format!(
            "tests:
  - name: a
    given: {{source: github, event: push, body: {{ref: main, id: 1234567890123456789}}}}
    expect: {{outgoing: {{ci: {{body: {expected}}}}}}}
"
        )
    };
    for (expected, code) in
        [("{n: 1234567890123456789}", 0), ("{n: 1234567890123456799}", 3), ("{n: 1234567890123456789, m: null}", 3)]
    {
        fs::write(folder.path().join("cases/some.yaml"), case(expected)).unwrap();
        test_in(&folder, &[]).with(code);
    }
}

#[test]
fn where_only_the_provider_can_sign_the_signature_is_skipped() {
    let folder = folder(
        "now: 2026-03-01T00:00:00Z
tests:
  - name: unsigned it is refused
    given: {source: discord, signed: no, body: {type: 0}}
    expect: {status: 401}
  - name: skipped it is routed
    given: {source: discord, signed: skipped, body: {type: 0}}
    expect: {outcome: accepted, routes: [chat], outgoing: {ci: {headers: {Hookgate-Received-At: \"2026-03-01T00:00:00.000Z\"}}}}
",
    );
    test_in(&folder, &[]).with(0);
}

#[test]
fn mistakes_in_cases_are_shown_with_a_caret() {
    let folder = folder("tests:\n  - name: a\n    given: {sorce: github}\n");
    let ended = test_in(&folder, &[]).with(78);
    assert!(
        ended.stderr.contains("unknown key `sorce`") && ended.stderr.contains("did you mean `source`?"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("some.yaml:3:13") && ended.stderr.contains("^^^^^"), "{}", ended.stderr);
    // The problem is `unknown_value`, at the place of the value.
    let wrong = "tests:\n  - {name: a, given: {source: github}, expect: {outcome: delivered}}\n";
    fs::write(folder.path().join("cases/some.yaml"), wrong).unwrap();
    let ended = test_in(&folder, &[]).with(78);
    assert!(ended.stderr.contains("unknown_value") && ended.stderr.contains("some.yaml:2:58"), "{}", ended.stderr);
    let none = end(hookgate(&["test", "nowhere"]).current_dir(folder.path())).with(2);
    assert!(none.stderr.contains("cannot read nowhere"), "{}", none.stderr);
    fs::write(folder.path().join("cases/some.yaml"), "tests:\n  - {name: a, given: {source: nobody, body: {}}}\n")
        .unwrap();
    let ended = test_in(&folder, &[]).with(3);
    assert!(ended.stdout.contains("given.source: there is no such source; known: discord, github"), "{}", ended.stdout);
}

#[test]
fn a_body_is_explained_as_if_its_provider_had_sent_it() {
    let folder = folder("tests: []\n");
    fs::write(folder.path().join("body.json"), r#"{"size": 11, "ref": "main"}"#).unwrap();
    let explain = |args: &[&str]| {
        end(hookgate(&["explain", "body.json", "--source", "github"]).args(args).current_dir(folder.path()))
    };
    let said = explain(&["--event", "push"]).with(0).stdout;
    for line in [
        "accepted  github push",
        "large: wants it, for ci",
        "> body.size > 10: true",
        "body.size = 11",
        "\"n\": 11",
        "x-team: ci",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let said = explain(&["--event", "push", "--tamper", "body"]).with(0).stdout;
    assert!(said.contains("bad_signature") && said.contains("401, by the default"), "{said}");
    let said = explain(&["--event", "ping"]).with(0).stdout;
    assert!(said.contains("large: wants other types (push)") && said.contains("its condition holds"), "{said}");
    let told = end(hookgate(&["explain", "body.json"]).current_dir(folder.path())).with(2).stderr;
    assert!(told.contains("--source; known: discord, github"), "{told}");
}
