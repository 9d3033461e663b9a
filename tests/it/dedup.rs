//! A repeated event is answered as accepted and delivered once; what is not the same event is not swallowed.

use crate::support::{Gateway, Receiver, Request, Site, github, header_of, hmac_hex};

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
    // What comes after it is delivered after it: had the duplicates been kept, they would be here.
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
