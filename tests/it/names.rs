//! Services whose name has several addresses: one working address is enough.
//!
//! The gateway runs in its own mount namespace, with the test's `/etc/hosts`. Where that is not allowed the test is
//! skipped with a message; CI allows it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Authority, Gateway, Https, Receiver, SOON, Site, eventually, free_port, github};

/// Starts a gateway that finds these addresses for the name `svc`; `None` where mount namespaces are not allowed.
fn start(hosts: &str, rest: &str) -> Option<(Site, Gateway)> {
    let site = Site::new(rest);
    site.file("hosts", format!("127.0.0.1 localhost\n{hosts}").as_bytes());
    let gateway = site.start_with_hosts(&site.path("hosts"))?;
    Some((site, gateway))
}

fn attempts(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metrics().sum("hookgate_delivery_attempts_total", &[("outcome", outcome)])
}

fn all_succeed(gateway: &Gateway, count: u64) {
    for _ in 0..count {
        gateway.accept(&github("{}"));
    }
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], count);
    assert_eq!((attempts(gateway, "success"), attempts(gateway, "connect")), (count, 0));
}

/// Opens an address at which a SYN gets no answer, because its queue is full, as long as the result lives.
fn silent(ip: [u8; 4], port: u16) -> (tokio::net::TcpListener, tokio::runtime::Runtime, Vec<TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((ip, port).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    drop(entered);
    let at = listener.local_addr().unwrap();
    let connects = || TcpStream::connect_timeout(&at, Duration::from_millis(100)).ok();
    let filling = std::iter::from_fn(connects).take(64).collect();
    (listener, runtime, filling)
}

#[test]
fn a_service_on_ipv4_is_reached_by_a_name_that_has_an_ipv6_address_too() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&format!("http://svc:{}/app", receiver.address.port()), "");
    let Some((_site, gateway)) = start("::1 svc\n127.0.0.1 svc\n", &rest) else { return };
    all_succeed(&gateway, 6);
    assert!(receiver.connections() < 6, "connections are used again");
    let told = || gateway.log().contains("an address of this name does not work").then_some(());
    eventually("it is said that an address does not work", SOON, told);
}

#[test]
fn a_first_address_that_never_answers_costs_a_moment_and_no_attempt() {
    let receiver = Receiver::start();
    let port = receiver.address.port();
    let _silent = silent([127, 0, 0, 2], port);
    let rest = Site::plain_rest(&format!("http://svc:{port}/app"), ", connect_timeout: 2s");
    let Some((_site, gateway)) = start("127.0.0.2 svc\n127.0.0.1 svc\n", &rest) else { return };
    let began = Instant::now();
    all_succeed(&gateway, 10);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn health_checks_and_senders_that_wait_reach_any_of_the_addresses() {
    let receiver = Receiver::start();
    let url = format!("http://svc:{}/app", receiver.address.port());
    let rest = Site::plain_rest(&url, ", health: {path: /health, interval: 100ms, timeout: 1s, unhealthy_after: 1}")
        .replace("provider: github,", "provider: github, mode: sync, deadline: 5s,");
    let Some((_site, gateway)) = start("::1 svc\n127.0.0.2 svc\n127.0.0.1 svc\n", &rest) else { return };
    eventually("health was asked for", SOON, || (receiver.seen_at("/health").len() >= 5).then_some(()));
    assert_eq!(gateway.metrics().sum("hookgate_target_healthy", &[("destination", "app")]), 1);
    gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_sync_answers_total", &[("by", "service")], 1);
}

#[test]
fn where_no_address_works_the_failure_names_each() {
    let port = free_port();
    let rest = Site::plain_rest(&format!("http://svc:{port}/app"), "").replace("max_attempts: 1000", "max_attempts: 1");
    let Some((_site, gateway)) = start("127.0.0.3 svc\n127.0.0.2 svc\n", &rest) else { return };
    gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    let log = gateway.log();
    let dead = log.lines().find(|line| line.contains("dead letter")).unwrap();
    for address in ["127.0.0.2", "127.0.0.3"] {
        assert!(dead.contains(&format!("{address}:{port} (refused)")), "{dead}");
    }
}

#[test]
fn an_address_where_something_else_listens_does_not_hide_the_service_behind_the_name() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign("svc"), None);
    let url = service.url("/app").replace("127.0.0.1", "svc");
    let port: u16 = url.rsplit(':').next().unwrap().trim_end_matches("/app").parse().unwrap();
    // This address takes connections and speaks no TLS; the service's certificate is for the name.
    let other = std::net::TcpListener::bind(("::1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            drop(stream.unwrap().write_all(b"220 mail.internal ready\r\n"));
        }
    });
    let rest = Site::plain_rest(&url, ", tls: {ca: {file: ca.pem}}");
    let site = Site::new(&rest);
    site.file("ca.pem", authority.pem.as_bytes());
    site.file("hosts", b"127.0.0.1 localhost\n::1 svc\n127.0.0.1 svc\n");
    let Some(gateway) = site.start_with_hosts(&site.path("hosts")) else { return };
    for body in ["{}".to_owned(), format!("{{\"large\":\"{}\"}}", "x".repeat(4 * 1024 * 1024)), "{}".to_owned()] {
        gateway.accept(&github(body));
    }
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 3);
    assert_eq!((attempts(&gateway, "success"), attempts(&gateway, "tls")), (3, 0));
    assert_eq!(service.asked("/app").len(), 3, "each once, and whole");
}
