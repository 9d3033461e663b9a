//! `hookgate check`: everything that is wrong with a file, at once.

use std::collections::BTreeSet;
use std::io::stdout;
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Exit, load, terminal};
use crate::config::check::Checked;
use crate::config::{Problem, Severity, render};

/// How problems are printed.
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
pub(crate) struct Args {
    /// The file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// Exit with 3 when there are warnings.
    #[arg(long, env = "HOOKGATE_DENY_WARNINGS")]
    deny_warnings: bool,
    /// Never use the network. The checks of this version never do.
    #[arg(long, env = "HOOKGATE_OFFLINE")]
    offline: bool,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::load_or_tell(&args.file) else { return Exit::Config };
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

fn print(checked: &Checked, format: Format) {
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

/// One line at the end, so that silence never has to be read.
fn summary(checked: &Checked) -> String {
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

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

/// Prints the problems of a file that was to be run, for people.
pub(crate) fn report(checked: &Checked) {
    if !checked.problems.is_empty() {
        let color = terminal::wants_color(&std::io::stderr());
        terminal::tell(render::text(&checked.problems, checked.spans.files(), color).trim_end());
    }
}
