//! `hookgate schema`: the JSON Schemas of the files that people write, from the types that read them.

use clap::ValueEnum;

use super::{Exit, terminal, test};
use crate::config::schema::schema;

/// Whose schema is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Of {
    /// The configuration.
    #[default]
    Routes,
    /// A file of cases for `hookgate test`.
    Tests,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind of file.
    #[arg(value_enum, default_value_t)]
    of: Of,
}

pub(crate) fn run(args: &Args) -> Exit {
    let text = match args.of {
        Of::Routes => schema(),
        Of::Tests => test::schema(),
    };
    terminal::say(text.trim_end());
    Exit::Ok
}
