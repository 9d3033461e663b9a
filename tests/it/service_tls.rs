//! TLS towards destinations: trusted authorities, client certificates, and no reuse of connections across settings.

use crate::support::{Authority, Gateway, Https, Pair, SOON, Site, eventually, github};

/// A certificate for the address at which services listen here.
const HERE: &str = "127.0.0.1";

fn write(site: &Site, name: &str, pair: &Pair) {
    site.file(&format!("{name}.crt"), pair.cert.as_bytes());
    site.file(&format!("{name}.key"), pair.key.as_bytes());
}

/// Creates a site whose destination `app` is at `service`, with these settings, and `ca.pem` beside it.
fn site(service: &Https, authority: &Authority, settings: &str) -> Site {
    let site = Site::new(&Site::plain_rest(&service.url("/app"), settings));
    site.file("ca.pem", authority.pem.as_bytes());
    site
}

fn attempts(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metrics().sum("hookgate_delivery_attempts_total", &[("outcome", outcome)])
}

/// Sends an event, and waits until one more attempt has this outcome.
#[track_caller]
fn ends(gateway: &Gateway, outcome: &str) {
    let before = attempts(gateway, outcome);
    gateway.accept(&github("{}"));
    eventually(outcome, SOON, || (attempts(gateway, outcome) > before).then_some(()));
}

#[test]
fn a_private_authority_is_believed_where_it_is_named_and_nowhere_else() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign(HERE), None);
    let with = site(&service, &authority, ", tls: {ca: {file: ca.pem}}").start();
    ends(&with, "success");
    assert_eq!(attempts(&with, "tls"), 0);
    let without = site(&service, &authority, "").start();
    ends(&without, "tls");
    let other = site(&service, &Authority::new(), ", tls: {ca: {file: ca.pem}}").start();
    ends(&other, "tls");
    assert_eq!((attempts(&without, "success"), attempts(&other, "success")), (0, 0));
    assert_eq!(service.asked("/app").len(), 1, "nothing is said to a service that is not believed");
}

#[test]
fn a_certificate_for_another_name_is_refused_unless_that_name_is_asked_for() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign("billing.internal"), None);
    let plain = site(&service, &authority, ", tls: {ca: {file: ca.pem}}").start();
    ends(&plain, "tls");
    let settings = ", tls: {ca: {file: ca.pem}, server_name: billing.internal}";
    let named = site(&service, &authority, settings).start();
    ends(&named, "success");
    assert_eq!((attempts(&plain, "success"), attempts(&named, "tls")), (0, 0));
    let told = "TLS with 127.0.0.1:";
    assert!(plain.log().contains(told) && plain.log().contains("(invalid peer certificate: "), "{}", plain.log());
}

#[test]
fn a_service_that_demands_a_certificate_gets_ours_and_refuses_another() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let service = Https::start(&authority.sign(HERE), Some(&clients));
    let settings = ", tls: {ca: {file: ca.pem}, client_cert: {file: us.crt}, client_key: {file: us.key}}";
    let known = site(&service, &authority, settings);
    write(&known, "us", &clients.sign("hookgate"));
    ends(&known.start(), "success");
    let stranger = site(&service, &authority, settings);
    write(&stranger, "us", &Authority::new().sign("hookgate"));
    let stranger = stranger.start();
    ends(&stranger, "tls");
    let nobody = site(&service, &authority, ", tls: {ca: {file: ca.pem}}").start();
    ends(&nobody, "tls");
    assert_eq!((attempts(&stranger, "success"), attempts(&nobody, "success")), (0, 0));
    assert_eq!(service.asked("/app").len(), 1);
}

#[test]
fn a_reload_that_replaces_the_authority_takes_effect_for_the_next_event() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign(HERE), None);
    let site = site(&service, &authority, ", tls: {ca: {file: ca.pem}}");
    let gateway = site.start();
    ends(&gateway, "success");
    ends(&gateway, "success");
    let by: Vec<usize> = service.asked("/app").iter().map(|one| one.connection).collect();
    assert_eq!(by, [0, 0], "the connection is used again");
    // The old connection is still open, and must not be used with settings that do not trust the service.
    site.file("ca.pem", Authority::new().pem.as_bytes());
    gateway.reload();
    ends(&gateway, "tls");
    assert_eq!(service.asked("/app").len(), 2);
    site.file("ca.pem", authority.pem.as_bytes());
    gateway.reload();
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 3);
    // An unusable file changes nothing.
    site.file("ca.pem", b"nothing");
    gateway.reload();
    assert_eq!(gateway.metrics().sum("hookgate_config_last_reload_successful", &[]), 0);
    ends(&gateway, "success");
}

#[test]
fn two_destinations_at_one_address_do_not_share_connections_when_they_believe_others() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign(HERE), None);
    let rest = Site::plain_rest(&service.url("/app"), "").replace("to: app}", "to: [app, other]}")
        + &format!("  other: {{url: \"{}\", tls: {{ca: {{file: ca.pem}}}}}}\n", service.url("/other"));
    let site = Site::new(&rest);
    site.file("ca.pem", authority.pem.as_bytes());
    let gateway = site.start();
    for _ in 0..5 {
        ends(&gateway, "success");
    }
    assert!(attempts(&gateway, "tls") > 0);
    assert_eq!((service.asked("/other").len(), service.asked("/app").len()), (5, 0));
}

#[test]
fn health_is_asked_for_and_defaults_are_taken_in_the_same_way() {
    let authority = Authority::new();
    let service = Https::start(&authority.sign("billing.internal"), None);
    let settings = ", health: {path: /healthz, interval: 20ms, unhealthy_after: 2, healthy_after: 2}";
    let rest = |defaults: &str| {
        let rest =
            Site::plain_rest(&service.url("/app"), &format!("{settings}, tls: {{server_name: billing.internal}}"));
        format!("defaults: {{destination: {{tls: {{{defaults}}}}}}}\n{rest}")
    };
    let site = Site::new(&rest(""));
    site.file("ca.pem", authority.pem.as_bytes());
    let gateway = site.start();
    let healthy = |value| gateway.wait_for_metric("hookgate_target_healthy", &[("destination", "app")], value);
    healthy(0);
    assert!(service.asked("/healthz").is_empty());
    site.rewrite(&rest("ca: {file: ca.pem}"));
    gateway.reload();
    eventually("health is asked for", SOON, || (service.asked("/healthz").len() >= 3).then_some(()));
    healthy(1);
    ends(&gateway, "success");
}
