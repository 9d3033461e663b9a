//! Drafts of rules on recorded requests: `explain` under another file, and `diff` of two files.

use serde_json::Value;

use crate::support::{Receiver, Site, github, text_of};
use crate::why::{newest, rest, run};

#[test]
fn a_recorded_request_is_explained_under_a_draft_that_no_gateway_runs() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.n > 1", ""));
    let gateway = site.start();
    let stored = gateway.accept(&github(r#"{"n": 2}"#));
    assert_eq!(gateway.send(&github(r#"{"n": 1}"#)).status, 200);
    assert_eq!(gateway.send(&github(r#"{"n": 2}"#).without("X-Hub-Signature-256")).status, 401);
    let (filtered, unsigned) = (newest(&gateway, "filtered"), newest(&gateway, "missing_signature"));
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    site.file("draft.yaml", now.replace("body.n > 1", "body.n < 2").as_bytes());
    let told = |id: &str, more: &[&str]| {
        let (code, said, told) = run(&site, &gateway, &[&["explain", id, "--config", "draft.yaml"], more].concat());
        assert_eq!(code, 0, "{told}");
        said
    };
    for (id, lines) in [
        (
            &stored,
            ["filtered  github push", "verified by the secret `main`", "> body.n < 2: false", "under      draft.yaml"],
        ),
        (
            &filtered,
            ["accepted  github push", "recorded   filtered 200\n", "all: wants it, for app", "hookgate-event-id: "],
        ),
        (
            &unsigned,
            ["missing_signature  ", "all: its condition is false", "401, by", "with those secrets of the file"],
        ),
    ] {
        let said = told(id, &[]);
        assert!(lines.iter().all(|line| said.contains(line)), "{lines:?}\n{said}");
    }
    let json: Value = serde_json::from_str(&told(&filtered, &["--format", "json"])).unwrap();
    assert_eq!((&json["recorded"]["outcome"], &json["limits"][0]["left"]), (&"filtered".into(), &Value::Null));
    // Without the secret, or with redacted parts, `explain` says what its result is based on.
    let hidden = rest(&receiver, "body.n > 1", "capture: {redact: [/secret]}\n");
    site.rewrite(&hidden);
    gateway.reload();
    let elsewhere = now.replace("env: GITHUB_SECRET", "env: NOT_HERE");
    site.file("draft.yaml", elsewhere.as_bytes());
    let said = told(&stored, &[]);
    for line in [
        "accepted",
        "taken as judged at receipt",
        "the gateway does not show all of it",
        "taken_as_recorded by the secret `main`",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

#[test]
fn a_body_that_the_gateway_does_not_show_is_not_guessed_at_by_a_draft() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.n > 1", "capture: {bodies: off}\n"));
    let gateway = site.start();
    let id = gateway.accept(&github(r#"{"n": 2}"#));
    let (code, said, told) = run(&site, &gateway, &["explain", &id, "--config", "routes.yaml"]);
    assert_eq!(code, 0, "{told}");
    for line in [
        "undecided  github ",
        "all: unknown, because the condition needs the body",
        "the gateway does not show all of it",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    assert!(said.contains("accepted  github push"), "the gateway itself has it:\n{said}");
}

#[test]
fn a_diff_tells_what_refused_requests_would_meet_and_counts_those_that_it_cannot_judge() {
    let receiver = Receiver::start();
    let strict = "provider: github, rate_limit: {rate: 1/h, burst: 3}, schemas: {events: {push: schemas/push.json}, on_invalid: reject}";
    let as_it_was = rest(&receiver, "body.n < 10", "").replace("provider: github", strict);
    let site = Site::new(&as_it_was);
    site.file("schemas/push.json", br#"{"properties": {"n": {"maximum": 9}}}"#);
    let gateway = site.start();
    gateway.accept(&github(r#"{"n": 1}"#));
    assert_eq!(gateway.send(&github(r#"{"n": 11}"#)).status, 422);
    let rejected = newest(&gateway, "schema_rejected");
    assert_eq!(gateway.send(&github(r#"{"n": 11}"#).without("X-Hub-Signature-256")).status, 401);
    assert_eq!(gateway.send(&github("{}").to("/in/elsewhere")).status, 404);
    assert_eq!(gateway.send(&github(r#"{"n": 12}"#).with("Content-Encoding", "gzip")).status, 415);
    assert_eq!(gateway.send(&github(r#"{"n": 3}"#)).status, 200);
    assert_eq!(gateway.send(&github(r#"{"n": 2}"#)).status, 503);
    let (code, said, told) = run(&site, &gateway, &["diff", "routes.yaml", "routes.yaml"]);
    let same = "5 events: 5 unchanged, 0 changed\nnot compared: 1 refused for their signature, 1 refused by a limit\n";
    assert_eq!((code, said.as_str()), (0, same), "{told}");
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let wider = now
        .replace("reject", "allow")
        .replace("body.n < 10", "body.n < 20")
        .replace("path: /in/github", "path: \"/in/{any}\"");
    site.file("new.yaml", wider.as_bytes());
    let (code, said, told) = run(&site, &gateway, &["diff", "routes.yaml", "new.yaml"]);
    assert_eq!(code, 3, "{told}");
    for line in [
        "5 events: 3 unchanged, 2 changed",
        "       1  github push: schema_rejected 422 \u{2192} accepted 200",
        "       1  github push: nowhere \u{2192} all (app)",
        "       1  no source: not_found 404 \u{2192} let in by its head",
        &rejected,
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let (_, said, _) = run(&site, &gateway, &["diff", "routes.yaml", "new.yaml", "--format", "json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["not_compared"], serde_json::json!({"signature": 1, "limit": 1}));
}

#[test]
fn a_diff_tells_what_recorded_events_would_meet_under_another_file() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.n > 1", ""));
    let gateway = site.start();
    let wanted: Vec<String> = (2..4).map(|n| gateway.accept(&github(format!("{{\"n\": {n}}}")))).collect();
    gateway.send(&github(r#"{"n": 1}"#));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
    let (code, said, _) = run(&site, &gateway, &["diff", "routes.yaml", "routes.yaml"]);
    assert_eq!((code, said.as_str()), (0, "3 events: 3 unchanged, 0 changed\n"));
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let transform = r#"to: app, transform: {set: {m: "body.n * 2"}}"#;
    site.file("new.yaml", now.replace("body.n > 1", "body.n < 3").replace("to: app", transform).as_bytes());
    let (code, said, told) = run(&site, &gateway, &["diff", "routes.yaml", "new.yaml", "--format", "json"]);
    assert_eq!(code, 3, "{told}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["events"], &told["changed"]), (&3.into(), &3.into()));
    let of = |kind: &str| -> Vec<(u64, String)> {
        let all = told["differences"].as_array().unwrap().iter().filter(|one| one["kind"] == kind);
        all.map(|one| (one["count"].as_u64().unwrap(), one["change"].as_str().unwrap().to_owned())).collect()
    };
    assert_eq!(
        of("answered"),
        [(1, "accepted 200 → filtered 200".to_owned()), (1, "filtered 200 → accepted 200".to_owned())]
    );
    assert_eq!(of("routed"), [(1, "all (app) → nowhere".to_owned()), (1, "nowhere → all (app)".to_owned())]);
    assert_eq!(of("transformed").first().unwrap(), &(1, "no body/m → body/m 4".to_owned()));
    assert!(said.contains(&wanted[1]), "samples are named");
    // `diff` without a gateway and without secrets, over a file of events.
    let (_, shown, _) = run(&site, &gateway, &["events", "show", &wanted[1], "--format", "json"]);
    site.file("events.jsonl", shown.as_bytes());
    let (code, said, told) = diff_with(&site, ["routes.yaml", "new.yaml"], &[]);
    assert_eq!(code, 3, "{told}");
    assert!(said.contains("1 event: 0 unchanged, 1 changed") && said.contains("all (app) → nowhere"), "{said}");
    assert!(told.contains("could not be checked here"), "{told}");
}

/// Runs `diff` over `events.jsonl` with these variables only.
fn diff_with(site: &Site, files: [&str; 2], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .args(["diff", files[0], files[1], "--events", "events.jsonl"])
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(site.root())
        .output()
        .unwrap();
    (output.status.code().unwrap(), text_of(&output.stdout), text_of(&output.stderr))
}

#[test]
fn a_diff_does_not_take_a_secret_that_is_not_here_for_a_wrong_one() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "true", ""));
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    let (_, shown, _) = run(&site, &gateway, &["events", "show", &id, "--format", "json"]);
    site.file("events.jsonl", shown.as_bytes());
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let closed = now.replace("provider: github", "provider: github, allow_ips: [10.0.0.0/8]");
    site.file("closed.yaml", closed.as_bytes());
    site.file("elsewhere.yaml", now.replace("env: GITHUB_SECRET", "env: NOT_HERE").as_bytes());
    site.file("other.yaml", now.replace("env: GITHUB_SECRET", "file: other").as_bytes());
    site.file("other", b"another secret");
    let here = [("GITHUB_SECRET", crate::support::SECRET)];
    // The old file refuses the request before its signature is checked.
    let (code, said, told) = diff_with(&site, ["closed.yaml", "routes.yaml"], &[]);
    assert_eq!(code, 3, "{told}");
    for line in ["ip_denied 403 \u{2192} accepted 200", "nowhere \u{2192} all (app)"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(told.contains("the signatures of 1 could not be checked here"), "{told}");
    // Only the secret of the new file is missing.
    let (code, said, told) = diff_with(&site, ["routes.yaml", "elsewhere.yaml"], &here);
    assert_eq!((code, said.as_str()), (0, "1 event: 1 unchanged, 0 changed\n"), "{told}");
    assert!(told.contains("the signatures of 1 could not be checked here"), "{told}");
    // Another readable secret is a difference.
    let (code, said, told) = diff_with(&site, ["routes.yaml", "other.yaml"], &here);
    assert!(code == 3 && said.contains("accepted 200 \u{2192} bad_signature 401"), "{said}{told}");
    assert!(!told.contains("could not be judged"), "{told}");
}

#[test]
fn a_configuration_that_only_the_environment_names_leaves_the_explanation_to_the_gateway() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.n > 1", ""));
    let gateway = site.start();
    let id = gateway.accept(&github(r#"{"n": 2}"#));
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    site.file("draft.yaml", now.replace("body.n > 1", "body.n < 2").as_bytes());
    let explain = |more: &[&str]| {
        let url = format!("http://{}", gateway.admin_address());
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["explain", &id, "--admin", &url])
            .args(more)
            .env_clear()
            .env("HOOKGATE_CONFIG", "draft.yaml")
            .current_dir(site.root())
            .output()
            .unwrap();
        text_of(&output.stdout)
    };
    let said = explain(&[]);
    assert!(said.contains("accepted  github push") && said.contains("> body.n > 1: true"), "{said}");
    let said = explain(&["--config", "draft.yaml"]);
    assert!(said.contains("under      draft.yaml") && said.contains("> body.n < 2: false"), "{said}");
}

#[test]
fn a_parameter_that_a_draft_renames_has_its_new_name_in_conditions() {
    let receiver = Receiver::start();
    let as_it_was = rest(&receiver, r#"params.tenant == "acme""#, "").replace("/in/github", "\"/in/github/{tenant}\"");
    let site = Site::new(&as_it_was);
    let gateway = site.start();
    let id = gateway.accept(&github("{}").to("/in/github/acme"));
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let renamed = now.replace("{tenant}", "{shop}").replace("params.tenant", "params.shop");
    site.file("renamed.yaml", renamed.as_bytes());
    // With a path that the request does not match, the recorded source counts.
    site.file("moved.yaml", now.replace("/in/github/", "/in/moved/").as_bytes());
    for file in ["renamed.yaml", "moved.yaml"] {
        let (code, said, told) = run(&site, &gateway, &["explain", &id, "--config", file]);
        assert_eq!(code, 0, "{told}");
        assert!(said.contains("all: wants it, for app"), "{file}\n{said}");
    }
    let (code, said, told) = run(&site, &gateway, &["diff", "routes.yaml", "renamed.yaml"]);
    assert_eq!((code, said.as_str()), (0, "1 event: 1 unchanged, 0 changed\n"), "{told}");
}

#[test]
fn a_request_in_a_file_comes_from_no_address() {
    let receiver = Receiver::start();
    let closed =
        rest(&receiver, "true", "").replace("provider: github", "provider: github, allow_ips: [203.0.113.0/24]");
    let site = Site::new(&closed);
    site.file("request.http", &github("{}").wire());
    let said = text_of(&site.cli(&["explain", "request.http"]).stdout);
    assert!(said.contains("accepted  github push") && !said.contains("from 127.0.0.1"), "{said}");
}
