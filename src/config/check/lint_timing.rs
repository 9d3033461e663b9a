//! Usable settings that are probably mistakes: times that do not fit each other or the provider, plain http over the
//! internet, trusted proxies that match every address. These are warnings only. A setting that could be on purpose
//! gives no warning.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;

use super::source::SYNC_DEADLINE;
use super::{Checker, path};
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::config::spans::Seg;
use crate::deliver::{Destination, Destinations};
use crate::patience::spelled;
use crate::provider::{Budget, FactName, Retry, Row, SourceKind};
use crate::shape::written_as_url;

/// Last labels of public names.
const PUBLIC: [&str; 6] = ["com", "net", "org", "io", "dev", "app"];
/// Labels that people use for names inside their network.
const INSIDE: [&str; 8] = ["corp", "int", "internal", "intra", "intranet", "lan", "local", "private"];

impl Checker<'_> {
    pub(super) fn lint_timing(&mut self, destinations: &Destinations) {
        let raw = self.raw;
        for (index, proxy) in raw.server.trusted_proxies.iter().enumerate() {
            if proxy.0.prefix_len() == 0 {
                let message = "everybody is a trusted proxy, and can say to come from anywhere";
                let help = "name the ranges of your proxies, such as `10.0.0.0/8`".to_owned();
                self.warning(Code::TooOpen, &path!["server", "trusted_proxies", index], message, Some(help));
            }
        }
        for (name, written) in &raw.destinations {
            if let Some(destination) = destinations.get(name.as_str()) {
                self.times(name.as_str(), written, destination);
            }
            if let Some(url) = &written.url {
                self.address(&path!["destinations", name, "url"], url);
            }
            for (index, target) in written.targets.iter().flatten().enumerate() {
                self.address(&path!["destinations", name, "targets", index, "url"], &target.url);
            }
        }
    }

    /// Warns of the times of a destination, defaults included. Only times that the file sets are reported.
    fn times(&mut self, name: &str, written: &raw::Destination, destination: &Destination) {
        let defaults = &self.raw.defaults.destination;
        let retries = [written.retry.as_ref(), defaults.retry.as_ref()].into_iter().flatten();
        let max = retries.clone().find_map(|retry| retry.max);
        let (initial, give_up) = (destination.policy.initial, destination.policy.give_up_after);
        if let Some(max) = max.filter(|max| max.0 < initial) {
            let message = format!("`max` ({}) is shorter than `initial` ({})", spelled(max.0), spelled(initial));
            let help = format!("every pause is {}: make `initial` the shorter one", spelled(initial));
            self.doubt_of(name, &["retry", "max"], message, help);
        }
        if destination.policy.attempts_max > 1 && initial >= give_up {
            let (give_up, initial) = (spelled(give_up), spelled(initial));
            let message = format!("a delivery is given up after {give_up}, and its first pause is {initial}");
            let help = "lengthen `give_up_after`, or write `max_attempts: 1` to try once".to_owned();
            self.doubt_of(name, &["retry", "give_up_after"], message, help);
        } else if destination.timeout > give_up {
            let (give_up, timeout) = (spelled(give_up), spelled(destination.timeout));
            let message = format!("one attempt may take {timeout}, and a delivery is given up after {give_up}");
            let help = "lengthen `give_up_after`, or shorten `timeout`".to_owned();
            self.doubt_of(name, &["retry", "give_up_after"], message, help);
        }
        let connect = written.connect_timeout.or(defaults.connect_timeout);
        if let Some(connect) = connect.filter(|connect| connect.0 > destination.timeout) {
            let (connect, timeout) = (spelled(connect.0), spelled(destination.timeout));
            let message = format!("`timeout` ({timeout}) ends an attempt before `connect_timeout` ({connect})");
            let help = "make `connect_timeout` the shorter one".to_owned();
            self.doubt_of(name, &["connect_timeout"], message, help);
        }
    }

    /// Warns at the destination's own key, else at the default's, else at the destination.
    fn doubt_of(&mut self, name: &str, keys: &[&str], message: String, help: String) {
        let own = path!["destinations", name];
        let places = [under(&own, keys), under(&path!["defaults", "destination"], keys)];
        let at = places.into_iter().find(|at| self.spans.of(at).is_some()).unwrap_or_else(|| own.to_vec());
        self.warning(Code::Mismatch, &at, message, Some(help));
    }

    fn address(&mut self, at: &[Seg<'_>], url: &raw::TargetUrl) {
        let Ok(uri) = written_as_url(url.as_str()).parse::<Uri>() else { return };
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else { return };
        let port = uri.port_u16().unwrap_or(80);
        let ours = self.raw.listeners.iter().find(|(_, listener)| is_at(listener.address.0, host, port));
        if let Some((name, _)) = ours {
            let message = format!(
                "this is the gateway's own listener {}: delivered events would be received again",
                quoted(name.as_str())
            );
            let help = "write the address of the service".to_owned();
            self.warning(Code::Mismatch, at, message, Some(help));
        }
        if is_open(host, port) {
            let message = format!("events go to {} in the clear", quoted(host));
            let help = "write `https://…`: on the open net others can read and change them".to_owned();
            self.warning(Code::PlainHttp, at, message, Some(help));
        }
    }

    /// Warns of times of a source that do not fit the provider's patience.
    pub(super) fn doubts_of_source(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) {
        let Some(row) = row else { return };
        let title = row.title();
        let waits = row.budget().and_then(Budget::total).filter(|_| is_proven(row, FactName::Budget));
        let deadline = written.deadline.map_or(SYNC_DEADLINE, |deadline| deadline.0);
        if let Some(waits) = waits.filter(|waits| written.mode == Some(raw::Mode::Sync) && deadline >= *waits) {
            let key = if written.deadline.is_some() { "deadline" } else { "mode" };
            let (sooner, waits, deadline) = (
                spelled(waits.saturating_sub((waits / 10).max(Duration::from_millis(500)))),
                spelled(waits),
                spelled(deadline),
            );
            let message = format!("{title} waits for {waits}, and the answer may take {deadline}");
            let help = format!("write `deadline: {sooner}`, so that the answer comes while it is waited for");
            self.warning(Code::Mismatch, &path!["sources", name, key], message, Some(help));
        }
        let repeats = row.retry().and_then(Retry::horizon).filter(|_| is_proven(row, FactName::Retry));
        let window = written.dedup.as_ref().map(|dedup| dedup.window.0).filter(|_| row.delivery().is_some());
        if let (Some(repeats), Some(window)) = (repeats, window)
            && window < repeats
        {
            let (repeats, window) = (spelled(repeats), spelled(window));
            let message =
                format!("{title} repeats an event for {repeats}, but delivery ids are remembered for {window} only");
            let help = format!("write `window: {repeats}` or more, or leave `dedup` out for what the provider needs");
            self.warning(Code::Mismatch, &path!["sources", name, "dedup", "window"], message, Some(help));
        }
    }
}

fn under<'s>(start: &[Seg<'s>], keys: &[&'s str]) -> Vec<Seg<'s>> {
    start.iter().copied().chain(keys.iter().map(|key| Seg::from(*key))).collect()
}

/// Returns whether a fact comes from the provider itself; only such a fact is worth a warning.
fn is_proven(row: &Row, fact: FactName) -> bool {
    let proof = row.sources().get(&fact).map_or(row.proof(), |source| source.proof);
    matches!(proof, SourceKind::Sdk | SourceKind::Docs)
}

/// Returns whether a listener at `address` takes requests to `host` and `port`.
fn is_at(address: std::net::SocketAddr, host: &str, port: u16) -> bool {
    let is_host = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified()),
        Err(_) => host == "localhost" && (address.ip().is_loopback() || address.ip().is_unspecified()),
    };
    is_host && port == address.port() && port != 0
}

/// Returns whether plain http to this host certainly crosses the internet. A name of two labels may be a service and
/// its namespace, and a name with a port of its own may be internal: neither is certain.
fn is_open(host: &str, port: u16) -> bool {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return is_global(ip);
    }
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let is_public = labels.len() > 1 && labels.last().is_some_and(|last| PUBLIC.contains(last));
    port == 80 && is_public && !labels.iter().any(|label| INSIDE.contains(label))
}

/// Returns whether an address is public, and so in nobody's own network. The standard library's test is not stable.
fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_reserved = first == 0 || first >= 224;
            let is_ours = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            !(is_ours || is_shared || is_reserved || ip.is_documentation())
        }
        IpAddr::V6(ip) => {
            let is_documentation = ip.segments().starts_with(&[0x2001, 0xdb8]);
            ip.segments().first().is_some_and(|first| first & 0xe000 == 0x2000) && !is_documentation
        }
    }
}
