//! Confidentiality: only the owner reads the files on the disk, and answers of the admin listener are neither cached
//! nor framed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Answer, Receiver, Request, Site, github, send};

/// Returns the paths at and under `path` that other users may read, write or enter.
fn open_to_others(path: &Path) -> Vec<PathBuf> {
    let found = std::fs::symlink_metadata(path).unwrap();
    let mut open = Vec::new();
    if found.permissions().mode() & 0o077 != 0 {
        open.push(path.to_owned());
    }
    if found.is_dir() {
        open.extend(std::fs::read_dir(path).unwrap().flat_map(|entry| open_to_others(&entry.unwrap().path())));
    }
    open
}

fn open_up(path: &Path) {
    let is_dir = std::fs::metadata(path).unwrap().is_dir();
    let mode = if is_dir { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    if is_dir {
        for entry in std::fs::read_dir(path).unwrap() {
            open_up(&entry.unwrap().path());
        }
    }
}

#[test]
fn nobody_else_reads_what_is_stored_also_where_an_earlier_version_left_it_open() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let data = site.path("data");
    let mut gateway = site.start();
    for _ in 0..50 {
        gateway.accept(&github(format!("\"{}\"", "x".repeat(100_000))));
    }
    receiver.wait_for(50);
    gateway.stop();
    assert_eq!(open_to_others(&data), Vec::<PathBuf>::new());
    assert!(!gateway.log().contains("could be read by others"));
    open_up(&data);
    let mut gateway = site.start();
    gateway.accept(&github("{}"));
    assert_eq!(open_to_others(&data), Vec::<PathBuf>::new());
    gateway.stop();
    assert_eq!(gateway.log().matches("could be read by others").count(), 1);
}

fn shut_in(answer: &Answer) -> bool {
    answer.header("x-content-type-options") == Some("nosniff")
        && answer.header("cache-control") == Some("no-store")
        && answer.header("referrer-policy") == Some("no-referrer")
        && answer.header("content-security-policy").is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
}

#[test]
fn every_answer_of_the_admin_listener_stays_out_of_caches_and_frames() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    // The site's listener is on one line; this adds another listener after it.
    let rest = rest.replacen("sources:", "  probes: {address: \"127.0.0.1:0\", serve: [livez, readyz]}\nsources:", 1);
    let gateway = Site::new(&rest).start();
    let missing = format!("/api/v1/events/{}", "0".repeat(8));
    for (target, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/sources", 200),
        ("/api/v1/sources?nonsense=%zz", 0),
        (&missing, 0),
        ("/nothing", 404),
        ("/", 404),
    ] {
        let answer = gateway.admin(target);
        assert!(status == 0 || answer.status == status, "{target}: {}", answer.status);
        assert!(shut_in(&answer), "{target}: {:?}", answer.headers);
    }
    let posted = gateway.change("POST", "/livez", "{}");
    assert!(posted.status == 405 && shut_in(&posted), "{posted:?}");
    let probes = gateway.address_of("probes");
    let asked = send(probes, &Request::new("GET", "/livez", "")).unwrap();
    assert!(asked.status == 200 && shut_in(&asked), "{asked:?}");
    let event = send(probes, &github("{}")).unwrap();
    assert!(event.status == 404 && event.text().contains("events go to a listener without it"), "{event:?}");
    assert_eq!(send(probes, &Request::new("GET", "/metrics", "")).unwrap().status, 404);
}
