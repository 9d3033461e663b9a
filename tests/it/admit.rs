//! Admission of requests that a wrong secret refused: once, as of their receipt, and only when the right one verifies
//! them.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Gateway, Receiver, Request, SECRET, SOON, Site, WallClock, alone, eventually, github, hmac_hex, pass,
};
use crate::why::run;

const WRONG: &str = "{name: wrong, file: wrong}";
const RIGHT: &str = "{name: right, env: GITHUB_SECRET}";

fn rest(receiver: &Receiver, secrets: &str, settings: &str) -> String {
    Site::plain_rest(&receiver.url("/app"), "")
        .replace("[{name: main, env: GITHUB_SECRET}]", &format!("[{secrets}]{settings}"))
}

/// Starts a gateway whose only secret is wrong.
fn wrong(receiver: &Receiver, settings: &str, more: &str) -> (Site, Gateway) {
    let site = Site::new(&(rest(receiver, WRONG, settings) + more));
    site.file("wrong", b"the secret of something else");
    let gateway = site.start();
    (site, gateway)
}

fn mended(site: &Site, gateway: &Gateway, receiver: &Receiver, settings: &str, more: &str) {
    site.rewrite(&(rest(receiver, &format!("{WRONG}, {RIGHT}"), settings) + more));
    gateway.reload();
}

fn refuse(gateway: &Gateway, request: &Request) {
    assert_eq!(gateway.send(request).status, 401);
}

/// Returns the captured refused requests, the newest first.
fn held(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.admin("/api/v1/refused?limit=500").json();
    listed["refused"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

fn verdicts(gateway: &Gateway) -> Vec<String> {
    held(gateway).iter().map(|one| one["now"]["verdict"].as_str().unwrap().to_owned()).collect()
}

fn admit(gateway: &Gateway, body: &str) -> Value {
    let answer = gateway.change("POST", "/api/v1/refused/admit", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn what_a_wrong_secret_refused_is_delivered_once_the_right_one_is_there() {
    let receiver = Receiver::start();
    let (site, gateway) = wrong(&receiver, "", "");
    for at in 0..5 {
        refuse(&gateway, &github(format!("{{\"at\":{at}}}")));
    }
    refuse(&gateway, &github("{}").without("X-Hub-Signature-256"));
    let before = held(&gateway);
    assert_eq!(verdicts(&gateway), ["fails"; 6]);
    assert!(before[0]["delivery_id"].is_string(), "{}", before[0]);
    let nothing = admit(&gateway, "{}");
    assert_eq!((&nothing["fails"], &nothing["admitted"]), (&6.into(), &0.into()));

    let (code, said, told) = run(&site, &gateway, &["refused", "admit"]);
    assert!(
        code == 0 && said.contains("FAILS") && told.contains("`env:` names changes at a restart only"),
        "{said}{told}"
    );

    mended(&site, &gateway, &receiver, "", "");
    let id = before[5]["id"].as_str().unwrap();
    let (code, said, _) = run(&site, &gateway, &["explain", id]);
    assert!(code == 0 && said.contains(&format!("hookgate refused admit {id}")), "{said}");
    let (_, said, _) = run(&site, &gateway, &["refused", "list"]);
    assert!(said.contains("verifies by `right`") && said.contains("missing_signature"), "{said}");
    let (code, said, _) = run(&site, &gateway, &["refused", "show", id]);
    assert!(code == 0 && said.contains("verifies by `right`") && said.contains("x-github-event: push"), "{said}");
    let (code, said, told) = run(&site, &gateway, &["refused", "admit", "--source", "github", "--dry-run"]);
    assert!(code == 0 && said.contains("VERIFIES") && told.contains("nothing was done"), "{said}{told}");
    let (code, _, told) = run(&site, &gateway, &["refused", "admit", "--source", "github"]);
    assert!(code == 2 && told.contains("--yes"), "{told}");
    assert_eq!((receiver.count(), held(&gateway).len()), (0, 6));

    let (code, said, told) = run(&site, &gateway, &["refused", "admit", "--source", "github", "--yes"]);
    assert!(code == 0 && told.contains("admitted: 5 events"), "{said}{told}");
    let seen = receiver.wait_for(5);
    let mut ids: Vec<String> = seen.iter().map(crate::support::Seen::event_id).collect();
    let mut shown: Vec<&str> = before.iter().skip(1).map(|one| one["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    shown.sort_unstable();
    assert_eq!(ids, shown, "under the ids that were shown");
    assert_eq!(seen[0].header("hookgate-verified").unwrap(), "right");
    let event = &gateway.admin(&format!("/api/v1/events/{id}")).json()["event"];
    assert_eq!((&event["received_at"], &event["verified"]), (&before[5]["received_at"], &"right".into()));
    assert_eq!(verdicts(&gateway), ["fails"], "what does not verify stays");
    gateway.wait_for_metric("hookgate_refused_admitted_total", &[("source", "github")], 5);
    gateway.wait_for_outcomes("github", "bad_signature", 401, 5);
    let line = || gateway.log().lines().find(|line| line.contains("is admitted, as asked")).map(str::to_owned);
    assert!(eventually("it is said", SOON, line).contains("\"source\":\"github\""));
    let again = admit(&gateway, r#"{"filter": {"source": "github"}}"#);
    assert_eq!((&again["judged"], &again["admitted"]), (&1.into(), &0.into()));
}

#[test]
fn a_source_that_only_failed_is_no_alarm_any_more_once_what_was_refused_is_admitted() {
    let _alone = alone();
    let receiver = Receiver::start();
    let site = Site::new(&rest(&receiver, RIGHT, ""));
    site.file("wrong", b"the secret of something else");
    let Some(clock) = WallClock::in_folder(site.root()) else { return };
    let gateway = site.start_with(clock.environment());
    gateway.accept(&github("{}"));
    site.rewrite(&rest(&receiver, WRONG, ""));
    gateway.reload();
    refuse(&gateway, &github("{\"a\":1}"));
    let is_alarm = |wanted: u64| {
        let of = [("source", "github")];
        let is = || gateway.metrics().sum("hookgate_source_only_failing", &of) == wanted;
        eventually("the alarm is so", SOON, || is().then_some(()));
    };
    clock.jump("+6m");
    is_alarm(1);
    mended(&site, &gateway, &receiver, "", "");
    assert_eq!(admit(&gateway, r#"{"dry_run": true}"#)["verifies"], 1);
    is_alarm(1);
    assert_eq!(admit(&gateway, "{}")["admitted"], 1);
    is_alarm(0);
    eventually("that is said", SOON, || gateway.log().contains("verifies again").then_some(()));
}

#[test]
fn what_was_redelivered_meanwhile_and_what_came_twice_is_stored_once() {
    let receiver = Receiver::start();
    let (site, gateway) = wrong(&receiver, "", "");
    let (redelivered, twice) = (github("{\"a\":1}"), github("{\"b\":1}"));
    for request in [&redelivered, &twice, &twice] {
        refuse(&gateway, request);
    }
    mended(&site, &gateway, &receiver, "", "");
    let first = gateway.accept(&redelivered);
    let plan = admit(&gateway, r#"{"dry_run": true}"#);
    assert_eq!((&plan["verifies"], &plan["duplicate"]), (&1.into(), &2.into()), "{plan}");
    // Requests of one millisecond have no order.
    assert!(plan["samples"].as_array().unwrap().iter().any(|sample| sample["first"] == first.as_str()), "{plan}");
    let done = admit(&gateway, "{}");
    assert_eq!((&done["admitted"], &done["duplicate"]), (&1.into(), &2.into()), "{done}");
    receiver.wait_for(2);
    gateway.wait_for_metric("hookgate_deliveries_accepted_total", &[], 2);
    assert!(held(&gateway).is_empty());
    // The provider's next delivery is a repetition of the admitted one; the log names it.
    assert_eq!(gateway.send(&twice).event_id(), None);
    gateway.wait_for_outcomes("github", "duplicate", 200, 1);
    let admitted = receiver.seen().iter().map(crate::support::Seen::event_id).find(|id| *id != first).unwrap();
    let line = || gateway.log().lines().find(|line| line.contains("\"outcome\":\"duplicate\"")).map(str::to_owned);
    let line = eventually("a line", SOON, line);
    assert!(line.contains(&format!("\"first_event\":\"{admitted}\"")) && line.contains("delivery_id"), "{line}");
}

#[test]
fn what_does_not_verify_is_never_admitted_whatever_the_source_lets_in() {
    let receiver = Receiver::start();
    let (site, gateway) = wrong(&receiver, "", "");
    let good = github("{\"good\":1}");
    let mut tampered = github("{\"bad\":1}");
    tampered.body[2] ^= 1;
    let forged = github("{\"forged\":1}").without("X-Hub-Signature-256");
    let forged = forged.with("X-Hub-Signature-256", format!("sha256={}", hmac_hex("guess", b"{\"forged\":1}")));
    for request in [&good, &tampered, &forged] {
        refuse(&gateway, request);
    }
    for settings in [", enforce: false", ", verify: {type: none, reason: a test}"] {
        let is_open = settings.contains("none");
        let settings = rest(&receiver, if is_open { "" } else { RIGHT }, settings);
        site.rewrite(&if is_open { settings.replace("provider: github, secrets: [], ", "") } else { settings.clone() });
        gateway.reload();
        let plan = admit(&gateway, r#"{"dry_run": true}"#);
        let verifies = u64::from(!is_open);
        assert_eq!(plan["verifies"], verifies, "{settings}: {plan}");
    }
    mended(&site, &gateway, &receiver, "", "");
    let done = admit(&gateway, "{}");
    assert_eq!((&done["admitted"], &done["fails"]), (&1.into(), &2.into()), "{done}");
    assert_eq!(receiver.wait_for(1)[0].body, good.body);
    assert_eq!(held(&gateway).len(), 2);
}

#[test]
fn time_is_judged_as_of_the_receipt_also_long_after_it() {
    let receiver = Receiver::start();
    let source = |secrets: &str| {
        format!(
            "sources:
  timed:
    path: /in/timed
    verify: {{type: hmac, algorithm: sha256, header: X-Sign, encoding: hex, signed: \"{{header:X-Time}}.{{body}}\", timestamp: {{header: X-Time, tolerance: 2s}}}}
    secrets: [{secrets}]
routes:
  all: {{from: timed, to: app}}
destinations:
  app: {{url: \"{}\"}}
",
            receiver.url("/app")
        )
    };
    let site = Site::new(&source(WRONG));
    site.file("wrong", b"the secret of something else");
    let gateway = site.start();
    let timed = |offset: i64| {
        let time = (jiff::Timestamp::now().as_second() + offset).to_string();
        let signature = hmac_hex(SECRET, format!("{time}.{{}}").as_bytes());
        Request::new("POST", "/in/timed", "{}").with("X-Time", time).with("X-Sign", signature)
    };
    refuse(&gateway, &timed(0));
    refuse(&gateway, &timed(-3600));
    // The signed time was fresh at the receipt and is stale now.
    pass(Duration::from_secs(4));
    site.rewrite(&source(&format!("{WRONG}, {RIGHT}")));
    gateway.reload();
    let done = admit(&gateway, "{}");
    assert_eq!((&done["admitted"], &done["fails"]), (&1.into(), &1.into()), "{done}");
    assert!(done["samples"][1]["why"].as_str().unwrap().contains("ago"), "{done}");
    receiver.wait_for(1);
}

#[test]
fn the_other_gates_judge_what_verifies_now() {
    let receiver = Receiver::start();
    let strict = ", schemas: {events: {push: schemas/push.json}, on_invalid: ON}";
    let reject = strict.replace("ON", "reject");
    let site = Site::new("");
    site.file("schemas/push.json", br#"{"type": "object", "required": ["ref"]}"#);
    site.file("wrong", b"the secret of something else");
    site.rewrite(&rest(&receiver, WRONG, &reject));
    let gateway = site.start();
    refuse(&gateway, &github("{\"ref\":\"a\"}"));
    refuse(&gateway, &github("{}"));
    mended(&site, &gateway, &receiver, &reject, "");
    let plan = admit(&gateway, r#"{"dry_run": true}"#);
    assert_eq!((&plan["verifies"], &plan["refused"]), (&1.into(), &1.into()), "{plan}");
    mended(&site, &gateway, &receiver, &strict.replace("ON", "quarantine"), "");
    let done = admit(&gateway, "{}");
    assert_eq!((&done["admitted"], &done["quarantined"]), (&2.into(), &1.into()), "{done}");
    receiver.wait_for(1);
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
}

#[test]
fn what_is_not_held_whole_is_told_and_not_admitted() {
    let receiver = Receiver::start();
    let more = "capture: {bodies: off}\n";
    let (site, gateway) = wrong(&receiver, "", more);
    refuse(&gateway, &github("{\"a\":1}"));
    mended(&site, &gateway, &receiver, "", more);
    let done = admit(&gateway, "{}");
    assert_eq!((&done["admitted"], &done["not_judged"]), (&0.into(), &1.into()), "{done}");
    assert!(done["samples"][0]["why"].as_str().unwrap().contains("bodies: off"), "{done}");
    let id = done["samples"][0]["id"].as_str().unwrap();
    let (_, said, _) = run(&site, &gateway, &["explain", id]);
    assert!(said.contains("cannot be admitted"), "{said}");
    let (code, _, told) = run(&site, &gateway, &["refused", "admit", "01a1fd76-8a04-7238-9211-740ec6f37b7e"]);
    assert!(code == 1 && told.contains("a restart or newer requests"), "{told}");
    let wrong = gateway.change("POST", "/api/v1/refused/admit", r#"{"sources": "github"}"#);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn a_full_buffer_is_told_and_nothing_that_is_held_is_lost() {
    let port = crate::support::free_port();
    let receiver = Receiver::start();
    let more = "buffer: {max_size: 1MiB}\n";
    let (site, gateway) = wrong(&receiver, "", more);
    let body = |at: usize| format!("\"{at}{}\"", "x".repeat(60_000)).into_bytes();
    for at in 0..40 {
        refuse(&gateway, &github(body(at)));
    }
    // No service takes the deliveries.
    let gone = rest(&receiver, &format!("{WRONG}, {RIGHT}"), "")
        .replace(&receiver.url("/app"), &format!("http://127.0.0.1:{port}/app"));
    site.rewrite(&(gone + more));
    gateway.reload();
    let (code, _, told) = run(&site, &gateway, &["refused", "admit", "--yes"]);
    assert!(code == 1 && told.contains("still held"), "{told}");
    let stored = gateway.metrics().sum("hookgate_refused_admitted_total", &[("source", "github")]);
    assert!((5..=20).contains(&stored), "{stored}");
    assert_eq!(held(&gateway).len() as u64, 40 - stored);
    // There is space again: the rest is delivered, each once.
    let well = Receiver::start_on(port);
    well.wait_for(usize::try_from(stored).unwrap());
    eventually("all are admitted", SOON + Duration::from_secs(20), || {
        gateway.change("POST", "/api/v1/refused/admit", "{}");
        held(&gateway).is_empty().then_some(())
    });
    well.wait_for(40);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let mut bodies: Vec<Vec<u8>> = well.seen().into_iter().map(|seen| seen.body).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!((bodies.len(), well.count()), (40, 40));
}

#[test]
fn one_that_is_named_is_admitted_without_a_question_and_two_who_admit_at_once_store_each_request_once() {
    let receiver = Receiver::start();
    let settings = ", dedup: {window: 0s}";
    let (site, gateway) = wrong(&receiver, settings, "");
    for at in 0..30 {
        refuse(&gateway, &github(format!("{{\"at\":{at}}}")));
    }
    mended(&site, &gateway, &receiver, settings, "");
    let id = held(&gateway)[7]["id"].as_str().unwrap().to_owned();
    let (code, said, told) = run(&site, &gateway, &["refused", "admit", &id]);
    assert!(code == 0 && told.contains("admitted: 1 event\n"), "{said}{told}");
    assert_eq!(receiver.wait_for(1)[0].event_id(), id);
    let admitted: u64 = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| admit(&gateway, "{}")["admitted"].as_u64().unwrap()));
        both.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(admitted, 29);
    receiver.wait_for(30);
    gateway.wait_for_metric("hookgate_deliveries_accepted_total", &[], 30);
    assert!(held(&gateway).is_empty());
}
