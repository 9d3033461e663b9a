//! Stored events: found, shown, replayed, dropped, re-evaluated.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Receiver, Reply, SOON, Site, eventually, github};

fn list(gateway: &Gateway, path: &str, name: &str) -> Vec<Value> {
    let answer = gateway.admin(path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[name].as_array().unwrap().clone()
}

fn post(gateway: &Gateway, path: &str, body: Value) -> Value {
    let answer: Answer = gateway.change("POST", path, &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

/// Waits until a replay has ended, and returns it.
fn ended(gateway: &Gateway, job: &Value) -> Value {
    let path = format!("/api/v1/replays/{}", job["replay"]["id"].as_str().unwrap());
    eventually("the replay ends", SOON, || {
        let job = gateway.admin(&path).json()["replay"].clone();
        (job["state"] != "running").then_some(job)
    })
}

#[test]
fn events_are_listed_with_filters_page_by_page() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(400)]);
    let gateway = Site::plain(&receiver).start();
    let dead = gateway.accept(&github("{\"n\":0}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    let mut accepted: Vec<String> = (1..7).map(|n| gateway.accept(&github(format!("{{\"n\":{n}}}")))).collect();
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 6);
    // A delivery is counted before its end is written.
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    accepted.reverse();
    let delivered = list(&gateway, "/api/v1/events?outcome=delivered", "events");
    assert_eq!(ids(&delivered), accepted);
    assert_eq!(ids(&list(&gateway, "/api/v1/events?outcome=dead_lettered", "events")), [dead.as_str()]);
    let where_n = list(&gateway, "/api/v1/events?where=body.n%20%3E%3D%205&source=github", "events");
    assert_eq!(ids(&where_n), &accepted[..2]);
    for nothing in
        ["source=other", "type=pull_request", "since=2999-01-01T00:00:00Z", "until=1d", "route=x", "destination=x"]
    {
        assert!(list(&gateway, &format!("/api/v1/events?{nothing}"), "events").is_empty(), "{nothing}");
    }
    let mut pages = Vec::new();
    let mut next = String::new();
    loop {
        let page = gateway.admin(&format!("/api/v1/events?limit=3{next}")).json();
        pages.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    accepted.push(dead);
    assert_eq!(pages, accepted);
    for wrong in ["outcome=x", "since=yesterday", "where=body.", "limit=0", "cursor=zz", "colour=red"] {
        assert_eq!(gateway.admin(&format!("/api/v1/events?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn one_event_is_shown_with_all_that_happened_to_it_and_delivered_again() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(500)]);
    let gateway = Site::plain(&receiver).start();
    let id = gateway.accept(&github("{\"text\":\"hä\"}").to("/in/github?a=b"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let event = gateway.admin(&format!("/api/v1/events/{id}")).json()["event"].clone();
    assert_eq!((&event["target"], &event["body"]["text"]), (&"/in/github?a=b".into(), &"{\"text\":\"hä\"}".into()));
    let tries = event["deliveries"][0]["tries"].as_array().unwrap();
    let outcomes: Vec<_> = tries.iter().map(|one| (one["outcome"].as_str().unwrap(), one["status"].as_u64())).collect();
    assert_eq!(outcomes, [("http_5xx", Some(500)), ("success", Some(200))]);
    let replay = format!("/api/v1/events/{id}/replay");
    let dry = post(&gateway, &replay, json!({ "dry_run": true }));
    assert_eq!((dry["deliveries"].as_array().unwrap().len(), dry["queued"].as_u64()), (1, Some(0)));
    assert_eq!(receiver.count(), 2);
    assert_eq!(post(&gateway, &replay, json!({}))["queued"], 1);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
    let again = &receiver.wait_for(3)[2];
    assert_eq!((again.event_id(), again.body.as_slice()), (id, "{\"text\":\"hä\"}".as_bytes()));
    assert_eq!(gateway.change("POST", &replay, "{\"to\":3}").status, 400);
    assert_eq!(gateway.admin("/api/v1/events/01a1fd3c-da02-7523-bd05-34f2a2598254").status, 404);
    // A web page cannot send `application/json` unasked; other content types are refused.
    let body = crate::support::Request::new("POST", &replay, "{}").with("Content-Type", "text/plain");
    let body = body.with("Host", gateway.admin_address().to_string());
    assert_eq!(crate::support::send(gateway.admin_address(), &body).unwrap().status, 415);
}

#[test]
fn dead_letters_are_replayed_after_a_plan_and_dropped() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(400));
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    for n in 0..30 {
        gateway.accept(&github(format!("{{\"n\":{n}}}")));
    }
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 30);
    let dead = list(&gateway, "/api/v1/dead-letters?limit=500", "dead_letters");
    assert_eq!((dead.len(), &dead[0]["cause"], &dead[0]["last"]["status"]), (30, &"final".into(), &400.into()));
    receiver.always("/app", Reply::status(200));
    let filter = json!({ "where": "body.n < 10" });
    let plan = post(&gateway, "/api/v1/replays", json!({ "from": "dead_letters", "filter": filter, "dry_run": true }));
    assert_eq!(
        (&plan["plan"]["events"], &plan["plan"]["by_destination"]["app"], &plan["plan"]["complete"]),
        (&10.into(), &10.into(), &true.into())
    );
    let job = post(&gateway, "/api/v1/replays", json!({ "from": "dead_letters", "filter": filter }));
    assert_eq!(ended(&gateway, &job)["deliveries"], 10);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 10);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 20);
    let drop = json!({ "filter": { "where": "body.n < 15" }, "dry_run": true });
    assert_eq!(post(&gateway, "/api/v1/dead-letters/drop", drop)["found"], 5);
    let drop = json!({ "filter": { "where": "body.n < 15" } });
    assert_eq!(post(&gateway, "/api/v1/dead-letters/drop", drop)["dropped"], 5);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 15);
    // The counters are right after a restart, too.
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 15);
    let book = &gateway.admin("/api/v1/destinations").json()["destinations"][0];
    assert_eq!(
        (&book["accepted"], &book["dead_lettered"], &book["delivered"], &book["dead"]),
        (&40.into(), &30.into(), &10.into(), &15.into())
    );
}

#[test]
fn a_replay_has_a_rate_and_can_be_cancelled() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    for _ in 0..50 {
        gateway.accept(&github("{}"));
    }
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 50);
    let job = post(&gateway, "/api/v1/replays", json!({ "filter": { "since": "1h" }, "rate": "5/s" }));
    let path = format!("/api/v1/replays/{}", job["replay"]["id"].as_str().unwrap());
    receiver.wait_for(52);
    let cancelled = gateway.change("DELETE", &path, "").json();
    assert_eq!(cancelled["replay"]["state"], "cancelled");
    let deliveries = cancelled["replay"]["deliveries"].as_u64().unwrap();
    assert!((2..50).contains(&deliveries), "{deliveries}");
    let most = post(&gateway, "/api/v1/replays", json!({ "max": 3 }));
    assert_eq!(ended(&gateway, &most)["deliveries"], 3);
}

#[test]
fn an_event_goes_where_today_s_routes_send_it() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let more = format!("  more: {{url: \"{}\"}}\n", receiver.url("/more"));
    site.rewrite(&(rest.replace("to: app}", "to: [app, more]}") + &more));
    gateway.reload();
    let replay = format!("/api/v1/events/{id}/replay");
    let today = post(&gateway, &replay, json!({ "rules": "today", "to": ["more"] }));
    assert_eq!((&today["queued"], &today["deliveries"][0]["new"]), (&1.into(), &true.into()));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "more")], 1);
    assert_eq!(receiver.seen_at("/more")[0].event_id(), id);
    let event = gateway.admin(&format!("/api/v1/events/{id}")).json();
    assert_eq!(event["event"]["deliveries"].as_array().unwrap().len(), 2);
    // The second time the delivery is not new.
    assert_eq!(post(&gateway, &replay, json!({ "rules": "today", "to": ["more"] }))["deliveries"][0]["new"], false);
}

#[test]
fn quarantined_events_go_out_in_order_when_the_schema_is_corrected() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "provider: github,",
        "provider: github, schemas: {events: {push: schemas/push.json}, on_invalid: quarantine},",
    );
    let site = Site::new(&rest);
    site.file("schemas/push.json", br#"{"type":"object","required":["total"]}"#);
    let gateway = site.start();
    let kept: Vec<String> = (0..5).map(|n| gateway.accept(&github(format!("{{\"n\":{n}}}")))).collect();
    gateway.accept(&github("{\"n\":\"text\"}"));
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 6);
    let quarantine = list(&gateway, "/api/v1/quarantine", "quarantine");
    assert_eq!((quarantine.len(), quarantine[0]["problems"].as_array().unwrap().len()), (6, 1));
    let judge = |dry_run: bool| post(&gateway, "/api/v1/quarantine/judge", json!({ "dry_run": dry_run }));
    assert_eq!((&judge(true)["kept"], &judge(true)["admitted"]), (&6.into(), &0.into()));
    site.file("schemas/push.json", br#"{"type":"object","properties":{"n":{"type":"integer"}}}"#);
    gateway.reload();
    let dry = judge(true);
    assert_eq!((&dry["admitted"], &dry["kept"], &dry["deliveries"]), (&5.into(), &1.into(), &0.into()));
    assert_eq!(receiver.count(), 0);
    let done = judge(false);
    assert_eq!((&done["admitted"], &done["deliveries"]), (&5.into(), &5.into()));
    let mut arrived: Vec<String> = receiver.wait_for(5).iter().map(crate::support::Seen::event_id).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, kept);
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 5);
}

#[test]
fn the_same_delivery_id_with_another_body_is_kept_and_flagged() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let first = github("{\"n\":1}");
    let id = gateway.accept(&first);
    let other = crate::support::header_of(&first, "X-GitHub-Delivery");
    let second = gateway.accept(&github("{\"n\":2}").without("X-GitHub-Delivery").with("X-GitHub-Delivery", other));
    receiver.wait_for(2);
    let event = gateway.admin(&format!("/api/v1/events/{second}")).json();
    assert_eq!(event["event"]["same_id_as"], id);
    gateway.wait_for_metric("hookgate_delivery_id_conflicts_total", &[("source", "github")], 1);
}

#[test]
fn each_dead_letter_is_one_however_many_an_event_has() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(400));
    receiver.always("/more", Reply::status(400));
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("to: app}", "to: app}\n  second: {from: github, to: more}")
        + &format!("  more: {{url: \"{}\"}}\n", receiver.url("/more"));
    let gateway = Site::new(&rest).start();
    for n in 0..3 {
        gateway.accept(&github(format!("{{\"n\":{n}}}")));
    }
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 6);
    assert_eq!(list(&gateway, "/api/v1/dead-letters?route=second", "dead_letters").len(), 3);
    let plan = post(&gateway, "/api/v1/replays", json!({ "from": "dead_letters", "dry_run": true }));
    assert_eq!((&plan["plan"]["events"], &plan["plan"]["deliveries"]), (&3.into(), &6.into()));
    let drop = json!({ "filter": { "route": "second" }, "dry_run": true });
    assert_eq!(post(&gateway, "/api/v1/dead-letters/drop", drop)["found"], 3);
    receiver.always("/app", Reply::status(200));
    receiver.always("/more", Reply::status(200));
    let job = post(&gateway, "/api/v1/replays", json!({ "from": "dead_letters" }));
    assert_eq!(ended(&gateway, &job)["deliveries"], 6);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 6);
    assert_eq!(receiver.count(), 12);
}
