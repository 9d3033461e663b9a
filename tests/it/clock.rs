//! A wall clock that jumps while deliveries wait for their next attempt: they neither stall nor come all at once, and
//! none of them expires.
//!
//! libfaketime moves the gateway's wall clock; the monotonic clock runs on. Without libfaketime the test is skipped
//! with a message, and fails in CI.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{
    Receiver, Reply, SOON, Site, WallClock, accounts, alone, eventually, github, pass, queued, send_many,
};

/// The successive offsets of the wall clock from the true time: jumps of a day and of an hour, both ways.
const CLOCK: [&str; 7] = ["+1d", "+0", "+1h", "+0", "-1h", "-1d", "+0"];
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
const EVENTS: usize = 40;

#[test]
fn retries_keep_their_pace_while_the_wall_clock_jumps() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(500));
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "retry: {initial: 50ms, max: 200ms, max_attempts: 1000}",
        "retry: {initial: 1s, max: 1s, max_attempts: 1000, jitter: none, give_up_after: 3h}",
    );
    let site = Site::new(&rest);
    let Some(clock) = WallClock::in_folder(site.root()) else { return };
    let gateway = site.start_with(clock.environment());
    let sent = send_many(gateway.address(), EVENTS);
    assert_eq!(sent.answered.len(), EVENTS);
    receiver.wait_for(EVENTS);
    for stand in CLOCK {
        clock.jump(stand);
        pass(PAUSE + PAUSE / 2);
        gateway.accept(&github("{\"at\":\"this hour\"}"));
    }
    let accepted = EVENTS + CLOCK.len();
    assert_eq!(queued(&gateway.metrics(), "app"), accepted as u64, "nothing expires because of the clock");
    let mut tries: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for seen in receiver.seen() {
        tries.entry(seen.event_id()).or_default().push(seen.at);
    }
    receiver.well("/app");
    let now = Instant::now();
    for (id, tries) in &tries {
        for pair in tries.windows(2) {
            let pause = pair[1] - pair[0];
            assert!(pause > PAUSE / 2, "{id} came again after {pause:?}: a storm");
            assert!(pause < PAUSE * 5, "{id} came again after {pause:?}: it stalled");
        }
        let last = now - tries[tries.len() - 1];
        assert!(last < PAUSE * 5, "{id} waits since {last:?}: it stalled");
    }
    eventually("all are delivered", SOON, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    sent.all_arrived(&receiver.seen());
    accounts(&gateway, &[("all", "app", 0)]);
    assert_eq!(gateway.metrics().sum("hookgate_deliveries_total", &[("result", "delivered")]), accepted as u64);
}

/// The due times of a backlog are stored as wall clock times, and the clock may have jumped by the restart.
#[test]
fn a_backlog_is_delivered_after_a_restart_on_another_day() {
    let _alone = alone();
    for (first, then) in [("+0", "-1d"), ("-1d", "+0"), ("+1d", "+0"), ("+0", "+1h")] {
        let receiver = Receiver::start();
        receiver.always("/app", Reply::status(500));
        let site = Site::plain(&receiver);
        let Some(clock) = WallClock::in_folder(site.root()) else { return };
        clock.jump(first);
        let gateway = site.start_with(clock.environment());
        let sent = send_many(gateway.address(), 10);
        receiver.wait_for(20);
        gateway.kill();
        clock.jump(then);
        receiver.well("/app");
        let gateway = site.start_with(clock.environment());
        let what = format!("a backlog of {first} is delivered at {then}");
        eventually(&what, SOON, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
        sent.all_arrived(&receiver.seen());
    }
}
