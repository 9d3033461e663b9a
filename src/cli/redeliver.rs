//! `hookgate redeliver`: the gateway expects a redelivery by the provider, and does not treat it as a duplicate.
//!
//! The command only announces the redelivery; the operator starts it at the provider. The gateway keeps the
//! announcement in memory and forgets it at a restart. The command says so, because both steps are then needed again.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::admin::Admin;
use super::{Exit, load, terminal};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate redeliver github --id 72d3162e-cc78-11e3-81ab-4c9367dc0958\n\
    \x20 hookgate redeliver stripe --all --max 20 --for 30m")]
#[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all"]))]
pub(crate) struct Args {
    /// The name of the source in the configuration.
    source: String,
    /// The id of the delivery at the provider.
    #[arg(long, env = "HOOKGATE_ID")]
    id: Option<String>,
    /// Expect every delivery of the source, each id once.
    #[arg(long, env = "HOOKGATE_ALL")]
    all: bool,
    /// The maximum number of deliveries with --all, at most 10000.
    #[arg(long, default_value_t = 100, conflicts_with = "id", env = "HOOKGATE_MAX", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max: u32,
    /// The time for which the redelivery is expected, at most 24h.
    #[arg(long, value_name = "TIME", default_value = "10m", env = "HOOKGATE_FOR")]
    r#for: String,
    /// The admin listener of the gateway, instead of the file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The configuration, for the admin listener and its token.
    #[arg(long, default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    config: PathBuf,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::load_or_tell(&args.config) else { return Exit::Config };
    let is_plain = args.source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain {
        terminal::tell("hookgate: this cannot be the name of a source");
        return Exit::Failed;
    }
    let body = match &args.id {
        Some(id) => json!({ "id": id, "for": args.r#for }),
        None => json!({ "all": args.all, "max": args.max, "for": args.r#for }),
    };
    let path = format!("/api/v1/sources/{}/redeliveries", args.source);
    match Admin::new(args.admin.as_deref(), &checked).post(&path, &body) {
        Ok(granted) => {
            let until = granted.get("until").and_then(Value::as_str).unwrap_or_default();
            let which = match &args.id {
                Some(id) => format!("the next repetition of {}", terminal::harmless(id)),
                None => format!("up to {} repetitions, each id once,", args.max),
            };
            terminal::say(format!("{}: {which} will be delivered, until {}", args.source, terminal::harmless(until)));
            terminal::tell("Now ask the provider for the redelivery. A restart of the gateway forgets this.");
            Exit::Ok
        }
        Err(problem) => problem.told(),
    }
}
