//! A full disk: 503 with `Retry-After` before any event is lost, no exit, a restart in the middle, deliveries that make
//! room, and acceptance again without help.
//!
//! Needs root and the right to mount a file system. Without it the test is skipped with a message; in CI it fails.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{
    Flow, Gateway, Load, Receiver, SOON, Sent, Site, SmallDisk, accounts, alone, eventually, free_port, github, pass,
    queued,
};

const DISK_MIB: u32 = 48;

fn fill_up(address: SocketAddr, gateway: &Gateway) -> Sent {
    let flow = Flow { body_bytes: 200_000, ..Flow::of(2000, 4) };
    let load = Load::start(address, flow);
    let full = || gateway.metrics().sum("hookgate_requests_total", &[("outcome", "buffer_full")]);
    eventually("it refuses", SOON * 2, || (full() > 50).then_some(()));
    load.stop()
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_takes_again_by_itself() {
    let _alone = alone();
    let port = free_port();
    let rest = Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), "");
    let site = Site::new(&rest);
    let Some(_disk) = SmallDisk::mount(&site.path("data"), DISK_MIB) else { return };
    let gateway = site.start();
    let mut sent = fill_up(gateway.address(), &gateway);
    sent.refused_in_order();
    assert!(sent.answered.len() > 50, "{} events of 100 kB on {DISK_MIB} MiB", sent.answered.len());
    assert_eq!(gateway.admin("/livez").status, 200);
    gateway.kill();
    let gateway = site.start();
    let found = queued(&gateway.metrics(), "app");
    assert!(found >= sent.answered.len() as u64, "{found} found, {} answered", sent.answered.len());
    // A start frees some space; the disk is soon full again.
    let more = fill_up(gateway.address(), &gateway);
    more.refused_in_order();
    sent.add(more);
    let receiver = Receiver::start_on(port);
    eventually("it takes events again by itself", SOON * 3, || gateway.send(&github("{}")).event_id());
    sent.add(crate::support::send_many(gateway.address(), 50));
    eventually("the queue is empty", SOON * 2, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    sent.all_arrived(&receiver.seen());
    accounts(&gateway, &[("all", "app", found)]);
    assert_eq!(gateway.admin("/readyz").status, 200);
}

/// Other programs may fill the disk to the last byte, including the gateway's reserve.
#[test]
fn a_disk_that_others_fill_to_the_last_byte_stops_the_gateway_only_while_it_is_full() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.always("/app", crate::support::Reply::status(500));
    let site = Site::plain(&receiver);
    let Some(disk) = SmallDisk::mount(&site.path("data"), DISK_MIB) else { return };
    let gateway = site.start();
    let load = Load::start(gateway.address(), Flow::of(100, 2));
    eventually("events wait", SOON, || (queued(&gateway.metrics(), "app") > 50).then_some(()));
    let ballast = disk.fill();
    let refused = || gateway.metrics().sum("hookgate_requests_total", &[("code", "503")]);
    eventually("it refuses", SOON, || (refused() > 20).then_some(()));
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("hookgate_buffer_refusing", &[("reason", "disk")]), 1);
    assert!(metrics.sum("hookgate_disk_free_bytes", &[]) < 12 << 20);
    let ready = gateway.admin("/readyz?verbose");
    assert!(ready.text().contains("buffer has room: FAILED: the disk is short: "), "{}", ready.text());
    for line in ["the buffer refuses events", "are kept for the engine"] {
        eventually(line, SOON, || gateway.log().contains(line).then_some(()));
    }
    // Retries go on meanwhile, and their ends find no room: the store is opened again ever more seldom.
    pass(Duration::from_secs(2));
    let opened = || gateway.log().matches("the buffer is open again").count();
    let before = opened();
    pass(Duration::from_secs(8));
    let often = opened() - before;
    assert!(often <= 4, "opened {often} times in eight seconds on a disk without a free byte");
    assert_eq!(gateway.admin("/livez").status, 200);
    std::fs::remove_file(ballast).unwrap();
    eventually("it takes events again by itself", SOON * 2, || gateway.send(&github("{}")).event_id());
    receiver.well("/app");
    let sent = load.stop();
    sent.refused_in_order();
    eventually("the queue is empty", SOON * 3, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    sent.all_arrived(&receiver.seen());
    accounts(&gateway, &[("all", "app", 0)]);
    assert!(!gateway.log().contains("panicked"));
}

/// After a restart on a disk without a free byte, queued deliveries go out, and events are accepted once there is room.
#[test]
fn a_gateway_that_starts_on_a_full_disk_takes_events_again_by_itself_when_there_is_room() {
    let _alone = alone();
    let port = free_port();
    let rest = Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), "");
    let site = Site::new(&rest);
    let Some(disk) = SmallDisk::mount(&site.path("data"), DISK_MIB) else { return };
    let gateway = site.start();
    let sent = fill_up(gateway.address(), &gateway);
    gateway.kill();
    let ballast = disk.fill();
    let gateway = site.start();
    let receiver = Receiver::start_on(port);
    eventually("what waits goes out", SOON * 3, || sent.have_arrived(&receiver.seen()).then_some(()));
    std::fs::remove_file(ballast).unwrap();
    eventually("it takes events again by itself", SOON * 3, || gateway.send(&github("{}")).event_id());
    eventually("the queue is empty", SOON * 3, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    assert_eq!(gateway.admin("/readyz").status, 200);
}
