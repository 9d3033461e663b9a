//! `hookgate schema`: the JSON Schemas of the files that people write, from the types that read them.

use clap::ValueEnum;

use super::{Exit, terminal, test};
use crate::config::schema::schema;

/// The kind of file whose schema is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Of {
    /// The configuration.
    #[default]
    Routes,
    /// A case file for `hookgate test`.
    Tests,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate schema > routes.schema.json\n\
    \x20 hookgate schema tests > tests.schema.json")]
pub(crate) struct Args {
    /// The kind of file whose schema is printed.
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
