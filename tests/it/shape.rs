//! Shapes of deliveries: transforms, formats, signatures; and events that cannot be shaped.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, Receiver, Reply, Request, SOON, Seen, Site, eventually, github, hmac, text_of};

/// Returns one source, a route with these settings, and a destination with those.
fn rest(receiver: &Receiver, route: &str, destination: &str) -> String {
    Site::plain_rest(&receiver.url("/app"), destination).replace("to: app}", &format!("to: app{route}}}"))
}

fn delivered(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], count);
}

/// Returns the one request that the service got.
fn one(receiver: &Receiver) -> Seen {
    let seen = receiver.seen_at("/app");
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.into_iter().next().unwrap()
}

fn json_of(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn order() -> Request {
    github(r#"{"id": 7, "amount": 1.10, "customer": {"name": "A", "email": "a@b"}, "tags": ["x"]}"#)
}

#[test]
fn an_expression_makes_the_body_and_headers_are_set_and_taken_out() {
    let receiver = Receiver::start();
    let route = r#", transform: {body: '{"text": body.customer.name + " / " + string(body.id), "source": source}', headers: {set: {X-Team: finance}, remove: [X-GitHub-Event]}}"#;
    let gateway = Site::new(&rest(&receiver, route, "")).start();
    let id = gateway.accept(&order().with("Content-MD5", "abc"));
    delivered(&gateway, 1);
    let seen = one(&receiver);
    assert_eq!(json_of(&seen), json!({"text": "A / 7", "source": "github"}));
    assert_eq!(seen.header("content-type").as_deref(), Some("application/json"));
    assert_eq!((seen.header("x-team").as_deref(), seen.header("x-github-event")), (Some("finance"), None));
    assert_eq!(seen.header("content-md5"), None, "it spoke of the bytes that came");
    assert_eq!(seen.event_id(), id);
    let stored = gateway.admin(&format!("/api/v1/events/{id}")).json();
    assert_eq!(stored["event"]["body"]["text"], text_of(&order().body), "what is stored stays as it came");
}

#[test]
fn places_are_set_and_taken_out_and_the_rest_stays() {
    let receiver = Receiver::start();
    let route = r#", transform: {set: {status: '"new"', /customer/vip: 'body.amount > 1.0', /tags/-: 'body.id'}, remove: [/customer/email, /none]}"#;
    let gateway = Site::new(&rest(&receiver, route, "")).start();
    gateway.accept(&order());
    delivered(&gateway, 1);
    let wanted = r#"{"amount":1.10,"customer":{"name":"A","vip":true},"id":7,"status":"new","tags":["x",7]}"#;
    assert_eq!(text_of(&one(&receiver).body), wanted);
}

#[test]
fn a_script_makes_the_body_and_one_that_fails_costs_its_own_event_only() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, ", transform: {js: 'a.js'}", ""));
    site.file(
        "a.js",
        b"export default (event) => {\n  if (event.body.id === 9) { while (true) {} }\n  return { ...event, body: { n: event.body.id, from: event.source, type: event.type } };\n};\n",
    );
    let gateway = site.start();
    gateway.accept(&github(r#"{"id": 9}"#));
    gateway.accept(&order());
    delivered(&gateway, 1);
    assert_eq!(json_of(&one(&receiver)), json!({"n": 7, "from": "github", "type": "push"}));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    gateway.wait_for_metric("hookgate_route_errors_total", &[("route", "all"), ("stage", "transform")], 1);
    let dead = gateway.admin("/api/v1/dead-letters").json();
    assert_eq!(dead["dead_letters"][0]["cause"], "transform_failed");
    assert_eq!(dead["dead_letters"][0]["attempts"], 0, "nothing was sent");
}

#[test]
fn what_could_not_be_transformed_is_delivered_once_the_rule_is_mended() {
    let receiver = Receiver::start();
    let with = |expression: &str| rest(&receiver, &format!(r", transform: {{body: '{expression}'}}"), "");
    let site = Site::new(&with(r#"{"n": body.number}"#));
    let gateway = site.start();
    let id = gateway.accept(&order());
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    site.rewrite(&with(r#"{"n": body.id}"#));
    gateway.reload();
    let answer = gateway.change("POST", &format!("/api/v1/events/{id}/replay"), "{}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    delivered(&gateway, 1);
    assert_eq!(json_of(&one(&receiver)), json!({"n": 7}));
}

#[test]
fn what_is_given_up_without_an_attempt_took_as_long_as_it_is_since_its_acceptance() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, r#", transform: {body: '{"n": body.number}'}"#, "")).start();
    let id = gateway.accept(&order());
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    std::thread::sleep(Duration::from_secs(1));
    let answer = gateway.change("POST", &format!("/api/v1/events/{id}/replay"), "{}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 2);
    let last = eventually("both are in the log", SOON, || {
        let log = gateway.log();
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.iter().filter_map(|line| line["latency_ms"].as_u64()).nth(1)
    });
    assert!(last >= 1000, "{last} ms");
}

#[test]
fn without_its_transform_nothing_is_sent() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(503));
    let shaped = rest(&receiver, r", transform: {remove: [/customer]}", "");
    let site = Site::new(&shaped);
    let gateway = site.start();
    gateway.accept(&order());
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app"), ("state", "scheduled")], 1);
    // The route is gone; the destination stays, because another route sends there.
    site.rewrite(&shaped.replace("  all: {", "  other: {").replace(", transform: {remove: [/customer]}", ""));
    gateway.reload();
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    let seen = receiver.seen_at("/app");
    assert!(seen.iter().all(|seen| !text_of(&seen.body).contains("a@b")), "{seen:?}");
}

#[test]
fn a_cloud_event_holds_the_body_byte_for_byte() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "", ", format: cloudevents")).start();
    let id = gateway.accept(&order());
    delivered(&gateway, 1);
    let seen = one(&receiver);
    assert_eq!(seen.header("content-type").as_deref(), Some("application/cloudevents+json"));
    let text = text_of(&seen.body);
    assert!(text.contains(&text_of(&order().body)), "numbers keep their digits: {text}");
    let event = json_of(&seen);
    assert_eq!((&event["specversion"], &event["id"], &event["type"]), (&json!("1.0"), &json!(id), &json!("push")));
    assert_eq!(event["source"], "/hookgate/sources/github");
    assert_eq!(event["datacontenttype"], "application/json");
    assert_eq!(event["data"]["id"], 7);
    assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
}

#[test]
fn an_envelope_has_the_request_with_its_headers_and_other_bodies_as_base64() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "", ", format: envelope")).start();
    let form = github("payload=%7B%7D")
        .without("Content-Type")
        .with("Content-Type", "application/x-www-form-urlencoded")
        .with("X-Odd", "1");
    gateway.accept(&form);
    delivered(&gateway, 1);
    let seen = one(&receiver);
    let envelope = json_of(&seen);
    assert_eq!(seen.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(
        (&envelope["source"], &envelope["route"], &envelope["verified"]),
        (&json!("github"), &json!("all"), &json!("main"))
    );
    assert_eq!(envelope["request"]["headers"]["x-odd"], json!(["1"]));
    assert_eq!(envelope["body_base64"], data_encoding::BASE64.encode(b"payload=%7B%7D"));
    assert_eq!(envelope["content_type"], "application/x-www-form-urlencoded");
}

#[test]
fn what_a_transform_takes_out_is_in_no_envelope() {
    let receiver = Receiver::start();
    let route = ", transform: {headers: {set: {X-Team: ci}, remove: [Authorization]}}";
    let gateway = Site::new(&rest(&receiver, route, ", format: envelope")).start();
    gateway.accept(&order().with("Authorization", "Bearer hush"));
    delivered(&gateway, 1);
    let seen = one(&receiver);
    assert!(!text_of(&seen.body).contains("hush"), "{}", text_of(&seen.body));
    assert_eq!(json_of(&seen)["request"]["headers"]["x-team"], json!(["ci"]));
}

#[test]
fn a_script_that_gives_back_no_body_sends_nothing() {
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, ", transform: {js: 'a.js'}", ""));
    site.file("a.js", b"export default (event) => event.body.keep ? event : {};");
    let gateway = site.start();
    gateway.accept(&order());
    gateway.accept(&github("a=5").without("Content-Type").with("Content-Type", "application/x-www-form-urlencoded"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 2);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn what_is_sent_is_signed_with_every_valid_key() {
    let keys = [b"first key, twenty-four b".as_slice(), b"other key, twenty-four b"];
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(500)]);
    let sign = ", sign: {type: standard-webhooks, secrets: [{file: one.key}, {file: two.key}, {file: two.key, name: old, not_after: 2020-01-01}]}";
    let site = Site::new(&rest(&receiver, "", sign));
    for (name, key) in ["one.key", "two.key"].iter().zip(keys) {
        site.file(name, format!("whsec_{}", data_encoding::BASE64.encode(key)).as_bytes());
    }
    let gateway = site.start();
    let id = gateway.accept(&order().with("webhook-signature", "v1,forged"));
    delivered(&gateway, 1);
    let seen = receiver.seen_at("/app");
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(seen.header("webhook-id"), Some(id.clone()), "the same over all attempts");
        let timestamp = seen.header("webhook-timestamp").unwrap();
        let signed = format!("{id}.{timestamp}.{}", text_of(&seen.body));
        let wanted = keys.map(|key| format!("v1,{}", data_encoding::BASE64.encode(&hmac(key, signed.as_bytes()))));
        assert_eq!(seen.header("webhook-signature").unwrap(), wanted.join(" "));
    }
}

#[test]
fn values_of_the_event_stand_in_the_path_and_cannot_leave_their_place() {
    let receiver = Receiver::start();
    let url = receiver.url("/t/{body.tenant}/e?kind={event.type}");
    let gateway = Site::new(&Site::plain_rest(&url, "")).start();
    gateway.accept(&github(r#"{"tenant": "../x?y"}"#).to("/in/github?own=1"));
    delivered(&gateway, 1);
    assert_eq!(receiver.seen()[0].target, "/t/..%2Fx%3Fy/e?kind=push&own=1");
    gateway.accept(&github(r#"{"tenant": ".."}"#));
    gateway.accept(&github(r#"{"tenant": null}"#));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 2);
    assert_eq!(receiver.count(), 1, "nothing else was sent");
}
