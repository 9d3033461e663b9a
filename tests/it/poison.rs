//! Poison events: events that their service cannot take block no other event, and end as dead letters with their cause.

use crate::support::{
    Connection, Receiver, Reply, SOON, Seen, Site, accounts, alone, eventually, github, queued, text_of,
};

const POISON: usize = 10;
const GOOD: usize = 300;

fn is_poison(seen: &Seen) -> bool {
    text_of(&seen.body).contains("poison")
}

#[test]
fn poison_is_retried_beside_the_good_events_and_ends_as_dead_letters() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.rule(|seen| is_poison(seen).then(|| Reply::status(500)));
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "retry: {initial: 50ms, max: 200ms, max_attempts: 1000}",
        "retry: {initial: 500ms, max: 1s, max_attempts: 6, jitter: none}",
    );
    let gateway = Site::new(&rest).start();
    let mut connection: Connection = gateway.connect();
    let mut take = |body: String| assert_eq!(connection.send(&github(body)).unwrap().status, 200);
    for at in 0..POISON {
        take(format!("{{\"poison\":{at}}}"));
    }
    for at in 0..GOOD {
        take(format!("{{\"good\":{at}}}"));
    }
    let good = || receiver.seen().into_iter().filter(|seen| !is_poison(seen)).collect::<Vec<_>>();
    eventually("all good ones arrive", SOON, || (good().len() == GOOD).then_some(()));
    eventually("the poison ends", SOON, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    let seen = receiver.seen();
    let last_good = seen.iter().filter(|seen| !is_poison(seen)).map(|seen| seen.at).max().unwrap();
    let tries: Vec<&Seen> = seen.iter().filter(|seen| is_poison(seen)).collect();
    assert_eq!(tries.len(), POISON * 6);
    assert!(tries.iter().any(|seen| seen.at > last_good), "the good ones waited for the poison to end");
    assert_eq!(good().len(), GOOD, "each once");
    let dead = [("destination", "app"), ("result", "dead_lettered")];
    gateway.wait_for_metric("hookgate_deliveries_total", &dead, POISON as u64);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "app")], POISON as u64);
    let said = || gateway.log().lines().filter(|line| line.contains("\"dead letter\"")).count();
    eventually("each is said", SOON, || (said() == POISON).then_some(()));
    let log = gateway.log();
    let mut lines = log.lines().filter(|line| line.contains("\"dead letter\""));
    assert!(lines.all(|line| line.contains("\"cause\":\"attempts_exhausted\"")), "{log}");
    accounts(&gateway, &[("all", "app", 0)]);
}
