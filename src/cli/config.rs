//! `hookgate config show`: the configuration as it is in force, with the origin of each value.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Exit, load, terminal};
use crate::config::show::Shown;

/// The commands about a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the configuration with all defaults filled in and the origin of each value. Secrets are not read.
    #[command(after_help = "Examples:\n\
        \x20 hookgate config show\n\
        \x20 hookgate config show routes.yaml --format json")]
    Show(Args),
}

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A file with the same meaning in the same folder, with origins as comments.
    #[default]
    #[value(alias = "text")]
    Yaml,
    /// A tree in which each value is an object with `value` and `origin`.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: Format,
}

pub(crate) fn run(Config::Show(args): &Config) -> Exit {
    let Some(checked) = load::survey_or_tell(&args.file) else { return Exit::Config };
    let Some(shown) = Shown::of(&checked, &load::environment) else { return Exit::Config };
    let text = match args.format {
        Format::Yaml => shown.yaml(),
        Format::Json => shown.json(),
    };
    terminal::write(text.as_bytes());
    Exit::Ok
}
