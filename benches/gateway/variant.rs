//! The rows of the table: the server, its work and the event.

use std::net::SocketAddr;
use std::path::Path;

/// The environment variable from which the gateway takes the secret.
pub(crate) const SECRET_VARIABLE: &str = "HOOKGATE_BENCH_SECRET";
pub(crate) const SECRET: &str = "It's a Secret to Everybody";
pub(crate) const PATH: &str = "/in/github";

/// A recorded delivery of `tests/payloads/github/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) event: &'static str,
    pub(crate) file: &'static str,
}

const PUSH: Payload = Payload { event: "push", file: "push.json" };
const SMALL: Payload = Payload { event: "security_advisory", file: "security_advisory.published.json" };
const LARGE: Payload = Payload { event: "pull_request", file: "pull_request.opened.json" };

/// The work that a server does for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Bare pingora: to the sink and back, unread.
    Pass,
    /// Refused: the signature is wrong.
    Forged,
    /// Verified and answered; no route wants it.
    Answered,
    /// Verified and synced to disk; its destination is down.
    Stored,
    /// Verified, synced and delivered to the sink.
    Delivered,
    /// Verified, checked by GitHub's JSON Schema, synced and delivered to the sink.
    Validated,
}

impl Work {
    pub(crate) fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered | Self::Validated)
    }

    /// Returns the `outcome` label that every request must have.
    pub(crate) fn outcome(self) -> Option<&'static str> {
        match self {
            Self::Pass => None,
            Self::Forged => Some("bad_signature"),
            Self::Answered => Some("filtered"),
            Self::Stored | Self::Delivered | Self::Validated => Some("accepted"),
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) payload: Payload,
}

impl Variant {
    /// Checks whether the other rows with this payload are divided by this row.
    pub(crate) fn is_unit(&self) -> bool {
        self.work == Work::Pass
    }

    /// Checks whether the row shows the cost by the size of the event; such rows are measured in fewer rounds.
    pub(crate) fn is_about_size(&self) -> bool {
        self.payload != PUSH
    }
}

/// The row of the first goal.
pub(crate) const STORED: &str = "verified + durable ack";
pub(crate) const STORED_SMALL: &str = "verified + durable ack, 1 KB";
pub(crate) const STORED_LARGE: &str = "verified + durable ack, 23.6 KB";

/// All rows; a pass-through stands before the rows that are divided by it.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant { name: "pingora pass-through", work: Work::Pass, payload: PUSH },
    Variant { name: "bad signature", work: Work::Forged, payload: PUSH },
    Variant { name: "verified + ack", work: Work::Answered, payload: PUSH },
    Variant { name: STORED, work: Work::Stored, payload: PUSH },
    Variant { name: "verified + durable + forwarded", work: Work::Delivered, payload: PUSH },
    Variant { name: "verified + schema + durable + forwarded", work: Work::Validated, payload: PUSH },
    Variant { name: "pingora pass-through, 1 KB", work: Work::Pass, payload: SMALL },
    Variant { name: STORED_SMALL, work: Work::Stored, payload: SMALL },
    Variant { name: "pingora pass-through, 23.6 KB", work: Work::Pass, payload: LARGE },
    Variant { name: STORED_LARGE, work: Work::Stored, payload: LARGE },
];

/// The listener, folder and destination of a measurement's gateway.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) data_dir: &'a Path,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) sink: SocketAddr,
    /// An address that takes connections and never answers.
    pub(crate) silent: SocketAddr,
}

/// Returns the `routes.yaml` of a gateway that does `work`.
pub(crate) fn routes_yaml(work: Work, site: &Site<'_>) -> String {
    let Site { data_dir, public, admin, sink, silent } = site;
    // An event type of GitHub that no row sends.
    let events = if work == Work::Answered { ", events: [watch]" } else { "" };
    let schemas = if work == Work::Validated {
        "    schemas: {events: {push: schemas/push.json}}\n".to_owned()
    } else {
        String::new()
    };
    // A destination that is down must cost nothing while the acknowledgement is measured: its one attempt never ends.
    let destination = if work.is_delivered() {
        format!("{{url: 'http://{sink}/hook', timeout: 10s, concurrency: 64}}")
    } else {
        format!("{{url: 'http://{silent}/hook', concurrency: 1, timeout: 1h}}")
    };
    format!(
        "version: 1\n\
         server: {{data_dir: '{}', threads: 1, log: {{level: warn}}}}\n\
         admin: {{listen: '{admin}'}}\n\
         listeners: {{public: {{address: '{public}'}}}}\n\
         sources:\n\
         \x20 github:\n\
         \x20   path: {PATH}\n\
         \x20   provider: github\n\
         \x20   secrets: [{{env: {SECRET_VARIABLE}}}]\n\
         {schemas}\
         routes: {{bench: {{from: github{events}, to: target}}}}\n\
         destinations: {{target: {destination}}}\n\
         buffer: {{max_size: 20GiB, fsync: group}}\n",
        data_dir.display()
    )
}
