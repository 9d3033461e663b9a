//! `hookgate reload`: a running gateway reads its file anew, and its report is printed here.
//!
//! The gateway reads its own file, with its own environment and rights; the file that is named here only gives the
//! address of the gateway. So the verdict is the gateway's, and cannot differ from the rules in force.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::admin::{Admin, AdminProblem};
use super::providers::OutputFormat;
use super::terminal::harmless;
use super::{Exit, check, load, terminal};

const UNPROCESSABLE: u16 = 422;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate reload\n\
    \x20 hookgate reload --config routes.yaml --format json")]
pub(crate) struct Args {
    /// The admin listener of the gateway, instead of the file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The configuration, for the admin listener and its token.
    #[arg(long, value_name = "FILE", default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    config: PathBuf,
    /// The format of the output; JSON is one object.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::load_or_tell(&args.config) else { return Exit::Config };
    let is_json = args.format == OutputFormat::Json;
    match Admin::new(args.admin.as_deref(), &checked).post("/api/v1/reload", &json!({})) {
        Ok(value) => {
            if is_json {
                terminal::say_json(&value);
            } else {
                tell_problems(&value);
                say_what_changed(&value);
            }
            Exit::Ok
        }
        Err(AdminProblem::Refused { status: UNPROCESSABLE, why, body }) => {
            if is_json {
                terminal::say_json(&body);
            } else {
                tell_problems(&body);
                terminal::tell(format!("hookgate: {why}"));
            }
            Exit::Config
        }
        Err(problem) => {
            let exit = problem.told();
            let is_lost =
                matches!(problem, AdminProblem::Unreachable { .. } | AdminProblem::Refused { status: 401, .. });
            // The address of the gateway and its token stand in the file; a file with errors may lack them.
            if is_lost && checked.setup.is_none() {
                check::report(&checked);
                terminal::tell(format!("hookgate: {} is invalid as it is read here", args.config.display()));
            }
            exit
        }
    }
}

/// Prints each problem on a line that begins with its place, with the help below.
fn tell_problems(value: &Value) {
    for problem in value.get("problems").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(harmless).unwrap_or_default();
        let number = |name: &str| problem.get(name).and_then(Value::as_u64).unwrap_or_default();
        let place = format!("{}:{}:{}", text("file"), number("line"), number("column"));
        terminal::tell(format!("{place}: {}[{}]: {}", text("severity"), text("code"), text("message")));
        let help = text("help");
        if !help.is_empty() {
            terminal::tell(format!("  help: {help}"));
        }
    }
}

fn say_what_changed(value: &Value) {
    let warnings = value.get("warnings").and_then(Value::as_u64).unwrap_or_default();
    let warnings = match warnings {
        0 => String::new(),
        1 => " (1 warning)".to_owned(),
        many => format!(" ({many} warnings)"),
    };
    terminal::say(format!("reloaded: the new rules are in force{warnings}"));
    let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
    for change in list("changes").filter_map(Value::as_str) {
        terminal::say(format!("{} changes at the next restart", harmless(change)));
    }
    for backlog in list("backlogs") {
        let destination = backlog.get("destination").and_then(Value::as_str).map(harmless).unwrap_or_default();
        let events = backlog.get("events").and_then(Value::as_u64).unwrap_or_default();
        let verb = if events == 1 { "1 event waits" } else { &format!("{events} events wait") };
        terminal::say(format!("{verb} for the destination {destination}, which is not configured; kept until it is"));
    }
}
