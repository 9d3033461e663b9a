//! TLS: HTTP/2 and HTTP/1.1, the certificate by name, and a new certificate without a restart.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Gateway, Receiver, Request, SOON, Site, eventually, github};

/// Writes a certificate for one name with its own key, both as PEM.
fn certificate(site: &Site, file: &str, name: &str) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    site.file(&format!("{file}.key"), made.signing_key.serialize_pem().as_bytes());
    site.file(&format!("{file}.crt"), made.cert.pem().as_bytes());
}

fn start(receiver: &Receiver) -> (Site, Gateway) {
    start_with(receiver, "")
}

/// With more keys of the listener.
fn start_with(receiver: &Receiver, more: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let tls =
        "tls: {cert: {file: a.crt}, key: {file: a.key}, certificates: [{cert: {file: b.crt}, key: {file: b.key}}]}";
    let site = Site::new(&rest).listener(&format!("{tls}{more}"), &rest);
    certificate(&site, "a", "a.test");
    certificate(&site, "b", "b.test");
    let gateway = site.start();
    (site, gateway)
}

/// Sends a request by curl, which trusts the certificate of `file` only.
fn curl((site, gateway): &(Site, Gateway), host: &str, file: &str, request: &Request, flags: &[&str]) -> Output {
    let port = gateway.address().port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "15", "--noproxy", "*"]).args(flags);
    command.args(["--write-out", "\n%{http_version} %{http_code}", "--data-binary", "@-"]);
    command.args(["--resolve", &format!("{host}:{port}:127.0.0.1"), "--cacert"]).arg(site.path(&format!("{file}.crt")));
    for (name, value) in &request.headers {
        command.arg("--header").arg(format!("{name}: {}", String::from_utf8_lossy(value)));
    }
    command.arg(format!("https://{host}:{port}{}", request.target));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("these tests need curl");
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    child.wait_with_output().unwrap()
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn events_come_by_http_2_and_by_http_1_over_tls() {
    let receiver = Receiver::start();
    let running = start(&receiver);
    let gateway = &running.1;
    let body: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 256).unwrap()).collect();
    for (flags, expected) in [(&["--http2"][..], "2 200"), (&["--http1.1"][..], "1.1 200")] {
        let request =
            github(body.clone()).to("/in/github?a=b").without("Content-Type").with("Content-Type", "text/plain");
        assert_eq!(last_line(&curl(&running, "a.test", "a", &request, flags)), expected);
    }
    for seen in receiver.wait_for(2) {
        assert!(seen.body == body);
        assert_eq!((seen.target.as_str(), seen.header("x-github-event").as_deref()), ("/app?a=b", Some("push")));
    }
    let forged = github("{}").without("X-Hub-Signature-256");
    assert_eq!(last_line(&curl(&running, "a.test", "a", &forged, &["--http2"])), "2 401");
    // The head alone decides the answer, and the body is still read: curl 7.88 fails on a stream reset without error.
    let over = github(vec![b' '; 26 * 1024 * 1024]);
    for (flags, expected) in [(&["--http2"][..], "2 413"), (&["--http1.1", "--header", "Expect:"][..], "1.1 413")] {
        assert_eq!(last_line(&curl(&running, "a.test", "a", &over, flags)), expected);
    }
    gateway.wait_for_outcomes("github", "too_large", 413, 2);
    let many = (0..120).fold(github("{}"), |request, at| request.with(&format!("X-{at}"), "a"));
    assert_eq!(last_line(&curl(&running, "a.test", "a", &many, &["--http2"])), "2 431");
    let long = github("{}").to(&format!("/in/github?{}", "a".repeat(9000)));
    assert_eq!(last_line(&curl(&running, "a.test", "a", &long, &["--http2"])), "2 414");
    let told = "100 header fields (listeners.public.limits.header_fields)";
    eventually(told, SOON, || gateway.log().contains(told).then_some(()));
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let receiver = Receiver::start();
    let running = start(&receiver);
    let gateway = &running.1;
    for name in ["a", "b"] {
        let host = format!("{name}.test");
        assert_eq!(last_line(&curl(&running, &host, name, &github("{}"), &["--http2"])), "2 200");
    }
    // An unknown name gets the first certificate, which does not match the name.
    let unknown = curl(&running, "c.test", "a", &github("{}"), &[]);
    assert!(!unknown.status.success());
    let insecure = curl(&running, "c.test", "a", &github("{}"), &["--insecure"]);
    assert_eq!(last_line(&insecure), "2 200");
    for flags in [&["--tls-max", "1.1"][..], &["--tls-max", "1.0"][..]] {
        assert!(!curl(&running, "a.test", "a", &github("{}"), flags).status.success());
    }
    assert_eq!(last_line(&curl(&running, "a.test", "a", &github("{}"), &["--tls-max", "1.2"])), "2 200");
    gateway.wait_for_metric("hookgate_tls_handshake_failures_total", &[("reason", "timeout")], 0);
    let failed = || gateway.metrics().sum("hookgate_tls_handshake_failures_total", &[("reason", "protocol")]) >= 2;
    eventually("both are counted", SOON, || failed().then_some(()));
}

#[test]
fn a_certificate_that_is_replaced_on_disk_is_served_without_a_restart() {
    let receiver = Receiver::start();
    let running = start(&receiver);
    let (site, gateway) = &running;
    assert_eq!(last_line(&curl(&running, "a.test", "a", &github("{}"), &[])), "2 200");
    // A half replacement, with the key of another certificate, changes nothing.
    let old = std::fs::read(site.path("a.crt")).unwrap();
    certificate(site, "next", "a.test");
    std::fs::copy(site.path("next.key"), site.path("a.key")).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    site.file("old.crt", &old);
    assert_eq!(last_line(&curl(&running, "a.test", "old", &github("{}"), &[])), "2 200");
    std::fs::copy(site.path("next.crt"), site.path("a.crt")).unwrap();
    let served = || curl(&running, "a.test", "next", &github("{}"), &[]).status.success();
    eventually("the new certificate is served", SOON, || served().then_some(()));
    assert!(!curl(&running, "a.test", "old", &github("{}"), &[]).status.success());
}

#[test]
fn a_client_that_does_not_speak_tls_harms_nobody() {
    let receiver = Receiver::start();
    let running = start(&receiver);
    let gateway = &running.1;
    let mut plain = gateway.connect();
    plain.write(&github("{}").wire()).unwrap();
    assert!(plain.answer().is_err());
    let mut silent = gateway.connect();
    assert_eq!(last_line(&curl(&running, "a.test", "a", &github("{}"), &[])), "2 200");
    assert!(silent.is_ended(SOON), "a handshake that does not begin is cut after ten seconds");
    gateway.wait_for_metric("hookgate_tls_handshake_failures_total", &[("reason", "timeout")], 1);
    assert_eq!(receiver.wait_for(1).len(), 1);
}

#[test]
fn a_silent_connection_to_a_tls_listener_ends_with_the_time_for_the_handshake() {
    let receiver = Receiver::start();
    let running = start_with(&receiver, ", limits: {tls_handshake: 1s}");
    let gateway = &running.1;
    let mut silent = gateway.connect();
    let begun = Instant::now();
    assert!(silent.is_ended(Duration::from_secs(8)), "it ends before the ten seconds of the default");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    gateway.wait_for_metric("hookgate_tls_handshake_failures_total", &[("reason", "timeout")], 1);
    assert_eq!(last_line(&curl(&running, "a.test", "a", &github("{}"), &[])), "2 200");
}
