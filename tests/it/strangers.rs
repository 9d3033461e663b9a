//! Limits on strangers: they raise no alarm, hide no line and displace no request of a provider.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Gateway, Receiver, Request, SOON, Site, WallClock, alone, eventually, github, unique};

/// Creates a site with two sources; a trusted proxy names the senders.
fn site(receiver: &Receiver, more: &str) -> Site {
    let rest = format!(
        "sources:
  github: {{path: /in/github, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
  other: {{path: /in/other, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
routes:
  all: {{from: [github, other], to: app, events: [push]}}
destinations:
  app: {{url: \"{}\"}}
{more}",
        receiver.url("/app")
    );
    Site::new(&rest).server("trusted_proxies: [127.0.0.1]", &rest)
}

fn by(request: Request, sender: &str) -> Request {
    request.with("X-Forwarded-For", sender)
}

fn forged() -> Request {
    github("{}").without("X-Hub-Signature-256").with("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
}

fn flood(gateway: &Gateway, target: &str, senders: impl Iterator<Item = String>) {
    let mut connection = gateway.connect();
    for sender in senders {
        let answer = connection.send(&by(forged().to(target), &sender)).unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
}

fn access_lines(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "hookgate::access").collect()
}

#[test]
fn a_flood_at_one_source_or_from_many_addresses_pushes_out_no_refused_request_of_another() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    let real = |target: &str, sender: &str| {
        let request = forged().to(target).with("X-Real", "yes");
        assert_eq!(gateway.send(&by(request, sender)).status, 401);
    };
    real("/in/other", "203.0.113.9");
    real("/in/github", "192.0.2.1");
    let is_filtered = github("{}").without("X-GitHub-Event").with("X-GitHub-Event", "star");
    assert_eq!(gateway.send(&by(is_filtered, "203.0.113.9")).status, 200);
    flood(&gateway, "/in/github", (0..600).map(|_| "203.0.113.9".to_owned()));
    flood(&gateway, "/in/github", (0..600).map(|n| format!("2001:db8:{:x}:{n:x}::1", n % 9)));
    flood(&gateway, "/in/github", (0..600).map(|n| format!("198.{}.{}.{}", n % 250, n / 3, n % 7)));
    let listed = |query: &str| gateway.admin(&format!("/api/v1/events?limit=500&{query}")).json()["events"].clone();
    assert_eq!(listed("outcome=refused&source=other").as_array().unwrap().len(), 1);
    let kept = listed("outcome=refused&source=github&where=headers['x-real']=='yes'");
    assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(listed("outcome=filtered").as_array().unwrap().len(), 1);
}

#[test]
fn a_sender_that_was_verified_before_keeps_its_refused_requests_whoever_floods() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "capture: {max_events: 50}\n").start();
    gateway.accept(&by(github("{}"), "192.0.2.1"));
    gateway.wait_for_outcomes("github", "accepted", 200, 1);
    assert_eq!(gateway.send(&by(forged().with("X-Real", "yes"), "192.0.2.1")).status, 401);
    flood(&gateway, "/in/github", (0..500).map(|n| format!("{}.{}.2.3", 1 + n % 200, n % 256)));
    let listed = gateway.admin("/api/v1/refused?limit=500").json();
    let listed = listed["refused"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[50]["sender"]), (51, &"192.0.2.1".into()));
}

#[test]
fn a_filtered_event_is_found_by_its_delivery_id() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    let id = unique();
    let star = github("{}").without("X-GitHub-Event").with("X-GitHub-Event", "star");
    let star = star.without("X-GitHub-Delivery").with("X-GitHub-Delivery", &id);
    gateway.send(&star);
    gateway.send(&forged().without("X-GitHub-Delivery").with("X-GitHub-Delivery", &id));
    for outcome in ["filtered", "refused"] {
        let page = format!("/api/v1/events?outcome={outcome}&where=event.id=='{id}'");
        let listed = gateway.admin(&page).json();
        assert_eq!(listed["events"][0]["delivery_id"], id.as_str(), "{outcome}: {listed}");
    }
}

#[test]
fn a_flood_of_refusals_writes_five_lines_and_their_sum_and_hides_nothing_else() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    gateway.accept(&by(github("{}"), "192.0.2.1"));
    flood(&gateway, "/in/github", (0..400).map(|n| format!("203.0.113.{}", n % 3)));
    for _ in 0..8 {
        gateway.accept(&by(github("{}"), "192.0.2.1"));
        gateway.send(&github("{}").to("/in/nowhere?token=hidden-in-the-query"));
    }
    assert_eq!(gateway.send(&by(forged(), "192.0.2.1")).status, 401, "the provider's own failure");
    // The sum is logged without a further request.
    let sum = || access_lines(&gateway).into_iter().find(|line| line["more"] == 395);
    let sum = eventually("the sum is written", SOON, sum);
    assert_eq!(
        (&sum["source"], &sum["outcome"], &sum["senders"]),
        (&"github".into(), &"bad_signature".into(), &3.into())
    );
    assert!(sum["most_by"].as_str().unwrap().starts_with("203.0.113.") && sum["most"].as_u64().unwrap() > 100, "{sum}");
    let lines = access_lines(&gateway);
    let count =
        |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome && line["more"].is_null()).count();
    assert_eq!((count("accepted"), count("bad_signature")), (9, 6), "five of the flood, and the provider's own");
    assert_eq!(count("not_found"), 5);
    let suppressed =
        |outcome: &str| gateway.metrics().sum("hookgate_refusal_log_lines_suppressed_total", &[("outcome", outcome)]);
    assert_eq!((suppressed("bad_signature"), suppressed("not_found"), suppressed("accepted")), (395, 3, 0));
    let lost = lines.iter().find(|line| line["outcome"] == "not_found").unwrap();
    assert_eq!((&lost["method"], &lost["path"], &lost["status"]), (&"POST".into(), &"/in/nowhere".into(), &404.into()));
    assert!(!gateway.log().contains("hidden-in-the-query"));
}

#[test]
fn every_request_line_and_every_delivery_line_names_what_people_search_for() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    let (event, forgery) = (github("{}"), forged());
    let id = gateway.accept(&event);
    gateway.send(&forgery);
    gateway.wait_for_metric("hookgate_deliveries_total", &[], 1);
    gateway.wait_for_outcomes("github", "bad_signature", 401, 1);
    let line = |outcome: &str| {
        let found = || access_lines(&gateway).into_iter().find(|line| line["outcome"] == outcome);
        eventually("a line", SOON, found)
    };
    for (outcome, request) in [("accepted", &event), ("bad_signature", &forgery)] {
        let line = line(outcome);
        let delivery = crate::support::header_of(request, "X-GitHub-Delivery");
        for (name, value) in [
            ("source", "github"),
            ("method", "POST"),
            ("host", "hooks.test"),
            ("path", "/in/github"),
            ("delivery_id", delivery.as_str()),
        ] {
            assert_eq!(line[name], value, "{name}: {line}");
        }
        assert!(line["status"].is_u64() && line["event"].is_string(), "{line}");
    }
    assert_eq!(line("accepted")["event"], id.as_str());
    let delivered = || {
        let log = gateway.log();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == "delivered")
    };
    let delivered = eventually("a line", SOON, delivered);
    let texts = ["source", "route", "destination", "event"].map(|name| delivered[name].as_str().unwrap_or_default());
    assert_eq!(texts, ["github", "all", "app", &id]);
    assert_eq!((&delivered["attempt"], &delivered["status"]), (&1.into(), &200.into()), "{delivered}");
}

#[test]
fn a_parameter_that_is_named_like_a_secret_is_not_in_the_log() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("/in/github", "\"/in/{tenant}/{api_token}\"");
    let gateway = Site::new(&rest).start();
    gateway.accept(&github("{}").to("/in/acme/s3cr3t-value"));
    let line = || access_lines(&gateway).into_iter().next();
    assert_eq!(eventually("a line", SOON, line)["path"], "/in/acme/{api_token}");
    assert!(!gateway.log().contains("s3cr3t-value"));
}

fn only_failing(gateway: &Gateway) -> (u64, u64) {
    let metrics = gateway.metrics();
    let of = |source| metrics.sum("hookgate_source_only_failing", &[("source", source)]);
    (of("github"), of("other"))
}

#[test]
fn a_secret_rotated_on_one_side_is_told_once_and_a_scanner_is_not_also_after_a_restart() {
    let _alone = alone();
    let receiver = Receiver::start();
    let site = site(&receiver, "");
    let Some(clock) = WallClock::in_folder(site.root()) else { return };
    let mut gateway = site.start_with(clock.environment());
    let series = gateway.metrics().series();
    let of = |name: &str| -> BTreeSet<String> {
        let of_name = series.iter().filter(|(known, ..)| known == name);
        of_name.flat_map(|(_, labels, _)| labels.iter().map(|(_, value)| value.clone())).collect()
    };
    for name in ["hookgate_source_only_failing", "hookgate_source_last_verified_timestamp_seconds"] {
        assert_eq!(of(name), BTreeSet::from(["github".to_owned(), "other".to_owned()]), "at zero from the start");
    }
    for target in ["/in/github", "/in/other"] {
        gateway.accept(&by(github("{}").to(target), "192.0.2.1"));
    }
    receiver.wait_for(2);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert!(gateway.stop().success());
    // The store has the last verified request of both sources, with its sender.
    let gateway = site.start_with(clock.environment());
    let verified = || {
        let of = [("source", "other")];
        (gateway.metrics().sum("hookgate_source_last_verified_timestamp_seconds", &of) > 0).then_some(())
    };
    eventually("it is learnt from the store", SOON, verified);
    flood(&gateway, "/in/other", (0..20).map(|n| format!("203.0.113.{n}")));
    flood(&gateway, "/in/github", std::iter::repeat_n("192.0.2.1".to_owned(), 3));
    assert_eq!(only_failing(&gateway), (0, 0));
    clock.jump("+6m");
    eventually("the rotation is seen", SOON, || (only_failing(&gateway) == (1, 0)).then_some(()));
    let told =
        || gateway.log().lines().filter(|line| line.contains("only fails now")).map(str::to_owned).collect::<Vec<_>>();
    let line = eventually("it is said", SOON, || told().first().cloned());
    for said in ["\"WARN\"", "\"source\":\"github\"", "\"failures\":3", "hookgate refused admit --source github"] {
        assert!(line.contains(said), "{said}: {line}");
    }
    gateway.accept(&by(github("{}"), "192.0.2.1"));
    eventually("it is over", SOON, || (only_failing(&gateway) == (0, 0)).then_some(()));
    eventually("that is said", SOON, || gateway.log().contains("verifies again").then_some(()));
    assert_eq!(told().len(), 1, "once");
    let rest = format!(
        "sources:
  github: {{path: /in/github, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
routes:
  all: {{from: github, to: app}}
destinations:
  app: {{url: \"{}\"}}
",
        receiver.url("/app")
    );
    site.rewrite(&rest);
    gateway.reload();
    let page = gateway.metrics().0;
    for gone in ["only_failing{source=\"other\"}", "last_verified_timestamp_seconds{source=\"other\"}"] {
        assert!(!page.contains(gone), "{gone}");
    }
}

#[test]
fn forged_requests_are_no_alarm_about_the_provider_s_patience() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("provider: github", "provider: shopify");
    let gateway = Site::new(&rest).start();
    let forged = Request::new("POST", "/in/github", "{}")
        .with("Content-Type", "application/json")
        .with("X-Shopify-Topic", "orders/create")
        .with("X-Shopify-Hmac-Sha256", data_encoding::BASE64.encode(&[7; 32]));
    for _ in 0..12 {
        assert_eq!(gateway.send(&forged).status, 401);
    }
    let used = |proof: &str| {
        gateway.metrics().sum("hookgate_provider_failure_budget_used", &[("source", "github"), ("proof", proof)])
    };
    eventually("they are counted", SOON, || (used("unverified") == 12).then_some(()));
    assert_eq!(used("verified"), 0);
    crate::support::pass(Duration::from_millis(200));
    assert!(!gateway.log().contains("\"ERROR\""), "{}", gateway.log());
}
