//! Two hundred reloads, valid and invalid, by signal and by the API, under load: no request fails, no event is lost.

use crate::support::{Flow, Gateway, Load, Receiver, SOON, Site, alone, eventually, github};

const RELOADS: usize = 200;
/// The offered rate; the achieved rate is printed at the end.
const PER_SECOND: u32 = 550;
/// The least number of requests under each set of rules.
const REQUESTS_BETWEEN: usize = 20;

/// Returns the rules of a round: a source of its own, a destination that comes and goes, other limits and retries.
fn good(plain: &str, receiver: &Receiver, round: usize) -> String {
    let source = format!(
        "  round: {{path: /in/round-{round}, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}], rate_limit: {{rate: {}/s}}}}\nroutes:\n  round: {{from: round, to: other}}\n",
        1000 + round
    );
    let other = format!("  other: {{url: \"{}\", timeout: {}ms}}\n", receiver.url("/other"), 5000 + round);
    let copies = if round.is_multiple_of(4) { "to: [app, other]}" } else { "to: app}" };
    let plain = plain.replace("routes:\n", &source).replace("to: app}", copies);
    plain.replace("max_attempts: 1000", &format!("max_attempts: {}", 1000 + round)) + &other
}

/// Returns an invalid file; each kind of mistake has its turn.
fn bad(good: &str, round: usize) -> String {
    match round / 2 % 5 {
        0 => "sources: [".to_owned(),
        1 => good.replace("to: other}", "to: nobody}"),
        2 => good.replace("env: GITHUB_SECRET", "file: not-there"),
        3 => good.replace("routes:\n", "routes:\n  wrong: {from: github, when: \"body.\", to: app}\n"),
        _ => format!("{good}routes: {{}}\n"),
    }
}

/// Reloads by signal or by the API, and returns whether the rules were applied.
fn reload(gateway: &Gateway, round: usize) -> bool {
    if (round / 2).is_multiple_of(2) {
        return match gateway.change("POST", "/api/v1/reload", "{}").status {
            200 => true,
            422 => false,
            other => panic!("round {round} is answered {other}"),
        };
    }
    gateway.reload();
    gateway.metrics().sum("hookgate_config_last_reload_successful", &[]) == 1
}

#[test]
fn no_request_fails_and_no_event_is_lost_over_two_hundred_reloads_under_load() {
    let _alone = alone();
    let receiver = Receiver::start();
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&plain);
    let mut gateway = site.start();
    let load = Load::start(gateway.address(), Flow { body_bytes: 300, ..Flow::of(PER_SECOND, 5) });
    let (mut extra, started) = (0, std::time::Instant::now());
    for round in 0..RELOADS {
        let is_good = round % 2 == 0;
        let rules = good(&plain, &receiver, round);
        site.rewrite(&if is_good { rules } else { bad(&rules, round) });
        assert_eq!(reload(&gateway, round), is_good, "round {round}");
        // All rules of the last valid file are in force.
        let path = format!("/in/round-{}", round - round % 2);
        assert_eq!(gateway.send(&github("{}").to(&path)).status, 200, "round {round}");
        extra += 1;
        let until = (round + 1) * REQUESTS_BETWEEN;
        eventually("the load goes on", SOON, || (load.exchanges() >= until).then_some(()));
    }
    let took = started.elapsed();
    let sent = load.stop();
    let count = sent.answered.len();
    eprintln!("{RELOADS} reloads in {took:.1?}, {} requests a second", count as u128 * 1000 / took.as_millis());
    assert_eq!((&sent.refused, sent.broken), (&Vec::new(), 0), "every request is answered as accepted");
    assert!(count >= RELOADS * REQUESTS_BETWEEN);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app")], 0);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "other")], 0);
    sent.all_arrived(&receiver.seen());
    let metrics = gateway.metrics();
    for result in ["applied", "refused"] {
        assert_eq!(metrics.sum("hookgate_config_reloads_total", &[("result", result)]), RELOADS as u64 / 2, "{result}");
    }
    gateway.wait_for_metric("hookgate_requests_total", &[], (count + extra) as u64);
    assert_eq!(gateway.metrics().sum("hookgate_requests_total", &[("outcome", "accepted")]), (count + extra) as u64);
    assert!(gateway.stop().success());
}
