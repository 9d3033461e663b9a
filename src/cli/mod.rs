//! The command line: one file per command.
//!
//! Data goes to stdout, talk to stderr; `-` is stdin; every flag has a `HOOKGATE_…` variable. Exit codes are those of the
//! contract and a closed list (`Exit`).

mod admin;
mod answers;
mod archive;
mod check;
mod config;
mod demo;
mod diff;
mod explain;
mod given;
mod graph;
mod load;
mod log;
mod providers;
mod receiver;
mod recorded;
mod redeliver;
mod reload;
mod renewal;
mod run;
mod sample;
mod schema;
mod secret_use;
mod secrets;
mod selftest;
mod send;
mod story;
mod terminal;
mod test;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// It did not work.
    Failed,
    /// The command cannot be run as it was written.
    Usage,
    /// `check --deny-warnings` found something.
    Findings,
    /// No gateway answered.
    Unreachable,
    /// The configuration is invalid.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Findings => 3,
            Exit::Unreachable => 69,
            Exit::Config => 78,
        })
    }
}

/// An inbound webhook gateway: verifies, validates, limits, buffers durably and forwards.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway. SIGTERM stops it in order, SIGHUP reads its file anew.
    Run(run::Args),
    /// Check a configuration file and report all that is wrong with it.
    Check(check::Args),
    /// Show what the gateway does, on real signed events, without any configuration.
    Demo(demo::Args),
    /// Sign an event as its provider would and send it to a gateway.
    Send(send::Args),
    /// Verify a recorded request by hand, or a file of cases, and say why it fails.
    Verify(verify::Args),
    /// Run the unit tests of routes.
    Test(test::Args),
    /// Explain what is decided about a request or a stored event, and why.
    Explain(explain::Args),
    /// Send recorded events through two files, and tell what comes otherwise. Exits with 3 when something does.
    Diff(diff::Args),
    /// List the known providers, or explain one.
    Providers(providers::Args),
    /// Print which answer a provider gets for which outcome, and why.
    Answers(answers::Args),
    /// List the secrets: which are used, near their end, or can be retired.
    Secrets(secrets::Args),
    /// Let a redelivery that is asked for at the provider through, instead of taking it for a repetition.
    Redeliver(redeliver::Args),
    /// Have a running gateway read its file anew: all of it, or nothing.
    Reload(reload::Args),
    /// Show on this disk that what was answered is kept: kills a gateway under load, again and again.
    Selftest(selftest::Args),
    /// List stored events, show one, or deliver them again.
    #[command(subcommand)]
    Events(archive::Events),
    /// List dead letters, deliver them again, or drop them.
    #[command(subcommand)]
    Dlq(archive::Dlq),
    /// List the events that are kept back, or judge them by the rules of today.
    #[command(subcommand)]
    Quarantine(archive::Quarantine),
    /// List what was refused for its signature, and admit what verifies by now.
    #[command(subcommand)]
    Refused(archive::Refused),
    /// List the order keys that wait for a person, and let them go on.
    #[command(subcommand)]
    Parked(archive::Parked),
    /// Draw what goes where: sources, routes and destinations.
    Graph(graph::Args),
    /// Look at the configuration that is in force.
    #[command(subcommand)]
    Config(config::Config),
    /// Print the JSON Schema of routes.yaml, or of the files of cases that `test` runs.
    Schema(schema::Args),
    /// Print the version.
    Version,
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut Cli::command()).exit());
    let exit = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args, is_written(&matches, "config")),
        Command::Diff(args) => diff::run(&args),
        Command::Providers(args) => providers::run(&args),
        Command::Answers(args) => answers::run(&args),
        Command::Secrets(args) => secrets::run(&args),
        Command::Redeliver(args) => redeliver::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Events(command) => archive::events(&command),
        Command::Dlq(command) => archive::dlq(&command),
        Command::Quarantine(command) => archive::quarantine(&command),
        Command::Refused(command) => archive::refused(&command),
        Command::Parked(command) => archive::parked(&command),
        Command::Graph(args) => graph::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Schema(args) => schema::run(&args),
        Command::Version => {
            terminal::say(concat!("hookgate ", env!("CARGO_PKG_VERSION")));
            Exit::Ok
        }
    };
    exit.into()
}

/// Whether a flag of the command stands on the command line itself; its value may come from the environment too.
fn is_written(matches: &ArgMatches, flag: &str) -> bool {
    let of_command = matches.subcommand().map(|(_, inner)| inner);
    of_command.and_then(|inner| inner.value_source(flag)) == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_without_a_variable(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let flags = command.get_arguments().filter(|arg| !arg.is_positional());
        let flags = flags.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
        let silent = flags.filter(|arg| {
            arg.get_env().and_then(|name| name.to_str()).is_none_or(|name| !name.starts_with("HOOKGATE_"))
        });
        found.extend(silent.map(|arg| format!("{path} --{}", arg.get_id())));
        for inner in command.get_subcommands() {
            flags_without_a_variable(inner, &format!("{path} {}", inner.get_name()), found);
        }
    }

    #[test]
    fn every_flag_has_a_variable() {
        let mut found = Vec::new();
        flags_without_a_variable(&Cli::command(), "hookgate", &mut found);
        assert!(found.is_empty(), "{found:?}");
        Cli::command().debug_assert();
    }
}
