//! Observe mode (`enforce: false`): unverified events are stored, delivered, and re-evaluated when secrets change.

use crate::support::{Gateway, Receiver, Reply, SOON, Site, eventually, github, hmac_hex};

/// Returns the source `github` in observe mode, with this secret.
fn observing(receiver: &Receiver, secret: &str) -> String {
    Site::plain_rest(&receiver.url("/app"), "")
        .replace("[{name: main, env: GITHUB_SECRET}]", &format!("[{secret}], enforce: false"))
}

const WRONG: &str = "{name: wrong, file: wrong}";
const RIGHT: &str = "{name: right, env: GITHUB_SECRET}";

fn site(receiver: &Receiver) -> Site {
    let site = Site::new(&observing(receiver, WRONG));
    site.file("wrong", b"the secret of something else");
    site
}

/// Returns the numbers of the first source from the API: unverified events, and events that were verified later.
fn numbers(gateway: &Gateway) -> (u64, u64) {
    let answer = gateway.admin("/api/v1/sources");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let source = &answer.json()["sources"][0];
    assert_eq!((&source["name"], &source["provider"]), (&"github".into(), &"github".into()));
    (source["unverified"].as_u64().unwrap(), source["reverified"].as_u64().unwrap())
}

fn wait_for_numbers(gateway: &Gateway, unverified: u64, reverified: u64) {
    let what = format!("{unverified} unverified, {reverified} verified later");
    eventually(&what, SOON, || (numbers(gateway) == (unverified, reverified)).then_some(()));
}

/// Counts the log lines about a re-evaluation.
fn passes(gateway: &Gateway) -> usize {
    gateway.log().matches("were re-evaluated").count()
}

#[test]
fn an_event_that_failed_is_verified_by_the_right_secret_later() {
    let receiver = Receiver::start();
    let site = site(&receiver);
    let gateway = site.start();
    gateway.accept(&github("{\"who\":1}"));
    assert_eq!(receiver.wait_for(1)[0].header("hookgate-verified").unwrap(), "none");
    assert_eq!(numbers(&gateway), (1, 0));
    site.rewrite(&observing(&receiver, RIGHT));
    gateway.reload();
    wait_for_numbers(&gateway, 0, 1);
    // The log is written by its own thread.
    let said = || gateway.log().lines().find(|line| line.contains("were re-evaluated")).map(str::to_owned);
    let line = eventually("it is said", SOON, said);
    for said in ["\"source\":\"github\"", "\"judged\":1", "\"verified\":1", "\"failed\":0"] {
        assert!(line.contains(said), "{said}: {line}");
    }
    // The metric counts the verdict at the receipt, a failure.
    gateway.wait_for_metric("hookgate_verifications_total", &[("verdict", "failed")], 1);
    gateway.wait_for_metric("hookgate_verifications_total", &[("verdict", "verified")], 0);
}

#[test]
fn a_later_try_says_the_secret_that_has_verified_the_event_since() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(500));
    let site = site(&receiver);
    let gateway = site.start();
    let id = gateway.accept(&github("{\"who\":2}"));
    receiver.wait_for(2);
    site.rewrite(&observing(&receiver, RIGHT));
    gateway.reload();
    wait_for_numbers(&gateway, 0, 1);
    let verified = || receiver.seen().into_iter().find(|seen| seen.header("hookgate-verified").unwrap() == "right");
    let seen = eventually("a try with the secret's name", SOON, verified);
    assert_eq!((seen.event_id(), seen.body.as_slice()), (id, b"{\"who\":2}".as_slice()));
    receiver.always("/app", Reply::status(200));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
}

#[test]
fn what_fails_again_is_left_alone_until_the_secrets_change_also_across_restarts() {
    let receiver = Receiver::start();
    let site = site(&receiver);
    let mut gateway = site.start();
    let tampered = github("{\"a\":1}");
    let tampered = tampered
        .without("X-Hub-Signature-256")
        .with("X-Hub-Signature-256", format!("sha256={}", hmac_hex("guess", b"{}")));
    gateway.accept(&tampered);
    gateway.accept(&github("{\"b\":1}").without("X-Hub-Signature-256"));
    gateway.accept(&github("{\"c\":1}"));
    assert_eq!(numbers(&gateway), (3, 0));
    // With the same secrets nothing is re-evaluated.
    gateway.reload();
    assert!(gateway.stop().success());
    assert_eq!(passes(&gateway), 0, "{}", gateway.log());
    // After a change of the secret while the gateway was stopped, the start re-evaluates once.
    site.rewrite(&observing(&receiver, RIGHT));
    let mut gateway = site.start();
    wait_for_numbers(&gateway, 2, 1);
    gateway.reload();
    gateway.reload();
    assert!(gateway.stop().success());
    assert_eq!(passes(&gateway), 1, "{}", gateway.log());
    let gateway = site.start();
    assert_eq!(numbers(&gateway), (2, 0));
    // A third set of secrets, of a source that now enforces: one more re-evaluation.
    let enforced =
        observing(&receiver, &format!("{RIGHT}, {{name: guessed, file: guess}}")).replace(", enforce: false", "");
    site.file("guess", b"guess");
    site.rewrite(&enforced);
    gateway.reload();
    eventually("judged again", SOON, || (passes(&gateway) == 1).then_some(()));
    assert_eq!(numbers(&gateway), (2, 0));
    assert_eq!(gateway.send(&tampered).status, 401);
}

#[test]
fn what_is_no_longer_stored_is_no_longer_counted() {
    let receiver = Receiver::start();
    let site = site(&receiver);
    site.rewrite(&(observing(&receiver, WRONG) + "buffer: {keep_delivered: 1s}\n"));
    let gateway = site.start();
    for at in 0..5 {
        gateway.accept(&github(format!("{{\"at\":{at}}}")));
    }
    wait_for_numbers(&gateway, 0, 0);
    gateway.wait_for_metric("hookgate_buffer_used_bytes", &[], 0);
}

#[test]
fn a_kill_in_the_middle_of_judging_loses_no_event_and_no_failure() {
    let receiver = Receiver::start();
    let site = site(&receiver);
    let gateway = site.start();
    let mut connection = gateway.connect();
    for at in 0..400 {
        assert_eq!(connection.send(&github(format!("{{\"at\":{at}}}"))).unwrap().status, 200);
    }
    receiver.wait_for(400);
    site.rewrite(&observing(&receiver, RIGHT));
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the first slice is judged", SOON, || (numbers(&gateway).1 > 0).then_some(()));
    gateway.kill();
    let gateway = site.start();
    let left = numbers(&gateway).0;
    eventually("the rest is judged", SOON, || (numbers(&gateway).0 == 0).then_some(()));
    let (_, reverified) = numbers(&gateway);
    assert!(reverified >= left && reverified <= 400, "{reverified} of {left}");
    gateway.wait_for_metric("hookgate_buffer_errors_total", &[], 0);
}
