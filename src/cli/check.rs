//! `hookgate check`: all problems of a file, at once.

use std::collections::BTreeSet;
use std::io::stdout;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use serde_json::Value;

use super::admin::{Admin, AdminProblem};
use super::{Exit, load, terminal};
use crate::config::check::CheckedFile;
use crate::config::problem::quoted;
use crate::config::{Code, Problem, Severity, Span, render};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// An array of objects.
    Json,
    /// Annotations for GitHub Actions.
    Github,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate check\n\
    \x20 hookgate check routes.yaml --deny-warnings --format github\n\
    \x20 hookgate check new.yaml --admin http://127.0.0.1:8900")]
pub(crate) struct Args {
    /// The configuration file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// Exit with 3 if there are warnings.
    #[arg(long, env = "HOOKGATE_DENY_WARNINGS")]
    deny_warnings: bool,
    /// Never use the network. Only --admin makes a check use the network.
    #[arg(long, env = "HOOKGATE_OFFLINE", conflicts_with = "admin")]
    offline: bool,
    /// Also ask the running gateway with this admin listener for events that wait for destinations which the file
    /// lacks.
    #[arg(long, value_name = "URL", env = "HOOKGATE_CHECK_ADMIN")]
    admin: Option<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(mut checked) = load::load_or_tell(&args.file) else { return Exit::Config };
    if let Some(url) = &args.admin {
        match backlogs(url, &checked, &args.file) {
            Ok(found) => checked.problems.extend(found),
            Err(problem) => return problem.told(),
        }
    }
    print(&checked, args.format);
    let errors = count(&checked.problems, Severity::Error);
    let warnings = count(&checked.problems, Severity::Warning);
    if errors > 0 {
        Exit::Config
    } else if warnings > 0 && args.deny_warnings {
        Exit::Findings
    } else {
        Exit::Ok
    }
}

/// Returns the events in a running gateway that wait for destinations that the file lacks.
fn backlogs(url: &str, checked: &CheckedFile, file: &Path) -> Result<Vec<Problem>, AdminProblem> {
    let Some(setup) = &checked.setup else { return Ok(Vec::new()) };
    let admin = Admin::new(Some(url), checked);
    let answer = admin.get("/api/v1/destinations")?;
    let list = answer.get("destinations").and_then(Value::as_array).ok_or_else(|| admin.not_ours())?;
    let waiting = list.iter().filter_map(|one| Some((one.get("name")?.as_str()?, one.get("queued")?.as_u64()?)));
    let orphans = waiting.filter(|(name, queued)| *queued > 0 && !setup.live.destinations.contains_key(*name));
    let problem = |(name, queued): (&str, u64)| {
        let events = if queued == 1 { "1 event waits".to_owned() } else { format!("{queued} events wait") };
        let message = format!("{events} for the destination {}, which this file does not have", quoted(name));
        let help = "they are kept, and delivered when a file with this destination is in force";
        Problem::warning(Code::Backlog, file, Span::TOP, message).help(help)
    };
    Ok(orphans.map(problem).collect())
}

fn print(checked: &CheckedFile, format: Format) {
    match format {
        Format::Json => terminal::say(render::json(&checked.problems).trim_end()),
        Format::Github if checked.problems.is_empty() => {}
        Format::Github => terminal::say(render::github(&checked.problems).trim_end()),
        Format::Text => {
            let color = terminal::wants_color(&stdout());
            let text = render::text(&checked.problems, checked.spans.files(), color);
            if !text.is_empty() {
                terminal::say(format!("{}\n", text.trim_end()));
            }
            terminal::say(summary(checked));
        }
    }
}

/// Returns the line at the end, which is printed even without problems.
fn summary(checked: &CheckedFile) -> String {
    let errors = count(&checked.problems, Severity::Error);
    let warnings = count(&checked.problems, Severity::Warning);
    let noun = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    match &checked.setup {
        None => format!("invalid: {}, {}", noun(errors, "error"), noun(warnings, "warning")),
        Some(setup) => {
            let lanes = &setup.live.rules.lanes;
            let routes: BTreeSet<&str> = lanes.iter().flat_map(|lane| &lane.routes).map(|route| &*route.name).collect();
            format!(
                "valid: {}, {}, {}; {}; an accepted event {}",
                noun(lanes.len(), "source"),
                noun(routes.len(), "route"),
                noun(setup.live.destinations.len(), "destination"),
                noun(warnings, "warning"),
                setup.buffer.fsync.durability(),
            )
        }
    }
}

pub(crate) fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

/// Prints the problems of a file that was to be run, for people.
pub(crate) fn report(checked: &CheckedFile) {
    if !checked.problems.is_empty() {
        let color = terminal::wants_color(&std::io::stderr());
        terminal::tell(render::text(&checked.problems, checked.spans.files(), color).trim_end());
    }
}
