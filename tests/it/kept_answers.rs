//! The last answer of a service: kept with the delivery, and shown.

use serde_json::{Value, json};

use crate::support::{Gateway, Receiver, Reply, Site, github};
use crate::why::run;

/// Starts a gateway whose destination gives up after the first attempt.
fn start(receiver: &Receiver, settings: &str, more: &str) -> (Site, Gateway) {
    let rest =
        Site::plain_rest(&receiver.url("/app"), settings).replace("max_attempts: 1000", "max_attempts: 1") + more;
    let site = Site::new(&rest);
    let gateway = site.start();
    (site, gateway)
}

fn ended(gateway: &Gateway, result: &str, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", result)], count);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app")], 0);
}

fn answer(gateway: &Gateway, id: &str) -> Value {
    gateway.admin(&format!("/api/v1/events/{id}")).json()["event"]["deliveries"][0]["answer"].clone()
}

#[test]
fn what_a_service_answered_stands_with_the_dead_letter() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(422).saying("application/json", r#"{"error": "no such order"}"#));
    let (site, gateway) = start(&receiver, "", "");
    let id = gateway.accept(&github(r#"{"id": 7}"#));
    ended(&gateway, "dead_lettered", 1);
    let kept = answer(&gateway, &id);
    assert_eq!(
        (&kept["status"], &kept["content_type"], &kept["whole"]),
        (&json!(422), &json!("application/json"), &json!(true))
    );
    assert_eq!(kept["body"]["text"], r#"{"error": "no such order"}"#);
    let dead = gateway.admin("/api/v1/dead-letters").json()["dead_letters"][0].clone();
    assert_eq!(dead["answer"], kept);
    let (code, said, told) = run(&site, &gateway, &["events", "show", &id]);
    assert_eq!(code, 0, "{told}");
    assert!(
        said.contains("answered 422 (application/json) at 20") && said.contains(r#""error": "no such order""#),
        "{said}"
    );
    let (_, said, told) = run(&site, &gateway, &["dlq", "list"]);
    assert!(said.contains(r#"status 422 {"error": "no such order"}"#), "{said}{told}");
}

#[test]
fn what_was_answered_before_a_restart_is_still_there_and_is_replaced_by_the_next_answer() {
    let receiver = Receiver::start();
    receiver.script(
        "/app",
        [Reply::status(400).saying("text/plain", "first"), Reply::status(200).saying("text/plain", "thanks")],
    );
    let (site, mut gateway) = start(&receiver, "", "");
    let id = gateway.accept(&github("{}"));
    ended(&gateway, "dead_lettered", 1);
    assert!(gateway.stop().success());
    let gateway = site.start();
    assert_eq!(answer(&gateway, &id)["body"]["text"], "first");
    let replayed = gateway.change("POST", &format!("/api/v1/events/{id}/replay"), "{}");
    assert_eq!(replayed.status, 200, "{}", replayed.text());
    ended(&gateway, "delivered", 1);
    let kept = answer(&gateway, &id);
    assert_eq!((&kept["status"], &kept["body"]["text"]), (&json!(200), &json!("thanks")));
}

#[test]
fn of_a_long_answer_the_beginning_is_kept_and_nothing_where_nothing_is_wanted() {
    let receiver = Receiver::start();
    let long = format!("{}\u{1b}[2J\u{e9}", "x".repeat(3000));
    receiver.always("/app", Reply::status(500).saying("text/html", &long));
    let (site, gateway) = start(&receiver, "", "");
    let keeping = |kept: &str| {
        let rest = Site::plain_rest(&receiver.url("/app"), kept).replace("max_attempts: 1000", "max_attempts: 1");
        site.rewrite(&rest);
        gateway.reload();
    };
    let mut dead = 0;
    let mut kept = |settings: &str| {
        keeping(settings);
        let id = gateway.accept(&github("{}"));
        dead += 1;
        ended(&gateway, "dead_lettered", dead);
        (answer(&gateway, &id), id)
    };
    let (usual, _) = kept("");
    assert_eq!((usual["bytes"].as_u64(), &usual["whole"]), (Some(2048), &json!(false)));
    let (short, _) = kept(", keep_answer: 5B");
    assert_eq!((&short["body"]["text"], &short["whole"]), (&json!("xxxxx"), &json!(false)));
    assert_eq!(kept(", keep_answer: 0B").0, Value::Null);
    let (all, id) = kept(", keep_answer: 64KiB");
    assert_eq!((all["body"]["text"].as_str(), &all["whole"]), (Some(long.as_str()), &json!(true)));
    for args in [&["events", "show", &id][..], &["dlq", "list"], &["events", "show", &id, "--format", "json"]] {
        let (code, said, told) = run(&site, &gateway, args);
        assert_eq!((code, said.contains('\u{1b}')), (0, false), "{args:?} {told}");
    }
}

#[test]
fn an_answer_that_repeats_what_is_hidden_is_hidden_too() {
    let receiver = Receiver::start();
    receiver.script(
        "/app",
        [
            Reply::status(422).saying("application/json", r#"{"email": "a@b.example", "code": 7}"#),
            Reply::status(422).saying("application/json", r#"{"error": "no user a@b.example"}"#),
            Reply::status(422).saying("text/plain", "no user a@b.example"),
            Reply::status(422).saying("application/json", r#"{"error": "unknown"}"#),
        ],
    );
    let (site, gateway) = start(&receiver, "", "capture: {redact: [/email]}\n");
    let mut shown = Vec::new();
    for dead in 1..=4 {
        let id = gateway.accept(&github(r#"{"email": "a@b.example"}"#));
        ended(&gateway, "dead_lettered", dead);
        shown.push(answer(&gateway, &id)["body"]["text"].as_str().unwrap().to_owned());
    }
    let wanted = [r#"{"code":7,"email":"[redacted]"}"#, "[redacted]", "[redacted]", r#"{"error":"unknown"}"#];
    assert_eq!(shown, wanted);
    let dead = gateway.admin("/api/v1/dead-letters").text();
    let (_, listed, _) = run(&site, &gateway, &["dlq", "list"]);
    assert!(!dead.contains("a@b.example") && !listed.contains("a@b.example"), "{dead}{listed}");
}
