//! Tests from outside: the real process on real sockets, with a test's own sender and receiver.
//!
//! Each test starts its own gateway on port 0 with a data directory of its own. Nothing sleeps and hopes: a test waits
//! for a condition with a deadline. A test that fails prints the end of its gateway's log.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and it lives in real time"
)]

mod accounts;
mod addresses;
mod admit;
mod answers;
mod archive;
mod archive_cli;
mod balance;
mod bytes;
mod clock;
mod connections;
mod crash;
mod credentials;
mod dedup;
mod delivery;
mod disk_full;
mod drafts;
mod eio;
mod every_payload;
mod formats;
mod forms;
mod framing;
mod full;
mod handshake;
mod headers;
mod include;
mod kept_answers;
mod logs;
mod memory;
mod metrics_page;
mod mistyped;
mod names;
mod neighbour;
mod numbers;
mod observe;
mod on_error;
mod order;
mod orphans;
mod outage;
mod params;
mod patience;
mod poison;
mod private;
mod recovery;
mod redeliver;
mod refused;
mod reload;
mod reload_load;
mod restart;
mod retention;
mod rotation;
mod schema;
mod secrets;
mod service_tls;
mod shape;
mod shown;
mod slow;
mod spans;
mod strangers;
mod support;
mod sync_mode;
mod tls;
mod trouble;
mod watch;
mod why;
