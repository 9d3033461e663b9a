//! `hookgate config show`: the configuration as it is in force, with the origin of each value.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Exit, load, terminal};
use crate::config::show::Shown;

/// What is done with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the configuration as it is in force: defaults filled in, and the origin of each value. Secrets are not read.
    Show(Args),
}

/// How the configuration is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A file that means the same in the same folder, with origins as comments.
    #[default]
    #[value(alias = "text")]
    Yaml,
    /// The same tree, each value an object with `value` and `origin`.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// How the configuration is printed.
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
