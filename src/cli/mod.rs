//! The command line: one file per command.
//!
//! Data goes to stdout, messages to stderr; `-` is stdin; every flag has a `HOOKGATE_…` variable. Exit codes are those
//! of the contract and a closed list (`Exit`).

mod admin;
mod answers;
mod archive;
mod check;
mod config;
mod demo;
mod demo_script;
mod diff;
mod explain;
mod graph;
mod load;
mod log;
mod providers;
mod receiver;
mod recorded_request;
mod redeliver;
mod reload;
mod renewal;
mod run;
mod sample;
mod sample_request;
mod schema;
mod secret_use;
mod secrets;
mod selftest;
mod send;
mod terminal;
mod test;
mod unknown;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

/// The result of a command, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded.
    Ok,
    /// The command failed.
    Failed,
    /// The command cannot be run as it was written.
    Usage,
    /// A command such as `check --deny-warnings`, `diff` or `test` has findings.
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
#[command(
    name = "hookgate",
    version,
    propagate_version = true,
    after_help = "Examples:\n\
    \x20 hookgate demo\n\
    \x20 hookgate check routes.yaml\n\
    \x20 hookgate run routes.yaml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway. SIGTERM stops the gateway in order, SIGHUP reads its file again.
    Run(run::Args),
    /// Check a configuration file and report all of its problems.
    Check(check::Args),
    /// Demonstrate the gateway on real signed events, without any configuration.
    Demo(demo::Args),
    /// Sign an event as its provider would and send it to a gateway.
    Send(send::Args),
    /// Verify a recorded request, or a file of cases, and give the reason of each failure.
    Verify(verify::Args),
    /// Run the unit tests of routes. Nothing is sent.
    Test(test::Args),
    /// Explain all decisions about a request or a stored event.
    Explain(explain::Args),
    /// Compare two configuration files by the results of recorded events. Exits with 3 if any result differs.
    Diff(diff::Args),
    /// List the known providers, or explain one.
    Providers(providers::Args),
    /// Print the answer that a provider gets for each outcome, with the reason.
    Answers(answers::Args),
    /// List the secrets with their use: those in use, those near their end, and those that can be retired.
    Secrets(secrets::Args),
    /// Expect a redelivery by the provider, so that it is delivered and not dropped as a duplicate.
    Redeliver(redeliver::Args),
    /// Have a running gateway read its file again: all of the file takes effect, or nothing.
    Reload(reload::Args),
    /// Test on this disk that no accepted event is lost: kill a gateway under load, again and again.
    Selftest(selftest::Args),
    /// List stored events, show one event, or deliver events again.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate events list --since 1h --source stripe\n\
        \x20 hookgate events show 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
        \x20 hookgate events replay --since 1h --to billing --dry-run"
    )]
    Events(archive::Events),
    /// List dead letters, deliver dead letters again, or drop them.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate dlq list\n\
        \x20 hookgate dlq replay --destination billing --dry-run"
    )]
    Dlq(archive::Dlq),
    /// List quarantined events, or re-evaluate them under the rules in force.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate quarantine list\n\
        \x20 hookgate quarantine judge --dry-run"
    )]
    Quarantine(archive::Quarantine),
    /// List requests that were refused for their signature, and admit those that verify now.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate refused list\n\
        \x20 hookgate refused admit --source github --dry-run"
    )]
    Refused(archive::Refused),
    /// List the parked order keys, and release or skip the event that blocks a key.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate parked list\n\
        \x20 hookgate parked release 5be1"
    )]
    Parked(archive::Parked),
    /// Draw sources, routes and destinations as a graph.
    Graph(graph::Args),
    /// Show the configuration with all defaults and origins.
    #[command(
        subcommand,
        after_help = "Examples:\n\
        \x20 hookgate config show\n\
        \x20 hookgate config show routes.yaml --format json"
    )]
    Config(config::Config),
    /// Print the JSON Schema of routes.yaml, or of the case files of `hookgate test`.
    Schema(schema::Args),
    /// Print the version.
    #[command(after_help = "Examples:\n\
        \x20 hookgate version\n\
        \x20 hookgate --version")]
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

/// Returns whether a flag of the command stands on the command line itself; its value may come from the environment
/// too.
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
