//! Hookgate: an inbound webhook gateway.
//!
//! ```text
//!   sender ──► ingress ──► accept ──────────────────────────► buffer ──► deliver ──► internal service
//!              (pingora)   source, limits, signature,         (commit)   (retry)
//!                          schema, routes
//!                            │ refusal: answered at once        │ answered only after the commit
//! ```
//! [`accept`] is the product on one screen. Each gate turns a request into another type: `Head` → `Admitted` → `Verified`
//! → `Event`, and the buffer takes an `Event` only. `config` turns routes.yaml into the parameters of all stages,
//! [`server`] starts and stops them, [`cli`] is the command line. ARCHITECTURE.md has the whole picture.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

// Leaves: modules that import no module of this crate but each other.
pub mod answer;
pub mod clock;
pub mod credential;
pub mod encoding;
pub mod hop;
pub mod inbound;
pub mod outcome;
pub mod patience;
pub mod payload;
pub mod redact;
pub mod refusal;
pub mod secret;
pub mod sender;
pub mod wrapping;
// The gates.
pub mod budget;
pub mod condition;
pub mod limit;
pub mod only_failing;
pub mod provider;
pub mod route;
pub mod schema;
pub mod script;
pub mod source;
// The product.
pub mod accept;
pub mod body;
pub mod event;
pub mod reply;
pub mod rules;
// What keeps and moves events.
pub mod buffer;
pub mod capture;
pub mod deliver;
pub mod keyring;
pub mod refused;
pub mod rejudge;
pub mod shape;
pub mod telemetry;
// Commands and explanations for stored events.
pub mod archive;
pub mod explain;
// Listeners.
pub mod admin;
pub mod ingress;
// Wiring of all of the above.
pub mod cli;
pub mod config;
pub mod server;
#[cfg(test)]
mod simulation;

/// The allocator that only `main` uses; named here for `unused_crate_dependencies`.
use tikv_jemallocator as _;
