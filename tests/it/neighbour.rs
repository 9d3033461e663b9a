//! A noisy neighbour: one source is flooded and its service hangs; the other source is not delayed.

use std::time::Duration;

use crate::support::{Flow, Load, Receiver, Reply, SOON, Site, accounts, alone, eventually, pass, queued};

/// The quiet source's rate; the noisy source sends ten times as much.
const QUIET: u32 = 40;

fn rest(receiver: &Receiver) -> String {
    format!(
        "sources:
  quiet: {{path: /in/quiet, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
  noisy: {{path: /in/noisy, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
routes:
  quiet: {{from: quiet, to: quiet}}
  noisy: {{from: noisy, to: noisy}}
destinations:
  quiet: {{url: \"{}\"}}
  noisy: {{url: \"{}\", timeout: 2s, retry: {{initial: 100ms, max: 1s, max_attempts: 1000}}}}
",
        receiver.url("/quiet"),
        receiver.url("/noisy")
    )
}

#[test]
fn a_flooded_source_with_a_hanging_service_holds_up_nobody_else() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.always("/noisy", Reply::status(500).after(Duration::from_mins(1)));
    let gateway = Site::new(&rest(&receiver)).start();
    let quiet = Flow { path: "/in/quiet", ..Flow::of(QUIET, 2) };
    let alone_for = Load::start(gateway.address(), quiet);
    pass(Duration::from_secs(2));
    let before = alone_for.stop();
    let noise = Load::start(gateway.address(), Flow { path: "/in/noisy", ..Flow::of(10 * QUIET, 8) });
    eventually("the neighbour has a backlog", SOON, || (queued(&gateway.metrics(), "noisy") > 200).then_some(()));
    let beside = Load::start(gateway.address(), quiet);
    pass(Duration::from_secs(4));
    let (during, noise) = (beside.stop(), noise.stop());
    assert_eq!((during.refused.len(), during.broken), (0, 0));
    eventually("the quiet one has all", SOON, || (queued(&gateway.metrics(), "quiet") == 0).then_some(()));
    let mut sent = before;
    let (p99_before, p99) = (sent.percentile(99), during.percentile(99));
    sent.add(during);
    sent.all_arrived(&receiver.seen_at("/quiet"));
    eprintln!("p99 alone {p99_before:?}, beside the noise {p99:?}, {} noisy events", noise.answered.len());
    // A generous ratio within one run: it separates waiting behind the noisy source from sharing the machine.
    assert!(p99 < p99_before.max(Duration::from_millis(20)) * 20, "{p99:?} against {p99_before:?}");
    accounts(&gateway, &[("quiet", "quiet", 0), ("noisy", "noisy", 0)]);
}
