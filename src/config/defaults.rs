//! Default values of keys, for editors. `check/` applies the defaults; a test writes all of these out and checks that
//! nothing changes. A default that depends on the machine, the provider or another key is left out.

use DefaultValue::{Number, Text, Yes};

/// The type of `raw`, its key, and the value.
pub(super) const DEFAULTS: &[(&str, &str, DefaultValue)] = &[
    ("Admin", "listen", Text("127.0.0.1:8900")),
    ("Breaker", "failures", Number(10)),
    ("Breaker", "open_for", Text("20s")),
    ("Breaker", "within", Text("30s")),
    ("Buffer", "fsync", Text("group")),
    ("Buffer", "keep_delivered", Text("72h")),
    ("Buffer", "max_size", Text("20GiB")),
    ("Capture", "bodies", Text("redacted")),
    ("Capture", "max_events", Number(1000)),
    ("DeadLetter", "keep", Text("14d")),
    ("Destination", "concurrency", Number(64)),
    ("Destination", "connect_timeout", Text("3s")),
    ("Destination", "format", Text("raw")),
    ("Destination", "timeout", Text("10s")),
    ("DestinationDefaults", "concurrency", Number(64)),
    ("DestinationDefaults", "connect_timeout", Text("3s")),
    ("DestinationDefaults", "format", Text("raw")),
    ("DestinationDefaults", "timeout", Text("10s")),
    ("Health", "healthy_after", Number(2)),
    ("Health", "interval", Text("5s")),
    ("Health", "timeout", Text("1s")),
    ("Health", "unhealthy_after", Number(3)),
    ("Limits", "body_timeout", Text("20s")),
    ("Limits", "connections", Number(20_000)),
    ("Limits", "header_fields", Number(100)),
    ("Limits", "header_timeout", Text("5s")),
    ("Limits", "headers", Text("16KiB")),
    ("Limits", "keep_alive", Text("75s")),
    ("Limits", "target", Text("8KiB")),
    ("Limits", "tls_handshake", Text("10s")),
    ("Retry", "give_up_after", Text("24h")),
    ("Retry", "initial", Text("2s")),
    ("Retry", "jitter", Text("full")),
    ("Retry", "max", Text("1h")),
    ("Retry", "max_attempts", Number(12)),
    ("Retry", "respect_retry_after", Yes),
    ("Schemas", "on_invalid", Text("quarantine")),
    ("Schemas", "on_missing", Text("allow")),
    ("Server", "data_dir", Text("/var/lib/hookgate")),
    ("Server", "shutdown_grace", Text("30s")),
    ("Server", "threads", Text("auto")),
    ("Source", "enforce", Yes),
    ("Source", "failure_brake", Yes),
    ("Source", "mode", Text("buffered")),
    ("Target", "weight", Number(1)),
];

/// A value as the file has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum DefaultValue {
    Text(&'static str),
    Number(u32),
    Yes,
}
