//! Secrets are hidden: a credential in the path, in refused requests, in answers of services and in keys of order; and
//! values that variables bring into rules.

use serde_json::Value;

use crate::credentials::shown;
use crate::support::{Gateway, Receiver, Reply, Request, SECRET, SOON, Site, eventually, github};
use crate::why::{newest, run};

/// A credential that some sender puts into its requests.
const TOKEN: &str = "of-the-sender-8c1f04";

/// A source with these settings and a route with these to a destination that gives up after one attempt.
fn site(receiver: &Receiver, (source, route, destination): (&str, &str, &str)) -> Site {
    let (url, retry) = (receiver.url("/app"), "circuit_breaker: off, retry: {max_attempts: 1}");
    Site::new(&format!(
        "sources:\n  shop: {{{source}}}\nroutes:\n  all: {{from: shop, to: app{route}}}\ndestinations:\n  app: {{url: \"{url}\", \
         {retry}{destination}}}\n"
    ))
}

fn post(target: &str) -> Request {
    Request::new("POST", target, r#"{"type": "sold", "n": 1}"#).with("Content-Type", "application/json")
}

/// Asserts that the text stands nowhere in what people are shown.
fn is_shown_nowhere(text: &str, (site, gateway): (&Site, &Gateway), id: &str) {
    for (what, said) in shown(site, gateway, id) {
        assert!(!said.contains(text), "{what}: {said}");
    }
}

fn ended(gateway: &Gateway, result: &str) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", result)], 1);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app")], 0);
}

#[test]
fn a_token_in_the_path_is_shown_nowhere() {
    let receiver = Receiver::start();
    let open = "path: '/in/{tenant}/{token}', verify: {type: none, reason: the path is the secret}";
    let when = ", when: 'path != query && params.token != \"\" && size(params) == 2'";
    let seen = ", transform: {set: {seen: 'path + params.token'}}";
    let site = site(&receiver, (open, &format!("{when}{seen}"), ""));
    let gateway = site.start();
    let id = gateway.accept(&post(&format!("/in/acme/{TOKEN}?a=1")));
    ended(&gateway, "delivered");
    is_shown_nowhere(TOKEN, (&site, &gateway), &id);
    let (_, said, _) = run(&site, &gateway, &["events", "show", &id]);
    assert!(said.contains("POST /in/acme/{token}?a=1, ") && said.contains("path:token (credentials"), "{said}");
    let event = gateway.admin(&format!("/api/v1/events/{id}")).json()["event"].clone();
    assert_eq!(event["params"], serde_json::json!([["tenant", "acme"], ["token", "[redacted]"]]));
    let (code, command, told) = run(&site, &gateway, &["events", "show", &id, "--curl"]);
    assert!(code == 0 && !command.contains("TOKEN") && !told.contains("TOKEN"), "{command}{told}");
    eventually("it is logged", SOON, || gateway.log().contains("/in/acme/{token}").then_some(()));
    // What is refused, what leads to no source, and an event whose source has another path by now.
    assert_eq!(gateway.send(&Request::new("PUT", &format!("/in/acme/{TOKEN}"), "")).status, 405);
    is_shown_nowhere(TOKEN, (&site, &gateway), &newest(&gateway, "method_not_allowed"));
    assert_eq!(gateway.send(&post(&format!("/in/acme/{TOKEN}/"))).status, 404);
    is_shown_nowhere(TOKEN, (&site, &gateway), &newest(&gateway, "not_found"));
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let moved = now.replace("/in/{tenant}/{token}", "/hooks/{token}").replace(" == 2", " > 0");
    site.file("routes.yaml", moved.as_bytes());
    gateway.reload();
    is_shown_nowhere(TOKEN, (&site, &gateway), &id);
}

#[test]
fn a_token_of_a_refused_request_is_shown_nowhere_either() {
    let receiver = Receiver::start();
    let secrets = "secrets: [{name: main, env: GITHUB_SECRET}]";
    let source = format!("path: /in/shop, verify: {{type: token, from: 'query:token'}}, {secrets}");
    let site = site(&receiver, (&source, "", ""));
    let gateway = site.start();
    let body = format!(r#"{{"type": "sold", "again": "{TOKEN}"}}"#);
    let wrong = Request::new("POST", &format!("/in/shop?token={TOKEN}"), body).with("Content-Type", "application/json");
    assert_eq!(gateway.send(&wrong.with("Authorization", format!("Bearer {TOKEN}"))).status, 401);
    let id = newest(&gateway, "bad_signature");
    is_shown_nowhere(TOKEN, (&site, &gateway), &id);
    let refused = gateway.admin(&format!("/api/v1/refused/{id}")).json()["refused"].clone();
    assert_eq!(refused["target"], "/in/shop?token=[redacted]");
    assert_eq!((&refused["redacted"], &refused["now"]["verdict"]), (&true.into(), &"fails".into()), "{refused}");
    assert_eq!(gateway.admin("/api/v1/refused").json()["refused"][0]["id"], id.as_str());
}

#[test]
fn a_token_that_a_service_repeats_is_not_shown_in_the_list_of_dead_letters() {
    let secrets = "secrets: [{name: main, env: GITHUB_SECRET}]";
    let source = format!("path: /in/shop, verify: {{type: token, from: 'header:x-token'}}, {secrets}");
    // The answer is kept whole, or as far as the middle of the token.
    for kept in ["1KiB", "20B"] {
        let receiver = Receiver::start();
        receiver.always("/app", Reply::status(422).saying("text/plain", &format!("no user {SECRET}")));
        let site = site(&receiver, (&source, "", &format!(", keep_answer: {kept}")));
        let gateway = site.start();
        let id = gateway.accept(&post("/in/shop").with("X-Token", SECRET));
        ended(&gateway, "dead_lettered");
        is_shown_nowhere(&SECRET[..10], (&site, &gateway), &id);
        let dead = gateway.admin("/api/v1/dead-letters").json()["dead_letters"][0].clone();
        assert_eq!(dead["answer"]["body"]["text"], "no user [redacted]", "{dead}");
    }
}

#[test]
fn a_key_of_order_that_holds_a_credential_is_not_shown() {
    let secrets = "secrets: [{name: main, env: GITHUB_SECRET}]";
    let query = format!("path: /in/shop, verify: {{type: token, from: 'query:token'}}, {secrets}");
    let open = "path: '/in/{token}', verify: {type: none, reason: a test}";
    let long = "'0123456789012345678901234567890123456789 ' + query";
    for (source, key, target, hidden) in [
        (query.as_str(), "query", format!("/in/shop?token={SECRET}"), SECRET),
        (query.as_str(), long, format!("/in/shop?token={SECRET}"), &SECRET[..10]),
        (query.as_str(), "headers.authorization", format!("/in/shop?token={SECRET}"), TOKEN),
        (open, "params.token + '/a'", format!("/in/{TOKEN}"), TOKEN),
    ] {
        let receiver = Receiver::start();
        receiver.always("/app", Reply::status(422));
        let site = site(&receiver, (source, &format!(", order_by: \"{key}\""), ""));
        let gateway = site.start();
        let id = gateway.accept(&post(&target).with("Authorization", format!("Bearer {TOKEN}")));
        let parked = || gateway.admin("/api/v1/parked").json()["parked"].as_array().unwrap().first().cloned();
        let parked = eventually("the key is parked", SOON, parked);
        assert!(parked["label"].as_str().unwrap().contains("[redacted]"), "{parked}");
        is_shown_nowhere(hidden, (&site, &gateway), &id);
        eventually("it is logged", SOON, || gateway.log().contains("order key parked").then_some(()));
    }
}

#[test]
fn the_value_of_a_variable_in_keys_globs_and_answers_is_printed_by_nothing() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(422));
    let key = "order_by: '\"for ${GITHUB_SECRET}/\" + body.key'";
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("to: app}", &format!("to: app, events: [push, '${{GITHUB_SECRET}}.*'], {key}}}"))
        .replace("max_attempts: 1000", "max_attempts: 1")
        .replace(
            "provider: github,",
            "provider: github, answers: {accepted: {status: 200, body: 'ok ${GITHUB_SECRET}'}},",
        );
    let site = Site::new(&rest);
    let gateway = site.start();
    let id = gateway.accept(&github(r#"{"key": "a"}"#));
    let parked = || gateway.admin("/api/v1/parked").json()["parked"].as_array().unwrap().first().cloned();
    let parked = eventually("the key is parked", SOON, parked);
    assert_eq!(parked["label"], "for ${GITHUB_SECRET}/a");
    let quarantined = gateway.accept(&github("{}"));
    for id in [&id, &quarantined] {
        is_shown_nowhere(SECRET, (&site, &gateway), id);
    }
    let (_, said, _) = run(&site, &gateway, &["explain", &id, "--format", "json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["routes"][0]["events"], serde_json::json!(["push", "${GITHUB_SECRET}.*"]));
    assert_eq!(told["answer"]["body"], "ok ${GITHUB_SECRET}");
    let problems = gateway.admin("/api/v1/quarantine").json()["quarantine"][0]["problems"].clone();
    let message = problems[0]["message"].as_str().unwrap();
    assert!(message.contains("body.key") && !message.contains(SECRET), "{problems}");
    // Cases and comparisons say it as little; a key that differs by the value alone is another key.
    let now = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    site.file("other.yaml", now.replace("for ${", "to ${").as_bytes());
    let case = "tests: [{name: a, given: {source: github, event: push, body: {}}, expect: {quarantine: [], outgoing: {app: {error: x}}}}]";
    site.file("cases.yaml", case.as_bytes());
    for args in [&["test", "cases.yaml"][..], &["test", "cases.yaml", "--format", "json"]] {
        let output = site.cli(args);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(said.contains("body.key") && !said.contains(SECRET), "{args:?}: {said}");
    }
    let (code, said, told) = run(&site, &gateway, &["diff", "routes.yaml", "other.yaml"]);
    assert!(code == 3 && !said.contains(SECRET), "{said}{told}");
    let change = "order key for ${GITHUB_SECRET}/a \u{2192} order key to ${GITHUB_SECRET}/a";
    assert!(said.contains(change), "{said}");
}
