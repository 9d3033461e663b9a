//! Explanations of stored, filtered and refused requests, and the values that they hide.

use serde_json::Value;

use crate::support::{Gateway, Receiver, Site, github, text_of};

/// Returns one route with a condition.
pub(crate) fn rest(receiver: &Receiver, when: &str, more: &str) -> String {
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    plain.replace("to: app}", &format!("to: app, when: '{when}'}}")) + more
}

/// Runs `hookgate` with these arguments; returns the exit code, stdout and stderr.
pub(crate) fn run(site: &Site, gateway: &Gateway, args: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", gateway.admin_address());
    let output = site.cli(&[args, &["--admin", &url]].concat());
    let (said, told) = (text_of(&output.stdout), text_of(&output.stderr));
    assert!(!told.contains("panicked"), "{told}");
    (output.status.code().unwrap(), said, told)
}

/// Returns the id of the newest event with this outcome.
pub(crate) fn newest(gateway: &Gateway, outcome: &str) -> String {
    let listed = gateway.admin(&format!("/api/v1/events?outcome={outcome}")).json();
    listed["events"][0]["id"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned()
}

fn explanation(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway.admin(&format!("/api/v1/events/{id}/explain"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_stored_event_is_explained_to_the_request_that_went_out() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, r#"body.n > 3 && body.kind.startsWith("a")"#, ""));
    let gateway = site.start();
    let id = gateway.accept(&github(r#"{"n": 4, "kind": "abc"}"#));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    let told = &explanation(&gateway, &id)["explanation"];
    assert_eq!((&told["outcome"], &told["verification"]["secret"]), (&"accepted".into(), &"main".into()));
    assert_eq!(told["routes"][0]["verdict"], "matched");
    assert_eq!(told["routes"][0]["when"]["parts"].as_array().unwrap().len(), 2);
    assert_eq!(told["answer"]["status"], 200);
    let sent = &told["outgoing"][0];
    let seen = &receiver.seen_at("/app")[0];
    for header in ["hookgate-event-id", "hookgate-verified", "x-hub-signature-256", "hookgate-received-at"] {
        let shown = sent["headers"].as_array().unwrap().iter().find(|pair| pair[0] == header);
        assert_eq!(shown.unwrap()[1].as_str(), seen.header(header).as_deref(), "{header}");
    }
    assert_eq!(sent["body"]["json"]["kind"], "abc");
    let (code, said, _) = run(&site, &gateway, &["explain", &id]);
    assert_eq!(code, 0);
    for line in [
        "accepted",
        "signature  verified by the secret `main`",
        "all: wants it, for app",
        "body.n = 4",
        "request    POST hooks.test/in/github from 127.0.0.1",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    let spent = gateway.metrics();
    assert_eq!(spent.sum("hookgate_requests_total", &[]), 1, "an explanation is no request");
}

#[test]
fn what_is_left_of_every_limit_is_told_and_none_is_spent_by_telling() {
    let receiver = Receiver::start();
    let limited = "provider: github, rate_limit: {rate: 2/h, burst: 2, per: ip}";
    let rest = rest(&receiver, "true", "").replace("provider: github", limited);
    let site =
        Site::new(&rest).server("limits: {per_sender: {rate: 1/h, burst: 10}, total: {rate: 1/h, burst: 20}}", &rest);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    let left = || {
        let told = explanation(&gateway, &id);
        let limits = told["explanation"]["limits"].as_array().unwrap().clone();
        limits
            .into_iter()
            .map(|one| (one["of"].as_str().unwrap().to_owned(), one["left"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let levels = |sender, total, source| {
        [("sender".to_owned(), sender), ("total".to_owned(), total), ("source".to_owned(), source)]
    };
    assert_eq!(left(), levels(9, 19, 1));
    assert_eq!(left(), levels(9, 19, 1));
    gateway.accept(&github("{}"));
    assert_eq!(left(), levels(8, 18, 0));
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    for line in [
        "  limits     each sender: 1/h, 10 at once; 8 left now",
        "each sender to the source: 2/h, 2 at once; none left",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

#[test]
fn a_filtered_event_shows_the_part_that_was_false() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, r#"body.n > 3 && body.kind.startsWith("a")"#, ""));
    let gateway = site.start();
    let answer = gateway.send(&github(r#"{"n": 4, "kind": "xyz"}"#));
    assert_eq!(answer.status, 200);
    let id = newest(&gateway, "filtered");
    assert_eq!(answer.event_id(), Some(id.clone()), "the answer names it");
    let told = &explanation(&gateway, &id)["explanation"];
    assert_eq!((&told["outcome"], &told["routes"][0]["verdict"]), (&"filtered".into(), &"condition_false".into()));
    let part = &told["routes"][0]["when"]["parts"][0];
    assert_eq!((&part["gave"], &part["decisive"]), (&"false".into(), &true.into()));
    assert_eq!(part["values"][0]["value"], "\"xyz\"");
    assert!(told["near_misses"][0].as_str().unwrap().contains("route `all`"), "{told}");
    let (code, said, _) = run(&site, &gateway, &["events", "list", "--outcome", "filtered"]);
    assert!(code == 0 && said.contains(&id), "{said}");
    assert!(newest_is_none(&gateway, "refused"));
}

fn newest_is_none(gateway: &Gateway, outcome: &str) -> bool {
    gateway.admin(&format!("/api/v1/events?outcome={outcome}")).json()["events"].as_array().unwrap().is_empty()
}

#[test]
fn a_refused_request_is_explained_with_what_nearly_was() {
    let receiver = Receiver::start();
    let more = "";
    let two = rest(&receiver, "true", more).replace(
        "routes:",
        "  twin: {path: /in/twin, provider: github, secrets: [{name: second, env: TWIN}]}\nroutes:",
    );
    let site = Site::new(&two.replace("from: github", "from: [github, twin]"));
    let gateway = site.start_with(vec![("TWIN".to_owned(), "another secret".to_owned())]);
    // The request is signed for `github` and sent to `twin`.
    let answer = gateway.send(&github(r#"{"n": 1}"#).to("/in/twin"));
    assert_eq!(answer.status, 401);
    assert_eq!(answer.event_id(), None, "a stranger learns nothing");
    let id = newest(&gateway, "bad_signature");
    let told = explanation(&gateway, &id);
    assert_eq!((&told["recorded"]["outcome"], &told["recorded"]["status"]), (&"bad_signature".into(), &401.into()));
    let told = &told["explanation"];
    assert_eq!(told["verification"]["verdict"], "wrong_secret_or_body");
    assert_eq!(told["near_misses"][0], "it is right under the secret `main` of the source `github`");
    assert_eq!(told["routes"][0]["verdict"], "matched", "as if it had been verified");
    assert_eq!(told["outgoing"], serde_json::json!([]), "and nothing would be sent");
    assert!(!newest_is_none(&gateway, "refused"));
}

#[test]
fn what_is_redacted_is_shown_nowhere_and_delivered_all_the_same() {
    let receiver = Receiver::start();
    let capture = "capture: {redact: [/**/email, \"header:x-hub-signature-256\"]}\n";
    let site = Site::new(&rest(&receiver, r#"body.user.email != "" && body.n == 1"#, capture));
    let gateway = site.start();
    let stored = github(r#"{"n": 1, "user": {"email": "who@example.com"}}"#);
    let id = gateway.accept(&stored);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    gateway.send(&github(r#"{"n": 2, "user": {"email": "who@example.com"}}"#));
    let aside = newest(&gateway, "filtered");
    assert_eq!(receiver.seen_at("/app")[0].body, stored.body, "byte for byte");
    let signature = crate::support::header_of(&stored, "X-Hub-Signature-256");
    for id in [&id, &aside] {
        for page in [format!("/api/v1/events/{id}"), format!("/api/v1/events/{id}/explain")] {
            let text = gateway.admin(&page).text();
            assert!(!text.contains("who@example.com") && !text.contains(&signature), "{page}: {text}");
            assert!(text.contains("[redacted]"), "{page}: {text}");
        }
    }
    let url = format!("http://{}", gateway.admin_address());
    let shown = site.cli(&["events", "show", &id, "--curl", "--to", "http://localhost/", "--admin", &url]);
    assert_eq!(shown.status.code(), Some(1), "{}", text_of(&shown.stdout));
    let outcome = &explanation(&gateway, &id)["explanation"]["outcome"];
    assert_eq!(outcome, "accepted", "judged as it came");
}

#[test]
fn what_was_too_large_too_many_or_for_nobody_is_explained_as_far_as_its_head_goes() {
    let receiver = Receiver::start();
    let rest = rest(&receiver, "body.n == 1", "");
    let of = |settings: &str| rest.replace("provider: github", &format!("provider: github{settings}"));
    let limited = of(", event: {type: \"header['x-github-event']\"}, body: 8KiB, rate_limit: {rate: 1/h, burst: 1}");
    let site = Site::new(&limited);
    let gateway = site.start();
    assert_eq!(gateway.send(&github(r#"{"n": 1}"#).to("/in/guthub")).status, 404);
    let told = &explanation(&gateway, &newest(&gateway, "not_found"))["explanation"];
    assert_eq!((&told["outcome"], &told["answer"]["status"]), (&"not_found".into(), &404.into()));
    assert_eq!(told["near_misses"][0], "source `github`: its path is /in/github");

    let large = github(format!("{{\"n\": \"{}\"}}", "x".repeat(20_000)));
    let mut connection = gateway.connect();
    connection.write(&large.wire_chunked(3000)).unwrap();
    assert_eq!(connection.answer().unwrap().status, 413);
    let id = newest(&gateway, "too_large");
    let shown = &gateway.admin(&format!("/api/v1/events/{id}")).json()["event"];
    let begun = shown["body"]["text"].as_str().unwrap();
    assert!(begun.len() == 4096 && large.body.starts_with(begun.as_bytes()) && shown["body_kept"] == "part", "{shown}");
    assert_eq!(explanation(&gateway, &id)["explanation"]["outcome"], "too_large");
    let (code, _, told) = run(&site, &gateway, &["events", "show", &id, "--curl", "--to", "http://localhost/"]);
    assert!(code == 1 && told.contains("was not captured"), "{told}");

    gateway.accept(&github(r#"{"n": 1}"#));
    assert_eq!(gateway.send(&github(r#"{"n": 1}"#)).status, 503);
    let id = newest(&gateway, "rate_limited");
    let told = explanation(&gateway, &id);
    assert_eq!((&told["recorded"]["outcome"], &told["recorded"]["verified"]), (&"rate_limited".into(), &"main".into()));
    let told = &told["explanation"];
    assert_eq!((&told["outcome"], &told["answer"]), (&"undecided".into(), &Value::Null));
    assert_eq!((&told["event_type"], &told["routes"][0]["verdict"]), (&"push".into(), &"not_judged".into()));
    assert_eq!((&told["limits"][2]["of"], &told["limits"][2]["left"]), (&"source".into(), &0.into()));
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    let (code, listed, _) = run(&site, &gateway, &["events", "list", "--outcome", "rate_limited"]);
    assert!(code == 0 && listed.contains(&id) && listed.contains("rate_limited"), "{listed}");
    for line in
        ["undecided", "recorded   rate_limited 503: the source's own quota", "its body was not kept", "none left"]
    {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("answer\n"), "{said}");
}

#[test]
fn a_type_that_the_body_has_a_part_in_is_not_told_from_the_head() {
    let receiver = Receiver::start();
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    let rest = plain
        .replace("provider: github", "provider: github, rate_limit: {rate: 1/h, burst: 1}")
        .replace("to: app}", "to: app, events: [\"pull_request.*\"]}");
    let gateway = Site::new(&rest).start();
    let opened = || github(r#"{"action": "opened"}"#).without("X-GitHub-Event").with("X-GitHub-Event", "pull_request");
    gateway.accept(&opened());
    assert_eq!(gateway.send(&opened()).status, 503);
    let told = &explanation(&gateway, &newest(&gateway, "rate_limited"))["explanation"];
    assert_eq!((&told["event_type"], &told["routes"][0]["verdict"]), (&Value::Null, &"not_judged".into()), "{told}");
}

#[test]
fn strangers_who_look_for_a_source_push_out_nothing_that_was_judged() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "true", "capture: {max_events: 20}\n")).start();
    assert_eq!(gateway.send(&github("{}").without("X-Hub-Signature-256")).status, 401);
    let began = std::time::Instant::now();
    for number in 0..200 {
        assert_eq!(gateway.send(&github("{}").to(&format!("/wp-{number}.php"))).status, 404);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    let listed = gateway.admin("/api/v1/events?outcome=not_found&limit=500").json();
    let kept = listed["events"].as_array().unwrap();
    assert!((5..=5 * seconds).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0]["source"], "_none");
    newest(&gateway, "missing_signature");
}

#[test]
fn a_request_that_its_address_kept_out_is_explained_as_that() {
    let receiver = Receiver::start();
    let rest = rest(&receiver, "true", "").replace("provider: github", "provider: github, allow_ips: [203.0.113.0/24]");
    let gateway = Site::new(&rest).start();
    assert_eq!(gateway.send(&github("{}")).status, 403);
    let told = &explanation(&gateway, &newest(&gateway, "ip_denied"))["explanation"];
    assert_eq!((&told["outcome"], &told["answer"]["status"]), (&"ip_denied".into(), &403.into()));
}

#[test]
fn a_stored_event_is_judged_with_the_host_and_the_address_that_it_came_with() {
    let receiver = Receiver::start();
    let as_it_was = rest(&receiver, "true", "");
    let site = Site::new(&as_it_was);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    let shown = &gateway.admin(&format!("/api/v1/events/{id}")).json()["event"];
    assert_eq!((&shown["host"], &shown["sender"]), (&"hooks.test".into(), &"127.0.0.1".into()));
    let other = [
        ("allow_ips: [203.0.113.0/24]", "ip_denied 403"),
        ("host: other.test", "not_found 404"),
        ("body: 1B", "too_large 413"),
        ("host: hooks.test, allow_ips: [127.0.0.0/8]", "accepted 200"),
    ];
    for (setting, ends) in other {
        site.rewrite(&as_it_was.replace("provider: github", &format!("provider: github, {setting}")));
        gateway.reload();
        let told = &explanation(&gateway, &id)["explanation"];
        let ended = format!("{} {}", told["outcome"].as_str().unwrap(), told["answer"]["status"]);
        assert_eq!(ended, ends, "{setting}");
        assert_eq!(told["routes"][0]["verdict"], "matched", "what its source would have said: {told}");
        let redacted = told["near_misses"].to_string();
        assert_eq!(setting == "host: other.test", redacted.contains("it answers for the host other.test only"));
    }
    let hidden = format!("{as_it_was}capture: {{redact: [\"header:host\", \"header:x-forwarded-for\"]}}\n");
    site.rewrite(&hidden);
    gateway.reload();
    let shown = &gateway.admin(&format!("/api/v1/events/{id}")).json()["event"];
    assert_eq!((&shown["host"], &shown["sender"]), (&"[redacted]".into(), &"[redacted]".into()));
    assert_eq!(shown["redacted"], false, "nothing is missing of what was sent");
    let (_, said, _) = run(&site, &gateway, &["explain", &id, "--config", "routes.yaml"]);
    assert!(said.contains("the gateway does not show all of it") && said.contains("accepted  github"), "{said}");
    let asked = &explanation(&gateway, &id)["explanation"]["request"];
    assert_eq!((&asked["host"], &asked["sender"]), (&"[redacted]".into(), &"[redacted]".into()));
}

#[test]
fn without_bodies_none_is_kept_or_shown() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.n == 1", "capture: {bodies: off}\n"));
    let gateway = site.start();
    let id = gateway.accept(&github(r#"{"n": 1, "word": "hushhush"}"#));
    gateway.send(&github(r#"{"n": 2, "word": "hushhush"}"#));
    let aside = newest(&gateway, "filtered");
    for id in [&id, &aside] {
        let text = gateway.admin(&format!("/api/v1/events/{id}")).text();
        assert!(!text.contains("hushhush"), "{text}");
    }
    let told = explanation(&gateway, &aside);
    assert_eq!((&told["explanation"]["outcome"], &told["recorded"]["body"]), (&"undecided".into(), &"nothing".into()));
}
