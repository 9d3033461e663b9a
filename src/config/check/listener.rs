//! Limits of a listener's connections and requests, and warnings of limits at a listener that only serves pages.

use std::time::Duration;

use super::source::BODY_BYTES_MOST;
use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::raw;
use crate::config::units::{ByteSize, Count};
use crate::ingress::ListenerLimits;

const CONNECTIONS: usize = 20_000;
const HEADER_BYTES: u64 = 16 * 1024;
const HEADER_BYTES_LEAST: u64 = 256;
const HEADER_BYTES_MOST: u64 = 256 * 1024;
const HEADER_FIELDS: usize = 100;
/// The limit of header fields, because the HTTP library reads no more.
const HEADER_FIELDS_MOST: usize = 256;
const TARGET_BYTES: u64 = 8 * 1024;
const TARGET_BYTES_LEAST: u64 = 64;
/// The limit of a target's size; the HTTP library takes targets of up to 64 KiB.
const TARGET_BYTES_MOST: u64 = 32 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Longer than the idle time of the usual balancers, 60 s: whoever closes first must be the one that sends.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const KEEP_ALIVE_MOST: Duration = Duration::from_hours(1);

impl Checker<'_> {
    pub(super) fn limits(&mut self, name: &str, listener: &raw::Listener) -> ListenerLimits {
        let limits = listener.limits.clone().unwrap_or_default();
        let bytes = |written: Option<ByteSize>, usual: u64| written.map_or(usual, |bytes| bytes.0);
        let count = |written: Option<Count>, usual: usize| written.map_or(usual, |count| count.0.get() as usize);
        let headers = bytes(limits.headers, HEADER_BYTES);
        let header_fields = count(limits.header_fields, HEADER_FIELDS);
        let target = bytes(limits.target, TARGET_BYTES);
        let keep_alive = limits.keep_alive.map_or(KEEP_ALIVE, |time| time.0);
        let body = limits.body.map(|body| body.0);
        let beyond = [
            (
                "body",
                body.is_some_and(|body| body > BODY_BYTES_MOST),
                "bodies of this size are not taken",
                "at most `64MiB`; bodies are held in memory until they are stored",
            ),
            ("body", body == Some(0), "no body fits into this limit", "at least `1B`"),
            (
                "headers",
                headers < HEADER_BYTES_LEAST,
                "hardly a request fits into this limit",
                "at least `256B`: the lines of all headers count",
            ),
            ("headers", headers > HEADER_BYTES_MOST, "headers of this size are not read", "at most `256KiB`"),
            (
                "header_fields",
                header_fields > HEADER_FIELDS_MOST,
                "more than 256 header fields are not read",
                "at most `256`",
            ),
            ("target", target > TARGET_BYTES_MOST, "targets of this size are not read", "at most `32KiB`"),
            (
                "target",
                target < TARGET_BYTES_LEAST,
                "hardly a target fits into this limit",
                "at least `64B`: path and query of a request count",
            ),
            (
                "keep_alive",
                keep_alive > KEEP_ALIVE_MOST,
                "idle connections are not kept this long",
                "at most `1h`; `0s` closes a connection after its first answer",
            ),
        ];
        for (key, is_beyond, message, help) in beyond {
            if is_beyond {
                let at = path!["listeners", name, "limits", key];
                self.error(Code::InvalidValue, &at, message, Some(help.to_owned()));
            }
        }
        self.times_of_listener(name, listener, &limits);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        ListenerLimits {
            connections: count(limits.connections, CONNECTIONS),
            connections_per_ip: count(limits.connections_per_ip, CONNECTIONS),
            header_bytes_max: size(headers),
            header_fields_max: header_fields,
            target_bytes_max: size(target),
            header_timeout: limits.header_timeout.map_or(HEADER_TIMEOUT, |timeout| timeout.0),
            body_timeout: limits.body_timeout.map_or(BODY_TIMEOUT, |timeout| timeout.0),
            tls_handshake: limits.tls_handshake.map_or(TLS_HANDSHAKE, |timeout| timeout.0),
            keep_alive,
        }
    }

    fn times_of_listener(&mut self, name: &str, listener: &raw::Listener, limits: &raw::Limits) {
        let times = [
            ("header_timeout", limits.header_timeout),
            ("body_timeout", limits.body_timeout),
            ("tls_handshake", limits.tls_handshake),
        ];
        for (key, time) in times {
            self.not_zero(&path!["listeners", name, "limits", key], time);
        }
        if limits.tls_handshake.is_some_and(|time| time.0 != TLS_HANDSHAKE)
            && listener.tls.is_none()
            && listener.serve.is_empty()
        {
            let at = path!["listeners", name, "limits", "tls_handshake"];
            let help = "leave it out, or add `tls`".to_owned();
            self.warning(Code::Unused, &at, "a listener without `tls` has no handshake", Some(help));
        }
    }

    /// Warns of limits that do not apply to a listener without events.
    pub(super) fn limits_of_pages(&mut self, name: &str, listener: &raw::Listener) {
        let Some(limits) = &listener.limits else { return };
        // `body` applies to sources, whichever listener sets it.
        let written = [
            ("connections", limits.connections.is_some()),
            ("connections_per_ip", limits.connections_per_ip.is_some()),
            ("headers", limits.headers.is_some()),
            ("header_fields", limits.header_fields.is_some()),
            ("target", limits.target.is_some()),
            ("header_timeout", limits.header_timeout.is_some()),
            ("body_timeout", limits.body_timeout.is_some()),
            ("tls_handshake", limits.tls_handshake.is_some()),
            ("keep_alive", limits.keep_alive.is_some()),
        ];
        for (key, _) in written.into_iter().filter(|(_, is_written)| *is_written) {
            let at = path!["listeners", name, "limits", key];
            let message = format!("a listener with `serve` takes no events, and has no `{key}`");
            let help = "leave it out, or write it at a listener without `serve`".to_owned();
            self.warning(Code::Unused, &at, message, Some(help));
        }
    }

    /// Returns the help for a file in which no listener takes events.
    pub(super) fn where_events_go_in(&self) -> String {
        let add = "add `listeners: {public: {address: 0.0.0.0:8080}}`";
        match self.raw.listeners.iter().find(|(_, listener)| !listener.serve.is_empty()) {
            Some((name, _)) => {
                format!("`{}` has `serve`, so it answers those pages and nothing else; {add}", name.as_str())
            }
            None => add.to_owned(),
        }
    }
}
