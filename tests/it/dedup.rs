//! A repeated event is answered as accepted and delivered once; a different event is not taken for a repetition.

use data_encoding::BASE64;

use crate::support::{Gateway, Receiver, Request, SECRET, Site, github, header_of, hmac, hmac_hex, unique};

fn duplicate(gateway: &Gateway, request: &Request) {
    let answer = gateway.send(request);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.event_id(), None, "a duplicate is no new event");
}

#[test]
fn a_repeated_event_is_delivered_once_also_across_a_restart() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    let request = github("{\"once\":1}");
    gateway.accept(&request);
    duplicate(&gateway, &request);
    duplicate(&gateway, &request.clone().to("/in/github?again=1"));
    receiver.wait_for(1);
    duplicate(&gateway, &request);
    gateway.wait_for_outcomes("github", "duplicate", 200, 3);
    gateway.wait_for_metric("hookgate_duplicates_total", &[("source", "github")], 3);
    assert!(gateway.stop().success());
    let gateway = site.start();
    duplicate(&gateway, &request);
    gateway.kill();
    let mut gateway = site.start();
    duplicate(&gateway, &request);
    gateway.wait_for_metric("hookgate_dedup_entries", &[], 1);
    // Duplicates that were stored would have been delivered before this event.
    gateway.accept(&github("{\"once\":2}"));
    receiver.wait_for(2);
    assert!(gateway.stop().success());
    assert_eq!(receiver.count(), 2);
}

#[test]
fn the_same_delivery_id_with_another_body_is_another_event() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let first = github("{\"a\":1}");
    let id = header_of(&first, "X-GitHub-Delivery");
    let second = github("{\"a\":2}").without("X-GitHub-Delivery").with("X-GitHub-Delivery", id);
    assert_ne!(gateway.accept(&first), gateway.accept(&second));
    let mut bodies: Vec<Vec<u8>> = receiver.wait_for(2).into_iter().map(|seen| seen.body).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [b"{\"a\":1}".to_vec(), b"{\"a\":2}".to_vec()]);
    duplicate(&gateway, &second);
}

#[test]
fn an_id_that_a_stranger_claims_first_is_still_free() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let real = github("{\"real\":1}");
    let wrong = format!("sha256={}", hmac_hex("a guess", &real.body));
    let forged = real.clone().without("X-Hub-Signature-256").with("X-Hub-Signature-256", wrong);
    assert_eq!(gateway.send(&forged).status, 401);
    let id = gateway.accept(&real);
    assert_eq!(receiver.wait_for(1)[0].event_id(), id);
}

#[test]
fn one_event_sent_from_many_sides_at_once_is_stored_once() {
    let receiver = Receiver::start();
    let mut gateway = Site::plain(&receiver).start();
    for _ in 0..10 {
        let request = github("{\"race\":1}");
        let ids: Vec<Option<String>> = std::thread::scope(|scope| {
            let sends: Vec<_> = (0..8).map(|_| scope.spawn(|| gateway.send(&request))).collect();
            let answers = sends.into_iter().map(|send| send.join().unwrap());
            answers.inspect(|answer| assert_eq!(answer.status, 200)).map(|answer| answer.event_id()).collect()
        });
        assert_eq!(ids.iter().flatten().count(), 1, "{ids:?}");
    }
    receiver.wait_for(10);
    assert!(gateway.stop().success());
    assert_eq!(receiver.count(), 10);
}

/// Returns the current time in seconds, as providers sign it.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Starts a gateway with one source at `/in/p` of this provider, with this secret and these settings.
fn of_provider(receiver: &Receiver, provider: &str, secret: &str, settings: &str) -> Gateway {
    let source = format!("/in/p, provider: {provider}{settings}");
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("/in/github, provider: github", &source);
    let site = Site::new(&rest.replace("{name: main, env: GITHUB_SECRET}", "{name: main, file: key}"));
    site.file("key", secret.as_bytes());
    site.start()
}

/// Returns an event of Stripe, signed at `at`.
fn stripe(body: &str, at: i64) -> Request {
    let signature = hmac_hex(SECRET, format!("{at}.{body}").as_bytes());
    let request = Request::new("POST", "/in/p", body).with("Content-Type", "application/json");
    request.with("Stripe-Signature", format!("t={at},v1={signature}"))
}

#[test]
fn a_retry_that_is_signed_anew_is_the_same_event() {
    let receiver = Receiver::start();
    let gateway = of_provider(&receiver, "stripe", SECRET, "");
    let body = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\"}";
    gateway.accept(&stripe(body, now() - 60));
    duplicate(&gateway, &stripe(body, now()));
}

#[test]
fn a_signed_id_is_not_taken_twice_whatever_else_the_message_claims() {
    let receiver = Receiver::start();
    let gateway = of_provider(&receiver, "svix", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "");
    let (id, at, body) = (unique(), now(), "{\"type\":\"a.b\"}");
    let signature = BASE64.encode(&hmac(b"0123456789abcdef", format!("{id}.{at}.{body}").as_bytes()));
    let real = Request::new("POST", "/in/p", body)
        .with("Content-Type", "application/json")
        .with("webhook-id", &id)
        .with("webhook-timestamp", at.to_string())
        .with("webhook-signature", format!("v1,{signature}"));
    gateway.accept(&real);
    duplicate(&gateway, &real);
    // The row takes `svix-id` before `webhook-id` as the delivery id; only one of them is signed here.
    duplicate(&gateway, &real.with("svix-id", "another"));
    // A claimed id does not make the event that really has that id a repetition.
    let signature = BASE64.encode(&hmac(b"0123456789abcdef", format!("another.{at}.{body}").as_bytes()));
    let other = Request::new("POST", "/in/p", body).with("Content-Type", "application/json");
    let other = other.with("svix-id", "another").with("svix-timestamp", at.to_string());
    gateway.accept(&other.with("svix-signature", format!("v1,{signature}")));
}

#[test]
fn where_the_body_is_not_signed_a_token_is_taken_once() {
    let receiver = Receiver::start();
    let gateway = of_provider(&receiver, "mailgun", "mailgun-signing-key", "");
    let (at, token) = (now(), "t0".repeat(25));
    let message = |token: &str, event: &str| {
        let signature = hmac_hex("mailgun-signing-key", format!("{at}{token}").as_bytes());
        let body = serde_json::json!({
            "signature": { "timestamp": at.to_string(), "token": token, "signature": signature },
            "event-data": { "event": event, "id": unique() },
        });
        Request::new("POST", "/in/p", body.to_string()).with("Content-Type", "application/json")
    };
    gateway.accept(&message(&token, "delivered"));
    // A captured token can be sent with any event.
    duplicate(&gateway, &message(&token, "failed"));
    gateway.accept(&message(&"t1".repeat(25), "opened"));
}

#[test]
fn what_came_unverified_does_not_pass_for_the_real_event() {
    let receiver = Receiver::start();
    let gateway = of_provider(&receiver, "stripe", SECRET, ", enforce: false");
    let real = stripe("{\"id\":\"evt_2\",\"type\":\"invoice.paid\"}", now());
    let forged = real.clone().without("Stripe-Signature");
    gateway.accept(&forged);
    duplicate(&gateway, &forged);
    gateway.accept(&real);
    let mut verified: Vec<String> =
        receiver.wait_for(2).iter().map(|seen| seen.header("hookgate-verified").unwrap()).collect();
    verified.sort_unstable();
    assert_eq!(verified, ["main", "none"]);
}
