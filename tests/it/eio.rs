//! A disk whose writes and syncs fail (EIO, by strace): no event is answered as accepted before its sync, the gateway
//! answers 503 while it cannot store, and accepts events again without help.
//!
//! By hand: `FAULTS=200 cargo test --test it eio`. Without strace these tests are skipped; in CI they fail.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{
    Fault, Gateway, Journal, Receiver, SOON, Sent, Site, accounts, alone, eventually, free_port, github, number,
    queued, send_many,
};

/// Returns the files for strace: all files of the data directory, and the journals that may follow.
fn files(site: &Site) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = (0..64).map(|at| site.path(&format!("data/buffer/{at}.jnl"))).collect();
    let mut folders = vec![site.path("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    files
}

fn takes_again(gateway: &Gateway) {
    eventually("it takes events again by itself", SOON * 2, || gateway.send(&github("{}")).event_id());
    assert_eq!(gateway.admin("/readyz").status, 200);
}

/// Kills the gateway, and checks that the next one has every answered event.
fn all_is_there_after_a_kill(site: &Site, gateway: Gateway, port: u16, sent: &Sent) {
    gateway.kill();
    let gateway = site.start();
    let found = queued(&gateway.metrics(), "app");
    assert!(found >= sent.answered.len() as u64);
    let receiver = Receiver::start_on(port);
    eventually("the queue is empty", SOON * 2, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    sent.all_arrived(&receiver.seen());
    accounts(&gateway, &[("all", "app", found)]);
}

/// Makes every n-th call fail while events come in one after another. An answer of 200 needs a sync that succeeded. A
/// kill alone does not show that, because written and unsynced bytes are still in the kernel's memory.
fn every_nth(inject: &str) {
    let _alone = alone();
    let faults = number("FAULTS", 12);
    let port = free_port();
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), ""));
    let gateway = site.start();
    let Some(fault) = Fault::attach_and_trace(&gateway, inject, "fdatasync", &files(&site)) else { return };
    let (mut sent, began) = (Sent::default(), Instant::now());
    while fault.injected() < faults {
        let synced = fault.synced();
        let one = send_many(gateway.address(), 1);
        if !one.answered.is_empty() {
            eventually("its sync has succeeded", Duration::from_secs(2), || (fault.synced() > synced).then_some(()));
        }
        sent.add(one);
        assert!(began.elapsed() < SOON * 2 + Duration::from_secs(2) * u32::try_from(faults).unwrap(), "too few fail");
    }
    let injected = fault.end();
    takes_again(&gateway);
    sent.add(send_many(gateway.address(), 20));
    eprintln!("{injected} calls failed, {} answered, {} refused", sent.answered.len(), sent.refused.len());
    assert!(!sent.refused.is_empty(), "no failure was noticed");
    sent.refused_in_order();
    assert!(gateway.metrics().sum("hookgate_buffer_errors_total", &[]) > 0);
    all_is_there_after_a_kill(&site, gateway, port, &sent);
}

#[test]
fn an_event_whose_sync_failed_is_not_answered_as_accepted() {
    every_nth("fdatasync,fsync:error=EIO:when=5+5");
}

#[test]
fn an_event_whose_write_failed_is_not_answered_as_accepted() {
    every_nth("write,pwrite64,writev:error=EIO:when=9+9");
}

#[test]
fn while_no_sync_succeeds_nothing_is_accepted_and_afterwards_it_is() {
    let _alone = alone();
    let port = free_port();
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), ""));
    let gateway = site.start();
    let mut sent = send_many(gateway.address(), 20);
    let Some(fault) = Fault::attach(&gateway, "fdatasync,fsync:error=EIO:when=1+", &files(&site)) else { return };
    let during = send_many(gateway.address(), 50);
    assert_eq!((during.answered.len(), during.refused.len()), (0, 50));
    during.refused_in_order();
    assert_eq!(gateway.admin("/readyz").status, 503);
    assert_eq!(gateway.admin("/livez").status, 200);
    assert!(fault.end() > 0);
    takes_again(&gateway);
    sent.add(send_many(gateway.address(), 20));
    assert_eq!(sent.answered.len(), 40);
    all_is_there_after_a_kill(&site, gateway, port, &sent);
}

/// After a failed sync the kernel may mark unwritten pages as clean and report success for the next sync. So an event
/// that is answered later must not lie behind such pages in the same file, unless they were written again. Here all
/// pages that were not written again are lost in the power cut.
#[test]
fn what_is_answered_after_a_failed_sync_does_not_hang_on_what_was_not_synced() {
    let _alone = alone();
    let port = free_port();
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), ""));
    let gateway = site.start();
    let mut sent = send_many(gateway.address(), 20);
    let synced = Journal::newest(&site.path("data"));
    let inject = "fdatasync:error=EIO:when=1..1";
    let Some(fault) = Fault::attach_and_trace(&gateway, inject, "write,pwrite64,fsync", &files(&site)) else { return };
    let refused = send_many(gateway.address(), 1);
    assert_eq!((refused.refused.len(), fault.injected()), (1, 1));
    let failed = Journal::of(&synced.path).map_or(synced.end(), |journal| journal.end());
    takes_again(&gateway);
    sent.add(send_many(gateway.address(), 20));
    assert_eq!(sent.answered.len(), 40);
    let is_written_again = fault.is_written_again(synced.end()..failed);
    fault.end();
    gateway.kill();
    if synced.path.exists() && !is_written_again {
        assert!(failed > synced.end(), "nothing was written before the sync that failed");
        Journal::wipe(&synced.path, synced.end()..failed);
    }
    let gateway = site.start();
    let found = queued(&gateway.metrics(), "app");
    let receiver = Receiver::start_on(port);
    eventually("the queue is empty", SOON * 2, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    sent.all_arrived(&receiver.seen());
    accounts(&gateway, &[("all", "app", found)]);
}
