//! Headers that a destination sets on every attempt, and header values that no output shows.

use serde_json::Value;

use crate::support::{Gateway, Receiver, Reply, SECRET, SOON, Site, eventually, github};
use crate::why::run;

const HEADERS: &str =
    r#", headers: {Authorization: {file: token, prefix: "Bearer "}, X-Key: {env: GITHUB_SECRET}, X-Env: prod}"#;

/// Creates a site whose destination has these settings, with a token in a file.
fn site(receiver: &Receiver, route: &str, settings: &str) -> Site {
    let rest = Site::plain_rest(&receiver.url("/app"), settings).replace("to: app}", &format!("to: app{route}}}"));
    let site = Site::new(&rest);
    site.file("token", b"t0p-s3cr3t\n");
    site
}

fn delivered(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], count);
}

#[test]
fn a_destination_is_given_its_credential_on_every_attempt_and_health_check() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(500)]);
    let route = ", transform: {headers: {set: {X-Env: of-the-transform, X-Key: of-the-transform}}}";
    let health = ", health: {path: /healthz, interval: 20ms}";
    let site = site(&receiver, route, &format!("{HEADERS}{health}"));
    let gateway = site.start();
    gateway.accept(&github("{}").with("Authorization", "of the sender").with("X-Env", "of-the-sender"));
    delivered(&gateway, 1);
    let seen = receiver.seen_at("/app");
    assert_eq!(seen.len(), 2, "{seen:?}");
    for seen in &seen {
        let of = |name: &str| seen.headers.iter().filter(|(known, _)| known == name).count();
        assert_eq!((of("authorization"), of("x-env"), of("x-key")), (1, 1, 1));
        assert_eq!(seen.header("authorization").as_deref(), Some("Bearer t0p-s3cr3t"));
        assert_eq!((seen.header("x-env").as_deref(), seen.header("x-key").as_deref()), (Some("prod"), Some(SECRET)));
    }
    let asked = eventually("its health is asked for", SOON, || receiver.seen_at("/healthz").into_iter().next());
    assert_eq!(asked.header("authorization").as_deref(), Some("Bearer t0p-s3cr3t"));
    site.file("token", b"the next one");
    gateway.reload();
    gateway.accept(&github("{}"));
    delivered(&gateway, 2);
    let last = receiver.seen_at("/app").pop().unwrap();
    assert_eq!(last.header("authorization").as_deref(), Some("Bearer the next one"), "a reload reads it anew");
}

/// Returns every output that shows the delivery of a stored event.
fn all_that_is_shown(site: &Site, gateway: &Gateway, id: &str) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for args in [
        &["explain", id][..],
        &["explain", id, "--format", "json"],
        &["explain", id, "--config", "routes.yaml"],
        &["events", "show", id],
        &["events", "show", id, "--format", "json"],
        &["events", "show", id, "--curl"],
        &["diff", "routes.yaml", "other.yaml"],
        &["diff", "other.yaml", "routes.yaml", "--format", "json"],
    ] {
        let (code, said, told) = run(site, gateway, args);
        assert!(code == 0 || code == 3, "{args:?}: {code} {told}");
        shown.push((args.join(" "), said + &told));
    }
    for args in [&["config", "show", "routes.yaml"][..], &["check", "routes.yaml"], &["test", "cases"]] {
        let output = site.cli(args);
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        shown.push((args.join(" "), text));
    }
    shown.push(("explain (API)".to_owned(), gateway.admin(&format!("/api/v1/events/{id}/explain")).text()));
    shown.push(("the log".to_owned(), gateway.log()));
    shown
}

/// Asserts that no output has one of these values.
fn nothing_shows(shown: &[(String, String)], hidden: &[&str]) {
    for (what, text) in shown {
        for value in hidden {
            assert!(!text.contains(value), "{what} shows {value}:\n{text}");
        }
    }
}

const FAILING_CASE: &str = "tests:
  - name: it is sent otherwise
    given: {source: github, event: push, body: {id: 7, n: 2}}
    expect: {outgoing: {app: {headers: {X-Key: wrong, Authorization: wrong}, body: {wrong: true}}}}
";

#[test]
fn what_comes_from_a_secret_or_a_variable_is_never_shown() {
    let receiver = Receiver::start();
    let route = r#", when: '"${GITHUB_SECRET}" != "" && body.n > 1', transform: {set: {token: '"key ${GITHUB_SECRET}"', long: 'size("${GITHUB_SECRET}") > 3', id: 'body.id'}, headers: {set: {X-Team: "${GITHUB_SECRET}", Cookie: session=l1teral}}}"#;
    for format in ["raw", "envelope", "cloudevents"] {
        let site = site(&receiver, route, &format!("{HEADERS}, format: {format}"));
        let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
        let other = now
            .replace("key ${GITHUB_SECRET}", "${GITHUB_SECRET}")
            .replace("prefix: \"Bearer \"", "prefix: \"Basic \"");
        site.file("other.yaml", other.as_bytes());
        site.file("cases/some.yaml", FAILING_CASE.as_bytes());
        let gateway = site.start();
        let id = gateway.accept(&github(r#"{"id": 7, "n": 2}"#));
        delivered(&gateway, 1);
        let shown = all_that_is_shown(&site, &gateway, &id);
        nothing_shows(&shown, &[SECRET, "t0p-s3cr3t"]);
        let explained = &shown[0].1;
        for line in [
            "authorization: [redacted]",
            "cookie: [redacted]",
            "x-key: [redacted]",
            "x-team: ${GITHUB_SECRET}",
            "x-env: prod",
            "key ${GITHUB_SECRET}",
        ] {
            assert!(explained.contains(line), "{format}: {line}\n{explained}");
        }
        assert!(!explained.contains("l1teral"), "{explained}");
        let told: Value = serde_json::from_str(&shown[1].1).unwrap();
        let id_sent = told["outgoing"][0]["body"]["json"].to_string();
        assert!(id_sent.contains(r#""id":7"#), "what has no variable in it is shown: {id_sent}");
        let difference = &shown[6].1;
        assert!(difference.contains("authorization: [redacted] → another authorization"), "{format}: {difference}");
        if format == "raw" {
            assert!(difference.contains("/token"), "{difference}");
        }
    }
}

#[test]
fn a_case_may_name_a_hidden_value_as_it_is_shown_or_as_it_is() {
    let receiver = Receiver::start();
    let route =
        r#", transform: {set: {token: '"key ${GITHUB_SECRET}"'}, headers: {set: {X-Team: "${GITHUB_SECRET}"}}}"#;
    let site = site(&receiver, route, HEADERS);
    let case = |team: &str, key: &str, token: &str| {
        let text = format!(
            "tests:\n  - name: one\n    given: {{source: github, event: push, body: {{}}}}\n    expect: {{outgoing: {{app: {{headers: {{X-Team: '{team}', X-Key: '{key}'}}, body: {{token: '{token}'}}}}}}}}\n"
        );
        site.file("cases/some.yaml", text.as_bytes());
        let output = site.cli(&["test", "cases"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let as_shown = case("${GITHUB_SECRET}", "[redacted]", "key ${GITHUB_SECRET}");
    assert_eq!(as_shown.0, Some(0), "{}", as_shown.1);
    let as_it_is = case(SECRET, SECRET, &format!("key {SECRET}"));
    assert_eq!(as_it_is.0, Some(0), "{}", as_it_is.1);
    let (code, said) = case("another", "another", "another");
    assert_eq!((code, said.contains(SECRET)), (Some(3), false), "{said}");
    assert!(said.contains("outgoing.app.headers.X-Team: expected `another`, got `${GITHUB_SECRET}`"), "{said}");
}
