//! Two secrets during a rotation: either verifies, and the output names the one that did.

use crate::support::{Receiver, SOON, Site, eventually, github, hmac_hex};

const OLD: &str = "the-old-secret-of-last-year";
const NEW: &str = "the-new-secret-of-this-year";

#[test]
fn either_secret_verifies_and_the_delivery_says_which() {
    let receiver = Receiver::start();
    let both = Site::plain_rest(&receiver.url("/app"), "").replace(
        "[{name: main, env: GITHUB_SECRET}]",
        "[{name: \"2026-10\", file: new}, {name: \"2025-10\", file: old}]",
    );
    let site = Site::new(&both);
    site.file("old", OLD.as_bytes());
    site.file("new", format!("{NEW}\n").as_bytes());
    let gateway = site.start();
    let signed = |secret: &str| {
        let request = github("{}").without("X-Hub-Signature-256");
        let signature = format!("sha256={}", hmac_hex(secret, &request.body));
        request.with("X-Hub-Signature-256", signature)
    };
    for (secret, name) in [(OLD, "2025-10"), (NEW, "2026-10")] {
        let id = gateway.accept(&signed(secret));
        let seen = eventually("the delivery", SOON, || receiver.seen().into_iter().find(|seen| seen.event_id() == id));
        assert_eq!(seen.header("hookgate-verified").unwrap(), name);
        gateway.wait_for_metric("hookgate_secret_used_total", &[("source", "github"), ("secret", name)], 1);
    }
    let third = gateway.send(&signed("neither-of-them"));
    assert_eq!(third.status, 401);
    // The old secret is removed, and does not verify any more.
    site.rewrite(&both.replace(", {name: \"2025-10\", file: old}", ""));
    gateway.reload();
    assert_eq!(gateway.send(&signed(OLD)).status, 401);
    gateway.accept(&signed(NEW));
}

#[test]
fn a_source_without_a_usable_secret_does_not_start() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    for (secrets, expected) in [
        ("[]", "no secret"),
        ("[{name: main, file: empty}]", "is empty"),
        ("[{name: main, file: missing}]", "cannot be read"),
        ("[{name: main, env: NOT_SET_ANYWHERE}]", "is not set"),
    ] {
        let site = Site::new(&rest.replace("[{name: main, env: GITHUB_SECRET}]", secrets));
        site.file("empty", b"\n");
        let ended = site.run_to_its_end();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(78), "{secrets}: {said}");
        assert!(said.contains(expected), "{secrets}: {said}");
    }
}
