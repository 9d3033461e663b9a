//! Numbers keep their digits, and long ids that differ are different.

use data_encoding::BASE64;
use serde_json::json;

use crate::support::{Gateway, Receiver, Reply, Request, SOON, Seen, Site, eventually, github, hmac, text_of, unique};

/// Numbers that a reader of doubles would change.
const LONG: &str = r#"{"v": 123456789012345678901234, "d": 0.12345678901234567890, "p": 10.00, "z": -0, "e": 1E5, "i": 9007199254740993, "type": "t", "l": [1.10, {"u": 18446744073709551616}]}"#;
const SORTED: &str =
    r#""d":0.12345678901234567890,"e":1E5,"i":9007199254740993,"l":[1.10,{"u":18446744073709551616}],"p":10.00,"#;

fn site(receiver: &Receiver, route: &str, destination: &str) -> Site {
    Site::new(&Site::plain_rest(&receiver.url("/app"), destination).replace("to: app}", &format!("to: app, {route}}}")))
}

fn one_body(receiver: &Receiver) -> String {
    let seen: Vec<Seen> = receiver.wait_for(1);
    text_of(&seen[0].body)
}

fn dead(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], count);
}

#[test]
fn what_a_transform_does_not_touch_keeps_its_digits() {
    for (transform, wanted) in [
        ("remove: [/type]", format!(r#"{{{SORTED}"v":123456789012345678901234,"z":-0}}"#)),
        ("set: {type: '\"n\"'}", format!(r#"{{{SORTED}"type":"n","v":123456789012345678901234,"z":-0}}"#)),
        ("set: {/copy/of: body.v}, remove: [d, e, i, l, p, type, z]", r#"{"copy":{"of":123456789012345678901234},"v":123456789012345678901234}"#.to_owned()),
        (r#"body: '{"item": body.l, "all": [body.d, body.p, body.z, body.e], "id": string(body.v)}'"#, r#"{"all":[0.12345678901234567890,10.00,-0,1E5],"id":"123456789012345678901234","item":[1.10,{"u":18446744073709551616}]}"#.to_owned()),
        ("body: body", format!(r#"{{{SORTED}"type":"t","v":123456789012345678901234,"z":-0}}"#)),
    ] {
        let receiver = Receiver::start();
        let gateway = site(&receiver, &format!("transform: {{{transform}}}"), "").start();
        gateway.accept(&github(LONG));
        assert_eq!(one_body(&receiver), wanted, "{transform}");
    }
}

#[test]
fn a_script_that_leaves_long_numbers_alone_sends_all_of_their_digits() {
    let receiver = Receiver::start();
    let site = site(&receiver, "transform: {js: a.js}", "");
    site.file("a.js", b"export default (event) => {\n  delete event.body.type;\n  event.body.moved = event.body.l[1];\n  event.body.n = event.body.p * 2;\n  return event;\n};\n");
    let gateway = site.start();
    gateway.accept(&github(LONG));
    let wanted = r#"{"d":0.12345678901234567890,"e":1E5,"i":9007199254740993,"l":[1.10,{"u":18446744073709551616}],"moved":{"u":18446744073709551616},"n":20,"p":10.00,"v":123456789012345678901234,"z":-0}"#;
    assert_eq!(one_body(&receiver), wanted);
}

#[test]
fn a_script_that_reads_a_number_it_cannot_hold_fails_and_says_which() {
    let receiver = Receiver::start();
    let site = site(&receiver, "transform: {js: a.js}", "");
    site.file("a.js", b"export default (event) => {\n  const { i, ...rest } = event.body.l[1].u ? event.body : {};\n  return { ...event, body: rest };\n};\n");
    let gateway = site.start();
    let id = gateway.accept(&github(LONG));
    dead(&gateway, 1);
    let letter = gateway.admin("/api/v1/dead-letters").json();
    assert_eq!(letter["dead_letters"][0]["cause"], "transform_failed");
    eventually("the place is told", SOON, || gateway.log().contains("/body/l/1/u").then_some(()));
    let explained = gateway.admin(&format!("/api/v1/events/{id}")).json();
    assert_eq!(explained["event"]["outcome"], "dead_lettered");
    assert_eq!(receiver.count(), 0);
    eventually("it is logged", SOON, || gateway.log().contains("numbers: lossy").then_some(()));
}

/// Ways of a script to copy a number or to look at it that are no plain read.
const LOOKS: [&str; 7] = [
    "Object.getOwnPropertyDescriptor(body, 'i').value",
    "Object.create({}, Object.getOwnPropertyDescriptors(body))",
    "Object.fromEntries(Reflect.ownKeys(body).map(n => [n, Reflect.getOwnPropertyDescriptor(body, n).value]))",
    "({i: body.__lookupGetter__('i')})",
    "({get i() { return body.i * 2 }})",
    "({toJSON() { try { return {i: body.i} } catch { return {} } }})",
    "(() => { const made = {}; (async () => { made.i = body.i })(); return made })()",
];

#[test]
fn a_script_loses_no_long_number_silently_whatever_way_it_looks_at_it() {
    for look in LOOKS {
        let receiver = Receiver::start();
        let site = site(&receiver, "transform: {js: a.js}", "");
        site.file("a.js", format!("export default ({{body}}) => ({{body: {look}}});\n").as_bytes());
        let gateway = site.start();
        gateway.accept(&github(r#"{"i": 9007199254740993}"#));
        dead(&gateway, 1);
        let letter = gateway.admin("/api/v1/dead-letters").json();
        assert_eq!(letter["dead_letters"][0]["cause"], "transform_failed", "{look}");
        eventually("the place is told", SOON, || gateway.log().contains("/body/i").then_some(()));
        assert_eq!(receiver.count(), 0, "{look}");
    }
}

#[test]
fn an_explanation_shows_numbers_with_the_digits_that_are_sent() {
    let receiver = Receiver::start();
    let site = site(&receiver, "transform: {remove: [/type]}", "");
    let gateway = site.start();
    let id = gateway.accept(&github(LONG));
    let sent = one_body(&receiver);
    site.file("body.json", LONG.as_bytes());
    let admin = format!("http://{}", gateway.admin_address());
    for what in [id.as_str(), "body.json"] {
        let told = site.cli(&["explain", what, "--format", "json", "--admin", &admin]);
        let said = text_of(&told.stdout);
        assert!(said.contains(&format!("\"json\":{sent}")), "{what}: {said} {}", text_of(&told.stderr));
    }
    let told = gateway.admin(&format!("/api/v1/events/{id}/explain"));
    assert!(text_of(&told.body).contains(&format!("\"json\":{sent}")), "{}", text_of(&told.body));
}

#[test]
fn a_route_may_say_that_its_script_gets_rounded_numbers() {
    let receiver = Receiver::start();
    let site = site(&receiver, "transform: {js: a.js, numbers: lossy}", "");
    site.file(
        "a.js",
        b"export default (event) => ({ body: { v: event.body.v, i: event.body.i, p: event.body.p } });\n",
    );
    let gateway = site.start();
    gateway.accept(&github(LONG));
    assert_eq!(one_body(&receiver), r#"{"i":9007199254740992,"p":10.00,"v":1.2345678901234569e+23}"#);
}

#[test]
fn a_body_stays_byte_for_byte_in_an_envelope_and_a_cloud_event() {
    for format in ["envelope", "cloudevents"] {
        let receiver = Receiver::start();
        let rest = Site::plain_rest(&receiver.url("/app"), &format!(", format: {format}"));
        let gateway = Site::new(&rest).start();
        gateway.accept(&github(LONG));
        assert!(one_body(&receiver).contains(LONG), "{format}");
    }
}

#[test]
fn ids_of_any_length_are_two_ids_when_a_digit_differs() {
    let receiver = Receiver::start();
    for (first, second) in [
        ("123456789012345678901234", "123456789012345678901235"),
        ("0.12345678901234567890", "0.12345678901234567891"),
        ("1.10", "1.1"),
        ("1E5", "100000"),
    ] {
        // A condition makes the gateway parse the body into a tree; without one the body is scanned.
        for when in ["", ", when: has(body.id)"] {
            let rest = Site::plain_rest(&receiver.url("/app"), "")
                .replace("provider: github,", "provider: github, event: {id: body.id},")
                .replace("to: app}", &format!("to: app{when}}}"));
            let gateway = Site::new(&rest).start();
            let request = |id: &str| github(format!("{{\"id\": {id}}}"));
            let ids = [first, second].map(|id| (gateway.accept(&request(id)), id));
            for (event, id) in ids {
                let sheet = gateway.admin(&format!("/api/v1/events/{event}")).json();
                assert_eq!(sheet["event"]["delivery_id"], id);
                assert_eq!(sheet["event"]["same_id_as"], json!(null), "{first} {second}");
            }
            assert_eq!(gateway.send(&request(first)).event_id(), None, "the first came again");
            let conflicts = gateway.metrics().sum("hookgate_delivery_id_conflicts_total", &[]);
            assert_eq!(conflicts, 0, "{first} {second}");
        }
    }
}

#[test]
fn keys_of_order_and_places_in_urls_have_every_digit() {
    let receiver = Receiver::start();
    receiver.always("/app/123456789012345678901234", Reply::status(400));
    let rest = Site::plain_rest(&receiver.url("/app/{body.id}"), "").replace("to: app}", "to: app, order_by: body.id}");
    let gateway = Site::new(&rest).start();
    for id in ["123456789012345678901234", "123456789012345678901235", "1.10"] {
        gateway.accept(&github(format!("{{\"id\": {id}}}")));
    }
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
    eventually("one key is parked, and the others go on", SOON, || {
        let parked = gateway.admin("/api/v1/parked").json();
        (parked["parked"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let mut targets: Vec<String> = receiver.seen().into_iter().map(|seen| seen.target).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["/app/1.10", "/app/123456789012345678901234", "/app/123456789012345678901235"]);
}

#[test]
fn a_search_finds_a_long_number_and_not_its_neighbour() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let [first, _] = ["123456789012345678901234", "123456789012345678901235"]
        .map(|id| gateway.accept(&github(format!("{{\"id\": {id}}}"))));
    let find = |text: &str| {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        gateway.admin(&format!("/api/v1/events?where={text}"))
    };
    let found = find("string(body.id) == \"123456789012345678901234\"").json();
    assert_eq!((&found["events"][0]["id"], found["events"].as_array().map(Vec::len)), (&json!(first), Some(1)));
    assert_eq!(find("body.id > 5").json()["events"].as_array().map(Vec::len), Some(2));
    let refused = find("body.id == 123456789012345678901234.0");
    assert_eq!(refused.status, 400, "a double would be another number");
    assert!(refused.text().contains("string("), "{}", refused.text());
}

#[test]
fn a_signed_id_cannot_be_shifted_over_its_dot() {
    let receiver = Receiver::start();
    let source = "/in/p, provider: standardwebhooks";
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("/in/github, provider: github", source);
    let site = Site::new(&rest.replace("{name: main, env: GITHUB_SECRET}", "{name: main, file: key}"));
    site.file("key", b"whsec_MDEyMzQ1Njc4OWFiY2RlZg==");
    let gateway = site.start();
    let at = jiff::Timestamp::now().as_second();
    let request = |id: &str, signed_id: &str, body: &str| {
        let signature = BASE64.encode(&hmac(b"0123456789abcdef", format!("{signed_id}.{at}.{body}").as_bytes()));
        Request::new("POST", "/in/p", body)
            .with("Content-Type", "application/json")
            .with("webhook-id", id)
            .with("webhook-timestamp", at.to_string())
            .with("webhook-signature", format!("v1,{signature}"))
    };
    let id = unique();
    gateway.accept(&request(&id, &id, "{\"type\":\"a\"}"));
    let dotted = format!("{id}.7");
    assert_eq!(gateway.send(&request(&dotted, &dotted, "{\"type\":\"a\"}")).status, 401);
    eventually("the reason is told", SOON, || {
        gateway.log().contains("header `webhook-id` holds '.', which separates it").then_some(())
    });
}
