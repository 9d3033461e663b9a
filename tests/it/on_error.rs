//! A route whose rule fails with an error loses no event: the event is kept, reported, and delivered after the fix.

use serde_json::Value;

use crate::support::{Gateway, Receiver, SOON, Site, eventually, github, text_of};
use crate::why::{rest, run};

fn quarantined(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], count);
}

/// Returns the first problem of the only event in quarantine.
fn problem(gateway: &Gateway) -> String {
    let listed = gateway.admin("/api/v1/quarantine").json();
    let problem = &listed["quarantine"][0]["problems"][0];
    assert_eq!(problem["pointer"], "", "{listed}");
    problem["message"].as_str().unwrap().to_owned()
}

fn judged(site: &Site, gateway: &Gateway) -> String {
    let (code, said, told) = run(site, gateway, &["quarantine", "judge", "--yes"]);
    assert_eq!(code, 0, "{said}{told}");
    said
}

/// A route whose rule fails, the event that it fails on, the stage, the message, and the corrected rule.
const FAILING: [(&str, &str, &str, &str, &str); 8] = [
    (
        "when: body.qty > 5",
        "{\"a\": 9}",
        "when",
        "condition failed: there is no \"qty\"; see has() and .? (in `body.qty > 5`)",
        "when: body.a > 5",
    ),
    (
        "when: body.a",
        "{\"a\": 9}",
        "when",
        "condition failed: the condition gives a number, neither true nor false (in `body.a`)",
        "when: body.a > 5",
    ),
    (
        "when: 'body.a > 5 && timestamp(body.at) > timestamp(0)'",
        "{\"a\": 9, \"at\": \"soon\"}",
        "when",
        "condition failed: the function timestamp() cannot use its argument (in `timestamp(body.at) > timestamp(0)`)",
        "when: body.a > 5",
    ),
    (
        "when: body.a > 5",
        "text",
        "when",
        "condition failed: the body is not JSON (content type text/plain)",
        "when: source == \"github\"",
    ),
    (
        "order_by: body.account",
        "{\"a\": 9}",
        "order_by",
        "order_by failed: there is no \"account\"; see has() and .? (in `body.account`)",
        "order_by: body.a",
    ),
    (
        "order_by: body.a",
        "{\"a\": {\"b\": 1}}",
        "order_by",
        "order_by failed: the value is an object, and no key: a key is a text, a number, a boolean or a time, and null or an empty optional is none (in `body.a`)",
        "order_by: body.a.b",
    ),
    (
        "order_by: body.a + 1",
        "{\"a\": \"x\"}",
        "order_by",
        "order_by failed: `+` cannot use a text and a number",
        "order_by: body.a",
    ),
    (
        "events: [sale.*]",
        "{\"kind\": \"sale.made\"}",
        "event",
        "event type failed: `/type` in the JSON body is missing",
        "events: [sale.*]",
    ),
];

#[test]
fn an_event_on_which_its_only_route_fails_is_kept_told_and_delivered_when_the_rule_is_mended() {
    for (rule, body, stage, why, mended) in FAILING {
        let receiver = Receiver::start();
        let plain = Site::plain_rest(&receiver.url("/app"), "");
        let with = |rule: &str, kind: &str| {
            let typed = plain.replace("provider: github,", &format!("provider: github, event: {{type: {kind}}},"));
            let typed = if rule.starts_with("events") { typed } else { plain.clone() };
            typed.replace("to: app}", &format!("to: app, {rule}}}"))
        };
        let site = Site::new(&with(rule, "body.type"));
        let mut gateway = site.start();
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
        let id = gateway.accept(&github(body).without("content-type").with("Content-Type", kind));
        gateway.wait_for_outcomes("github", "quarantined", 200, 1);
        quarantined(&gateway, 1);
        let said = problem(&gateway);
        assert!(said.starts_with(&format!("route \"all\": {why}")), "{rule}: {said}");
        gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", stage)], 1);
        // The event outlives a restart, and the same rule gives the same verdict.
        assert!(gateway.stop().success());
        let gateway = site.start();
        quarantined(&gateway, 1);
        let (code, said, told) = run(&site, &gateway, &["quarantine", "judge", "--dry-run"]);
        assert!(code == 0 && said.contains("route \"all\": ") && told.contains("admit none"), "{rule}: {said}{told}");
        let (_, shown, _) = run(&site, &gateway, &["events", "show", &id]);
        assert!(shown.contains("\nproblems\n  route \"all\": "), "{rule}: {shown}");
        assert_eq!(receiver.count(), 0, "{rule}");
        site.rewrite(&with(mended, "body.kind"));
        gateway.reload();
        judged(&site, &gateway);
        assert_eq!(receiver.wait_for(1)[0].event_id(), id, "{rule}");
        quarantined(&gateway, 0);
    }
}

#[test]
fn a_type_that_could_be_read_after_all_goes_out_with_the_event() {
    let receiver = Receiver::start();
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    let with = |kind: &str| {
        plain
            .replace("provider: github,", &format!("provider: github, event: {{type: {kind}}},"))
            .replace("to: app}", "to: app, when: 'event.type == \"sale\"'}")
    };
    let site = Site::new(&with("body.type"));
    let gateway = site.start();
    gateway.accept(&github("{\"type\": {\"name\": \"sale\"}}"));
    quarantined(&gateway, 1);
    assert_eq!(
        problem(&gateway),
        "route \"all\": event type failed: `/type` in the JSON body is an object, not a single value"
    );
    site.rewrite(&with("body.type.name"));
    gateway.reload();
    judged(&site, &gateway);
    assert_eq!(receiver.wait_for(1)[0].header("hookgate-event-type").as_deref(), Some("sale"));
}

#[test]
fn a_type_that_is_not_where_it_is_read_is_told_with_what_is_there_instead() {
    for (kind, body, told) in [
        ("body.type", "{\"a\": 1}", "`/type` in the JSON body is missing"),
        ("body.type", "{\"type\": null}", "`/type` in the JSON body is null"),
        ("body.type", "{\"type\": [1]}", "`/type` in the JSON body is a list, not a single value"),
        ("body.type.name", "{\"type\": 7}", "`/type/name` in the JSON body is missing: `/type` is a number"),
        ("body.type", "[{\"type\": 1}]", "`/type` in the JSON body is missing: the body is a list"),
        ("body.type", "text", "the body is not JSON (content type text/plain)"),
    ] {
        let receiver = Receiver::start();
        let plain = Site::plain_rest(&receiver.url("/app"), "");
        let typed = plain.replace("provider: github,", &format!("provider: github, event: {{type: {kind}}},"));
        let site = Site::new(&typed.replace("to: app}", "to: app, events: [sale.*]}"));
        let gateway = site.start();
        let media = if body == "text" { "text/plain" } else { "application/json" };
        gateway.accept(&github(body).without("content-type").with("Content-Type", media));
        quarantined(&gateway, 1);
        let said = problem(&gateway);
        let begin = format!("route \"all\": event type failed: {told}");
        assert!(said.starts_with(&begin) && (said == begin || body == "text"), "{body}: {said}");
    }
}

#[test]
fn a_key_that_says_there_is_none_is_no_error() {
    let receiver = Receiver::start();
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&plain.replace("to: app}", "to: app, order_by: body.?account}"));
    let gateway = site.start();
    for body in ["{}", "{\"account\": null}", "{\"account\": 7}"] {
        gateway.accept(&github(body));
    }
    receiver.wait_for(3);
    gateway.wait_for_outcomes("github", "accepted", 200, 3);
    gateway.wait_for_metric("hookgate_route_errors_total", &[], 0);
}

#[test]
fn a_balance_key_that_fails_keeps_the_event_and_one_that_is_absent_goes_by_its_id() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "true", ""));
    let with = |key: &str| {
        let text = Site::plain_rest(&receiver.url("/app"), "");
        let url = format!("url: \"{}\"", receiver.url("/app"));
        assert!(text.contains(&url), "{text}");
        let targets = format!(
            "targets: [{{url: \"{}\"}}, {{url: \"{}\"}}], balance: {{by: consistent_hash, key: {key}}}",
            receiver.url("/app"),
            receiver.url("/app2")
        );
        text.replace(&url, &targets)
    };
    site.rewrite(&with("body.customer"));
    let gateway = site.start();
    gateway.accept(&github("{}"));
    quarantined(&gateway, 1);
    let said = problem(&gateway);
    assert!(
        said.starts_with("route \"all\": balance key of destination \"app\" failed: there is no \"customer\""),
        "{said}"
    );
    gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", "balance")], 1);
    site.rewrite(&with("body.?customer"));
    gateway.reload();
    judged(&site, &gateway);
    receiver.wait_for(1);
}

#[test]
fn false_is_no_error_and_no_match_says_that_an_error_is_none_either() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.qty > 5", ""));
    let gateway = site.start();
    assert_eq!(gateway.send(&github("{\"qty\": 1}")).status, 200);
    gateway.wait_for_outcomes("github", "filtered", 200, 1);
    site.rewrite(&rest(&receiver, "body.qty > 5", "").replace("to: app,", "to: app, on_error: no_match,"));
    gateway.reload();
    assert_eq!(gateway.send(&github("{}")).status, 200);
    gateway.wait_for_outcomes("github", "filtered", 200, 2);
    gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", "when")], 1);
    assert_eq!(gateway.metrics().sum("hookgate_quarantined_events", &[]), 0);
    // A filtered event is logged at info, with the name of the route.
    eventually("the access line names the route", SOON, || {
        gateway.log().lines().any(|line| line.contains("failed_routes") && line.contains("filtered")).then_some(())
    });
}

#[test]
fn another_route_takes_the_event_and_the_failing_one_is_told() {
    let receiver = Receiver::start();
    let more = rest(&receiver, "body.qty > 5", "").replace("routes:\n", "routes:\n  audit: {from: github, to: app}\n");
    let site = Site::new(&more);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    assert_eq!(receiver.wait_for(1)[0].header("hookgate-route").as_deref(), Some("audit"));
    gateway.wait_for_outcomes("github", "accepted", 200, 1);
    gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", "when")], 1);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    let told = gateway.admin(&format!("/api/v1/events/{id}/explain")).json();
    let says: Vec<&Value> =
        told["explanation"]["routes"].as_array().unwrap().iter().filter(|says| says["route"] == "all").collect();
    assert_eq!(says[0]["verdict"], "condition_failed", "{told}");
    assert!(says[0]["error"].as_str().unwrap().starts_with("condition failed: there is no \"qty\""), "{told}");
    let (_, shown, _) = run(&site, &gateway, &["events", "show", &id]);
    assert!(
        shown.contains("\nroutes in force that fail on it\n  all: condition failed: there is no \"qty\""),
        "{shown}"
    );
    let replay = || run(&site, &gateway, &["events", "replay", &id, "--rules", "today", "--dry-run"]).1;
    assert!(replay().contains("nothing by route all: condition failed: there is no \"qty\""), "{}", replay());
    site.rewrite(&more.replace("body.qty > 5", "body.?qty.orValue(9) > 5"));
    gateway.reload();
    assert!(replay().contains("app (route all), new"), "{}", replay());
    let (_, shown, _) = run(&site, &gateway, &["events", "show", &id]);
    assert!(!shown.contains("that fail on it"), "{shown}");
}

#[test]
fn a_failing_route_has_one_warning_a_minute_which_says_what_to_do() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, "body.secret == \"hidden-literal\"", ""));
    let gateway = site.start();
    for _ in 0..20 {
        gateway.accept(&github("{\"other\": \"value-of-the-payload\"}"));
    }
    quarantined(&gateway, 20);
    gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", "when")], 20);
    let lines = || {
        let log = gateway.log();
        log.lines().filter(|line| line.contains("a route failed on an event")).map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = eventually("the warning is there", SOON, || Some(lines()).filter(|lines| !lines.is_empty()));
    assert_eq!(warned.len(), 1, "{warned:?}");
    for part in ["WARN", "all", "when", "there is no", "secret", "quarantine judge", "quarantined"] {
        assert!(warned[0].contains(part), "{part}: {}", warned[0]);
    }
    let log = gateway.log();
    assert!(!log.contains("hidden-literal") && !log.contains("value-of-the-payload"), "{log}");
}

#[test]
fn what_explain_test_and_diff_say_is_what_the_gateway_does() {
    let receiver = Receiver::start();
    let old = rest(&receiver, "body.?qty.orValue(9) > 5", "");
    let site = Site::new(&old);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    let old_file = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    site.file("old.yaml", old_file.as_bytes());
    site.rewrite(&rest(&receiver, "body.qty > 5", ""));
    let (code, said, told) = run(&site, &gateway, &["diff", "old.yaml", "routes.yaml"]);
    assert!(code == 3 && said.contains("accepted 200 → quarantined 200"), "{said}{told}");
    gateway.reload();
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    for line in [
        "quarantined",
        "kept back",
        "route \"all\": condition failed: there is no \"qty\"",
        "all: its condition failed",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    let case = "tests:\n  - name: kept\n    given: {source: github, body: {a: 1}}\n    \
        expect: {outcome: quarantined, quarantine: ['route \"all\": condition failed: there is no \"qty\"']}\n";
    site.file("tests/routes/case.yaml", case.as_bytes());
    let tested = site.cli(&["test"]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", text_of(&tested.stdout), text_of(&tested.stderr));
}
