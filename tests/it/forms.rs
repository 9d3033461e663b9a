//! Reading of bodies: JSON passes the same gates with any content type, forms are read, and an unreadable body is
//! refused or quarantined where a gate depends on it.

use serde_json::{Value, json};

use crate::support::{Gateway, Receiver, Request, SECRET, Site, github, hmac_hex, text_of};
use crate::why::{newest, run};

const FORM: &str = "application/x-www-form-urlencoded";
const SCHEMA: &[u8] = br#"{"type":"object","required":["ref"],"properties":{"ref":{"type":"string"}}}"#;

/// Returns the source `github` with these settings, and its route with those.
fn rest(receiver: &Receiver, source: &str, route: &str) -> String {
    Site::plain_rest(&receiver.url("/app"), "")
        .replace("provider: github,", &format!("provider: github, {source}"))
        .replace("to: app}", &format!("to: app{route}}}"))
}

fn with_schema(receiver: &Receiver, settings: &str) -> Site {
    let schemas = format!("schemas: {{events: {{push: schemas/push.json}}, {settings}}},");
    let site = Site::new(&rest(receiver, &schemas, ""));
    site.file("schemas/push.json", SCHEMA);
    site
}

/// Returns a push with another content type; `None` is without one.
fn push(kind: Option<&str>, body: impl Into<Vec<u8>>) -> Request {
    let request = github(body).without("Content-Type");
    kind.into_iter().fold(request, |request, kind| request.with("Content-Type", kind))
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish()
}

fn explained(gateway: &Gateway, id: &str) -> Value {
    gateway.admin(&format!("/api/v1/events/{id}/explain")).json()["explanation"].clone()
}

/// Counts the stored events for which the condition holds.
fn count_where(gateway: &Gateway, condition: &str) -> usize {
    let condition: String = form_urlencoded::byte_serialize(condition.as_bytes()).collect();
    let listed = gateway.admin(&format!("/api/v1/events?where={condition}")).json();
    listed["events"].as_array().map_or_else(|| panic!("{listed}"), Vec::len)
}

#[test]
fn the_same_json_of_any_content_type_meets_its_schema() {
    let receiver = Receiver::start();
    let gateway = with_schema(&receiver, "on_invalid: reject, on_missing: reject").start();
    let kinds = [
        "application/json",
        "application/vnd.acme+json",
        "text/json",
        "text/plain",
        "text/html",
        "application/octet-stream",
        "application/xml",
        "multipart/form-data; boundary=x",
        "image/png",
        "no type at all",
        FORM,
    ];
    for kind in kinds.map(Some).into_iter().chain([None]) {
        let answer = gateway.send(&push(kind, r#"{"n": 1}"#));
        assert_eq!((answer.status, answer.json()["outcome"].as_str()), (422, Some("schema_rejected")), "{kind:?}");
        gateway.accept(&push(kind, r#"{"ref": "main"}"#));
    }
    for (payload, status) in [(r#"{"n": 1}"#, 422), (r#"{"ref": "main"}"#, 200)] {
        let answer = gateway.send(&push(Some(FORM), encoded(&[("payload", payload)])));
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    gateway.wait_for_metric("hookgate_schema_failures_total", &[("schema", "push.json")], 13);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 13);
}

#[test]
fn a_body_that_no_schema_can_check_is_refused_and_the_answer_says_what_was_expected() {
    let receiver = Receiver::start();
    let gateway = with_schema(&receiver, "on_invalid: reject").start();
    for (kind, body, came) in [
        (Some("image/png"), &b"\x89PNG\r\n\x1a\n\0"[..], "content type image/png): the body is not UTF-8"),
        (Some("text/plain"), b"hello", "content type text/plain): the body is not JSON"),
        (Some("multipart/form-data; boundary=x"), b"--x\r\n\r\n1\r\n--x--", "content type multipart/form-data"),
        (Some(FORM), b"n=1", "a form without the field \"payload\""),
        (Some("application/json"), b"", "the body is empty"),
        (None, b"", "the body is empty"),
        (None, b"n=1", "no content type"),
    ] {
        let answer = gateway.send(&push(kind, body));
        let said = answer.json();
        let message = said["errors"][0]["message"].as_str().or(said["errors"][0]["detail"].as_str());
        let message = message.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(answer.status, 422, "{kind:?} {}", text_of(body));
        assert!(message.starts_with("JSON is expected") && message.contains(came), "{message}");
        assert!(message.contains("`body:`") && message.contains("`content_types:`"), "{message}");
    }
    gateway.wait_for_metric("hookgate_schema_failures_total", &[("schema", "_unread")], 7);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn what_cannot_be_read_is_kept_back_or_goes_on_as_the_schemas_say() {
    for (settings, outcome, delivered) in [
        ("on_invalid: quarantine", "quarantined", 0),
        ("on_invalid: allow", "accepted", 1),
        ("on_missing: allow", "quarantined", 0),
    ] {
        let receiver = Receiver::start();
        let gateway = with_schema(&receiver, settings).start();
        let id = gateway.accept(&push(Some("image/png"), &b"\x89PNG\0"[..]));
        gateway.wait_for_outcomes("github", outcome, 200, 1);
        gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], delivered);
        assert_eq!(receiver.count() as u64, delivered, "{settings}");
        let told = explained(&gateway, &id);
        assert!(told["body"].as_str().unwrap().starts_with("not read: neither JSON nor a form"), "{told}");
    }
}

#[test]
fn hygiene_alone_asks_for_no_schema_and_a_missing_one_is_missing_for_every_body() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "schemas: {dir: schemas, on_missing: reject},", ""));
    gateway.file("schemas/push.txt", b"none");
    let gateway = gateway.start();
    for (kind, body) in [("application/json", "{}"), ("text/plain", "hello"), (FORM, "a=1")] {
        assert_eq!(gateway.send(&push(Some(kind), body)).status, 422, "{kind}");
    }
}

#[test]
fn githubs_default_content_type_has_the_whole_type_its_conditions_and_its_schema() {
    let receiver = Receiver::start();
    let settings = "schemas: {events: {\"pull_request.*\": schemas/pr.json}, on_invalid: reject},";
    let route =
        ", events: [\"pull_request.*\"], when: 'body.number > 3 && form.payload != \"\"', order_by: body.number";
    let site = Site::new(&rest(&receiver, settings, route));
    site.file("schemas/pr.json", br#"{"required":["number"]}"#);
    let gateway = site.start();
    let opened = |payload: &str| {
        push(Some(FORM), encoded(&[("payload", payload)]))
            .without("X-GitHub-Event")
            .with("X-GitHub-Event", "pull_request")
    };
    let good = opened(r#"{"action": "opened", "number": 7}"#);
    let id = gateway.accept(&good);
    let seen = receiver.wait_for(1);
    assert_eq!(seen[0].header("hookgate-event-type").as_deref(), Some("pull_request.opened"));
    assert_eq!((seen[0].body.as_slice(), seen[0].header("content-type").as_deref()), (&good.body[..], Some(FORM)));
    let told = explained(&gateway, &id);
    assert_eq!(
        (&told["event_type"], &told["routes"][0]["verdict"]),
        (&"pull_request.opened".into(), &"matched".into())
    );
    assert!(told["body"].as_str().unwrap().starts_with("read as the JSON in form field \"payload\""), "{told}");
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    assert!(said.contains("body       read as the JSON in form field \"payload\""), "{said}");
    assert_eq!(gateway.send(&opened(r#"{"action": "opened"}"#)).status, 422, "its schema wants a number");
    assert_eq!(gateway.send(&opened(r#"{"action": "#)).status, 400, "JSON that ends early is malformed");
    let twice = format!("{}&payload=%7B%7D", encoded(&[("payload", r#"{"action": "opened", "number": 7}"#)]));
    assert_eq!(gateway.send(&push(Some(FORM), twice)).status, 400, "two readings");
    let filtered = gateway.send(&opened(r#"{"action": "opened", "number": 1}"#));
    assert_eq!(filtered.status, 200);
    assert_eq!(explained(&gateway, &newest(&gateway, "filtered"))["routes"][0]["verdict"], "condition_false");
    assert_eq!(count_where(&gateway, "body.number == 7 && form.payload.startsWith('{')"), 1);
    assert_eq!(count_where(&gateway, "body.number == 8"), 0);
}

#[test]
fn a_transform_works_on_the_json_in_a_form_and_a_script_gets_the_fields() {
    let receiver = Receiver::start();
    let route = ", transform: {set: {from: 'form.who', list: 'form_all.who'}, remove: [/secret]}";
    let site = Site::new(&rest(&receiver, "", route));
    let gateway = site.start();
    let body = encoded(&[("payload", r#"{"n": 1, "secret": "x"}"#), ("who", "a b"), ("who", "c")]);
    gateway.accept(&push(Some(FORM), body.clone()));
    let seen = receiver.wait_for(1);
    let sent: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(sent, json!({"n": 1, "from": "a b", "list": ["a b", "c"]}));
    assert_eq!(seen[0].header("content-type").as_deref(), Some("application/json"));
    site.file("t.js", b"export default (event) => ({ body: { of: event.body, who: event.form.who } });");
    site.rewrite(&rest(&receiver, "", ", transform: {js: t.js}"));
    gateway.reload();
    gateway.accept(&push(Some(FORM), body));
    gateway.accept(&push(Some(FORM), "who=plain"));
    gateway.accept(&push(Some("text/plain"), r#"{"n": 2}"#));
    let bodies: Vec<Value> =
        receiver.wait_for(4).iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    for wanted in [
        json!({"of": {"n": 1, "secret": "x"}, "who": "a b"}),
        json!({"of": null, "who": "plain"}),
        json!({"of": {"n": 2}}),
    ] {
        assert!(bodies.contains(&wanted), "{wanted} of {bodies:?}");
    }
}

#[test]
fn a_condition_over_a_body_that_is_not_json_says_why_there_is_none() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "", ", when: body.n == 1")).start();
    for (kind, body, why) in [
        ("text/plain", r#"{"n": 1}"#, "the body is not JSON (content type text/plain); `body:` of the source"),
        (FORM, "n=1", "the body is not JSON (content type application/x-www-form-urlencoded): it is a form"),
        ("application/json", "", "the body is not JSON: it is empty"),
    ] {
        let answer = gateway.send(&push(Some(kind), body));
        let told = explained(&gateway, &answer.event_id().unwrap());
        let error = told["routes"][0]["when"]["error"].as_str().unwrap_or_else(|| panic!("{told}"));
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_source_that_says_json_reads_json_of_every_type_and_refuses_the_rest_as_malformed() {
    let receiver = Receiver::start();
    let settings = "body: json, body_max: 1KiB, schemas: {on_invalid: reject, dir: schemas},";
    let site = Site::new(&rest(&receiver, settings, ", when: body.n == 1"));
    site.file("schemas/push.json", b"{}");
    let gateway = site.start();
    for kind in ["text/plain", FORM, "image/png"] {
        gateway.accept(&push(Some(kind), r#"{"n": 1}"#));
        assert_eq!(gateway.send(&push(Some(kind), "n=1")).status, 400, "{kind}");
    }
    assert_eq!(gateway.send(&push(Some("text/plain"), format!("[{}1]", "1,".repeat(600)))).status, 413);
    assert_eq!(receiver.wait_for(3).len(), 3);
}

#[test]
fn a_byte_order_mark_is_read_over_and_forwarded() {
    let receiver = Receiver::start();
    let site = with_schema(&receiver, "on_invalid: reject");
    let gateway = site.start();
    let marked = b"\xef\xbb\xbf{\"ref\": \"main\"}";
    gateway.accept(&push(Some("application/json"), &marked[..]));
    assert_eq!(receiver.wait_for(1)[0].body, marked);
    assert_eq!(gateway.send(&push(Some("application/json"), &b"\xef\xbb\xbf{}"[..])).status, 422);
    site.rewrite(&rest(&receiver, "", "").replace("app: {url", "app: {format: envelope, url"));
    gateway.reload();
    gateway.accept(&push(Some("application/json"), &marked[..]));
    let envelope: Value = serde_json::from_slice(&receiver.wait_for(2)[1].body).unwrap();
    assert_eq!(envelope["body"], json!({"ref": "main"}));
}

#[test]
fn an_event_that_was_kept_back_unread_goes_out_when_the_source_says_how_it_is_read() {
    let receiver = Receiver::start();
    let schemas = "schemas: {events: {\"push.made\": schemas/push.json}},";
    let site = Site::new(&rest(&receiver, &format!("body: auto, {schemas}"), ", events: [push.made]"));
    site.file("schemas/push.json", SCHEMA);
    let gateway = site.start();
    let made = push(Some(FORM), encoded(&[("payload", r#"{"action": "made", "ref": "main"}"#)]));
    gateway.accept(&made);
    gateway.wait_for_outcomes("github", "quarantined", 200, 1);
    site.rewrite(&rest(&receiver, schemas, ", events: [push.made]"));
    gateway.reload();
    let judged = gateway.change("POST", "/api/v1/quarantine/judge", "{}");
    assert_eq!(judged.status, 200, "{}", judged.text());
    let seen = receiver.wait_for(1);
    assert_eq!(seen[0].header("hookgate-event-type").as_deref(), Some("push.made"));
    assert_eq!(seen[0].body, made.body);
}

/// Returns a source of each provider that sends forms, with a route whose condition reads the form.
fn providers(receiver: &Receiver) -> String {
    let source = |name: &str, more: &str| {
        format!(
            "  {name}: {{path: /in/{name}, provider: {name}, secrets: [{{name: main, env: GITHUB_SECRET}}]{more}}}\n"
        )
    };
    let url = ", public_url: \"https://hooks.example.com\"";
    let sources: String =
        [source("slack", ""), source("mandrill", url), source("twilio", url), source("mailgun", "")].concat();
    let to = |path: &str| format!("  {path}: {{url: \"{}\"}}\n", receiver.url(&format!("/{path}")));
    format!(
        "sources:\n{sources}routes:
  pressed: {{from: slack, events: [block_actions], when: 'body.actions[0].value == \"yes\"', to: pressed}}
  command: {{from: slack, events: [/deploy], when: 'form.text == \"now please\"', to: command}}
  sent: {{from: mandrill, events: [send], when: 'body.exists(one, one._id == \"abc\")', to: sent}}
  sms: {{from: twilio, events: [delivered], when: 'form.Body.contains(\"help\") && \"From\" in form', to: sms}}
  opened: {{from: mailgun, events: [opened], when: 'form.?recipient.orValue(\"\") == \"a@example.com\"', to: opened}}
destinations:\n{}{}{}{}{}",
        to("pressed"),
        to("command"),
        to("sent"),
        to("sms"),
        to("opened")
    )
}

/// Sends a body, signed as by the source's provider, with `hookgate send`; returns its output.
fn send(site: &Site, gateway: &Gateway, source: &str, body: &str, more: &[&str]) -> String {
    site.file("body.form", body.as_bytes());
    let to = format!("http://{}/in/{source}", gateway.address());
    let output = site.cli(&[&["send", source, "--file", "body.form", "--to", &to], more].concat());
    let said = text_of(&output.stdout);
    assert!(output.status.success(), "{source}: {said} {}", text_of(&output.stderr));
    said
}

#[test]
fn the_forms_of_providers_have_their_types_and_their_conditions() {
    let receiver = Receiver::start();
    let site = Site::new(&providers(&receiver));
    let gateway = site.start();
    let pressed = encoded(&[("payload", r#"{"type": "block_actions", "actions": [{"value": "yes"}]}"#)]);
    send(&site, &gateway, "slack", &pressed, &[]);
    send(&site, &gateway, "slack", &encoded(&[("command", "/deploy"), ("text", "now please")]), &[]);
    let events = r#"[{"event": "send", "_id": "abc", "ts": 1700000000}, {"event": "open", "_id": "def", "ts": 1}]"#;
    send(&site, &gateway, "mandrill", &encoded(&[("mandrill_events", events)]), &[]);
    let sms = encoded(&[("MessageStatus", "delivered"), ("Body", "help me"), ("From", "+15550100")]);
    send(&site, &gateway, "twilio", &sms, &[]);
    send(&site, &gateway, "twilio", &sms, &["--header", &format!("content-type: {FORM}; charset=UTF-8")]);
    let (time, token) = (jiff::Timestamp::now().as_second().to_string(), "a1".repeat(25));
    let signature = hmac_hex(SECRET, format!("{time}{token}").as_bytes());
    let fields = [
        ("event", "opened"),
        ("recipient", "a@example.com"),
        ("timestamp", &time),
        ("token", &token),
        ("signature", &signature),
    ];
    let mailgun = Request::new("POST", "/in/mailgun", encoded(&fields)).with("Content-Type", FORM);
    gateway.accept(&mailgun);
    let forged = encoded(&fields).replace("a1a1", "b1b1");
    assert_eq!(gateway.send(&Request { body: forged.into(), ..mailgun }).status, 401);
    for (path, count) in [("/pressed", 1), ("/command", 1), ("/sent", 1), ("/sms", 2), ("/opened", 1)] {
        crate::support::eventually(path, crate::support::SOON, || {
            (receiver.seen_at(path).len() == count).then_some(())
        });
    }
    let listed = gateway.admin("/api/v1/events?source=mandrill").json();
    assert_eq!(listed["events"][0]["delivery_id"], "send:abc:1700000000", "{listed}");
    let told = explained(&gateway, listed["events"][0]["id"].as_str().unwrap());
    assert!(told["body"].as_str().unwrap().contains("form field \"mandrill_events\""), "{told}");
    assert_eq!(count_where(&gateway, "form.?Body == optional.of('help me')"), 2);
}

#[test]
fn a_form_beyond_its_limits_is_malformed_and_not_cut() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver, "", ", when: '!has(form.last)'")).start();
    gateway.accept(&push(Some(FORM), format!("{}last=1", "a=1&".repeat(1_500))));
    gateway.wait_for_outcomes("github", "quarantined", 200, 1);
    let kept = gateway.admin("/api/v1/quarantine").json().to_string();
    assert!(kept.contains("the form has more than 1000 fields"), "{kept}");
}

#[test]
fn what_is_redacted_of_bodies_hides_the_fields_of_forms() {
    let receiver = Receiver::start();
    let settings = rest(&receiver, "", ", when: 'form.email == \"x\" && body.email == \"y\"'");
    let site = Site::new(&format!("{settings}capture: {{redact: [/**/email]}}\n"));
    let gateway = site.start();
    let body = encoded(&[("payload", r#"{"email": "secret@example.com"}"#), ("email", "other@example.com")]);
    let answer = gateway.send(&push(Some(FORM), body));
    let told = explained(&gateway, &answer.event_id().unwrap()).to_string();
    assert!(!told.contains("@example.com") && !told.contains("%40example"), "{told}");
}
