//! The provider's patience: the answers that it requires, and the brake before the provider gives the source up.

use crate::support::{Gateway, Receiver, Request, SECRET, SOON, Site, eventually, unique};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};

fn site(receiver: &Receiver, more: &str) -> Site {
    let rest = format!(
        "sources:
  shop: {{path: /in/shop, provider: shopify, secrets: [{{env: GITHUB_SECRET}}], schemas: {{dir: schemas, on_invalid: reject}}{more}}}
  chat: {{path: /in/chat, provider: discord, verify: {{type: token, header: X-Token}}, secrets: [{{env: GITHUB_SECRET}}]}}
routes:
  all: {{from: [shop, chat], to: app}}
destinations:
  app: {{url: \"{}\"}}
",
        receiver.url("/app")
    );
    let site = Site::new("");
    site.file("schemas/orders.json", br#"{"type": "object", "required": ["total"]}"#);
    site.rewrite(&rest);
    site
}

fn order(body: &str) -> Request {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    Request::new("POST", "/in/shop", body)
        .with("Content-Type", "application/json")
        .with("X-Shopify-Topic", "orders")
        .with("X-Shopify-Webhook-Id", unique())
        .with("X-Shopify-Event-Id", unique())
        .with("X-Shopify-Hmac-Sha256", BASE64.encode(&mac.finalize().into_bytes()))
}

fn used(gateway: &Gateway, value: u64) {
    used_by(gateway, "verified", value);
}

fn used_by(gateway: &Gateway, proof: &str, value: u64) {
    let labels = [("source", "shop"), ("proof", proof)];
    gateway.wait_for_metric("hookgate_provider_failure_budget_used", &labels, value);
}

#[test]
fn one_refusal_before_the_last_a_wrong_schema_no_longer_costs_the_subscription() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    for count in 1..8 {
        assert_eq!(gateway.send(&order("{}")).status, 422, "{count}");
        used(&gateway, count);
    }
    gateway.wait_for_metric("hookgate_provider_failure_budget_limit", &[("source", "shop")], 8);
    // The eighth failure would delete the subscription, so the event is quarantined instead.
    assert_eq!(gateway.send(&order("{}")).status, 200);
    gateway.wait_for_outcomes("shop", "quarantined", 200, 1);
    used(&gateway, 0);
    let is_said = || gateway.log().contains("about to disable this endpoint").then_some(());
    eventually("it is said", SOON, is_said);
    assert_eq!(gateway.send(&order("{}")).status, 422, "with the count at zero the schema decides again");
}

#[test]
fn a_bad_signature_is_refused_whatever_the_brake_says() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, "").start();
    let forged =
        order("{\"total\":1}").without("X-Shopify-Hmac-Sha256").with("X-Shopify-Hmac-Sha256", BASE64.encode(&[7; 32]));
    for count in 1..12 {
        assert_eq!(gateway.send(&forged).status, 401, "{count}");
        used_by(&gateway, "unverified", count);
        used(&gateway, 0);
    }
    gateway.accept(&order("{\"total\":1}"));
    used_by(&gateway, "unverified", 0);
    assert!(!gateway.log().contains("about to disable this endpoint"), "no stranger rings it");
}

#[test]
fn the_brake_is_off_by_a_line_in_the_file() {
    let receiver = Receiver::start();
    let gateway = site(&receiver, ", failure_brake: false").start();
    for count in 1..10 {
        assert_eq!(gateway.send(&order("{}")).status, 422, "{count}");
        used(&gateway, count);
    }
}

#[test]
fn a_reload_keeps_the_count_of_failures() {
    let receiver = Receiver::start();
    let site = site(&receiver, "");
    let gateway = site.start();
    assert_eq!(gateway.send(&order("{}")).status, 422);
    used(&gateway, 1);
    gateway.reload();
    assert_eq!(gateway.send(&order("{}")).status, 422);
    used(&gateway, 2);
}

#[test]
fn a_provider_is_answered_as_its_row_says_and_a_source_may_answer_otherwise() {
    let receiver = Receiver::start();
    let event = || {
        let request =
            Request::new("POST", "/in/chat", format!("{{\"id\":\"{}\",\"event\":{{\"type\":\"X\"}}}}", unique()));
        request.with("Content-Type", "application/json").with("X-Token", SECRET)
    };
    let gateway = site(&receiver, "").start();
    let answer = gateway.send(&event());
    assert_eq!((answer.status, answer.text().as_str()), (204, ""), "Discord wants an empty 204");
    assert!(answer.event_id().is_some());
    receiver.wait_for(1);
    let rest = "sources:
  chat: {path: /in/chat, provider: discord, verify: {type: token, header: X-Token}, secrets: [{env: GITHUB_SECRET}],
    answers: {accepted: {status: 202, content_type: text/plain, body: thanks, headers: {X-Shop: acme}}, bad_signature: 403}}
routes:
  all: {from: chat, to: app}
destinations:
  app: {url: \"URL\"}
";
    let gateway = Site::new(&rest.replace("URL", &receiver.url("/app"))).start();
    let answer = gateway.send(&event());
    assert_eq!((answer.status, answer.text().as_str()), (202, "thanks"));
    assert_eq!((answer.header("content-type"), answer.header("x-shop")), (Some("text/plain"), Some("acme")));
    let wrong = event().without("X-Token").with("X-Token", "wrong");
    let answer = gateway.send(&wrong);
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (403, Some("bad_signature")));
}
