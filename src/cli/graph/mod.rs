//! `hookgate graph`: sources, routes and destinations as a picture.
//!
//! The content (`picture`) and the order (`order`) are the same for all formats; each format has its own file, and its
//! own way to escape text. Secrets are not read, and values that `config show` hides are not drawn either.

mod dot;
mod mermaid;
mod order;
mod picture;
mod svg;

use std::path::PathBuf;

use clap::ValueEnum;

use self::picture::Picture;
use super::{Exit, load, terminal};
use crate::config::show::Shown;

/// How the picture is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For Markdown pages.
    #[default]
    Mermaid,
    /// For Graphviz.
    Dot,
    /// An image that needs nothing else.
    Svg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// How the picture is printed.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_GRAPH_FORMAT")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::survey_or_tell(&args.file) else { return Exit::Config };
    let shown = Shown::of(&checked, &load::environment);
    let (Some(shown), Some(setup)) = (shown, checked.setup) else { return Exit::Config };
    let picture = Picture::of(&shown, &setup.live.destinations);
    let text = match args.format {
        Format::Mermaid => mermaid::text(&picture),
        Format::Dot => dot::text(&picture),
        Format::Svg => svg::text(&picture),
    };
    terminal::write(text.as_bytes());
    Exit::Ok
}
