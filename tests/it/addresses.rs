//! `allow_ips` by a provider's name, checked against the address that a trusted proxy sends.

use crate::support::{Receiver, Site, github};

#[test]
fn a_list_by_name_lets_the_provider_in_and_nobody_else() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("provider: github,", "provider: github, allow_ips: [github, 198.51.100.0/24],");
    let gateway = Site::plain(&receiver).server("trusted_proxies: [127.0.0.1]", &rest).start();
    let from = |sender: &str| github("{}").with("X-Forwarded-For", sender);
    for stranger in ["203.0.113.9", "140.82.128.1", "2a0a:a448::1"] {
        let answer = gateway.send(&from(stranger));
        assert_eq!((answer.status, answer.json()["outcome"].as_str()), (403, Some("ip_denied")), "{stranger}");
    }
    // The proxy appends its address last; addresses that the caller claims before it are ignored.
    assert_eq!(gateway.send(&from("140.82.115.251, 203.0.113.9")).status, 403);
    let known = ["140.82.115.251", "2a0a:a440::1", "198.51.100.7"];
    for sender in known {
        gateway.accept(&from(sender));
    }
    receiver.wait_for(known.len());
    gateway.wait_for_outcomes("github", "ip_denied", 403, 4);
}
