//! The commands about requests in a gateway: events, dead letters, the quarantine, parked keys, and refused requests.
//!
//! All of them ask the admin listener and change nothing by themselves. Texts of strangers (types, details, headers)
//! are made harmless where the answer is read (`json`), so that no line printed here can command a terminal. A change
//! of many events is shown as a plan first and needs a person's consent (`consent`).
//!
//! Not here: live tails, explanations, differences between two files.

mod answer;
mod consent;
mod curl;
mod deed;
mod dlq;
mod events;
mod filter;
mod interrupt;
mod job;
mod json;
mod pages;
mod parked;
mod plan;
mod pretty;
mod quarantine;
mod refused;
mod replay;
mod show;
mod table;

use std::path::PathBuf;

use super::admin::Admin;
use super::providers::OutputFormat;
use super::{Exit, load};

pub(super) use dlq::{Command as Dlq, run as dlq};
pub(super) use events::{Command as Events, EVENTS, run as events};
pub(super) use filter::QueryPairs;
pub(super) use parked::{Command as Parked, run as parked};
pub(super) use quarantine::{Command as Quarantine, run as quarantine};
pub(super) use refused::{Command as Refused, run as refused};

/// The gateway that is asked, and the format of the output.
#[derive(Debug, clap::Args)]
struct Asked {
    /// The admin listener of the gateway, instead of the file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The configuration, for the admin listener and its token.
    #[arg(long, value_name = "FILE", default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    config: PathBuf,
    /// The format of the output; JSON is one object a line.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

impl Asked {
    /// Returns the gateway; prints an error when the file cannot be read.
    fn gateway(&self) -> Result<Admin, Exit> {
        let checked = load::load_or_tell(&self.config).ok_or(Exit::Config)?;
        Ok(Admin::new(self.admin.as_deref(), &checked))
    }

    fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }
}

/// Returns the exit code of a result.
fn ended(result: Result<Exit, Exit>) -> Exit {
    match result {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Returns a count with its noun: `1 event`, `2 events`.
fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
